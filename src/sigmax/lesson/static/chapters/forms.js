// Chapter 2: dividing through gives two forms of one function, which are not the same as floats.

import { cached, DTYPE, measured, number } from "../model.js";
import { between, bisect, column, gap, largest, linspace, range, tidy } from "../numeric.js";
import { shown } from "../numbers.js";
import { asType, logit, sigmoid, softmax } from "../sigmax.js";

const score = (start) => number(-10, 10, 0.1, start);

// ---------------------------------------------------------------- dividing through

const ROOM = 96; // pixels: a part is labelled with its number only where that has room, and with its name where that has
const NARROW = 46;

const dividing = {
  controls: { a: score(2), b: score(1) },
  presets: { same: { a: 1, b: 1 }, ahead: { a: 9, b: 6 }, negative: { a: -6, b: -9 } },
  prints: "p",
  compute({ a, b }) {
    const x = tidy(a - b);
    return { x, e_a: Math.exp(a), e_b: Math.exp(b), e_x: Math.exp(x), e_minus: Math.exp(-x), p: sigmoid(x) };
  },
  python: ({ a, b }) => `import sigmax\nx = round(${a} - ${b}, 10)\nprint(sigmax.sigmoid(x))`,
  height: 240,
  formula: "e^{a}/(e^{a}+e^{b}) = e^{x}/(e^{x}+1) ; = 1/(1+e^(-{x})) = {p}",
  readouts: ["x", "p"],
  draw(plot, { b }, { e_a, e_b, e_x, e_minus, p }) {
    plot.frame({ x: [0, 1], y: [0, 3], yticks: [], grid: false });
    const cut = plot.px(p);
    const rows = [["eᵃ", e_a, "eᵇ", e_b], ["eˣ", e_x, "1", 1], ["1", 1, "e⁻ˣ", e_minus]];
    rows.forEach(([left, first, right, second], i) => {
      const y = 2.5 - i;
      plot.rectangle(`left ${i}`, 0, y - 0.3, p, y + 0.3, "bar v-a");
      plot.rectangle(`right ${i}`, p, y - 0.3, 1, y + 0.3, "bar v-b");
      const words = (name, value, room) => (name === "1" || room < ROOM ? name : `${name} = ${shown(value, 4)}`);
      const [before, after] = [cut - plot.px(0), plot.px(1) - cut];
      if (before > NARROW) plot.text(`left label ${i}`, 0, y, words(left, first, before), { dx: 12, dy: 5, cls: "on-bar strong" });
      if (after > NARROW) plot.text(`right label ${i}`, 1, y, words(right, second, after), { dx: -12, dy: 5, anchor: "end", cls: "on-bar strong" });
    });
    plot.line("cut", p, 0, p, 3, "v-p thick");
    plot.marker("cut hand", p, 1, { label: "σ(x)", drag: (at) => ({ a: b + logit(Math.min(Math.max(at, 1e-4), 1 - 1e-4)) }), step: [0.03, 0], cls: "v-p across", words: shown(p, 4) });
  },
};

// ---------------------------------------------------------------- the forms in floats

// Each step is rounded to the type; what they do at the ends is the subject.
const FORMS = {
  first(x, to) { const e = to(x.map(Math.exp)); const below = to(e.map((each) => each + 1)); return to(e.map((each, i) => each / below[i])); },
  second: (x, to) => to(to(to(x.map((each) => Math.exp(-each))).map((e) => 1 + e)).map((below) => 1 / below)),
  tanh: (x, to) => to(to(to(x.map((each) => Math.tanh(each / 2))).map((t) => 1 + t)).map((t) => t / 2)),
};
const typed = (dtype) => (list) => (dtype === "float64" ? list : asType(list, dtype));
const valueOf = (form, list, dtype = "float64") => (form === "library" ? sigmoid(list, { dtype }) : FORMS[form](typed(dtype)(list), typed(dtype)));
const COLOURS = { first: "v-a", second: "v-b", tanh: "v-k", library: "v-p" };
const WIDEST = { float16: 24, float32: 120, float64: 760 };
const LOWEST = { float16: 1e-5, float32: 1e-9, float64: 1e-17 };
const SMALLEST = { float16: 2 ** -24, float32: 2 ** -149, float64: 2 ** -1074 };
const WINDOWS = 152;
const EACH = 32;

// The largest relative error of each form in each window of x; nan where the form is nan.
const errorsOf = cached((dtype) => {
  const widest = WIDEST[dtype];
  const wide = (2 * widest) / WINDOWS;
  const x = typed(dtype)(range(WINDOWS * EACH).map((i) => -widest + (wide * (i + 0.5)) / EACH));
  const exact = sigmoid(x);
  const windows = (list) => range(WINDOWS).map((i) => largest(list.slice(i * EACH, (i + 1) * EACH)));
  // Below the smallest number of the type there is nothing to be right about.
  const error = (values) => values.map((value, i) => (exact[i] < SMALLEST[dtype] ? 0 : Math.abs(value / exact[i] - 1)));
  const curves = Object.keys(COLOURS).map((form) => [form, windows(error(valueOf(form, x, dtype)))]);
  return { xs: range(WINDOWS).map((i) => -widest + wide * (i + 0.5)), ...Object.fromEntries(curves) };
});

const errors = {
  controls: { x: number(-760, 760, 0.5, 2), dtype: DTYPE },
  presets: {
    over: { x: 710 },
    under: { x: -710 },
    lost: { x: -40 },
    single: { x: 89, dtype: "float32" },
    half: { x: 12, dtype: "float16" },
  },
  prints: "library_at",
  compute: ({ x, dtype }) => Object.fromEntries(Object.keys(COLOURS).map((form) => [`${form}_at`, valueOf(form, [x], dtype)[0]])),
  python: ({ x, dtype }) => `import numpy as np, sigmax\nx = np.${dtype}(${x})\nprint(sigmax.sigmoid(x))`,
  height: 380,
  readouts: ["first_at v-a", "second_at v-b", "tanh_at v-k", "library_at v-p"],
  draw(plot, { x, dtype }, _, words) {
    const [lowest, widest, curves] = [LOWEST[dtype], WIDEST[dtype], errorsOf(dtype)];
    plot.frame({ x: [-widest, widest], y: [lowest, 30], ylog: true, xlabel: "$x$", ylabel: words("error") });
    const broken = curves.first.findIndex(Number.isNaN);
    plot.rectangle("nan", curves.xs[broken], lowest, widest, 30, "bad");
    plot.text("nan label", widest, 30, "nan", { cls: "bad strong", anchor: "end", dx: -3, dy: 18 });
    // In float64 the library is what the others are measured against: its own error is not to be seen here.
    for (const [form, cls] of Object.entries(COLOURS)) if (form !== "library" || dtype !== "float64") plot.curve(form, curves.xs, curves[form], cls);
    plot.text("tanh label", -0.45 * widest, 1, "tanh", { cls: "v-k", anchor: "middle", dy: -8 });
    plot.marker("here", Math.min(Math.max(x, -widest), widest), lowest, { label: "x", drag: (at) => ({ x: at }), step: [0.5, 0.5], cls: "v-x", words: shown(x) });
  },
};

// ---------------------------------------------------------------- claims

const at = (form, x) => valueOf(form, [x])[0];
const ulpOf = (value) => 2 ** Math.max(Math.floor(Math.log2(value)) - 52, -1074);

const claims = {
  same_function: {
    verdict: "T", figure: "dividing",
    check() {
      const [a, b] = [between(1, 20000, -20, 20), between(2, 20000, -20, 20)];
      const x = a.map((each, i) => each - b[i]);
      const p = sigmoid(x);
      return [
        measured("max |e^a/(e^a+e^b) − σ(a−b)|", gap(column(softmax(a.map((each, i) => [each, b[i]])), 0), p), "≤", 1e-15),
        measured("max |e^x/(e^x+1) − σ(x)|", gap(valueOf("first", x), p), "≤", 1e-15),
        measured("max |1/(1+e^(−x)) − σ(x)|", gap(valueOf("second", x), p), "≤", 1e-15),
      ];
    },
  },
  interchangeable: {
    verdict: "F", figure: "errors", preset: "under",
    check: () => [
      measured("e^710/(e^710+1)", at("first", 710), "=", NaN),
      measured("1/(1+e^(−710))", at("second", 710), "=", 1),
      measured("1/(1+e^710)", at("second", -710), "=", 0),
      measured("|e^(−710)/(e^(−710)+1)/σ(−710) − 1|", Math.abs(at("first", -710) / sigmoid(-710) - 1), "≤", 1e-14),
      measured("σ(−710)", sigmoid(-710), ">", 4.47e-309),
    ],
  },
  tanh_is_safe: {
    verdict: "F", figure: "errors", preset: "lost",
    check() {
      const x = linspace(-5, 5, 20001);
      const p = sigmoid(x);
      return [
        measured("(1+tanh(−40/2))/2", at("tanh", -40), "=", 0),
        measured("σ(−40)", sigmoid(-40), ">", 4.2e-18),
        measured('"near"', largest(valueOf("tanh", x).map((value, i) => Math.abs(value / p[i] - 1))), "≤", 1e-14),
      ];
    },
  },
  two_branches: {
    verdict: "T", figure: "errors", preset: "over",
    check() {
      const x = linspace(-740, 740, 50001);
      const [left, right, p] = [valueOf("first", x.map((each) => Math.min(each, 0))), valueOf("second", x.map((each) => Math.max(each, 0))), sigmoid(x)];
      return [measured('"ulps"', largest(x.map((each, i) => Math.abs((each < 0 ? left[i] : right[i]) - p[i]) / ulpOf(p[i]))), "≤", 3)];
    },
  },
};

// ---------------------------------------------------------------- the chapter

export default {
  figures: { dividing, errors },
  predictions: {
    breaks_at: { low: 0, high: 1000, step: 5, answer: () => bisect(0, 1000, (x) => Number.isNaN(at("first", x))) },
  },
  claims,
  derivations: {
    divide: [
      "e^a@top/(e^a@left + e^b@right)",
      "(e^a@top/e^b@new)/((e^a@left + e^b@right)/e^b@new)",
      "e^(a-b)@top/(e^(a-b)@left + 1@right)",
      "σ(x) = e^x@top/(e^x@left + 1@right)",
      "(e^x@top/e^x@new)/((e^x@left + 1@right)/e^x@new)",
      "σ(x) = 1@top/(1@left + e^(-x)@right)",
    ],
  },
  exercises: {
    symmetric: { answer: () => 1 - sigmoid(0.8472978603872037), within: 0.001 },
    which_form: { options: ["first", "second", "either"], answer: "first" },
  },
  page(page) {
    page.text("start");
    page.derivation("divide");
    page.text("two_to_one");
    page.figure("dividing");
    page.claims("same_function");
    page.machine("floats", () => {
      page.text("overflow");
      page.predict("breaks_at");
      page.figure("errors");
      page.claims("interchangeable", "tanh_is_safe", "two_branches");
    });
  },
};
