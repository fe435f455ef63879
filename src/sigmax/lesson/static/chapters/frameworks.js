// Chapter 9: logits in the frameworks: what from_logits decides, what a logit is there, and how to translate a call.

import { acrossClasses, scoreFor } from "../classes.js";
import { html } from "../dom.js";
import { cached, choice, measured, number, numbers, toggle } from "../model.js";
import { fill, gap, largest, least, linspace, normalRows, product, py, range, sum, tidy } from "../numeric.js";
import { shown } from "../numbers.js";
import { asType, crossEntropy, logit, logSigmoid, logSoftmax, logsumexp, sigmoid, softmax, softmaxVjp } from "../sigmax.js";
import { breakable, plain } from "../text.js";

// Library → function → calls, there and here. JSON, so that a test finds each row in docs/reference/parity.md.
const TABLE = {
  "Keras": {
    "tf.keras.losses.CategoricalCrossentropy": [
      ["CategoricalCrossentropy()(q, p)", "cross_entropy(p, q, from_logits=False)"],
      ["CategoricalCrossentropy(from_logits=True)(q, x)", "cross_entropy(x, q)"],
      ["CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)(q, x)", "cross_entropy(x, q, label_smoothing=0.1)"],
      ["CategoricalCrossentropy(from_logits=True, axis=0)(q.T, x.T)", "cross_entropy(x.T, q.T, axis=0)"],
      ["CategoricalCrossentropy(from_logits=True, reduction=None)(q, x)", "cross_entropy(x, q, reduction=\"none\")"],
      ["CategoricalCrossentropy(from_logits=True, reduction=\"sum\")(q, x)", "cross_entropy(x, q, reduction=\"sum\")"],
      ["CategoricalCrossentropy(from_logits=True)(q, x, sample_weight=s)", "cross_entropy(x, q, sample_weight=s, normalizer=len(x))"]
    ],
    "tf.keras.losses.SparseCategoricalCrossentropy": [
      ["SparseCategoricalCrossentropy()(y, p)", "cross_entropy(p, y, from_logits=False)"],
      ["SparseCategoricalCrossentropy(from_logits=True)(y, x)", "cross_entropy(x, y)"],
      ["SparseCategoricalCrossentropy(from_logits=True, ignore_class=2)(y, x)", "cross_entropy(x, y, ignore_index=2)"]
    ],
    "tf.keras.losses.BinaryCrossentropy": [
      ["BinaryCrossentropy()(t, u)", "binary_cross_entropy(u, t, from_logits=False)"],
      ["BinaryCrossentropy(from_logits=True)(t, x)", "binary_cross_entropy(x, t)"],
      ["BinaryCrossentropy(from_logits=True, label_smoothing=0.1)(t, x)", "binary_cross_entropy(x, t, label_smoothing=0.1)"]
    ]
  },
  "TensorFlow": {
    "tf.nn.sigmoid_cross_entropy_with_logits": [
      ["tf.nn.sigmoid_cross_entropy_with_logits(labels=t, logits=x)", "binary_cross_entropy(x, t, reduction=\"none\")"]
    ],
    "tf.nn.softmax_cross_entropy_with_logits": [
      ["tf.nn.softmax_cross_entropy_with_logits(labels=q, logits=x)", "cross_entropy(x, q, reduction=\"none\")"]
    ],
    "tf.nn.sparse_softmax_cross_entropy_with_logits": [
      ["tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=x)", "cross_entropy(x, y, reduction=\"none\")"]
    ],
    "tf.nn.softmax": [
      ["tf.nn.softmax(x)", "softmax(x)"]
    ],
    "tf.keras.layers.Dense": [
      ["tf.keras.layers.Dense(3, kernel_initializer=tf.keras.initializers.Constant(matrix.T), bias_initializer=tf.keras.initializers.Constant(bias))(features)", "features @ matrix.T + bias"]
    ]
  },
  "PyTorch": {
    "torch.nn.CrossEntropyLoss": [
      ["nn.CrossEntropyLoss()(x, y)", "cross_entropy(x, y)"],
      ["nn.CrossEntropyLoss()(x, q)", "cross_entropy(x, q)"],
      ["nn.CrossEntropyLoss(weight=w)(x, y)", "cross_entropy(x, y, class_weight=w)"],
      ["nn.CrossEntropyLoss(ignore_index=2)(x, y)", "cross_entropy(x, y, ignore_index=2)"],
      ["nn.CrossEntropyLoss(reduction=\"sum\")(x, y)", "cross_entropy(x, y, reduction=\"sum\")"],
      ["nn.CrossEntropyLoss(reduction=\"none\")(x, y)", "cross_entropy(x, y, reduction=\"none\")"],
      ["nn.CrossEntropyLoss(label_smoothing=0.1)(x, y)", "cross_entropy(x, y, label_smoothing=0.1)"]
    ],
    "torch.nn.BCEWithLogitsLoss": [
      ["nn.BCEWithLogitsLoss()(x, t)", "binary_cross_entropy(x, t)"],
      ["nn.BCEWithLogitsLoss(reduction=\"sum\")(x, t)", "binary_cross_entropy(x, t, reduction=\"sum\")"],
      ["nn.BCEWithLogitsLoss(pos_weight=w)(x, t)", "binary_cross_entropy(x, t, pos_weight=w)"],
      ["nn.BCEWithLogitsLoss(weight=w, pos_weight=w)(x, t)", "binary_cross_entropy(x, t, sample_weight=w, pos_weight=w, normalizer=x.size)"]
    ]
  }
};

function table(library, functions) {
  const rows = Object.entries(functions).flatMap(([name, calls]) => [
    html("tr", {}, html("th", { colspan: 2, scope: "colgroup" }, breakable(name))),
    ...calls.map((pair) => html("tr", {}, ...pair.map((code) => html("td", {}, breakable(code))))),
  ]);
  const columns = html("colgroup", {}, html("col", { width: "55%" }), html("col", { width: "45%" }));
  return html("div", { class: "figure" }, html("table", {}, columns, html("thead", {}, html("tr", {}, ...[library, "sigmax"].map((name) => html("th", { scope: "col" }, name)))), html("tbody", {}, ...rows)));
}

// ---------------------------------------------------------------- from_logits

const TRUE = 1; // the index of the true class: the second
const SINGLE = { dtype: "float32" };
const single = (x) => asType(x, "float32");

// Keras's loss of what it takes for probabilities, and the gradient to them: eager, in float32. They are divided by their
// sum and clipped; what is clipped has no gradient.
function keras(given) {
  const total = given.reduce((a, b) => single(a + b));
  const share = single(given.map((each) => each / total));
  const [low, high] = single([1e-7, 1 - 1e-7]);
  const clipped = Math.min(Math.max(share[TRUE], low), high);
  const loss = single(-Math.log(Number.isNaN(share[TRUE]) ? NaN : clipped));
  if (!share.every(Number.isFinite)) return [loss, fill(given.length, NaN)];
  if (share[TRUE] !== clipped) return [loss, fill(given.length, 0)];
  return [loss, single(given.map((each, j) => 1 / total - (j === TRUE ? 1 / each : 0)))];
}

// The loss of logits x, and its gradient to them.
function cellOf(x, withSoftmax, told) {
  const given = withSoftmax ? softmax(x, SINGLE) : single(x);
  const [loss, slopes] = told ? crossEntropy(given, TRUE, { ...SINGLE, gradient: true }) : keras(given);
  return [loss, withSoftmax ? softmaxVjp(x, slopes, SINGLE) : slopes];
}

const FAR = [200, 0];
const NEAR = [2, 1, -1];
const FORMULAS = {
  "false true": "L = logsumexp(x) − x_2 = {loss}",
  "true false": "q = softmax(x) ; L = −ln clip(q_2) = {loss}",
  "true true": "q = softmax(x) ; L = logsumexp(q) − q_2 = {loss}",
  "false false": "q = x/(Σ_j x_j) ; L = −ln clip(q_2) = {loss}",
};

const switches = {
  controls: { softmax: toggle(true), from_logits: toggle(false), x: numbers(-200, 200, 0.5, NEAR, { shortest: 2, longest: 3 }) },
  presets: {
    fused: { x: FAR, softmax: false, from_logits: true },
    far: { x: FAR, softmax: true, from_logits: false },
    forgotten: { x: NEAR, softmax: false, from_logits: false },
    negative: { x: [-2, -1, -3], softmax: false, from_logits: false },
    twice: { x: NEAR, softmax: true, from_logits: true },
  },
  prints: "loss",
  about: 1e-6,
  compute({ softmax: withSoftmax, from_logits, x }) {
    const [right] = cellOf(x, false, true);
    const cells = [[false, false], [false, true], [true, false], [true, true]].map(([model, told]) => {
      const [loss, gradient] = cellOf(x, model, told);
      return { softmax: model, from_logits: told, loss, gradient, agrees: Math.abs(loss - right) <= 1e-4 * Math.abs(right) };
    });
    const { loss, gradient } = cells.find((cell) => cell.softmax === withSoftmax && cell.from_logits === from_logits);
    return { cells, loss, right, pull: gradient[TRUE] };
  },
  python({ softmax: withSoftmax, from_logits, x }) {
    const given = withSoftmax ? "sigmax.softmax(x)" : "x";
    const lines = from_logits ? `print(sigmax.cross_entropy(${given}, ${TRUE}))` : `with np.errstate(all="ignore"):  # as Keras does\n    p = ${given}; p = np.clip(p / p.sum(), 1e-7, 1 - 1e-7)\nprint(-np.log(p[${TRUE}]))`;
    return `import numpy as np, sigmax\nx = np.float32(${py(x)})\n${lines}`;
  },
  height: 340,
  formula: ({ softmax: withSoftmax, from_logits }) => FORMULAS[`${withSoftmax} ${from_logits}`],
  readouts: ["loss", "right good", "pull"],
  draw(plot, { softmax: withSoftmax, from_logits }, { cells }, words) {
    const columns = ["False", "True"].map((value, i) => ({ value: i + 0.5, words: `from_logits=${value}` }));
    plot.frame({ x: [0, 2], y: [0, 2], xticks: columns, yticks: [], grid: false });
    for (const cell of cells) {
      const [left, bottom] = [cell.from_logits ? 1 : 0, cell.softmax ? 0 : 1];
      const key = `${left} ${bottom}`;
      const cls = cell.agrees ? "good" : "bad";
      const [x1, y1, x2, y2] = [left + 0.02, bottom + 0.03, left + 0.98, bottom + 0.97];
      plot.rectangle(`cell ${key}`, x1, y1, x2, y2, cls);
      const chosen = cell.softmax === withSoftmax && cell.from_logits === from_logits;
      if (chosen) [[x1, y1, x2, y1], [x2, y1, x2, y2], [x2, y2, x1, y2], [x1, y2, x1, y1]].forEach((side, i) => plot.line(`side ${i}`, ...side, `${cls} thick`));
      const write = (name, height, text, style) => plot.text(`${name} ${key}`, left + 0.5, bottom + height, text, { anchor: "middle", cls: style });
      write("model", 0.74, words(cell.softmax ? "with_softmax" : "without_softmax"), "muted");
      write("loss", 0.47, `${cell.agrees ? "✓" : "✗"} ${shown(cell.loss, 5)}`, `${cls} strong`);
      write("gradient", 0.22, `(${cell.gradient.map((slope) => shown(slope, 2)).join(", ")})`, "");
    }
  },
  // A cell can be chosen by a click too.
  ready(figure) {
    const [plot] = figure.plots;
    plot.element.classList.add("choosing");
    plot.element.addEventListener("click", (event) => {
      const [across, up] = plot.pointer(event);
      figure.set({ from_logits: across > 1, softmax: up < 1 }, event);
    });
  },
};

// ---------------------------------------------------------------- softmax twice

const AHEAD = linspace(-10, 30, 41);
// Logits whose first class is so much ahead of the others.
const rowsOf = (ahead, classes) => ahead.map((d) => [d, ...fill(classes - 1, 0)]);
const onceOf = (rows) => crossEntropy(rows, fill(rows.length, 0), { reduction: "none" });
const twiceOf = (rows) => onceOf(softmax(rows));
const floorOf = (classes) => Math.log(Math.E + classes - 1) - 1;
const curvesOf = cached((classes) => [onceOf(rowsOf(AHEAD, classes)), twiceOf(rowsOf(AHEAD, classes))]);

const floors = {
  controls: { C: number(2, 1000, 1, 20), d: number(-10, 30, 0.5, 12) },
  presets: { two: { C: 2, d: 30 }, ten: { C: 10, d: 30 }, thousand: { C: 1000, d: 30 }, wrong: { C: 10, d: -10 } },
  prints: "twice",
  compute({ C, d }) {
    const here = rowsOf([d], C);
    return { once: onceOf(here)[0], twice: twiceOf(here)[0], floor: floorOf(C), most: Math.E / (Math.E + C - 1) };
  },
  python: ({ C, d }) => `import numpy as np, sigmax\nx = np.zeros(${C}); x[0] = ${d}\nprint(sigmax.cross_entropy(sigmax.softmax(x), 0))`,
  height: 360,
  formula: "ln(e + {C} − 1) − 1 = {floor} ; e/(e + {C} − 1) = {most}",
  readouts: ["once good", "twice bad", "floor", "most"],
  draw(plot, { d, C }, { floor }, words) {
    const [onces, twices] = curvesOf(C);
    plot.frame({ x: [-10, 30], y: [0, 10], xlabel: words("d"), ylabel: "$L$" });
    plot.line("floor", -10, floor, 30, floor, "bad thin dashed");
    plot.curve("once", AHEAD, onces, "good");
    plot.curve("twice", AHEAD, twices, "bad");
    plot.text("once label", 30, 0, words("once"), { cls: "good strong", anchor: "end", dy: -8 });
    plot.text("twice label", 30, Math.max(floor, 0.9), words("twice"), { cls: "bad strong", anchor: "end", dy: -8 });
    plot.marker("here", d, 0, { label: words("d"), drag: { x: "d" }, cls: "v-x" });
  },
};

// ---------------------------------------------------------------- what a logit is

const LAYERS = { softmax: [softmax, logSoftmax], sigmoid: [sigmoid, logSigmoid] };

const names = {
  controls: { head: choice(["softmax", "sigmoid"], "softmax"), x: numbers(-4, 4, 0.1, NEAR, { shortest: 2, longest: 3 }), shift: number(-4, 4, 0.1, 0) },
  presets: { sigmoid: { head: "sigmoid" }, shifted: { head: "softmax", shift: 2 }, pair: { head: "softmax", x: [2, 0] } },
  prints: "log_1",
  compute({ head, x, shift }) {
    const scores = x.map((score) => tidy(score + shift));
    const [p, logs] = LAYERS[head].map((layer) => layer(scores));
    const logits = logit(p);
    const apart = scores.map((score, j) => score - logs[j]);
    return { scores, logs, logits, score_1: scores[0], log_1: logs[0], logit_1: logits[0], spread_log: largest(apart) - least(apart), apart_logit: gap(scores, logits) };
  },
  python: ({ head }, { scores }) => `import sigmax\nx = ${py(scores)}\nprint(sigmax.log_${head}(x)[0])`,
  height: 360,
  formula: ({ head }) => (head === "softmax" ? "ln p_1 = x_1 − logsumexp(x) = {log_1}" : "logit(p_1) = ln(p_1/(1−p_1)) = x_1 = {logit_1}"),
  readouts: ["score_1 v-x", "log_1 v-p", "logit_1 v-k", "spread_log", "apart_logit"],
  draw(plot, { head, x, shift }, { scores, logs, logits }) {
    const all = [...scores, ...logs, ...logits];
    const [low, high] = [Math.min(-1, ...all) - 0.3, Math.max(1, ...all)];
    const top = high + 0.18 * (high - low);
    const [first, last] = acrossClasses(scores);
    plot.frame({ x: [first, last], y: [low, top], xticks: scores.map((_score, i) => i + 1) });
    [["x", scores, "v-x"], ["ln p", logs, "v-p"], ["logit(p)", logits, "v-k"]].forEach(([name, heights, cls], i) => {
      plot.bars(cls, heights.map((_height, j) => j + 1 + (i - 1) * 0.24), heights, { width: 0.2, cls });
      plot.text(name, first + (0.02 + 0.3 * i) * (last - first), top, `■ ${name}`, { cls: `${cls} strong`, dy: 16 });
    });
    plot.line("zero", first, 0, last, 0, "muted thin");
    // The score that gives a bar the height y: itself, and by way of the probability for the other two.
    const scoreOf = (j, p) => (head === "softmax" ? scoreFor(scores, j, p)[j] : logit(Math.min(Math.max(p, 1e-4), 1 - 1e-4)));
    [[scores, (_j, y) => y, "x"], [logs, (j, y) => scoreOf(j, Math.exp(y)), "ln p"], [logits, (j, y) => scoreOf(j, sigmoid(y)), "logit p"]].forEach(([heights, back, name], i) => {
      heights.forEach((height, j) => plot.marker(`grip ${i} ${j}`, j + 1 + (i - 1) * 0.24, height, { label: `${name}${"₁₂₃"[j]}`, drag: (_at, y) => ({ x: x.with(j, back(j, y) - shift) }), step: [0, 0.1], cls: `${["v-x", "v-p", "v-k"][i]} up`, words: shown(height, 4) }));
    });
  },
};

// ---------------------------------------------------------------- reduction

const SAMPLES = [[2, 1, -1], [0, 1, 3], [1, -0.5, 0.5], [-1, 2, 1.5]];
const CLASSES = [0, 2, 1, 2];
const LAST = crossEntropy(SAMPLES[3], CLASSES[3]);
const OPTIONS = { auto: ", normalizer=4", sum_over_batch_size: ", normalizer=4", mean_with_sample_weight: "", sum: ', reduction="sum"' };
const reducedBy = (reduction, weight) => crossEntropy(SAMPLES, CLASSES, { weight, ...(reduction === "sum" ? { reduction } : reduction === "mean_with_sample_weight" ? {} : { normalizer: 4 }) });

const reductions = {
  controls: { reduction: choice(["auto", "sum_over_batch_size", "mean_with_sample_weight", "sum"], "auto"), s: number(0, 4, 0.1, 2) },
  presets: { auto: { reduction: "auto", s: 1 }, heavy: { reduction: "sum_over_batch_size", s: 3 }, fair: { reduction: "mean_with_sample_weight", s: 3 }, without: { reduction: "mean_with_sample_weight", s: 0 } },
  prints: "result",
  compute({ reduction, s }) {
    const weight = [1, 1, 1, s];
    return {
      losses: crossEntropy(SAMPLES, CLASSES, { weight, reduction: "none" }), result: reducedBy(reduction, weight),
      divisor: reduction === "sum" ? 1 : reduction === "mean_with_sample_weight" ? sum(weight) : 4,
    };
  },
  python: ({ reduction, s }) => `import sigmax
x = ${py(SAMPLES)}
y, s = ${py(CLASSES)}, [1, 1, 1, ${s}]
print(sigmax.cross_entropy(x, y, sample_weight=s${OPTIONS[reduction]}))`,
  height: 320,
  readouts: ["result v-R", "divisor"],
  draw(plot, { reduction, s }, { losses, result }, words) {
    const mean = reduction === "sum" ? NaN : result;
    plot.frame({ x: [0.4, losses.length + 0.6], y: [0, 1.15 * Math.max(4 * LAST, ...losses)], xticks: losses.map((_loss, i) => i + 1), ylabel: words("sample") });
    plot.bars("loss", losses.map((_loss, i) => i + 1), losses, { cls: losses.map((_loss, i) => (i === losses.length - 1 ? "v-s" : "v-q")) });
    plot.line("mean", 0.4, mean, losses.length + 0.6, mean, "v-R thick");
    plot.marker("weight", 4, losses[3], { label: plain(words("s")), drag: (_, y) => ({ s: y / LAST }), step: [0, 0.1 * LAST], cls: "v-s up", words: shown(s) });
  },
};

// ---------------------------------------------------------------- claims

const logitsOf = cached((spread, classes) => normalRows(9, 3000, classes, spread));
const spreadOf = (list) => largest(list) - least(list);

const claims = {
  adds_a_softmax: {
    verdict: "T*", figure: "switches", preset: "fused",
    check() {
      const x = logitsOf(3, 10);
      const fused = crossEntropy(x, fill(x.length, 0), { reduction: "none" });
      return [
        measured('"near"', gap(fused, softmax(x).map(([p]) => -Math.log(p))), "≤", 1e-13),
        measured('"gone"', softmax(FAR, SINGLE)[TRUE], "=", 0),
        measured('"fused"', crossEntropy(FAR, TRUE, SINGLE), "=", 200),
      ];
    },
  },
  same_either_way: {
    verdict: "F", figure: "switches", preset: "far",
    check() {
      const [loss, slopes] = cellOf(FAR, true, false);
      const [right, pull] = cellOf(FAR, false, true);
      return [
        measured('"fused"', right, "=", 200),
        measured('"fused_gradient"', pull[TRUE], "=", -1),
        measured('"clipped"', loss, "<", 16.2),
        measured('"clipped_gradient"', largest(slopes.map(Math.abs)), "=", 0),
        measured('"unclipped"', crossEntropy(softmax(FAR, SINGLE), TRUE, { ...SINGLE, fromLogits: false }), "=", Infinity),
      ];
    },
  },
  noticed: {
    verdict: "F", figure: "switches", preset: "forgotten",
    check: () => [
      measured('"mistaken"', cellOf(NEAR, false, false)[0], "<", 0.7),
      measured('"right"', crossEntropy(NEAR, TRUE), ">", 1.349),
      measured('"backwards"', cellOf([-2, -1, -3], false, false)[1][TRUE], ">", 0),
      measured('"forwards"', cellOf([-2, -1, -3], false, true)[1][TRUE], "<", 0),
    ],
  },
  double_softmax: {
    verdict: "F", figure: "floors", preset: "thousand",
    check() {
      const sizes = [2, 3, 10, 1000];
      const sure = sizes.map((classes) => twiceOf(rowsOf([1000], classes))[0]);
      return [
        ...sizes.map((classes, i) => measured(`C = ${classes}`, sure[i], ">", 0)),
        measured('"formula"', gap(sure, sizes.map(floorOf)), "≤", 1e-14),
      ];
    },
  },
  unnormalized_log_probabilities: {
    verdict: "T*", figure: "names", preset: "shifted",
    check() {
      const x = logitsOf(2, 4);
      const logs = logSoftmax(x);
      const apart = x.map((row, i) => row.map((each, j) => each - logs[i][j]));
      const totals = logsumexp(x);
      const line = linspace(-5, 5, 101);
      const of = logSigmoid(line);
      return [
        measured('"softmax"', largest(apart.map(spreadOf)), "≤", 1e-14),
        measured("max |x_j − ln p_j − logsumexp(x)|", gap(apart, apart.map((row, i) => row.map(() => totals[i]))), "≤", 1e-14),
        measured('"sigmoid"', spreadOf(line.map((each, i) => each - of[i])), ">", 4.9),
        measured("max |x − logit(σ(x))|", gap(line, logit(sigmoid(line))), "≤", 1e-13),
      ];
    },
  },
  called_logits: {
    verdict: "T*", figure: "names", preset: "pair",
    check() {
      const x = logitsOf(2, 4);
      const logits = logit(softmax(x));
      const others = range(4).map((j) => logsumexp(x.map((row) => row.filter((_each, k) => k !== j))));
      const three = [5, -Math.LN2, -Math.LN2];
      return [
        measured('"apart"', gap(x, logits), ">", 1),
        measured('"others"', gap(logits, x.map((row, i) => row.map((each, j) => each - others[j][i]))), "≤", 1e-10),
        measured('"three"', Math.abs(logit(softmax(three)[0]) - 5), "≤", 1e-12),
      ];
    },
  },
  out_is_a_tensor: {
    verdict: "F", figure: "names", preset: "sigmoid",
    check() {
      // A layer of two inputs and three outputs: numbers only once it is given some.
      const layer = (h) => product([h], [[1, -0.5, 2], [0.3, 1.2, -1]])[0].map((each, j) => each + [0.1, 0, -0.2][j]);
      const [one, other] = [[1, 0], [0, 1]].map((h) => softmax(layer(h)));
      return [
        measured('"differ"', gap(one, other), ">", 0.4),
        measured('"affine"', gap(layer([0.5, 0.5]), layer([1, 0]).map((each, j) => (each + layer([0, 1])[j]) / 2)), "≤", 1e-15),
      ];
    },
  },
  old_signature: {
    verdict: "O", figure: "reductions", preset: "auto",
    check() {
      const losses = crossEntropy(SAMPLES, CLASSES, { reduction: "none" });
      const weight = [1, 1, 1, 3];
      return [
        measured('"auto"', Math.abs(reducedBy("auto", [1, 1, 1, 1]) - sum(losses) / 4), "≤", 1e-15),
        measured('"weights"', Math.abs(reducedBy("sum_over_batch_size", weight) - reducedBy("mean_with_sample_weight", weight)), ">", 0.1),
      ];
    },
  },
};

// ---------------------------------------------------------------- the chapter

export default {
  figures: { switches, floors, names, reductions },
  predictions: {
    eager: { low: 0, high: 200, step: 1, answer: () => cellOf(FAR, true, false)[0] },
    lowest: { low: 0, high: 8, step: 0.1, answer: () => twiceOf(rowsOf([1000], 1000))[0] },
  },
  claims,
  exercises: {
    which_setting: { options: ["told_true", "told_false"], answer: "told_true" },
    stuck: { options: ["twice", "rate", "labels"], answer: "twice" },
  },
  page(page) {
    page.text("start");
    page.formula("L = −ln q_k = logsumexp(x) − x_k ; logsumexp(x) = ln Σ_(j=1)^C e^(x_j)");
    page.text("mismatch");
    page.predict("eager");
    page.figure("switches");
    page.claims("adds_a_softmax", "same_either_way", "noticed");

    page.heading("twice");
    page.text("twice_text");
    page.predict("lowest");
    page.figure("floors");
    page.claims("double_softmax");

    page.heading("meaning");
    page.text("meaning_text");
    page.figure("names");
    page.claims("unnormalized_log_probabilities", "called_logits", "out_is_a_tensor");

    page.heading("old");
    page.text("old_text");
    page.figure("reductions");
    page.claims("old_signature");

    page.heading("table");
    page.text("table_text");
    for (const [library, functions] of Object.entries(TABLE)) page.add(table(library, functions));
    page.text("end");
  },
};
