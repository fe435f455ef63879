// Chapter 1: the share a/(a+b), why exp goes in front of it, and what exp does not do.

import { choice, measured, number } from "../model.js";
import { between, column, count, fill, gap, largest, linspace, mean, normalRows, tidy } from "../numeric.js";
import { shown } from "../numbers.js";
import { logit, sigmoid, softmax, softplus } from "../sigmax.js";
import { plain } from "../text.js";

const score = (start) => number(-6, 6, 0.1, start);
const pairsOf = (a, b) => a.map((each, i) => [each, b[i]]);

// ---------------------------------------------------------------- moved together

const quotients = (a, b) => a.map((each, i) => each / (each + b[i]));
const SHARES = {
  raw: quotients,
  square: (a, b) => quotients(a.map((x) => x * x), b.map((x) => x * x)),
  softplus: (a, b) => quotients(softplus(a), softplus(b)),
  power: (a, b) => column(softmax(pairsOf(a, b), { temperature: 1 / Math.LN2 }), 0),
  exp: (a, b) => column(softmax(pairsOf(a, b)), 0),
};
const shareOf = (g, a, b) => SHARES[g]([a], [b])[0];

const PYTHON = {
  raw: (a, b) => `a, b = np.float64(${a}), np.float64(${b})\nwith np.errstate(all="ignore"): print(a / (a + b))`,
  square: (a, b) => `a, b = np.square([${a}, ${b}])\nwith np.errstate(all="ignore"): print(a / (a + b))`,
  softplus: (a, b) => `a, b = sigmax.softplus([${a}, ${b}])\nprint(a / (a + b))`,
  power: (a, b) => `share = sigmax.softmax([${a}, ${b}], temperature=1 / np.log(2))\nprint(share[0])`,
  exp: (a, b) => `share = sigmax.softmax([${a}, ${b}])\nprint(share[0])`,
};
const SYMBOLS = { raw: ["{left}", "{right}"], square: ["{left}^2", "{right}^2"], softplus: ["softplus({left})", "softplus({right})"], power: ["2^{left}", "2^{right}"], exp: ["e^{left}", "e^{right}"] };
const SHIFTS = linspace(-8, 8, 321);

const shifted = {
  controls: { g: choice(["raw", "square", "softplus", "power", "exp"], "raw"), a: score(3), b: score(2), shift: number(-8, 8, 0.1, 0) },
  presets: {
    too_large: { g: "raw", a: 3, b: -1 },
    upside_down: { g: "raw", a: -1, b: -3 },
    nothing: { g: "raw", a: 1, b: -1 },
    still: { g: "exp", a: 3, b: 2, shift: -4 },
  },
  prints: "R",
  compute({ g, a, b, shift }) {
    const [left, right] = [tidy(a + shift), tidy(b + shift)];
    return { left, right, R: shareOf(g, left, right), unmoved: shareOf(g, a, b), shares: SHARES[g](SHIFTS.map((s) => a + s), SHIFTS.map((s) => b + s)) };
  },
  python: ({ g }, { left, right }) => `import numpy as np, sigmax\n${PYTHON[g](left, right)}`,
  formula: ({ g }) => { const [a, b] = SYMBOLS[g]; return `R = ${a}/(${a} + ${b}) = {R}`; },
  readouts: ["R", "unmoved"],
  draw(plot, { shift }, { shares, R, unmoved }, words) {
    plot.frame({ x: [-8, 8], y: [-0.6, 1.6], xlabel: words("shift"), ylabel: "$R$" });
    plot.rectangle("legal", -8, 0, 8, 1, "good");
    plot.line("unmoved", -8, unmoved, 8, unmoved, "muted thin dashed");
    // A pole is a jump across the whole figure: lift the pen there.
    plot.curve("share", SHIFTS, shares.map((share, i) => (i && Math.abs(share - shares[i - 1]) > 1 ? NaN : share)), "v-R");
    plot.marker("here", shift, R, { label: plain(words("shift")), drag: { x: "shift" }, cls: "v-R" });
  },
};

// ---------------------------------------------------------------- more lopsided?

const logarithmicMean = (a, b) => (a === b ? a : (a - b) / (Math.log(a) - Math.log(b)));
// The curve on which e^a : e^b is as lopsided as a : b: with r = a/b, b = ln r / (r − 1).
const RATIOS = linspace(-4, 4, 161).map(Math.exp);
const BORDER_B = RATIOS.map((r) => (r === 1 ? 1 : Math.log(r) / (r - 1)));
const BORDER_A = BORDER_B.map((b, i) => RATIOS[i] * b);
const positive = (start) => number(0.05, 3, 0.01, start);
const ratioOf = (a, b) => { const [p, q] = softmax([a, b]); return p / q; };

const lopsided = {
  controls: { a: positive(2), b: positive(0.8) },
  presets: { less: { a: 0.2, b: 0.1 }, nearly: { a: 1.5, b: 0.6 }, more: { a: 2.5, b: 1.5 } },
  prints: "ratio_exp",
  compute: ({ a, b }) => ({ ratio: a / b, ratio_exp: ratioOf(a, b), mean: logarithmicMean(a, b) }),
  python: ({ a, b }, { ratio }) => `import sigmax\np = sigmax.softmax([${a}, ${b}])\nprint(p[0] / p[1])  # a / b = ${shown(ratio)}`,
  height: 400,
  formula: "{a}/{b} = {ratio} ; e^{a}/e^{b} = {ratio_exp}",
  readouts: ["ratio", "ratio_exp", "mean"],
  draw(plot, { a, b }, _, words) {
    plot.frame({ x: [0, 3], y: [0, 3], xlabel: "$a$", ylabel: "$b$" });
    plot.polygon("less", [0, 0, ...BORDER_A, 4], [0, 4, ...BORDER_B, 0], "muted");
    plot.curve("border", BORDER_A, BORDER_B, "ink");
    plot.line("equal", 0, 0, 3, 3, "muted thin dashed");
    plot.text("more", 2.2, 2.6, words("more"), { anchor: "middle" });
    plot.text("less label", 0.55, 0.22, words("less"), { anchor: "middle" });
    plot.line("down", a, 0, a, b, "v-a thin dashed");
    plot.line("across", 0, b, a, b, "v-b thin dashed");
    plot.marker("pair", a, b, { label: "a, b", drag: { x: "a", y: "b" }, cls: "v-R" });
  },
};

// ---------------------------------------------------------------- differences

const XS = linspace(-5, 3.5, 171);

const widening = {
  controls: { x_i: number(-5, 3.5, 0.1, 1), x_j: number(-5, 3.5, 0.1, -1) },
  presets: { small: { x_i: -3, x_j: -4 }, large: { x_i: 3, x_j: 2 }, equal: { x_i: 1, x_j: 1 } },
  prints: "ratio",
  compute({ x_i, x_j }) {
    const [p_i, p_j] = softmax([x_i, x_j]);
    const [e_i, e_j] = [Math.exp(x_i), Math.exp(x_j)];
    return { e_i, e_j, p_i, p_j, before: Math.abs(x_i - x_j), between: Math.abs(e_i - e_j), after: Math.abs(p_i - p_j), ratio: p_i / p_j };
  },
  python: ({ x_i, x_j }) => `import sigmax\np = sigmax.softmax([${x_i}, ${x_j}])\nprint(p[0] / p[1])`,
  formula: "p_i/p_j = e^({x_i} − {x_j}) = {ratio}",
  readouts: ["before", "between", "after", "ratio"],
  panels: [{ height: 320, draw: drawExponential }, { height: 320, draw: drawDifferences }],
};

function drawExponential(plot, { x_i, x_j }, { e_i, e_j }) {
  plot.frame({ x: [-5, 3.5], y: [0, 35], xlabel: "$x$", ylabel: "$eˣ$" });
  plot.curve("exp", XS, XS.map(Math.exp), "ink");
  for (const [name, x, e] of [["i", x_i, e_i], ["j", x_j, e_j]]) {
    plot.line(`up ${name}`, x, 0, x, e, `v-x_${name} thin`);
    plot.line(`across ${name}`, -5, e, x, e, `v-x_${name} thin`);
  }
  plot.marker("i", x_i, 0, { label: "xᵢ", drag: { x: "x_i" }, cls: "v-x_i" });
  plot.marker("j", x_j, 0, { label: "xⱼ", drag: { x: "x_j" }, cls: "v-x_j" });
}

function drawDifferences(plot, { x_i, x_j }, { before, between: middle, after }, words) {
  const heights = [before, middle, after];
  const names = ["before", "between", "after"].map((name, i) => ({ value: i, words: words(`bar_${name}`) }));
  plot.frame({ x: [-0.6, 2.6], y: [0, Math.max(1.2, ...heights) * 1.15], xticks: names, grid: false });
  plot.bars("difference", [0, 1, 2], heights, { cls: ["v-x", "v-g", "v-p"] });
  const side = x_i < x_j ? -1 : 1;
  // The x_i that makes a bar as high as the hand.
  const hands = [(y) => x_j + side * y, (y) => Math.log(Math.max(Math.exp(x_j) + side * y, 1e-3)), (y) => x_j + 2 * side * Math.atanh(Math.min(y, 0.999))];
  heights.forEach((height, i) => {
    plot.text(`value ${i}`, i, height, shown(height, 3), { anchor: "middle", dy: -14 });
    plot.marker(`hand ${i}`, i, height, { label: names[i].words, drag: (_, y) => ({ x_i: hands[i](Math.max(y, 0)) }), step: [0, Math.max(0.05, height / 20)], cls: `${["v-x", "v-g", "v-p"][i]} up`, words: shown(height, 3) });
  });
}

// ---------------------------------------------------------------- claims

const MANY = 20000;
const exponential = (x) => sigmoid(x) / sigmoid(-x);

const claims = {
  ratio_and_share: {
    verdict: "T*", figure: "shifted",
    check() {
      const [a, b] = [between(1, MANY, 0.01, 10), between(2, MANY, 0.01, 10)];
      const shares = quotients(a, b);
      const exps = column(softmax(pairsOf(a.map(Math.log), b.map(Math.log))), 0);
      return [
        measured("max |e^(ln a)/(e^(ln a)+e^(ln b)) − a/(a+b)|", gap(exps, shares), "≤", 2e-15),
        measured("max |ln(R/(1−R)) − ln(a/b)|", gap(logit(shares), a.map((each, i) => Math.log(each / b[i]))), "≤", 1e-12),
      ];
    },
  },
  any_two_numbers: {
    verdict: "F", figure: "shifted", preset: "too_large",
    check: () => [
      measured("3/(3 + (−1))", shareOf("raw", 3, -1), ">", 1),
      measured("−1/(−1 + (−3))", shareOf("raw", -1, -3), "<", 0.5),
      measured("1/(1 + (−1))", shareOf("raw", 1, -1), "=", Infinity),
      measured("|2/(2+1) − 20/(20+10)|", Math.abs(shareOf("raw", 2, 1) - shareOf("raw", 20, 10)), "=", 0),
      measured("|e^3/(e^3+e^(−1)) − 0.982014|", Math.abs(softmax([3, -1])[0] - 0.982014), "≤", 1e-6),
    ],
  },
  only_exp: {
    verdict: "T*", figure: "shifted", preset: "still",
    check() {
      const [a, b] = [between(3, MANY, -3, 3), between(4, MANY, -3, 3)];
      const moves = (g) => largest([-7, -1, 1, 7].map((shift) => gap(SHARES[g](a.map((x) => x + shift), b.map((x) => x + shift)), SHARES[g](a, b))));
      return [
        measured("g(x) = e^x: max |ΔR|", moves("exp"), "≤", 1e-15),
        measured("g(x) = 2^x: max |ΔR|", moves("power"), "≤", 1e-15),
        measured("g(x) = softplus(x): max |ΔR|", moves("softplus"), ">", 0.1),
        measured("g(x) = x^2: max |ΔR|", moves("square"), ">", 0.1),
        measured("g(x) = e^x: |R(3, 2) − 0.731059|", Math.abs(shareOf("exp", 3, 2) - 0.731059), "≤", 1e-6),
      ];
    },
  },
  own_slope: {
    verdict: "T", figure: "widening", preset: "small",
    check() {
      const h = 1e-5;
      const xs = linspace(-6, 6, 241);
      const slopes = xs.map((x) => (exponential(x + h) - exponential(x - h)) / (2 * h));
      return [
        measured("max |slope/e^x − 1|", largest(slopes.map((slope, i) => Math.abs(slope / exponential(xs[i]) - 1))), "≤", 1e-8),
        measured('"left"', slopes[0], "<", 0.003),
        measured('"right"', slopes.at(-1), ">", 400),
      ];
    },
  },
  more_lopsided: {
    verdict: "F", figure: "lopsided", preset: "less",
    check() {
      const pairs = pairsOf(between(5, MANY, 0.001, 3), between(6, MANY, 0.001, 3)).map(([a, b]) => [Math.max(a, b), Math.min(a, b)]);
      const more = softmax(pairs).map(([p, q], i) => p / q > pairs[i][0] / pairs[i][1]);
      return [
        measured("0.2/0.1", 0.2 / 0.1, "=", 2),
        measured("e^0.2/e^0.1", ratioOf(0.2, 0.1), "<", 2),
        measured('"mismatches"', count(more, (each, i) => each !== logarithmicMean(...pairs[i]) > 1), "=", 0),
        measured('"part"', mean(more.map(Number)), "<", 0.7),
      ];
    },
  },
  widens: {
    verdict: "F", figure: "widening", preset: "small",
    check() {
      const x = normalRows(7, MANY, 2, 3);
      const p = softmax(x);
      const apart = x.map(([a, b]) => a - b);
      return [
        measured("e^(−3) − e^(−4)", exponential(-3) - exponential(-4), "<", 1),
        measured("max |p_i−p_j|/|x_i−x_j|", largest(p.map(([a, b], i) => Math.abs(a - b) / Math.abs(apart[i]))), "≤", 0.5),
        measured("max |(p_i−p_j) − (p_i+p_j)·tanh((x_i−x_j)/2)|", largest(p.map(([a, b], i) => Math.abs(a - b - Math.tanh(apart[i] / 2)))), "≤", 2e-15),
      ];
    },
  },
  differences_into_ratios: {
    verdict: "T", figure: "widening", preset: "large",
    check() {
      const x = normalRows(8, 5000, 5, 3);
      const ratios = softmax(x).map((p, i) => p[0] / p[1] / Math.exp(x[i][0] - x[i][1]));
      return [measured("max |(p_i/p_j)/e^(x_i−x_j) − 1|", gap(ratios, fill(ratios.length, 1)), "≤", 1e-14)];
    },
  },
};

// ---------------------------------------------------------------- the chapter

export default {
  figures: { shifted, lopsided, widening },
  predictions: {
    after_shift: { low: 0, high: 1, step: 0.01, answer: () => softmax([103, 102])[0] },
    after_exp: { low: 0, high: 4, step: 0.05, answer: () => ratioOf(0.2, 0.1) },
  },
  claims,
  exercises: {
    three_to_one: { answer: () => 3 / 4, within: 0.001 },
    one_more: { options: ["e_times", "one_more_probable", "twice"], answer: "e_times" },
  },
  page(page) {
    page.text("start");
    page.formula("R = a/(a+b)");
    page.text("ratio");
    page.claims("ratio_and_share", "any_two_numbers");

    page.heading("why");
    page.text("positive");
    page.formula("R = g(a)/(g(a)+g(b))");
    page.predict("after_shift");
    page.figure("shifted");
    page.text("proof");
    page.claims("only_exp", "own_slope");

    page.heading("myths");
    page.text("myth_ratio");
    page.predict("after_exp");
    page.figure("lopsided");
    page.claims("more_lopsided");
    page.text("myth_difference");
    page.figure("widening");
    page.claims("widens", "differences_into_ratios");
  },
};
