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

// What stands along the plot, from the day on which it begins.
function plotByOwnClock(root) {
  for (const plot of root.querySelectorAll(".plot[data-day]")) {
    const { day, utc, own } = plot.dataset;
    delete plot.dataset.day;
    for (const label of plot.querySelectorAll("text")) {
      const text = label.textContent.trim();
      const told = /^(?:(\d\d-\d\d) )?(\d\d:\d\d)(:\d\d)?$/.exec(text);
      if (text === utc) label.textContent = own;
      if (!told) continue;
      const [, date, minute, second] = told;
      const at = new Date(`${date ? `${day.slice(0, 4)}-${date}` : day}T${minute}${second ?? ":00"}Z`);
      const form = { hourCycle: "h23", hour: "2-digit", minute: "2-digit" };
      if (second) form.second = "2-digit";
      if (date) form.month = form.day = "2-digit";
      label.textContent = at.toLocaleString(language, form);
    }
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
    plotByOwnClock(document);
    countDown();
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
}
if (live) setInterval(refresh, 2000);
setInterval(countDown, 1000);
byOwnClock(document);
plotByOwnClock(document);
countDown();

// What became of a form is said once: neither a reload nor an address that is passed on asks for it again.
const here = new URL(location.href);
if (here.searchParams.has("said")) {
  here.searchParams.delete("said");
  history.replaceState(null, "", here);
}
// Back leads to the page as it is now, and not to a form as it was.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

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
