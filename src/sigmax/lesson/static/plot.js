// Figures as SVG. A figure calls the same methods at every redraw; elements are kept by key, and what is not drawn
// again disappears. Colours come from the class: v-<variable>, or muted, good, bad, faint.
//
//   frame({x: [low, high], y: [low, high], xlabel, ylabel, xlog, ylog, xticks, yticks, grid, equal})
//       equal: a unit is as long across as upwards; x is widened about its middle
//   curve(key, xs, ys, cls)     line(key, x1, y1, x2, y2, cls)    arrow(key, x1, y1, x2, y2, cls)
//   region(key, xs, lows, highs, cls)    polygon(key, xs, ys, cls)    rectangle(key, x1, y1, x2, y2, cls)
//   bars(key, positions, values, {width, base, cls})              points(key, xs, ys, cls, radius)
//   text(key, x, y, words, {cls, anchor, dx, dy})
//   marker(key, x, y, {label, drag: {x: control, y: control} | (x, y) => changes, step: [x, y], cls, words})
//   sketch(key, control, {label, cls})    a list of numbers drawn by hand over the whole width
// A label in dollar signs, "$x$", is set in italics.

import { svg } from "./dom.js";
import { shown } from "./numbers.js";

const MARGIN = { top: 14, right: 18, bottom: 46, left: 54 };
const FAR = 1e5;

const superscript = (exponent) => [...String(exponent)].map((digit) => (digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit])).join("");
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function linearTicks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((multiple) => multiple * power).find((each) => each >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const found = [];
  for (let i = first; i * step <= high + step * 1e-9; i++) found.push({ value: i * step, words: shown(i * step, 4) });
  return found;
}

function logTicks(low, high, count) {
  const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  const step = Math.max(1, Math.ceil((last - first) / Math.max(count, 1)));
  const found = [];
  for (let i = Math.ceil(first / step) * step; i <= last; i += step) found.push({ value: 10 ** i, words: i === 0 ? "1" : `10${superscript(i)}` });
  return found;
}

// What stands already is left alone: to set it again would cost a layout.
function put(element, attributes) {
  element.had ??= {};
  for (const [name, value] of Object.entries(attributes)) {
    if (element.had[name] === value) continue;
    element.had[name] = value;
    element.setAttribute(name, value);
  }
}

export class Plot {
  // `height` in pixels at full width, less where it is narrow or `crowded`, as much as the width if `square`; `set` takes changes of controls; `controls` describes them; `state` reads them.
  constructor(label, { height = 320, crowded = false, square = false, set, controls, state, redraw }) {
    Object.assign(this, { height, crowded, square, set, controls, state, redraw });
    this.base = svg("g");
    this.top = svg("g");
    this.clipRectangle = svg("rect");
    this.clip = `clip-${Math.random().toString(36).slice(2)}`;
    this.element = svg("svg", { class: "plot", role: "group" },
      svg("defs", {}, svg("clipPath", { id: this.clip }, this.clipRectangle)), this.base, this.top);
    this.kept = new Map();
    this.setLabel(label);
  }

  setLabel(label) {
    this.element.setAttribute("aria-label", label);
  }

  begin() {
    this.width = Math.max(this.element.clientWidth, 220);
    // A narrow screen gets a figure that is less wide than tall only by a little.
    this.tall = Math.min(this.height, this.crowded && this.width > 300 && window.innerWidth < 800 ? 200 : Math.max(220, this.width * (this.square ? 1 : 0.8)));
    put(this.element, { height: this.tall });
    this.drawn = [];
  }

  end() {
    const drawn = new Set(this.drawn);
    for (const [key, element] of this.kept) {
      if (!drawn.has(key)) {
        element.remove();
        this.kept.delete(key);
      }
    }
    const wanted = this.drawn.map((key) => this.kept.get(key)).filter((element) => element.parentNode === this.base);
    if (wanted.some((element, i) => this.base.children[i] !== element)) this.base.append(...wanted);
  }

  take(key, tag, attributes, layer = this.base) {
    let element = this.kept.get(key);
    if (!element) {
      element = svg(tag);
      this.kept.set(key, element);
      layer.append(element);
    }
    this.drawn.push(key);
    put(element, attributes);
    return element;
  }

  words(key, attributes, words) {
    const element = this.take(key, "text", attributes);
    if (element.words !== words) element.textContent = element.words = words;
  }

  // ------------------------------------------------------------------ coordinates

  frame({ x, y, xlabel = "", ylabel = "", xlog = false, ylog = false, xticks, yticks, grid = true, equal = false }) {
    const left = yticks?.length === 0 && !ylabel ? 18 : MARGIN.left;
    this.area = { left, top: MARGIN.top + (ylabel ? 14 : 0), right: this.width - MARGIN.right, bottom: this.tall - (xlabel ? MARGIN.bottom : 28) };
    const { top, right, bottom } = this.area;
    if (equal) {
      const half = ((y[1] - y[0]) / 2) * ((right - left) / (bottom - top));
      x = [(x[0] + x[1]) / 2 - half, (x[0] + x[1]) / 2 + half];
    }
    this.scales = { x: { range: x, log: xlog, from: left, to: right }, y: { range: y, log: ylog, from: bottom, to: top } };
    put(this.clipRectangle, { x: left, y: top, width: right - left, height: bottom - top });

    const ticks = (given, [low, high], log, count) => given?.map((tick) => (typeof tick === "number" ? { value: tick, words: shown(tick, 4) } : tick)) ?? (log ? logTicks : linearTicks)(low, high, count);
    const across = ticks(xticks, x, xlog, (right - left) / 75);
    const up = ticks(yticks, y, ylog, (bottom - top) / 46);
    for (const { value, words } of across) {
      const at = this.px(value);
      if (grid) this.take(`grid x ${value}`, "path", { d: `M${at} ${top}V${bottom}`, class: "grid" });
      this.words(`tick x ${value}`, { x: at, y: bottom + 21, "text-anchor": "middle", class: "tick" }, words);
    }
    for (const { value, words } of up) {
      const at = this.py(value);
      if (grid) this.take(`grid y ${value}`, "path", { d: `M${left} ${at}H${right}`, class: "grid" });
      this.words(`tick y ${value}`, { x: left - 9, y: at + 4.5, "text-anchor": "end", class: "tick" }, words);
    }
    if (grid && !xlog && x[0] < 0 && x[1] > 0) this.take("axis x 0", "path", { d: `M${this.px(0)} ${top}V${bottom}`, class: "axis" });
    const floor = grid && !ylog && y[0] < 0 && y[1] > 0 ? this.py(0) : bottom;
    this.take("axis y 0", "path", { d: `M${left} ${floor}H${right}`, class: "axis" });
    if (xlabel) this.label("label x", (left + right) / 2, this.tall - 6, "middle", xlabel);
    if (ylabel) this.label("label y", left - 9 < 40 ? 4 : left - 42, 15, "start", ylabel);
  }

  label(key, x, y, anchor, words) {
    const italic = /^\$(.*)\$$/u.exec(words);
    this.words(key, { x, y, "text-anchor": anchor, class: italic ? "label variable" : "label" }, italic?.[1] ?? words);
  }

  toPixels({ range: [low, high], log, from, to }, value) {
    // On a logarithmic axis what is not positive lies on the lower edge.
    const part = log ? Math.log(Math.max(value, low) / low) / Math.log(high / low) : (value - low) / (high - low);
    return clamp(from + part * (to - from), -FAR, FAR);
  }

  fromPixels({ range: [low, high], log, from, to }, pixels) {
    const part = clamp((pixels - from) / (to - from), 0, 1);
    return log ? low * (high / low) ** part : low + part * (high - low);
  }

  px(x) { return this.toPixels(this.scales.x, x); }
  py(y) { return this.toPixels(this.scales.y, y); }

  pointer(event, { x, y } = this.scales) {
    const box = this.element.getBoundingClientRect();
    return [this.fromPixels(x, event.clientX - box.left), this.fromPixels(y, event.clientY - box.top)];
  }

  // ------------------------------------------------------------------ shapes

  shape(key, d, cls, kind) {
    return this.take(key, "path", { d, class: `${kind} ${cls}`, "clip-path": `url(#${this.clip})` });
  }

  curve(key, xs, ys, cls) {
    let d = "";
    let pen = "M";
    xs.forEach((x, i) => {
      if (Number.isNaN(ys[i]) || Number.isNaN(x)) pen = "M";
      else {
        d += `${pen}${this.px(x).toFixed(1)} ${this.py(ys[i]).toFixed(1)}`;
        pen = "L";
      }
    });
    this.shape(key, d, cls, "curve");
  }

  line(key, x1, y1, x2, y2, cls) {
    if ([x1, y1, x2, y2].some(Number.isNaN)) return;
    this.shape(key, `M${this.px(x1)} ${this.py(y1)}L${this.px(x2)} ${this.py(y2)}`, cls, "curve");
  }

  arrow(key, x1, y1, x2, y2, cls) {
    if ([x1, y1, x2, y2].some(Number.isNaN)) return;
    const [fromX, fromY, toX, toY] = [this.px(x1), this.py(y1), this.px(x2), this.py(y2)];
    const length = Math.hypot(toX - fromX, toY - fromY);
    const [dx, dy] = length < 1 ? [0, 0] : [(toX - fromX) / length, (toY - fromY) / length];
    const head = Math.min(9, length);
    const barb = (side) => `M${toX} ${toY}L${toX - head * (dx + side * dy * 0.55)} ${toY - head * (dy - side * dx * 0.55)}`;
    this.take(key, "path", { d: length < 1 ? "" : `M${fromX} ${fromY}L${toX} ${toY}${barb(1)}${barb(-1)}`, class: `curve arrow ${cls}` });
  }

  polygon(key, xs, ys, cls) {
    this.shape(key, `M${xs.map((x, i) => `${this.px(x).toFixed(1)} ${this.py(ys[i]).toFixed(1)}`).join("L")}Z`, cls, "region");
  }

  region(key, xs, lows, highs, cls) {
    this.polygon(key, [...xs, ...[...xs].reverse()], [...highs, ...[...lows].reverse()], cls);
  }

  rectangle(key, x1, y1, x2, y2, cls) {
    const [left, right] = [this.px(x1), this.px(x2)].sort((a, b) => a - b);
    const [top, bottom] = [this.py(y1), this.py(y2)].sort((a, b) => a - b);
    this.take(key, "rect", { x: left, y: top, width: right - left, height: bottom - top, class: `region ${cls}`, "clip-path": `url(#${this.clip})` });
  }

  // `cls` is one class, or one per bar.
  bars(key, positions, values, { width = 0.6, base = 0, cls = "" } = {}) {
    positions.forEach((x, i) => {
      if (!Number.isNaN(values[i])) this.rectangle(`${key} ${i}`, x - width / 2, base, x + width / 2, values[i], `bar ${Array.isArray(cls) ? cls[i] : cls}`);
    });
  }

  points(key, xs, ys, cls, radius = 4) {
    xs.forEach((x, i) => {
      const [cx, cy] = [this.px(x), this.py(ys[i])];
      const { left, top, right, bottom } = this.area;
      // Written so that nan is outside too.
      if (cx >= left - 1 && cx <= right + 1 && cy >= top - 1 && cy <= bottom + 1) this.take(`${key} ${i}`, "circle", { cx, cy, r: radius, class: `point ${cls}` });
    });
  }

  text(key, x, y, words, { cls = "", anchor = "start", dx = 0, dy = 0 } = {}) {
    const italic = /^\$(.*)\$$/u.exec(words);
    this.words(key, { x: this.px(x) + dx, y: this.py(y) + dy, "text-anchor": anchor, class: `note ${italic ? "variable" : ""} ${cls}` }, italic?.[1] ?? words);
  }

  // ------------------------------------------------------------------ things to take hold of

  marker(key, x, y, { label, drag, step, cls = "", words } = {}) {
    let element = this.kept.get(key);
    if (!element) {
      element = this.take(key, "g", { class: "marker", tabindex: 0, role: "slider" }, this.top);
      element.append(svg("circle", { r: 22, class: "hold" }), svg("circle", { r: 8, class: "knob" }));
      element.addEventListener("pointerdown", (event) => {
        element.setPointerCapture(event.pointerId);
        element.focus({ preventScroll: true });
        element.scales = this.scales; // a scale that grows under the hand would run away with it
        event.preventDefault();
      });
      element.addEventListener("pointermove", (event) => {
        if (element.hasPointerCapture(event.pointerId)) this.moved(element.marker, ...this.pointer(event, element.scales), event);
      });
      element.addEventListener("keydown", (event) => this.stepped(element.marker, event));
    } else this.drawn.push(key);
    element.marker = { x, y, drag, step };
    const named = typeof drag === "function" ? undefined : this.controls[drag.x ?? drag.y];
    const horizontal = typeof drag === "function" || drag.x;
    const attributes = {
      transform: `translate(${clamp(this.px(x), this.area.left, this.area.right)} ${clamp(this.py(y), this.area.top, this.area.bottom)})`,
      class: `marker ${cls} ${typeof drag !== "function" && !drag.y ? "across" : typeof drag !== "function" && !drag.x ? "up" : ""}`,
      "aria-label": label,
      "aria-valuenow": Number.isFinite(horizontal ? x : y) ? (horizontal ? x : y) : 0,
      "aria-valuemin": named?.low ?? this.scales[horizontal ? "x" : "y"].range[0],
      "aria-valuemax": named?.high ?? this.scales[horizontal ? "x" : "y"].range[1],
      "aria-valuetext": words ?? (typeof drag !== "function" && !(drag.x && drag.y) ? shown(horizontal ? x : y) : `${shown(x)}, ${shown(y)}`),
    };
    put(element, attributes);
  }

  moved({ drag }, x, y, event) {
    const changes = typeof drag === "function" ? drag(x, y) : { ...(drag.x && { [drag.x]: x }), ...(drag.y && { [drag.y]: y }) };
    this.set(changes, event);
  }

  stepped({ x, y, drag, step }, event) {
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1], PageDown: [0, -1], PageUp: [0, 1], Home: [0, -1], End: [0, 1] }[event.key];
    if (!direction) return;
    event.preventDefault();
    const times = { PageDown: 10, PageUp: 10, Home: 1e6, End: 1e6 }[event.key] ?? (event.shiftKey ? 10 : 1);
    if (typeof drag === "function") {
      const size = step ?? [this.scales.x, this.scales.y].map(({ range: [low, high] }) => (high - low) / 100);
      this.set(drag(x + direction[0] * size[0] * times, y + direction[1] * size[1] * times), event);
      this.redraw();  // the next key starts from where this one led
      return;
    }
    // With one control any arrow moves it; the control's own value counts, not where the marker is drawn.
    const name = drag.x && drag.y ? (direction[0] ? drag.x : drag.y) : drag.x ?? drag.y;
    this.set({ [name]: this.state()[name] + (direction[0] + direction[1]) * this.controls[name].step * times }, event);
  }

  sketch(key, name, { label, cls = "" }) {
    const values = this.state()[name];
    const at = (i) => this.scales.x.range[0] + ((this.scales.x.range[1] - this.scales.x.range[0]) * i) / (values.length - 1);
    let element = this.kept.get(key);
    if (!element) {
      element = this.take(key, "g", { class: "sketch", tabindex: 0, role: "slider" }, this.top);
      element.append(svg("rect", { class: "hold" }), svg("path"), svg("circle", { r: 7, class: "knob" }));
      element.column = Math.floor(values.length / 2);
      element.addEventListener("pointerdown", (event) => {
        element.setPointerCapture(event.pointerId);
        element.focus({ preventScroll: true });
        element.last = null;
        this.sketched(element, name, event);
        event.preventDefault();
      });
      element.addEventListener("pointermove", (event) => {
        if (element.hasPointerCapture(event.pointerId)) this.sketched(element, name, event);
      });
      element.addEventListener("keydown", (event) => this.sketchStepped(element, name, event));
    } else this.drawn.push(key);
    const { left, top, right, bottom } = this.area;
    const [hold, path, knob] = element.children;
    put(hold, { x: left, y: top, width: right - left, height: bottom - top });
    path.setAttribute("d", `M${values.map((value, i) => `${this.px(at(i)).toFixed(1)} ${this.py(value).toFixed(1)}`).join("L")}`);
    path.setAttribute("class", `curve ${cls}`);
    knob.setAttribute("cx", this.px(at(element.column)));
    knob.setAttribute("cy", this.py(values[element.column]));
    const { low, high } = this.controls[name];
    const attributes = { class: `sketch ${cls}`, "aria-label": label, "aria-valuenow": values[element.column], "aria-valuemin": low, "aria-valuemax": high, "aria-valuetext": `${shown(at(element.column), 3)}, ${shown(values[element.column], 3)}` };
    put(element, attributes);
  }

  sketched(element, name, event) {
    const values = [...this.state()[name]];
    const [x, y] = this.pointer(event);
    const [low, high] = this.scales.x.range;
    const column = Math.round(((x - low) / (high - low)) * (values.length - 1));
    // A quick hand skips columns: join them.
    const [from, start] = element.last ?? [column, y];
    const count = Math.max(Math.abs(column - from), 1);
    for (let i = 0; i <= count; i++) values[Math.round(from + ((column - from) * i) / count)] = start + ((y - start) * i) / count;
    element.last = [column, y];
    element.column = column;
    this.set({ [name]: values }, event);
  }

  sketchStepped(element, name, event) {
    const values = [...this.state()[name]];
    const times = event.shiftKey ? 10 : 1;
    const sideways = { ArrowLeft: -1, ArrowRight: 1, Home: -values.length, End: values.length }[event.key];
    const upwards = { ArrowDown: -1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
    if (!sideways && !upwards) return;
    event.preventDefault();
    if (sideways) {
      element.column = clamp(element.column + sideways * times, 0, values.length - 1);
      this.redraw();
    } else {
      values[element.column] += upwards * this.controls[name].step * times;
      this.set({ [name]: values }, event);
    }
  }
}
