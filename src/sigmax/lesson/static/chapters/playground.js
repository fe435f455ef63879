// Chapter 10: points placed by hand, softmax regression trained on them, and whether it can be trusted.

import { html } from "../dom.js";
import { cached, choice, measured, number, numbered, numbers } from "../model.js";
import { argmax, column, count, fill, gap, largest, linspace, mean, norm, normals, py, range, sum } from "../numeric.js";
import { shown } from "../numbers.js";
import { Plot } from "../plot.js";
import { BLOBS, FEW, IMBALANCED, OVERLAP, XOR } from "../points.js";
import { crossEntropy, entropy, smoothLabels, softmax } from "../sigmax.js";
import { address } from "../state.js";
import { bind, lookup, said } from "../text.js";

const [WIDE, TALL] = [3, 2]; // the plane: u in [-3, 3], v in [-2, 2]
const STEPS = 400;
const MOST = 150; // points
const BINS = 10;

// ---------------------------------------------------------------- points

// 1, u, v, and with "products" also u², uv, v².
const featuresOf = (us, vs, features) => us.map((u, i) => (features === "products" ? [1, u, vs[i], u * u, u * vs[i], vs[i] * vs[i]] : [1, u, vs[i]]));

// New points near those that are there, of the same colours: always the same ones for the same points.
const FRESH = 400;
const SPREAD = 0.4;
const SHIFTS = cached(() => normals(10, 2 * FRESH).map((z) => SPREAD * z));
function freshOf({ us, vs, labels }) {
  const shifts = SHIFTS();
  const one = us.length ? range(FRESH).map((i) => i % us.length) : [];
  return { us: one.map((at, i) => us[at] + shifts[i]), vs: one.map((at, i) => vs[at] + shifts[FRESH + i]), labels: one.map((at) => labels[at]) };
}

// ---------------------------------------------------------------- training

const scoresOf = (rows, weights) => rows.map((row) => {
  const scores = [0, 0, 0];
  row.forEach((feature, j) => { for (let k = 0; k < 3; k++) scores[k] += feature * weights[j][k]; });
  return scores;
});
function gradientOf(rows, slopes) {
  const total = rows[0].map(() => [0, 0, 0]);
  rows.forEach((row, i) => row.forEach((feature, j) => { for (let k = 0; k < 3; k++) total[j][k] += feature * slopes[i][k]; }));
  return total;
}

// The square of the largest singular value, by powers of XᵀX.
function steepest(rows) {
  let v = rows[0].map(() => 1);
  let size = 0;
  for (let i = 0; i < 300; i++) {
    const along = rows.map((row) => row.reduce((total, each, j) => total + each * v[j], 0));
    const next = v.map((_, j) => rows.reduce((total, row, k) => total + row[j] * along[k], 0));
    size = norm(next);
    v = next.map((each) => each / size);
  }
  return size;
}

// Gradient descent from zeros: weights and losses before every step, and after the last. The gradient changes by at most
// σ²/(2n) per unit of the weights, σ the largest singular value of X; the inverse of that is the largest step that is sure
// to lower the loss.
const trained = cached((points, features, smoothing, steps = STEPS) => {
  const rows = featuresOf(points.us, points.vs, features);
  let weights = fill(features === "products" ? 6 : 3, 0).map(() => [0, 0, 0]);
  const every = { weights: [weights], losses: [] };
  if (!rows.length) return { weights: fill(steps + 1, weights), losses: fill(steps + 1, NaN) };
  const rate = (2 * rows.length) / steepest(rows);
  for (let step = 0; step <= steps; step++) {
    const [loss, slopes] = crossEntropy(scoresOf(rows, weights), points.labels, { smoothing, gradient: true });
    every.losses.push(loss);
    if (step === steps) break;
    const gradient = gradientOf(rows, slopes);
    weights = weights.map((row, j) => row.map((w, k) => w - rate * gradient[j][k]));
    every.weights.push(weights);
  }
  return every;
});

// The temperature of the least loss, in [0.02, 50]: there the slope of the loss in 1/τ, which only rises, is 0. Newton's
// method, or halves where that leaves the bounds.
function bestTemperature(scores, labels) {
  if (!scores.some((row) => row.some((x) => x !== row[0]))) return NaN; // any temperature is as good
  let [low, high, inverse] = [1 / 50, 1 / 0.02, 1];
  for (let i = 0; i < 30 && high / low > 1 + 1e-9; i++) {
    let [slope, rise] = [0, 0];
    softmax(scores, { temperature: 1 / inverse }).forEach((p, n) => {
      const row = scores[n];
      const middle = p[0] * row[0] + p[1] * row[1] + p[2] * row[2];
      slope += middle - row[labels[n]];
      rise += p[0] * (row[0] - middle) ** 2 + p[1] * (row[1] - middle) ** 2 + p[2] * (row[2] - middle) ** 2;
    });
    if (slope > 0) high = inverse;
    else low = inverse;
    const next = inverse - slope / rise;
    if (Math.abs(next - inverse) < 1e-9 * inverse) break;
    inverse = next > low && next < high ? next : Math.sqrt(low * high);
  }
  return 1 / inverse;
}

// ---------------------------------------------------------------- how good it is

const accuracyOf = (scores, labels) => (labels.length ? mean(scores.map((row, i) => Number(argmax(row) === labels[i]))) : NaN);

// How sure the best guess was, the fraction that was right, and the count, in bins of equal width; and the average gap.
function reliabilityOf(p, labels) {
  const [sure, right, many] = [fill(BINS, 0), fill(BINS, 0), fill(BINS, 0)];
  p.forEach((row, i) => {
    const guess = argmax(row);
    const bin = Math.min(Math.floor(row[guess] * BINS), BINS - 1);
    sure[bin] += row[guess];
    right[bin] += Number(guess === labels[i]);
    many[bin] += 1;
  });
  const apart = p.length ? sum(sure.map((each, bin) => Math.abs(each - right[bin]))) / p.length : NaN;
  return { said: sure.map((each, bin) => each / many[bin]), happened: right.map((each, bin) => each / many[bin]), count: many, gap: apart };
}

// ---------------------------------------------------------------- the plane

const [COLUMNS, ROWS] = [30, 20];
const gridOf = (us, vs) => ({ us: vs.flatMap(() => us), vs: vs.flatMap((v) => us.map(() => v)) });
// Centres of the cells that the plane is divided into, and a finer grid for the borders.
const FIELD = gridOf(range(COLUMNS).map((i) => (((i + 0.5) / COLUMNS) * 2 - 1) * WIDE), range(ROWS).map((i) => (((i + 0.5) / ROWS) * 2 - 1) * TALL));
const [ACROSS, UP] = [linspace(-WIDE, WIDE, 61), linspace(-TALL, TALL, 41)];
const FINE = gridOf(ACROSS, UP);

// Segments along which a function on the fine grid is 0: marching squares.
function crossings(heights) {
  const found = [];
  const n = ACROSS.length;
  for (let r = 0; r + 1 < UP.length; r++) {
    for (let c = 0; c + 1 < n; c++) {
      const at = r * n + c;
      const up = heights[at] > 0;
      if (up === heights[at + n] > 0 && up === heights[at + n + 1] > 0 && up === heights[at + 1] > 0) continue;
      const corners = [[r, c], [r + 1, c], [r + 1, c + 1], [r, c + 1]];
      const h = corners.map(([y, x]) => heights[y * n + x]);
      const ends = [];
      for (let side = 0; side < 4; side++) {
        const next = (side + 1) % 4;
        if (h[side] > 0 === h[next] > 0) continue;
        const part = h[side] / (h[side] - h[next]);
        const [[y1, x1], [y2, x2]] = [corners[side], corners[next]];
        ends.push(ACROSS[x1] + part * (ACROSS[x2] - ACROSS[x1]), UP[y1] + part * (UP[y2] - UP[y1]));
      }
      found.push(ends.slice(0, 4));
    }
  }
  return found;
}

// Where the largest of three scores changes: around the first class, and between the others.
const boundaryOf = (scores) => [...crossings(scores.map(([a, b, c]) => a - Math.max(b, c))), ...crossings(scores.map(([a, b, c]) => b - Math.max(a, c)))];

// How the plane looks to a model: the shades and the borders.
const looksOf = (scores, temperature) => ({ field: softmax(scores(FIELD.us, FIELD.vs), { temperature }), boundary: boundaryOf(scores(FINE.us, FINE.vs)) });

const SAMPLED = [...new Set(linspace(0, Math.log(STEPS + 1), 24).map((power) => Math.floor(Math.exp(power)) - 1))];
// The losses on fresh points at some of the steps.
const alongFresh = cached((points, features, smoothing) => {
  const { us, vs, labels } = freshOf(points);
  const rows = featuresOf(us, vs, features);
  const { weights } = trained(points, features, smoothing);
  return SAMPLED.map((step) => (labels.length ? crossEntropy(scoresOf(rows, weights[step]), labels) : NaN));
});

// All that neither the temperature nor the probe changes.
const modelOf = cached((points, features, ε, steps, extra) => {
  const { weights, losses } = trained(points, features, ε);
  const scores = (us, vs) => scoresOf(featuresOf(us, vs, features), weights[steps]).map((row) => row.map((x, k) => x + extra[k]));
  const fresh = freshOf(points);
  const [own, onFresh, many] = [scores(points.us, points.vs), scores(fresh.us, fresh.vs), Math.max(points.labels.length, 1)];
  return {
    scores, losses, fresh, own, onFresh, onField: scores(FIELD.us, FIELD.vs), boundary: boundaryOf(scores(FINE.us, FINE.vs)), best: bestTemperature(onFresh, fresh.labels),
    shares: range(3).map((k) => count(points.labels, (label) => label === k) / many), right: accuracyOf(own, points.labels), fresh_right: accuracyOf(onFresh, fresh.labels),
  };
});

// And what the temperature changes.
const warmOf = cached((points, features, ε, steps, extra, temperature) => {
  const { own, onFresh, onField, fresh } = modelOf(points, features, ε, steps, extra);
  const [some, many] = [points.labels.length > 0, Math.max(points.labels.length, 1)];
  const p = some ? softmax(own, { temperature }) : [];
  return {
    ...reliabilityOf(some ? softmax(onFresh, { temperature }) : [], fresh.labels), field: softmax(onField, { temperature }),
    mean: range(3).map((k) => sum(column(p, k)) / many), fresh_loss: some ? crossEntropy(onFresh, fresh.labels, { temperature }) : NaN,
  };
});

const preset = ({ us, vs, labels }, others = {}) => ({ us, vs, labels, steps: STEPS, ...others });
const EMPTY = { us: [], vs: [], labels: [] };
const list = (low, high, step, start) => numbers(low, high, step, start, { shortest: 0, longest: MOST, sliders: false });

const plane = {
  controls: {
    steps: number(0, STEPS, 1, 0),
    features: choice(["position", "products"], "position"),
    ε: number(0, 0.5, 0.01, 0),
    τ: number(0.1, 10, 0.1, 1),
    c_1: number(-4, 4, 0.1, 0),
    c_2: number(-4, 4, 0.1, 0),
    c_3: number(-4, 4, 0.1, 0),
    u: number(-WIDE, WIDE, 0.01, 0),
    v: number(-TALL, TALL, 0.01, 0),
    us: list(-WIDE, WIDE, 0.01, BLOBS.us),
    vs: list(-TALL, TALL, 0.01, BLOBS.vs),
    labels: list(0, 2, 1, BLOBS.labels),
  },
  presets: {
    blobs: preset(BLOBS),
    overlap: preset(OVERLAP),
    hot: preset(OVERLAP, { τ: 5 }),
    smoothed: preset(BLOBS, { ε: 0.1 }),
    xor: preset(XOR),
    products: preset(XOR, { features: "products" }),
    imbalanced: preset(IMBALANCED),
    levelled: preset(IMBALANCED, { c_1: -1.4 }),
    few: preset(FEW, { features: "products" }),
    fitted: preset(FEW, { features: "products", τ: 3.1 }),
    empty: preset(EMPTY),
  },
  play: { control: "steps", pace: (at) => Math.max(1, Math.round(0.04 * at)) },
  sound: ({ us, vs, labels }) => us.length === vs.length && vs.length === labels.length,
  prints: "loss",
  about: 1e-6,
  compute({ steps, features, ε, τ, c_1, c_2, c_3, u, v, us, vs, labels }) {
    const settings = [{ us, vs, labels }, features, ε, steps, [c_1, c_2, c_3]];
    const { scores, losses, ...model } = modelOf(...settings);
    const [x] = scores([u], [v]);
    return {
      ...numbered("x", x), ...numbered("p", softmax(x, { temperature: τ })), ...model, ...warmOf(...settings, τ), losses, loss: labels.length ? losses[steps] : 0,
      fresh_losses: alongFresh({ us, vs, labels }, features, ε), guessing: Math.log(3),
    };
  },
  python({ us, vs, labels, features, steps, ε }) {
    if (!us.length) return "import numpy as np, sigmax\nprint(sigmax.cross_entropy(np.empty((0, 3)), np.empty(0, int)))";
    const columns = ["np.ones_like(u)", "u", "v", ...(features === "products" ? ["u * u", "u * v", "v * v"] : [])];
    return `import numpy as np, sigmax
u = np.array(${py(us)})
v = np.array(${py(vs)})
y = ${py(labels)}
X = np.stack([${columns.join(", ")}], axis=-1)
W, rate = np.zeros((${columns.length}, 3)), 2 * len(X) / np.linalg.norm(X, 2) ** 2
step = sigmax.value_and_grad(sigmax.cross_entropy)
for _ in range(${steps}):
    W -= rate * X.T @ step(X @ W, y, label_smoothing=${ε})[1]
print(sigmax.cross_entropy(X @ W, y, label_smoothing=${ε}))`;
  },
  formula: "x = [{x_1}, {x_2}, {x_3}] ; softmax(x/{τ}) = [{p_1}, {p_2}, {p_3}]",
  readouts: ["loss ink", "right ink", "fresh_loss v-x", "fresh_right v-x", "gap v-x", "best v-τ"],
  panels: [
    { height: 540, draw: drawPlane },
    { height: 280, below: true, draw: drawLosses },
    { height: 280, below: true, draw: drawReliability },
    { height: 280, below: true, draw: drawClasses },
  ],
  ready: workbench,
};

// ---------------------------------------------------------------- drawing

const COLOURS = ["v-c_1", "v-c_2", "v-c_3"];

// A circle, a square and a triangle: the classes differ without colours too.
const SYMBOLS = [
  (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`,
  (x, y, r) => `M${x - 0.9 * r} ${y - 0.9 * r}h${1.8 * r}v${1.8 * r}h${-1.8 * r}Z`,
  (x, y, r) => `M${x} ${y - 1.15 * r}L${x + 1.15 * r} ${y + 0.85 * r}H${x - 1.15 * r}Z`,
];

// One path for all the points of a class.
function drawPoints(plot, key, { us, vs, labels }, radius, kind) {
  COLOURS.forEach((cls, k) => {
    const place = (i) => SYMBOLS[k](Number(plot.px(us[i]).toFixed(1)), Number(plot.py(vs[i]).toFixed(1)), radius);
    plot.shape(`${key} ${k}`, labels.map((label, i) => (label === k ? place(i) : "")).join(""), cls, kind);
  });
}

// Red, green and blue of each class, as the theme has them.
function coloursIn(element) {
  let spans = [...element.querySelectorAll(".swatch")];
  if (!spans.length) {
    spans = COLOURS.map((cls) => html("i", { class: `swatch ${cls}`, hidden: true }));
    element.append(...spans);
  }
  return spans.map((span) => getComputedStyle(span).color.match(/[\d.]+/gu).map(Number));
}

// The probabilities as mixed colours, the stronger the surer.
function drawField(plot, field, colours) {
  const { left, top, right, bottom } = plot.area;
  const holder = plot.take("field", "foreignObject", { x: left, y: top, width: right - left, height: bottom - top });
  if (!holder.firstChild) holder.append(html("canvas", { class: "shades", width: COLUMNS, height: ROWS, "aria-hidden": "true" }));
  const context = holder.firstChild.getContext("2d");
  const image = context.createImageData(COLUMNS, ROWS);
  field.forEach((p, i) => {
    const at = 4 * ((ROWS - 1 - Math.floor(i / COLUMNS)) * COLUMNS + (i % COLUMNS));
    for (const part of [0, 1, 2]) image.data[at + part] = p[0] * colours[0][part] + p[1] * colours[1][part] + p[2] * colours[2][part];
    image.data[at + 3] = 255 * (0.05 + 0.6 * (Math.max(...p) - 0.33));
  });
  context.putImageData(image, 0, 0);
}

const drawBoundary = (plot, boundary) => plot.shape("boundary", boundary.map(([u1, v1, u2, v2]) => `M${plot.px(u1).toFixed(1)} ${plot.py(v1).toFixed(1)}L${plot.px(u2).toFixed(1)} ${plot.py(v2).toFixed(1)}`).join(""), "ink", "curve");

function drawPlane(plot, { u, v, us, vs, labels }, { field, boundary, fresh, ...result }, words, figure) {
  plot.frame({ x: [-WIDE, WIDE], y: [-TALL, TALL], xlabel: "$u$", ylabel: "$v$", grid: false });
  drawField(plot, field, coloursIn(figure.element));
  drawPoints(plot, "fresh", fresh, 1.8, "region bar");
  drawBoundary(plot, boundary);
  drawPoints(plot, "point", { us, vs, labels }, 6.5, "point");
  const told = [1, 2, 3].map((k) => `${words(`class_${k}`)} ${shown(result[`p_${k}`], 3)}`).join(", ");
  plot.marker("ring", u, v, { label: words("ring"), drag: { x: "u", y: "v" }, cls: "v-x", words: `${shown(u)}, ${shown(v)}: ${told}` });
}

function drawLosses(plot, { steps }, { losses, guessing, fresh_losses, loss }, words) {
  plot.frame({ x: [0, STEPS], y: [0, 1.5], xlabel: words("steps"), ylabel: words("loss_axis"), xticks: [0, 200, 400] });
  plot.line("guessing", 0, guessing, STEPS, guessing, "muted thin dashed");
  plot.text("guessing label", STEPS, guessing, "ln 3", { cls: "muted", anchor: "end", dy: 16 });
  const past = SAMPLED.filter((step) => step <= steps);
  plot.curve("fresh", past, fresh_losses.slice(0, past.length), "v-x");
  plot.curve("own", range(steps + 1), losses.slice(0, steps + 1), "ink");
  plot.marker("now", steps, Math.min(loss, 1.5), { label: words("steps"), drag: { x: "steps" }, cls: "ink", words: `${shown(steps)}, ${shown(loss, 3)}` });
  plot.text("own label", STEPS, 1.5, words("curve_own"), { anchor: "end", dy: 14 });
  plot.text("fresh label", STEPS, 1.5, words("curve_fresh"), { cls: "v-x", anchor: "end", dy: 31 });
}

function drawReliability(plot, _, { said, happened, count: many }, words) {
  plot.frame({ x: [0, 1], y: [0, 1], xlabel: words("said_axis"), ylabel: words("happened_axis"), xticks: [0, 0.5, 1], yticks: [0, 0.5, 1] });
  plot.line("diagonal", 0, 0, 1, 1, "muted dashed");
  const most = Math.max(...many);
  said.forEach((sure, i) => {
    plot.line(`gap ${i}`, sure, sure, sure, happened[i], "v-x thin");
    plot.points(`bin ${i}`, [sure], [happened[i]], "v-x", 3.5 + 6 * Math.sqrt(many[i] / most));
  });
}

// What is added to the score of class k so that its average probability is `height`.
function addedFor(k, height, { τ, c_1, c_2, c_3 }, own) {
  const now = [c_1, c_2, c_3][k];
  let [low, high] = [-4, 4];
  for (let i = 0; i < 8; i++) {
    const middle = (low + high) / 2;
    const p = softmax(own.map((row) => row.with(k, row[k] - now + middle)), { temperature: τ });
    if (mean(column(p, k)) < height) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

function drawClasses(plot, state, { mean: means, shares, own }, words) {
  plot.frame({ x: [-0.6, 2.6], y: [0, 1], ylabel: words("share_axis"), xticks: [0, 1, 2].map((k) => ({ value: k, words: words(`class_${k + 1}`) })), yticks: [0, 0.5, 1], grid: false });
  plot.bars("mean", [0, 1, 2], means, { cls: COLOURS });
  shares.forEach((share, k) => plot.line(`share ${k}`, k - 0.42, share, k + 0.42, share, "ink thick"));
  if (own.length) means.forEach((height, k) => plot.marker(`grip ${k}`, k, height, { label: words(`class_${k + 1}`), drag: (_, y) => ({ [`c_${k + 1}`]: addedFor(k, y, state, own) }), step: [0, 0.03], cls: `${COLOURS[k]} up`, words: shown(height, 3) }));
}

// ---------------------------------------------------------------- hands

const REACH = 14; // pixels from a point to the hand that takes it
const TAP = 8; // pixels that a finger may slip

// What a click places: one of the classes, or nothing, which takes away.
function brushes(figure) {
  const inputs = ["1", "2", "3", ""].map((value) => html("input", { type: "radio", name: "brush", value, checked: value === "1" }));
  const labels = inputs.map((input, k) => {
    const symbol = html("b", { class: COLOURS[k] ?? "", "aria-hidden": "true" }, ["●", "■", "▲", "×"][k]);
    const name = input.value ? `class_${input.value}` : "erase";
    return html("label", {}, input, bind(html("span"), (span) => span.replaceChildren(symbol, ` ${figure.words(name)}`)));
  });
  const element = html("fieldset", { class: "choice" }, bind(html("legend", { class: "name" }), (legend) => { legend.textContent = figure.words("brush"); }), html("div", { class: "options" }, ...labels));
  return { element, chosen: () => inputs.find((input) => input.checked).value };
}

function editable(figure, chosen) {
  const [plot] = figure.plots;
  const lists = () => ["us", "vs", "labels"].map((name) => [...figure.state[name]]);
  const refusal = html("p", { class: "problem", role: "alert" });
  figure.side.append(refusal);

  function change([us, vs, labels], event) {
    refusal.textContent = "";
    figure.set({ us, vs, labels }, event);
  }

  function add(u, v, label, event) {
    const [us, vs, labels] = lists();
    if (us.length >= MOST) refusal.textContent = figure.words("full");
    else change([[...us, u], [...vs, v], [...labels, label]], event);
  }

  const remove = (at, event) => change(lists().map((each) => each.toSpliced(at, 1)), event);

  // The nearest point within reach of a place in pixels, or -1.
  function nearest(x, y, reach) {
    const far = figure.state.us.map((u, i) => Math.hypot(plot.px(u) - x, plot.py(figure.state.vs[i]) - y));
    const best = far.indexOf(Math.min(...far));
    return far[best] <= reach ? best : -1;
  }

  function placeOf(event) {
    const box = plot.element.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const { left, top, right, bottom } = plot.area;
    return { x, y, inside: !event.target.closest?.(".marker") && x >= left && x <= right && y >= top && y <= bottom };
  }

  let held = null; // the point in the hand, "eraser", or where a finger came down

  function move(event) {
    const [u, v] = plot.pointer(event);
    if (held === "eraser") {
      const found = nearest(plot.px(u), plot.py(v), REACH);
      if (found >= 0) remove(found, event);
    } else if (typeof held === "number") {
      const [us, vs, labels] = lists();
      change([us.with(held, u), vs.with(held, v), labels], event);
    }
  }

  plot.element.addEventListener("pointerdown", (event) => {
    const { x, y, inside } = placeOf(event);
    if (!inside) return;
    const found = nearest(x, y, event.pointerType === "touch" ? 1.5 * REACH : REACH);
    // A finger may be about to scroll: it adds a point only where it goes up again.
    if (event.pointerType === "touch" && (found < 0 || chosen() === "")) {
      held = { x, y };
      return;
    }
    plot.element.setPointerCapture(event.pointerId);
    event.preventDefault();
    if (chosen() === "") {
      held = "eraser";
      move(event);
    } else if (found >= 0) held = found;
    else {
      add(...plot.pointer(event), Number(chosen()) - 1, event);
      held = figure.state.us.length - 1;
    }
  });
  // A finger on a point moves the point, not the page.
  plot.element.addEventListener("touchstart", (event) => {
    const { x, y, inside } = placeOf({ ...event.touches[0], clientX: event.touches[0].clientX, clientY: event.touches[0].clientY, target: event.target });
    if (inside && chosen() !== "" && nearest(x, y, 1.5 * REACH) >= 0) event.preventDefault();
  }, { passive: false });
  plot.element.addEventListener("pointermove", (event) => {
    if (held !== null && plot.element.hasPointerCapture(event.pointerId)) move(event);
  });
  plot.element.addEventListener("pointerup", (event) => {
    const { x, y } = placeOf(event);
    if (held?.x !== undefined && Math.hypot(x - held.x, y - held.y) <= TAP) {
      const found = nearest(x, y, 1.5 * REACH);
      if (chosen() === "" && found >= 0) remove(found, event);
      else if (chosen() !== "") add(...plot.pointer(event), Number(chosen()) - 1, event);
    }
    held = null;
  });
  plot.element.addEventListener("pointercancel", () => { held = null; });
  plot.element.addEventListener("keydown", (event) => {
    const { u, v } = figure.state;
    const label = ["1", "2", "3"].indexOf(event.key);
    if (label >= 0) add(u, v, label, event);
    else if (event.key === "Delete" || event.key === "Backspace") {
      const found = nearest(plot.px(u), plot.py(v), 4 * REACH);
      if (found >= 0) remove(found, event);
    } else return;
    event.preventDefault();
  });
  plot.element.classList.add("placing");
}

// Draws again when light and dark change: the shades are no CSS.
function followTheme(draw) {
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

function workbench(figure) {
  const brush = brushes(figure);
  const take = html("button", { type: "button", onclick: (event) => Number.isFinite(figure.result.best) && figure.set({ τ: figure.result.best }, event) });
  bind(take, () => { take.textContent = figure.words("take_best"); });
  figure.handles.τ.element.after(html("div", { class: "presets" }, take));
  figure.side.prepend(brush.element);
  editable(figure, brush.chosen);
  followTheme(() => figure.draw());
}

// The earlier chapters, each with its place in the figure.
const EARLIER = ["share", "forms", "sigmoid", "logit", "pair", "softmax", "temperature", "cross_entropy", "frameworks"];

function earlier(page) {
  page.add(html("ol", { class: "contents" }, ...EARLIER.map((name, i) => html("li", {}, bind(html("a", {},
    html("span", { class: "number", "aria-hidden": "true" }, String(i + 1)),
    html("span", {}, said("span", `plane.name_${name}`, { class: "title" }, page.chapter), said("span", `plane.place_${name}`, { class: "summary" }, page.chapter)),
  ), (element) => { element.href = address(name); })))));
}

// ---------------------------------------------------------------- the cover

// Trains over and over, one set of points after another; at rest for those who want no motion.
export function livingPlane(holder) {
  const plot = new Plot("", { height: 420, set() {}, controls: {}, state: () => ({}), redraw() {} });
  holder.append(plot.element);
  bind(holder, () => plot.setLabel(lookup(null, "plane_alt")));
  const shows = [[OVERLAP, "position"], [XOR, "products"], [BLOBS, "position"]];
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let [which, step, rest] = [0, calm ? STEPS : 0, 0];

  function draw() {
    if (!holder.isConnected) return;
    const [points, features] = shows[which];
    const weights = trained(points, features, 0).weights[step];
    const { field, boundary } = looksOf((us, vs) => scoresOf(featuresOf(us, vs, features), weights), 1);
    plot.begin();
    plot.frame({ x: [-WIDE, WIDE], y: [-TALL, TALL], xticks: [], yticks: [], grid: false });
    drawField(plot, field, coloursIn(holder));
    drawBoundary(plot, boundary);
    drawPoints(plot, "point", points, 6, "point");
    plot.end();
  }

  function next() {
    if (!holder.isConnected) return;
    if (step < STEPS) step = Math.min(STEPS, step + Math.max(1, Math.round(0.03 * step)));
    else if (++rest > 150) [which, step, rest] = [(which + 1) % shows.length, 0, 0];
    if (rest <= 1) draw();
    requestAnimationFrame(next);
  }

  followTheme(draw);
  new ResizeObserver(draw).observe(holder);
  if (!calm) requestAnimationFrame(next);
}

// ---------------------------------------------------------------- claims

// The features of some points, and the weights that were trained on them.
function fitted(points, features = "position", steps = STEPS, smoothing = 0) {
  const rows = featuresOf(points.us, points.vs, features);
  const weights = trained(points, features, smoothing, Math.max(steps, STEPS)).weights[steps];
  return { rows, weights, scores: scoresOf(rows, weights), labels: points.labels };
}
function onFresh(points, features = "position") {
  const { us, vs, labels } = freshOf(points);
  return { labels, scores: scoresOf(featuresOf(us, vs, features), fitted(points, features).weights) };
}
const surest = (p) => mean(p.map((row) => Math.max(...row)));
const sharesOf = (labels) => range(3).map((k) => count(labels, (label) => label === k) / labels.length);
const slopesAt = ({ rows, scores, labels }, smoothing = 0) => largest(gradientOf(rows, crossEntropy(scores, labels, { smoothing, gradient: true })[1]).flat().map(Math.abs));
const biggest = (weights) => largest(weights.flat().map(Math.abs));

const claims = {
  starts_even: {
    verdict: "T", figure: "plane",
    check: () => [measured("max |L − ln 3|", Math.max(...[BLOBS, OVERLAP, XOR, IMBALANCED, FEW].map((points) => Math.abs(crossEntropy(fitted(points, "position", 0).scores, points.labels) - Math.log(3)))), "≤", 1e-15)],
  },
  every_class: {
    verdict: "T*", figure: "plane", preset: "imbalanced",
    check() {
      const apart = (steps) => { const { scores, labels } = fitted(IMBALANCED, "position", steps); const p = softmax(scores); return gap(range(3).map((k) => mean(column(p, k))), sharesOf(labels)); };
      return [measured('"three"', apart(3), ">", 0.01), measured('"end"', apart(STEPS), "≤", 1e-6)];
    },
  },
  training_ends: {
    verdict: "F", figure: "plane", preset: "blobs",
    check() {
      const [short, long, smooth] = [fitted(BLOBS), fitted(BLOBS, "position", 10 * STEPS), fitted(BLOBS, "position", 10 * STEPS, 0.1)];
      const [before, after] = [short, long].map(({ scores, labels }) => crossEntropy(scores, labels));
      const floor = entropy(smoothLabels([1, 0, 0], 0.1), { fromLogits: false });
      return [
        measured('"falls"', after / before, "<", 0.5),
        measured('"above"', after, ">", 0),
        measured('"grows"', biggest(long.weights) / biggest(short.weights), ">", 1),
        measured('"rests"', slopesAt(smooth, 0.1), "≤", 1e-9),
        measured('"floor"', crossEntropy(smooth.scores, smooth.labels, { smoothing: 0.1 }) - floor, ">", 0),
      ];
    },
  },
  any_shape: {
    verdict: "F", figure: "plane", preset: "xor",
    check() {
      const [straight, bent] = [fitted(XOR), fitted(XOR, "products")];
      return [
        measured('"gradient"', slopesAt(straight), "≤", 1e-6),
        measured('"straight"', accuracyOf(straight.scores, straight.labels), "<", 0.5),
        measured('"bent"', accuracyOf(bent.scores, bent.labels), "=", 1),
      ];
    },
  },
  temperature_decides: {
    verdict: "F", figure: "plane", preset: "hot",
    check() {
      const { scores } = onFresh(OVERLAP);
      const [cold, plain, hot] = [0.2, 1, 5].map((temperature) => softmax(scores, { temperature }));
      const guesses = plain.map(argmax);
      const changed = (p) => count(p, (row, i) => argmax(row) !== guesses[i]);
      return [
        measured('"changed"', Math.max(changed(cold), changed(hot)), "=", 0),
        measured('"cold"', surest(cold), ">", 0.9),
        measured('"hot"', surest(hot), "<", 0.6),
        measured('"biased"', changed(softmax(scores.map(([a, b, c]) => [a, b, c + 1]))), ">", 0),
      ];
    },
  },
  all_right: {
    verdict: "F", figure: "plane", preset: "few",
    check() {
      const own = fitted(FEW, "products");
      const { scores, labels } = onFresh(FEW, "products");
      const best = bestTemperature(scores, labels);
      return [
        measured('"own"', accuracyOf(own.scores, own.labels), "=", 1),
        measured('"says"', surest(softmax(scores)), ">", 0.9),
        measured('"is"', accuracyOf(scores, labels), "<", 0.8),
        measured('"best"', best, ">", 1),
        measured('"trained"', bestTemperature(own.scores, own.labels), "<", 0.1),
        measured('"repaired"', reliabilityOf(softmax(scores, { temperature: best }), labels).gap, "<", 0.1),
      ];
    },
  },
  equal_classes: {
    verdict: "T*", figure: "plane", preset: "levelled",
    check() {
      const own = fitted(IMBALANCED);
      const shares = sharesOf(own.labels);
      const less = (rows) => rows.map((row) => row.map((x, k) => x - Math.log(shares[k])));
      const divided = softmax(own.scores).map((p) => { const parts = p.map((each, k) => each / shares[k]); return parts.map((each) => each / sum(parts)); });
      const { scores, labels } = onFresh(IMBALANCED);
      const perClass = (rows) => mean(range(3).map((k) => { const those = labels.flatMap((label, i) => (label === k ? [i] : [])); return accuracyOf(those.map((i) => rows[i]), those.map(() => k)); }));
      return [
        measured("max |softmax(x − ln π) − (p/π)/Σ(p/π)|", gap(softmax(less(own.scores)), divided), "≤", 1e-14),
        measured('"before"', perClass(scores), "<", 0.6),
        measured('"after"', perClass(less(scores)), ">", 0.6),
      ];
    },
  },
};

// ---------------------------------------------------------------- the chapter

export default {
  figures: { plane },
  predictions: {
    first_loss: { low: 0, high: 3, step: 0.05, answer: () => { const { scores, labels } = fitted(BLOBS, "position", 0); return crossEntropy(scores, labels); } },
    hot_accuracy: { low: 0, high: 1, step: 0.01, answer: () => { const { scores, labels } = fitted(OVERLAP); return accuracyOf(softmax(scores, { temperature: 5 }), labels); } },
  },
  claims,
  exercises: {
    ten_classes: { answer: () => Math.log(10), within: 0.005 },
    move_border: { options: ["temperature", "one_class", "all_classes"], answer: "one_class" },
  },
  page(page) {
    page.text("start");
    page.formula("x = W·[1, u, v] ; p = softmax(x/τ) ; L = -ln p_y");
    page.text("train_text");
    page.predict("first_loss");
    page.figure("plane");
    page.claims("starts_even");

    page.heading("learning");
    page.text("learning_text");
    page.claims("training_ends", "any_shape", "every_class");

    page.heading("trust");
    page.text("trust_text");
    page.predict("hot_accuracy");
    page.claims("temperature_decides", "all_right", "equal_classes");

    page.heading("where");
    page.text("where_text");
    earlier(page);

    page.heading("end");
    page.text("end_text");
  },
};
