// Sliders, choices and switches. Each has an element and `show(value)`.

import { html } from "./dom.js";
import { shown } from "./numbers.js";
import { bind, fillMarked, plain } from "./text.js";

const KINDS = { number: slider, numbers: sliders, choice, switch: toggle };

export const control = (name, description, words, change) => KINDS[description.kind](name, description, words, change);

// The value that a control takes when it is asked for `value`: inside its limits, on its steps.
export function fitted(value, description) {
  if (description.kind === "number") return snapped(value, description);
  if (description.kind === "numbers") return value.map((each) => snapped(each, description));
  return value;
}

function snapped(value, { low, high, step }) {
  const inside = Math.min(Math.max(value, low), high);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) + 1;
  return Math.min(high, Number((low + Math.round((inside - low) / step) * step).toFixed(digits)));
}

// A label that is a formula alone has no name for a screen reader: the input says it.
function input(type, name, words, keys, attributes) {
  const element = html("input", { type, "data-control": name, ...attributes });
  return bind(element, () => element.setAttribute("aria-label", plain(words(...keys))));
}

function range({ low, high, step }, name, words, keys, oninput) {
  return input("range", name, words, keys, { min: low, max: high, step, oninput: (event) => oninput(Number(event.target.value), event) });
}

function slider(name, description, words, change) {
  const handle = range(description, name, words, [name], (value, event) => change({ [name]: value }, event));
  const output = html("output", { class: `v-${name}` });
  const label = bind(html("span", { class: "name" }), (element) => fillMarked(element, words(name)));
  const element = html("label", { class: `slider v-${name}` }, label, handle, output);
  return { element, show: (value) => { handle.value = value; handle.setAttribute("aria-valuetext", shown(value)); output.value = shown(value, 5); } };
}

function sliders(name, description, words, change) {
  const element = html("div", { class: "sliders" });
  let parts = [];
  let current = [];
  function build(count) {
    parts = Array.from({ length: count }, (_, i) => {
      const handle = range(description, `${name}.${i}`, words, [`${name}.${i}`, name], (value, event) => change({ [name]: current.with(i, value) }, event));
      const label = bind(html("span", { class: "name" }), (span) => fillMarked(span, words(`${name}.${i}`, name)));
      const output = html("output");
      element.append(html("label", { class: `slider v-${name}_${i + 1}` }, label, handle, output));
      return { handle, output };
    });
  }
  function show(values) {
    current = values;
    if (!description.sliders) return;
    if (parts.length !== values.length) {
      element.replaceChildren();
      build(values.length);
    }
    values.forEach((value, i) => {
      parts[i].handle.value = value;
      parts[i].handle.setAttribute("aria-valuetext", shown(value));
      parts[i].output.value = shown(value, 5);
    });
  }
  return { element, show };
}

function choice(name, { options }, words, change) {
  const group = `${name}-${Math.random().toString(36).slice(2)}`;
  const buttons = options.map((option) => input("radio", name, words, [`${name}.${option}`], { name: group, value: option, onchange: (event) => change({ [name]: option }, event) }));
  const labels = options.map((option, i) => html("label", {}, buttons[i], bind(html("span"), (element) => fillMarked(element, words(`${name}.${option}`)))));
  const legend = bind(html("legend", { class: "name" }), (element) => fillMarked(element, words(name)));
  const element = html("fieldset", { class: "choice" }, legend, html("div", { class: "options" }, ...labels));
  return { element, show: (value) => buttons.forEach((button) => { button.checked = button.value === value; }) };
}

function toggle(name, _, words, change) {
  const handle = input("checkbox", name, words, [name], { role: "switch", onchange: (event) => change({ [name]: event.target.checked }, event) });
  const element = html("label", { class: "toggle" }, handle, bind(html("span"), (span) => fillMarked(span, words(name))));
  return { element, show: (value) => { handle.checked = value; } };
}
