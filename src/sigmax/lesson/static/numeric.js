// Lists of numbers, named as in NumPy and with its results: what the figures compute besides the library's functions.

import { uniforms } from "./sigmax.js";

export const range = (count) => Array.from({ length: count }, (_, i) => i);
export const fill = (count, value) => new Array(count).fill(value);

export function linspace(low, high, count) {
  const step = (high - low) / (count - 1);
  return range(count).map((i) => (i === count - 1 ? high : low + i * step));
}

export const sum = (list) => list.reduce((total, each) => total + each, 0);
export const mean = (list) => sum(list) / list.length;
export const largest = (list) => list.reduce((most, each) => (each > most || Number.isNaN(each) ? each : most), -Infinity);
export const least = (list) => list.reduce((most, each) => (each < most || Number.isNaN(each) ? each : most), Infinity);
export const argmax = (list) => list.reduce((best, each, i) => (each > list[best] ? i : best), 0);
export const diff = (list) => list.slice(1).map((each, i) => each - list[i]);
export const dot = (a, b) => a.reduce((total, each, i) => total + each * b[i], 0);
export const norm = (list) => Math.sqrt(dot(list, list));
export const column = (rows, j) => rows.map((row) => row[j]);
export const transposed = (rows) => rows[0].map((_, j) => column(rows, j));
export const count = (list, test) => list.reduce((total, each, i) => total + Boolean(test(each, i)), 0);
export const times = (matrix, vector) => matrix.map((row) => dot(row, vector));
export const product = (a, b) => a.map((row) => b[0].map((_, j) => row.reduce((total, each, k) => total + each * b[k][j], 0)));

// The largest distance between two lists, or between the rows of two.
export const gap = (a, b) => largest(a.map((each, i) => (Array.isArray(each) ? gap(each, b[i]) : Math.abs(each - b[i]))));

// Decimals as a hand writes them: 0.1 + 0.2 is 0.3.
export const tidy = (value, digits = 10) => Number(value.toFixed(digits)) + 0;

// The straight line through points (xs, ys), xs in order, beyond its ends level.
export function interp(x, xs, ys) {
  if (x <= xs[0]) return ys[0];
  const last = xs.length - 1;
  if (x >= xs[last]) return ys[last];
  let [low, high] = [0, last];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle;
    else high = middle;
  }
  return ys[low] + ((x - xs[low]) / (xs[high] - xs[low])) * (ys[high] - ys[low]);
}

// The smallest x in (low, high] for which `test` holds, to the last bit; `test` holds at high, and beyond it.
export function bisect(low, high, test) {
  for (;;) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) return high;
    if (test(middle)) high = middle;
    else low = middle;
  }
}

// ---------------------------------------------------------------- random numbers: the same in Python

// Nearly normal: twelve uniform numbers added up, less 6.
export function normals(key, count) {
  const u = uniforms(key, 12 * count);
  return range(count).map((i) => {
    let total = u[i];
    for (let k = 1; k < 12; k++) total += u[k * count + i];
    return total - 6;
  });
}

export const between = (key, count, low, high) => uniforms(key, count).map((u) => low + (high - low) * u);
export const normalRows = (key, rows, classes, spread) => {
  const z = normals(key, rows * classes);
  return range(rows).map((i) => range(classes).map((j) => spread * z[i * classes + j]));
};

// The same in Python, for the code that is shown.
export const PYTHON_UNIFORMS = "random = lambda key, *shape: np.random.Generator(np.random.Philox(key=key)).random(shape)";
export const PYTHON_NORMALS = `${PYTHON_UNIFORMS}\nnormal = lambda key, n: random(key, 12, n).sum(axis=0) - 6`;

// A value as Python writes it; long lists over several lines.
export function py(value) {
  if (Array.isArray(value)) {
    const parts = value.map(py);
    const lines = [];
    for (const part of parts) {
      const last = lines.at(-1);
      if (last === undefined || last.length + part.length > 78) lines.push(part);
      else lines[lines.length - 1] = `${last}, ${part}`;
    }
    return `[${lines.join(",\n    ")}]`;
  }
  if (typeof value === "boolean") return value ? "True" : "False";
  return String(value);
}

// The sum of numbers without any rounding on the way: partial sums that do not overlap (Shewchuk 1997).
export function exactSum(list) {
  let parts = [];
  for (let x of list) {
    const kept = [];
    for (let y of parts) {
      if (Math.abs(x) < Math.abs(y)) [x, y] = [y, x];
      const high = x + y;
      const low = y - (high - x);
      if (low) kept.push(low);
      x = high;
    }
    parts = [...kept, x];
  }
  return sum(parts);
}
