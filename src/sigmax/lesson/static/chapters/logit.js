import { shown } from "../numbers.js";

const LOWEST = { float16: 1e-5, float32: 1e-9, float64: 1e-17 };
const FARTHEST = 45;
const HIGHEST = 100;

function drawDomain(plot, { p }, { ps, xs, x, mirrored }) {
  plot.frame({ x: [-0.2, 1.2], y: [-6, 6], xlabel: "$p$", ylabel: "logit(p)" });
  plot.rectangle("below", -0.2, -6, 0, 6, "bad");
  plot.rectangle("above", 1, -6, 1.2, 6, "bad");
  plot.text("nan below", -0.1, 0, "nan", { cls: "bad strong", anchor: "middle", dy: -10 });
  plot.text("nan above", 1.1, 0, "nan", { cls: "bad strong", anchor: "middle", dy: -10 });
  plot.curve("logit", ps, xs, "v-x");
  plot.text("minus infinity", 0, -6, "−inf", { cls: "v-x strong", dx: 22, dy: -8 });
  plot.text("infinity", 1, 6, "inf", { cls: "v-x strong", anchor: "end", dx: -22, dy: 16 });
  // Without a logit the point lies on the axis.
  const height = Number.isNaN(x) ? 0 : x;
  plot.line("down", p, 0, p, height, "v-p thin dashed");
  plot.points("other", [1 - p], [mirrored], "v-p hollow", 6);
  plot.marker("here", p, height, { label: "p", drag: { x: "p" }, cls: "v-p", words: `p = ${shown(p)}, logit ${shown(x)}` });
}

function drawMirror(plot, { x }, { p, xs, ps, backs, meeting }, words) {
  plot.frame({ x: [0, 0], y: [-6.5, 6.5], xticks: [-6, -4, -2, 0, 2, 4, 6], equal: true });
  plot.line("mirror", -7, -7, 7, 7, "muted dashed");
  plot.curve("sigmoid", xs, ps, "v-p");
  plot.curve("logit", ps, backs, "v-x");
  plot.text("sigmoid name", -4, 0, "σ(x)", { cls: "v-p strong", anchor: "middle", dy: -10 });
  plot.text("logit name", 0.5, -5.6, "logit(x)", { cls: "v-x strong", dx: 4 });
  plot.line("beam", x, p, p, x, "muted thin");
  plot.points("meeting", [meeting], [meeting], "ink", 4.5);
  plot.marker("on sigmoid", x, p, { label: words("on_sigmoid"), drag: { x: "x" }, cls: "v-p", words: `${shown(x)}, ${shown(p)}` });
  plot.marker("on logit", p, x, { label: words("on_logit"), drag: { y: "x" }, cls: "v-x", words: `${shown(p)}, ${shown(x)}` });
}

function drawSlip(plot, { p }, { x, wrong, ps, xs, wrongs }) {
  plot.frame({ x: [0, 1], y: [-5.5, 5.5], xlabel: "$p$" });
  plot.region("between", ps, wrongs, xs, "bad");
  plot.curve("right", ps, xs, "v-x");
  plot.curve("wrong", ps, wrongs, "bad");
  plot.line("gap", p, wrong, p, x, "ink thick");
  plot.marker("here", p, x, { label: "p", drag: { x: "p" }, cls: "v-p", words: `p = ${shown(p)}` });
}

function drawThereAndBack(plot, { x, dtype }, { xs, losses }, words) {
  const lowest = LOWEST[dtype];
  plot.frame({ x: [-FARTHEST, FARTHEST], y: [lowest, HIGHEST], ylog: true, xlabel: "$x$", ylabel: words("error") });
  const lost = (loss) => !Number.isFinite(loss);
  const half = (xs[1] - xs[0]) / 2;
  const first = xs.findIndex((each, i) => each > 0 && lost(losses[i]));
  const last = xs.findLastIndex((each, i) => each < 0 && lost(losses[i]));
  if (first >= 0) {
    plot.rectangle("infinite", xs[first] - half, lowest, FARTHEST, HIGHEST, "bad");
    plot.text("infinite label", FARTHEST, HIGHEST, "inf", { cls: "bad strong", anchor: "end", dx: -6, dy: 18 });
  }
  if (last >= 0) {
    plot.rectangle("minus infinite", -FARTHEST, lowest, xs[last] + half, HIGHEST, "bad");
    plot.text("minus infinite label", -FARTHEST, HIGHEST, "−inf", { cls: "bad strong", dx: 6, dy: 18 });
  }
  plot.curve("losses", xs, losses.map((loss) => (lost(loss) ? NaN : loss)), "v-x");
  plot.marker("here", x, lowest, { label: "x", drag: { x: "x" }, cls: "v-x" });
}

function drawProbability(plot, _, { hs, ps, hours, passed }, words) {
  plot.frame({ x: [0, 8.5], y: [-0.08, 1.08], xticks: [0, 2, 4, 6, 8], xlabel: words("hours"), ylabel: "$p$", yticks: [0, 0.5, 1] });
  plot.curve("probability", hs, ps, "v-p");
  plot.points("person", hours, passed, "ink", 4.5);
}

const END = 8;

function drawLine(plot, { w, c }, { hs, logits }, words) {
  plot.frame({ x: [0, 8.5], y: [-6, 6], xticks: [0, 2, 4, 6, 8], xlabel: words("hours"), ylabel: "logit(p)" });
  plot.curve("logit", hs, logits, "v-x");
  plot.marker("bias", 0, c, { label: words("c"), drag: { y: "c" }, cls: "v-c" });
  plot.marker("slope", END, w * END + c, { label: words("tilt"), drag: (_, y) => ({ w: (y - c) / END }), step: [0, 0.08], cls: "v-w", words: `w = ${shown(w)}` });
}

export default (page) => {
  page.text("start");
  page.formula("e^x = p/(1-p) ; x = ln(p/(1-p)) = logit(p)");
  page.text("named");
  page.figure("domain", {
    draw: drawDomain,
    height: 380,
    formula: "logit({p}) = ln({p}/(1-{p})) ; = ln({odds}) = {x}",
    readouts: ["odds v-N", "x", "mirrored v-x"],
  });
  page.claims("closed_domain");

  page.heading("mirror_heading");
  page.text("mirror_text");
  page.figure("mirror", {
    draw: drawMirror,
    height: 470,
    formula: "σ({x}) = {p} ; logit({p}) = {back}",
    readouts: ["p", "back v-x"],
  });
  page.claims("inverse", "meet_once");

  page.heading("slip_heading");
  page.text("slip_text");
  page.predict("wrong_zero");
  page.figure("slip", {
    draw: drawSlip,
    formula: "−ln(1/{p} − 1) = {x} ; −ln(1/{p} − {p}) = {wrong}",
    readouts: ["x", "wrong bad", "gap", "law"],
  });
  page.claims("last_form");

  page.heading("floats");
  page.text("floats_text");
  page.predict("largest_logit");
  page.figure("there_and_back", {
    draw: drawThereAndBack,
    height: 360,
    // Four digits of p say nothing where it is nearly 1.
    formula: ({ x }) => (x < 0 ? "σ({x}) = {p} ; logit({p}) = {back}" : "σ({x}) = 1 − {missing} ; logit(1 − {missing}) = {back}"),
    readouts: ["p", "missing v-p", "back v-x", "error", "largest"],
  });
  page.claims("round_trip");

  page.heading("namesake");
  page.text("namesake_text");
  page.figure("regression", {
    panels: [{ height: 320, draw: drawProbability }, { height: 320, draw: drawLine }],
    formula: "p = σ({w}·h + {c}) ; logit(p) = {w}·h + {c}",
    readouts: ["loss", "least"],
  });
  page.claims("not_regression");
  page.text("onwards");
};
