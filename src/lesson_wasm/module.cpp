// The functions of the library that the lesson needs, as a WebAssembly module: the same kernels, the same bits as the
// baseline level (no fused multiply-add). Built by tools/build_wasm.py into src/sigmax/lesson/static/sigmax.wasm.
//
// This file is the whole seam to the core. What it takes from there, to be re-pointed when the core changes:
//   Sigmoid … LogitVjp             F::apply<W>(x[, cotangent]) on a vector, W = Arithmetic<T>::W
//   SoftmaxPolicy … DivergencePolicy   AxisKernels<Policy, T>::kernel.rows(AxisCall, begin, end, scratch), scratch_bytes
//   LossBlock<T>::compute          binary cross-entropy of up to kLossBlockSize elements
//   Total                          the compensated sum
//   load, store, Half              conversion between doubles and the stored types
//
// To JavaScript all numbers are doubles in the module's memory; `type` says what they are rounded to and computed in.
// Pointers come from `reserve`; `release` takes everything back. Nothing is checked: sigmax.js does that.
#include "../core/kernels.h"

#include "../core/axis_kernels.h"
#include "../core/binary_cross_entropy.h"
#include "../core/divergence.h"
#include "../core/elementwise.h"
#include "../core/losses.h"
#include "../core/total.h"

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

template <class F, class T, class... Inputs>
void apply_to(double* out, std::ptrdiff_t n, const Inputs*... in) {
  T* result = taken_of<T>(n);
  for (std::ptrdiff_t i = 0; i < n; i += kLanes) store(result + i, F::template apply<typename Arithmetic<T>::W>(load(in + i)...));
  widened(out, result, n);
}

template <class F>
void elementwise(int type, std::ptrdiff_t n, const double* x, double* out) {
  with_type(type, [&](auto tag) {
    typedef typename decltype(tag)::Type T;
    apply_to<F, T>(out, n, stored<T>(x, n));
  });
}

template <class F>
void elementwise_vjp(int type, std::ptrdiff_t n, const double* x, const double* cotangent, double* out) {
  with_type(type, [&](auto tag) {
    typedef typename decltype(tag)::Type T;
    apply_to<F, T>(out, n, stored<T>(x, n), stored<T>(cotangent, n));
  });
}

// ---------------------------------------------------------------- rows

double nothing = 0.0, everything = 1.0;
std::int64_t no_label = 0;
std::uint8_t no_mask = 1;

template <class N>
Operand numbers(const N* data, std::ptrdiff_t row_stride = 0, std::ptrdiff_t class_stride = 0) {
  std::ptrdiff_t size = sizeof(N);
  return {const_cast<char*>(reinterpret_cast<const char*>(data)), row_stride * size, class_stride * size};
}

template <class P, class T>
void run_rows(const AxisCall& call) {
  const AxisKernel& kernel = AxisKernels<P, T>::kernel;
  kernel.rows(call, 0, call.rows, taken(kernel.scratch_bytes(call.classes)));
}

// `second`: the cotangents of a vector-Jacobian product. One temperature per row.
template <class P, bool narrow>
void axis(int type, std::ptrdiff_t rows, std::ptrdiff_t classes, const double* x, const double* second,
          const double* temperature, double* out) {
  with_type<narrow>(type, [&](auto tag) {
    typedef typename decltype(tag)::Type T;
    AxisCall call;
    call.rows = rows, call.classes = classes;
    call.x = numbers(stored<T>(x, rows * classes), classes, 1);
    if (second != nullptr) call.per_class = numbers(stored<T>(second, rows * classes), classes, 1);
    call.temperature = numbers(temperature, 1);
    std::ptrdiff_t results = P::reduces ? rows : rows * classes;
    T* result = taken_of<T>(results);
    call.out = P::reduces ? numbers(result, 1) : numbers(result, classes, 1);
    run_rows<P, T>(call);
    widened(out, result, results);
  });
}

// `label`: a class index per row, or null; `soft`: labels per class, or null; `weight` and `temperature` per row. The
// losses are doubles; the gradient, of their sum times `scale`, is written where there is a place for it.
template <class Loss, class Gradient, bool narrow>
void loss(int type, std::ptrdiff_t rows, std::ptrdiff_t classes, const double* x, const double* label, const double* soft,
          const double* weight, const double* temperature, double smoothing, double scale, double* value,
          double* gradient) {
  with_type<narrow>(type, [&](auto tag) {
    typedef typename decltype(tag)::Type T;
    AxisCall call;
    call.rows = rows, call.classes = classes;
    call.x = numbers(stored<T>(x, rows * classes), classes, 1);
    if (soft != nullptr) call.per_class = numbers(stored<T>(soft, rows * classes), classes, 1);
    call.temperature = numbers(temperature, 1);
    LossOperands& options = call.loss;
    options.label = numbers(&no_label);
    if (label != nullptr) {
      std::int64_t* index = taken_of<std::int64_t>(rows);
      for (std::ptrdiff_t i = 0; i < rows; ++i) index[i] = static_cast<std::int64_t>(label[i]);
      options.label = numbers(index, 1);
    }
    double total = smoothing == 0.0 ? 1.0 : static_cast<double>(classes);
    options.weight = numbers(weight, 1);
    options.class_weight = options.prior = numbers(&everything);
    options.smoothing = numbers(&smoothing);
    options.prior_total = numbers(&total);
    options.mask = numbers(&no_mask);
    options.z_loss = numbers(&nothing);
    options.scale = numbers(&scale);
    options.value = numbers(value, 1);
    if (gradient == nullptr) return run_rows<Loss, T>(call);
    T* slopes = taken_of<T>(rows * classes);
    call.out = numbers(slopes, classes, 1);
    run_rows<Gradient, T>(call);
    widened(gradient, slopes, rows * classes);
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
AXIS(softmax, SoftmaxPolicy, true)
AXIS(log_softmax, LogSoftmaxPolicy, false)
AXIS(logsumexp, LogsumexpPolicy, false)
AXIS(entropy, EntropyPolicy, false)
AXIS(entropy_of_probabilities, EntropyOfProbabilitiesPolicy, false)
AXIS(softmax_vjp, SoftmaxVjpPolicy, true)

#define LOSS(name, P, narrow)                                                                                           \
  EXPORT(name) void name(int type, int rows, int classes, const double* x, const double* label, const double* soft, \
                         const double* weight, const double* temperature, double smoothing, double scale,          \
                         double* value, double* gradient) {                                                        \
    loss<P<false>, P<true>, narrow>(type, rows, classes, x, label, soft, weight, temperature, smoothing, scale, value,     \
                            gradient);                                                                             \
  }
LOSS(cross_entropy, CrossEntropyPolicy, true)
LOSS(cross_entropy_of_probabilities, CrossEntropyOfProbabilitiesPolicy, true)
LOSS(relative_entropy_of_probabilities, RelativeEntropyOfProbabilitiesPolicy, false)
LOSS(divergence, DivergencePolicy, false)

// The losses, and the gradient of their sum divided by `divisor` where there is a place for it.
EXPORT(binary_cross_entropy) void binary_cross_entropy(int type, int n, const double* x, const double* labels, double divisor,
                                                       double* value, double* gradient) {
  with_type(type, [&](auto tag) {
    typedef typename decltype(tag)::Type T;
    double ones[kLossBlockSize], zeros[kLossBlockSize], divisors[kLossBlockSize], losses[kLossBlockSize];
    for (std::ptrdiff_t i = 0; i < kLossBlockSize; ++i) ones[i] = 1.0, zeros[i] = 0.0, divisors[i] = divisor;
    T* slopes = taken_of<T>(n);
    LossBlock<T> block;
    block.weight = block.pos_weight = ones, block.smoothing = zeros, block.divisor = divisors;
    block.loss = losses;
    const T *given = stored<T>(x, n), *y = stored<T>(labels, n);
    for (std::ptrdiff_t at = 0; at < n; at += kLossBlockSize) {
      std::ptrdiff_t count = n - at < kLossBlockSize ? n - at : kLossBlockSize;
      block.x = given + at, block.labels = y + at, block.gradient = slopes + at;
      block.template compute<BinaryCrossEntropy, true>(count);
      std::memcpy(value + at, losses, count * sizeof(double));
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
