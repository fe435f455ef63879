// A derivation whose terms move: each step is a formula, and what carries the same @key goes from its place to the next.

import { html } from "./dom.js";
import { formula } from "./formula.js";
import { bind, fillMarked, lookup, plain, said } from "./text.js";

const MILLISECONDS = 700;
const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// `steps`: formulas; texts `<name>.title` and `<name>.0`, `<name>.1`, … say what each step does.
export function algebra(chapter, name, level) {
  const steps = chapter.derivations[name];
  let at = 0;
  const stage = html("div", { class: "moving" });
  const told = html("p", { class: "told", "aria-live": "polite" });
  const dots = steps.map((_, i) => html("button", { type: "button", class: "dot", onclick: () => go(i) }));
  const back = html("button", { type: "button", class: "back", onclick: () => go(at - 1) }, said("span", "step.back"));
  const next = html("button", { type: "button", class: "forward", onclick: () => go(at + 1) }, said("span", "step.next"));
  const all = html("ol", { class: "all-steps" }, ...steps.map((source, i) => html("li", {}, formula(source, { block: true }).element, said("span", `${name}.${i}`, {}, chapter))));
  const element = html("figure", { class: "figure algebra", id: name },
    said(`h${level}`, `${name}.title`, { class: "title" }, chapter),
    stage, told, html("div", { class: "presets steps" }, back, ...dots, next), all);
  bind(element, () => {
    dots.forEach((dot, i) => dot.setAttribute("aria-label", `${i + 1} / ${steps.length}`));
    element.setAttribute("aria-label", plain(lookup(chapter, `${name}.title`)));
    tell();
  });
  stage.append(formula(steps[0], { block: true }).element);

  function tell() {
    fillMarked(told, lookup(chapter, `${name}.${at}`));
    dots.forEach((dot, i) => dot.setAttribute("aria-current", i === at ? "step" : "false"));
    back.disabled = at === 0;
    next.disabled = at === steps.length - 1;
    element.dataset.step = at;
  }

  function go(to) {
    if (to === at || to < 0 || to >= steps.length) return;
    const before = placesOf(stage);
    at = to;
    stage.replaceChildren(formula(steps[at], { block: true }).element);
    tell();
    if (!calm()) move(before);
  }

  // Where everything with a key is; of several with the same key, in their order.
  function placesOf(box) {
    const places = new Map();
    for (const each of box.querySelectorAll("[data-move]")) {
      const key = each.dataset.move;
      const list = places.get(key) ?? [];
      places.set(key, [...list, { element: each, box: each.getBoundingClientRect() }]);
    }
    return places;
  }

  function move(before) {
    for (const [key, list] of placesOf(stage)) {
      list.forEach(({ element: each, box }, i) => {
        const from = before.get(key)?.[Math.min(i, before.get(key).length - 1)];
        const frames = from
          ? [{ transform: `translate(${from.box.left - box.left}px, ${from.box.top - box.top}px)` }, { transform: "none" }]
          : [{ opacity: 0 }, { opacity: 0, offset: 0.5 }, { opacity: 1 }];
        each.animate(frames, { duration: MILLISECONDS, easing: "ease-in-out" });
      });
    }
  }

  return element;
}
