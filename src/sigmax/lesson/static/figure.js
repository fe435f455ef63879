// One figure: controls, plot, live formula, read-outs, presets and Python, all of one situation.

import { control, fitted } from "./controls.js";
import { html } from "./dom.js";
import { formula } from "./formula.js";
import { same, startOf } from "./model.js";
import { shown, word } from "./numbers.js";
import { Plot } from "./plot.js";
import { copyButton } from "./share.js";
import { embedding, hereAt, parameter, setParameter } from "./state.js";
import { bind, fillMarked, lookup, plain } from "./text.js";

// Values in the address: lists with tildes, numbers as Python reads them.
const written = (value) => (Array.isArray(value) ? value.map(word).join("~") : typeof value === "number" ? word(value) : String(value));

function readBack(text, { kind, start, options, shortest, longest }) {
  if (text === null) return start;
  if (kind === "switch") return text === "true";
  if (kind === "choice") return options.includes(text) ? text : start;
  const read = text === "" ? [] : text.split("~").map(Number);
  if (read.some(Number.isNaN)) return start;
  if (kind === "numbers") return read.length < shortest || read.length > longest ? start : read;
  return read[0] ?? start;
}

// A text that is set again costs a layout even if it is the same.
function renew(element, text) {
  if (element.said !== text) element.textContent = element.said = text;
}

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export class Figure {
  // `level` is that of its heading. The definition is described in model.js.
  constructor(chapter, name, level) {
    const definition = chapter.figures[name];
    Object.assign(this, { chapter, name, level, definition });
    this.controls = definition.controls;
    this.presets = definition.presets ?? {};
    this.panels = definition.panels ?? [definition];
    this.words = (...keys) => lookup(chapter, ...keys.flatMap((key) => [`${name}.${key}`, key]));
    this.state = Object.fromEntries(Object.entries(this.controls).map(([each, description]) => [each, fitted(readBack(parameter(`${name}.${each}`), description), description)]));
    if (definition.sound && !definition.sound(this.state)) this.state = startOf(definition);
    this.result = null;
    this.build();
    this.showControls();
  }

  // Computes and draws for the first time; until then a figure is its words and controls.
  begin() {
    if (this.result) return;
    this.result = this.definition.compute(this.state);
    this.draw();
  }

  build() {
    const change = (changes, event) => this.set(changes, event);
    const { words, definition } = this;
    this.handles = Object.fromEntries(Object.entries(this.controls).map(([name, description]) => [name, control(name, description, words, change)]));
    this.plots = this.panels.map(({ height, square }) => new Plot("", { height, square, crowded: this.panels.filter(({ below }) => !below).length > 1, set: change, controls: this.controls, state: () => this.state, redraw: () => this.draw() }));
    this.formulaBox = html("div", { class: "live-formula" });
    this.spoken = html("p", { class: "unseen", "aria-live": "polite" });
    this.code = html("code", {});
    this.values = (definition.readouts ?? []).map((readout) => {
      const [name, cls = `v-${name}`] = readout.split(" ");
      const value = html("span", { class: "value", "data-readout": name });
      const label = bind(html("span", { class: "name" }), (element) => fillMarked(element, words(name)));
      return { name, value, element: html("div", { class: `readout ${cls}` }, label, value) };
    });
    const labelled = (key, attributes, ...children) => html("button", { type: "button", ...attributes }, ...children, bind(html("span"), (element) => fillMarked(element, words(key))));
    this.buttons = Object.keys(this.presets).map((name) => labelled(`preset.${name}`, { "data-preset": name, onclick: (event) => this.choose(name, event) }));
    for (const button of this.buttons) bind(button, () => button.setAttribute("aria-label", plain(words(`preset.${button.dataset.preset}`))));
    const reset = labelled("reset", { class: "reset", onclick: (event) => this.choose("start", event) });
    const caption = bind(html("p", { class: "caption" }), (element) => fillMarked(element, words("caption")));
    const presets = html("div", { class: "presets" }, bind(html("span"), (element) => { element.textContent = words("presets"); }), ...(definition.play ? [this.playButton(definition.play)] : []), ...this.buttons, reset);
    this.side = html("div", { class: "side" }, html("div", { class: "readouts" }, ...this.values.map(({ element }) => element)), presets, ...Object.values(this.handles).map(({ element }) => element));
    const placed = (wanted) => this.plots.filter((_, i) => Boolean(this.panels[i].below) === wanted).map(({ element }) => element);
    this.element = html("figure", { class: "figure", id: this.name },
      bind(html(`h${this.level}`, { class: "title" }), (element) => fillMarked(element, words("title"))),
      html("div", { class: "stage" }, html("div", { class: "plots" }, this.formulaBox, html("div", { class: "panels" }, ...placed(false))), this.side, ...(placed(true).length ? [html("div", { class: "panels below" }, ...placed(true))] : []), caption),
      this.spoken,
      html("div", { class: "tools" },
        html("details", { class: "python" }, bind(html("summary"), (element) => { element.textContent = words("python"); }), html("pre", { tabindex: 0 }, this.code), copyButton("copy_python", () => this.code.textContent)),
        copyButton("copy_link", () => hereAt(this.name)),
        copyButton("copy_embedding", () => embedding(this.chapter.name, this.name))));
    bind(this.element, () => {
      this.plots.forEach((plot) => plot.setLabel(plain(words("alt"))));
      this.element.setAttribute("aria-label", plain(words("title")));
      this.draw();
    });
    definition.ready?.(this);
    let width = 0;
    new ResizeObserver(([{ contentRect }]) => {
      if (contentRect.width === width) return;
      width = contentRect.width;
      this.draw();
    }).observe(this.element);
  }

  // Changes from a hand: fit them, show them, compute, redraw.
  set(changes, event) {
    let moved = false;
    for (const [name, value] of Object.entries(changes)) {
      const fit = fitted(value, this.controls[name]);
      if (same(fit, this.state[name])) continue;
      this.state = { ...this.state, [name]: fit };
      moved = true;
      setParameter(`${this.name}.${name}`, same(fit, this.controls[name].start) ? null : written(fit));
    }
    this.showControls(Object.keys(changes));
    if (!moved) return;
    this.result = this.definition.compute(this.state);
    this.draw();
    if (event?.timeStamp) performance.measure("interaction", { start: event.timeStamp, end: performance.now() });
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => this.speak(), 400);
  }

  choose(preset, event) {
    this.set({ ...startOf(this.definition), ...this.presets[preset] }, event);
  }

  showControls(names = Object.keys(this.controls)) {
    for (const name of names) this.handles[name].show(this.state[name]);
  }

  draw() {
    if (!this.element.isConnected || !this.result) return;
    const { state, result } = this;
    this.drawFormula();
    // All are measured before any is drawn: to measure after drawing costs a layout each time.
    for (const plot of this.plots) plot.begin();
    this.plots.forEach((plot, i) => {
      this.panels[i].draw(plot, state, result, this.words, this);
      plot.end();
    });
    for (const { name, value } of this.values) {
      renew(value, shown(result[name]));
      value.dataset.value = typeof result[name] === "number" ? word(result[name]) : result[name];
    }
    renew(this.code, this.definition.python(state, result));
    for (const button of this.buttons) button.ariaPressed = String(Object.entries(this.presets[button.dataset.preset]).every(([name, value]) => same(value, state[name])));
  }

  speak() {
    this.spoken.textContent = this.values.map(({ element }) => [...element.children].map((child) => child.textContent).join(" ")).join("; ");
  }

  drawFormula() {
    const live = this.definition.formula;
    if (!live) return;
    const source = typeof live === "function" ? live(this.state, this.result) : live;
    if (source !== this.source) {
      this.source = source;
      this.made = formula(source, { block: true });
      this.formulaBox.replaceChildren(this.made.element);
    }
    this.made.update({ ...this.state, ...this.result });
  }

  // ▶ moves a control from where it is to its end, or from the start again; a hand on the control stops it. `pace` says
  // how far at a time, in steps of the control, at each place.
  playButton({ control: name, pace = () => 1 }) {
    const { low, high, step } = this.controls[name];
    let at = null; // where it should be, null at rest
    const button = html("button", { type: "button", class: "play", onclick: () => (at === null ? start() : stop()) });
    const show = () => {
      button.textContent = `${at === null ? "▶" : "❚❚"} ${this.words(at === null ? "play" : "pause")}`;
    };
    const stop = () => {
      at = null;
      show();
    };
    const start = () => {
      at = this.state[name] >= high ? low : this.state[name];
      this.set({ [name]: calm() ? high : at });
      if (calm()) return stop();
      show();
      return requestAnimationFrame(next);
    };
    const next = () => {
      if (at === null || !this.element.isConnected) return;
      if (this.state[name] !== at || at >= high) return stop();
      at = fitted(Math.min(high, at + step * pace(at)), this.controls[name]);
      this.set({ [name]: at });
      requestAnimationFrame(next);
    };
    return bind(button, show);
  }
}
