import { html } from "../dom.js";
import { shown } from "../numbers.js";

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

// Code whose long words may break, as on a phone.
const LONG = 18;
const broken = (word) => (word.length > LONG ? word.split(/(?<=[(._=])|(?<=[a-z])(?=[A-Z])/u).flatMap((part) => [part, html("wbr")]) : [word]);
const breakable = (code) => html("code", {}, ...code.split(/(?<= )/u).flatMap(broken));

function table(library, functions) {
  const rows = Object.entries(functions).flatMap(([name, calls]) => [
    html("tr", {}, html("th", { colspan: 2, scope: "colgroup" }, breakable(name))),
    ...calls.map((pair) => html("tr", {}, ...pair.map((code) => html("td", {}, breakable(code))))),
  ]);
  const columns = html("colgroup", {}, html("col", { width: "55%" }), html("col", { width: "45%" }));
  return html("div", { class: "figure" }, html("table", {}, columns, html("thead", {}, html("tr", {}, ...[library, "sigmax"].map((name) => html("th", { scope: "col" }, name)))), html("tbody", {}, ...rows)));
}

function drawSwitches(plot, { softmax, from_logits }, { cells }, words) {
  const columns = ["False", "True"].map((value, i) => ({ value: i + 0.5, words: `from_logits=${value}` }));
  plot.frame({ x: [0, 2], y: [0, 2], xticks: columns, yticks: [], grid: false });
  for (const cell of cells) {
    const [left, bottom] = [cell.from_logits ? 1 : 0, cell.softmax ? 0 : 1];
    const key = `${left} ${bottom}`;
    const cls = cell.agrees ? "good" : "bad";
    const chosen = cell.softmax === softmax && cell.from_logits === from_logits;
    const [x1, y1, x2, y2] = [left + 0.02, bottom + 0.03, left + 0.98, bottom + 0.97];
    plot.rectangle(`cell ${key}`, x1, y1, x2, y2, cls);
    if (chosen) [[x1, y1, x2, y1], [x2, y1, x2, y2], [x2, y2, x1, y2], [x1, y2, x1, y1]].forEach((side, i) => plot.line(`side ${i}`, ...side, `${cls} thick`));
    const write = (name, height, text, style) => plot.text(`${name} ${key}`, left + 0.5, bottom + height, text, { anchor: "middle", cls: style });
    write("model", 0.74, words(cell.softmax ? "with_softmax" : "without_softmax"), "muted");
    write("loss", 0.47, `${cell.agrees ? "✓" : "✗"} ${shown(cell.loss, 5)}`, `${cls} strong`);
    write("gradient", 0.22, `(${cell.gradient.map((slope) => shown(slope, 2)).join(", ")})`, "");
  }
}

const LOSSES = {
  "false true": "L = logsumexp(x) − x_2 = {loss}",
  "true false": "q = softmax(x) ; L = −ln clip(q_2) = {loss}",
  "true true": "q = softmax(x) ; L = logsumexp(q) − q_2 = {loss}",
  "false false": "q = x/(Σ_j x_j) ; L = −ln clip(q_2) = {loss}",
};

function drawFloors(plot, { d }, { ahead, onces, twices, floor }, words) {
  plot.frame({ x: [-10, 30], y: [0, 10], xlabel: words("d"), ylabel: "$L$" });
  plot.line("floor", -10, floor, 30, floor, "bad thin dashed");
  plot.curve("once", ahead, onces, "good");
  plot.curve("twice", ahead, twices, "bad");
  plot.text("once label", 30, 0, words("once"), { cls: "good strong", anchor: "end", dy: -8 });
  plot.text("twice label", 30, Math.max(floor, 0.9), words("twice"), { cls: "bad strong", anchor: "end", dy: -8 });
  plot.marker("here", d, 0, { label: words("d"), drag: { x: "d" }, cls: "v-x" });
}

function drawNames(plot, _, { scores, logs, logits }) {
  const all = [...scores, ...logs, ...logits];
  const [low, high] = [Math.min(-1, ...all) - 0.3, Math.max(1, ...all)];
  const top = high + 0.18 * (high - low);
  const last = scores.length + 0.6;
  plot.frame({ x: [0.4, last], y: [low, top], xticks: scores.map((_score, i) => i + 1) });
  [["x", scores, "v-x"], ["ln p", logs, "v-p"], ["logit(p)", logits, "v-k"]].forEach(([name, heights, cls], i) => {
    plot.bars(cls, heights.map((_height, j) => j + 1 + (i - 1) * 0.24), heights, { width: 0.2, cls });
    plot.text(name, 0.4 + (0.02 + 0.3 * i) * (last - 0.4), top, `■ ${name}`, { cls: `${cls} strong`, dy: 16 });
  });
  plot.line("zero", 0.4, 0, last, 0, "muted thin");
}

function drawReductions(plot, { reduction }, { losses, result }, words) {
  const mean = reduction === "sum" ? NaN : result;
  plot.frame({ x: [0.4, losses.length + 0.6], y: [0, 1.15 * Math.max(...losses)], xticks: losses.map((_loss, i) => i + 1), ylabel: words("sample") });
  plot.bars("loss", losses.map((_loss, i) => i + 1), losses, { cls: losses.map((_loss, i) => (i === losses.length - 1 ? "v-s" : "v-q")) });
  plot.line("mean", 0.4, mean, losses.length + 0.6, mean, "v-R thick");
}

export default (page) => {
  page.text("start");
  page.formula("L = −ln q_k = logsumexp(x) − x_k ; logsumexp(x) = ln Σ_(j=1)^C e^(x_j)");
  page.text("mismatch");
  page.predict("eager");
  page.figure("switches", {
    draw: drawSwitches,
    height: 340,
    formula: ({ softmax, from_logits }) => LOSSES[`${softmax} ${from_logits}`],
    readouts: ["loss", "right good", "pull"],
  });
  page.claims("adds_a_softmax", "same_either_way", "noticed");

  page.heading("twice");
  page.text("twice_text");
  page.predict("lowest");
  page.figure("floors", {
    draw: drawFloors,
    height: 360,
    formula: "ln(e + {C} − 1) − 1 = {floor} ; e/(e + {C} − 1) = {most}",
    readouts: ["once good", "twice bad", "floor", "most"],
  });
  page.claims("double_softmax");

  page.heading("meaning");
  page.text("meaning_text");
  page.figure("names", {
    draw: drawNames,
    height: 360,
    formula: ({ head }) => (head === "softmax" ? "ln p_1 = x_1 − logsumexp(x) = {log_1}" : "logit(p_1) = ln(p_1/(1−p_1)) = x_1 = {logit_1}"),
    readouts: ["score_1 v-x", "log_1 v-p", "logit_1 v-k", "spread_log", "apart_logit"],
  });
  page.claims("unnormalized_log_probabilities", "called_logits");

  page.heading("old");
  page.text("old_text");
  page.figure("reductions", {
    draw: drawReductions,
    height: 320,
    readouts: ["result v-R", "divisor"],
  });
  page.claims("old_signature");

  page.heading("table");
  page.text("table_text");
  for (const [library, functions] of Object.entries(TABLE)) page.add(table(library, functions));
  page.text("end");
};
