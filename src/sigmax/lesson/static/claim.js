// A claim card: what is said; the learner votes; then the verdict, why, the figure that shows it and the executed check.

import { html } from "./dom.js";
import { formula } from "./formula.js";
import { remember, remembered, watch } from "./memory.js";
import { VERDICTS, VOTES } from "./model.js";
import { shown, shownApart, word } from "./numbers.js";
import { copyButton } from "./share.js";
import { hereAt } from "./state.js";
import { bind, fillMarked, lookup, marked, said } from "./text.js";

const MARKS = { T: "✓", "T*": "✓∗", F: "✗", N: "≠", O: "◷" };
const COLOURS = { T: "good", "T*": "partly", F: "bad", N: "bad", O: "muted" };

export const verdictBadge = (verdict) => html("span", { class: `verdict ${COLOURS[verdict]}`, "data-verdict": verdict }, html("span", { "aria-hidden": "true" }, MARKS[verdict]), " ", said("span", `verdict.${verdict}`));

export function claimCard(chapter, name, see) {
  const { verdict, figure, preset, check } = chapter.claims[name];
  const key = `${chapter.name}.${name}`;
  const words = (text) => lookup(chapter, text);
  const lines = html("div", { class: "lines" });
  const state = html("span", { class: "state" });
  const judged = html("span", { class: "judged", role: "status" });
  const buttons = VOTES.map((vote) => html("button", { type: "button", "data-vote": vote, onclick: () => cast(vote) }, said("span", `vote.${vote}`)));
  const ballot = html("div", { class: "ballot", role: "group" }, said("span", "vote", { class: "name" }), ...buttons);
  bind(ballot, () => ballot.setAttribute("aria-label", words("vote")));
  const opened = html("div", { class: "opened" },
    html("p", { class: "judgement" }, verdictBadge(verdict), judged),
    said("p", `${name}.why`, { class: "why" }, chapter),
    html("div", { class: "check" }, lines, html("footer", {}, state, html("button", { type: "button", class: "quiet see", onclick: () => see(figure, preset) }, said("span", "see")))));
  const element = html("article", { class: "claim", id: name, "data-verdict-of": verdict },
    html("header", {}, said("span", "claim", { class: "kind" }), copyButton("copy_link", () => hereAt(name, figure))),
    html("blockquote", {}, said("p", `${name}.claim`, {}, chapter)), ballot, opened);
  let found = null;
  bind(element, () => found && show());
  show();
  watch(show);
  addEventListener("beforeprint", run);

  function cast(vote) {
    remember("votes", key, { vote, right: VERDICTS[verdict].includes(vote) });
  }

  function show() {
    const cast = remembered("votes", key);
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.vote === cast?.vote));
    opened.classList.toggle("closed", !cast);
    element.dataset.voted = cast ? String(cast.right) : "";
    element.className = `claim ${cast ? COLOURS[verdict] : ""}`;
    judged.textContent = cast ? words(cast.right ? "judged.right" : "judged.wrong") : "";
    if (cast) run();
  }

  function run() {
    found ??= check();
    const holds = found.every((line) => line.holds);
    element.dataset.outcome = holds ? "passed" : "failed";
    state.textContent = words(holds ? "passed" : "failed");
    state.className = `state ${holds ? "" : "failed"}`;
    lines.replaceChildren(...found.map(line));
  }

  function line({ of, value, relation, bound, holds }) {
    const [number, limit] = relation === "=" ? [shown(value, 4), ""] : shownApart(value, bound);
    return html("p", { class: holds ? "line" : "line bad", "data-value": word(value) },
      html("span", { class: "measured" }, html("span", {}, ...measured(of)), html("span", { class: "value" }, `= ${number}`), limit && html("span", { class: "bound" }, `${relation} ${limit}`)),
      html("span", { class: "mark", "aria-hidden": "true" }, holds ? "✓" : "✗"));
  }

  // Formulas, and in quotation marks the keys of texts.
  function measured(of) {
    return of.split('"').flatMap((part, i) => (i % 2 ? marked(words(`${name}.${part}`)) : part.trim() ? [formula(part).element] : []));
  }

  return element;
}
