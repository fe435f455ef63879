// The functions of the library that the lesson needs, as a WebAssembly module: the same kernels, the same bits as the
// baseline level (no fused multiply-add). Built by tools/build_wasm.py into src/sigmax/lesson/static/sigmax.wasm.
//
// This file is the whole seam to the core. What it takes from there:
//   Sigmoid, Softplus, ...                       F::apply<Nearest or Odd>(...) on a vector of numbers
//   SigmoidVjp, BinaryCrossEntropy, ...          F::apply<W>(...) on a vector, W = Arithmetic<T>::W
//   Softmax, SoftmaxVjp, Divergence, ...         programs, run by Engine<P<W>, T>::kernel on a RowsCall
//   Total                                        the compensated sum
//   load, store, Half                            conversion between doubles and the stored types
//
// To JavaScript all numbers are doubles in the module's memory; `type` says what they are rounded to and computed in.
// Pointers come from `reserve`; `release` takes everything back. Nothing is checked: sigmax.js does that.
#include "../core/functions/binary_cross_entropy.h"
#include "../core/functions/cross_entropy.h"
#include "../core/functions/divergence.h"
#include "../core/functions/entropy.h"
#include "../core/functions/probabilities.h"
#include "../core/functions/softmax.h"
#include "../core/functions/total.h"
#include "../core/rows/engine.h"

#define EXPORT(name) extern "C" __attribute__((export_name(#name)))

namespace sigmax {
namespace {

// ---------------------------------------------------------------- memory

extern "C" char __heap_base;
constexpr std::size_t kPage = 65536;

char* top = nullptr;

char* taken(std::size_t bytes) {
  if (top == nullptr) top = &__heap_base;
  char* from = reinterpret_cast<char*>((reinterpret_cast<std::size_t>(top) + 63) & ~std::size_t{63});
  top = from + bytes;
  std::size_t end = reinterpret_cast<std::size_t>(top), pages = __builtin_wasm_memory_size(0);
  if (end > pages * kPage) __builtin_wasm_memory_grow(0, (end - pages * kPage + kPage - 1) / kPage);
  return from;
}

template <class T>
T* taken_of(std::ptrdiff_t n) {  // readable to the end of the last vector
  return reinterpret_cast<T*>(taken((n + 16) * sizeof(T)));
}

// ---------------------------------------------------------------- types

enum { kHalfNumbers, kFloatNumbers, kDoubleNumbers };

template <class T>
T* stored(const double* from, std::ptrdiff_t n) {
  T* to = taken_of<T>(n);
  double part[kLanes];
  for (std::ptrdiff_t i = 0; i < n; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) part[k] = i + k < n ? from[i + k] : 0.0;
    store(to + i, load(part));
  }
  return to;
}

template <class T>
void widened(double* to, const T* from, std::ptrdiff_t n) {
  double part[kLanes];
  for (std::ptrdiff_t i = 0; i < n; i += kLanes) {
    store(part, load(from + i));
    for (int k = 0; k < kLanes && i + k < n; ++k) to[i + k] = part[k];
  }
}

template <class T>
struct TypeTag {
  typedef T Type;
};

// body(TypeTag<T>), T the stored type; without `narrow` always double, which keeps the module small.
template <bool narrow = true, class Body>
void with_type(int type, Body body) {
  if constexpr (narrow) {
    if (type == kHalfNumbers) body(TypeTag<Half>{});
    if (type == kFloatNumbers) body(TypeTag<float>{});
  }
  if (type == kDoubleNumbers) body(TypeTag<double>{});
}

// ---------------------------------------------------------------- elementwise

template <class T, class Function, class... Inputs>
void apply_to(double* out, std::ptrdiff_t n, Function function, const Inputs*... in) {
  T* result = taken_of<T>(n);
  for (std::ptrdiff_t i = 0; i < n; i += kLanes) store(result + i, function(load(in + i)...));
  widened(out, result, n);
}

// The last step of a rounding alone is correct too.
template <class F>
void elementwise(int type, std::ptrdiff_t n, const double* x, double* out) {
  with_type(type, [&](auto tag) {
    typedef typename decltype(tag)::Type T;
    typedef std::conditional_t<std::is_same<T, double>::value, Nearest, Odd> Rounding;
    apply_to<T>(out, n, [](Vec v) { return F::template apply<Rounding>(v); }, stored<T>(x, n));
  });
}

template <class F>
void elementwise_vjp(int type, std::ptrdiff_t n, const double* x, const double* cotangent, double* out) {
  with_type(type, [&](auto tag) {
    typedef typename decltype(tag)::Type T;
    apply_to<T>(out, n, [](Vec v, Vec g) { return F::template apply<typename Arithmetic<T>::W>(v, g); }, stored<T>(x, n), stored<T>(cotangent, n));
  });
}

// ---------------------------------------------------------------- rows

double nothing = 0.0, everything = 1.0;
std::int64_t no_label = 0;

template <class N>
Operand numbers(const N* data, std::ptrdiff_t row_stride = 0, std::ptrdiff_t class_stride = 0) {
  std::ptrdiff_t size = sizeof(N);
  return {const_cast<char*>(reinterpret_cast<const char*>(data)), row_stride * size, class_stride * size};
}

// Float64 is computed in pairs, narrower types in doubles.
template <template <class> class P, class T>
void run_rows(RowsCall& call) {
  constexpr bool is_double = sizeof(T) == sizeof(double);
  typedef typename std::conditional<is_double, Pair, Vec>::type W;
  const RowsKernel& kernel = Engine<P<W>, typename std::conditional<is_double, double, float>::type>::kernel;
  call.type = is_double ? kFloat64 : sizeof(T) == sizeof(float) ? kFloat32 : kFloat16;
  kernel.rows(call, 0, call.rows, taken(kernel.scratch_bytes(call.classes)));
}

// `second`: the cotangents of a vector-Jacobian product. One temperature per row.
template <template <class> class P, bool narrow>
void axis(int type, std::ptrdiff_t rows, std::ptrdiff_t classes, const double* x, const double* second,
          const double* temperature, double* out) {
  with_type<narrow>(type, [&](auto tag) {
    typedef typename decltype(tag)::Type T;
    RowsCall call;
    call.rows = rows, call.classes = classes;
    call[kX] = numbers(stored<T>(x, rows * classes), classes, 1);
    if (second != nullptr) call[kSecond] = numbers(stored<T>(second, rows * classes), classes, 1);
    call[kTemperature] = numbers(temperature, 1);
    constexpr bool reduces = P<Vec>::has_result;
    std::ptrdiff_t results = reduces ? rows : rows * classes;
    T* result = taken_of<T>(results);
    if (reduces)
      call[kResult] = numbers(result, 1);
    else
      call[kOut] = numbers(result, classes, 1);
    run_rows<P, T>(call);
    widened(out, result, results);
  });
}

template <class W>
using SmoothedIndex = IndexCrossEntropy<W, true>;
template <class W>
using PlainIndex = IndexCrossEntropy<W, false>;
template <class W>
using SoftLabels = WeightedCrossEntropy<W, true, false>;
template <class W>
using CrossEntropyOfGiven = CrossEntropyOfProbabilities<W, false>;
template <class W>
using RelativeEntropyOfGiven = CrossEntropyOfProbabilities<W, true>;

struct CrossEntropyOfLogits {
  template <class T>
  static void run(RowsCall& call, bool is_soft, bool is_smoothed) {
    if (is_soft) return run_rows<SoftLabels, T>(call);
    is_smoothed ? run_rows<SmoothedIndex, T>(call) : run_rows<PlainIndex, T>(call);
  }
};
template <template <class> class P>
struct Always {
  template <class T>
  static void run(RowsCall& call, bool, bool) {
    run_rows<P, T>(call);
  }
};

// `label`: a class index per row, or null; `soft`: labels per class, or null; `weight` and `temperature` per row. The
// losses are doubles; the gradient, of their sum times `scale`, is written where there is a place for it.
template <class Loss, bool narrow>
void loss(int type, std::ptrdiff_t rows, std::ptrdiff_t classes, const double* x, const double* label, const double* soft,
          const double* weight, const double* temperature, double smoothing, double scale, double* value,
          double* gradient) {
  with_type<narrow>(type, [&](auto tag) {
    typedef typename decltype(tag)::Type T;
    RowsCall call;
    call.rows = rows, call.classes = classes;
    call[kX] = numbers(stored<T>(x, rows * classes), classes, 1);
    if (soft != nullptr) call[kSecond] = numbers(stored<T>(soft, rows * classes), classes, 1);
    call[kTemperature] = numbers(temperature, 1);
    call[kLabel] = numbers(&no_label);
    if (label != nullptr) {
      std::int64_t* index = taken_of<std::int64_t>(rows);
      for (std::ptrdiff_t i = 0; i < rows; ++i) index[i] = static_cast<std::int64_t>(label[i]);
      call[kLabel] = numbers(index, 1);
    }
    double total = smoothing == 0.0 ? 1.0 : static_cast<double>(classes);
    call[kWeight] = numbers(weight, 1);
    call[kClassWeight] = call[kPrior] = numbers(&everything);
    call[kSmoothing] = numbers(&smoothing);
    call[kPriorTotal] = numbers(&total);
    call[kZLoss] = numbers(&nothing);
    call[kScale] = numbers(&scale);
    call[kValue] = numbers(value, 1);
    T* slopes = gradient == nullptr ? nullptr : taken_of<T>(rows * classes);
    if (gradient != nullptr) call[kOut] = numbers(slopes, classes, 1);
    Loss::template run<T>(call, soft != nullptr, smoothing != 0.0);
    if (gradient != nullptr) widened(gradient, slopes, rows * classes);
  });
}

// ---------------------------------------------------------------- random numbers

typedef std::uint64_t Word;

// Philox 4x64 with ten rounds: Salmon et al., Parallel random numbers: as easy as 1, 2, 3. doi:10.1145/2063384.2063405.
struct Philox {
  Word counter[4], key[2];

  double uniform(int k) const { return static_cast<double>(counter[k] >> 11) * 0x1p-53; }  // in [0, 1)

  static Word high(Word a, Word b) { return static_cast<Word>((static_cast<unsigned __int128>(a) * b) >> 64); }

  void run() {
    constexpr Word m0 = 0xD2E7470EE14C6C93u, m1 = 0xCA5A826395121157u;
    constexpr Word w0 = 0x9E3779B97F4A7C15u, w1 = 0xBB67AE8584CAA73Bu;
    for (int round = 0; round < 10; ++round) {
      Word next[4] = {high(m1, counter[2]) ^ counter[1] ^ key[0], m1 * counter[2],
                      high(m0, counter[0]) ^ counter[3] ^ key[1], m0 * counter[0]};
      std::memcpy(counter, next, sizeof(next));
      key[0] += w0, key[1] += w1;
    }
  }
};

}  // namespace

EXPORT(reserve) double* reserve(int n) { return taken_of<double>(n); }
EXPORT(release) void release() { top = nullptr; }

EXPORT(round_to_type) void round_to_type(int type, int n, const double* x, double* out) {
  with_type(type, [&](auto tag) { widened(out, stored<typename decltype(tag)::Type>(x, n), n); });
}

#define ELEMENTWISE(name, F) \
  EXPORT(name) void name(int type, int n, const double* x, double* out) { elementwise<F>(type, n, x, out); }
ELEMENTWISE(sigmoid, Sigmoid)
ELEMENTWISE(log_sigmoid, LogSigmoid)
ELEMENTWISE(softplus, Softplus)
ELEMENTWISE(logit, Logit)

#define ELEMENTWISE_VJP(name, F)                                                                     \
  EXPORT(name) void name(int type, int n, const double* x, const double* cotangent, double* out) { \
    elementwise_vjp<F>(type, n, x, cotangent, out);                                                  \
  }
ELEMENTWISE_VJP(sigmoid_vjp, SigmoidVjp)
ELEMENTWISE_VJP(log_sigmoid_vjp, LogSigmoidVjp)

#define AXIS(name, P, narrow)                                                                                    \
  EXPORT(name) void name(int type, int rows, int classes, const double* x, const double* second, const double* t, double* out) { \
    axis<P, narrow>(type, rows, classes, x, second, t, out);                                                              \
  }
AXIS(softmax, Softmax, true)
AXIS(log_softmax, LogSoftmax, false)
AXIS(logsumexp, Logsumexp, false)
AXIS(entropy, Entropy, false)
AXIS(entropy_of_probabilities, EntropyOfProbabilities, false)
AXIS(softmax_vjp, SoftmaxVjp, true)

#define LOSS(name, P, narrow)                                                                                           \
  EXPORT(name) void name(int type, int rows, int classes, const double* x, const double* label, const double* soft, \
                         const double* weight, const double* temperature, double smoothing, double scale,          \
                         double* value, double* gradient) {                                                        \
    loss<P, narrow>(type, rows, classes, x, label, soft, weight, temperature, smoothing, scale, value,     \
                            gradient);                                                                             \
  }
LOSS(cross_entropy, CrossEntropyOfLogits, true)
LOSS(cross_entropy_of_probabilities, Always<CrossEntropyOfGiven>, true)
LOSS(relative_entropy_of_probabilities, Always<RelativeEntropyOfGiven>, false)
LOSS(divergence, Always<Divergence>, false)

// The losses, and the gradient of their sum divided by `divisor` where there is a place for it.
EXPORT(binary_cross_entropy) void binary_cross_entropy(int type, int n, const double* x, const double* labels, double divisor,
                                                       double* value, double* gradient) {
  with_type(type, [&](auto tag) {
    typedef typename decltype(tag)::Type T;
    typedef typename Arithmetic<T>::W W;
    const LossOptions options = {splat(1.0), splat(1.0), Vec{}, splat(divisor)};
    T* slopes = taken_of<T>(n);
    const T *given = stored<T>(x, n), *y = stored<T>(labels, n);
    for (std::ptrdiff_t i = 0; i < n; i += kLanes) {
      const LossAndGradient result = BinaryCrossEntropy::apply<W>(load(given + i), load(y + i), options);
      store(slopes + i, result.gradient);
      for (int k = 0; k < kLanes && i + k < n; ++k) value[i + k] = result.loss[k];
    }
    if (gradient != nullptr) widened(gradient, slopes, n);
  });
}

EXPORT(total) double total(int n, const double* x) {
  constexpr std::ptrdiff_t most = 64;  // chunks
  Sum sums[most];
  std::ptrdiff_t chunks = 0;
  for (std::ptrdiff_t at = 0; at < n && chunks < most; at += kChunk)
    sums[chunks++] = Total::chunk(x + at, n - at < kChunk ? n - at : kChunk);
  return Total::merge(sums, chunks);
}

// Numbers in [0, 1), as numpy.random.Generator(numpy.random.Philox(key=key)).random(n) has them.
EXPORT(uniforms) void uniforms(int key, int n, double* out) {
  for (int block = 0; 4 * block < n; ++block) {
    Philox philox = {{static_cast<Word>(block) + 1, 0, 0, 0}, {static_cast<Word>(key), 0}};
    philox.run();
    for (int k = 0; k < 4 && 4 * block + k < n; ++k) out[4 * block + k] = philox.uniform(k);
  }
}

// The numbers that sigmax.sample turns into the draws 0, 1, ... of its first row: those of the counters (1, draw, 0, 0).
EXPORT(draws) void draws(int seed, int n, double* out) {
  for (int draw = 0; draw < n; ++draw) {
    Philox philox = {{1, static_cast<Word>(draw), 0, 0}, {static_cast<Word>(seed), 0}};
    philox.run();
    out[draw] = philox.uniform(0);
  }
}

}  // namespace sigmax
