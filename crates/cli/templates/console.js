// Keeps the page up to date, shows times by the reader's own clock, counts down to the proof of a stop, and keeps a button
// shut until its confirmation is typed. Without it the page still works: reload to see more, and the server checks every
// confirmation again.
"use strict";

const live = document.getElementById("live");
// What stands between the two is read by somebody, and stays as it is.
const counted = document.getElementById("counted");
const lost = document.getElementById("lost");
const language = document.documentElement.lang;

function byOwnClock(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (time.title || Number.isNaN(at.getTime())) continue;
    time.title = time.textContent;
    time.textContent = at.toLocaleString(language, { dateStyle: "medium", timeStyle: "medium" });
  }
}

// From what the server says that is left, by how long the page has been there since: the reader's clock may be wrong.
let cameAt = performance.now();

function countDown() {
  const countdown = document.getElementById("countdown");
  if (!countdown) return;
  const seconds = Math.ceil(Number(countdown.dataset.left) - (performance.now() - cameAt) / 1000);
  countdown.textContent = seconds > 0 ? `(${countdown.dataset.words}: ${seconds})` : "";
}

// What somebody has unfolded stays so, by what it says.
function unfolded(root) {
  return new Set(Array.from(root.querySelectorAll("details.folded[open]"), (details) => details.textContent));
}

async function refresh() {
  try {
    const answer = await fetch(live.dataset.from, { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const text = await answer.text();
    const open = unfolded(document);
    live.innerHTML = text;
    if (counted) {
      const [standing, ...others] = live.children;
      counted.replaceChildren(...others);
      live.replaceChildren(standing);
    }
    cameAt = performance.now();
    for (const details of document.querySelectorAll("details.folded")) details.open = open.has(details.textContent);
    byOwnClock(document);
    countDown();
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
}
if (live) setInterval(refresh, 2000);
setInterval(countDown, 1000);
byOwnClock(document);
countDown();

// The letters are as high as they are, so that none of them is hidden behind another. Nothing in there runs.
const letters = document.getElementById("letters");
function fit() {
  const page = letters.contentDocument?.body;
  if (page) letters.style.height = `${Math.ceil(page.getBoundingClientRect().bottom + letters.contentWindow.scrollY) + 4}px`;
}
if (letters) {
  letters.addEventListener("load", fit);
  window.addEventListener("resize", fit);
  if (letters.contentDocument?.readyState === "complete") fit();
}

for (const input of document.querySelectorAll("[data-must-be]")) {
  const button = input.form.querySelector("button");
  const judge = () => {
    const [typed, wanted] = [input.value.trim(), input.dataset.mustBe];
    button.disabled = typed !== wanted && !("anyCase" in input.dataset && typed.toUpperCase() === wanted);
  };
  input.addEventListener("input", judge);
  judge();
}
