// Keeps the page up to date, and a button shut until its confirmation is typed. Without it the page still
// works: reload to see more, and the server checks every confirmation again.
"use strict";

const live = document.getElementById("live");
const lost = document.getElementById("lost");

async function refresh() {
  try {
    const answer = await fetch(live.dataset.from, { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    live.innerHTML = await answer.text();
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
}
if (live) setInterval(refresh, 2000);

for (const input of document.querySelectorAll("[data-must-be]")) {
  const button = input.form.querySelector("button");
  const judge = () => { button.disabled = input.value !== input.dataset.mustBe; };
  input.addEventListener("input", judge);
  judge();
}
