// Chapter 5: two classes from one number: what is fed, what a network learns, and what a bias can do.

import { cached, choice, measured, number } from "../model.js";
import { argmax, column, fill, gap, largest, least, linspace, normalRows, normals, PYTHON_NORMALS, range, tidy, times, transposed } from "../numeric.js";
import { shown } from "../numbers.js";
import { binaryCrossEntropy, crossEntropy, entropy, logit, sigmoid, softmax, uniforms } from "../sigmax.js";

const score = (start) => number(-5, 5, 0.1, start);

// ---------------------------------------------------------------- one formula for both classes

const ROOM = 60; // pixels: a part is labelled only where the label has room

const written = {
  controls: { a: score(2), b: score(1) },
  presets: { too_much: { a: 2.5, b: 1 }, too_little: { a: 1, b: 2.5 }, tie: { a: 1, b: 1 } },
  prints: "total_written",
  compute({ a, b }) {
    const x = tidy(a - b);
    const [p_a, p_b] = [sigmoid(x), sigmoid(-x)];
    return { p_a, p_b, total_written: p_a + p_a, total: p_a + p_b };
  },
  python: ({ a, b }) => `import sigmax\np = sigmax.sigmoid(round(${a} - ${b}, 10))\nprint(p + p)`,
  height: 250,
  formula: "σ({a}-{b}) + σ({a}-{b}) = {total_written} ; σ({a}-{b}) + σ({b}-{a}) = {total}",
  readouts: ["p_a", "p_b", "total_written", "total"],
  draw(plot, { b }, { p_a, p_b }, words) {
    plot.frame({ x: [0, 2], y: [0, 2], yticks: [], xticks: [0, 0.5, 1, 1.5, 2], grid: false });
    plot.line("one", 1, 0, 1, 2, "ink dashed");
    [["row_written", p_a, p_a], ["row_right", p_a, p_b]].forEach(([row, first, second], i) => {
      const y = 1.38 - i;
      plot.text(row, 0, y + 0.3, words(row), { cls: "muted", dy: -8 });
      plot.rectangle(`a ${i}`, 0, y - 0.3, first, y + 0.3, "bar v-a");
      plot.rectangle(`b ${i}`, first, y - 0.3, first + second, y + 0.3, "bar v-b");
      const wide = (part) => plot.px(part) - plot.px(0) > ROOM;
      if (wide(first)) plot.text(`first ${i}`, first / 2, y, shown(first, 3), { dy: 5, anchor: "middle", cls: "on-bar strong" });
      // Aside, where the line at 1 would strike it through.
      const middle = first + second / 2;
      const struck = Math.abs(plot.px(middle) - plot.px(1)) < ROOM / 2;
      if (wide(second)) plot.text(`second ${i}`, struck ? first + second : middle, y, shown(second, 3), { dy: 5, dx: struck ? -8 : 0, anchor: struck ? "end" : "middle", cls: "on-bar strong" });
      plot.marker(`cut ${i}`, first, y, { label: `${words(row)}, σ(a−b)`, drag: (at) => ({ a: b + logit(Math.min(Math.max(at, 1e-3), 1 - 1e-3)) }), step: [0.03, 0], cls: "v-a across", words: shown(first, 3) });
    });
  },
};

// ---------------------------------------------------------------- what is fed

const FED_XS = linspace(-10, 10, 201);

const fed = {
  controls: { fed: choice(["difference", "only_a"], "difference"), a: score(2), b: score(1) },
  presets: { apart: { a: 3, b: -1, fed: "difference" }, only_a: { a: 2, b: 1, fed: "only_a" }, reference: { a: 2, b: 0, fed: "only_a" } },
  prints: "p_a",
  compute({ fed: taken, a, b }) {
    const difference = tidy(a - b);
    const x = taken === "difference" ? difference : a;
    const [p_a, p_b] = [sigmoid(x), sigmoid(-x)];
    return { x, difference, p_a, p_b, total: p_a + p_b, wanted: softmax([a, b])[0] };
  },
  python: (_, { x }) => `import sigmax\nx = ${x}\nprint(sigmax.sigmoid(x))`,
  formula: "[σ({x}), σ(-{x})] = [{p_a}, {p_b}]",
  readouts: ["x", "p_a", "p_b", "total", "wanted v-a"],
  draw(plot, { fed: taken, a, b }, { x, difference, p_a }) {
    const ps = sigmoid(FED_XS);
    plot.frame({ x: [-10, 10], y: [0, 1], xlabel: "$x$", ylabel: "$p$" });
    plot.region("a", FED_XS, fill(ps.length, 0), ps, "v-a");
    plot.region("b", FED_XS, ps, fill(ps.length, 1), "v-b");
    plot.curve("cut", FED_XS, ps, "ink thin");
    plot.text("a label", 6.5, 0.5, "σ(x)", { cls: "v-a strong", anchor: "middle", dy: 5 });
    plot.text("b label", -6.5, 0.5, "σ(−x)", { cls: "v-b strong", anchor: "middle", dy: 5 });
    plot.line("difference", difference, 0, difference, 1, "ink dashed");
    plot.line("slice a", x, 0, x, p_a, "v-a thick");
    plot.line("slice b", x, p_a, x, 1, "v-b thick");
    const less = taken === "difference" ? b : 0;
    plot.marker("here", a - less, p_a, { label: "x", drag: (at) => ({ a: at + less }), step: [0.1, 0], cls: "v-x", words: `x = ${shown(x)}, ${shown(p_a)}` });
  },
};

// ---------------------------------------------------------------- two logits or one, trained

const COUNT = 60;
const STEPS = 40;
const DECAY = 0.2;
const TRUTH = [1.2, -2, 0.5];

// Points with a constant 1 beside them, and whether they are of class a.
const points = cached(() => {
  const [u, v, chance] = [normals(1, COUNT), normals(2, COUNT), uniforms(3, COUNT)];
  const rows = u.map((each, i) => [1.5 * each, 0.6 * v[i], 1]);
  return { rows, columns: transposed(rows), isA: sigmoid(times(rows, TRUTH)).map((p, i) => Number(chance[i] < p)) };
});

// Gradient descent with a logit per class, a first: weights and loss at every step.
function trainTwo(start, rate, decay, steps) {
  const { rows, columns, isA } = points();
  const labels = isA.map((a) => 1 - a);
  let w = start;
  return range(steps + 1).map(() => {
    const [loss, slopes] = crossEntropy(rows.map((row) => [0, 1].map((k) => row[0] * w[0][k] + row[1] * w[1][k] + row[2] * w[2][k])), labels, { gradient: true });
    const here = { w, loss, difference: w.map(([a, b]) => a - b), total: w.map(([a, b]) => a + b) };
    const gradient = columns.map((feature) => [0, 1].map((k) => feature.reduce((sum, each, i) => sum + each * slopes[i][k], 0)));
    w = w.map((row, j) => row.map((each, k) => each - rate * (gradient[j][k] + decay * each)));
    return here;
  });
}

// And with one logit, for class a.
function trainOne(start, rate, decay, steps) {
  const { rows, columns, isA } = points();
  let w = start;
  return range(steps + 1).map(() => {
    const [loss, slopes] = binaryCrossEntropy(times(rows, w), isA, { gradient: true });
    const here = { w, loss };
    const gradient = times(columns, slopes);
    w = w.map((each, j) => each - rate * (gradient[j] + decay * each));
    return here;
  });
}

const zeros = [[0, 0], [0, 0], [0, 0]];
const farthestApart = (two, one) => largest(two.map(({ difference }, i) => gap(difference, one[i].w)));
const decays = { none: [0, 0], same: [DECAY, DECAY], half: [DECAY, DECAY / 2] };

const training = {
  controls: { factor: number(0.5, 3, 0.1, 1), rate: number(0.1, 1.5, 0.1, 0.5), decay: choice(["none", "same", "half"], "none") },
  presets: { slower: { factor: 0.5 }, twice: { factor: 2 }, same_decay: { factor: 2, decay: "same" }, half_decay: { factor: 2, decay: "half" } },
  prints: "loss_two",
  about: 1e-10,
  compute({ factor, rate, decay }) {
    const [two, one] = [trainTwo(zeros, rate, decays[decay][0], STEPS), trainOne([0, 0, 0], tidy(factor * rate), decays[decay][1], STEPS)];
    return { two, one, loss_two: two.at(-1).loss, loss_one: one.at(-1).loss, gap: farthestApart(two, one) };
  },
  python: ({ rate, factor, decay }) => `import numpy as np, sigmax
${PYTHON_NORMALS}
points = np.column_stack([1.5 * normal(1, ${COUNT}), 0.6 * normal(2, ${COUNT}), np.ones(${COUNT})])
is_a = random(3, ${COUNT}) < sigmax.sigmoid(points @ [${TRUTH.join(", ")}])
two_loss = sigmax.value_and_grad(sigmax.cross_entropy)
one_loss = sigmax.value_and_grad(sigmax.binary_cross_entropy)
two, one = np.zeros((3, 2)), np.zeros(3)
for _ in range(${STEPS}):
    slope_two = points.T @ two_loss(points @ two, np.where(is_a, 0, 1))[1] + ${decays[decay][0]} * two
    slope_one = points.T @ one_loss(points @ one, is_a)[1] + ${decays[decay][1]} * one
    two, one = two - ${rate} * slope_two, one - ${tidy(factor * rate)} * slope_one
print(sigmax.cross_entropy(points @ two, np.where(is_a, 0, 1)))`,
  readouts: ["loss_two v-a", "loss_one v-b", "gap"],
  panels: [
    {
      height: 320,
      draw(plot, _, { two, one }, words) {
        const steps = range(STEPS + 1);
        plot.frame({ x: [0, STEPS], y: [0.3, 0.8], xlabel: words("step"), ylabel: words("loss") });
        plot.curve("two", steps, two.map(({ loss }) => loss), "v-a thick");
        plot.points("one", steps.filter((i) => i % 2 === 0), one.filter((_step, i) => i % 2 === 0).map(({ loss }) => loss), "v-b hollow", 3);
      },
    },
    {
      height: 320,
      draw(plot, _, { two, one }) {
        const [path, other] = [two.map(({ difference }) => difference), one.map(({ w }) => w)];
        plot.frame({ x: [0, 2.4], y: [-2.7, 0.2], xlabel: "w₁", ylabel: "w₂" });
        plot.curve("two", column(path, 0), column(path, 1), "v-a thin");
        plot.points("two step", column(path, 0), column(path, 1), "v-a", 4);
        plot.points("one step", column(other, 0), column(other, 1), "v-b hollow", 3);
      },
    },
  ],
};

// ---------------------------------------------------------------- a constant for b

const FIRST = [2, 2]; // a and b of the first sample
const SECOND_A = 4;
const BIASES = linspace(-9, 1, 201);
const missOf = (a, b, cs) => { const [wanted, got] = [sigmoid(a - b), sigmoid(cs.map((c) => a + c))]; return got.map((p) => Math.abs(p - wanted)); };
const worseOf = (b, cs) => { const [first, second] = [missOf(...FIRST, cs), missOf(SECOND_A, b, cs)]; return first.map((miss, i) => Math.max(miss, second[i])); };
const CANDIDATES = linspace(-10, 2, 12001);
const leastWorse = cached((b) => least(worseOf(b, CANDIDATES)));

const constant = {
  controls: { c: number(-9, 1, 0.05, -2), b: number(0, 8, 0.1, 5) },
  presets: { different: { b: 5, c: -3.6 }, second_only: { b: 5, c: -5 }, same: { b: 2, c: -2 } },
  prints: "worse",
  compute({ c, b }) {
    const [first] = missOf(...FIRST, [c]);
    const [second] = missOf(SECOND_A, b, [c]);
    return { first, second, worse: Math.max(first, second), least: leastWorse(b) };
  },
  python: ({ c, b }) => `import numpy as np, sigmax\na, b, c = np.array([${FIRST[0]}, ${SECOND_A}]), np.array([${FIRST[1]}, ${b}]), ${c}\nprint(np.abs(sigmax.sigmoid(a + c) - sigmax.sigmoid(a - b)).max())`,
  formula: "|σ(2+{c}) − σ(2-2)| = {first} ; |σ(4+{c}) − σ(4-{b})| = {second}",
  readouts: ["first v-a", "second v-b", "worse", "least"],
  draw(plot, { c, b }, { worse, least: best }, words) {
    const [firsts, seconds] = [missOf(...FIRST, BIASES), missOf(SECOND_A, b, BIASES)];
    plot.frame({ x: [-9, 1], y: [0, 1], xlabel: "$c$", ylabel: words("miss") });
    plot.region("worse", BIASES, fill(BIASES.length, 0), firsts.map((miss, i) => Math.max(miss, seconds[i])), "muted");
    plot.curve("first", BIASES, firsts, "v-a");
    plot.curve("second", BIASES, seconds, "v-b");
    plot.line("least", -9, best, 1, best, "muted thin dashed");
    plot.marker("valley", -b, 0, { label: words("b").replaceAll("$", ""), drag: (at) => ({ b: -at }), step: [0.1, 0], cls: "v-b across", words: shown(b) });
    plot.marker("here", c, worse, { label: words("c").replaceAll("$", ""), drag: { x: "c" }, cls: "v-c", words: `c = ${shown(c)}, ${shown(worse)}` });
  },
};

// ---------------------------------------------------------------- a constant for the prior

const PRIOR_STEPS = 60;
const HIGHEST = 1.5;
const CS = linspace(-6, 6, 241);
const lossAt = (c, prior) => binaryCrossEntropy(c, prior);
const lossesAt = (cs, prior) => binaryCrossEntropy(cs, fill(cs.length, prior), { reduction: "none" });

const first_loss = {
  controls: { c: number(-6, 6, 0.01, 0), prior: number(0.01, 0.99, 0.01, 0.03) },
  presets: { logit: { c: -3.48, prior: 0.03 }, balanced: { c: 0, prior: 0.5 }, mostly: { c: 0, prior: 0.9 } },
  prints: "loss",
  compute({ c, prior }) {
    const walk = [c];
    for (let i = 0; i < PRIOR_STEPS; i++) walk.push(walk[i] - (sigmoid(walk[i]) - prior));
    return { walk, loss: lossAt(c, prior), least: lossAt(logit(prior), prior), best: logit(prior) };
  },
  python: ({ c, prior }) => `import sigmax\nprint(sigmax.binary_cross_entropy(${c}, ${prior}))`,
  formula: "p = σ({c}) ; logit({prior}) = {best}",
  readouts: ["loss", "least", "best good"],
  panels: [
    {
      height: 320,
      draw(plot, { c, prior }, { loss, least: lowest, best }, words) {
        plot.frame({ x: [-6, 6], y: [0, HIGHEST], xticks: [-6, -3, 0, 3, 6], xlabel: "$c$", ylabel: words("loss") });
        plot.curve("loss", CS, lossesAt(CS, prior), "ink");
        plot.line("best", best, 0, best, lowest, "good thick");
        plot.text("best label", best, lowest, shown(best, 3), { cls: "good strong", anchor: "middle", dy: -18 });
        plot.marker("fraction", best, lowest, { label: words("prior"), drag: (at) => ({ prior: sigmoid(at) }), step: [0.5, 0], cls: "good across", words: shown(prior) });
        plot.marker("here", c, Math.min(loss, HIGHEST), { label: words("c").replaceAll("$", ""), drag: { x: "c" }, cls: "v-c", words: `c = ${shown(c)}, ${shown(loss)}` });
      },
    },
    {
      height: 320,
      draw(plot, { prior }, { least: lowest, walk }, words) {
        plot.frame({ x: [0, PRIOR_STEPS], y: [0, HIGHEST], xlabel: words("step"), ylabel: words("loss") });
        plot.line("least", 0, lowest, PRIOR_STEPS, lowest, "good dashed");
        plot.curve("walk", range(PRIOR_STEPS + 1), lossesAt(walk, prior), "v-c");
      },
    },
  ],
};

// ---------------------------------------------------------------- claims

const MANY = 20000;
const stacked = (x, y) => x.map((each, i) => [each, y[i]]);

const claims = {
  for_both: {
    verdict: "F", figure: "written", preset: "too_much",
    check() {
      const x = normalRows(1, MANY, 2, 3);
      const [p, q] = [sigmoid(x.map(([a, b]) => a - b)), sigmoid(x.map(([a, b]) => b - a))];
      const shares = softmax(x);
      return [
        measured("σ(1.5) + σ(1.5)", 2 * sigmoid(1.5), ">", 1.6),
        measured("max |σ(a−b) + σ(b−a) − 1|", gap(p.map((each, i) => each + q[i]), fill(MANY, 1)), "≤", 3e-16),
        measured("max |e^a/(e^a+e^b) − σ(a−b)|", gap(column(shares, 0), p), "≤", 1e-15),
        measured("max |e^b/(e^a+e^b) − σ(b−a)|", gap(column(shares, 1), q), "≤", 1e-15),
      ];
    },
  },
  one_letter: {
    verdict: "N", figure: "written", preset: "too_little",
    check: () => [
      measured("|σ(1) − e^1/(e^1+e^2.5)|", Math.abs(sigmoid(1) - softmax([1, 2.5])[0]), ">", 0.5),
      measured("|σ(1−2.5) − e^1/(e^1+e^2.5)|", Math.abs(sigmoid(-1.5) - softmax([1, 2.5])[0]), "≤", 1e-15),
    ],
  },
  feed_difference: {
    verdict: "F", figure: "fed", preset: "only_a",
    check() {
      const x = normals(2, MANY).map((z) => 6 * z);
      const pair = stacked(sigmoid(x), sigmoid(x.map((each) => -each)));
      return [
        measured("min(σ(x), σ(−x))", least(pair.flat()), ">", 0),
        measured("max |σ(x) + σ(−x) − 1|", gap(pair.map(([p, q]) => p + q), fill(MANY, 1)), "≤", 3e-16),
        measured("max |(σ(x), σ(−x)) − (e^x, e^0)/(e^x+e^0)|", gap(pair, softmax(x.map((each) => [each, 0]))), "≤", 3e-16),
      ];
    },
  },
  learns_normalisation: {
    verdict: "T*", figure: "training", preset: "twice",
    check() {
      const anywhere = normalRows(7, 3, 2, 1);
      const apart = (begin, factor, decay, decayOne) => farthestApart(trainTwo(begin, 0.5, decay, 500), trainOne(begin.map(([a, b]) => a - b), factor * 0.5, decayOne, 500));
      const totals = trainTwo(anywhere, 0.5, 0, 500).map(({ total }) => total);
      return [
        measured('"zeros"', apart(zeros, 2, 0, 0), "≤", 1e-13),
        measured('"anywhere"', apart(anywhere, 2, 0, 0), "≤", 1e-13),
        measured('"total"', largest(totals.map((total) => gap(total, totals[0]))), "≤", 1e-13),
        measured('"equal"', apart(zeros, 1, 0, 0), ">", 0.1),
        measured('"same decay"', apart(zeros, 2, DECAY, DECAY), ">", 0.1),
        measured('"half decay"', apart(zeros, 2, DECAY, DECAY / 2), "≤", 1e-13),
      ];
    },
  },
  network_is_linear: {
    verdict: "F", figure: "training", preset: "twice",
    check() {
      // One hidden layer of two sigmoids, then a and b; along a line of inputs.
      const hidden = (t) => sigmoid([3 * t, 1 - 2 * t]);
      const output = (t) => { const [g, h] = hidden(t); return [2 * g - h, g + 3 * h + 1]; };
      const second = (f) => Math.abs(f(-1) - 2 * f(0) + f(1));
      return [
        measured('"bent"', second((t) => output(t)[0]), ">", 0.09),
        measured('"last"', Math.max(...linspace(-2, 2, 41).map((t) => { const [g, h] = hidden(t); const [a, b] = output(t); return Math.abs(a - b - (g - 4 * h - 1)); })), "≤", 1e-15),
      ];
    },
  },
  bias_minus_b: {
    verdict: "F", figure: "constant", preset: "different",
    check: () => [
      measured('"different"', leastWorse(5), ">", 0.33),
      measured('"compromise"', worseOf(5, [-3.6])[0], "<", 0.36),
      measured('"same"', worseOf(2, [-2])[0], "=", 0),
      measured("σ(4−2) − σ(4−5)", sigmoid(2) - sigmoid(-1), ">", 0.611),
    ],
  },
  bias_of_prior: {
    verdict: "T", figure: "first_loss", preset: "logit",
    check() {
      const labels = range(1000).map((i) => Number(i < 30));
      const best = logit(0.03);
      const begin = binaryCrossEntropy(fill(1000, best), labels);
      const cs = linspace(-6, 6, 12001);
      const valley = cs[argmax(lossesAt(cs, 0.03).map((loss) => -loss))];
      return [
        measured('"nothing"', binaryCrossEntropy(fill(1000, 0), labels), ">", 0.693),
        measured('"begin"', begin, "<", 0.1348),
        measured('"entropy"', Math.abs(begin - entropy([0.03, 1 - 0.03], { fromLogits: false })), "≤", 1e-15),
        measured('"grid"', Math.abs(valley - best), "≤", 1e-3),
      ];
    },
  },
};

// ---------------------------------------------------------------- the chapter

export default {
  figures: { written, fed, training, constant, first_loss },
  predictions: {
    total_of_both: { low: 0, high: 2, step: 0.01, answer: () => 2 * sigmoid(1.5) },
    faster: {
      low: 0, high: 5, step: 0.1,
      answer: () => tidy(trainTwo(zeros, 1, 0, 1)[1].difference[0] / trainOne([0, 0, 0], 1, 0, 1)[1].w[0], 10),
    },
    best_bias: { low: -6, high: 6, step: 0.05, answer: () => logit(0.03) },
  },
  claims,
  exercises: {
    both_classes: { answer: () => 1 - sigmoid(Math.log(3)), within: 0.005 },
    start_bias: { answer: () => logit(0.1), within: 0.02 },
  },
  page(page) {
    page.text("start");
    page.formula("p_a = 1/(1+e^(-(a-b))) ; p_b = 1/(1+e^(-(a-b)))");
    page.predict("total_of_both");
    page.figure("written");
    page.claims("for_both", "one_letter");

    page.heading("one_enough");
    page.text("one_enough_text");
    page.figure("fed");
    page.claims("feed_difference");

    page.heading("learn");
    page.text("learn_text");
    page.formula("a-b = (w_a-w_b)·h + (c_a-c_b)");
    page.text("learn_more");
    page.predict("faster");
    page.figure("training");
    page.claims("learns_normalisation", "network_is_linear");

    page.heading("bias_heading");
    page.text("bias_text");
    page.figure("constant");
    page.claims("bias_minus_b");
    page.text("prior_text");
    page.predict("best_bias");
    page.figure("first_loss");
    page.claims("bias_of_prior");
    page.text("onwards");
  },
};
