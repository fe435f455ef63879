import { shown } from "../numbers.js";

const LETTERS = { A: "v-c_1", B: "v-c_2", C: "v-c_3", D: "v-c_4" };

// One message as a strip: a letter is as wide as its word has bits.
function drawStrip(plot, name, { message, words, top, title, cls }) {
  const one = plot.px(1) - plot.px(0);
  let at = 0;
  plot.text(`${name} title`, 0, top, title, { cls: `${cls} strong` });
  message.forEach((letter, i) => {
    const length = words[i].length;
    plot.rectangle(`${name} ${i}`, at + 1 / one, top - 0.23, at + length - 1 / one, top - 0.11, `bar ${LETTERS[letter]}`);
    // Where there is no room for the letters their colours are left.
    if (one * length > 11) plot.text(`${name} letter ${i}`, at + length / 2, top - 0.11, letter, { anchor: "middle", dy: -6, cls: LETTERS[letter] });
    if (one > 8.5) plot.text(`${name} word ${i}`, at + length / 2, top - 0.17, words[i], { anchor: "middle", dy: 5, cls: "on-bar" });
    at += length;
  });
}

function drawCodes(plot, _, { message, words_p, words_q, bits_p, bits_q }, words) {
  plot.frame({ x: [0, Math.max(bits_p, bits_q)], y: [0, 1], yticks: [], xlabel: words("bits") });
  const titled = (key, bits) => `${words(key)}: ${bits}`;
  drawStrip(plot, "p", { message, words: words_p, top: 0.9, title: titled("for_p", bits_p), cls: "v-p" });
  drawStrip(plot, "q", { message, words: words_q, top: 0.42, title: titled("for_q", bits_q), cls: "v-q" });
}

function drawTwo(plot, { x }, { xs, losses, some, pairs, binary, least }) {
  plot.frame({ x: [-8, 8], y: [0, 8.5], xlabel: "$x$", ylabel: "$L$" });
  plot.line("least", -8, least, 8, least, "v-y dashed");
  plot.curve("binary", xs, losses, "v-q");
  plot.points("pairs", some, pairs, "v-q hollow", 5);
  plot.marker("here", x, binary, { label: "x", drag: { x: "x" }, cls: "v-x" });
}

const HIGHEST = 1.12;

function drawArrows(plot, { mode }, { q, y, gradient }, words) {
  plot.frame({ x: [0.4, 4.6], y: [0, HIGHEST + 0.16], xticks: [1, 2, 3, 4].map((value) => ({ value, words: `x${"₁₂₃₄"[value - 1]}` })), yticks: [0, 0.25, 0.5, 0.75, 1], ylabel: words("says") });
  plot.bars("said", [1, 2, 3, 4], q, { cls: "v-q" });
  gradient.forEach((slope, i) => {
    const j = i + 1;
    plot.line(`label ${j}`, j - 0.36, y[i], j + 0.36, y[i], "v-y thick");
    // Against the gradient; what is longer than the figure ends at its edge.
    plot.arrow(`push ${j}`, j, q[i], j, Math.max(0, Math.min(q[i] - slope, HIGHEST)), "ink");
    plot.text(`slope ${j}`, j, HIGHEST + 0.16, shown(slope, 3), { anchor: "middle", dy: 10, cls: slope === 0 ? "muted" : "strong" });
  });
}

const LOSSES = {
  softmax: "L = −Σ_(j=1)^C y_j·ln q_j = {loss} ; ∂L/∂x_1 = q_1 − y_1 = {g_1}",
  probabilities: "L = −Σ_(j=1)^C y_j·ln q_j = {loss} ; ∂L/∂q_1 = −y_1/q_1 = {g_1}",
  positive: "L = −Σ_(j=1)^C y_j·ln σ(x_j) = {loss} ; ∂L/∂x_1 = −y_1·σ(−x_1) = {g_1}",
  both: "L = −Σ_(j=1)^C [y_j·ln σ(x_j) + (1−y_j)·ln σ(−x_j)] ; L = {loss} ; ∂L/∂x_1 = σ(x_1) − y_1 = {g_1}",
};

export default (page) => {
  page.text("start");
  page.formula("H(p, q) = −Σ_(j=1)^C p_j·log_2 q_j ; H(p) = H(p, p)");
  page.predict("wrong_code");
  page.figure("codes", {
    draw: drawCodes,
    height: 460,
    formula: "H(p, q) = −Σ_(j=1)^C p_j·log_2 q_j = {crossing} ; {bits_q}/{count} = {counted}",
    readouts: ["least v-p", "crossing v-q", "counted v-q", "excess"],
  });
  page.claims("agreement", "mismatch", "symmetric");

  page.heading("loss");
  page.text("loss_text");
  page.figure("two", {
    draw: drawTwo,
    height: 360,
    formula: "q = σ({x}) = {q} ; L = −{y}·ln q − (1 − {y})·ln(1 − q) = {binary}",
    readouts: ["binary v-q", "categorical v-q", "least v-y", "slope"],
  });
  page.claims("binary_is_categorical", "minimum_zero");

  page.heading("gradient");
  page.text("gradient_text");
  page.predict("wrong_class");
  page.figure("arrows", {
    draw: drawArrows,
    height: 470,
    formula: ({ mode }) => LOSSES[mode],
    readouts: ["loss", "g_1"],
  });
  page.claims("only_true_class", "others_not_updated", "fear_is_right", "sparse_is_soft");
  page.text("end");
};
