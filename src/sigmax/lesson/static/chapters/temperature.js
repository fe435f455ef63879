// Chapter 7: temperature: what it does to a distribution, what it is not, and what it is good for.

import { logJoints, PYTHON_JOINT } from "../bells.js";
import { acrossClasses, colour, colours, grips, places, probabilities, scoreFor } from "../classes.js";
import { cached, choice, measured, number, numbered, numbers, toggle } from "../model.js";
import { argmax, between, column, count, diff, dot, fill, gap, largest, least, linspace, mean, norm, normalRows, product, py, range, sum, tidy, transposed } from "../numeric.js";
import { shown } from "../numbers.js";
import { crossEntropy, distillation, entropy, klDivergence, logsumexp, oneHot, sample, sigmoid, smoothLabels, softmax } from "../sigmax.js";

const SCORES = [4, 2, 1, -1];
const ratioOf = (p) => Math.max(...p) / Math.min(...p); // inf where the least is 0

// ---------------------------------------------------------------- hot and cold

const heat = {
  controls: { temperature: number(0.05, 10, 0.05, 1), x: numbers(-6, 6, 0.1, SCORES) },
  presets: { cold: { temperature: 0.3 }, double: { temperature: 2 }, hot: { temperature: 10 }, close: { x: [1.2, 1, 0.9, 0.8], temperature: 0.05 } },
  prints: "p",
  compute({ temperature, x }) {
    const p = softmax(x, { temperature });
    return { p, τ: temperature, range: tidy(Math.max(...x) - Math.min(...x)), ratio: ratioOf(p), entropy: entropy(x, { temperature }) };
  },
  python: ({ temperature, x }) => `import sigmax\nx = ${py(x)}\nprint(*sigmax.softmax(x, temperature=${temperature}))`,
  height: 360,
  formula: "p_j = e^(x_j/{τ})/Σ_i e^(x_i/{τ}) ; p_max/p_min = e^({range}/{τ}) = {ratio}",
  readouts: ["ratio", "entropy"],
  draw(plot, { temperature, x }, { p }) {
    probabilities(plot, p, { equal: true, gripped: true });
    grips(plot, p, x, temperature);
  },
};

// ---------------------------------------------------------------- entropy

const TEMPERATURES = linspace(0.05, 10, 200);
// Var(x)/τ³, the variance taken with the probabilities at τ.
const slopeOf = (x, temperature) => {
  const p = softmax(x, { temperature });
  const middle = dot(p, x);
  return dot(p, x.map((each) => (each - middle) ** 2)) / temperature ** 3;
};

const disorder = {
  controls: { temperature: number(0.1, 10, 0.05, 2), x: numbers(-6, 6, 0.1, SCORES, { sliders: false }) },
  presets: { steepest: { temperature: 0.8 }, two: { x: [2, 2, -4, -4], temperature: 1.5 }, equal: { x: [1, 1, 1, 1] } },
  prints: "entropy",
  compute({ temperature, x }) {
    const p = softmax(x, { temperature });
    return { p, entropy: entropy(x, { temperature }), slope: slopeOf(x, temperature), ratio: ratioOf(p) };
  },
  python: ({ temperature, x }) => `import sigmax\nx = ${py(x)}\nprint(sigmax.entropy(x, temperature=${temperature}))`,
  readouts: ["entropy v-p", "slope v-k", "ratio"],
  panels: [
    {
      height: 280,
      draw(plot, { temperature, x }, { entropy: here, slope }, words) {
        const most = Math.log(x.length);
        plot.frame({ x: [0, 10], y: [0, 1.5], xlabel: "$τ$", ylabel: words("entropy_axis") });
        plot.line("most", 0, most, 10, most, "muted dashed");
        plot.line("tangent", temperature - 10, here - 10 * slope, temperature + 10, here + 10 * slope, "v-k thin");
        plot.curve("entropy", TEMPERATURES, entropy(TEMPERATURES.map(() => x), { temperature: TEMPERATURES }), "v-p");
        plot.marker("here", temperature, here, { label: "τ", drag: { x: "temperature" }, cls: "v-τ", words: `τ = ${shown(temperature)}, ${words("entropy_axis")} ${shown(here, 4)}` });
      },
    },
    {
      height: 280,
      draw(plot, { x, temperature }, { p }) {
        probabilities(plot, p, { gripped: true });
        grips(plot, p, x, temperature);
      },
    },
  ],
};

// ---------------------------------------------------------------- towards 0

const POWERS = linspace(-3, 2, 251);
const TICKS = [0.001, 0.01, 0.1, 1, 10, 100].map((temperature) => ({ value: Math.log10(temperature), words: String(temperature) }));

const cooling = {
  controls: { power: number(-3, 2, 0.05, 0), x: numbers(-4, 4, 0.1, [3, 3, 1]) },
  presets: { tie: { power: -3 }, nearly: { x: [3, 2.9, 1], power: -3 }, one: { x: [3, 1, -1], power: -3 }, all: { x: [2, 2, 2], power: -3 } },
  prints: "p",
  compute({ power, x }) {
    const temperature = 10 ** power;
    const p = softmax(x, { temperature });
    return { p, ...numbered("p", p), τ: temperature, ratio: ratioOf(p) };
  },
  python: ({ x }, { τ }) => `import sigmax\nx = ${py(x)}\nprint(*sigmax.softmax(x, temperature=${τ}))`,
  height: 340,
  readouts: ["τ", "p_1 v-x_1", "p_2 v-x_2", "p_3 v-x_3", "ratio"],
  draw(plot, { power, x }, { p, τ }) {
    const curves = softmax(POWERS.map(() => x), { temperature: POWERS.map((each) => 10 ** each) });
    plot.frame({ x: [-3, 2], y: [0, 1.04], xticks: TICKS, xlabel: "$τ$", ylabel: "$p$", yticks: [0, 0.25, 0.5, 0.75, 1] });
    plot.line("here", power, 0, power, 1.04, "v-τ thin");
    // Curves that coincide: the later one is dashed, so that both colours show.
    x.forEach((score, j) => plot.curve(`p ${j}`, POWERS, column(curves, j), `${colour(j)} ${x.indexOf(score) < j ? "dashed" : "thick"}`));
    p.forEach((value, j) => plot.marker(`grip ${j}`, power, value, { label: `p${"₁₂₃"[j]}`, drag: (_, y) => ({ x: scoreFor(x, j, y, τ) }), step: [0, 0.02], cls: `${colour(j)} up`, words: shown(value, 3) }));
    plot.marker("τ", power, 0, { label: "τ", drag: { x: "power" }, cls: "v-τ", words: `τ = ${shown(τ, 4)}` });
  },
};

// ---------------------------------------------------------------- label smoothing

const KNOBS = range(99).map((i) => tidy(0.2 + 0.1 * i));
const barsOf = cached((scores, temperatures) => softmax(temperatures.map(() => scores), { temperature: temperatures }));

// Hands on the bars of fixed scores: they move the temperature to where a bar is closest to the hand.
function warmGrips(plot, p, scores, temperatures) {
  p.forEach((value, j) => {
    const bars = () => column(barsOf(scores, temperatures), j);
    const closest = (y) => temperatures[argmax(bars().map((each) => -Math.abs(each - y)))];
    plot.marker(`grip ${j}`, j + 1, value, { label: `p${"₁₂₃₄"[j]}`, drag: (_, y) => ({ temperature: closest(y) }), step: [0, 0.05], cls: `${colour(j)} up`, words: shown(value, 3) });
  });
}

const smoothing = {
  controls: { temperature: number(0.2, 10, 0.1, 2), smoothing: number(0, 0.6, 0.01, 0.05) },
  presets: { usual: { temperature: 2, smoothing: 0.1 }, prediction: { temperature: 4, smoothing: 0 }, target: { temperature: 1, smoothing: 0.4 } },
  prints: "p",
  compute({ temperature, smoothing: ε }) {
    const [p, y] = [softmax(SCORES, { temperature }), smoothLabels(oneHot(0, 4), ε)];
    return { p, y, τ: temperature, ε, p_apart: p[1] - p[3], y_apart: y[1] - y[3] };
  },
  python: ({ temperature }) => `import sigmax\nx = ${py(SCORES)}\nprint(*sigmax.softmax(x, temperature=${temperature}))`,
  formula: "p = softmax(x/{τ}) ; y_ε = (1-{ε})·y + {ε}/4",
  readouts: ["p_apart", "y_apart"],
  panels: [
    {
      height: 280,
      draw(plot, _, { p }, words) {
        probabilities(plot, p, { label: words("prediction_axis"), gripped: true });
        warmGrips(plot, p, SCORES, KNOBS);
      },
    },
    {
      height: 280,
      draw(plot, _, { y }, words) {
        probabilities(plot, y, { label: words("target_axis"), gripped: true });
        // The true class gives up three quarters of ε; each of the others gets one.
        y.forEach((value, j) => plot.marker(`grip ${j}`, j + 1, value, { label: `y${"₁₂₃₄"[j]}`, drag: (_at, height) => ({ smoothing: j === 0 ? (1 - height) * (4 / 3) : 4 * height }), step: [0, 0.0075], cls: `${colour(j)} up`, words: shown(value, 3) }));
      },
    },
  ],
};

// ---------------------------------------------------------------- actions

const STRIP = 60;
const SEED = 8;
const drawnOf = cached((values, temperature, draws) => sample(values, { count: draws, temperature, seed: SEED }));
const partsOf = (drawn) => range(4).map((k) => count(drawn, (each) => each === k) / drawn.length);

const actions = {
  controls: { temperature: number(0.05, 5, 0.05, 0.3), draws: number(60, 2000, 10, 60), values: numbers(-1, 2, 0.05, [1, 0.8, 0.2, -0.4]) },
  presets: { greedy: { temperature: 0.05 }, curious: { temperature: 0.5 }, blind: { temperature: 5 } },
  prints: "best_part",
  compute({ temperature, draws, values }) {
    const drawn = drawnOf(values, temperature, draws);
    const best = argmax(values);
    const part = partsOf(drawn);
    return { p: softmax(values, { temperature }), part, drawn: drawn.slice(0, STRIP), best, best_part: part[best], others: count(drawn, (each) => each !== best) };
  },
  python: ({ temperature, draws, values }, { best }) => `import numpy as np, sigmax
drawn = sigmax.sample(${py(values)}, shape=${draws}, temperature=${temperature}, seed=${SEED})
print(np.mean(drawn == ${best}))`,
  height: 400,
  readouts: ["best_part", "others"],
  // Bars above, and below them two rows of tiles, one for each of the first actions.
  draw(plot, { values, temperature }, { p, part, drawn, best }, words) {
    const [low, high] = acrossClasses(p);
    plot.frame({ x: [low, high], y: [-0.95, 1.08], xticks: [], yticks: [0, 0.5, 1], ylabel: "$p$" });
    plot.bars("p", places(p), p, { cls: colours(p) });
    grips(plot, p, values, temperature, "values");
    plot.points("part", places(p), part, "ink hollow", 6);
    p.forEach((value, j) => plot.text(`value ${j}`, j + 1, 0, shown(value, 3), { anchor: "middle", dy: 23, cls: `${colour(j)} strong` }));
    const width = (high - low) / drawn.length;
    for (const [row, y, action] of [["greedy", -0.53, () => best], ["sampled", -0.9, (i) => drawn[i]]]) {
      drawn.forEach((__, i) => plot.rectangle(`${row} ${i}`, low + (i + 0.08) * width, y, low + (i + 0.92) * width, y + 0.13, `bar ${colour(action(i))}`));
      plot.text(`${row} label`, low, y + 0.13, words(row), { dy: -5, cls: "muted" });
    }
  },
};

// ---------------------------------------------------------------- soft labels

const TEACHER = [6, 3, 1, -2];
const STUDENT = [2, 0.5, 1.5, 0];
const WARMTHS = linspace(0, 2, 41).map((power) => 10 ** power);
// The gradient of T²·KL(teacher ∥ student), both at temperature T, and where it goes as T grows.
const gradientOf = (temperature) => distillation(STUDENT, TEACHER, { temperature })[1];
// The same without T².
const plainOf = (temperature) => klDivergence(STUDENT, TEACHER, { temperature, gradient: true })[1];
const DIFFERENCE = STUDENT.map((x, j) => x - TEACHER[j]);
const LIMIT = DIFFERENCE.map((each) => (each - mean(DIFFERENCE)) / 4);
const sizes = cached(() => WARMTHS.map((temperature) => [norm(gradientOf(temperature)), norm(plainOf(temperature))]));

const teacher = {
  controls: { temperature: number(1, 100, 0.5, 2) },
  presets: { one: { temperature: 1 }, four: { temperature: 4 }, hot: { temperature: 50 } },
  prints: "factored",
  about: 1e-14,
  compute({ temperature }) {
    const p = softmax(TEACHER, { temperature });
    return { p, p_2: p[1], q: softmax(STUDENT, { temperature }), T: temperature, factored: norm(gradientOf(temperature)), plain: norm(plainOf(temperature)), limit: norm(LIMIT) };
  },
  python: ({ temperature }) => `import numpy as np, sigmax
student, teacher = ${py(STUDENT)}, ${py(TEACHER)}
learn = sigmax.value_and_grad(sigmax.distillation_loss)
print(np.linalg.norm(learn(student, teacher, temperature=${temperature})[1]))`,
  formula: "∇ = (q-p)/{T} ; {T}^2·∇ = {T}·(q-p)",
  readouts: ["p_2 v-x_2", "factored v-p", "plain muted", "limit"],
  panels: [
    {
      height: 300,
      draw(plot, _, { p, q }) {
        probabilities(plot, p, { numbers: false });
        plot.points("student", places(q), q, "ink hollow", 6);
        warmGrips(plot, p, TEACHER, WARMTHS);
      },
    },
    {
      height: 300,
      draw(plot, { temperature }, { limit, factored, plain }, words) {
        plot.frame({ x: [1, 100], xlog: true, y: [1e-5, 10], ylog: true, xlabel: "$T$", ylabel: words("gradient_axis"), xticks: [1, 10, 100] });
        plot.line("limit", 1, limit, 100, limit, "muted dashed");
        plot.curve("plain", WARMTHS, column(sizes(), 1), "muted");
        plot.curve("factored", WARMTHS, column(sizes(), 0), "v-p");
        plot.points("plain here", [temperature], [plain], "muted", 5);
        plot.points("factored here", [temperature], [factored], "v-p", 5);
        plot.marker("T", temperature, 1e-5, { label: "T", drag: { x: "temperature" }, cls: "v-T" });
      },
    },
  ],
};

// ---------------------------------------------------------------- a student

const STEPS = 100;
const RATE = 0.5;
// A dozen samples of the three bell curves, with their classes.
const SEEN = [-2.28, -0.17, 1.94, 0.11, -1.52, 0.26, 1.46, -2.2, 3.02, -0.45, 1.05, -0.01];
const SEEN_LABELS = [0, 1, 2, 1, 0, 1, 1, 0, 2, 0, 1, 1];
const GRID = linspace(-6, 7, 131);
const featuresOf = (samples) => samples.map((s) => [s, 1]);
const DENSITY = logsumexp(logJoints(GRID)).map(Math.exp);
const TOTAL = sum(DENSITY);
// The divergence of the teacher from the student, averaged over all samples there could be.
const gapOf = (weights) => dot(klDivergence(product(featuresOf(GRID), weights), logJoints(GRID), { reduction: "none" }), DENSITY) / TOTAL;

// Weights after every step, and their gaps: taught by the labels, or by the teacher's soft labels.
const trained = cached((lesson, temperature, factor) => {
  const [features, targets] = [featuresOf(SEEN), logJoints(SEEN)];
  const columns = transposed(features);
  const weights = [[[0, 0, 0], [0, 0, 0]]];
  for (let step = 0; step < STEPS; step++) {
    const scores = product(features, weights[step]);
    const [, slopes] = lesson === "labels" ? crossEntropy(scores, SEEN_LABELS, { gradient: true })
      : factor ? distillation(scores, targets, { temperature }) : klDivergence(scores, targets, { temperature, gradient: true });
    const gradient = product(columns, slopes);
    weights.push(weights[step].map((row, j) => row.map((w, k) => w - RATE * gradient[j][k])));
  }
  return { weights, gaps: weights.map(gapOf) };
});

const student = {
  controls: { lesson: choice(["labels", "soft"], "labels"), temperature: number(1, 8, 0.5, 4), factor: toggle(true), steps: number(0, STEPS, 1, 30) },
  presets: { before: { steps: 0 }, labels: { lesson: "labels", steps: STEPS }, distilled: { lesson: "soft", steps: STEPS }, no_factor: { lesson: "soft", factor: false, steps: STEPS } },
  play: { control: "steps" },
  prints: "gap",
  about: 1e-9,
  compute({ lesson, temperature, factor, steps }) {
    const { weights, gaps } = trained(lesson, temperature, factor);
    return { w: weights[steps], gap: gaps[steps], start_gap: gaps[0], by_labels: trained("labels", 1, true).gaps, by_teacher: trained("soft", temperature, factor).gaps };
  },
  python({ lesson, temperature, factor, steps }) {
    const taught = lesson === "labels"
      ? "learn = sigmax.value_and_grad(sigmax.cross_entropy)\nteach = lambda z: learn(z, y)[1]"
      : factor ? `learn = sigmax.value_and_grad(sigmax.distillation_loss)\nteach = lambda z: learn(z, joint(s), temperature=${temperature})[1]`
        : `learn = sigmax.value_and_grad(sigmax.kl_divergence)\nteach = lambda z: learn(z, joint(s), labels_from_logits=True, temperature=${temperature})[1]`;
    return `import math, numpy as np, sigmax
${PYTHON_JOINT}
features = lambda s: np.stack([s, np.ones(len(s))], axis=1)
s = np.array(${py(SEEN)})
y = ${py(SEEN_LABELS)}
${taught}
w = np.zeros((2, 3))
for _ in range(${steps}): w = w - ${RATE} * features(s).T @ teach(features(s) @ w)
t = np.linspace(-6, 7, 131)
density = np.exp(sigmax.logsumexp(joint(t)))
gaps = sigmax.kl_divergence(features(t) @ w, joint(t), labels_from_logits=True, reduction="none")
print(gaps @ density / density.sum())`;
  },
  readouts: ["gap", "start_gap"],
  panels: [
    {
      height: 300,
      draw(plot, _, { w }) {
        const [ours, theirs] = [softmax(product(featuresOf(GRID), w)), softmax(logJoints(GRID))];
        plot.frame({ x: [-6, 7], y: [-0.08, 1.02], xlabel: "$s$", ylabel: "$p$", yticks: [0, 0.25, 0.5, 0.75, 1] });
        for (const j of range(3)) {
          plot.curve(`student ${j}`, GRID, column(ours, j), colour(j));
          plot.curve(`teacher ${j}`, GRID, column(theirs, j), "ink thin dashed");
        }
        SEEN.forEach((s, i) => plot.points(`sample ${i}`, [s], [-0.04], colour(SEEN_LABELS[i]), 3.5));
      },
    },
    {
      height: 300,
      draw(plot, { steps, lesson }, { by_labels, by_teacher, gap: here }, words) {
        plot.frame({ x: [0, STEPS], y: [0, 0.8], xlabel: words("steps"), ylabel: words("gap") });
        plot.curve("labels", range(STEPS + 1), by_labels, lesson === "labels" ? "v-b" : "muted");
        plot.curve("soft", range(STEPS + 1), by_teacher, lesson === "soft" ? "v-p" : "muted");
        plot.marker("here", steps, Math.min(here, 0.8), { label: words("steps"), drag: { x: "steps" }, cls: lesson === "soft" ? "v-p" : "v-b", words: `${shown(steps)}, ${shown(here, 3)}` });
      },
    },
  ],
};

// ---------------------------------------------------------------- claims

const logits = cached(() => normalRows(1, 5000, 5, 3));

const claims = {
  formula: {
    verdict: "T", figure: "heat", preset: "double",
    check() {
      const x = logits();
      const p = softmax(x);
      const warm = (t) => softmax(x, { temperature: t });
      const raised = (t) => p.map((row) => { const powers = row.map((each) => each ** (1 / t)); return powers.map((each) => each / sum(powers)); });
      const ts = [0.7, 3, 10];
      return [
        measured('"divided"', Math.max(...ts.map((t) => gap(warm(t), softmax(x.map((row) => row.map((each) => each / t)))))), "≤", 1e-15),
        measured('"raised"', Math.max(...ts.map((t) => gap(warm(t), raised(t)))), "≤", 1e-14),
        measured("|softmax([4, 2]/2)_1 − σ(1)|", Math.abs(softmax([4, 2], { temperature: 2 })[0] - sigmoid(1)), "≤", 1e-15),
      ];
    },
  },
  mnemonic: {
    verdict: "F", figure: "heat", preset: "hot",
    check() {
      const t = linspace(0.1, 50, 500);
      const rows = t.map(() => SCORES);
      return [
        measured('"ratio"', largest(diff(softmax(rows, { temperature: t }).map(ratioOf))), "<", 0),
        measured('"entropy"', least(diff(entropy(rows, { temperature: t }))), ">", 0),
      ];
    },
  },
  equal_shares: {
    verdict: "T", figure: "disorder", preset: "steepest",
    check() {
      const x = logits();
      const t = between(2, x.length, 0.5, 20);
      const h = t.map((each) => 1e-4 * each);
      const [more, less] = [entropy(x, { temperature: t.map((each, i) => each + h[i]) }), entropy(x, { temperature: t.map((each, i) => each - h[i]) })];
      const slopes = x.map((row, i) => slopeOf(row, t[i]));
      const law = softmax(x, { temperature: t }).map((p, i) => (Math.log(ratioOf(p)) * t[i]) / (Math.max(...x[i]) - Math.min(...x[i])));
      return [
        measured('"ratio"', gap(law, fill(law.length, 1)), "≤", 1e-12),
        measured('"slope"', gap(more.map((each, i) => (each - less[i]) / (2 * h[i])), slopes), "≤", 1e-6),
        measured("min Var(x)/τ^3", least(slopes), "≥", 0),
        measured('"entropy"', Math.abs(Math.log(4) - entropy(SCORES, { temperature: 1e4 })), "≤", 1e-6),
        measured('"far"', Math.abs(softmax([1e6 + 1, 1e6], { temperature: 10 })[0] - sigmoid(0.1)), "≤", 1e-15),
      ];
    },
  },
  to_zero: {
    verdict: "T*", figure: "cooling", preset: "tie",
    check() {
      const shared = softmax([3, 3, 1], { temperature: 1e-3 });
      return [
        measured("softmax([3, 3, 1]/0.001)_1", shared[0], "=", 0.5),
        measured("softmax([3, 3, 1]/0.001)_3", shared[2], "=", 0),
        measured("softmax([3, 2.999, 1]/1e-5)_1", softmax([3, 2.999, 1], { temperature: 1e-5 })[0], "=", 1),
      ];
    },
  },
  called_smoothing: {
    verdict: "F", figure: "smoothing", preset: "usual",
    check() {
      const [p, y] = [softmax(SCORES, { temperature: 2 }), oneHot(0, 4)];
      const smooth = smoothLabels(y, 0.1);
      const [, smoothed] = crossEntropy(SCORES, 0, { smoothing: 0.1, gradient: true });
      const [, warm] = crossEntropy(SCORES, 0, { temperature: 2, gradient: true });
      return [
        measured("τ = 2: p_2 − p_4", p[1] - p[3], ">", 0.17),
        measured("ε = 0.1: y_2 − y_4", smooth[1] - smooth[3], "=", 0),
        measured('"target"', gap(smoothed, softmax(SCORES).map((each, j) => each - smooth[j])), "≤", 1e-15),
        measured('"prediction"', gap(warm, p.map((each, j) => (each - y[j]) / 2)), "≤", 1e-15),
      ];
    },
  },
  action_probabilities: {
    verdict: "T*", figure: "actions", preset: "curious",
    check() {
      const values = [1, 0.8, 0.2, -0.4];
      const parts = partsOf(sample(values, { count: 50000, temperature: 0.5, seed: SEED }));
      return [
        measured('"follows"', gap(parts, softmax(values, { temperature: 0.5 })), "≤", 0.01),
        measured('"best"', parts[0], "<", 0.6),
        measured('"least"', parts[3], ">", 0),
      ];
    },
  },
  soft_labels: {
    verdict: "T", figure: "teacher", preset: "four",
    check() {
      const [one, ten] = [norm(gradientOf(1)), norm(gradientOf(10))];
      return [
        measured("T = 1: p_2", softmax(TEACHER)[1], "<", 0.05),
        measured("T = 4: p_2", softmax(TEACHER, { temperature: 4 })[1], ">", 0.2),
        measured('"shrinks"', norm(plainOf(10)) / norm(plainOf(1)), "<", 0.03),
        measured('"kept"', ten / one, ">", 0.5),
        measured('"limit"', largest(gradientOf(1000).map((each, j) => Math.abs(each / LIMIT[j] - 1))), "≤", 0.01),
      ];
    },
  },
  is_distilling: {
    verdict: "F", figure: "student", preset: "distilled",
    check() {
      const x = logJoints(linspace(-6, 7, 1301));
      const cold = softmax(x).map(argmax);
      const changed = [0.5, 4, 50].map((temperature) => count(softmax(x, { temperature }).map(argmax), (choice_, i) => choice_ !== cold[i]));
      const [byLabels, byTeacher] = [trained("labels", 1, true).gaps, trained("soft", 4, true).gaps];
      return [
        measured('"decisions"', sum(changed), "=", 0),
        measured('"before"', byTeacher[0], ">", 0.5),
        measured('"distilled"', byTeacher.at(-1), "≤", 0.001),
        measured('"labels"', byLabels.at(-1), ">", 0.05),
      ];
    },
  },
};

// ---------------------------------------------------------------- the chapter

export default {
  figures: { heat, disorder, cooling, smoothing, actions, teacher, student },
  predictions: {
    twice_as_hot: { low: 0, high: 1, step: 0.01, answer: () => softmax(SCORES, { temperature: 2 })[0] },
    tie: { low: 0, high: 1, step: 0.01, answer: () => softmax([3, 3, 1], { temperature: 1e-9 })[0] },
  },
  claims,
  exercises: {
    square_root: { answer: () => Math.sqrt(9), within: 0.001 },
    which_knob: { options: ["temperature", "smoothing"], answer: "smoothing" },
  },
  page(page) {
    page.text("start");
    page.formula("p_j = e^(x_j/τ)/Σ_(i=1)^C e^(x_i/τ)");
    page.predict("twice_as_hot");
    page.figure("heat");
    page.claims("formula", "mnemonic");

    page.heading("equal_heading");
    page.text("equal_text");
    page.figure("disorder");
    page.claims("equal_shares");

    page.heading("zero_heading");
    page.text("zero_text");
    page.predict("tie");
    page.figure("cooling");
    page.claims("to_zero");

    page.heading("smoothing_heading");
    page.text("smoothing_text");
    page.figure("smoothing");
    page.claims("called_smoothing");

    page.heading("actions_heading");
    page.text("actions_text");
    page.figure("actions");
    page.claims("action_probabilities");

    page.heading("distilling_heading");
    page.text("teacher_text");
    page.figure("teacher");
    page.claims("soft_labels");
    page.text("student_text");
    page.figure("student");
    page.claims("is_distilling");
    page.text("next_text");
  },
};
