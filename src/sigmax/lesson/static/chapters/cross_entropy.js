// Chapter 8: cross-entropy: the length of a code, the loss of two classes and of many, and where its gradient goes.

import { scoreFor } from "../classes.js";
import { cached, choice, DTYPE, measured, number, numbers } from "../model.js";
import { count, fill, gap, largest, least, linspace, mean, normalRows, py, range, sum } from "../numeric.js";
import { shown } from "../numbers.js";
import { asType, binaryCrossEntropy, crossEntropy, entropy, klDivergence, logit, logSigmoid, logSigmoidVjp, logSoftmax, oneHot, sigmoid, softmax, softplus, uniforms } from "../sigmax.js";

// ---------------------------------------------------------------- codes

const LETTERS = "ABCD";

// The shortest prefix code for letters of these counts: Huffman's lengths, words in order of length.
function codeFor(counts) {
  const lengths = counts.map(() => 0);
  const groups = counts.map((many, letter) => [many, [letter]]);
  while (groups.length > 1) {
    groups.sort(([a, left], [b, right]) => a - b || left[0] - right[0]);
    const [[a, left], [b, right]] = groups.splice(0, 2);
    for (const letter of [...left, ...right]) lengths[letter] += 1;
    groups.push([a + b, [...left, ...right]]);
  }
  const words = [];
  let [word, before] = [0, 0];
  for (const letter of range(counts.length).sort((a, b) => lengths[a] - lengths[b] || a - b)) {
    word <<= lengths[letter] - before;
    words[letter] = word.toString(2).padStart(lengths[letter], "0");
    [word, before] = [word + 1, lengths[letter]];
  }
  return words;
}

// That many of each letter, evenly mixed.
const messageOf = (counts) => counts.flatMap((many, letter) => range(many).map((i) => [(i + 0.5) / many, letter])).sort(([a, x], [b, y]) => a - b || x - y).map(([, letter]) => letter);

// The letters of a message in bits: a prefix code needs no gaps between its words.
function decoded(bits, code) {
  const found = [];
  let word = "";
  for (const bit of bits) {
    word += bit;
    const letter = code.indexOf(word);
    if (letter < 0) continue;
    found.push(letter);
    word = "";
  }
  return found;
}

const shares = (counts) => counts.map((each) => each / sum(counts));
const bitsOf = (q, p) => crossEntropy(q, p, { fromLogits: false }) / Math.LN2;
const lengthOf = (message, code) => sum(message.map((letter) => code[letter].length));

const codes = {
  controls: { p: numbers(1, 4, 1, [4, 2, 1, 1]), q: numbers(1, 4, 1, [2, 1, 1, 4]) },
  presets: {
    reversed: { p: [4, 2, 1, 1], q: [1, 1, 2, 4] },
    right: { p: [4, 2, 1, 1], q: [4, 2, 1, 1] },
    equal: { p: [4, 2, 1, 1], q: [1, 1, 1, 1] },
    swapped: { p: [1, 1, 1, 1], q: [4, 2, 1, 1] },
    whole: { p: [4, 1, 1, 1], q: [4, 1, 1, 1] },
    cheaper: { p: [1, 1, 1, 4], q: [4, 4, 4, 1] },
  },
  prints: "crossing",
  about: 1e-15,
  compute({ p, q }) {
    const [message, forP, forQ] = [messageOf(p), codeFor(p), codeFor(q)];
    const [truth, expected] = [shares(p), shares(q)];
    const [bits_p, bits_q] = [lengthOf(message, forP), lengthOf(message, forQ)];
    return {
      message, bits_p, bits_q, words_p: message.map((i) => forP[i]), words_q: message.map((i) => forQ[i]), count: message.length, counted: bits_q / message.length,
      least: entropy(truth, { fromLogits: false }) / Math.LN2, crossing: bitsOf(expected, truth), excess: klDivergence(expected, truth, { fromLogits: false }) / Math.LN2,
    };
  },
  python: ({ p, q }) => `import numpy as np, sigmax
p, q = np.array(${py(p)}) / ${sum(p)}, np.array(${py(q)}) / ${sum(q)}
print(sigmax.cross_entropy(q, p, from_logits=False) / np.log(2))`,
  height: 460,
  formula: "H(p, q) = −Σ_(j=1)^C p_j·log_2 q_j = {crossing} ; {bits_q}/{count} = {counted}",
  readouts: ["least v-p", "crossing v-q", "counted v-q", "excess"],
  draw(plot, state, { message, words_p, words_q, bits_p, bits_q }, words) {
    plot.frame({ x: [0, Math.max(bits_p, bits_q)], y: [0, 1], yticks: [], xlabel: words("bits") });
    drawStrip(plot, "p", { message, words: words_p, top: 0.9, title: `${words("for_p")}: ${bits_p}`, cls: "v-p" });
    drawStrip(plot, "q", { message, words: words_q, top: 0.42, title: `${words("for_q")}: ${bits_q}`, cls: "v-q" });
  },
};

// One message as a strip: a letter is as wide as its word has bits.
function drawStrip(plot, name, { message, words, top, title, cls }) {
  const one = plot.px(1) - plot.px(0);
  let at = 0;
  plot.text(`${name} title`, 0, top, title, { cls: `${cls} strong` });
  message.forEach((letter, i) => {
    const length = words[i].length;
    const colour = `v-c_${letter + 1}`;
    plot.rectangle(`${name} ${i}`, at + 1 / one, top - 0.23, at + length - 1 / one, top - 0.11, `bar ${colour}`);
    // Where there is no room for the letters their colours are left.
    if (one * length > 11) plot.text(`${name} letter ${i}`, at + length / 2, top - 0.11, LETTERS[letter], { anchor: "middle", dy: -6, cls: colour });
    if (one > 8.5) plot.text(`${name} word ${i}`, at + length / 2, top - 0.17, words[i], { anchor: "middle", dy: 5, cls: "on-bar" });
    at += length;
  });
}

// ---------------------------------------------------------------- two classes

const XS = linspace(-8, 8, 161);
const SOME = XS.filter((x, i) => i % 16 === 0);

const two = {
  controls: { x: number(-8, 8, 0.05, 2), y: number(0, 1, 0.05, 1) },
  presets: { sure: { x: 6, y: 1 }, wrong: { x: -6, y: 1 }, soft: { x: 3, y: 0.3 }, bottom: { x: -0.85, y: 0.3 } },
  prints: "binary",
  compute: ({ x, y }) => ({
    q: sigmoid(x), binary: binaryCrossEntropy(x, y), categorical: crossEntropy([x, 0], [y, 1 - y]),
    least: entropy([y, 1 - y], { fromLogits: false }), slope: binaryCrossEntropy(x, y, { gradient: true })[1],
  }),
  python: ({ x, y }) => `import sigmax\nx, y = ${x}, ${y}\nprint(sigmax.binary_cross_entropy(x, y))`,
  height: 360,
  formula: "q = σ({x}) = {q} ; L = −{y}·ln q − (1 − {y})·ln(1 − q) = {binary}",
  readouts: ["binary v-q", "categorical v-q", "least v-y", "slope"],
  draw(plot, { x, y }, { binary, least: lowest }) {
    plot.frame({ x: [-8, 8], y: [0, 8.5], xlabel: "$x$", ylabel: "$L$" });
    plot.line("least", -8, lowest, 8, lowest, "v-y dashed");
    plot.curve("binary", XS, binaryCrossEntropy(XS, fill(XS.length, y), { reduction: "none" }), "v-q");
    plot.points("pairs", SOME, crossEntropy(SOME.map((each) => [each, 0]), SOME.map(() => [y, 1 - y]), { reduction: "none" }), "v-q hollow", 5);
    plot.marker("here", x, binary, { label: "x", drag: { x: "x" }, cls: "v-x" });
  },
};

// ---------------------------------------------------------------- gradients

const SCORES = [2, 1, -1, 0.5];
const SOFT = [0.1, 0.6, 0.1, 0.2];
const LABELS = { index: 1, one_hot: [0, 1, 0, 0], soft: SOFT };
const HIGHEST = 1.12;

// Of logits and label: q that the bars show, the loss, and its gradient.
const LOSSES = {
  softmax: (x, y, dtype) => [softmax(x, { dtype }), ...crossEntropy(x, y, { dtype, gradient: true })],
  probabilities(x, y, dtype) {
    const q = softmax(x, { dtype });
    return [q, ...crossEntropy(q, y, { fromLogits: false, dtype, gradient: true })];
  },
  positive(x, y, dtype) {
    const labels = asType(y, dtype);
    const terms = asType(logSigmoid(x, { dtype }).map((each, j) => labels[j] * each), dtype);
    // As NumPy adds: the first to the sum of the others, halves as floats.
    const added = (before, each) => (dtype === "float64" ? before + each : Math.fround(before + each));
    const total = added(terms[0], terms.slice(1).reduce(added));
    return [sigmoid(x, { dtype }), asType(-total, dtype), logSigmoidVjp(x, y.map((each) => -each), { dtype })];
  },
  both: (x, y, dtype) => [sigmoid(x, { dtype }), ...binaryCrossEntropy(x, y, { reduction: "sum", dtype, gradient: true })],
};
const PYTHON = {
  softmax: "print(sigmax.cross_entropy(x, y))",
  probabilities: "q = sigmax.softmax(x)\nprint(sigmax.cross_entropy(q, y, from_logits=False))",
  positive: "print(-(y * sigmax.log_sigmoid(x)).sum())",
  both: 'print(sigmax.binary_cross_entropy(x, y, reduction="sum"))',
};
const FORMULAS = {
  softmax: "L = −Σ_(j=1)^C y_j·ln q_j = {loss} ; ∂L/∂x_1 = q_1 − y_1 = {g_1}",
  probabilities: "L = −Σ_(j=1)^C y_j·ln q_j = {loss} ; ∂L/∂q_1 = −y_1/q_1 = {g_1}",
  positive: "L = −Σ_(j=1)^C y_j·ln σ(x_j) = {loss} ; ∂L/∂x_1 = −y_1·σ(−x_1) = {g_1}",
  both: "L = −Σ_(j=1)^C [y_j·ln σ(x_j) + (1−y_j)·ln σ(−x_j)] ; L = {loss} ; ∂L/∂x_1 = σ(x_1) − y_1 = {g_1}",
};
const isIndexed = ({ mode, label }) => label === "index" && (mode === "softmax" || mode === "probabilities");
const targetOf = (label) => (label === "index" ? oneHot(1, 4) : LABELS[label]);

const arrows = {
  controls: { x: numbers(-10, 10, 0.1, SCORES), label: choice(["index", "one_hot", "soft"], "index"), mode: choice(["softmax", "probabilities", "positive", "both"], "softmax"), dtype: DTYPE },
  presets: {
    surer: { x: [0, 5, -1, 0.5] },
    soft: { mode: "softmax", label: "soft" },
    probabilities: { mode: "probabilities", label: "index" },
    positive: { mode: "positive", label: "index" },
    both: { mode: "both", label: "index" },
    underflow: { x: [9, 9, -9, 0.5], dtype: "float16" },
  },
  prints: "loss",
  compute(state) {
    const { x, label, mode, dtype } = state;
    const [q, loss, gradient] = LOSSES[mode](asType(x, dtype), isIndexed(state) ? 1 : targetOf(label), dtype);
    return { q, y: targetOf(label), gradient, g_1: gradient[0], loss };
  },
  python: (state) => `import numpy as np, sigmax
x = np.array(${py(state.x)}, np.${state.dtype})
${isIndexed(state) ? "y = 1" : `y = np.array(${py(targetOf(state.label))}, np.${state.dtype})`}
${PYTHON[state.mode]}`,
  height: 470,
  formula: ({ mode }) => FORMULAS[mode],
  readouts: ["loss", "g_1"],
  draw(plot, { x, mode }, { q, y, gradient }, words) {
    plot.frame({ x: [0.4, 4.6], y: [0, HIGHEST + 0.16], xticks: [1, 2, 3, 4].map((value) => ({ value, words: `x${"₁₂₃₄"[value - 1]}` })), yticks: [0, 0.25, 0.5, 0.75, 1], ylabel: words("says") });
    plot.bars("said", [1, 2, 3, 4], q, { cls: "v-q" });
    const alone = mode === "positive" || mode === "both";
    gradient.forEach((slope, i) => {
      const j = i + 1;
      plot.line(`label ${j}`, j - 0.36, y[i], j + 0.36, y[i], "v-y thick");
      // Against the gradient; what is longer than the figure ends at its edge.
      plot.arrow(`push ${j}`, j, q[i], j, Math.max(0, Math.min(q[i] - slope, HIGHEST)), "ink");
      plot.text(`slope ${j}`, j, HIGHEST + 0.16, shown(slope, 3), { anchor: "middle", dy: 10, cls: slope === 0 ? "muted" : "strong" });
      plot.marker(`grip ${j}`, j - 0.3, q[i], { label: `q${"₁₂₃₄"[i]}`, drag: (_at, height) => ({ x: alone ? x.with(i, logit(Math.min(Math.max(height, 1e-4), 1 - 1e-4))) : scoreFor(x, i, height) }), step: [0, 0.02], cls: "v-q up", words: shown(q[i], 3) });
    });
  },
};

// ---------------------------------------------------------------- claims

const EIGHTHS = [0.5, 0.25, 0.125, 0.125];
const BACKWARDS = [...EIGHTHS].reverse();
const batch = cached(() => ({ x: normalRows(4, 4000, 4, 3), index: uniforms(5, 4000).map((u) => Math.floor(4 * u)) }));
const distributions = cached(() => [softmax(normalRows(8, 8000, 4, 1.5)), softmax(normalRows(9, 8000, 4, 1.5))]);

const claims = {
  agreement: {
    verdict: "F", figure: "codes", preset: "reversed",
    check() {
      const message = uniforms(8, 8000).map((chance) => [0.5, 0.75, 0.875, 1].findIndex((end) => chance < end));
      const exact = range(8).flatMap(() => messageOf([4, 2, 1, 1]));
      const [right, wrong] = [codeFor([4, 2, 1, 1]), codeFor([1, 1, 2, 4])];
      const read = decoded(message.map((i) => wrong[i]).join(""), wrong);
      return [
        measured('"right"', lengthOf(exact, right) / exact.length, "=", 1.75),
        measured('"wrong"', lengthOf(exact, wrong) / exact.length, "=", 2.625),
        measured("|2.625 − H(p, q)|", Math.abs(2.625 - bitsOf(BACKWARDS, EIGHTHS)), "≤", 1e-15),
        measured('"misread"', count(message, (letter, i) => letter !== read[i]), "=", 0),
      ];
    },
  },
  mismatch: {
    verdict: "T", figure: "codes", preset: "right",
    check() {
      const [p, q] = distributions();
      const crossing = crossEntropy(q, p, { fromLogits: false, reduction: "none" });
      const [own, apart] = [entropy(p, { fromLogits: false }), klDivergence(q, p, { fromLogits: false, reduction: "none" })];
      return [
        measured("max |H(p, q) − H(p) − KL(p ∥ q)|", largest(crossing.map((each, i) => Math.abs(each - own[i] - apart[i]))), "≤", 1e-14),
        measured("min KL(p ∥ q)", least(apart), "≥", 0),
        measured("KL(p ∥ p)", klDivergence(EIGHTHS, EIGHTHS, { fromLogits: false }), "=", 0),
        measured("H(p)", entropy(EIGHTHS, { fromLogits: false }) / Math.LN2, "=", 1.75),
      ];
    },
  },
  symmetric: {
    verdict: "F", figure: "codes", preset: "swapped",
    check() {
      const equal = fill(4, 0.25);
      return [measured("H(p, q)", bitsOf(equal, EIGHTHS), "=", 2), measured("H(q, p)", bitsOf(EIGHTHS, equal), "=", 2.25)];
    },
  },
  binary_is_categorical: {
    verdict: "T", figure: "two", preset: "wrong",
    check() {
      const [x, y] = [linspace(-40, 40, 2001), range(2001).map((i) => (i % 3) / 2)];
      const one = binaryCrossEntropy(x, y, { reduction: "none" });
      const pair = crossEntropy(x.map((each) => [each, 0]), y.map((each) => [each, 1 - each]), { reduction: "none" });
      const hard = binaryCrossEntropy(x, fill(x.length, 1), { reduction: "none" });
      return [
        measured("max |L_2/L_1 − 1|", largest(pair.map((each, i) => Math.abs(each / one[i] - 1))), "≤", 1e-15),
        measured("y = 1: max |L − softplus(−x)|", gap(hard, softplus(x.map((each) => -each))), "≤", 1e-14),
        measured("x = 0, y = 1: |L − ln 2|", Math.abs(binaryCrossEntropy(0, 1) - Math.LN2), "≤", 1e-15),
      ];
    },
  },
  mean_of_samples: {
    verdict: "T", figure: "two", preset: "soft",
    check() {
      const [x, y] = [normalRows(6, 1, 1000, 3)[0], uniforms(7, 1000).map((u) => Number(u < 0.4))];
      const p = sigmoid(x);
      const formula = -mean(p.map((each, n) => (y[n] ? Math.log(each) : Math.log(sigmoid(-x[n])))));
      const loss = binaryCrossEntropy(x, y);
      return [
        measured('"formula"', Math.abs(loss - formula), "≤", 1e-14),
        measured('"each"', Math.abs(loss - mean(binaryCrossEntropy(x, y, { reduction: "none" }))), "≤", 1e-14),
      ];
    },
  },
  minimum_zero: {
    verdict: "F", figure: "two", preset: "bottom",
    check() {
      const [, q] = distributions();
      const [at, slopes] = crossEntropy(SOFT.map(Math.log), SOFT, { gradient: true });
      const elsewhere = crossEntropy(q, q.map(() => SOFT), { fromLogits: false, reduction: "none" });
      return [
        measured("|H(p, p) − 1.0889|", Math.abs(at - 1.0889), "≤", 1e-4),
        measured("|H(p, p) − H(p)|", Math.abs(at - entropy(SOFT, { fromLogits: false })), "≤", 1e-15),
        measured('"gradient"', largest(slopes.map(Math.abs)), "≤", 1e-15),
        measured("min H(p, q) − H(p)", least(elsewhere) - at, "≥", 0),
      ];
    },
  },
  only_true_class: {
    verdict: "T", figure: "arrows", preset: "surer",
    check() {
      const { x, index } = batch();
      const logs = logSoftmax(x).map((row, i) => -row[index[i]]);
      return [
        measured("max |L − (−ln q_k)|", gap(crossEntropy(x, index, { reduction: "none" }), logs), "≤", 1e-14),
        measured("|L + ln 0.224|", Math.abs(crossEntropy(SCORES, 1) + Math.log(0.224)), "≤", 2e-3),
      ];
    },
  },
  others_not_updated: {
    verdict: "F", figure: "arrows", preset: "surer",
    check() {
      const { x, index } = batch();
      const [, slopes] = crossEntropy(x, index, { reduction: "sum", gradient: true });
      const expected = softmax(x).map((row, i) => row.map((q, j) => q - Number(j === index[i])));
      const h = 1e-5;
      const differences = SCORES.map((score, j) => (crossEntropy(SCORES.with(j, score + h), 1) - crossEntropy(SCORES.with(j, score - h), 1)) / (2 * h));
      const [, here] = crossEntropy(SCORES, 1, { gradient: true });
      const features = [0.3, -1.2, 0.7, 2, -0.4];
      return [
        measured("max |∂L/∂x_j − (q_j − y_j)|", gap(slopes, expected), "≤", 1e-15),
        measured('"differences"', gap(differences, here), "≤", 1e-9),
        measured('"wrong"', least(slopes.flatMap((row, i) => row.filter((_slope, j) => j !== index[i]))), ">", 0),
        measured('"sum"', largest(slopes.map((row) => Math.abs(sum(row)))), "≤", 1e-15),
        measured('"rows"', count(here, (slope) => features.some((feature) => slope * feature !== 0)), "=", 4),
      ];
    },
  },
  fear_is_right: {
    verdict: "T*", figure: "arrows", preset: "probabilities",
    check() {
      const wrong = [0, 2, 3];
      const of = (mode, y, x = SCORES, dtype = "float64") => LOSSES[mode](x, y, dtype)[2];
      return [
        measured('"probabilities"', Math.max(...wrong.map((j) => Math.abs(of("probabilities", 1)[j]))), "=", 0),
        measured('"positive"', Math.max(...wrong.map((j) => Math.abs(of("positive", LABELS.one_hot)[j]))), "=", 0),
        measured('"both"', Math.min(...wrong.map((j) => of("both", LABELS.one_hot)[j])), ">", 0),
        measured('"underflow"', of("softmax", 1, [2, 1, -300, 0.5], "float32")[2], "=", 0),
      ];
    },
  },
  sparse_is_soft: {
    verdict: "F", figure: "arrows", preset: "soft",
    check() {
      const { x, index } = batch();
      const [short, long] = [crossEntropy(x, index, { reduction: "none" }), crossEntropy(x, oneHot(index, 4), { reduction: "none" })];
      return [
        measured('"same"', gap(short, long), "≤", 1e-15),
        measured('"soft"', crossEntropy(SCORES, SOFT) - crossEntropy(SCORES, 1), ">", 0.1),
        measured('"update"', gap(crossEntropy(SCORES, SOFT, { gradient: true })[1], softmax(SCORES).map((q, j) => q - SOFT[j])), "≤", 1e-15),
      ];
    },
  },
};

// ---------------------------------------------------------------- the chapter

export default {
  figures: { codes, two, arrows },
  predictions: {
    wrong_code: { low: 0, high: 4, step: 0.125, answer: () => bitsOf(BACKWARDS, EIGHTHS) },
    wrong_class: { low: -1, high: 1, step: 0.01, answer: () => crossEntropy(SCORES, 1, { gradient: true })[1][0] },
  },
  claims,
  exercises: {
    equal_code: { answer: () => bitsOf(fill(4, 0.25), EIGHTHS), within: 0.001 },
    true_class: { answer: () => 0.8 - 1, within: 0.001 },
  },
  page(page) {
    page.text("start");
    page.formula("H(p, q) = −Σ_(j=1)^C p_j·log_2 q_j ; H(p) = H(p, p)");
    page.predict("wrong_code");
    page.figure("codes");
    page.claims("agreement", "mismatch", "symmetric");

    page.heading("loss");
    page.text("loss_text");
    page.formula("L = −1/N·Σ_(n=1)^N [y_n·ln q_n + (1−y_n)·ln(1−q_n)]");
    page.figure("two");
    page.claims("binary_is_categorical", "mean_of_samples", "minimum_zero");

    page.heading("gradient");
    page.text("gradient_text");
    page.predict("wrong_class");
    page.figure("arrows");
    page.claims("only_true_class", "others_not_updated", "fear_is_right", "sparse_is_soft");
    page.text("end");
  },
};
