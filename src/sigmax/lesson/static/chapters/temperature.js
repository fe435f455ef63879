import { acrossClasses, colour, colours, places, probabilities } from "../classes.js";
import { shown } from "../numbers.js";

function drawEntropy(plot, { temperature }, { temperatures, entropies, entropy, slope, most }, words) {
  plot.frame({ x: [0, 10], y: [0, 1.5], xlabel: "$τ$", ylabel: words("entropy_axis") });
  plot.line("most", 0, most, 10, most, "muted dashed");
  plot.line("tangent", temperature - 10, entropy - 10 * slope, temperature + 10, entropy + 10 * slope, "v-k thin");
  plot.curve("entropy", temperatures, entropies, "v-p");
  plot.marker("here", temperature, entropy, { label: "τ", drag: { x: "temperature" }, cls: "v-τ", words: `τ = ${shown(temperature)}, ${words("entropy_axis")} ${shown(entropy, 4)}` });
}

function drawCooling(plot, { power, x }, { powers, curves, p, τ }) {
  const ticks = [0.001, 0.01, 0.1, 1, 10, 100].map((temperature) => ({ value: Math.log10(temperature), words: String(temperature) }));
  plot.frame({ x: [-3, 2], y: [0, 1.04], xticks: ticks, xlabel: "$τ$", ylabel: "$p$", yticks: [0, 0.25, 0.5, 0.75, 1] });
  plot.line("here", power, 0, power, 1.04, "v-τ thin");
  // Curves that coincide: the later one is dashed, so that both colours show.
  curves.forEach((curve, j) => plot.curve(`p ${j}`, powers, curve, `${colour(j)} ${x.indexOf(x[j]) < j ? "dashed" : "thick"}`));
  p.forEach((value, j) => plot.points(`point ${j}`, [power], [value], colour(j), 5));
  plot.marker("τ", power, 0, { label: "τ", drag: { x: "power" }, cls: "v-τ", words: `τ = ${shown(τ, 4)}` });
}

// Bars above, and below them two rows of tiles, one for each of the first actions.
function drawActions(plot, _, { p, part, drawn, best }, words) {
  const [low, high] = acrossClasses(p);
  plot.frame({ x: [low, high], y: [-0.95, 1.08], xticks: [], yticks: [0, 0.5, 1], ylabel: "$p$" });
  plot.bars("p", places(p), p, { cls: colours(p) });
  plot.points("part", places(p), part, "ink hollow", 6);
  p.forEach((value, j) => plot.text(`value ${j}`, j + 1, 0, `${shown(value, 3)}`, { anchor: "middle", dy: 16, cls: `${colour(j)} strong` }));
  const width = (high - low) / drawn.length;
  const rows = [["greedy", -0.53, () => best], ["sampled", -0.9, (i) => drawn[i]]];
  for (const [row, y, action] of rows) {
    drawn.forEach((__, i) => plot.rectangle(`${row} ${i}`, low + (i + 0.08) * width, y, low + (i + 0.92) * width, y + 0.13, `bar ${colour(action(i))}`));
    plot.text(`${row} label`, low, y + 0.13, words(row), { dy: -5, cls: "muted" });
  }
}

function drawTeacher(plot, _, { p, q }) {
  probabilities(plot, p, { numbers: false });
  plot.points("student", places(q), q, "ink hollow", 6);
}

function drawGradient(plot, { temperature }, { warmths, with_factor, without_factor, limit, factored, plain }, words) {
  plot.frame({ x: [1, 100], xlog: true, y: [1e-5, 10], ylog: true, xlabel: "$T$", ylabel: words("gradient_axis"), xticks: [1, 10, 100] });
  plot.line("limit", 1, limit, 100, limit, "muted dashed");
  plot.curve("plain", warmths, without_factor, "muted");
  plot.curve("factored", warmths, with_factor, "v-p");
  plot.points("plain here", [temperature], [plain], "muted", 5);
  plot.points("factored here", [temperature], [factored], "v-p", 5);
  plot.marker("T", temperature, 1e-5, { label: "T", drag: { x: "temperature" }, cls: "v-T" });
}

function drawCurves(plot, _, { grid, teacher_p, student_p, samples, labels }) {
  plot.frame({ x: [-6, 7], y: [-0.08, 1.02], xlabel: "$s$", ylabel: "$p$", yticks: [0, 0.25, 0.5, 0.75, 1] });
  student_p.forEach((curve, j) => plot.curve(`student ${j}`, grid, curve, colour(j)));
  teacher_p.forEach((curve, j) => plot.curve(`teacher ${j}`, grid, curve, "ink thin dashed"));
  samples.forEach((s, i) => plot.points(`sample ${i}`, [s], [-0.04], colour(labels[i]), 3.5));
}

function drawGaps(plot, { steps, lesson }, { by_labels, by_teacher, gap }, words) {
  const numbers = by_labels.map((_, i) => i);
  plot.frame({ x: [0, numbers.length - 1], y: [0, 0.4], xlabel: words("steps"), ylabel: words("gap") });
  plot.curve("labels", numbers, by_labels, lesson === "labels" ? "v-b" : "muted");
  plot.curve("soft", numbers, by_teacher, lesson === "soft" ? "v-p" : "muted");
  plot.marker("here", steps, Math.min(gap, 0.4), { label: words("steps"), drag: { x: "steps" }, cls: lesson === "soft" ? "v-p" : "v-b", words: `${shown(steps)}, ${shown(gap, 3)}` });
}

export default (page) => {
  page.text("start");
  page.formula("p_j = e^(x_j/τ)/Σ_(i=1)^C e^(x_i/τ)");
  page.text("start_more");
  page.predict("twice_as_hot");
  page.figure("heat", {
    draw: (plot, _, { p }) => probabilities(plot, p, { equal: true }),
    height: 360,
    formula: "p_j = e^(x_j/{τ})/Σ_i e^(x_i/{τ}) ; p_max/p_min = e^({range}/{τ}) = {ratio}",
    readouts: ["ratio", "entropy"],
  });
  page.claims("formula", "mnemonic");

  page.heading("equal_heading");
  page.text("equal_text");
  page.figure("disorder", {
    panels: [{ height: 280, draw: drawEntropy }, { height: 280, draw: (plot, _, { p }) => probabilities(plot, p) }],
    readouts: ["entropy v-p", "slope v-k", "ratio"],
  });
  page.claims("equal_shares");

  page.heading("zero_heading");
  page.text("zero_text");
  page.predict("tie");
  page.figure("cooling", { draw: drawCooling, height: 340, readouts: ["τ", "p_1 v-x_1", "p_2 v-x_2", "p_3 v-x_3", "ratio"] });
  page.claims("to_zero");

  page.heading("smoothing_heading");
  page.text("smoothing_text");
  page.figure("smoothing", {
    panels: [
      { height: 280, draw: (plot, _, { p }, words) => probabilities(plot, p, { label: words("prediction_axis") }) },
      { height: 280, draw: (plot, _, { y }, words) => probabilities(plot, y, { label: words("target_axis") }) },
    ],
    formula: "p = softmax(x/{τ}) ; y_ε = (1-{ε})·y + {ε}/4",
    readouts: ["p_apart", "y_apart"],
  });
  page.claims("called_smoothing");

  page.heading("actions_heading");
  page.text("actions_text");
  page.figure("actions", {
    draw: drawActions,
    height: 400,
    readouts: ["best_part", "others"],
  });
  page.claims("action_probabilities");

  page.heading("distilling_heading");
  page.text("teacher_text");
  page.figure("teacher", {
    panels: [{ height: 300, draw: drawTeacher }, { height: 300, draw: drawGradient }],
    formula: "∇ = (q-p)/{T} ; {T}^2·∇ = {T}·(q-p)",
    readouts: ["p_2 v-x_2", "factored v-p", "plain muted", "limit"],
  });
  page.claims("soft_labels");
  page.text("student_text");
  page.figure("student", {
    panels: [{ height: 300, draw: drawCurves }, { height: 300, draw: drawGaps }],
    readouts: ["gap", "start_gap"],
  });
  page.claims("is_distilling");
  page.text("next_text");
};
