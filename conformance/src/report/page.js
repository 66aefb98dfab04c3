"use strict";
const form = document.querySelector(".filters");
const text = document.getElementById("text");
const cases = [...document.querySelectorAll(".case")];
const words = new Map(cases.map((one) => [one, one.textContent.toLowerCase()]));

function filter() {
  const wanted = text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const verdicts = new Set([...form.querySelectorAll("input:checked")].map((box) => box.name));
  let shown = 0;
  for (const one of cases) {
    one.hidden = !verdicts.has(one.dataset.verdict) || !wanted.every((word) => words.get(one).includes(word));
    shown += !one.hidden;
  }
  for (const chapter of document.querySelectorAll("section.chapter")) {
    chapter.hidden = !chapter.querySelector(".case:not([hidden])");
  }
  document.getElementById("shown").textContent = `${shown} of ${cases.length}`;
}

// A link to a case leads to it even where a filter hides it.
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.matches(".case")) {
    target.hidden = false;
    target.closest("section").hidden = false;
    target.open = true;
    target.scrollIntoView();
  }
}

form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", reveal);
filter();
reveal();
