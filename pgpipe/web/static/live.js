// Entities, loads and queues as they change: the part of the page below the answers is asked for again and again.
"use strict";

const EVERY = 10_000; // milliseconds
const part = document.getElementById("live");
const away = document.getElementById("away");
let busy = false; // an answer is awaited

async function renew() {
  if (busy || document.hidden || part.contains(document.activeElement)) return; // nobody looks, or somebody reads there
  busy = true;
  try {
    const answer = await fetch("/live", { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    const made = new DOMParser().parseFromString(await answer.text(), "text/html");
    part.replaceChildren(...made.body.childNodes);
    away.hidden = true;
  } catch {
    if (away.hidden) away.textContent = `No answer since ${new Date().toLocaleTimeString()}; below is what was known before.`;
    away.hidden = false;
  } finally {
    busy = false;
  }
}

setInterval(renew, EVERY);
document.addEventListener("visibilitychange", renew);
