// One figure: controls, plot, live formula, read-outs, presets and Python, all of one situation.

import { call, isLive } from "./api.js";
import { control, fitted } from "./controls.js";
import { html } from "./dom.js";
import { formula } from "./formula.js";
import { shown, word } from "./numbers.js";
import { Plot } from "./plot.js";
import { parameter, setParameter } from "./state.js";
import { bind, fillMarked, lookup } from "./text.js";

// Values in the address: lists with semicolons, numbers as Python reads them.
const written = (value) => (Array.isArray(value) ? value.map(word).join("~") : typeof value === "number" ? word(value) : String(value));

function readBack(text, { kind, start, options }) {
  if (text === null) return start;
  if (kind === "switch") return text === "true";
  if (kind === "choice") return options.includes(text) ? text : start;
  const numbers = text === "" ? [] : text.split("~").map(Number);
  if (numbers.some(Number.isNaN)) return start;
  return kind === "numbers" ? numbers : numbers[0] ?? start;
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

export class Figure {
  // `panels`: [{height, draw(plot, state, result, words)}], side by side where there is room.
  // `formula`: a live formula, or (state, result) => one. `readouts`: names of results to show as numbers,
  // "name class" where the colour is not that of v-<name>.
  constructor(chapter, name, { draw, height, panels = [{ draw, height }], formula: live, readouts = [] }) {
    Object.assign(this, { chapter, name, panels, live, readouts });
    const { controls, presets } = chapter.figures[name];
    Object.assign(this, { controls, presets });
    this.words = (...keys) => lookup(chapter, ...keys.flatMap((key) => [`${name}.${key}`, key]));
    this.state = Object.fromEntries(Object.entries(controls).map(([each, description]) => [each, fitted(readBack(parameter(`${name}.${each}`), description), description)]));
    this.situation = "start";
    this.result = null;
    this.busy = false;
    this.waiting = null;
    this.build();
    this.showControls();
    this.ready = this.compute();
  }

  build() {
    const change = (changes, event) => this.set(changes, event);
    const words = this.words;
    this.handles = Object.fromEntries(Object.entries(this.controls).map(([name, description]) => [name, control(name, description, words, change)]));
    this.plots = this.panels.map(({ height }) => new Plot("", { height, set: change, controls: this.controls, state: () => this.state, redraw: () => this.draw() }));
    this.formulaBox = html("div", { class: "live-formula" });
    this.spoken = html("p", { class: "unseen", "aria-live": "polite" });
    this.problem = html("p", { class: "problem", role: "alert" });
    this.code = html("code", {});
    this.values = this.readouts.map((readout) => {
      const [name, cls = `v-${name}`] = readout.split(" ");
      const value = html("span", { class: "value", "data-readout": name });
      const label = bind(html("span", { class: "name" }), (element) => fillMarked(element, words(name)));
      return { name, value, element: html("div", { class: `readout ${cls}` }, label, value) };
    });
    this.buttons = Object.keys(this.presets).map((name) => html("button", { type: "button", "data-preset": name, onclick: (event) => this.choose(name, event) }, bind(html("span"), (element) => fillMarked(element, words(`preset.${name}`)))));
    const reset = html("button", { type: "button", class: "reset", onclick: (event) => this.choose("start", event) }, bind(html("span"), (element) => { element.textContent = words("reset"); }));
    const caption = bind(html("figcaption"), (element) => fillMarked(element, words("caption")));
    const side = html("div", { class: "side" }, ...Object.values(this.handles).map(({ element }) => element), html("div", { class: "readouts" }, ...this.values.map(({ element }) => element)));
    this.element = html("figure", { class: "figure", id: this.name, "aria-busy": "true" },
      bind(html("h3"), (element) => fillMarked(element, words("title"))),
      this.formulaBox,
      html("div", { class: "stage" }, html("div", { class: "plots" }, ...this.plots.map(({ element }) => element)), side),
      this.problem, this.spoken,
      html("div", { class: "presets" }, bind(html("span"), (element) => { element.textContent = words("presets"); }), ...this.buttons, reset),
      caption,
      html("details", { class: "python" }, bind(html("summary"), (element) => { element.textContent = words("python"); }), html("pre", {}, this.code)));
    bind(this.element, () => {
      this.plots.forEach((plot) => plot.setLabel(words("alt")));
      if (!this.result) return;
      this.draw();
      this.speak();
    });
    if (!isLive()) caption.after(bind(html("p", { class: "static-note" }), (element) => fillMarked(element, words("needs-library"))));
    new ResizeObserver(() => this.result && this.draw()).observe(this.element);
  }

  // Changes from a hand: fit them, show them at once, compute, redraw.
  set(changes, event) {
    if (!isLive()) return;
    let moved = false;
    for (const [name, value] of Object.entries(changes)) {
      const fit = fitted(value, this.controls[name]);
      if (same(fit, this.state[name])) continue;
      this.state = { ...this.state, [name]: fit };
      moved = true;
      setParameter(`${this.name}.${name}`, same(fit, this.controls[name].start) ? null : written(fit));
    }
    this.showControls();
    if (moved) this.compute(event?.timeStamp);
  }

  choose(situation, event) {
    this.situation = situation;
    const start = Object.fromEntries(Object.entries(this.controls).map(([name, { start: value }]) => [name, value]));
    const wanted = { ...start, ...this.presets[situation] };
    if (isLive()) this.set(wanted, event);
    else {
      this.state = wanted;
      this.showControls();
      this.compute();
    }
  }

  showControls() {
    for (const [name, { show }] of Object.entries(this.handles)) show(this.state[name]);
  }

  // One call at a time; while it runs only the latest wish is kept.
  async compute(since) {
    if (this.busy) {
      this.waiting = { since };
      return;
    }
    this.busy = true;
    this.element.setAttribute("aria-busy", "true");
    try {
      this.result = await call(`${this.chapter.name}.${this.name}`, this.state, this.situation);
      this.problem.textContent = "";
    } catch (error) {
      this.problem.textContent = error instanceof TypeError ? this.words("unreachable") : error.message;
    }
    this.busy = false;
    if (this.result) this.draw();
    this.element.setAttribute("aria-busy", String(this.waiting !== null));
    if (since !== undefined) requestAnimationFrame(() => performance.measure("interaction", { start: since, end: performance.now() }));
    if (this.waiting) {
      const next = this.waiting;
      this.waiting = null;
      await this.compute(next.since);
    }
  }

  draw() {
    if (!this.element.isConnected) return;
    const { state, result } = this;
    // All are measured before any is drawn: to measure after drawing costs a layout each time.
    for (const plot of this.plots) plot.begin();
    this.plots.forEach((plot, i) => {
      this.panels[i].draw(plot, state, result, this.words);
      plot.end();
    });
    this.drawFormula();
    for (const { name, value } of this.values) {
      value.textContent = shown(result[name]);
      value.dataset.value = typeof result[name] === "number" ? word(result[name]) : result[name];
    }
    this.code.textContent = result.python;
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(Object.entries(this.presets[button.dataset.preset]).every(([name, value]) => same(value, state[name]))));
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => this.speak(), 400);
  }

  speak() {
    this.spoken.textContent = this.values.map(({ element }) => [...element.children].map((child) => child.textContent).join(" ")).join("; ");
  }

  drawFormula() {
    if (!this.live) return;
    const source = typeof this.live === "function" ? this.live(this.state, this.result) : this.live;
    if (source !== this.source) {
      this.source = source;
      this.made = formula(source, { block: true });
      this.formulaBox.replaceChildren(this.made.element);
    }
    this.made.update({ ...this.state, ...this.result });
  }
}
