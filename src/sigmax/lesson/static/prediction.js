// Predict, then reveal: the learner moves a marker on a line; only then does the answer appear. The guess is remembered.

import { fitted } from "./controls.js";
import { html } from "./dom.js";
import { remember, remembered } from "./memory.js";
import { shown, word } from "./numbers.js";
import { Plot } from "./plot.js";
import { bind, fillMarked, lookup, plain, said } from "./text.js";

const HEIGHT = 92;

export function prediction(chapter, name) {
  const definition = { kind: "number", ...chapter.predictions[name] };
  const { low, high } = definition;
  const key = `${chapter.name}.${name}`;
  const before = remembered("guesses", key);
  const state = { guess: before ?? low };
  let moved = before !== undefined;
  let answer = moved ? definition.answer() : null;
  const words = (text) => lookup(chapter, `${name}.${text}`, text);
  const guessed = html("output", { class: "value guess" });
  const told = html("p", { class: "told", "aria-live": "polite" });
  const plot = new Plot("", {
    height: HEIGHT, controls: { guess: definition }, state: () => state, redraw: draw,
    set({ guess }) {
      if (answer !== null) return;
      state.guess = fitted(guess, definition);
      moved = true;
      draw();
    },
  });
  const reveal = html("button", { type: "button", class: "reveal", onclick: show }, said("span", "reveal"));
  const element = html("section", { class: "prediction", id: name },
    said("p", `${name}.question`, { class: "question" }, chapter),
    plot.element,
    html("div", { class: "row" }, bind(html("span", { class: "name" }), (span) => { span.textContent = words("guess"); }), guessed, reveal),
    told);
  bind(element, () => {
    const question = plain(words("question"));
    plot.setLabel(question);
    element.setAttribute("aria-label", question);
    draw();
    if (answer !== null) tell();
  });
  new ResizeObserver(draw).observe(element);

  function draw() {
    if (!element.isConnected) return;
    plot.begin();
    plot.tall = HEIGHT;
    plot.element.setAttribute("height", HEIGHT);
    plot.frame({ x: [low, high], y: [0, 1], yticks: [], grid: false });
    if (answer !== null) {
      const place = Math.min(Math.max(answer, low), high);
      plot.line("gap", state.guess, 0.32, place, 0.32, "gap");
      plot.line("stem", place, 0, place, 0.62, "good thick");
      plot.text("answer", place, 0.62, shown(answer), { cls: "good strong", anchor: place > low + 0.85 * (high - low) ? "end" : place < low + 0.15 * (high - low) ? "start" : "middle", dy: -8 });
    } else if (!moved) plot.text("drag", low, 0.5, words("drag_me"), { cls: "muted", dx: 16 });
    plot.marker("guess", state.guess, 0, { label: words("guess"), drag: { x: "guess" }, cls: `guess ${moved ? "" : "waiting"}` });
    plot.end();
    guessed.value = moved ? shown(state.guess, 4) : "?";
    reveal.disabled = !moved || answer !== null;
  }

  function show() {
    answer = definition.answer();
    remember("guesses", key, state.guess);
    tell();
    draw();
  }

  function tell() {
    element.classList.add("revealed");
    const numbers = html("span", { class: "numbers" }, `${words("answer")} `, html("b", { "data-readout": "answer", "data-value": word(answer) }, shown(answer)), ` · ${words("apart")} ${shown(Math.abs(answer - state.guess), 3)}`);
    const reason = html("span", {});
    fillMarked(reason, words("reason"));
    told.replaceChildren(numbers, reason);
  }

  return element;
}
