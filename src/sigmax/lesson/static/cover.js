// The cover: the trained plane, alive; the map of the road with what was judged; and what the learner had believed.

import { chapterTexts } from "./contents.js";
import { verdictBadge } from "./claim.js";
import { html } from "./dom.js";
import { all, startAgain, watch } from "./memory.js";
import { ROAD } from "./road.js";
import { counted, TOTAL } from "./score.js";
import { address } from "./state.js";
import { bind, fillMarked, lookup, said } from "./text.js";

const words = (key) => lookup(null, key);

function stop({ name, claims }, i) {
  const marks = html("span", { class: "marks" });
  const show = () => {
    const { judged, right } = counted(name);
    marks.replaceChildren(...Array.from({ length: claims }, (_, k) => html("i", { class: k < right ? "good" : k < judged ? "bad" : "faint" })));
    marks.setAttribute("aria-label", words("judged_of").replace("{right}", right).replace("{judged}", judged).replace("{all}", claims));
    marks.setAttribute("role", "img");
  };
  watch(show);
  bind(marks, show);
  const anchor = html("a", {}, html("span", { class: "number", "aria-hidden": "true" }, String(i + 1)),
    html("span", {}, said("span", `${name}.title`, { class: "title" }), said("span", `${name}.summary`, { class: "summary" }), marks));
  return html("li", {}, bind(anchor, () => { anchor.href = address(name); }));
}

// The sayings that were judged wrongly, each with its verdict and the way to it.
function believed() {
  const list = html("ul", { class: "believed" });
  const total = html("p", { class: "score-line" });
  const again = html("button", { type: "button", class: "quiet", onclick: () => confirm(words("start_again_sure")) && startAgain() }, said("span", "start_again"));
  const element = html("section", { class: "judged-so-far" }, said("h2", "judged_so_far"), total, list, again);
  async function show() {
    const { judged, right } = counted();
    element.hidden = judged === 0;
    total.textContent = words("score").replace("{right}", right).replace("{judged}", judged).replace("{all}", TOTAL);
    const wrong = Object.entries(all("votes")).filter(([, vote]) => !vote.right);
    list.replaceChildren(...await Promise.all(wrong.map(async ([key, { vote }]) => {
      const [chapter, claim] = key.split(".");
      const [table, { default: { claims } }] = await Promise.all([chapterTexts(chapter), ROAD.find(({ name }) => name === chapter).load()]);
      const quote = html("a", { href: address(chapter, { at: claim }) });
      fillMarked(quote, lookup({ name: chapter, texts: table }, `${claim}.claim`));
      return html("li", {}, quote, html("span", { class: "votes" }, html("span", { class: "muted" }, `${words("you_said")} ${words(`vote.${vote}`)}`), " · ", verdictBadge(claims[claim].verdict)));
    })));
  }
  watch(show);
  return bind(element, show);
}

export function cover(main) {
  const picture = html("div", { class: "picture" });
  main.append(html("div", { class: "hero" }, html("div", {}, said("h1", "lesson"), said("p", "lead", { class: "lead" }), said("p", "how", { class: "how" })), picture),
    said("h2", "contents"), html("ol", { class: "contents" }, ...ROAD.map(stop)), believed());
  // The text first, the picture when its module is there.
  ROAD.at(-1).load().then(({ livingPlane }) => livingPlane(picture));
}
