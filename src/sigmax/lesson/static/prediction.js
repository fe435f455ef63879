// Predict, then reveal: the learner moves a marker on a line; only then does the answer appear.

import { call } from "./api.js";
import { fitted } from "./controls.js";
import { html } from "./dom.js";
import { shown, word } from "./numbers.js";
import { Plot } from "./plot.js";
import { bind, fillMarked, lookup } from "./text.js";

export function prediction(chapter, name) {
  const described = { kind: "number", ...chapter.predictions[name] };
  const { low, high } = described;
  const state = { guess: fitted((low + high) / 2, described) };
  let answer = null;
  const words = (key) => lookup(chapter, `${name}.${key}`, key);
  const guessed = html("output", { class: "value guess" });
  const told = html("p", { class: "told", "aria-live": "polite" });
  const plot = new Plot("", {
    height: 92, controls: { guess: described }, state: () => state, redraw: draw,
    set({ guess }) {
      if (answer !== null) return;
      state.guess = fitted(guess, described);
      draw();
    },
  });
  const reveal = html("button", { type: "button", class: "reveal", onclick: show }, bind(html("span"), (element) => { element.textContent = words("reveal"); }));
  const element = html("section", { class: "prediction", id: name },
    bind(html("p", { class: "question" }), (paragraph) => fillMarked(paragraph, words("question"))),
    plot.element,
    html("div", { class: "row" }, bind(html("span", { class: "name" }), (span) => { span.textContent = words("guess"); }), guessed, reveal),
    told);
  bind(element, () => {
    plot.setLabel(lookup(chapter, `${name}.question`).replace(/[$*`]/gu, ""));
    if (element.isConnected) draw();
    if (answer !== null) tell();
  });
  new ResizeObserver(draw).observe(element);

  function draw() {
    if (!element.isConnected) return;
    plot.begin();
    plot.tall = 92;
    plot.element.setAttribute("height", 92);
    plot.frame({ x: [low, high], y: [0, 1], yticks: [], grid: false });
    if (answer !== null) {
      const place = Math.min(Math.max(answer, low), high);
      plot.line("gap", state.guess, 0.32, place, 0.32, "gap");
      plot.line("stem", place, 0, place, 0.62, "good thick");
      plot.text("answer", place, 0.62, shown(answer), { cls: "good strong", anchor: place > low + 0.85 * (high - low) ? "end" : place < low + 0.15 * (high - low) ? "start" : "middle", dy: -8 });
    }
    plot.marker("guess", state.guess, 0, { label: words("guess"), drag: { x: "guess" }, cls: "guess" });
    plot.end();
    guessed.value = shown(state.guess, 4);
  }

  async function show() {
    ({ answer } = await call(`${chapter.name}.${name}`));
    element.classList.add("revealed");
    reveal.disabled = true;
    tell();
    draw();
  }

  function tell() {
    const numbers = html("span", { class: "numbers" }, `${words("answer")} `, html("b", { "data-readout": "answer", "data-value": word(answer) }, shown(answer)), ` · ${words("apart")} ${shown(Math.abs(answer - state.guess), 3)}`);
    const paragraph = html("span", {});
    fillMarked(paragraph, words("reason"));
    told.replaceChildren(numbers, paragraph);
  }

  return element;
}
