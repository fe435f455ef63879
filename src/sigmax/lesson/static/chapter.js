// What a chapter's script writes with: `export default (page) => { page.text("key"); page.figure("name", {...}); }`.

import { claimCard } from "./claim.js";
import { html } from "./dom.js";
import { Figure } from "./figure.js";
import { formula } from "./formula.js";
import { prediction } from "./prediction.js";
import { bind, fillMarked, lookup } from "./text.js";

export class Page {
  constructor(root, chapter) {
    this.root = root;
    this.chapter = chapter;
    this.figures = {};
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
    this.add(bind(html("h2"), (element) => fillMarked(element, this.words(key))));
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

  predict(name) {
    this.add(prediction(this.chapter, name));
  }

  figure(name, options) {
    const figure = new Figure(this.chapter, name, options);
    this.figures[name] = figure;
    this.add(figure.element);
    return figure;
  }

  claims(...names) {
    for (const name of names) this.add(claimCard(this.chapter, name, (figure, preset) => this.see(figure, preset)));
  }

  see(name, preset) {
    const figure = this.figures[name];
    figure.choose(preset ?? "start");
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    figure.element.scrollIntoView({ block: "center", behavior: calm ? "auto" : "smooth" });
    figure.element.querySelector("input, [tabindex]")?.focus({ preventScroll: true });
  }
}
