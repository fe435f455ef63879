// The registration file: kernels as NumPy ufuncs and gufuncs, one table row per function.
#include <Python.h>

#define PY_UFUNC_UNIQUE_SYMBOL sigmax_ufunc_api
#include <numpy/arrayobject.h>
#include <numpy/ufuncobject.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "dispatch.h"
#include "float_environment.h"
#include "kernels.h"
#include "memory.h"
#include "threads.h"

namespace sigmax {
namespace {

const KernelTable* kernels = nullptr;

// Work below this many numbers is not worth waking a thread; a task has about as many.
constexpr std::ptrdiff_t kTaskSize = 16384;

std::ptrdiff_t ceil_div(std::ptrdiff_t a, std::ptrdiff_t b) { return (a + b - 1) / b; }

// parallel_for over [0, count) in tasks of `step`.
template <class Body>
void for_ranges(std::ptrdiff_t count, std::ptrdiff_t step, const Body& body) {
  struct Context {
    std::ptrdiff_t count, step;
    const Body& body;
  } context{count, step, body};
  auto task = [](void* context, std::ptrdiff_t k) {
    const Context& c = *static_cast<Context*>(context);
    c.body(k * c.step, std::min((k + 1) * c.step, c.count));
  };
  std::ptrdiff_t tasks = ceil_div(count, step);
  if (tasks <= 1) {
    if (count > 0) body(0, count);
  } else {
    parallel_for(tasks, task, &context);
  }
}

// ---------------------------------------------------------------- elementwise loops

struct ElementwiseLoop {
  ElementwiseFunction function;
  Type type;
};

void run_elementwise_call(ElementwiseKernel kernel, const ElementwiseCall& call, std::ptrdiff_t count) {
  FloatEnvironment environment;
  for_ranges(count, kTaskSize, [&](std::ptrdiff_t begin, std::ptrdiff_t end) { kernel(call, begin, end); });
}

void elementwise_loop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  const ElementwiseLoop& loop = *static_cast<const ElementwiseLoop*>(data);
  bool has_cotangent = loop.function >= kSigmoidVjp;
  ElementwiseCall call;
  call.x = {args[0], steps[0], 0};
  if (has_cotangent) call.cotangent = {args[1], steps[1], 0};
  call.out = {args[1 + has_cotangent], steps[1 + has_cotangent], 0};
  run_elementwise_call(kernels->elementwise[loop.function][loop.type], call, dimensions[0]);
}

// bool and integers become float64 before any arithmetic, a block at a time.
template <class Integer>
void integer_loop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  const ElementwiseLoop& loop = *static_cast<const ElementwiseLoop*>(data);
  ElementwiseKernel kernel = kernels->elementwise[loop.function][kFloat64];
  FloatEnvironment environment;
  for_ranges(dimensions[0], kTaskSize, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    constexpr std::ptrdiff_t block = 512;
    double x[block];
    for (std::ptrdiff_t at = begin; at < end; at += block) {
      std::ptrdiff_t n = std::min(block, end - at);
      for (std::ptrdiff_t i = 0; i < n; ++i) {
        Integer value;
        std::memcpy(&value, args[0] + (at + i) * steps[0], sizeof(value));
        x[i] = static_cast<double>(value);
      }
      ElementwiseCall call;
      call.x = {reinterpret_cast<char*>(x), sizeof(double), 0};
      call.out = {args[1] + at * steps[1], steps[1], 0};
      kernel(call, 0, n);
    }
  });
}

struct IntegerType {
  char type;
  PyUFuncGenericFunction loop;
};
const IntegerType integer_types[] = {
    {NPY_BOOL, integer_loop<npy_bool>},         {NPY_BYTE, integer_loop<npy_byte>},
    {NPY_UBYTE, integer_loop<npy_ubyte>},       {NPY_SHORT, integer_loop<npy_short>},
    {NPY_USHORT, integer_loop<npy_ushort>},     {NPY_INT, integer_loop<npy_int>},
    {NPY_UINT, integer_loop<npy_uint>},         {NPY_LONG, integer_loop<npy_long>},
    {NPY_ULONG, integer_loop<npy_ulong>},       {NPY_LONGLONG, integer_loop<npy_longlong>},
    {NPY_ULONGLONG, integer_loop<npy_ulonglong>},
};

struct ElementwiseRow {
  ElementwiseFunction function;
  const char* name;
};
const ElementwiseRow elementwise_rows[] = {
    {kSigmoid, "sigmoid"},
    {kLogSigmoid, "log_sigmoid"},
    {kSoftplus, "softplus"},
    {kLogit, "logit"},
    {kLog1mexp, "log1mexp"},
    {kSigmoidVjp, "sigmoid_vjp"},
    {kLogSigmoidVjp, "log_sigmoid_vjp"},
    {kSoftplusVjp, "softplus_vjp"},
    {kLogitVjp, "logit_vjp"},
    {kLog1mexpVjp, "log1mexp_vjp"},
};

// ---------------------------------------------------------------- binary losses

struct BinaryLossRow {
  BinaryLossFunction function;
  const char* name;
  bool has_gradient;
};
const BinaryLossRow binary_loss_rows[] = {
    {kBinaryCrossEntropy, "binary_cross_entropy", false},
    {kBinaryCrossEntropyOfProbabilities, "binary_cross_entropy_of_probabilities", false},
    {kBinaryCrossEntropyGradient, "binary_cross_entropy_gradient", true},
    {kBinaryCrossEntropyOfProbabilitiesGradient, "binary_cross_entropy_of_probabilities_gradient", true},
};

struct BinaryLossLoop {
  const BinaryLossRow* row;
  Type type;
};

double no_divisor = 1.0;

void binary_loss_loop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  const BinaryLossLoop& loop = *static_cast<const BinaryLossLoop*>(data);
  auto next = [&] { return Operand{*args++, *steps++, 0}; };
  BinaryLossCall call;
  call.x = next();
  call.labels = next();
  call.weight = next();
  call.pos_weight = next();
  call.smoothing = next();
  call.divisor = {reinterpret_cast<char*>(&no_divisor), 0, 0};
  if (loop.row->has_gradient) call.divisor = next();
  call.loss = next();
  if (loop.row->has_gradient) call.gradient = next();
  BinaryLossKernel kernel = kernels->binary_loss[loop.row->function][loop.type];
  FloatEnvironment environment;
  for_ranges(dimensions[0], kTaskSize, [&](std::ptrdiff_t begin, std::ptrdiff_t end) { kernel(call, begin, end); });
}

// The operands' types, in order, for storage type `number`.
std::vector<int> binary_loss_types(const BinaryLossRow& row, int number) {
  std::vector<int> types = {number, number, NPY_DOUBLE, NPY_DOUBLE, NPY_DOUBLE};
  if (row.has_gradient) types.push_back(NPY_DOUBLE);
  types.push_back(NPY_DOUBLE);
  if (row.has_gradient) types.push_back(number);
  return types;
}

// ---------------------------------------------------------------- axis loops

struct AxisRow {
  AxisFunction function;
  const char* name;
  bool per_class, per_row, temperature, reduces;
};
const AxisRow axis_rows[] = {
    {kSoftmax, "softmax", false, false, true, false},
    {kLogSoftmax, "log_softmax", false, false, true, false},
    {kLogsumexp, "logsumexp", false, false, true, true},
    {kLogsumexpWeighted, "logsumexp_weighted", true, false, true, true},
    {kEntropy, "entropy", false, false, true, true},
    {kInverseSoftmax, "inverse_softmax", false, false, false, false},
    {kEntropyOfProbabilities, "entropy_of_probabilities", false, false, false, true},
    {kSoftmaxVjp, "softmax_vjp", true, false, true, false},
    {kLogSoftmaxVjp, "log_softmax_vjp", true, false, true, false},
    {kLogsumexpVjp, "logsumexp_vjp", false, true, true, false},
    {kLogsumexpWeightedVjp, "logsumexp_weighted_vjp", true, true, true, false},
    {kEntropyVjp, "entropy_vjp", false, true, true, false},
    {kInverseSoftmaxVjp, "inverse_softmax_vjp", true, false, false, false},
    {kEntropyOfProbabilitiesVjp, "entropy_of_probabilities_vjp", false, true, false, false},
};

struct AxisLoop {
  const AxisRow* row;
  Type type;
};

double no_temperature = 1.0;

AxisCall axis_call(const AxisRow& row, char** args, const npy_intp* dimensions, const npy_intp* steps) {
  AxisCall call;
  call.rows = dimensions[0];
  call.classes = dimensions[1];
  const npy_intp* core = steps + 2 + row.per_class + row.per_row + row.temperature;
  auto next = [&](bool has_classes) {
    Operand operand{*args++, *steps++, 0};
    if (has_classes) operand.class_stride = *core++;
    return operand;
  };
  call.x = next(true);
  if (row.per_class) call.per_class = next(true);
  if (row.per_row) call.per_row = next(false);
  call.temperature = {reinterpret_cast<char*>(&no_temperature), 0, 0};
  if (row.temperature) call.temperature = next(false);
  call.out = next(!row.reduces);
  return call;
}

// Scratch of this thread, kept for its next call.
char* scratch_of_size(std::size_t size) {
  struct Free {
    void operator()(void* block) const { std::free(block); }
  };
  thread_local std::unique_ptr<void, Free> block;
  thread_local std::size_t capacity = 0;
  if (size > capacity) {
    size = (size + 4095) & ~std::size_t{4095};
    block.reset(std::aligned_alloc(64, size));
    capacity = block ? size : 0;
  }
  return static_cast<char*>(block.get());
}

// Rows of up to kLongestWholeRow classes are shared out whole.
template <class Kernel, class Call>
bool run_rows(const Kernel& kernel, const Call& call, bool strided) {
  constexpr std::ptrdiff_t kTile = 64;  // what the engine computes together: kTileRows, kStridedRows
  std::ptrdiff_t step = std::max<std::ptrdiff_t>(1, kTaskSize / std::max<std::ptrdiff_t>(call.classes, 1));
  if (strided || step >= kTile / 2) step = ceil_div(step, kTile) * kTile;
  std::size_t size = kernel.scratch_bytes(call.classes);
  bool enough_memory = true;
  for_ranges(call.rows, step, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    char* scratch = scratch_of_size(size);
    if (scratch == nullptr && size > 0)
      __atomic_store_n(&enough_memory, false, __ATOMIC_RELAXED);
    else
      kernel.rows(call, begin, end, scratch);
  });
  return enough_memory;
}

// A longer row is itself shared out, in chunks.
void run_long_row(const AxisKernel& kernel, const AxisCall& call, std::ptrdiff_t row, Partial* partials,
                  std::ptrdiff_t chunks) {
  Partial whole;
  auto for_chunks = [&](auto body) {
    for_ranges(chunks, 1, [&](std::ptrdiff_t begin, std::ptrdiff_t) { body(begin); });
  };
  for_chunks([&](std::ptrdiff_t chunk) { kernel.chunk_max(call, row, chunk, partials); });
  kernel.merge_max(partials, chunks, &whole);
  for_chunks([&](std::ptrdiff_t chunk) { kernel.chunk_sums(call, row, chunk, partials, whole); });
  kernel.merge_sums(partials, chunks, &whole);
  for_chunks([&](std::ptrdiff_t chunk) { kernel.chunk_out(call, row, chunk, partials, whole); });
}

// False when there is not enough memory.
bool run_axis_call(const AxisKernel& kernel, const AxisCall& call) {
  FloatEnvironment environment;
  bool strided = call.x.row_stride < call.x.class_stride ||
                 (call.out.class_stride != 0 && call.out.class_stride != call.x.class_stride);
  if (call.classes <= kLongestWholeRow) return run_rows(kernel, call, strided);
  std::size_t chunks = static_cast<std::size_t>(ceil_div(call.classes, kChunk));
  std::unique_ptr<Partial[]> partials(new (std::nothrow) Partial[chunks]);
  if (partials == nullptr) return false;
  for (std::ptrdiff_t row = 0; row < call.rows; ++row)
    run_long_row(kernel, call, row, partials.get(), static_cast<std::ptrdiff_t>(chunks));
  return true;
}

void out_of_memory() {
  PyGILState_STATE state = PyGILState_Ensure();
  PyErr_NoMemory();
  PyGILState_Release(state);
}

void axis_loop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  const AxisLoop& loop = *static_cast<const AxisLoop*>(data);
  AxisCall call = axis_call(*loop.row, args, dimensions, steps);
  if (!run_axis_call(kernels->axis[loop.row->function][loop.type], call)) out_of_memory();
}

std::string signature_of(const AxisRow& row) {
  std::string signature = "(n)";
  if (row.per_class) signature += ",(n)";
  if (row.per_row) signature += ",()";
  if (row.temperature) signature += ",()";
  return signature + (row.reduces ? "->()" : "->(n)");
}

// ---------------------------------------------------------------- losses

struct LossRow {
  AxisFunction function;
  const char* name;
  bool soft, gradient;
};
const LossRow loss_rows[] = {
    {kCrossEntropy, "cross_entropy", false, false},
    {kCrossEntropyGradient, "cross_entropy_gradient", false, true},
    {kCrossEntropy, "soft_cross_entropy", true, false},
    {kCrossEntropyGradient, "soft_cross_entropy_gradient", true, true},
    {kCrossEntropyOfProbabilities, "cross_entropy_of_probabilities", false, false},
    {kCrossEntropyOfProbabilitiesGradient, "cross_entropy_of_probabilities_gradient", false, true},
    {kCrossEntropyOfProbabilities, "soft_cross_entropy_of_probabilities", true, false},
    {kCrossEntropyOfProbabilitiesGradient, "soft_cross_entropy_of_probabilities_gradient", true, true},
    {kRelativeEntropy, "relative_entropy", true, false},
    {kRelativeEntropyGradient, "relative_entropy_gradient", true, true},
    {kRelativeEntropyOfProbabilities, "relative_entropy_of_probabilities", true, false},
    {kRelativeEntropyOfProbabilitiesGradient, "relative_entropy_of_probabilities_gradient", true, true},
    {kDivergence, "divergence", true, false},
    {kDivergenceGradient, "divergence_gradient", true, true},
    {kDistillation, "distillation", true, false},
    {kDistillationGradient, "distillation_gradient", true, true},
};

struct LossLoop {
  const LossRow* row;
  Type type;
};

// What a loss has where it has nothing.
double nothing = 0.0, everything = 1.0;
std::int64_t no_label = 0;
std::uint8_t no_mask = 1;

template <class Number>
Operand shared(Number* number) {
  return {reinterpret_cast<char*>(number), 0, 0};
}

// Class weights, prior and mask have n numbers, or one for all classes.
std::string signature_of(const LossRow& row) {
  std::string signature = row.soft ? "(n),(),(n)" : "(n),()";
  return signature + ",(),(),(a),(),(b),(),(c),(),()->()" + (row.gradient ? ",(n)" : "");
}

bool per_class_or_one(const npy_intp* dimensions, int count) {
  bool legal = true;
  for (int k = 1; k <= count; ++k) legal = legal && (dimensions[k] == 1 || dimensions[k] == dimensions[0]);
  if (!legal) {
    PyGILState_STATE state = PyGILState_Ensure();
    PyErr_SetString(PyExc_ValueError, "operands per class must have a number for each class, or one for all");
    PyGILState_Release(state);
  }
  return legal;
}

// One number stands for all.
Operand per_class_or_one(Operand operand, npy_intp count) {
  if (count == 1) operand.class_stride = 0;
  return operand;
}

std::vector<int> loss_types(const LossRow& row, int number) {
  std::vector<int> types{number, NPY_INT64};
  if (row.soft) types.push_back(number);
  types.insert(types.end(), {NPY_DOUBLE, NPY_DOUBLE, NPY_DOUBLE, NPY_DOUBLE, NPY_DOUBLE, NPY_DOUBLE, NPY_BOOL, NPY_DOUBLE, NPY_DOUBLE});
  types.push_back(NPY_DOUBLE);
  if (row.gradient) types.push_back(number);
  return types;
}

AxisCall loss_call(const LossRow& row, char** args, const npy_intp* dimensions, const npy_intp* steps) {
  AxisCall call;
  call.rows = dimensions[0];
  call.classes = dimensions[1];
  const npy_intp* core = steps + 13 + row.soft + row.gradient - 1;
  auto next = [&](bool has_classes) {
    Operand operand{*args++, *steps++, 0};
    if (has_classes) operand.class_stride = *core++;
    return operand;
  };
  call.x = next(true);
  call.loss.label = next(false);
  if (row.soft) call.per_class = next(true);
  call.loss.weight = next(false);
  call.temperature = next(false);
  call.loss.class_weight = per_class_or_one(next(true), dimensions[2]);
  call.loss.smoothing = next(false);
  call.loss.prior = per_class_or_one(next(true), dimensions[3]);
  call.loss.prior_total = next(false);
  call.loss.mask = per_class_or_one(next(true), dimensions[4]);
  call.loss.z_loss = next(false);
  call.loss.scale = next(false);
  call.loss.value = next(false);
  if (row.gradient) call.out = next(true);
  return call;
}

void loss_loop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  const LossLoop& loop = *static_cast<const LossLoop*>(data);
  if (!per_class_or_one(dimensions + 1, 3)) return;
  AxisCall call = loss_call(*loop.row, args, dimensions, steps);
  if (!run_axis_call(kernels->axis[loop.row->function][loop.type], call)) out_of_memory();
}

// mass(q, weights): Σ w·q of rows of labels.
void mass_loop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  Type type = *static_cast<const Type*>(data);
  if (!per_class_or_one(dimensions + 1, 1)) return;
  AxisCall call;
  call.rows = dimensions[0];
  call.classes = dimensions[1];
  call.x = {args[0], steps[0], steps[3]};
  call.temperature = call.loss.weight = call.loss.scale = shared(&everything);
  call.loss.class_weight = call.loss.smoothing = call.loss.prior_total = shared(&everything);
  call.loss.z_loss = shared(&nothing);
  call.loss.label = shared(&no_label);
  call.loss.mask = shared(&no_mask);
  call.loss.prior = per_class_or_one({args[1], steps[1], steps[4]}, dimensions[2]);
  call.loss.value = {args[2], steps[2], 0};
  if (!run_axis_call(kernels->axis[kMass][type], call)) out_of_memory();
}

// logit_moments(x, beta, reference): mean and second moment of each row's logits.
std::vector<int> moments_types(int number) { return {number, NPY_DOUBLE, NPY_DOUBLE, NPY_DOUBLE, NPY_DOUBLE}; }

void moments_loop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  Type type = *static_cast<const Type*>(data);
  MomentsCall call;
  call.rows = dimensions[0];
  call.classes = dimensions[1];
  call.x = {args[0], steps[0], steps[5]};
  call.beta = {args[1], steps[1], 0};
  call.reference = {args[2], steps[2], 0};
  call.mean = {args[3], steps[3], 0};
  call.second = {args[4], steps[4], 0};
  FloatEnvironment environment;
  if (!run_rows(kernels->logit_moments[type], call, call.x.row_stride < call.x.class_stride)) out_of_memory();
}

// ---------------------------------------------------------------- the short way, for plain arrays

// NumPy's machinery costs a microsecond a call. Arrays that need none of it - exact ndarrays, C-contiguous, of one
// of our types - go to the kernel directly; everything else, every protocol included, goes through NumPy.

constexpr npy_intp kLargeResult = npy_intp{1} << 20;

Type storage_type(PyArrayObject* array) {
  switch (PyArray_TYPE(array)) {
    case NPY_HALF: return kFloat16;
    case NPY_FLOAT: return kFloat32;
    case NPY_DOUBLE: return kFloat64;
    default: return kTypes;
  }
}

// The type of a plain array, or kTypes.
Type plain_type(PyObject* object) {
  if (!PyArray_CheckExact(object)) return kTypes;
  PyArrayObject* array = reinterpret_cast<PyArrayObject*>(object);
  return PyArray_ISCARRAY_RO(array) ? storage_type(array) : kTypes;
}

PyArrayObject* new_result(PyArrayObject* like, int dimensions) {
  PyArray_Descr* descr = PyArray_DESCR(like);
  Py_INCREF(descr);
  std::unique_ptr<PooledAllocation> pooled;
  if (PyArray_NBYTES(like) >= kLargeResult) pooled.reset(new (std::nothrow) PooledAllocation);
  return reinterpret_cast<PyArrayObject*>(
      PyArray_NewFromDescr(&PyArray_Type, descr, dimensions, PyArray_DIMS(like), nullptr, nullptr, 0, nullptr));
}

// Whether two contiguous arrays have no byte in common.
bool apart(PyArrayObject* x, PyArrayObject* y) {
  const char *a = PyArray_BYTES(x), *b = PyArray_BYTES(y);
  return a + PyArray_NBYTES(x) <= b || b + PyArray_NBYTES(y) <= a;
}

// `out` when the caller gave one that is as plain as x and of the right shape; null otherwise.
PyArrayObject* plain_out(PyObject* out, PyArrayObject* x, Type type, int dimensions) {
  if (plain_type(out) != type) return nullptr;
  PyArrayObject* array = reinterpret_cast<PyArrayObject*>(out);
  if (!PyArray_ISWRITEABLE(array) || PyArray_NDIM(array) != dimensions) return nullptr;
  if (!PyArray_CompareLists(PyArray_DIMS(array), PyArray_DIMS(x), dimensions)) return nullptr;
  bool in_place = PyArray_BYTES(x) == PyArray_BYTES(array) && dimensions == PyArray_NDIM(x);
  if (!in_place && !apart(x, array)) return nullptr;
  Py_INCREF(array);
  return array;
}

template <class Body>
void without_gil(npy_intp size, const Body& body) {
  if (size < kTaskSize) return body();
  PyThreadState* state = PyEval_SaveThread();
  body();
  PyEval_RestoreThread(state);
}

PyObject* elementwise_directly(ElementwiseFunction function, PyObject* object, Type type) {
  PyArrayObject* x = reinterpret_cast<PyArrayObject*>(object);
  PyArrayObject* out = new_result(x, PyArray_NDIM(x));
  if (out == nullptr) return nullptr;
  ElementwiseCall call;
  call.x = {PyArray_BYTES(x), PyArray_ITEMSIZE(x), 0};
  call.out = {PyArray_BYTES(out), PyArray_ITEMSIZE(x), 0};
  npy_intp count = PyArray_SIZE(x);
  without_gil(count, [&] { run_elementwise_call(kernels->elementwise[function][type], call, count); });
  return reinterpret_cast<PyObject*>(out);
}

// An operand of the shape of x, or of its rows, as plain as x is.
bool plain_operand(PyObject* object, PyArrayObject* x, Type type, int dimensions) {
  if (plain_type(object) != type) return false;
  PyArrayObject* array = reinterpret_cast<PyArrayObject*>(object);
  return PyArray_NDIM(array) == dimensions &&
         PyArray_CompareLists(PyArray_DIMS(array), PyArray_DIMS(x), dimensions);
}

const AxisRow* axis_row(long function) {
  for (const AxisRow& row : axis_rows)
    if (row.function == function) return &row;
  return nullptr;
}

// call_plain(function, x, operand, temperature, out): an axis function of logits, or its vector-Jacobian product with
// `operand` as the cotangent; None where the long way is needed.
PyObject* py_call_plain(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 5) return PyErr_Format(PyExc_TypeError, "call_plain takes 5 arguments, got %zd", count);
  const AxisRow* function = axis_row(PyLong_AsLong(args[0]));
  if (function == nullptr) return PyErr_Format(PyExc_ValueError, "no such function");
  Type type = plain_type(args[1]);
  PyArrayObject* x = reinterpret_cast<PyArrayObject*>(args[1]);
  if (type == kTypes || PyArray_NDIM(x) == 0 || !PyFloat_CheckExact(args[3])) Py_RETURN_NONE;
  double temperature = PyFloat_AS_DOUBLE(args[3]);
  if (!(temperature >= 0x1p-1022 && temperature <= 0x1p1000)) Py_RETURN_NONE;
  int last = PyArray_NDIM(x) - 1, dimensions = function->reduces ? last : last + 1;
  bool has_operand = function->per_class || function->per_row;
  if (has_operand && !plain_operand(args[2], x, type, function->per_class ? last + 1 : last)) Py_RETURN_NONE;
  bool allocates = args[4] == Py_None;
  PyArrayObject* out = allocates ? new_result(x, dimensions) : plain_out(args[4], x, type, dimensions);
  if (out == nullptr && allocates) return nullptr;
  if (out == nullptr) Py_RETURN_NONE;
  npy_intp size = PyArray_ITEMSIZE(x), classes = PyArray_DIM(x, last), row = classes * size;
  char* operand = has_operand ? PyArray_BYTES(reinterpret_cast<PyArrayObject*>(args[2])) : nullptr;
  AxisCall call;
  call.rows = PyArray_MultiplyList(PyArray_DIMS(x), last);
  call.classes = classes;
  call.x = {PyArray_BYTES(x), row, size};
  call.per_class = {operand, row, size};
  call.per_row = {operand, size, 0};
  call.temperature = {reinterpret_cast<char*>(&temperature), 0, 0};
  call.out = {PyArray_BYTES(out), function->reduces ? size : row, size};
  bool enough_memory = true;
  const AxisKernel& kernel = kernels->axis[function->function][type];
  without_gil(PyArray_SIZE(x), [&] { enough_memory = run_axis_call(kernel, call); });
  if (!enough_memory) {
    Py_DECREF(out);
    return PyErr_NoMemory();
  }
  return allocates ? PyArray_Return(out) : reinterpret_cast<PyObject*>(out);
}

// The one place that looks at the shape and the strides of an operand of a loss. Its rows, of classes along the last axis
// or of one number each, must be one stride apart; false where they are not, or where NumPy would have to convert.
bool direct_operand(PyObject* object, int type, int dimensions, const npy_intp* shape, bool has_classes, Operand* operand) {
  if (!PyArray_CheckExact(object)) return false;
  PyArrayObject* array = reinterpret_cast<PyArrayObject*>(object);
  if (PyArray_TYPE(array) != type || !PyArray_ISBEHAVED_RO(array) || PyArray_NDIM(array) != dimensions ||
      !PyArray_CompareLists(PyArray_DIMS(array), shape, dimensions))
    return false;
  const npy_intp* strides = PyArray_STRIDES(array);
  const int batch = dimensions - has_classes;
  *operand = {PyArray_BYTES(array), 0, has_classes ? strides[batch] : 0};
  bool is_first = true;
  npy_intp next = 0;  // the stride that the axis before must have; 0 is one like any other
  for (int axis = batch - 1; axis >= 0; --axis) {
    if (shape[axis] == 1) continue;
    if (is_first) operand->row_stride = strides[axis];
    if (!is_first && strides[axis] != next) return false;
    is_first = false;
    next = strides[axis] * shape[axis];
  }
  return true;
}

// One double for all rows, or one per row.
bool numbers_operand(PyObject* object, PyArrayObject* x, double* number, Operand* operand) {
  if (!PyFloat_Check(object)) return direct_operand(object, NPY_DOUBLE, PyArray_NDIM(x) - 1, PyArray_DIMS(x), false, operand);
  *number = PyFloat_AS_DOUBLE(object);
  *operand = shared(number);
  return true;
}

// A double per class, or one for all.
bool classes_operand(PyObject* object, npy_intp classes, Operand* operand) {
  if (plain_type(object) != kFloat64) return false;
  PyArrayObject* array = reinterpret_cast<PyArrayObject*>(object);
  if (PyArray_NDIM(array) != 1 || (PyArray_DIM(array, 0) != 1 && PyArray_DIM(array, 0) != classes)) return false;
  *operand = {PyArray_BYTES(array), 0, PyArray_DIM(array, 0) == 1 ? 0 : static_cast<npy_intp>(sizeof(double))};
  return true;
}

// An array of the shape of x, not necessarily contiguous.
bool like_x(PyObject* object, PyArrayObject* x, int type, Operand* operand) {
  return direct_operand(object, type, PyArray_NDIM(x), PyArray_DIMS(x), true, operand);
}

// class_indices(labels, classes): integers as contiguous int64, or None where one is not in [0, classes).
PyObject* py_class_indices(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 2) return PyErr_Format(PyExc_TypeError, "class_indices takes 2 arguments, got %zd", count);
  const npy_intp classes = PyLong_AsSsize_t(args[1]);
  if (classes == -1 && PyErr_Occurred()) return nullptr;
  if (!PyArray_Check(args[0])) Py_RETURN_NONE;
  const int flags = NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED | NPY_ARRAY_FORCECAST | NPY_ARRAY_ENSUREARRAY;
  PyObject* array = PyArray_FROMANY(args[0], NPY_INT64, 0, 0, flags);
  if (array == nullptr) return nullptr;
  const std::int64_t* labels = static_cast<const std::int64_t*>(PyArray_DATA(reinterpret_cast<PyArrayObject*>(array)));
  const npy_intp size = PyArray_SIZE(reinterpret_cast<PyArrayObject*>(array));
  bool illegal = false;  // as unsigned numbers: negative ones, and uint64 ones that became negative, are large
  for (npy_intp i = 0; i < size; ++i)
    illegal |= static_cast<std::uint64_t>(labels[i]) >= static_cast<std::uint64_t>(classes);
  if (!illegal) return array;
  Py_DECREF(array);
  Py_RETURN_NONE;
}

// loss_plain(function, x, label, soft, weight, temperature, class_weight, smoothing, prior, prior_total, mask, z_loss,
// scale, place): a loss function on plain arrays, classes last, with its gradient written to `place`; absent operands
// are None. Returns the losses, or None where the long way is needed. `place` may be x itself.
PyObject* py_loss_plain(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 14) return PyErr_Format(PyExc_TypeError, "loss_plain takes 14 arguments, got %zd", count);
  const long number = PyLong_AsLong(args[0]);
  if (number < 0 || static_cast<std::size_t>(number) >= std::size(loss_rows))
    return PyErr_Format(PyExc_ValueError, "no such function");
  const LossRow& row = loss_rows[number];
  if (!PyArray_CheckExact(args[1])) Py_RETURN_NONE;
  PyArrayObject* x = reinterpret_cast<PyArrayObject*>(args[1]);
  const Type type = storage_type(x);
  if (type == kTypes || PyArray_NDIM(x) == 0) Py_RETURN_NONE;
  const int batch = PyArray_NDIM(x) - 1;
  AxisCall call;
  call.classes = PyArray_DIM(x, batch);
  call.rows = PyArray_MultiplyList(PyArray_DIMS(x), batch);
  double weight, temperature, smoothing, prior_total, z_loss, scale;
  bool plain = like_x(args[1], x, PyArray_TYPE(x), &call.x) && numbers_operand(args[4], x, &weight, &call.loss.weight) &&
               numbers_operand(args[5], x, &temperature, &call.temperature) &&
               classes_operand(args[6], call.classes, &call.loss.class_weight) &&
               numbers_operand(args[7], x, &smoothing, &call.loss.smoothing) &&
               classes_operand(args[8], call.classes, &call.loss.prior) &&
               numbers_operand(args[9], x, &prior_total, &call.loss.prior_total) &&
               numbers_operand(args[11], x, &z_loss, &call.loss.z_loss) &&
               numbers_operand(args[12], x, &scale, &call.loss.scale);
  call.loss.label = shared(&no_label);
  if (plain && args[2] != Py_None)
    plain = direct_operand(args[2], NPY_INT64, batch, PyArray_DIMS(x), false, &call.loss.label);
  if (plain && row.soft) plain = like_x(args[3], x, PyArray_TYPE(x), &call.per_class);
  call.loss.mask = shared(&no_mask);
  if (plain && args[10] != Py_None) plain = like_x(args[10], x, NPY_BOOL, &call.loss.mask);
  if (plain && row.gradient)
    plain = like_x(args[13], x, PyArray_TYPE(x), &call.out) &&
            PyArray_ISWRITEABLE(reinterpret_cast<PyArrayObject*>(args[13]));
  if (!plain) Py_RETURN_NONE;
  PyObject* losses = PyArray_SimpleNew(batch, PyArray_DIMS(x), NPY_DOUBLE);
  if (losses == nullptr) return nullptr;
  call.loss.value = {PyArray_BYTES(reinterpret_cast<PyArrayObject*>(losses)), sizeof(double), 0};
  bool enough_memory = true;
  const AxisKernel& kernel = kernels->axis[row.function][type];
  without_gil(PyArray_SIZE(x), [&] { enough_memory = run_axis_call(kernel, call); });
  if (enough_memory) return losses;
  Py_DECREF(losses);
  return PyErr_NoMemory();
}

// ---------------------------------------------------------------- sums

// total(x): the compensated sum of all numbers of x, in C order.
PyObject* py_total(PyObject*, PyObject* object) {
  PyObject* array = PyArray_FROMANY(object, NPY_DOUBLE, 0, 0, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED);
  if (array == nullptr) return nullptr;
  PyArrayObject* x = reinterpret_cast<PyArrayObject*>(array);
  const double* numbers = static_cast<const double*>(PyArray_DATA(x));
  npy_intp count = PyArray_SIZE(x), chunks = ceil_div(count, kChunk);
  std::unique_ptr<Sum[]> sums(new (std::nothrow) Sum[static_cast<std::size_t>(chunks)]);
  double total = 0;
  if (sums != nullptr)
    without_gil(count, [&] {
      FloatEnvironment environment;
      for_ranges(count, kChunk, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
        sums[begin / kChunk] = kernels->total.chunk(numbers + begin, end - begin);
      });
      total = kernels->total.merge(sums.get(), chunks);
    });
  Py_DECREF(array);
  return sums == nullptr ? PyErr_NoMemory() : PyFloat_FromDouble(total);
}

// in_unit_interval(x): True only if x is a plain array of numbers in [0, 1], none of them -0.
PyObject* py_in_unit_interval(PyObject*, PyObject* object) {
  Type type = plain_type(object);
  if (type == kTypes) Py_RETURN_FALSE;
  PyArrayObject* x = reinterpret_cast<PyArrayObject*>(object);
  const char* numbers = PyArray_BYTES(x);
  npy_intp count = PyArray_SIZE(x), size = PyArray_ITEMSIZE(x);
  bool inside = true;
  without_gil(count, [&] {
    for_ranges(count, kTaskSize, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
      if (!kernels->in_unit_interval[type](numbers + begin * size, end - begin))
        __atomic_store_n(&inside, false, __ATOMIC_RELAXED);
    });
  });
  return PyBool_FromLong(inside);
}

PyArrayObject* array_of(PyObject* object) { return reinterpret_cast<PyArrayObject*>(object); }

// An option: a float, or a plain array of the shape of x.
bool plain_option(PyObject* object, PyArrayObject* x, double* number, Operand* option) {
  if (plain_operand(object, x, kFloat64, PyArray_NDIM(x))) {
    *option = {PyArray_BYTES(array_of(object)), sizeof(double), 0};
    return true;
  }
  *number = PyFloat_Check(object) ? PyFloat_AS_DOUBLE(object) : 0;
  *option = {reinterpret_cast<char*>(number), 0, 0};
  return PyFloat_Check(object);
}

const BinaryLossRow* binary_loss_row(long function) {
  for (const BinaryLossRow& row : binary_loss_rows)
    if (row.function == function) return &row;
  return nullptr;
}

// sum_plain(function, x, labels, weight, pos_weight, smoothing, divisor, out): the sum of the losses, as `total` has it,
// without the losses; with a function that has a gradient (sum, gradient). None where the long way is needed.
PyObject* py_sum_plain(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 8) return PyErr_Format(PyExc_TypeError, "sum_plain takes 8 arguments, got %zd", count);
  const BinaryLossRow* function = binary_loss_row(PyLong_AsLong(args[0]));
  if (function == nullptr) return PyErr_Format(PyExc_ValueError, "no such function");
  Type type = plain_type(args[1]);
  PyArrayObject* x = reinterpret_cast<PyArrayObject*>(args[1]);
  if (type == kTypes || PyArray_NDIM(x) == 0 || !plain_operand(args[2], x, type, PyArray_NDIM(x))) Py_RETURN_NONE;
  double numbers[4];
  BinaryLossCall call;
  Operand* options[] = {&call.weight, &call.pos_weight, &call.smoothing, &call.divisor};
  for (int k = 0; k < 4; ++k)
    if (!plain_option(args[3 + k], x, numbers + k, options[k])) Py_RETURN_NONE;
  npy_intp size = PyArray_ITEMSIZE(x), elements = PyArray_SIZE(x), chunks = ceil_div(elements, kChunk);
  call.x = {PyArray_BYTES(x), size, 0};
  call.labels = {PyArray_BYTES(array_of(args[2])), size, 0};
  PyArrayObject* gradient = nullptr;
  if (function->has_gradient) {
    bool allocates = args[7] == Py_None;
    if (!allocates && PyArray_Check(args[7]))
      for (int k = 2; k < 7; ++k)
        if (PyArray_Check(args[k]) && !apart(array_of(args[k]), array_of(args[7]))) Py_RETURN_NONE;
    gradient = allocates ? new_result(x, PyArray_NDIM(x)) : plain_out(args[7], x, type, PyArray_NDIM(x));
    if (gradient == nullptr && allocates) return nullptr;
    if (gradient == nullptr) Py_RETURN_NONE;
    call.gradient = {PyArray_BYTES(gradient), size, 0};
  }
  std::unique_ptr<Sum[]> sums(new (std::nothrow) Sum[static_cast<std::size_t>(chunks)]);
  call.sums = sums.get();
  if (call.sums == nullptr) {
    Py_XDECREF(gradient);
    return PyErr_NoMemory();
  }
  double total = 0;
  BinaryLossKernel kernel = kernels->binary_loss[function->function][type];
  without_gil(elements, [&] {
    FloatEnvironment environment;
    for_ranges(elements, kChunk, [&](std::ptrdiff_t begin, std::ptrdiff_t end) { kernel(call, begin, end); });
    total = kernels->total.merge(call.sums, chunks);
  });
  if (gradient == nullptr) return PyFloat_FromDouble(total);
  return Py_BuildValue("(dN)", total, gradient);
}

// ---------------------------------------------------------------- ufunc objects

vectorcallfunc numpy_vectorcall = nullptr;

bool is_large(PyObject* object) {
  return PyArray_CheckExact(object) && PyArray_NBYTES(reinterpret_cast<PyArrayObject*>(object)) >= kLargeResult;
}

// NumPy's own call, with result memory from the pool when the first argument is large.
PyObject* pooled_vectorcall(PyObject* ufunc, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  if (PyVectorcall_NARGS(nargsf) == 0 || !is_large(args[0])) return numpy_vectorcall(ufunc, args, nargsf, kwnames);
  PooledAllocation pooled;
  return numpy_vectorcall(ufunc, args, nargsf, kwnames);
}

// f(x) of a plain array of one dimension or more; a ufunc of none returns a scalar, which is NumPy's business.
PyObject* elementwise_vectorcall(PyObject* ufunc, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  Type type = PyVectorcall_NARGS(nargsf) == 1 && kwnames == nullptr ? plain_type(args[0]) : kTypes;
  if (type == kTypes || PyArray_NDIM(reinterpret_cast<PyArrayObject*>(args[0])) == 0)
    return pooled_vectorcall(ufunc, args, nargsf, kwnames);
  void* loop = reinterpret_cast<PyUFuncObject*>(ufunc)->data[0];
  return elementwise_directly(static_cast<ElementwiseLoop*>(loop)->function, args[0], type);
}

// What a ufunc points to for as long as the process lives.
struct Registration {
  std::vector<PyUFuncGenericFunction> functions;
  std::vector<void*> data;
  std::vector<char> types;

  void add(PyUFuncGenericFunction function, void* loop, const std::vector<int>& type_numbers) {
    functions.push_back(function);
    data.push_back(loop);
    types.insert(types.end(), type_numbers.begin(), type_numbers.end());
  }
};

PyObject* make_ufunc(Registration* r, int inputs, const char* name, const char* signature, int outputs = 1) {
  PyObject* object = PyUFunc_FromFuncAndDataAndSignature(
      r->functions.data(), r->data.data(), r->types.data(), static_cast<int>(r->functions.size()), inputs, outputs,
      PyUFunc_None, name, nullptr, 0, signature);
  if (object == nullptr) return nullptr;
  PyUFuncObject* ufunc = reinterpret_cast<PyUFuncObject*>(object);
  numpy_vectorcall = ufunc->vectorcall;
  bool elementwise_of_one = signature == nullptr && inputs == 1;
  ufunc->vectorcall = elementwise_of_one ? elementwise_vectorcall : pooled_vectorcall;
  return object;
}

const int numpy_types[] = {NPY_HALF, NPY_NOTYPE, NPY_FLOAT, NPY_DOUBLE};

PyObject* make_elementwise(const ElementwiseRow& row) {
  Registration* r = new Registration;
  bool has_cotangent = row.function >= kSigmoidVjp;
  if (!has_cotangent)
    for (const IntegerType& integer : integer_types)
      r->add(integer.loop, new ElementwiseLoop{row.function, kFloat64}, {integer.type, NPY_DOUBLE});
  for (Type type : {kFloat16, kFloat32, kFloat64}) {
    int number = numpy_types[type];
    void* loop = new ElementwiseLoop{row.function, type};
    if (has_cotangent)
      r->add(elementwise_loop, loop, {number, number, number});
    else
      r->add(elementwise_loop, loop, {number, number});
  }
  return make_ufunc(r, 1 + has_cotangent, row.name, nullptr);
}

// The operands' types, in order, for storage type `number`.
std::vector<int> axis_types(const AxisRow& row, int number) {
  std::vector<int> types(1 + row.per_class + row.per_row, number);
  if (row.temperature) types.push_back(NPY_DOUBLE);
  types.push_back(number);
  return types;
}

PyObject* make_binary_loss(const BinaryLossRow& row) {
  Registration* r = new Registration;
  for (Type type : {kFloat16, kFloat32, kFloat64})
    r->add(binary_loss_loop, new BinaryLossLoop{&row, type}, binary_loss_types(row, numpy_types[type]));
  return make_ufunc(r, 5 + row.has_gradient, row.name, nullptr, 1 + row.has_gradient);
}

PyObject* make_axis(const AxisRow& row) {
  Registration* r = new Registration;
  for (Type type : {kFloat16, kFloat32, kFloat64})
    r->add(axis_loop, new AxisLoop{&row, type}, axis_types(row, numpy_types[type]));
  std::string* signature = new std::string(signature_of(row));
  return make_ufunc(r, 1 + row.per_class + row.per_row + row.temperature, row.name, signature->c_str());
}

PyObject* make_loss(const LossRow& row) {
  Registration* r = new Registration;
  for (Type type : {kFloat16, kFloat32, kFloat64}) {
    r->functions.push_back(loss_loop);
    r->data.push_back(new LossLoop{&row, type});
    for (int number : loss_types(row, numpy_types[type])) r->types.push_back(static_cast<char>(number));
  }
  std::string* signature = new std::string(signature_of(row));
  return make_ufunc(r, 11 + row.soft, row.name, signature->c_str(), 1 + row.gradient);
}

PyObject* make_mass() {
  Registration* r = new Registration;
  for (Type type : {kFloat16, kFloat32, kFloat64})
    r->add(mass_loop, new Type(type), {numpy_types[type], NPY_DOUBLE, NPY_DOUBLE});
  return make_ufunc(r, 2, "mass", "(n),(a)->()");
}

PyObject* make_moments() {
  Registration* r = new Registration;
  for (Type type : {kFloat16, kFloat32, kFloat64}) r->add(moments_loop, new Type(type), moments_types(numpy_types[type]));
  return make_ufunc(r, 3, "logit_moments", "(n),(),()->(),()", 2);
}

// ---------------------------------------------------------------- module functions

// set_float_environment(control): the control word of this thread's arithmetic; returns the one before.
PyObject* py_set_float_environment(PyObject*, PyObject* control) {
  const unsigned long long word = PyLong_AsUnsignedLongLong(control);
  if (word == static_cast<unsigned long long>(-1) && PyErr_Occurred()) return nullptr;
  return PyLong_FromUnsignedLongLong(set_float_environment(word));
}

PyObject* py_get_num_threads(PyObject*, PyObject*) { return PyLong_FromLong(get_num_threads()); }

PyObject* py_set_num_threads(PyObject*, PyObject* arg) {
  long count = PyLong_AsLong(arg);
  if (count == -1 && PyErr_Occurred()) return nullptr;
  set_num_threads(static_cast<int>(count));
  Py_RETURN_NONE;
}

PyObject* py_release_memory(PyObject*, PyObject*) { return PyLong_FromSize_t(memory_release()); }

// empty_like(array): like NumPy's, with memory from the pool.
PyObject* py_empty_like(PyObject*, PyObject* prototype) {
  if (!PyArray_Check(prototype)) return PyErr_Format(PyExc_TypeError, "prototype must be an ndarray");
  PooledAllocation pooled;
  return PyArray_NewLikeArray(reinterpret_cast<PyArrayObject*>(prototype), NPY_KEEPORDER, nullptr, 0);
}

PyObject* py_level(PyObject*, PyObject*) { return PyUnicode_FromString(kernels->name); }

PyObject* py_levels(PyObject*, PyObject*) {
  PyObject* list = PyList_New(0);
  for (const KernelTable* table : available_kernels()) {
    PyObject* name = PyUnicode_FromString(table->name);
    if (list == nullptr || name == nullptr || PyList_Append(list, name) < 0) Py_CLEAR(list);
    Py_XDECREF(name);
    if (list == nullptr) return nullptr;
  }
  return list;
}

// set_doc(ufunc, text): the text lives as long as the ufunc, that is for ever.
PyObject* py_set_doc(PyObject*, PyObject* args) {
  PyObject* ufunc;
  const char* text;
  if (!PyArg_ParseTuple(args, "O!s", &PyUFunc_Type, &ufunc, &text)) return nullptr;
  std::string* copy = new std::string(text);
  reinterpret_cast<PyUFuncObject*>(ufunc)->doc = copy->c_str();
  Py_RETURN_NONE;
}

// register_bfloat16(module, type_number): the same loops for ml_dtypes.bfloat16.
PyObject* py_register_bfloat16(PyObject*, PyObject* args) {
  PyObject* module;
  int number;
  if (!PyArg_ParseTuple(args, "Oi", &module, &number)) return nullptr;
  auto add = [&](const char* name, PyUFuncGenericFunction function, const std::vector<int>& types, void* loop) {
    PyObject* ufunc = PyObject_GetAttrString(module, name);
    if (ufunc == nullptr) return false;
    int status = PyUFunc_RegisterLoopForType(reinterpret_cast<PyUFuncObject*>(ufunc), number, function, types.data(),
                                             loop);
    Py_DECREF(ufunc);
    return status == 0;
  };
  for (const ElementwiseRow& row : elementwise_rows) {
    std::vector<int> types(row.function >= kSigmoidVjp ? 3 : 2, number);
    if (!add(row.name, elementwise_loop, types, new ElementwiseLoop{row.function, kBFloat16})) return nullptr;
  }
  for (const BinaryLossRow& row : binary_loss_rows) {
    void* loop = new BinaryLossLoop{&row, kBFloat16};
    if (!add(row.name, binary_loss_loop, binary_loss_types(row, number), loop)) return nullptr;
  }
  for (const AxisRow& row : axis_rows)
    if (!add(row.name, axis_loop, axis_types(row, number), new AxisLoop{&row, kBFloat16})) return nullptr;
  for (const LossRow& row : loss_rows)
    if (!add(row.name, loss_loop, loss_types(row, number), new LossLoop{&row, kBFloat16})) return nullptr;
  if (!add("mass", mass_loop, {number, NPY_DOUBLE, NPY_DOUBLE}, new Type(kBFloat16))) return nullptr;
  if (!add("logit_moments", moments_loop, moments_types(number), new Type(kBFloat16))) return nullptr;
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"set_float_environment", py_set_float_environment, METH_O, nullptr},
    {"get_num_threads", py_get_num_threads, METH_NOARGS, nullptr},
    {"set_num_threads", py_set_num_threads, METH_O, nullptr},
    {"release_memory", py_release_memory, METH_NOARGS, nullptr},
    {"empty_like", py_empty_like, METH_O, nullptr},
    {"call_plain", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(py_call_plain)), METH_FASTCALL, nullptr},
    {"class_indices", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(py_class_indices)), METH_FASTCALL,
     nullptr},
    {"loss_plain", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(py_loss_plain)), METH_FASTCALL, nullptr},
    {"sum_plain", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(py_sum_plain)), METH_FASTCALL, nullptr},
    {"in_unit_interval", py_in_unit_interval, METH_O, nullptr},
    {"total", py_total, METH_O, nullptr},
    {"level", py_level, METH_NOARGS, nullptr},
    {"levels", py_levels, METH_NOARGS, nullptr},
    {"set_doc", py_set_doc, METH_VARARGS, nullptr},
    {"register_bfloat16", py_register_bfloat16, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

bool add_object(PyObject* module, const char* name, PyObject* object) {
  int status = object == nullptr ? -1 : PyModule_AddObjectRef(module, name, object);
  Py_XDECREF(object);
  return status == 0;
}

// {name: number} for loss_plain.
PyObject* loss_function_numbers() {
  PyObject* numbers = PyDict_New();
  for (std::size_t k = 0; k < std::size(loss_rows); ++k) {
    PyObject* number = PyLong_FromSize_t(k);
    if (numbers != nullptr && (number == nullptr || PyDict_SetItemString(numbers, loss_rows[k].name, number) < 0))
      Py_CLEAR(numbers);
    Py_XDECREF(number);
  }
  return numbers;
}

// {name: number} for call_plain and sum_plain.
template <class Rows>
PyObject* function_numbers(const Rows& rows) {
  PyObject* numbers = PyDict_New();
  for (const auto& row : rows) {
    PyObject* number = PyLong_FromLong(row.function);
    if (numbers != nullptr && (number == nullptr || PyDict_SetItemString(numbers, row.name, number) < 0))
      Py_CLEAR(numbers);
    Py_XDECREF(number);
  }
  return numbers;
}

bool choose_kernels() {
  std::string error;
  const char* wanted = std::getenv("SIGMAX_ISA");
  kernels = select_kernels(wanted != nullptr && *wanted != '\0' ? wanted : nullptr, &error);
  if (kernels == nullptr) PyErr_SetString(PyExc_ImportError, error.c_str());
  return kernels != nullptr;
}

int execute(PyObject* module) {
  if (PyArray_ImportNumPyAPI() < 0 || PyUFunc_ImportUFuncAPI() < 0) return -1;
  if (!choose_kernels() || !memory_init()) return -1;
  for (const ElementwiseRow& row : elementwise_rows)
    if (!add_object(module, row.name, make_elementwise(row))) return -1;
  for (const BinaryLossRow& row : binary_loss_rows)
    if (!add_object(module, row.name, make_binary_loss(row))) return -1;
  for (const AxisRow& row : axis_rows)
    if (!add_object(module, row.name, make_axis(row))) return -1;
  for (const LossRow& row : loss_rows)
    if (!add_object(module, row.name, make_loss(row))) return -1;
  if (!add_object(module, "mass", make_mass())) return -1;
  if (!add_object(module, "logit_moments", make_moments())) return -1;
  bool numbered = add_object(module, "axis_functions", function_numbers(axis_rows)) &&
                  add_object(module, "binary_loss_functions", function_numbers(binary_loss_rows)) &&
                  add_object(module, "loss_functions", loss_function_numbers());
  return numbered && PyModule_AddIntConstant(module, "default_float_environment", kDefaultFloatEnvironment) == 0 ? 0 : -1;
}

PyModuleDef_Slot slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(execute)},
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, nullptr},
};

PyModuleDef module_definition = {PyModuleDef_HEAD_INIT, "sigmax._core", nullptr, 0, methods, slots, nullptr, nullptr,
                                 nullptr};

}  // namespace
}  // namespace sigmax

PyMODINIT_FUNC PyInit__core() { return PyModuleDef_Init(&sigmax::module_definition); }
