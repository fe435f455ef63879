// Chapter 6: softmax: what makes it the only one, what a distribution is, and how not to compute it.

import { bayes, joints, logJoints, MEANS, PRIORS, PYTHON_JOINT } from "../bells.js";
import { acrossClasses, colour, colours, grips, nameOf, places, probabilities } from "../classes.js";
import { cached, choice, DTYPE, measured, number, numbered, numbers } from "../model.js";
import { bisect, column, count, exactSum, fill, gap, largest, least, linspace, mean, normalRows, py, PYTHON_UNIFORMS, range, sum, tidy } from "../numeric.js";
import { shown } from "../numbers.js";
import { asType, logit, logsumexp, sigmoid, softmax, softplus, uniforms } from "../sigmax.js";
import { plain } from "../text.js";

// ---------------------------------------------------------------- exp, sum, divide

const between = (from, to, part) => from + (to - from) * Math.min(Math.max(part, 0), 1);

// The score whose bar has a height at a stage; `exp` of `total` is what it has now.
function scoreOf(stage, height, exp, total) {
  const e = stage > 2 ? between(height, (height * (total - exp)) / Math.max(1 - height, 1e-3), stage - 2) : height;
  return stage < 1 ? bisect(-2, 2, (x) => between(x, Math.exp(x), stage) >= height) : Math.log(Math.max(e, 0.1));
}

const three_steps = {
  controls: { stage: number(0, 3, 0.02, 0), x: numbers(-2, 2, 0.1, [1.5, 0.5, -1]) },
  presets: { exps: { stage: 1 }, stacked: { stage: 2 }, divided: { stage: 3 } },
  play: { control: "stage" },
  prints: "p",
  compute({ x }) {
    const e = x.map(Math.exp);
    const p = softmax(x);
    return { e, p, total: sum(e), ...numbered("e", e), ...numbered("p", p) };
  },
  python: ({ x }) => `import sigmax\nx = ${py(x)}\nprint(*sigmax.softmax(x))`,
  height: 360,
  formula: ({ stage }) => ["x_1, x_2, x_3", "e^(x_1), e^(x_2), e^(x_3) = {e_1}, {e_2}, {e_3}", "Σ_i e^(x_i) = {e_1} + {e_2} + {e_3} = {total}", "p_1, p_2, p_3 = {e_1}/{total}, {e_2}/{total}, {e_3}/{total}"][Math.floor(stage + 1e-9)],
  readouts: ["p_1 v-x_1", "p_2 v-x_2", "p_3 v-x_3"],
  draw(plot, { stage, x }, { e, total }) {
    const divisor = between(1, total, stage - 2);
    const high = between(between(Math.max(...e, ...x), total, stage - 1), 1, stage - 2) * 1.15;
    const low = between(Math.min(...x, 0) - 0.5, 0, stage);
    plot.frame({ x: [0.4, 4.6], y: [low, high], xticks: [1, 2, 3], yticks: [0, ...(stage > 2.9 ? [0.5, 1] : [])] });
    let base = 0;
    e.forEach((exp, j) => {
      const bottom = between(0, base, stage - 1) / divisor;
      const height = between(x[j], exp, stage) / divisor;
      const at = between(j + 1, 4, stage - 1);
      plot.bars(`bar ${j}`, [at], [bottom + height], { base: bottom, cls: colour(j) });
      const aside = stage > 1;
      const end = aside ? bottom + height / 2 : bottom + height;
      plot.text(`value ${j}`, at, end, shown(height, 3), { anchor: aside ? "start" : "middle", dx: aside ? 34 : 0, dy: aside ? 5 : height < 0 ? 22 : -14, cls: `${colour(j)} strong` });
      plot.marker(`grip ${j}`, at, bottom + height, { label: nameOf(j), drag: (_, y) => ({ x: x.with(j, scoreOf(stage, y - bottom, exp, total)) }), step: [0, 0.05 * high], cls: `${colour(j)} up`, words: `${nameOf(j)} = ${shown(x[j])}` });
      base += exp;
    });
  },
};

// ---------------------------------------------------------------- only differences

const exponents = (list) => list.map((_, j) => `e^{x_${j + 1}}`).join(" + ");
const moved = (x, shift) => x.map((each) => tidy(each + shift));

const scores = {
  controls: { x: numbers(-6, 6, 0.1, [2, 1, -1], { shortest: 1, longest: 5 }), shift: number(-4, 4, 0.1, 0) },
  presets: { one: { x: [2] }, two: { x: [1.5, 0] }, five: { x: [2, 1, 0.5, -1, -2] }, moved: { shift: 4 } },
  prints: "p",
  compute({ x, shift }) {
    const shifted = moved(x, shift);
    const p = softmax(shifted);
    return { ...numbered("x", shifted), ...numbered("p", p), moved: shifted, p, sum: sum(p), change: gap(p, softmax(x)) };
  },
  python: (_, { moved: x }) => `import sigmax\nx = ${py(x)}\nprint(*sigmax.softmax(x))`,
  formula: ({ x }) => `p_1 = e^{x_1}/(${exponents(x)}) = {p_1}`,
  readouts: ["sum", "change"],
  panels: [
    {
      height: 300,
      draw(plot, { x, shift }, { moved: shifted }, words) {
        plot.frame({ x: acrossClasses(shifted), y: [-10, 10], xticks: places(shifted), ylabel: words("score_axis") });
        plot.bars("score", places(shifted), shifted, { cls: colours(shifted) });
        x.forEach((score, j) => plot.marker(`marker ${j}`, j + 1, score + shift, { label: nameOf(j), drag: (_, y) => ({ x: x.with(j, y - shift) }), step: [0, 0.1], cls: `${colour(j)} up`, words: shown(score + shift) }));
      },
    },
    {
      height: 300,
      draw(plot, { x }, { p }) {
        probabilities(plot, p, { gripped: true });
        if (x.length > 1) grips(plot, p, x);
      },
    },
  ],
};

// ---------------------------------------------------------------- every pair

const DIFFERENCES = linspace(-8, 8, 161);
const PAIRS = ["12", "13", "14", "23", "24", "34"];
const indices = (pair) => [...pair].map((digit) => Number(digit) - 1);
const BOTH_WAYS = PAIRS.map(indices).flatMap(([i, j]) => [[i, j], [j, i]]);
const WEIGHTS = { exp: "np.exp(x)", softplus: "sigmax.softplus(x)", square: "np.square(x)" };

function distributionOf(g, x) {
  if (g === "exp") return softmax(x);
  const weights = g === "square" ? x.map((each) => each * each) : softplus(x);
  return weights.map((each) => each / sum(weights));
}
const shareOf = (p, i, j) => p[i] / (p[i] + p[j]);

const pairs = {
  controls: { g: choice(["exp", "softplus", "square"], "exp"), pair: choice(PAIRS, "12"), x: numbers(-4, 4, 0.1, [2, 1, 0.3, -1.5], { sliders: false }) },
  presets: { equal: { x: [1, 2, 1, -1], pair: "13" }, far: { pair: "14" }, softplus: { g: "softplus" }, square: { g: "square" } },
  prints: "share",
  compute({ g, pair, x }) {
    const p = distributionOf(g, x);
    const [i, j] = indices(pair);
    const difference = tidy(x[i] - x[j]);
    return {
      p, difference, x_i: x[i], x_j: x[j], p_i: p[i], p_j: p[j], share: shareOf(p, i, j), expected: sigmoid(difference),
      differences: BOTH_WAYS.map(([a, b]) => x[a] - x[b]), shares: BOTH_WAYS.map(([a, b]) => shareOf(p, a, b)),
    };
  },
  python({ g, pair, x }) {
    const [i, j] = indices(pair);
    const library = g === "exp" ? "sigmax.softmax(x)" : `${WEIGHTS[g]}; p = p / p.sum()`;
    return `import numpy as np, sigmax\nx = np.array(${py(x)}, float)\np = ${library}\nwith np.errstate(invalid="ignore"): print(p[${i}] / (p[${i}] + p[${j}]))`;
  },
  formula: "p_i/(p_i+p_j) = {p_i}/({p_i}+{p_j}) = {share} ; σ(x_i-x_j) = σ({x_i}-{x_j}) = {expected}",
  readouts: ["share v-p", "expected v-p"],
  panels: [
    {
      height: 330,
      draw(plot, { pair, x }, { p }, words) {
        const chosen = (j) => pair.includes(String(j + 1));
        plot.frame({ x: acrossClasses(x), y: [-6, 5], xticks: places(x), yticks: [-4, -2, 0, 2, 4], ylabel: words("score_axis") });
        plot.bars("score", places(x), x, { cls: x.map((_, j) => (chosen(j) ? colour(j) : "muted")) });
        p.forEach((value, j) => plot.text(`value ${j}`, j + 1, -6, shown(value, 3), { anchor: "middle", dy: -6, cls: chosen(j) ? "v-p strong" : "muted" }));
        x.forEach((score, j) => plot.marker(`marker ${j}`, j + 1, score, { label: nameOf(j), drag: (_, y) => ({ x: x.with(j, y) }), step: [0, 0.1], cls: `${chosen(j) ? colour(j) : "muted"} up`, words: shown(score) }));
      },
    },
    {
      height: 330,
      draw(plot, { pair, x }, { differences, shares, difference, share }, words) {
        const [i, j] = indices(pair);
        plot.frame({ x: [-8, 8], y: [0, 1], xlabel: "xᵢ − xⱼ", ylabel: words("share") });
        plot.curve("sigmoid", DIFFERENCES, sigmoid(DIFFERENCES), "muted");
        plot.points("pairs", differences, shares, "ink hollow", 4);
        plot.marker("chosen", difference, share, { label: "xᵢ − xⱼ", drag: (at) => ({ x: x.with(i, x[j] + at) }), step: [0.1, 0], cls: "v-p across", words: `${shown(difference)}, ${shown(share, 3)}` });
      },
    },
  ],
};

// ---------------------------------------------------------------- Bayes

const SAMPLES = linspace(-6, 7, 261);
const DENSITIES = joints(SAMPLES);
// Log-joints, the same with a constant, and the same with the priors forgotten.
const sampleScores = (kind, samples) => logJoints(samples).map((row) => row.map((x, j) => x + { joint: 0, constant: 5, no_prior: -Math.log(PRIORS[j]) }[kind]));
const ADDED = { joint: "", constant: " + 5", no_prior: " - np.log(prior)" };

const posterior = {
  controls: { s: number(-5, 6, 0.1, -0.5), kind: choice(["joint", "constant", "no_prior"], "joint") },
  presets: { between: { s: 1.9 }, constant: { kind: "constant", s: 1.9 }, no_prior: { kind: "no_prior", s: -1 } },
  prints: "p",
  about: 1e-14,
  compute({ s, kind }) {
    const [x] = sampleScores(kind, [s]);
    const [p, [truth]] = [softmax(x), bayes([s])];
    return { ...numbered("p", p), ...numbered("x", x), p, bayes: truth, bayes_2: truth[1], gap: gap(p, truth), here: joints([s])[0] };
  },
  python: ({ s, kind }) => `import math, numpy as np, sigmax\n${PYTHON_JOINT}\nx = joint(np.float64(${s}))${ADDED[kind]}\nprint(*sigmax.softmax(x))`,
  formula: "x = [{x_1}, {x_2}, {x_3}] ; softmax(x) = [{p_1}, {p_2}, {p_3}]",
  readouts: ["bayes_2 v-x_2", "p_2 v-x_2", "gap"],
  panels: [
    {
      height: 300,
      draw(plot, { s }, { here }, words) {
        plot.frame({ x: [-5, 6], y: [0, 0.22], yticks: [], xlabel: "$s$", ylabel: "πⱼ qⱼ(s)" });
        MEANS.forEach((_, j) => {
          plot.region(`area ${j}`, SAMPLES, fill(SAMPLES.length, 0), column(DENSITIES, j), colour(j));
          plot.curve(`bell ${j}`, SAMPLES, column(DENSITIES, j), colour(j));
        });
        plot.line("sample", s, 0, s, 0.22, "ink thin dashed");
        here.forEach((density, j) => plot.points(`here ${j}`, [s], [density], colour(j), 5));
        plot.marker("s", s, 0, { label: plain(words("s")), drag: { x: "s" } });
      },
    },
    {
      height: 300,
      draw(plot, _, { p, bayes: truth }, words) {
        plot.frame({ x: acrossClasses(p), y: [0, 1], xticks: places(p), xlabel: words("class_axis"), ylabel: "P(y=j∣s)" });
        plot.bars("bayes", places(p), truth, { cls: colours(p) });
        plot.points("softmax", places(p), p, "ink hollow", 7);
      },
    },
  ],
};

// ---------------------------------------------------------------- the sum

const WAYS = {
  softmax: [softmax, "p = sigmax.softmax(x)"],
  shares: [(x) => x.map((each) => each / sum(x)), "with np.errstate(all='ignore'): p = np.array(x, float) / np.sum(x)"],
  sigmoids: [(x) => sigmoid(x), "p = sigmax.sigmoid(x)"],
};
// The score that gives a class the value y, where `others` is the sum of the other scores.
const SCORE_FOR = { sigmoids: (y) => logit(Math.min(Math.max(y, 0.02), 0.98)), shares: (y, others) => (y * others) / (Math.abs(1 - y) < 0.02 ? 0.02 : 1 - y) };
const inside = (value) => Math.min(Math.max(Number.isNaN(value) ? 0 : value, -0.9), 2);

const sums = {
  controls: { way: choice(["softmax", "shares", "sigmoids"], "softmax"), x: numbers(-4, 4, 0.1, [2, 1, -1], { shortest: 2, longest: 3 }) },
  presets: { negative: { way: "shares", x: [3, -1] }, nothing: { way: "shares", x: [2, -1, -1] }, labels: { way: "sigmoids" } },
  prints: "p",
  about: 1e-15,
  compute({ way, x }) {
    const p = WAYS[way][0](x);
    return { p, sum: sum(p), least: least(p) };
  },
  python: ({ way, x }) => `import numpy as np, sigmax\nx = ${py(x)}\n${WAYS[way][1]}\nprint(*p)`,
  height: 340,
  readouts: ["sum", "least"],
  draw(plot, { way, x }, { p, sum: total }, words) {
    const stack = p.length + 1.4;
    plot.frame({ x: [0.4, stack + 0.7], y: [-1.1, 2.3], xticks: [...places(p).map((value) => ({ value, words: String(value) })), { value: stack, words: words("stack") }], yticks: [-1, 0, 1, 2] });
    plot.bars("p", places(p), p, { cls: colours(p) });
    plot.line("one", 0.4, 1, stack + 0.7, 1, "muted dashed");
    // Above its bar, and clear of the line at 1.
    const above = (value, lift = 7) => { const at = plot.py(inside(value)) - lift; const line = plot.py(1); return Math.abs(at - 5 - line) < 9 ? line - 7 - plot.py(inside(value)) : -lift; };
    p.forEach((value, j) => plot.text(`value ${j}`, j + 1, inside(Math.max(value, 0)), shown(value, 3), { anchor: "middle", dy: above(Math.max(value, 0), 14) }));
    if (way === "softmax") grips(plot, p, x);
    else p.forEach((value, j) => plot.marker(`grip ${j}`, j + 1, inside(value), { label: `p${"₁₂₃"[j]}`, drag: (_, y) => ({ x: x.with(j, SCORE_FOR[way](y, sum(x) - x[j])) }), step: [0, 0.02], cls: `${colour(j)} up`, words: shown(value, 3) }));
    let top = 0;
    p.forEach((value, j) => {
      plot.bars(`stack ${j}`, [stack], [top + value], { base: top, width: 0.7, cls: colour(j) });
      top += value;
    });
    const highest = Math.max(...p.map((_, j) => sum(p.slice(0, j + 1))), 0);
    plot.text("total", stack, inside(highest), shown(total, 3), { anchor: "middle", dy: above(highest), cls: "strong" });
  },
};

const ROWS = 1000;
const WIDEST_ROW = 100;
const EPSILONS = { float16: 2 ** -10, float32: 2 ** -23, float64: 2 ** -52 };
const numbersOf = cached((key, rows, classes) => { const x = logit(uniforms(key, rows * classes)); return range(rows).map((i) => x.slice(i * classes, (i + 1) * classes)); });
// The exact sum less 1, rounded once: 0 only where the floats sum to exactly 1.
const exactMisses = (p) => p.map((row) => exactSum([...row, -1]));
const floatMisses = (p, dtype) => (dtype === "float64" ? p.map((row) => pairwise(row) - 1) : p.map((row) => row.reduce((total, each) => asType(total + each, dtype), 0) - 1));

// As NumPy adds: eight sums side by side from eight numbers on.
function pairwise(row) {
  if (row.length < 8) return sum(row);
  const r = row.slice(0, 8);
  let i = 8;
  for (; i + 8 <= row.length; i += 8) for (let k = 0; k < 8; k++) r[k] += row[i + k];
  let total = r[0] + r[1] + (r[2] + r[3]) + (r[4] + r[5] + (r[6] + r[7]));
  for (; i < row.length; i++) total += row[i];
  return total;
}

const histogram = cached((classes, dtype, adding) => {
  const p = softmax(numbersOf(6, ROWS, WIDEST_ROW).map((row) => row.slice(0, classes)), { dtype });
  const misses = adding === "floats" && dtype === "float64" ? floatMisses(p, dtype) : exactMisses(p);
  const steps = misses.map((miss) => miss / (EPSILONS[dtype] / 2));
  const missed = new Map();
  for (const step of steps.filter((each) => each !== 0)) {
    const place = Math.round(step * 4) / 4;
    missed.set(place, (missed.get(place) ?? 0) + 1);
  }
  const ordered = [...missed].sort(([a], [b]) => a - b);
  const hits = count(steps, (step) => step === 0);
  return { places: ordered.map(([place]) => place), counts: ordered.map(([, many]) => many), hits, part: hits / ROWS, farthest: largest(steps.map(Math.abs)), worst: largest(misses.map(Math.abs)) };
});

const rows = {
  controls: { classes: number(2, WIDEST_ROW, 1, 10), adding: choice(["floats", "exactly"], "floats"), dtype: choice(["float16", "float32", "float64"], "float64") },
  presets: { exactly: { adding: "exactly" }, hundred: { classes: 100 }, half: { dtype: "float16", adding: "exactly" } },
  prints: "part",
  compute: ({ classes, dtype, adding }) => histogram(classes, dtype, adding),
  python: ({ classes, dtype, adding }) => `import math, numpy as np, sigmax
${PYTHON_UNIFORMS}
x = sigmax.logit(random(6, ${ROWS}, ${WIDEST_ROW}))[:, :${classes}].astype("${dtype}")
p = sigmax.softmax(x).astype(float)
print(${adding === "floats" && dtype === "float64" ? "np.mean([row.sum() == 1 for row in p])" : "np.mean([math.fsum([*row, -1.0]) == 0 for row in p.tolist()])"})`,
  height: 300,
  readouts: ["part good", "worst"],
  draw(plot, { adding }, { places: at, counts, hits, farthest }, words) {
    const widest = Math.max(4, 2 * Math.ceil((farthest + 1) / 2));
    const highest = Math.max(hits, ...counts, 50);
    plot.frame({ x: [-widest, widest], y: [0, highest * 1.15], xticks: [-1, -0.5, 0, 0.5, 1].map((part) => part * widest), xlabel: words("steps_axis"), ylabel: words("rows_axis") });
    const width = (adding === "exactly" ? 0.25 : 1) * 0.84;
    const middle = at.indexOf(0);
    const below = middle < 0 ? 0 : counts[middle];
    plot.bars("miss", at, counts, { width, cls: "muted" });
    plot.bars("hit", [0], [below + hits], { width, base: below, cls: "good" });
    plot.text("hits", 0, below + hits, shown(hits), { cls: "good strong", anchor: "middle", dy: -7 });
  },
};

// ---------------------------------------------------------------- as written

// e^(x_j)/Σ e^(x_i), each step rounded to the type; what it does at the ends is the subject.
function naiveOf(x, dtype = "float64") {
  const to = (list) => (dtype === "float64" ? list : asType(list, dtype));
  const e = to(to(x).map(Math.exp));
  const [total] = to([sum(e)]);
  return to(e.map((each) => each / total));
}
const WIDEST = { float16: 25, float32: 130, float64: 1100 };
const naiveCurve = cached((dtype) => {
  const cs = linspace(-WIDEST[dtype], WIDEST[dtype], 551);
  return { cs, ys: cs.map((c) => naiveOf([c, c + 1], dtype)[1]) };
});

const written = {
  controls: { c: number(-1100, 1100, 1, 3), dtype: DTYPE },
  presets: { over: { c: 1000 }, under: { c: -800 }, worn: { c: -744 }, single: { c: 88, dtype: "float32" }, half: { c: 11, dtype: "float16" } },
  prints: "library",
  compute({ c, dtype }) {
    const to = (value) => (dtype === "float64" ? value : asType(value, dtype));
    return { naive: naiveOf([c, c + 1], dtype)[1], library: softmax([c, c + 1], { dtype })[1], e_1: to(Math.exp(to(c))), e_2: to(Math.exp(to(c + 1))) };
  },
  python: ({ c, dtype }) => `import numpy as np, sigmax\nx = np.array([${c}, ${c + 1}], np.${dtype})\nprint(sigmax.softmax(x)[1])`,
  height: 300,
  formula: "p_2 = e^(c+1)/(e^c+e^(c+1)) = {e_2}/({e_1}+{e_2}) = {naive}",
  readouts: ["naive v-b", "library v-p", "e_2"],
  draw(plot, { c, dtype }, { library }, words) {
    const [{ cs, ys }, widest] = [naiveCurve(dtype), WIDEST[dtype]];
    plot.frame({ x: [-widest, widest], y: [0, 1.15], xlabel: "$c$", ylabel: "p₂", yticks: [0, 0.25, 0.5, 0.75, 1] });
    const first = ys.findIndex((value) => !Number.isNaN(value));
    const last = ys.findLastIndex((value) => !Number.isNaN(value));
    [[-widest, cs[first]], [cs[last], widest]].forEach(([from, to], i) => {
      plot.rectangle(`nan ${i}`, from, 0, to, 1.15, "bad");
      plot.text(`nan label ${i}`, (from + to) / 2, 1.15, "nan", { cls: "bad strong", anchor: "middle", dy: 20 });
    });
    plot.line("library", -widest, library, widest, library, "v-p");
    plot.curve("naive", cs, ys, "v-b dashed thick");
    plot.marker("c", Math.min(Math.max(c, -widest), widest), 0, { label: "c", drag: { x: "c" }, cls: "v-x", words: `c = ${shown(c)}, ${words("library")} ${shown(library)}` });
  },
};

// ---------------------------------------------------------------- claims

const logitsOf = cached((classes) => normalRows(1, 5000, classes, 3));

const claims = {
  only_differences: {
    verdict: "T", figure: "scores", preset: "moved",
    check() {
      // Shifted by whole numbers, so that the shifted scores are exact.
      const x = logitsOf(5).map((row) => row.map((each) => Math.round(each * 1024) / 1024));
      const p = softmax(x);
      const moves = (shift) => gap(softmax(x.map((row) => row.map((each) => each + shift))), p);
      return [
        measured("c = 7: max |Δp|", moves(7), "≤", 1e-15),
        measured("c = −100: max |Δp|", moves(-100), "≤", 1e-15),
        measured("c = 1000000: max |Δp|", moves(1e6), "≤", 1e-15),
        measured("max |Σ p_j − 1|", gap(p.map(sum), fill(p.length, 1)), "≤", 1e-15),
      ];
    },
  },
  every_pair: {
    verdict: "T", figure: "pairs", preset: "far",
    check() {
      const x = logitsOf(6);
      const p = softmax(x);
      const every = range(6).flatMap((i) => range(i).map((j) => [i, j]));
      const expected = sigmoid(x.map((row) => every.map(([i, j]) => row[i] - row[j])));
      const others = logsumexp(x.map((row) => row.slice(1)));
      const [up, down] = [sigmoid(x.map((row) => row.map((each) => each - row[0]))), sigmoid(x.map((row) => row.map((each) => row[0] - each)))];
      const back = up.map((row, k) => { const ratios = row.map((each, j) => each / down[k][j]); return ratios.map((each) => each / sum(ratios)); });
      return [
        measured("max |p_i/(p_i+p_j) − σ(x_i−x_j)|", gap(p.map((row) => every.map(([i, j]) => shareOf(row, i, j))), expected), "≤", 1e-15),
        measured('"rest"', gap(column(p, 0), sigmoid(x.map((row, k) => row[0] - others[k]))), "≤", 1e-15),
        measured('"back"', gap(back, p), "≤", 1e-14),
        measured('"softplus"', largest(x.slice(0, 500).map((row) => Math.abs(shareOf(distributionOf("softplus", row), 0, 1) - sigmoid(row[0] - row[1])))), ">", 0.1),
      ];
    },
  },
  two_meanings: {
    verdict: "N", figure: "posterior", preset: "constant",
    check() {
      const s = linspace(-5, 6, 1101);
      const from = (kind) => gap(softmax(sampleScores(kind, s)), bayes(s));
      return [
        measured('"joint"', from("joint"), "≤", 1e-15),
        measured('"constant"', from("constant"), "≤", 1e-15),
        measured('"no_prior"', from("no_prior"), ">", 0.1),
      ];
    },
  },
  sums_to_one: {
    verdict: "T*", figure: "sums", preset: "negative",
    check() {
      const p = softmax(logitsOf(10));
      return [
        measured("1.5 + (−0.5)", sum(WAYS.shares[0]([3, -1])), "=", 1),
        measured("−1/(3 + (−1))", least(WAYS.shares[0]([3, -1])), "<", 0),
        measured("softmax: min p_j", least(p.flat()), "≥", 0),
        measured("softmax: max |Σ p_j − 1|", largest(exactMisses(p).map(Math.abs)), "≤", 10 * EPSILONS.float64),
      ];
    },
  },
  separate_sigmoids: {
    verdict: "F", figure: "sums", preset: "labels",
    check: () => [
      measured("σ(2) + σ(1) + σ(−1)", sum(sigmoid([2, 1, -1])), ">", 1.88),
      measured("σ(−2) + σ(−2) + σ(−2)", sum(sigmoid([-2, -2, -2])), "<", 0.4),
      measured("σ(2) + σ(−2)", sum(sigmoid([2, -2])), "=", 1),
      measured("softmax: Σ p_j", sum(softmax([2, 1, -1])), "=", 1),
    ],
  },
  sum_is_exact: {
    verdict: "F", figure: "rows", preset: "exactly",
    check() {
      const x = numbersOf(7, 10000, 10);
      const p = softmax(x);
      const missed = (misses) => mean(misses.map((miss) => Number(miss !== 0)));
      const formula = x.map((row) => { const most = largest(row); return naiveOf(row.map((each) => each - most)); });
      return [
        measured('"floats"', missed(floatMisses(p, "float64")), ">", 0.2),
        measured('"exactly"', missed(exactMisses(p)), ">", 0.98),
        measured('"formula"', missed(floatMisses(formula, "float64")), ">", 0.3),
        measured('"worst"', largest(floatMisses(p, "float64").map(Math.abs)), "≤", 1e-15),
      ];
    },
  },
  naive: {
    verdict: "F", figure: "written", preset: "over",
    check: () => [
      measured("e^1001/(e^1000+e^1001)", naiveOf([1000, 1001])[1], "=", NaN),
      measured("e^(−799)/(e^(−800)+e^(−799))", naiveOf([-800, -799])[1], "=", NaN),
      measured('"worn"', Math.abs(naiveOf([-744, -743])[1] - sigmoid(1)), ">", 0.01),
      measured("|softmax([1000, 1001])_2 − σ(1)|", Math.abs(softmax([1000, 1001])[1] - sigmoid(1)), "≤", 1e-15),
      measured("|softmax([1000, 1001])_2 − 0.731059|", Math.abs(softmax([1000, 1001])[1] - 0.731059), "≤", 1e-6),
    ],
  },
};

// ---------------------------------------------------------------- the chapter

export default {
  figures: { three_steps, scores, pairs, posterior, sums, rows, written },
  predictions: {
    third_leaves: { low: 0, high: 1, step: 0.01, answer: () => { const p = softmax([2, 1, 0]); return p[0] / (p[0] + p[1]); } },
    exactly_one: { low: 0, high: 100, step: 1, answer: () => histogram(10, "float64", "exactly").part * 100 },
  },
  claims,
  derivations: {
    shift: [
      "p_1 = e^(x_1+c)@top/(e^(x_1+c)@one + e^(x_2+c)@two)",
      "p_1 = (e^c@above·e^(x_1)@top)/(e^c@below·e^(x_1)@one + e^c@below·e^(x_2)@two)",
      "p_1 = (e^c@above·e^(x_1)@top)/(e^c@below·(e^(x_1)@one + e^(x_2)@two))",
      "p_1 = e^(x_1)@top/(e^(x_1)@one + e^(x_2)@two)",
    ],
  },
  exercises: {
    equal_scores: { answer: () => softmax([1, 1, 1, 1])[0], within: 0.001 },
    cat_and_dog: { options: ["softmax", "sigmoids"], answer: "sigmoids" },
  },
  page(page) {
    page.text("start");
    page.formula("p_j = e^(x_j)/Σ_(i=1)^C e^(x_i)");
    page.figure("three_steps");
    page.text("start_more");
    page.figure("scores");
    page.derivation("shift");
    page.claims("only_differences");

    page.heading("pair_heading");
    page.text("pair_text");
    page.predict("third_leaves");
    page.figure("pairs");
    page.text("pair_proof");
    page.claims("every_pair");

    page.heading("bayes_heading");
    page.text("bayes_text");
    page.figure("posterior");
    page.claims("two_meanings");

    page.heading("sum_heading");
    page.text("sum_text");
    page.figure("sums");
    page.claims("sums_to_one", "separate_sigmoids");
    page.text("next_text");
    page.machine("naive_heading", () => {
      page.text("naive_text");
      page.figure("written");
      page.claims("naive");
      page.text("rows_text");
      page.predict("exactly_one");
      page.figure("rows");
      page.claims("sum_is_exact");
    });
  },
};
