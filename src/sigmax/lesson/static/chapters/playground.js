import { isLive } from "../api.js";
import { html } from "../dom.js";
import { shown } from "../numbers.js";
import { address, parameter } from "../state.js";
import { bind, fillMarked } from "../text.js";

const COLOURS = ["v-c_1", "v-c_2", "v-c_3"];
const REACH = 14; // pixels from a point to the hand that takes it
const EARLIER = ["share", "forms", "sigmoid", "logit", "pair", "softmax", "temperature", "cross_entropy", "frameworks"];

// A circle, a square and a triangle: the classes differ without colours too.
const SYMBOLS = [
  (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`,
  (x, y, r) => `M${x - 0.9 * r} ${y - 0.9 * r}h${1.8 * r}v${1.8 * r}h${-1.8 * r}Z`,
  (x, y, r) => `M${x} ${y - 1.15 * r}L${x + 1.15 * r} ${y + 0.85 * r}H${x - 1.15 * r}Z`,
];

// ---------------------------------------------------------------- drawing

// One path for all the points of a class.
function drawPoints(plot, key, us, vs, labels, radius, kind) {
  COLOURS.forEach((cls, k) => {
    const place = (_, i) => SYMBOLS[k](Number(plot.px(us[i]).toFixed(1)), Number(plot.py(vs[i]).toFixed(1)), radius);
    plot.shape(`${key} ${k}`, labels.map((label, i) => (label === k ? place(label, i) : "")).join(""), cls, kind);
  });
}

// The probabilities as mixed colours, the stronger the surer; `colours` has red, green and blue of each class.
function drawField(plot, { field, columns, rows }, colours) {
  const { left, top, right, bottom } = plot.area;
  const holder = plot.take("field", "foreignObject", { x: left, y: top, width: right - left, height: bottom - top });
  if (!holder.firstChild) {
    const made = html("canvas", { width: columns, height: rows, "aria-hidden": "true" });
    Object.assign(made.style, { display: "block", width: "100%", height: "100%" });
    holder.append(made);
  }
  const context = holder.firstChild.getContext("2d");
  const image = context.createImageData(columns, rows);
  field.forEach((percents, i) => {
    const at = 4 * ((rows - 1 - Math.floor(i / columns)) * columns + (i % columns));
    for (const part of [0, 1, 2]) image.data[at + part] = percents.reduce((sum, percent, k) => sum + (percent / 100) * colours[k][part], 0);
    image.data[at + 3] = 255 * (0.05 + 0.006 * (Math.max(...percents) - 33));
  });
  context.putImageData(image, 0, 0);
}

function drawPlane(plot, { u, v, us, vs, labels }, result, words, colours) {
  plot.frame({ x: [-3, 3], y: [-2, 2], xlabel: "$u$", ylabel: "$v$", grid: false });
  drawField(plot, result, colours);
  drawPoints(plot, "fresh", result.fresh_u, result.fresh_v, result.fresh_y, 1.8, "region bar");
  plot.shape("boundary", result.boundary.map(([u1, v1, u2, v2]) => `M${plot.px(u1)} ${plot.py(v1)}L${plot.px(u2)} ${plot.py(v2)}`).join(""), "ink", "curve");
  drawPoints(plot, "point", us, vs, labels, 6.5, "point");
  const said = [1, 2, 3].map((k) => `${words(`class_${k}`)} ${shown(result[`p_${k}`], 3)}`).join(", ");
  plot.marker("ring", u, v, { label: words("ring"), drag: { x: "u", y: "v" }, cls: "v-x", words: `${shown(u)}, ${shown(v)}: ${said}` });
}

function drawLosses(plot, { steps }, { losses, guessing, sampled, fresh_losses, loss }, words) {
  plot.frame({ x: [0, 400], y: [0, 1.5], xlabel: words("steps"), ylabel: words("loss_axis"), xticks: [0, 200, 400] });
  plot.line("guessing", 0, guessing, 400, guessing, "muted thin dashed");
  plot.text("guessing label", 400, guessing, "ln 3", { cls: "muted", anchor: "end", dy: 16 });
  plot.curve("fresh", sampled, fresh_losses, "v-x");
  plot.curve("own", losses.map((_, i) => i), losses, "ink");
  plot.points("now", [steps], [loss], "ink", 4.5);
  plot.text("own label", 400, 1.5, words("curve_own"), { anchor: "end", dy: 14 });
  plot.text("fresh label", 400, 1.5, words("curve_fresh"), { cls: "v-x", anchor: "end", dy: 31 });
}

function drawReliability(plot, _, { said, happened, count }, words) {
  plot.frame({ x: [0, 1], y: [0, 1], xlabel: words("said_axis"), ylabel: words("happened_axis"), xticks: [0, 0.5, 1], yticks: [0, 0.5, 1] });
  plot.line("diagonal", 0, 0, 1, 1, "muted dashed");
  const largest = Math.max(...count);
  said.forEach((sure, i) => {
    plot.line(`gap ${i}`, sure, sure, sure, happened[i], "v-x thin");
    plot.points(`bin ${i}`, [sure], [happened[i]], "v-x", 3.5 + 6 * Math.sqrt(count[i] / largest));
  });
}

function drawClasses(plot, _, { mean, shares }, words) {
  plot.frame({ x: [-0.6, 2.6], y: [0, 1], ylabel: words("share_axis"), xticks: [0, 1, 2].map((k) => ({ value: k, words: words(`class_${k + 1}`) })), yticks: [0, 0.5, 1], grid: false });
  plot.bars("mean", [0, 1, 2], mean, { cls: COLOURS });
  shares.forEach((share, k) => plot.line(`share ${k}`, k - 0.42, share, k + 0.42, share, "ink thick"));
}

// ---------------------------------------------------------------- hands

// What a click places: one of the classes, or nothing, which takes away.
function brushes(figure) {
  const inputs = ["1", "2", "3", ""].map((value) => html("input", { type: "radio", name: "brush", value, checked: value === "1", disabled: !isLive() }));
  const labels = inputs.map((input, k) => {
    const symbol = html("b", { class: COLOURS[k] ?? "", "aria-hidden": "true" }, ["●", "■", "▲", "×"][k]);
    const name = input.value ? `class_${input.value}` : "erase";
    return html("label", {}, input, bind(html("span"), (span) => span.replaceChildren(symbol, ` ${figure.words(name)}`)));
  });
  const element = html("fieldset", { class: "choice" }, html("div", { class: "options" }, ...labels));
  bind(element, () => element.setAttribute("aria-label", figure.words("brush")));
  return { element, chosen: () => inputs.find((input) => input.checked).value };
}

function editable(figure, chosen) {
  const [plot] = figure.plots;
  const lists = () => ["us", "vs", "labels"].map((name) => [...figure.state[name]]);
  const refusal = html("p", { class: "problem", role: "alert" });
  figure.problem.after(refusal);

  function change([us, vs, labels], event) {
    refusal.textContent = "";
    figure.set({ us, vs, labels }, event);
  }

  function add(u, v, label, event) {
    const [us, vs, labels] = lists();
    if (us.length >= figure.controls.us.longest) refusal.textContent = figure.words("full");
    else change([[...us, u], [...vs, v], [...labels, label]], event);
  }

  const remove = (at, event) => change(lists().map((list) => list.toSpliced(at, 1)), event);

  // The nearest point within reach of a place in pixels, or -1.
  function nearest(x, y, reach) {
    const far = figure.state.us.map((u, i) => Math.hypot(plot.px(u) - x, plot.py(figure.state.vs[i]) - y));
    const least = far.indexOf(Math.min(...far));
    return far[least] <= reach ? least : -1;
  }

  let held = null; // the point in the hand, or "eraser"

  function move(event) {
    const [u, v] = plot.pointer(event);
    if (held === "eraser") {
      const found = nearest(plot.px(u), plot.py(v), REACH);
      if (found >= 0) remove(found, event);
    } else {
      const [us, vs, labels] = lists();
      change([us.with(held, u), vs.with(held, v), labels], event);
    }
  }

  plot.element.addEventListener("pointerdown", (event) => {
    const box = plot.element.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const { left, top, right, bottom } = plot.area;
    if (event.target.closest(".marker") || x < left || x > right || y < top || y > bottom || !isLive()) return;
    plot.element.setPointerCapture(event.pointerId);
    event.preventDefault();
    if (chosen() === "") {
      held = "eraser";
      move(event);
      return;
    }
    held = nearest(x, y, REACH);
    if (held >= 0) return;
    add(...plot.pointer(event), Number(chosen()) - 1, event);
    held = figure.state.us.length - 1;
  });
  plot.element.addEventListener("pointermove", (event) => {
    if (held !== null && plot.element.hasPointerCapture(event.pointerId)) move(event);
  });
  for (const end of ["pointerup", "pointercancel"]) plot.element.addEventListener(end, () => { held = null; });

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
  Object.assign(plot.element.style, { cursor: "crosshair", touchAction: "none" });
}

// Runs the steps up to the last, slower where the loss falls fastest; a hand on the slider stops it.
function trainButton(figure) {
  let at = null; // the step that was last asked for, null at rest
  const last = figure.controls.steps.high;
  const button = html("button", { type: "button", disabled: !isLive(), onclick: () => (at === null ? start() : stop()) });
  const show = () => {
    button.textContent = `${at === null ? "▶" : "❚❚"} ${figure.words(at === null ? "train" : "pause")}`;
    button.setAttribute("aria-pressed", String(at !== null));
  };

  function start() {
    at = figure.state.steps >= last ? 0 : figure.state.steps;
    figure.set({ steps: at });
    show();
    requestAnimationFrame(next);
  }

  function stop() {
    at = null;
    show();
  }

  function next() {
    if (at === null || !figure.element.isConnected) return;
    if (figure.state.steps !== at || at >= last) {
      stop();
      return;
    }
    if (!figure.busy) {
      at = Math.min(last, at + Math.max(1, Math.round(0.04 * at)));
      figure.set({ steps: at });
    }
    requestAnimationFrame(next);
  }

  return bind(button, show);
}

// Colours as numbers; the figure is drawn again when light and dark change.
function palette(figure) {
  const watcher = new MutationObserver(() => figure.result && figure.draw());
  watcher.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => figure.result && figure.draw());
  return () => [1, 2, 3].map((k) => getComputedStyle(figure.handles[`c_${k}`].element).color.match(/[\d.]+/gu).map(Number));
}

function workbench(page) {
  let colours;
  const figure = page.figure("plane", {
    panels: [
      { height: 540, draw: (...given) => drawPlane(...given, colours()) },
      { height: 280, draw: drawLosses },
      { height: 280, draw: drawReliability },
      { height: 280, draw: drawClasses },
    ],
    formula: "x = [{x_1}, {x_2}, {x_3}] ; softmax(x/{τ}) = [{p_1}, {p_2}, {p_3}]",
    readouts: ["loss ink", "right ink", "fresh_loss v-x", "fresh_right v-x", "gap v-x", "best v-τ"],
  });
  const brush = brushes(figure);
  const take = html("button", { type: "button", disabled: !isLive(), onclick: (event) => Number.isFinite(figure.result?.best) && figure.set({ τ: figure.result.best }, event) });
  bind(take, () => { take.textContent = figure.words("take_best"); });
  figure.handles.τ.element.after(html("div", { class: "presets" }, take));
  figure.formulaBox.after(html("div", { class: "presets" }, trainButton(figure), brush.element));
  colours = palette(figure);
  editable(figure, brush.chosen);
  // The plane over the whole width, the three small plots side by side below it, as narrow as a plot can be.
  figure.plots[0].element.style.gridColumn = "1 / -1";
  Object.assign(figure.plots[0].element.parentElement.style, { columnGap: 0, gridTemplateColumns: "repeat(auto-fit, minmax(min(100%, 230px), 1fr))" });
  return figure;
}

// The earlier chapters, each with its place in this figure.
function earlier(page, figure) {
  const here = (name) => address(name, parameter("lang") ? { lang: parameter("lang") } : {});
  const said = (cls, key) => bind(html("span", { class: cls }), (element) => fillMarked(element, figure.words(key)));
  page.add(html("ol", { class: "contents" }, ...EARLIER.map((name, i) => html("li", {},
    html("a", { href: here(name), onclick: (event) => { event.currentTarget.href = here(name); } },
      html("span", { class: "number", "aria-hidden": "true" }, String(i + 1)),
      html("span", {}, said("title", `name_${name}`), said("summary", `place_${name}`)))))));
}

export default (page) => {
  page.text("start");
  page.formula("x = W·[1, u, v] ; p = softmax(x/τ) ; L = -ln p_y");
  page.text("train_text");
  page.predict("first_loss");
  const figure = workbench(page);
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
  earlier(page, figure);

  page.heading("end");
  page.text("end_text");
};
