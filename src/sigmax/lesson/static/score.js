// How many sayings were judged, and how many rightly: in the bar, and chapter by chapter on the map.

import { html } from "./dom.js";
import { all, watch } from "./memory.js";
import { ROAD } from "./road.js";
import { bind, lookup } from "./text.js";

export const TOTAL = ROAD.reduce((total, { claims }) => total + claims, 0);

// Of one chapter, or of all.
export function counted(chapter = "") {
  const votes = Object.entries(all("votes")).filter(([key]) => key.startsWith(chapter && `${chapter}.`)).map(([, vote]) => vote);
  return { judged: votes.length, right: votes.filter(({ right }) => right).length };
}

export function score() {
  const element = html("span", { class: "score", role: "status" });
  const show = () => {
    const { judged, right } = counted();
    element.textContent = judged ? `${right} / ${judged}` : "";
    element.title = lookup(null, "score").replace("{right}", right).replace("{judged}", judged).replace("{all}", TOTAL);
  };
  watch(show);
  return bind(element, show);
}
