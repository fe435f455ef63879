// A claim card: what is said, the verdict, why, the figure that shows it, and the executed check.

import { call, isLive } from "./api.js";
import { html } from "./dom.js";
import { formula } from "./formula.js";
import { shown, word } from "./numbers.js";
import { bind, fillMarked, lookup, marked } from "./text.js";

const MARKS = { T: "✓", "T*": "✓∗", F: "✗", N: "≠", O: "◷" };
const COLOURS = { T: "good", "T*": "partly", F: "bad", N: "bad", O: "muted" };

export function verdictBadge(chapter, verdict) {
  return html("span", { class: `verdict ${COLOURS[verdict]}`, "data-verdict": verdict }, html("span", { "aria-hidden": "true" }, MARKS[verdict]), " ", bind(html("span"), (element) => { element.textContent = lookup(chapter, `verdict.${verdict}`); }));
}

export function claimCard(chapter, name, see) {
  const { verdict, figure, preset } = chapter.claims[name];
  const words = (key) => lookup(chapter, key);
  const lines = html("div", { class: "lines" });
  const state = html("span", { class: "state", role: "status" });
  const button = html("button", { type: "button", class: "quiet", hidden: !isLive(), onclick: run }, bind(html("span"), (element) => { element.textContent = words("run"); }));
  let outcome = "running";
  let found = null;
  const element = html("article", { class: `claim ${COLOURS[verdict]}`, id: name, "data-outcome": outcome },
    html("header", {}, bind(html("span", { class: "kind" }), (span) => { span.textContent = words("claim"); }), verdictBadge(chapter, verdict)),
    bind(html("blockquote"), (quote) => fillMarked(quote, words(`${name}.claim`))),
    bind(html("p", { class: "why" }), (paragraph) => fillMarked(paragraph, words(`${name}.why`))),
    html("div", { class: "check" }, lines,
      html("footer", {}, state, html("button", { type: "button", class: "quiet", onclick: () => see(figure, preset) }, bind(html("span"), (span) => { span.textContent = words("see"); })), button)));
  bind(state, () => tell(outcome));

  function tell(next) {
    outcome = next;
    state.textContent = words(outcome);
    state.className = `state ${outcome}`;
    element.dataset.outcome = outcome;
    if (found) list();
  }

  async function run() {
    tell("running");
    found = await call(`${chapter.name}.${name}`);
    tell(found.holds ? "passed" : "failed");
  }

  // Formulas, and in quotation marks the keys of texts.
  function measured(of) {
    return of.split('"').flatMap((part, i) => (i % 2 ? marked(lookup(chapter, `${name}.${part}`)) : part.trim() ? [formula(part).element] : []));
  }

  function list() {
    lines.replaceChildren(...found.lines.map(({ of, value, relation, bound, holds }) => html("p", { class: holds ? "line" : "line bad", "data-value": word(value) },
      html("span", { class: "measured" }, html("span", {}, ...measured(of)), html("span", { class: "value" }, `= ${shown(value, 4)}`),
        relation === "=" ? "" : html("span", { class: "bound" }, `${relation} ${shown(bound, 4)}`)),
      html("span", { class: "mark", "aria-hidden": "true" }, holds ? "✓" : "✗"))));
  }

  new IntersectionObserver((entries, observer) => {
    if (entries.some((entry) => entry.isIntersecting)) {
      observer.disconnect();
      run();
    }
  }, { rootMargin: "300px" }).observe(element);
  return element;
}
