// Suggestions for the question that is being typed, as options of its datalist.
"use strict";
const field = document.querySelector("input[name=q][list]");
const entity = document.querySelector("select[name=entity]");
let waiting, asked = 0;

async function suggest() {
  const number = ++asked, typed = field.value;
  const options = [];
  if (typed.trim()) {
    const response = await fetch("/api/suggest?" + new URLSearchParams({ q: typed, entity: entity.value, k: 8 }));
    if (!response.ok) return;
    for (const each of (await response.json()).suggestions) {
      const option = document.createElement("option");
      option.value = each.suggestion;
      options.push(option);
    }
  }
  if (number === asked) field.list.replaceChildren(...options);  // no later letter was typed meanwhile
}

if (field && entity) {
  field.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => suggest().catch(() => {}), 120); });
}
