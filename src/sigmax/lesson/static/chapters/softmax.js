import { acrossClasses, colour, colours, nameOf, places, probabilities } from "../classes.js";
import { shown } from "../numbers.js";

const exponents = (list) => list.map((_, j) => `e^{x_${j + 1}}`).join(" + ");

function drawScores(plot, { x, shift }, { moved }, words) {
  plot.frame({ x: acrossClasses(moved), y: [-10, 10], xticks: places(moved), ylabel: words("score_axis") });
  plot.bars("score", places(moved), moved, { cls: colours(moved) });
  x.forEach((score, j) => plot.marker(`marker ${j}`, j + 1, score + shift, { label: nameOf(j), drag: (_, y) => ({ x: x.with(j, y - shift) }), step: [0, 0.1], cls: colour(j), words: shown(score + shift) }));
}

function drawPairScores(plot, { pair, x }, { p }, words) {
  const chosen = (j) => pair.includes(String(j + 1));
  plot.frame({ x: acrossClasses(x), y: [-5, 5], xticks: places(x), ylabel: words("score_axis") });
  plot.bars("score", places(x), x, { cls: x.map((_, j) => (chosen(j) ? colour(j) : "muted")) });
  p.forEach((value, j) => plot.text(`value ${j}`, j + 1, -5, shown(value, 3), { anchor: "middle", dy: -6, cls: chosen(j) ? "v-p strong" : "muted" }));
  x.forEach((score, j) => plot.marker(`marker ${j}`, j + 1, score, { label: nameOf(j), drag: (_, y) => ({ x: x.with(j, y) }), step: [0, 0.1], cls: chosen(j) ? colour(j) : "muted", words: shown(score) }));
}

function drawPairs(plot, _, { xs, sigmoids, differences, shares, difference, share }, words) {
  plot.frame({ x: [-8, 8], y: [0, 1], xlabel: "xᵢ − xⱼ", ylabel: words("share") });
  plot.curve("sigmoid", xs, sigmoids, "muted");
  plot.points("pairs", differences, shares, "ink hollow", 4);
  plot.points("chosen", [difference], [share], "v-p", 7.5);
}

function drawBells(plot, { s }, { samples, joint, here }, words) {
  plot.frame({ x: [-5, 6], y: [0, 0.22], yticks: [], xlabel: "$s$", ylabel: "πⱼ qⱼ(s)" });
  joint.forEach((curve, j) => {
    plot.region(`area ${j}`, samples, samples.map(() => 0), curve, colour(j));
    plot.curve(`bell ${j}`, samples, curve, colour(j));
  });
  plot.line("sample", s, 0, s, 0.22, "ink thin dashed");
  here.forEach((density, j) => plot.points(`here ${j}`, [s], [density], colour(j), 5));
  plot.marker("s", s, 0, { label: words("s").replaceAll("$", ""), drag: { x: "s" } });
}

function drawPosterior(plot, _, { p, bayes }, words) {
  plot.frame({ x: acrossClasses(p), y: [0, 1], xticks: places(p), xlabel: words("class_axis"), ylabel: "P(y=j∣s)" });
  plot.bars("bayes", places(p), bayes, { cls: colours(p) });
  plot.points("softmax", places(p), p, "ink hollow", 7);
}

const inside = (value) => Math.min(Math.max(Number.isNaN(value) ? 0 : value, -0.9), 2);

function drawSums(plot, _, { p, sum }, words) {
  const stack = p.length + 1.4;
  plot.frame({ x: [0.4, stack + 0.7], y: [-1.1, 2.3], xticks: [...places(p).map((value) => ({ value, words: String(value) })), { value: stack, words: words("stack") }], yticks: [-1, 0, 1, 2] });
  plot.bars("p", places(p), p, { cls: colours(p) });
  plot.line("one", 0.4, 1, stack + 0.7, 1, "muted dashed");
  p.forEach((value, j) => plot.text(`value ${j}`, j + 1, inside(Math.max(value, 0)), shown(value, 3), { anchor: "middle", dy: -7 }));
  let top = 0;
  p.forEach((value, j) => {
    plot.bars(`stack ${j}`, [stack], [top + value], { base: top, width: 0.7, cls: colour(j) });
    top += value;
  });
  const highest = Math.max(...p.map((_, j) => p.slice(0, j + 1).reduce((a, b) => a + b, 0)), 0);
  plot.text("total", stack, inside(highest), shown(sum, 3), { anchor: "middle", dy: -7, cls: "strong" });
}

function drawRows(plot, { adding }, { places, counts, hits, farthest }, words) {
  const widest = Math.max(4, 2 * Math.ceil((farthest + 1) / 2));
  const highest = Math.max(hits, ...counts, 50);
  plot.frame({ x: [-widest, widest], y: [0, highest * 1.15], xticks: [-1, -0.5, 0, 0.5, 1].map((part) => part * widest), xlabel: words("steps_axis"), ylabel: words("rows_axis") });
  const width = (adding === "exactly" ? 0.25 : 1) * 0.84;
  const middle = places.indexOf(0);
  const below = middle < 0 ? 0 : counts[middle];
  plot.bars("miss", places, counts, { width, cls: "muted" });
  plot.bars("hit", [0], [below + hits], { width, base: below, cls: "good" });
  plot.text("hits", 0, below + hits, shown(hits), { cls: "good strong", anchor: "middle", dy: -7 });
}

function drawWritten(plot, { c }, { xs, ys, widest, library }, words) {
  plot.frame({ x: [-widest, widest], y: [0, 1.15], xlabel: "$c$", ylabel: "p₂", yticks: [0, 0.25, 0.5, 0.75, 1] });
  const first = ys.findIndex((value) => !Number.isNaN(value));
  const last = ys.findLastIndex((value) => !Number.isNaN(value));
  [[-widest, xs[first]], [xs[last], widest]].forEach(([from, to], i) => {
    plot.rectangle(`nan ${i}`, from, 0, to, 1.15, "bad");
    plot.text(`nan label ${i}`, (from + to) / 2, 1.15, "nan", { cls: "bad strong", anchor: "middle", dy: 20 });
  });
  plot.line("library", -widest, library, widest, library, "v-p");
  plot.curve("naive", xs, ys, "v-b dashed thick");
  plot.marker("c", Math.min(Math.max(c, -widest), widest), 0, { label: "c", drag: { x: "c" }, cls: "v-x", words: `c = ${shown(c)}, ${words("library")} ${shown(library)}` });
}

export default (page) => {
  page.text("start");
  page.formula("p_j = e^(x_j)/Σ_(i=1)^C e^(x_i)");
  page.text("start_more");
  page.figure("scores", {
    panels: [{ height: 300, draw: drawScores }, { height: 300, draw: (plot, _, { p }) => probabilities(plot, p) }],
    formula: ({ x }) => `p_1 = e^{x_1}/(${exponents(x)}) = {p_1}`,
    readouts: ["sum", "change"],
  });
  page.claims("only_differences");

  page.heading("pair_heading");
  page.text("pair_text");
  page.predict("third_leaves");
  page.figure("pairs", {
    panels: [{ height: 330, draw: drawPairScores }, { height: 330, draw: drawPairs }],
    formula: "p_i/(p_i+p_j) = {p_i}/({p_i}+{p_j}) = {share} ; σ(x_i-x_j) = σ({x_i}-{x_j}) = {expected}",
    readouts: ["share v-p", "expected v-p"],
  });
  page.text("pair_proof");
  page.claims("every_pair");

  page.heading("bayes_heading");
  page.text("bayes_text");
  page.figure("posterior", {
    panels: [{ height: 300, draw: drawBells }, { height: 300, draw: drawPosterior }],
    formula: "x = [{x_1}, {x_2}, {x_3}] ; softmax(x) = [{p_1}, {p_2}, {p_3}]",
    readouts: ["bayes_2 v-x_2", "p_2 v-x_2", "gap"],
  });
  page.claims("two_meanings");

  page.heading("sum_heading");
  page.text("sum_text");
  page.figure("sums", { draw: drawSums, height: 340, readouts: ["sum", "least"] });
  page.claims("sums_to_one", "separate_sigmoids");
  page.text("rows_text");
  page.predict("exactly_one");
  page.figure("rows", { draw: drawRows, height: 300, readouts: ["part good", "worst"] });
  page.claims("sum_is_exact");

  page.heading("naive_heading");
  page.text("naive_text");
  page.figure("written", {
    draw: drawWritten,
    height: 300,
    formula: "p_2 = e^(c+1)/(e^c+e^(c+1)) = {e_2}/({e_1}+{e_2}) = {naive}",
    readouts: ["naive v-b", "library v-p", "e_2"],
  });
  page.claims("naive");
  page.text("next_text");
};
