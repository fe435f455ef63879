// What a chapter's `page` function writes with: `page.text("key"); page.figure("name"); …`.

import { algebra } from "./algebra.js";
import { claimCard } from "./claim.js";
import { html } from "./dom.js";
import { exercise } from "./exercise.js";
import { Figure } from "./figure.js";
import { formula } from "./formula.js";
import { prediction } from "./prediction.js";
import { bind, fillMarked, lookup, said } from "./text.js";

export class Page {
  constructor(root, chapter) {
    this.root = root;
    this.chapter = chapter;
    this.figures = {};
    this.level = 2; // of the next heading of a figure
  }

  words(...keys) {
    return lookup(this.chapter, ...keys);
  }

  // Any element: for what the methods below do not have, such as a table.
  add(element) {
    this.root.append(element);
    return element;
  }

  heading(key) {
    this.add(said("h2", key, { id: key }, this.chapter));
    this.level = 3;
  }

  // Paragraphs: an empty line in the text starts the next.
  text(key) {
    this.add(bind(html("div", { class: "prose" }), (element) => element.replaceChildren(...this.words(key).split(/\n\s*\n/u).map((paragraph) => {
      const made = html("p");
      fillMarked(made, paragraph);
      return made;
    }))));
  }

  formula(source) {
    this.add(html("div", { class: "formula" }, formula(source, { block: true }).element));
  }

  derivation(name) {
    this.add(algebra(this.chapter, name, this.level));
  }

  predict(name) {
    this.add(prediction(this.chapter, name));
  }

  figure(name) {
    const figure = new Figure(this.chapter, name, this.level);
    this.figures[name] = figure;
    this.add(figure.element);
    return figure;
  }

  // The first figure at once, the others when the hand is free.
  async begin() {
    for (const figure of Object.values(this.figures)) {
      figure.begin();
      performance.mark("figure"); // benchmarks/lesson.py reads the first
      await new Promise((resume) => setTimeout(resume));
    }
  }

  claims(...names) {
    for (const name of names) this.add(claimCard(this.chapter, name, (figure, preset) => this.see(figure, preset)));
  }

  // The side track: what floats make of the story. `key` is its title; what `write` adds stays folded until it is opened.
  machine(key, write) {
    const body = html("div", { class: "body" });
    const element = html("details", { class: "machine", id: key }, html("summary", {}, said("span", "machine", { class: "kind" }), said("span", key, {}, this.chapter)), body);
    this.add(element);
    const [root, level] = [this.root, this.level];
    Object.assign(this, { root: body, level: 3 });
    write();
    Object.assign(this, { root, level });
  }

  // The end of a chapter: three sentences and the exercises.
  end() {
    this.heading("in_short");
    this.add(html("ol", { class: "in-short" }, ...[1, 2, 3].map((i) => said("li", `short.${i}`, {}, this.chapter))));
    this.heading("exercises");
    for (const name of Object.keys(this.chapter.exercises)) this.add(exercise(this.chapter, name));
  }

  // Opens what hides an element, and goes there.
  goTo(element, block = "center") {
    for (let at = element.parentElement; at; at = at.parentElement) if (at.localName === "details") at.open = true;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    element.scrollIntoView({ block, behavior: calm ? "auto" : "smooth" });
  }

  see(name, preset) {
    const figure = this.figures[name];
    figure.choose(preset ?? "start");
    this.goTo(figure.element);
    figure.element.querySelector("input, [tabindex]")?.focus({ preventScroll: true });
  }
}
