// The module sigmax._sampling: random bits, and the sampling kernels over arrays that sampling.py has prepared.
//
// All arrays are contiguous and of the shapes and types that are said below; sampling.py is the only caller.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <numpy/arrayobject.h>

#include <cstdlib>
#include <cstring>

#include "../runtime/float_environment.h"
#include "sampling.h"
#include "../runtime/threads.h"

// What each level exports.
#ifdef SIGMAX_ONLY_LEVEL  // as tools/sanitize.sh builds it
#define SIGMAX_OF(each, level) each(level)
#define SIGMAX_LEVELS(each) SIGMAX_OF(each, SIGMAX_ONLY_LEVEL)
#elif defined(__x86_64__) || defined(_M_X64)
#define SIGMAX_LEVELS(each) each(baseline) each(avx2) each(avx512)
#elif defined(__aarch64__)
#define SIGMAX_LEVELS(each) each(neon)
#else
#define SIGMAX_LEVELS(each) each(baseline)
#endif
#define SIGMAX_DECLARED(level) extern const sigmax::SamplingKernels sigmax_sampling_kernels_##level;
#define SIGMAX_ADDRESS(level) &sigmax_sampling_kernels_##level,

extern "C" {
SIGMAX_LEVELS(SIGMAX_DECLARED)
}

namespace sigmax {
namespace {

const SamplingKernels* const kLevels[] = {SIGMAX_LEVELS(SIGMAX_ADDRESS)};
const SamplingKernels* kernels = kLevels[0];

// ---------------------------------------------------------------- random bits

// Philox 4x64 with 10 rounds (Salmon et al. 2011), the generator of numpy.random.Philox.
struct Philox {
  std::uint64_t key[2];

  void block(const std::uint64_t (&counter)[4], std::uint64_t (&word)[4]) const {
    std::uint64_t k0 = key[0], k1 = key[1];
    std::memcpy(word, counter, sizeof(word));
    for (int round = 0; round < 10; ++round) {
      const unsigned __int128 a = static_cast<unsigned __int128>(0xD2E7470EE14C6C93u) * word[0];
      const unsigned __int128 b = static_cast<unsigned __int128>(0xCA5A826395121157u) * word[2];
      const std::uint64_t next[4] = {static_cast<std::uint64_t>(b >> 64) ^ word[1] ^ k0, static_cast<std::uint64_t>(b),
                                     static_cast<std::uint64_t>(a >> 64) ^ word[3] ^ k1, static_cast<std::uint64_t>(a)};
      std::memcpy(word, next, sizeof(word));
      k0 += 0x9E3779B97F4A7C15u;
      k1 += 0xBB67AE8584CAA73Bu;
    }
  }
};

// Numbers of one stream: that of numpy.random.Philox(key=key, counter=[0, *stream]).
class Stream {
 public:
  Stream(Philox philox, std::uint64_t c1, std::uint64_t c2, std::uint64_t c3)
      : philox_(philox), counter_{0, c1, c2, c3} {}

  std::uint64_t operator[](std::uint64_t number) {
    if (counter_[0] != number / 4 + 1) {
      counter_[0] = number / 4 + 1;
      philox_.block(counter_, word_);
    }
    return word_[number % 4];
  }

 private:
  Philox philox_;
  std::uint64_t counter_[4], word_[4];
};

// Numbers first, first + 1, ... of a stream.
void fill(const Philox& philox, std::uint64_t c1, std::uint64_t c2, std::uint64_t c3, std::uint64_t first,
          std::ptrdiff_t count, std::ptrdiff_t step, std::uint64_t* out) {
  Stream stream(philox, c1, c2, c3);
  std::ptrdiff_t i = 0;
  for (; i < count && (first + static_cast<std::uint64_t>(i)) % 4 != 0; ++i)
    out[i * step] = stream[first + static_cast<std::uint64_t>(i)];
  for (; i + 8 <= count; i += 8) {  // two blocks, whose multiplications do not wait for each other
    std::uint64_t word[2][4];
    const std::uint64_t block = (first + static_cast<std::uint64_t>(i)) / 4 + 1;
    philox.block({block, c1, c2, c3}, word[0]);
    philox.block({block + 1, c1, c2, c3}, word[1]);
    for (int k = 0; k < 8; ++k) out[(i + k) * step] = word[k / 4][k % 4];
  }
  for (; i < count; ++i) out[i * step] = stream[first + static_cast<std::uint64_t>(i)];
}

template <class T>
T* data_of(PyObject* array) {
  return array == Py_None ? nullptr : static_cast<T*>(PyArray_DATA(reinterpret_cast<PyArrayObject*>(array)));
}
Py_ssize_t size_of(PyObject* array) { return PyArray_SIZE(reinterpret_cast<PyArrayObject*>(array)); }

// row_bits(key, key, rows, first draw, purpose, out): number `row` of the stream of each draw; out is (rows, draws).
PyObject* row_bits(PyObject*, PyObject* args) {
  unsigned long long k0, k1, first, purpose;
  PyObject *rows, *out;
  if (!PyArg_ParseTuple(args, "KKOKKO", &k0, &k1, &rows, &first, &purpose, &out)) return nullptr;
  const Py_ssize_t count = size_of(rows), draws = count ? size_of(out) / count : 0;
  const std::uint64_t* row = data_of<std::uint64_t>(rows);
  std::uint64_t* bits = data_of<std::uint64_t>(out);
  Py_BEGIN_ALLOW_THREADS;
  for (Py_ssize_t d = 0; d < draws; ++d) {
    const std::uint64_t draw = first + static_cast<std::uint64_t>(d);
    for (Py_ssize_t r = 0, end; r < count; r = end) {
      for (end = r + 1; end < count && row[end] == row[r] + static_cast<std::uint64_t>(end - r);) ++end;
      fill({{k0, k1}}, draw, 0, purpose, row[r], end - r, draws, bits + r * draws + d);
    }
  }
  Py_END_ALLOW_THREADS;
  Py_RETURN_NONE;
}

// class_bits(key, key, rows, draw, purpose, out): number `class` of the stream of each row; out is (rows, classes).
PyObject* class_bits(PyObject*, PyObject* args) {
  unsigned long long k0, k1, draw, purpose;
  PyObject *rows, *out;
  if (!PyArg_ParseTuple(args, "KKOKKO", &k0, &k1, &rows, &draw, &purpose, &out)) return nullptr;
  const Py_ssize_t count = size_of(rows), classes = count ? size_of(out) / count : 0;
  const std::uint64_t* row = data_of<std::uint64_t>(rows);
  std::uint64_t* bits = data_of<std::uint64_t>(out);
  Py_BEGIN_ALLOW_THREADS;
  for (Py_ssize_t r = 0; r < count; ++r)
    fill({{k0, k1}}, row[r], draw, purpose, 0, classes, 1, bits + r * classes);
  Py_END_ALLOW_THREADS;
  Py_RETURN_NONE;
}

// ---------------------------------------------------------------- rows over threads

// Kept by each thread for its next call, up to the scratch of a row of a quarter million classes.
class ScratchMemory {
 public:
  ~ScratchMemory() { std::free(data_); }
  double* get(std::size_t doubles) {
    if (doubles > size_) {
      std::free(data_);
      data_ = static_cast<double*>(std::malloc(doubles * sizeof(double)));
      size_ = data_ ? doubles : 0;
    }
    return data_;
  }
  void trim() {
    if (size_ <= (std::size_t{1} << 21)) return;
    std::free(data_);
    data_ = nullptr;
    size_ = 0;
  }

 private:
  double* data_ = nullptr;
  std::size_t size_ = 0;
};

template <class Call>
struct Job {
  const Call* call;
  void (*kernel)(const Call& call, std::ptrdiff_t first, std::ptrdiff_t last, double* scratch);
  std::ptrdiff_t rows_per_task;
  bool failed = false;  // only ever set

  static void run(void* context, std::ptrdiff_t task) {
    static thread_local ScratchMemory memory;
    Job& job = *static_cast<Job*>(context);
    double* scratch = memory.get(static_cast<std::size_t>(kernels->scratch(job.call->classes)));
    if (!scratch) {
      __atomic_store_n(&job.failed, true, __ATOMIC_RELAXED);
      return;
    }
    const std::ptrdiff_t first = task * job.rows_per_task, end = first + job.rows_per_task;
    job.kernel(*job.call, first, end < job.call->rows ? end : job.call->rows, scratch);
    memory.trim();
  }
};

constexpr std::ptrdiff_t kTaskNumbers = 1 << 15;

// Without the GIL. None, or MemoryError.
template <class Call>
PyObject* run_rows(const Call& call, void (*kernel)(const Call&, std::ptrdiff_t, std::ptrdiff_t, double*), int threads) {
  Job<Call> job = {&call, kernel, 1};
  if (call.classes > 0) job.rows_per_task = (kTaskNumbers / call.classes + 1 + 15) / 16 * 16;
  if (call.classes * 16 > kTaskNumbers) job.rows_per_task = kTaskNumbers / call.classes + 1;
  const std::ptrdiff_t tasks = (call.rows + job.rows_per_task - 1) / job.rows_per_task;
  Py_BEGIN_ALLOW_THREADS;
  const FloatEnvironment environment;
  set_num_threads(threads);
  parallel_for(tasks, Job<Call>::run, &job);
  Py_END_ALLOW_THREADS;
  if (job.failed) return PyErr_NoMemory();
  Py_RETURN_NONE;
}

PerRow per_row(PyObject* array) {
  return {data_of<double>(array), size_of(array) > 1 ? 1 : 0};
}

// sample(threads, type, x, steps, outcome, kept, as_probabilities, log_mass, drawn, log_prob, draws, bits, replace, possible);
// steps: pairs of a number of `Step` and its parameter, of one number or one per row.
PyObject* sample(PyObject*, PyObject* args) {
  SamplingCall call = {};
  int threads, as_probabilities, replace;
  Py_ssize_t draws;
  PyObject *x, *steps, *outcome, *kept, *log_mass, *drawn, *log_prob, *bits, *possible;
  if (!PyArg_ParseTuple(args, "iiOO!OOpOOOnOpO", &threads, &call.type, &x, &PyTuple_Type, &steps, &outcome,
                        &kept, &as_probabilities, &log_mass, &drawn, &log_prob, &draws, &bits, &replace, &possible))
    return nullptr;
  const Py_ssize_t count = PyTuple_GET_SIZE(steps);
  if (count > kMostSteps) return PyErr_Format(PyExc_ValueError, "at most %d steps, got %zd", kMostSteps, count);
  for (Py_ssize_t k = 0; k < count; ++k) {
    int step;
    PyObject* parameter;
    if (!PyArg_ParseTuple(PyTuple_GET_ITEM(steps, k), "iO", &step, &parameter)) return nullptr;
    call.step[k] = static_cast<Step>(step);
    call.parameter[k] = per_row(parameter);
  }
  call.steps = static_cast<int>(count);
  call.x = data_of<void>(x);
  call.rows = PyArray_DIM(reinterpret_cast<PyArrayObject*>(x), 0);
  call.classes = PyArray_DIM(reinterpret_cast<PyArrayObject*>(x), 1);
  call.outcome = data_of<std::uint8_t>(outcome);
  call.kept = data_of<void>(kept);
  call.as_probabilities = as_probabilities != 0;
  call.log_mass = data_of<double>(log_mass);
  call.drawn = data_of<std::int64_t>(drawn);
  call.log_prob = data_of<double>(log_prob);
  call.draws = draws;
  call.bits = data_of<std::uint64_t>(bits);
  call.replace = replace != 0;
  call.possible = data_of<std::int64_t>(possible);
  return run_rows(call, kernels->sample, threads);
}

// speculate(threads, type, draft, target, draft_temperature, target_temperature, token, bits, accepted, residual)
PyObject* speculate(PyObject*, PyObject* args) {
  SpeculationCall call = {};
  int threads;
  PyObject *draft, *target, *draft_temperature, *target_temperature, *token, *bits, *accepted, *residual;
  if (!PyArg_ParseTuple(args, "iiOOOOOOOO", &threads, &call.type, &draft, &target, &draft_temperature,
                        &target_temperature, &token, &bits, &accepted, &residual))
    return nullptr;
  call.draft = data_of<void>(draft);
  call.target = data_of<void>(target);
  call.rows = PyArray_DIM(reinterpret_cast<PyArrayObject*>(draft), 0);
  call.classes = PyArray_DIM(reinterpret_cast<PyArrayObject*>(draft), 1);
  call.draft_temperature = per_row(draft_temperature);
  call.target_temperature = per_row(target_temperature);
  call.token = data_of<std::int64_t>(token);
  call.bits = data_of<std::uint64_t>(bits);
  call.accepted = data_of<std::uint8_t>(accepted);
  call.residual = data_of<std::int64_t>(residual);
  return run_rows(call, kernels->speculate, threads);
}

// use_level(name): the kernels of one level, which this CPU must have.
PyObject* use_level(PyObject*, PyObject* name) {
  const char* wanted = PyUnicode_AsUTF8(name);
  if (!wanted) return nullptr;
  for (const SamplingKernels* level : kLevels) {
    if (std::strcmp(level->name, wanted) != 0) continue;
    kernels = level;
    Py_RETURN_NONE;
  }
  return PyErr_Format(PyExc_ValueError, "there is no level %s", wanted);
}

PyMethodDef methods[] = {
    {"row_bits", row_bits, METH_VARARGS, nullptr},
    {"class_bits", class_bits, METH_VARARGS, nullptr},
    {"sample", sample, METH_VARARGS, nullptr},
    {"speculate", speculate, METH_VARARGS, nullptr},
    {"use_level", use_level, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

int initialize(PyObject*) {
  import_array1(-1);
  return 0;
}

PyModuleDef_Slot slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(initialize)},
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, nullptr},
};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_sampling", nullptr, 0, methods, slots, nullptr, nullptr, nullptr};

}  // namespace
}  // namespace sigmax

PyMODINIT_FUNC PyInit__sampling() { return PyModuleDef_Init(&sigmax::module); }
