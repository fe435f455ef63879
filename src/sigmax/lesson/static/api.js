// Calls functions of the server; a static copy looks up what was computed when it was written.

import { received, word } from "./numbers.js";

let precomputed = null;

export async function loadLesson() {
  const lesson = received(await (await fetch("lesson.json")).text());
  if (!lesson.live) precomputed = lesson.precomputed;
  return lesson;
}

export const isLive = () => precomputed === null;

// `situation` names what a static copy has: "start" or a preset.
export async function call(name, given = {}, situation = "start") {
  if (precomputed) return precomputed[name][situation];
  const body = JSON.stringify({ function: name, arguments: given }, (_, value) => (typeof value === "number" && !Number.isFinite(value) ? word(value) : value));
  const response = await fetch("api", { method: "POST", headers: { "Content-Type": "application/json" }, body });
  const answer = received(await response.text());
  if (!response.ok) throw new Error(answer.error);
  return answer;
}
