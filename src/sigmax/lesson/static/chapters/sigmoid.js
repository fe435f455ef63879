import { shown } from "../numbers.js";

const LOWEST = 1e-19;

function drawCurve(plot, { x }, { xs, ps, p, slope }) {
  plot.frame({ x: [-8, 8], y: [0, 1], xlabel: "$x$", ylabel: "$p$" });
  plot.curve("sigmoid", xs, ps, "v-p");
  plot.line("tangent", x - 3, p - 3 * slope, x + 3, p + 3 * slope, "v-k");
  plot.line("down", x, 0, x, p, "v-x thin dashed");
  plot.marker("here", x, p, { label: "x", drag: { x: "x" }, cls: "v-x" });
}

function drawEnds(plot, { x }, { xs, exact, rounded, first_one }, words) {
  plot.frame({ x: [0, 42], y: [LOWEST, 1], ylog: true, xlabel: "$x$", ylabel: "1 − σ(x)" });
  plot.rectangle("is one", first_one, LOWEST, 42, 1, "v-p");
  plot.curve("exact", xs, exact, "muted thin");
  plot.curve("rounded", xs, rounded.map((gap) => (gap === 0 ? NaN : gap)), "v-p");
  plot.line("first", first_one, LOWEST, first_one, 1, "v-p thin");
  plot.text("first label", first_one, 1, shown(first_one, 4), { cls: "v-p strong", anchor: first_one > 30 ? "end" : "start", dx: first_one > 30 ? -8 : 8, dy: 18 });
  plot.marker("here", x, LOWEST, { label: "x", drag: { x: "x" }, cls: "v-x", words: `x = ${shown(x)}, ${words("first_one")} ${shown(first_one)}` });
}

function drawMagnified(plot, { f, zoom }, { xs, ys, h }) {
  plot.frame({ x: [-1, 1], y: [-1.1, 1.1], xticks: [-1, 0, 1].map((value) => ({ value, words: shown(value * h, 3) })), yticks: [], xlabel: "$x$" });
  // The step is drawn as two pieces: a jump is not a steep line.
  const middle = (xs.length - 1) / 2;
  const pieces = f === "step" ? [[0, middle], [middle, xs.length]] : [[0, xs.length]];
  pieces.forEach(([from, to], i) => plot.curve(`piece ${i}`, xs.slice(from, to), ys.slice(from, to), "v-p"));
  if (f === "step" && zoom > 0) plot.text("gone", -0.5, -1.1, "↓", { cls: "v-p strong", anchor: "middle", dy: -8 });
}

function drawSteps(plot, { pulse }, { xs, ys, middle }) {
  plot.frame({ x: [-2, 2], y: [-0.05, 1.05], xlabel: "$x$", yticks: [0, 0.5, 1] });
  const box = pulse ? [[-2, -1, 0], [-1, 1, 1], [1, 2, 0]] : [[-2, 0, 0], [0, 2, 1]];
  box.forEach(([from, to, height], i) => plot.line(`box ${i}`, from, height, to, height, "muted"));
  plot.curve("sigmoid", xs, ys, "v-p");
  plot.points("middle", [0], [middle], "v-p", 5);
}

function drawStaircase(plot, _, { xs, ys }, words) {
  plot.frame({ x: [0, 1], y: [0, 1], xticks: [], yticks: [] });
  plot.sketch("drawing", "drawing", { label: words("drawing"), cls: "v-x" });
  plot.curve("sum", xs, ys, "v-p");
}

function drawReliability(plot, _, { said, happened, count }, words) {
  plot.frame({ x: [0, 1], y: [0, 1], xlabel: words("said_axis"), ylabel: words("happened_axis") });
  plot.line("diagonal", 0, 0, 1, 1, "muted dashed");
  const largest = Math.max(...count);
  said.forEach((x, i) => {
    plot.line(`gap ${i}`, x, x, x, happened[i], "v-p thin");
    plot.points(`bin ${i}`, [x], [happened[i]], "v-p", 4 + 8 * Math.sqrt(count[i] / largest));
  });
}

export default (page) => {
  page.text("meaning");
  page.formula("σ(x) = N/(N+1) ; N = e^x = p/(1-p) ; x = ln(p/(1-p))");
  page.figure("curve", {
    draw: drawCurve,
    formula: "p = {N}/({N}+1) = {p} ; p/(1-p) = {p}/(1-{p}) = {odds}",
    readouts: ["p", "N", "odds v-N", "slope v-k"],
  });
  page.claims("odds", "steepest_at_zero", "sigmoid_widens");

  page.heading("reach");
  page.text("reach_text");
  page.predict("is_one");
  page.figure("ends", { draw: drawEnds, readouts: ["p", "missing", "first_one"] });
  page.claims("closed_range");

  page.heading("smooth");
  page.text("smooth_text");
  page.figure("magnified", { draw: drawMagnified, readouts: ["left", "right"] });
  page.claims("continuous_hence_differentiable");

  page.heading("blocks");
  page.text("blocks_text");
  page.predict("gap_to_step");
  page.figure("steps", {
    draw: drawSteps,
    height: 260,
    formula: ({ pulse }) => (pulse ? "σ({k}·(x+1)) − σ({k}·(x−1))" : "σ({k}·x)"),
    readouts: ["middle", "gap"],
  });
  page.claims("like_a_step", "pulse");
  page.text("draw_text");
  page.figure("staircase", { draw: drawStaircase, height: 400, readouts: ["error v-p"] });
  page.claims("every_function", "like_fourier");

  page.heading("trust");
  page.text("trust_text");
  page.figure("reliability", {
    draw: drawReliability,
    height: 380,
    readouts: ["calibration_error v-p", "said_example", "true_example"],
  });
  page.claims("hence_a_probability");
};
