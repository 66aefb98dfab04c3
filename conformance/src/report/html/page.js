"use strict";
const form = document.querySelector(".filters");
const text = document.getElementById("text");
const boxes = [...form.querySelectorAll("input[type=checkbox]")];
const cases = [...document.querySelectorAll(".case")];
const chapters = [...document.querySelectorAll("section.chapter")];
const named = (link) => document.getElementById(decodeURIComponent(link.hash.slice(1)));
const rows = [...document.querySelectorAll(".matrix tr:has(a)")].map((row) => [row, [...row.querySelectorAll("a")].map(named)]);
let words;

function filter() {
  const wanted = text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.name));
  if (wanted.length && !words) words = new Map(cases.map((one) => [one, one.textContent.toLowerCase()]));
  let shown = 0;
  for (const one of cases) {
    one.hidden = !verdicts.has(one.dataset.verdict) || !wanted.every((word) => words.get(one).includes(word));
    shown += !one.hidden;
  }
  for (const chapter of chapters) chapter.hidden = !chapter.querySelector(".case:not([hidden])");
  for (const [row, ofRow] of rows) row.hidden = ofRow.every((one) => one.hidden);
  document.getElementById("shown").textContent = `${shown} of ${cases.length}`;
}

// The filter stands in the address, behind #?, so that it can be sent to somebody.
function write() {
  const only = boxes.filter((box) => box.checked).map((box) => box.name);
  const parts = new URLSearchParams();
  if (text.value) parts.set("text", text.value);
  if (only.length < boxes.length) parts.set("only", only.join(" "));
  history.replaceState(null, "", parts.size ? `#?${parts}` : "#");
}

function read() {
  const parts = new URLSearchParams(location.hash.slice(2));
  text.value = parts.get("text") ?? "";
  const only = parts.get("only")?.split(" ");
  for (const box of boxes) box.checked = !only || only.includes(box.name);
  filter();
}

// A link leads to what it names even where a filter hides it.
function go() {
  if (location.hash.startsWith("#?")) return read();
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.matches(".case")) {
    target.hidden = false;
    target.open = true;
  }
  const chapter = target.closest("section.chapter");
  if (chapter?.hidden) {
    chapter.hidden = false;
    if (!target.matches(".case")) for (const one of chapter.querySelectorAll(".case")) one.hidden = false;
  }
  target.scrollIntoView();
  if (target.matches(".case")) target.querySelector("summary").focus({ preventScroll: true });
}

form.addEventListener("input", () => { filter(); write(); });
form.addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", go);
addEventListener("beforeprint", () => {
  for (const one of cases) if (one.dataset.verdict !== "pass") one.open = true;
});
for (const time of document.querySelectorAll("time[data-seconds]")) {
  const date = new Date(1000 * time.dataset.seconds);
  time.dateTime = date.toISOString();
  time.textContent = date.toLocaleString();
}
filter();
go();
