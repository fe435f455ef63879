// Chapter 4: the logit: odds, mirror, a slip in a formula, the way there and back in floats, a namesake.

import { cached, DTYPE, measured, number } from "../model.js";
import { between, bisect, count, diff, dot, gap, largest, linspace, range, tidy } from "../numeric.js";
import { shown } from "../numbers.js";
import { asType, binaryCrossEntropy, logit, sigmoid } from "../sigmax.js";

const SIDES = linspace(-12, 12, 241);
const PS = sigmoid(SIDES);
const XS = logit(PS);

// ---------------------------------------------------------------- odds and their logarithm

const domain = {
  controls: { p: number(-0.2, 1.2, 0.01, 0.7) },
  presets: { even: { p: 0.5 }, four_to_one: { p: 0.8 }, zero: { p: 0 }, one: { p: 1 }, outside: { p: 1.1 } },
  prints: "x",
  compute: ({ p }) => ({ odds: p / (1 - p), x: logit(p), mirrored: logit(tidy(1 - p)) }),
  python: ({ p }) => `import sigmax\nprint(sigmax.logit(${p}))`,
  height: 380,
  formula: "logit({p}) = ln({p}/(1-{p})) ; = ln({odds}) = {x}",
  readouts: ["odds v-N", "x", "mirrored v-x"],
  draw(plot, { p }, { x, mirrored }) {
    plot.frame({ x: [-0.2, 1.2], y: [-6, 6], xlabel: "$p$", ylabel: "logit(p)" });
    plot.rectangle("below", -0.2, -6, 0, 6, "bad");
    plot.rectangle("above", 1, -6, 1.2, 6, "bad");
    plot.text("nan below", -0.1, 0, "nan", { cls: "bad strong", anchor: "middle", dy: -10 });
    plot.text("nan above", 1.1, 0, "nan", { cls: "bad strong", anchor: "middle", dy: -10 });
    plot.curve("logit", PS, XS, "v-x");
    plot.text("minus infinity", 0, -6, "−inf", { cls: "v-x strong", dx: 22, dy: -8 });
    plot.text("infinity", 1, 6, "inf", { cls: "v-x strong", anchor: "end", dx: -22, dy: 16 });
    // Without a logit the point lies on the axis.
    const height = Number.isNaN(x) ? 0 : x;
    plot.line("down", p, 0, p, height, "v-p thin dashed");
    plot.marker("other", 1 - p, Number.isNaN(mirrored) ? 0 : mirrored, { label: "1 − p", drag: (at) => ({ p: 1 - at }), step: [0.01, 0], cls: "v-p hollow across", words: `1 − p = ${shown(tidy(1 - p))}, logit ${shown(mirrored)}` });
    plot.marker("here", p, height, { label: "p", drag: { x: "p" }, cls: "v-p", words: `p = ${shown(p)}, logit ${shown(x)}` });
  },
};

// ---------------------------------------------------------------- mirror

const meeting = cached(() => bisect(0, 1, (x) => sigmoid(x) <= x));

const mirror = {
  controls: { x: number(-6, 6, 0.01, 2) },
  presets: { meet: { x: 0.66 }, zero: { x: 0 }, right: { x: 4 }, left: { x: -4 } },
  prints: "back",
  compute({ x }) {
    const p = sigmoid(x);
    return { p, back: logit(p) };
  },
  python: ({ x }) => `import sigmax\np = sigmax.sigmoid(${x})\nprint(sigmax.logit(p))`,
  height: 470,
  formula: "σ({x}) = {p} ; logit({p}) = {back}",
  readouts: ["p", "back v-x"],
  draw(plot, { x }, { p }, words) {
    plot.frame({ x: [0, 0], y: [-6.5, 6.5], xticks: [-6, -4, -2, 0, 2, 4, 6], equal: true });
    plot.line("mirror", -7, -7, 7, 7, "muted dashed");
    plot.curve("sigmoid", SIDES, PS, "v-p");
    plot.curve("logit", PS, XS, "v-x");
    plot.text("sigmoid name", -4, 0, "σ(x)", { cls: "v-p strong", anchor: "middle", dy: -10 });
    plot.text("logit name", 0.5, -5.6, "logit(x)", { cls: "v-x strong", dx: 4 });
    plot.line("beam", x, p, p, x, "muted thin");
    plot.points("meeting", [meeting()], [meeting()], "ink", 4.5);
    plot.marker("on sigmoid", x, p, { label: words("on_sigmoid"), drag: { x: "x" }, cls: "v-p", words: `${shown(x)}, ${shown(p)}` });
    plot.marker("on logit", p, x, { label: words("on_logit"), drag: { y: "x" }, cls: "v-x", words: `${shown(p)}, ${shown(x)}` });
  },
};

// ---------------------------------------------------------------- a slip

const slipOf = (p) => -Math.log(1 / p - p); // what is sometimes written: a p where a 1 should be
const SLIP_PS = sigmoid(linspace(-7, 7, 141));
const SLIP_XS = logit(SLIP_PS);

const slip = {
  controls: { p: number(0.005, 0.995, 0.001, 0.3) },
  presets: { half: { p: 0.5 }, golden: { p: 0.618 }, near_one: { p: 0.99 } },
  prints: "gap",
  about: 1e-13,
  compute({ p }) {
    const [x, wrong] = [logit(p), slipOf(p)];
    return { x, wrong, gap: x - wrong, law: Math.log1p(p) };
  },
  python: ({ p }) => `import numpy as np, sigmax\np = np.float64(${p})\nprint(sigmax.logit(p) + np.log(1 / p - p))`,
  formula: "−ln(1/{p} − 1) = {x} ; −ln(1/{p} − {p}) = {wrong}",
  readouts: ["x", "wrong bad", "gap", "law"],
  draw(plot, { p }, { x, wrong }) {
    const wrongs = SLIP_PS.map(slipOf);
    plot.frame({ x: [0, 1], y: [-5.5, 5.5], xlabel: "$p$" });
    plot.region("between", SLIP_PS, wrongs, SLIP_XS, "bad");
    plot.curve("right", SLIP_PS, SLIP_XS, "v-x");
    plot.curve("wrong", SLIP_PS, wrongs, "bad");
    plot.line("gap", p, wrong, p, x, "ink thick");
    plot.marker("here", p, x, { label: "p", drag: { x: "p" }, cls: "v-p", words: `p = ${shown(p)}` });
  },
};

// ---------------------------------------------------------------- there and back

const FARTHEST = 45;
const HIGHEST = 100;
const WINDOWS = 180;
const EACH = 32;
const LOWEST = { float16: 1e-5, float32: 1e-9, float64: 1e-17 };
const BELOW_ONE = { float16: 1 - 2 ** -11, float32: 1 - 2 ** -24, float64: 1 - 2 ** -53 };
const MIDDLES = range(WINDOWS).map((i) => -FARTHEST + ((i + 0.5) * 2 * FARTHEST) / WINDOWS);

// The largest |logit(σ(x)) − x| in each window of x; inf where nothing comes back.
const lossesOf = cached((dtype) => {
  const x = asType(range(WINDOWS * EACH).map((i) => -FARTHEST + ((i + 0.5) * 2 * FARTHEST) / (WINDOWS * EACH)), dtype);
  const back = logit(sigmoid(x, { dtype }), { dtype });
  const lost = back.map((each, i) => Math.abs(each - x[i]));
  return range(WINDOWS).map((i) => largest(lost.slice(i * EACH, (i + 1) * EACH)));
});

const there_and_back = {
  controls: { x: number(-FARTHEST, FARTHEST, 0.1, 20), dtype: DTYPE },
  presets: { thirty: { x: 30 }, thirty_six: { x: 36 }, forty: { x: 40 }, below: { x: -40 }, single: { x: 17, dtype: "float32" }, half: { x: 8, dtype: "float16" } },
  prints: "back",
  compute({ x, dtype }) {
    const at = asType(x, dtype);
    const p = sigmoid(at, { dtype });
    const back = logit(p, { dtype });
    return { p, missing: 1 - p, back, error: Math.abs(back - at), largest: logit(BELOW_ONE[dtype], { dtype }) };
  },
  python: ({ x, dtype }) => `import numpy as np, sigmax\nx = np.${dtype}(${x})\nprint(sigmax.logit(sigmax.sigmoid(x)))`,
  height: 360,
  // Four digits of p say nothing where it is nearly 1.
  formula: ({ x }) => (x < 0 ? "σ({x}) = {p} ; logit({p}) = {back}" : "σ({x}) = 1 − {missing} ; logit(1 − {missing}) = {back}"),
  readouts: ["p", "missing v-p", "back v-x", "error", "largest"],
  draw(plot, { x, dtype }, _, words) {
    const [lowest, losses] = [LOWEST[dtype], lossesOf(dtype)];
    plot.frame({ x: [-FARTHEST, FARTHEST], y: [lowest, HIGHEST], ylog: true, xlabel: "$x$", ylabel: words("error") });
    const lost = (loss) => !Number.isFinite(loss);
    const half = FARTHEST / WINDOWS;
    const first = MIDDLES.findIndex((each, i) => each > 0 && lost(losses[i]));
    const last = MIDDLES.findLastIndex((each, i) => each < 0 && lost(losses[i]));
    if (first >= 0) {
      plot.rectangle("infinite", MIDDLES[first] - half, lowest, FARTHEST, HIGHEST, "bad");
      plot.text("infinite label", FARTHEST, HIGHEST, "inf", { cls: "bad strong", anchor: "end", dx: -6, dy: 18 });
    }
    if (last >= 0) {
      plot.rectangle("minus infinite", -FARTHEST, lowest, MIDDLES[last] + half, HIGHEST, "bad");
      plot.text("minus infinite label", -FARTHEST, HIGHEST, "−inf", { cls: "bad strong", dx: 6, dy: 18 });
    }
    plot.curve("losses", MIDDLES, losses.map((loss) => (lost(loss) ? NaN : loss)), "v-x");
    plot.marker("here", x, lowest, { label: "x", drag: { x: "x" }, cls: "v-x" });
  },
};

// ---------------------------------------------------------------- logistic regression

const HOURS = range(16).map((i) => (i + 1) / 2);
const PASSED = [0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1, 1];
const TIMES = linspace(0, 8.5, 86);
const END = 8;
const lineOf = (w, c, hours = HOURS) => hours.map((h) => w * h + c);
const lossOf = (w, c) => binaryCrossEntropy(lineOf(w, c), PASSED);

// The w and c of least loss, by Newton's method.
const fit = cached(() => {
  let [w, c] = [0, 0];
  for (let i = 0; i < 20; i++) {
    const p = sigmoid(lineOf(w, c));
    const [miss, weight] = [p.map((each, k) => each - PASSED[k]), p.map((each) => each * (1 - each))];
    const [hh, h1, one] = [dot(weight, HOURS.map((h) => h * h)), dot(weight, HOURS), weight.reduce((a, b) => a + b)];
    const [gw, gc] = [dot(miss, HOURS), miss.reduce((a, b) => a + b)];
    const determinant = hh * one - h1 * h1;
    w -= (one * gw - h1 * gc) / determinant;
    c -= (hh * gc - h1 * gw) / determinant;
  }
  return [w, c];
});

const regression = {
  controls: { w: number(-2, 2, 0.01, 0.2), c: number(-6, 6, 0.01, -1.5) },
  presets: { fitted: { w: 0.8, c: -3.59 }, ignorant: { w: 0, c: 0 }, backwards: { w: -0.7, c: 3 } },
  prints: "loss",
  about: 1e-14,
  compute: ({ w, c }) => ({ loss: lossOf(w, c), least: lossOf(...fit()) }),
  python: ({ w, c }) => `import numpy as np, sigmax\nh, passed = np.arange(1, 17) / 2, [${PASSED.join(", ")}]\nprint(sigmax.binary_cross_entropy(${w} * h + ${c}, passed))`,
  formula: "p = σ({w}·h + {c}) ; logit(p) = {w}·h + {c}",
  readouts: ["loss", "least"],
  panels: [
    {
      height: 320,
      draw(plot, { w, c }, _, words) {
        plot.frame({ x: [0, 8.5], y: [-0.08, 1.08], xticks: [0, 2, 4, 6, 8], xlabel: words("hours"), ylabel: "$p$", yticks: [0, 0.5, 1] });
        plot.curve("probability", TIMES, sigmoid(lineOf(w, c, TIMES)), "v-p");
        plot.points("person", HOURS, PASSED, "ink", 4.5);
      },
    },
    {
      height: 320,
      draw(plot, { w, c }, _, words) {
        plot.frame({ x: [0, 8.5], y: [-6, 6], xticks: [0, 2, 4, 6, 8], xlabel: words("hours"), ylabel: "logit(p)" });
        plot.curve("logit", TIMES, logit(sigmoid(lineOf(w, c, TIMES))), "v-x");
        plot.marker("bias", 0, c, { label: words("bias_end"), drag: { y: "c" }, cls: "v-c" });
        plot.marker("slope", END, w * END + c, { label: words("tilt"), drag: (_x, y) => ({ w: (y - c) / END }), step: [0, 0.08], cls: "v-w", words: `w = ${shown(w)}` });
      },
    },
  ],
};

// ---------------------------------------------------------------- claims

const back = (x) => logit(sigmoid(x));
const GRID = linspace(0.001, 0.999, 20001);

const claims = {
  closed_domain: {
    verdict: "T*", figure: "domain", preset: "one",
    check: () => [
      measured("logit(0)", logit(0), "=", -Infinity),
      measured("logit(1)", logit(1), "=", Infinity),
      measured("logit(1.1)", logit(1.1), "=", NaN),
      measured("σ(logit(0))", sigmoid(logit(0)), "=", 0),
      measured("σ(logit(1))", sigmoid(logit(1)), "=", 1),
    ],
  },
  inverse: {
    verdict: "T*", figure: "mirror",
    check() {
      const x = linspace(-700, 3, 20001);
      return [
        measured("max |logit(σ(x)) − x|", gap(back(x), x), "≤", 1e-14),
        measured("max |σ(logit(p)) − p|", gap(sigmoid(logit(GRID)), GRID), "≤", 1e-15),
      ];
    },
  },
  meet_once: {
    verdict: "T", figure: "mirror", preset: "meet",
    check() {
      const x = linspace(-60, 60, 20001);
      const falls = sigmoid(x).map((p, i) => p - x[i]);
      const at = meeting();
      return [
        measured('"falls"', largest(diff(falls)), "<", 0),
        measured('"changes"', count(diff(falls.map(Math.sign)), (change) => change !== 0), "=", 1),
        measured("|σ(0.659046) − 0.659046|", Math.abs(sigmoid(0.659046) - 0.659046), "≤", 1e-6),
        measured('"apart"', Math.abs(logit(at) - sigmoid(at)), "≤", 1e-15),
      ];
    },
  },
  last_form: {
    verdict: "F", figure: "slip", preset: "half",
    check() {
      const x = logit(GRID);
      return [
        measured("max |logit(p) − (ln(p) − ln(1−p))|", gap(x, GRID.map((p) => Math.log(p) - Math.log1p(-p))), "≤", 1e-12),
        measured("max |logit(p) + ln(1/p − 1)|", gap(x, GRID.map((p) => -Math.log(1 / p - 1))), "≤", 1e-12),
        measured("max |logit(p) + ln(1/p − p) − ln(1+p)|", gap(x, GRID.map((p) => slipOf(p) + Math.log1p(p))), "≤", 1e-12),
        measured("logit(0.5)", logit(0.5), "=", 0),
        measured("−ln(1/0.5 − 0.5)", slipOf(0.5), "<", -0.4),
        measured("|−ln(1/0.618034 − 0.618034)|", Math.abs(slipOf(0.618034)), "≤", 1e-6),
      ];
    },
  },
  round_trip: {
    verdict: "F", figure: "there_and_back", preset: "thirty_six",
    check() {
      const x = between(5, 20000, -700, -40);
      return [
        measured("|logit(σ(30)) − 30|", Math.abs(back(30) - 30), ">", 1e-4),
        measured("logit(σ(36))", back(36), ">", 36.04),
        measured("logit(σ(37))", back(37), "<", 36.7369),
        measured("logit(σ(40))", back(40), "=", Infinity),
        measured("logit(σ(−40))", back(-40), "=", -40),
        measured('"left"', gap(back(x), x), "=", 0),
      ];
    },
  },
  not_regression: {
    verdict: "T", figure: "regression", preset: "fitted",
    check() {
      const [w, c] = fit();
      const line = lineOf(w, c);
      const [, slopes] = binaryCrossEntropy(line, PASSED, { gradient: true });
      return [
        measured('"line"', gap(back(line), line), "≤", 1e-14),
        measured('"slopes"', Math.max(Math.abs(dot(slopes, HOURS)), Math.abs(slopes.reduce((a, b) => a + b))), "≤", 1e-15),
        measured('"fitted"', lossOf(w, c), "<", 0.4903),
        measured('"ignorant"', lossOf(0, 0), ">", 0.69),
      ];
    },
  },
};

// ---------------------------------------------------------------- the chapter

export default {
  figures: { domain, mirror, slip, there_and_back, regression },
  predictions: {
    wrong_zero: { low: 0, high: 1, step: 0.01, answer: () => (Math.sqrt(5) - 1) / 2 },
    largest_logit: { low: 0, high: 800, step: 1, answer: () => logit(BELOW_ONE.float64) },
  },
  claims,
  exercises: {
    nine_in_ten: { answer: () => logit(0.9), within: 0.01 },
    other_side: { options: ["minus", "same", "one_minus"], answer: "minus" },
  },
  page(page) {
    page.text("start");
    page.formula("x = logit(p) = ln(p/(1-p)) ; = ln p - ln(1-p) ; = -ln(1/p - 1)");
    page.text("named");
    page.figure("domain");
    page.claims("closed_domain");

    page.heading("mirror_heading");
    page.text("mirror_text");
    page.figure("mirror");
    page.claims("inverse", "meet_once");

    page.heading("slip_heading");
    page.text("slip_text");
    page.predict("wrong_zero");
    page.figure("slip");
    page.claims("last_form");

    page.heading("namesake");
    page.text("namesake_text");
    page.figure("regression");
    page.claims("not_regression");
    page.text("onwards");
    page.machine("floats", () => {
      page.text("floats_text");
      page.predict("largest_logit");
      page.figure("there_and_back");
      page.claims("round_trip");
    });
  },
};
