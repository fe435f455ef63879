// Chapter 3: the sigmoid: odds, ends, slope, steps, staircases, and whether its output is a probability.

import { cached, choice, DTYPE, measured, number, numbers, same, toggle } from "../model.js";
import { bisect, diff, dot, gap, interp, largest, least, linspace, normals, py, range, sum, times } from "../numeric.js";
import { shown } from "../numbers.js";
import { asType, logit, sigmoid, sigmoidVjp, uniforms } from "../sigmax.js";
import { plain } from "../text.js";

const XS = linspace(-8, 8, 161);
const slopeOf = (x) => sigmoidVjp(x, Array.isArray(x) ? x.map(() => 1) : 1);

// ---------------------------------------------------------------- odds and slope

const curve = {
  controls: { x: number(-8, 8, 0.1, 1) },
  presets: { middle: { x: 0 }, odds: { x: 1.3 }, flat: { x: -6 } },
  prints: "slope",
  compute({ x }) {
    const p = sigmoid(x);
    return { p, N: Math.exp(x), odds: p / sigmoid(-x), slope: slopeOf(x) };
  },
  python: ({ x }) => `import sigmax\nprint(sigmax.vjp(sigmax.sigmoid, ${x}, 1.0))`,
  formula: "p = {N}/({N}+1) = {p} ; p/(1-p) = {p}/(1-{p}) = {odds}",
  readouts: ["p", "N", "odds v-N", "slope v-k"],
  draw(plot, { x }, { p, slope }) {
    plot.frame({ x: [-8, 8], y: [0, 1], xlabel: "$x$", ylabel: "$p$" });
    plot.curve("sigmoid", XS, sigmoid(XS), "v-p");
    plot.line("tangent", x - 3, p - 3 * slope, x + 3, p + 3 * slope, "v-k");
    plot.line("down", x, 0, x, p, "v-x thin dashed");
    plot.marker("here", x, p, { label: "x", drag: { x: "x" }, cls: "v-x" });
  },
};

// ---------------------------------------------------------------- the ends

const LOWEST = 1e-19;
const EVERY = linspace(0, 42, 421);

// The smallest x of the type whose sigmoid is exactly 1.
const firstOne = cached((dtype) => asType(bisect(0, 64, (x) => sigmoid(x, { dtype }) === 1), dtype));

const ends = {
  controls: { x: number(0, 42, 0.1, 6), dtype: DTYPE },
  presets: { half: { dtype: "float16", x: 8.5 }, single: { dtype: "float32", x: 17.5 }, double: { dtype: "float64", x: 37.5 } },
  prints: "p",
  compute: ({ x, dtype }) => ({ p: sigmoid(x, { dtype }), missing: sigmoid(-x, { dtype }), first_one: firstOne(dtype) }),
  python: ({ x, dtype }) => `import numpy as np, sigmax\nx = np.${dtype}(${x})\nprint(sigmax.sigmoid(x))`,
  readouts: ["p", "missing", "first_one"],
  draw(plot, { x, dtype }, { first_one }) {
    const xs = asType(EVERY, dtype);
    plot.frame({ x: [0, 42], y: [LOWEST, 1], ylog: true, xlabel: "$x$", ylabel: "1 − σ(x)" });
    plot.rectangle("is one", first_one, LOWEST, 42, 1, "v-p");
    plot.curve("exact", xs, sigmoid(xs.map((each) => -each)), "muted thin");
    plot.curve("rounded", xs, sigmoid(xs, { dtype }).map((p) => 1 - p), "v-p");
    plot.text("one label", 42, 1, "1 − σ(x) = 0", { cls: "v-p strong", anchor: "end", dx: -6, dy: 20 });
    plot.marker("here", x, LOWEST, { label: "x", drag: { x: "x" }, cls: "v-x" });
  },
};

// ---------------------------------------------------------------- continuous and differentiable

const FUNCTIONS = { sigmoid, absolute: (x) => (Array.isArray(x) ? x.map(Math.abs) : Math.abs(x)), step: (x) => (Array.isArray(x) ? x.map((each) => Number(each >= 0)) : Number(x >= 0)) };
const SOURCES = { sigmoid: "f = sigmax.sigmoid", absolute: "f = np.abs", step: "f = lambda x: np.float64(0.0 if x < 0 else 1.0)" };
const UNITS = linspace(-1, 1, 201);

const magnified = {
  controls: { f: choice(["sigmoid", "absolute", "step"], "absolute"), zoom: number(0, 6, 0.1, 0) },
  presets: { kink: { f: "absolute", zoom: 4 }, jump: { f: "step", zoom: 4 }, smooth: { f: "sigmoid", zoom: 4 } },
  prints: "right",
  about: 1e-9,
  compute({ f, zoom }) {
    const h = 10 ** -zoom;
    const here = FUNCTIONS[f](0);
    return { h, here, left: (here - FUNCTIONS[f](-h)) / h, right: (FUNCTIONS[f](h) - here) / h };
  },
  python: ({ f }, { h }) => `import numpy as np, sigmax\n${SOURCES[f]}; h = np.float64(${h})\nprint((f(h) - f(np.float64(0))) / h)`,
  readouts: ["left", "right"],
  draw(plot, { f }, { h, here }) {
    plot.frame({ x: [-1, 1], y: [-1.2, 1.2], xticks: [{ value: -1, words: `−${h.toPrecision(2)}` }, { value: 0, words: "0" }, { value: 1, words: h.toPrecision(2) }], yticks: [] });
    plot.curve("function", UNITS, FUNCTIONS[f](UNITS.map((x) => x * h)).map((y) => (y - here) / h), "v-p");
    plot.points("here", [0], [0], "ink", 4);
  },
};

// ---------------------------------------------------------------- a function that is not straight

const STRAIGHT = linspace(-3, 3, 121);
const layers = (bent, w, x) => { const h = x.map((each) => w * each + 0.5); return (bent ? sigmoid(h) : h).map((each) => 2 * each - 1); };

const bent = {
  controls: { between: toggle(false), w: number(-4, 4, 0.1, 1.5) },
  presets: { straight: { between: false, w: -2 }, curved: { between: true, w: 3 }, nearly: { between: true, w: 0.3 } },
  prints: "second",
  about: 1e-12,
  compute({ between, w }) {
    const [a, b, c] = layers(between, w, [-1, 0, 1]);
    return { second: a - 2 * b + c, ys: layers(between, w, STRAIGHT) };
  },
  python: ({ between, w }) => `import numpy as np, sigmax\nh = ${w} * np.array([-1.0, 0.0, 1.0]) + 0.5\ny = 2 * ${between ? "sigmax.sigmoid(h)" : "h"} - 1\nprint(y[0] - 2 * y[1] + y[2])`,
  formula: ({ between }) => (between ? "y = 2·σ({w}·x + 0.5) − 1" : "y = 2·({w}·x + 0.5) − 1"),
  readouts: ["second v-k"],
  draw(plot, { between, w }, { ys }) {
    plot.frame({ x: [-3, 3], y: [-6, 6], xlabel: "$x$", ylabel: "$y$" });
    plot.curve("function", STRAIGHT, ys, "v-p");
    plot.marker("here", 1, layers(between, w, [1])[0], { label: "w", drag: (_, y) => ({ w: between ? logit(Math.min(Math.max((y + 1) / 2, 0.01), 0.99)) - 0.5 : y / 2 }), step: [0, between ? 0.02 : 0.2], cls: "v-w up", words: `w = ${shown(w)}` });
  },
};

// ---------------------------------------------------------------- step and pulse

const WIDE = linspace(-2, 2, 801);
const pulseOf = (k, xs) => { const [up, down] = [sigmoid(xs.map((x) => k * (x + 1))), sigmoid(xs.map((x) => k * (x - 1)))]; return up.map((y, i) => y - down[i]); };
// Ever closer to the jump, on both sides.
const POWERS = linspace(-300, 2, 303).map((power) => 10 ** power);
const NEAR = [...POWERS.map((x) => -x), ...POWERS];
const gapToStep = (k) => gap(sigmoid(NEAR.map((x) => k * x)), NEAR.map((x) => Number(x > 0)));

const steps = {
  controls: { k: number(1, 100, 1, 4), pulse: toggle(false) },
  presets: { gentle: { k: 1 }, steep: { k: 100 }, pulse: { k: 20, pulse: true } },
  prints: "middle",
  compute: ({ k, pulse }) => ({ middle: pulse ? sigmoid(k) - sigmoid(-k) : sigmoid(0), gap: gapToStep(k) }),
  python: ({ k, pulse }) => `import sigmax\n${pulse ? `print(sigmax.sigmoid(${k}) - sigmax.sigmoid(-${k}))` : `k = ${k}\nprint(sigmax.sigmoid(k * 0.0))`}`,
  height: 260,
  formula: ({ pulse }) => (pulse ? "σ({k}·(x+1)) − σ({k}·(x−1))" : "σ({k}·x)"),
  readouts: ["middle", "gap"],
  draw(plot, { k, pulse }) {
    plot.frame({ x: [-2, 2], y: [0, 1.05], xlabel: "$x$" });
    const step = pulse ? [[-2, 0], [-1, 0], [-1, 1], [1, 1], [1, 0], [2, 0]] : [[-2, 0], [0, 0], [0, 1], [2, 1]];
    plot.curve("step", step.map(([x]) => x), step.map(([, y]) => y), "muted thin");
    plot.curve("function", WIDE, pulse ? pulseOf(k, WIDE) : sigmoid(WIDE.map((x) => k * x)), "v-p");
    // A little right of where it rises; the far end of a pulse hardly counts there.
    const [[height], far] = pulse ? [pulseOf(k, [-0.8]), sigmoid(-1.8 * k)] : [[sigmoid(0.2 * k)], 0];
    plot.marker("here", pulse ? -0.8 : 0.2, height, { label: "k", drag: (_, y) => ({ k: logit(Math.min(Math.max(y + far, 0.5), 1 - 1e-9)) / 0.2 }), step: [0, 0.02], cls: "v-k up", words: `k = ${shown(k)}` });
  },
};

// ---------------------------------------------------------------- staircase

const COLUMNS = 65;
const T = linspace(0, 1, COLUMNS);
const milli = (value) => Math.round(value * 1000) / 1000;
const DRAWINGS = {
  wave: T.map((t) => milli(0.5 + 0.4 * Math.sin(2 * Math.PI * t))),
  hills: T.map((t) => milli(0.15 + 0.7 * Math.exp(-(((t - 0.28) / 0.12) ** 2)) + 0.45 * Math.exp(-(((t - 0.75) / 0.09) ** 2)))),
  roof: T.map((t) => milli(0.9 - 1.5 * Math.abs(t - 0.5))),
  stairs: T.map((t) => milli(0.2 + 0.2 * Math.floor(3.999 * t))),
};
const FINE = linspace(0, 1, 4 * (COLUMNS - 1) + 1);

// f(0) + Σ rise_i · σ(n · steepness · (x − middle_i)), for the curve through the values on [0, 1].
function stairs(values, n, steepness, x) {
  const edges = linspace(0, 1, n + 1);
  const places = linspace(0, 1, values.length);
  const heights = edges.map((edge) => interp(edge, places, values));
  const [rises, middles] = [diff(heights), edges.slice(1).map((edge, i) => (edges[i] + edge) / 2)];
  const steep = n * steepness;
  return times(sigmoid(x.map((each) => middles.map((middle) => steep * (each - middle)))), rises).map((y) => heights[0] + y);
}

const staircase = {
  controls: { drawing: numbers(0, 1, 0.001, DRAWINGS.hills, { sliders: false }), n: number(1, 200, 1, 12), steepness: number(1, 40, 0.5, 8) },
  presets: { wave: { drawing: DRAWINGS.wave }, more: { n: 60 }, roof: { drawing: DRAWINGS.roof }, stairs: { drawing: DRAWINGS.stairs } },
  prints: "error",
  about: 1e-9,
  compute({ drawing, n, steepness }) {
    const ys = stairs(drawing, n, steepness, FINE);
    return { ys, error: gap(ys, FINE.map((x) => interp(x, T, drawing))) };
  },
  python: ({ drawing, n, steepness }) => `import numpy as np, sigmax
n, k = ${n}, ${steepness}
f = np.array(${py(drawing)})
x, t, edges = np.linspace(0, 1, ${FINE.length}), np.linspace(0, 1, ${COLUMNS}), np.linspace(0, 1, n + 1)
h = np.interp(edges, t, f)
rise, middle = np.diff(h), (edges[:-1] + edges[1:]) / 2
total = h[0] + sigmax.sigmoid(n * k * (x[:, None] - middle)) @ rise
print(np.abs(total - np.interp(x, t, f)).max())`,
  height: 400,
  square: true,
  readouts: ["error v-p"],
  draw(plot, { drawing }, { ys }, words) {
    plot.frame({ x: [0, 1], y: [0, 1], xticks: [], yticks: [] });
    if (Object.values(DRAWINGS).some((each) => same(each, drawing))) plot.text("hint", 1, 1, `✎ ${words("hint")}`, { cls: "muted", anchor: "end", dx: -8, dy: 20 });
    plot.curve("sum", FINE, ys, "v-p");
    plot.sketch("drawing", "drawing", { label: plain(words("drawing")), cls: "v-x" });
  },
};

// ---------------------------------------------------------------- calibrated?

const EVENTS = 20000;
const BINS = 10;
// Scores, and outcomes that happen with probability σ(score).
const events = cached(() => {
  const scores = normals(1, EVENTS).map((z) => 1.7 * z);
  const [p, u] = [sigmoid(scores), uniforms(2, EVENTS)];
  return { scores, outcomes: p.map((each, i) => Number(u[i] < each)) };
});

// Mean prediction, fraction that came true, and count, in bins of equal width of the prediction.
const reliabilityOf = cached((sharpness) => {
  const { scores, outcomes } = events();
  const p = sigmoid(scores.map((x) => sharpness * x));
  const [said, happened, count] = [0, 1, 2].map(() => new Array(BINS).fill(0));
  p.forEach((each, i) => {
    const bin = Math.min(Math.floor(each * BINS), BINS - 1);
    said[bin] += each;
    happened[bin] += outcomes[i];
    count[bin] += 1;
  });
  const error = sum(range(BINS).map((bin) => Math.abs(said[bin] - happened[bin]))) / EVENTS;
  return { said: said.map((total, bin) => total / count[bin]), happened: happened.map((total, bin) => total / count[bin]), count, error };
});

const reliability = {
  controls: { sharpness: number(0.1, 5, 0.1, 1.5) },
  presets: { honest: { sharpness: 1 }, boastful: { sharpness: 3.3 }, timid: { sharpness: 0.3 } },
  prints: "said_example",
  compute({ sharpness }) {
    const { error, ...bins } = reliabilityOf(sharpness);
    return { ...bins, calibration_error: error, said_example: sigmoid(sharpness), true_example: sigmoid(1) };
  },
  python: ({ sharpness }) => `import sigmax\nscore = 1.0\nprint(sigmax.sigmoid(${sharpness} * score))`,
  height: 380,
  readouts: ["calibration_error v-p", "said_example", "true_example"],
  draw(plot, { sharpness }, { said, happened, count, said_example, true_example }, words) {
    plot.frame({ x: [0, 1], y: [0, 1], xlabel: words("said_axis"), ylabel: words("happened_axis") });
    plot.line("diagonal", 0, 0, 1, 1, "muted dashed");
    const most = largest(count);
    said.forEach((x, i) => {
      plot.line(`gap ${i}`, x, x, x, happened[i], "v-p thin");
      plot.points(`bin ${i}`, [x], [happened[i]], "v-p", 4 + 8 * Math.sqrt(count[i] / most));
    });
    plot.marker("example", said_example, true_example, { label: plain(words("said_example")), drag: (at) => ({ sharpness: logit(Math.min(Math.max(at, 0.5), 0.999)) }), step: [0.01, 0], cls: "v-x across", words: `× ${shown(sharpness)}: ${shown(said_example, 3)}` });
  },
};

// ---------------------------------------------------------------- claims

const waveError = cached((n) => { const x = linspace(0, 1, 2001); return gap(stairs(x.map((t) => Math.sin(2 * Math.PI * t)), n, 8, x), x.map((t) => Math.sin(2 * Math.PI * t))); });
const cosine = (f, g) => dot(f, g) / Math.sqrt(dot(f, f) * dot(g, g));
const slopesAt0 = (f, h) => [(f(0) - f(-h)) / h, (f(h) - f(0)) / h];

const claims = {
  odds: {
    verdict: "T*", figure: "curve", preset: "odds",
    check() {
      const [x, near] = [linspace(-30, 30, 10001), linspace(-5, 5, 10001)];
      const [p, q] = [sigmoid(x), sigmoid(x.map((each) => -each))];
      return [
        measured("max |(p/(1−p))/e^x − 1|", largest(x.map((each, i) => Math.abs(p[i] / q[i] / Math.exp(each) - 1))), "≤", 1e-14),
        measured("max |ln(p/(1−p)) − x|", gap(logit(sigmoid(near)), near), "≤", 1e-13),
      ];
    },
  },
  steepest_at_zero: {
    verdict: "T", figure: "curve", preset: "middle",
    check() {
      const slopes = slopeOf(linspace(-8, 8, 3201));
      const rises = diff(slopes);
      return [
        measured("σ′(0)", slopeOf(0), "=", 0.25),
        measured('"left"', least(rises.slice(0, 1600)), ">", 0),
        measured('"right"', largest(rises.slice(1600)), "<", 0),
      ];
    },
  },
  sigmoid_widens: {
    verdict: "F", figure: "curve", preset: "middle",
    check() {
      const [x, y] = [normals(4, 20000), normals(5, 20000)];
      const [p, q] = [sigmoid(x), sigmoid(y)];
      return [
        measured("max |σ(x)−σ(y)|/|x−y|", largest(x.map((each, i) => Math.abs(p[i] - q[i]) / Math.abs(each - y[i]))), "≤", 0.25),
        measured("|σ(1)−σ(0)|/|1−0|", sigmoid(1) - sigmoid(0), ">", 0.231),
      ];
    },
  },
  clear_signal: {
    verdict: "T*", figure: "curve", preset: "flat",
    check: () => [
      measured("σ(0)", sigmoid(0), "=", 0.5),
      measured("σ(0.1)", sigmoid(0.1), "<", 0.53),
      measured("σ(6)", sigmoid(6), ">", 0.997),
      measured("σ(−6)", sigmoid(-6), "<", 0.003),
    ],
  },
  nonlinear: {
    verdict: "T", figure: "bent", preset: "curved",
    check() {
      const second = (between) => { const [a, b, c] = layers(between, 3, [-1, 0, 1]); return Math.abs(a - 2 * b + c); };
      return [measured('"straight"', second(false), "=", 0), measured('"curved"', second(true), ">", 0.39), measured('"curved"', second(true), "<", 0.4)];
    },
  },
  closed_range: {
    verdict: "T*", figure: "ends", preset: "double",
    check: () => [
      ...[["float16", 8.31, 8.33], ["float32", 17.32, 17.34], ["float64", 37.42, 37.44]].flatMap(([dtype, low, high]) => [measured(`"${dtype}"`, firstOne(dtype), ">", low), measured(`"${dtype}"`, firstOne(dtype), "<", high)]),
      measured("1 − σ(30)", sigmoid(-30), ">", 0),
      measured("σ(−745)", sigmoid(-745), ">", 0),
    ],
  },
  continuous_hence_differentiable: {
    verdict: "F", figure: "magnified", preset: "kink",
    check() {
      const [left, right] = slopesAt0(Math.abs, 1e-6);
      const [before, after] = slopesAt0(sigmoid, 1e-6);
      return [
        measured('"left"', left, "=", -1),
        measured('"right"', right, "=", 1),
        measured('"apart"', Math.abs(after - before), "≤", 1e-6),
        measured('"quarter"', Math.abs(after - 0.25), "≤", 1e-6),
      ];
    },
  },
  like_a_step: {
    verdict: "T*", figure: "steps", preset: "steep",
    check: () => [
      measured("|σ(10000·(−0.1)) − 0|", sigmoid(-1000), "=", 0),
      measured("|σ(10000·0.1) − 1|", Math.abs(sigmoid(1000) - 1), "=", 0),
      measured('"everywhere"', gapToStep(1e4), "=", 0.5),
    ],
  },
  pulse: {
    verdict: "T", figure: "steps", preset: "pulse",
    check: () => [
      measured("σ(50·(0+1)) − σ(50·(0−1))", sigmoid(50) - sigmoid(-50), "=", 1),
      measured("σ(50·(2+1)) − σ(50·(2−1))", sigmoid(150) - sigmoid(50), "≤", 1e-15),
      measured("σ(50·(−1+1)) − σ(50·(−1−1))", sigmoid(0) - sigmoid(-100), "=", 0.5),
    ],
  },
  every_function: {
    verdict: "T*", figure: "staircase", preset: "wave",
    check() {
      const x = linspace(-200, 200, 4001);
      const everywhere = stairs(linspace(-Math.PI, Math.PI, 2001).map(Math.sin), 100, 8, x.map((each) => (each + Math.PI) / (2 * Math.PI)));
      const roots = linspace(0, 1, 2001);
      const root = (n) => gap(stairs(roots.map(Math.sqrt), n, 8, roots), roots.map(Math.sqrt));
      return [
        measured('"n = 5"', waveError(5), "≤", 0.22),
        measured('"n = 160"', waveError(160), "≤", 0.01),
        measured('"halving"', waveError(80) / waveError(160), "≥", 1.8),
        measured('"root"', root(80) / root(160), "<", 1.5),
        measured('"line"', gap(everywhere, x.map(Math.sin)), ">", 0.99),
      ];
    },
  },
  like_fourier: {
    verdict: "F", figure: "staircase",
    check() {
      const t = range(2000).map((i) => (i + 0.5) / 2000);
      const [f, g] = [0.25, 0.75].map((middle) => sigmoid(t.map((each) => 100 * (each - middle))));
      return [
        measured('"waves"', Math.abs(cosine(t.map((each) => Math.sin(2 * Math.PI * each)), t.map((each) => Math.sin(4 * Math.PI * each)))), "≤", 1e-12),
        measured('"steps"', cosine(f, g), ">", 0.5),
      ];
    },
  },
  hence_a_probability: {
    verdict: "T*", figure: "reliability", preset: "boastful",
    check: () => [measured('"honest"', reliabilityOf(1).error, "≤", 0.01), measured('"boastful"', reliabilityOf(3.3).error, "≥", 0.1)],
  },
};

// ---------------------------------------------------------------- the chapter

export default {
  figures: { curve, bent, ends, magnified, steps, staircase, reliability },
  predictions: {
    is_one: { low: 0, high: 100, step: 0.5, answer: () => firstOne("float64") },
    gap_to_step: { low: 0, high: 1, step: 0.01, answer: () => gapToStep(1000) },
  },
  claims,
  exercises: {
    odds_of_four: { answer: () => sigmoid(Math.log(4)), within: 0.001 },
    widest_gap: { options: ["a_quarter", "one", "four"], answer: "a_quarter" },
  },
  page(page) {
    page.text("meaning");
    page.formula("σ(x) = N/(N+1) ; N = e^x = p/(1-p) ; x = ln(p/(1-p))");
    page.figure("curve");
    page.claims("odds", "steepest_at_zero", "sigmoid_widens", "clear_signal");

    page.heading("bent_heading");
    page.text("bent_text");
    page.figure("bent");
    page.claims("nonlinear");
    page.text("smooth_text");
    page.figure("magnified");
    page.claims("continuous_hence_differentiable");

    page.heading("blocks");
    page.text("blocks_text");
    page.predict("gap_to_step");
    page.figure("steps");
    page.claims("like_a_step", "pulse");
    page.text("draw_text");
    page.figure("staircase");
    page.claims("every_function", "like_fourier");

    page.heading("trust");
    page.text("trust_text");
    page.figure("reliability");
    page.claims("hence_a_probability");
    page.machine("reach", () => {
      page.text("reach_text");
      page.predict("is_one");
      page.figure("ends");
      page.claims("closed_range");
    });
  },
};
