// Bars by class: the first stands at 1, and each has its colour.

import { shown } from "./numbers.js";
import { logit, logsumexp } from "./sigmax.js";

export const colour = (j) => `v-x_${j + 1}`;
export const colours = (list) => list.map((_, j) => colour(j));
export const nameOf = (j) => `x${"₁₂₃₄₅"[j]}`;
export const places = (list) => list.map((_, j) => j + 1);
export const acrossClasses = (list) => [0.4, list.length + 0.6];

// Probabilities from 0 to 1, with their numbers unless something else is drawn there; `equal` marks equal shares,
// `gripped` leaves room for the hands of `grips`.
export function probabilities(plot, p, { label = "$p$", numbers = true, equal = false, gripped = false } = {}) {
  plot.frame({ x: acrossClasses(p), y: [0, 1.08], xticks: places(p), yticks: [0, 0.25, 0.5, 0.75, 1], ylabel: label });
  plot.bars("p", places(p), p, { cls: colours(p) });
  if (equal) plot.line("equal", 0.4, 1 / p.length, p.length + 0.6, 1 / p.length, "muted dashed");
  if (numbers) p.forEach((value, j) => plot.text(`value ${j}`, j + 1, value, shown(value, 3), { anchor: "middle", dy: gripped ? -14 : -7 }));
}

// A hand on a bar of p: the score x_j that makes p_j what is asked for, the others staying.
export function scoreFor(x, j, p, temperature = 1) {
  const others = logsumexp(x.filter((_, i) => i !== j).map((each) => each / temperature));
  return x.with(j, temperature * (logit(Math.min(Math.max(p, 1e-4), 1 - 1e-4)) + others));
}

// Markers on the bars of p that move the scores, the control called `name`.
export function grips(plot, p, x, temperature = 1, name = "x") {
  p.forEach((value, j) => plot.marker(`grip ${j}`, j + 1, value, { label: `p${"₁₂₃₄₅"[j]}`, drag: (_, y) => ({ [name]: scoreFor(x, j, y, temperature) }), step: [0, 0.02], cls: `${colour(j)} up`, words: shown(value, 3) }));
}
