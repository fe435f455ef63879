// The library's functions, from the WebAssembly module that src/lesson_wasm makes of its kernels: the same bits.
//
// Numbers, lists of them, and lists of rows go in and come out in the same shape; rows are lists of classes. `dtype` is
// the type that numbers are rounded to and computed in. Names, options and reductions are those of the Python library.

import { bytes } from "./resource.js";

const { instance } = await WebAssembly.instantiate(await bytes("sigmax.wasm"), {});
const module = instance.exports;
module._initialize();

const TYPES = { float16: 0, float32: 1, float64: 2 };

// ---------------------------------------------------------------- memory

const view = (pointer, count) => new Float64Array(module.memory.buffer, pointer, count);

function put(numbers) {
  const pointer = module.reserve(numbers.length);
  view(pointer, numbers.length).set(numbers);
  return pointer;
}

const taken = (pointer, count) => Array.from(view(pointer, count));

// Runs body, and gives back the memory that it used.
function within(body) {
  try {
    return body();
  } finally {
    module.release();
  }
}

// ---------------------------------------------------------------- shapes

const isRows = (x) => Array.isArray(x) && Array.isArray(x[0]);
const isList = (x) => Array.isArray(x) || ArrayBuffer.isView(x);

// All numbers of x one after another, and the way back to its shape.
function flattened(x) {
  if (!isList(x)) return { numbers: [x], back: ([number]) => number };
  if (!isRows(x)) return { numbers: x, back: (numbers) => numbers };
  const classes = x[0].length;
  return { numbers: x.flat(), back: (numbers) => x.map((_, i) => numbers.slice(i * classes, (i + 1) * classes)) };
}

// Rows and classes of x, and the way from results to its shape: `each` per class, `one` per row.
function rowsOf(x) {
  const rows = isRows(x) ? x.length : 1;
  const { numbers, back } = flattened(x);
  return { numbers, rows, classes: rows ? numbers.length / rows : 0, each: back, one: (results) => (isRows(x) ? results : results[0]) };
}

const perRow = (numbers, rows) => put(isList(numbers) ? numbers : new Array(rows).fill(numbers));

// ---------------------------------------------------------------- elementwise

const elementwise = (name) => (x, { dtype = "float64" } = {}) => within(() => {
  const { numbers, back } = flattened(x);
  const out = module.reserve(numbers.length);
  module[name](TYPES[dtype], numbers.length, put(numbers), out);
  return back(taken(out, numbers.length));
});

export const sigmoid = elementwise("sigmoid");
export const logSigmoid = elementwise("log_sigmoid");
export const softplus = elementwise("softplus");
export const logit = elementwise("logit");

const elementwiseVjp = (name) => (x, cotangent, { dtype = "float64" } = {}) => within(() => {
  const { numbers, back } = flattened(x);
  const out = module.reserve(numbers.length);
  module[name](TYPES[dtype], numbers.length, put(numbers), put(flattened(cotangent).numbers), out);
  return back(taken(out, numbers.length));
});

export const sigmoidVjp = elementwiseVjp("sigmoid_vjp");
export const logSigmoidVjp = elementwiseVjp("log_sigmoid_vjp");

// ---------------------------------------------------------------- rows

const axis = (name, reduces) => (x, { temperature = 1, dtype = "float64" } = {}, second = null) => within(() => {
  const { numbers, rows, classes, each, one } = rowsOf(x);
  const count = reduces ? rows : numbers.length;
  const out = module.reserve(count);
  const cotangents = second === null ? 0 : put(flattened(second).numbers);
  module[name](TYPES[dtype], rows, classes, put(numbers), cotangents, perRow(temperature, rows), out);
  return (reduces ? one : each)(taken(out, count));
});

export const softmax = axis("softmax", false);
export const logSoftmax = axis("log_softmax", false);
export const logsumexp = axis("logsumexp", true);
const entropyOfLogits = axis("entropy", true);
const entropyOfProbabilities = axis("entropy_of_probabilities", true);
export const entropy = (x, { fromLogits = true, ...options } = {}) => (fromLogits ? entropyOfLogits : entropyOfProbabilities)(x, options);
const softmaxVjpOf = axis("softmax_vjp", false);
export const softmaxVjp = (x, cotangent, options = {}) => softmaxVjpOf(x, options, cotangent);

// ---------------------------------------------------------------- losses

const rounded = (numbers, dtype) => {
  if (dtype === "float64") return numbers;
  const out = module.reserve(numbers.length);
  module.round_to_type(TYPES[dtype], numbers.length, put(numbers), out);
  return Array.from(view(out, numbers.length));
};

// Numbers as a type has them.
export const asType = (x, dtype) => within(() => {
  const { numbers, back } = flattened(x);
  return back(rounded(numbers, dtype));
});

const totalOf = (numbers) => module.total(numbers.length, put(numbers));

// The losses, their sum or their mean, in the type.
function reduced(losses, reduction, divisor, dtype, one) {
  if (reduction === "none") return one(rounded(losses, dtype));
  return rounded([totalOf(losses) / divisor], dtype)[0];
}

// With `gradient` a list of the loss and its gradient.
function loss(name, x, { label, soft, weight = 1, factor = 1, temperature = 1, smoothing = 0, reduction = "mean", normalizer, dtype = "float64", gradient = false, masses }) {
  return within(() => {
    const { numbers, rows, classes, each, one } = rowsOf(x);
    const divisor = reduction !== "mean" ? 1 : normalizer ?? (masses ? totalOf(masses) : rows);
    const weights = Array.from({ length: rows }, (_, i) => factor * (isList(weight) ? weight[i] : weight));
    const [value, slopes] = [module.reserve(rows), gradient ? module.reserve(numbers.length) : 0];
    const labels = label === undefined ? 0 : put(isList(label) ? label : [label]);
    const softs = soft === undefined ? 0 : put(flattened(soft).numbers);
    module[name](TYPES[dtype], rows, classes, put(numbers), labels, softs, put(weights), perRow(temperature, rows), smoothing, 1 / divisor, value, slopes);
    const result = reduced(taken(value, rows), reduction, divisor, dtype, one);
    return gradient ? [result, each(taken(slopes, numbers.length))] : result;
  });
}

// Labels are class indices, or distributions in the shape of x.
export function crossEntropy(x, labels, { fromLogits = true, weight, ...options } = {}) {
  const hard = isRows(x) ? !isRows(labels) : !isList(labels);
  const rows = isRows(x) ? x.length : 1;
  const sums = hard ? null : (isRows(labels) ? labels : [labels]).map((row) => within(() => totalOf(rounded(row, options.dtype ?? "float64"))));
  const masses = weight === undefined ? sums ?? undefined : Array.from({ length: rows }, (_, i) => (sums?.[i] ?? 1) * (isList(weight) ? weight[i] : weight));
  const name = fromLogits ? "cross_entropy" : "cross_entropy_of_probabilities";
  return loss(name, x, { ...options, weight, masses, ...(hard ? { label: labels } : { soft: labels }) });
}

// The divergence of the labels from x: of two lists of probabilities, or of two of logits.
export const klDivergence = (x, labels, { fromLogits = true, ...options } = {}) => loss(fromLogits ? "divergence" : "relative_entropy_of_probabilities", x, { ...options, soft: labels });

// Both are logits; the loss and its gradient to the student's.
export const distillation = (student, teacher, { temperature = 1, ...options } = {}) => loss("divergence", student, { ...options, temperature, soft: teacher, factor: temperature * temperature, gradient: true });

export const binaryCrossEntropy = (x, labels, { reduction = "mean", dtype = "float64", gradient = false } = {}) => within(() => {
  const { numbers, back } = flattened(x);
  const count = numbers.length;
  const divisor = reduction === "mean" ? count : 1;
  const [value, slopes] = [module.reserve(count), gradient ? module.reserve(count) : 0];
  module.binary_cross_entropy(TYPES[dtype], count, put(numbers), put(flattened(labels).numbers), divisor, value, slopes);
  const result = reduced(taken(value, count), reduction, divisor, dtype, back);
  return gradient ? [result, back(taken(slopes, count))] : result;
});

export const oneHot = (index, classes) => (isList(index) ? index.map((each) => oneHot(each, classes)) : Array.from({ length: classes }, (_, j) => Number(j === index)));
export const smoothLabels = (labels, smoothing) => labels.map((y) => (1 - smoothing) * y + smoothing / labels.length);

// ---------------------------------------------------------------- random numbers

// numpy.random.Generator(numpy.random.Philox(key=key)).random(count): always the same, here and in Python.
export const uniforms = (key, count) => within(() => {
  const out = module.reserve(count);
  module.uniforms(key, count, out);
  return Array.from(view(out, count));
});

// Classes drawn from softmax(x/temperature): those of sigmax.sample(x, shape=count, temperature=temperature, seed=seed).
export function sample(x, { count, temperature = 1, seed }) {
  const p = softmax(x, { temperature });
  const numbers = within(() => {
    const out = module.reserve(count);
    module.draws(seed, count, out);
    return Array.from(view(out, count));
  });
  const winner = x.indexOf(Math.max(...x)); // stands last
  const order = [...p.keys()].filter((j) => j !== winner);
  const ends = order.map((_, k) => order.slice(0, k + 1).reduce((sum, j) => sum + p[j], 0));
  return numbers.map((u) => order[ends.findIndex((end) => u < end)] ?? winner);
}
