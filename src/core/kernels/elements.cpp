// The functions of one element and the sum of many, at one instruction-set level.
#include "../functions/binary_cross_entropy.h"
#include "../functions/elementwise.h"
#include "../functions/total.h"
#include "level.h"

#include <type_traits>

namespace sigmax {
namespace {

// Elements are computed in blocks of doubles that stay in the first cache, whatever type they are stored in.
constexpr std::ptrdiff_t kBlock = 512;

// Numbers whose rounding is looked at together; a block is filled up to a multiple of it, and of an octet.
constexpr std::ptrdiff_t kTogether = 4 * kLanes;
constexpr std::ptrdiff_t filled(std::ptrdiff_t n) {
  constexpr std::ptrdiff_t multiple = kTogether > kOctet ? kTogether : kOctet;
  return (n + multiple - 1) / multiple * multiple;
}

// Elements [begin, begin + n) as doubles, and the last one again to fill the block up.
template <class S>
SIGMAX_NOINLINE void load_block(const Operand& operand, std::ptrdiff_t begin, std::ptrdiff_t n, double* to) {
  const char* from = operand.data + begin * operand.row_stride;
  S copy[kBlock];
  const S* numbers = reinterpret_cast<const S*>(from);
  if (operand.row_stride != sizeof(S) || n != filled(n)) {
    for (std::ptrdiff_t i = 0; i < filled(n); ++i)
      std::memcpy(copy + i, from + (i < n ? i : n - 1) * operand.row_stride, sizeof(S));
    numbers = copy;
  }
  for (std::ptrdiff_t i = 0; i < filled(n); i += kLanes) store(to + i, load(numbers + i));
}

// Stores are rounded, or exact where a number is one of the type already.
template <class S>
struct Rounding {
  static SIGMAX_INLINE void store(S* to, Vec v) { sigmax::store(to, v); }
};
template <class S>
struct Exact {
  static SIGMAX_INLINE void store(S* to, Vec v) { store_singles(to, narrow(v)); }
};

template <class S, template <class> class Store = Rounding>
SIGMAX_NOINLINE void store_block(const Operand& operand, std::ptrdiff_t begin, std::ptrdiff_t n, const double* from) {
  char* to = operand.data + begin * operand.row_stride;
  if (operand.row_stride == sizeof(S) && n % kOctet == 0) {
    for (std::ptrdiff_t i = 0; i < n; i += kLanes) Store<S>::store(reinterpret_cast<S*>(to) + i, load(from + i));
    return;
  }
  for (std::ptrdiff_t i = 0; i < n; i += kLanes) {
    S lanes[kLanes];
    Store<S>::store(lanes, load(from + i));
    for (std::ptrdiff_t k = 0; k < kLanes && i + k < n; ++k) std::memcpy(to + (i + k) * operand.row_stride, lanes + k, sizeof(S));
  }
}

struct ElementBlock {
  alignas(64) double x[kBlock], cotangent[kBlock], out[kBlock];
};

template <class F, class W>
SIGMAX_NOINLINE void multiply_block(ElementBlock& block, std::ptrdiff_t n) {
  for (std::ptrdiff_t i = 0; i < n; i += kLanes) store(block.out + i, F::template apply<W>(load(block.x + i), load(block.cotangent + i)));
}

template <class F, class S>
void run_product(const ElementwiseCall& call, std::ptrdiff_t begin, std::ptrdiff_t end) {
  ElementBlock block;
  for (std::ptrdiff_t at = begin; at < end; at += kBlock) {
    const std::ptrdiff_t n = end - at < kBlock ? end - at : kBlock;
    load_block<S>(call.x, at, n, block.x);
    load_block<S>(call.cotangent, at, n, block.cotangent);
    multiply_block<F, typename Arithmetic<S>::W>(block, n);
    store_block<S>(call.out, at, n, block.out);
  }
}

// The last step of a rounding, which few vectors need.
template <class F>
SIGMAX_NOINLINE Vec last_step(Vec x) {
  return F::template apply<Odd>(x);
}

constexpr int kVectorsTogether = kTogether / kLanes;

// The first halves of as many results, of floats or doubles.
template <class F, class S>
SIGMAX_INLINE void start_together(const S* x, Start* v) {
  SIGMAX_UNROLL for (int k = 0; k < kVectorsTogether; ++k) {
    const Vec numbers = load(x + k * kLanes);
    v[k] = F::start(std::is_same<S, double>::value ? F::bounded(numbers) : numbers);
  }
}

// out = F(x), any numbers, rounded to the format; n is a multiple of kTogether.
template <class F>
SIGMAX_NOINLINE void round_block(const double* x, double* out, std::ptrdiff_t n, const Format& format) {
  Start v[kVectorsTogether];
  start_together<F>(x, v);
  for (std::ptrdiff_t i = 0; i < n; i += kTogether) {
    Start next[kVectorsTogether];
    start_together<F>(x + (i + kTogether < n ? i + kTogether : i), next);
    Rounded y[kVectorsTogether];
    Mask in_doubt{};
    SIGMAX_UNROLL for (int k = 0; k < kVectorsTogether; ++k) {
      const Vec numbers = load(x + i + k * kLanes);
      y[k] = round_within(F::at_ends(numbers, F::finish(numbers, v[k])), F::kError, format);
      in_doubt |= y[k].in_doubt;
      v[k] = next[k];
    }
    if (any(in_doubt))
      for (int k = 0; k < kVectorsTogether; ++k)
        if (any(y[k].in_doubt)) y[k] = round_within(last_step<F>(load(x + i + k * kLanes)), 0.0, format);
    SIGMAX_UNROLL for (int k = 0; k < kVectorsTogether; ++k) store(out + i + k * kLanes, y[k].number);
  }
}

constexpr std::ptrdiff_t kRun = 8 * kTogether;

template <class F>
SIGMAX_NOINLINE void round_run(const float* x, float* out, std::ptrdiff_t n) {
  alignas(64) double block[kRun];
  for (std::ptrdiff_t i = 0; i < n; i += kLanes) store(block + i, load(x + i));
  round_block<F>(block, block, n, kFormat<float>);
  for (std::ptrdiff_t i = 0; i < n; i += kLanes) store(out + i, load(block + i));
}

// out = F(x) for n floats one after the other, a multiple of kTogether. What is in doubt, or has an extraordinary number, goes
// another way; where there is one such number there are mostly more.
template <class F>
SIGMAX_NOINLINE void round_floats(const float* x, float* out, std::ptrdiff_t n) {
  constexpr std::int32_t units = static_cast<std::int32_t>(F::kError * 0x1p53) + 1;
  const UnsignedInts around = hidden(UnsignedInts{} + static_cast<std::uint32_t>(units));
  const UnsignedInts shift = hidden(UnsignedInts{} + (kNegative - F::kFirst));
  const Ints closest = hidden(Ints{} + (INT32_MIN + 16 * units));
  const Ints last = hidden(Ints{} + static_cast<std::int32_t>(kNegative + (F::kLast - F::kFirst)));
  Start v[kVectorsTogether];
  start_together<F>(x, v);
  for (std::ptrdiff_t i = 0; i < n; i += kTogether) {
    Start next[kVectorsTogether];
    start_together<F>(x + (i + kTogether < n ? i + kTogether : i), next);
    Vec y[kVectorsTogether];
    SIGMAX_UNROLL for (int k = 0; k < kVectorsTogether; ++k) y[k] = F::finish(load(x + i + k * kLanes), v[k]);
    Ints tie = above_tie(y[0], y[1], around), place = bit_cast<Ints>(load_vector<UnsignedInts>(x + i) + shift);
    SIGMAX_UNROLL for (int k = 2; k < kVectorsTogether; k += 2) {
      tie = smaller(tie, above_tie(y[k], y[k + 1], around));
      place = larger(place, bit_cast<Ints>(load_vector<UnsignedInts>(x + i + k * kLanes) + shift));
    }
    if (__builtin_expect(any((tie < closest) | (place > last)), 0)) {
      const std::ptrdiff_t run = !any(place > last) ? kTogether : n - i < kRun ? n - i : kRun;
      round_run<F>(x + i, out + i, run);
      i += run - kTogether;
      if (i + kTogether < n) start_together<F>(x + i + kTogether, next);
    } else {
      SIGMAX_UNROLL for (int k = 0; k < kVectorsTogether; ++k) store(out + i + k * kLanes, y[k]);
    }
    SIGMAX_UNROLL for (int k = 0; k < kVectorsTogether; ++k) v[k] = next[k];
  }
}

template <class F>
SIGMAX_NOINLINE void compute_block(const double* x, double* out, std::ptrdiff_t n) {
  for (std::ptrdiff_t i = 0; i < n; i += kLanes) store(out + i, F::template apply<Nearest>(load(x + i)));
}

template <class F, class S>
void run_element(const ElementwiseCall& call, std::ptrdiff_t begin, std::ptrdiff_t end) {
  if constexpr (std::is_same<S, float>::value) {
    if (call.x.row_stride == sizeof(float) && call.out.row_stride == sizeof(float)) {
      const std::ptrdiff_t n = (end - begin) / kTogether * kTogether;
      if (n > 0)
        round_floats<F>(reinterpret_cast<const float*>(call.x.data) + begin, reinterpret_cast<float*>(call.out.data) + begin, n);
      begin += n;
    }
  }
  alignas(64) double x[kBlock], out[kBlock];
  for (std::ptrdiff_t at = begin; at < end; at += kBlock) {
    const std::ptrdiff_t n = end - at < kBlock ? end - at : kBlock;
    load_block<S>(call.x, at, n, x);
    if constexpr (std::is_same<S, double>::value) {
      compute_block<F>(x, out, n);
      store_block<S>(call.out, at, n, out);
    } else {
      round_block<F>(x, out, filled(n), kFormat<S>);
      store_block<S, Exact>(call.out, at, n, out);
    }
  }
}

struct LossBlock {
  alignas(64) double x[kBlock], labels[kBlock], weight[kBlock], pos_weight[kBlock], smoothing[kBlock], divisor[kBlock], loss[kBlock], gradient[kBlock];
  bool is_ordinary;  // the options of all elements are

  SIGMAX_INLINE LossOptions options(std::ptrdiff_t i) const { return {load(weight + i), load(pos_weight + i), load(smoothing + i), load(divisor + i)}; }
};

// Elements whose options or labels are not ordinary.
template <class F, class W>
SIGMAX_NOINLINE LossAndGradient mended(const LossBlock& block, std::ptrdiff_t i, Vec loss, Vec gradient) {
  const LossOptions options = block.options(i);
  const Vec labels = load(block.labels + i);
  const Mask has_digits = has_digits_in_products<W>(labels), losses = has_ordinary_weights(options) & has_digits, gradients = is_ordinary(options) & has_digits;
  if (!any(~gradients)) return {loss, gradient};
  const LossAndGradient far = F::template apply_far<W>(load(block.x + i), labels, options);
  return {select(losses, loss, far.loss), select(gradients, gradient, far.gradient)};
}

// Two vectors of doubles at a time: a result is a hundred operations, each of which waits for another.
template <class F, class W, bool has_gradient>
SIGMAX_NOINLINE void compute(LossBlock& block, std::ptrdiff_t n) {
  constexpr int together = sizeof(W) == sizeof(Vec) ? 2 : 1;
  for (std::ptrdiff_t i = 0; i < n; i += together * kLanes) {
    const std::ptrdiff_t at[] = {i, i + kLanes < n ? i + kLanes : i};
    Vec loss[together], gradient[together];
    Mask special = {};
    SIGMAX_UNROLL_ALL for (int k = 0; k < together; ++k) {
      const Vec labels = load(block.labels + at[k]);
      const LossAndGradient result = F::template apply<W>(load(block.x + at[k]), labels, block.options(at[k]));
      loss[k] = result.loss;
      gradient[k] = has_gradient ? result.gradient : Vec{};
      special |= ~has_digits_in_products<W>(labels);
    }
    if (!block.is_ordinary || any(special))
      SIGMAX_UNROLL_ALL for (int k = 0; k < together; ++k) {
        const LossAndGradient result = mended<F, W>(block, at[k], loss[k], gradient[k]);
        loss[k] = result.loss;
        gradient[k] = result.gradient;
      }
    SIGMAX_UNROLL_ALL for (int k = 0; k < together; ++k) {
      if constexpr (together == 2) loss[k] = F::settled(load(block.x + at[k]), load(block.labels + at[k]), block.options(at[k]), loss[k]);
      store(block.loss + at[k], loss[k]);
      if (has_gradient) store(block.gradient + at[k], gradient[k]);
    }
  }
}

template <class F, class S, bool has_gradient>
void run_binary_loss(const BinaryLossCall& call, std::ptrdiff_t begin, std::ptrdiff_t end) {
  LossBlock block;
  Total total;
  const bool same = call.weight.row_stride == 0 && call.pos_weight.row_stride == 0 && call.smoothing.row_stride == 0 && call.divisor.row_stride == 0;
  for (std::ptrdiff_t at = begin; at < end; at += kBlock) {
    const std::ptrdiff_t n = end - at < kBlock ? end - at : kBlock;
    load_block<S>(call.x, at, n, block.x);
    load_block<S>(call.labels, at, n, block.labels);
    if (!same || at == begin) {
      load_block<double>(call.weight, at, n, block.weight);
      load_block<double>(call.pos_weight, at, n, block.pos_weight);
      load_block<double>(call.smoothing, at, n, block.smoothing);
      load_block<double>(call.divisor, at, n, block.divisor);
      block.is_ordinary = same && !any(~is_ordinary(block.options(0)));
    }
    compute<F, typename Arithmetic<S>::W, has_gradient>(block, n);
    if (call.sums != nullptr)
      total.add(block.loss, n);
    else
      store_block<double>(call.loss, at, n, block.loss);
    if (has_gradient) store_block<S>(call.gradient, at, n, block.gradient);
  }
  if (call.sums != nullptr) call.sums[begin / kChunk] = total.sum();
}

// Whether all numbers are in [0, 1], by their bits, `one` being those of 1; -0 alone counts as outside without being so.
template <class Word, Word one>
bool in_unit_interval(const char* x, std::ptrdiff_t n) {
  typedef Word V __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));
  constexpr std::ptrdiff_t lanes = sizeof(V) / sizeof(Word), unroll = 4;
  V largest[unroll] = {};
  std::ptrdiff_t i = 0;
  for (; i + unroll * lanes <= n; i += unroll * lanes)
    SIGMAX_UNROLL_ALL for (int k = 0; k < unroll; ++k) largest[k] = larger_of(load_vector<V>(x + (i + k * lanes) * sizeof(Word)), largest[k]);
  for (int k = 1; k < unroll; ++k) largest[0] = larger_of(largest[k], largest[0]);
  Word most = 0;
  for (int lane = 0; lane < lanes; ++lane) most = larger_of(largest[0][lane], most);
  for (; i < n; ++i) most = larger_of(load_vector<Word>(x + i * sizeof(Word)), most);
  return most <= one;
}

template <class F>
constexpr ElementwiseFunction elementwise(const char* name) {
  return {name, false, {run_element<F, Half>, run_element<F, BFloat>, run_element<F, float>, run_element<F, double>}};
}
template <class F>
constexpr ElementwiseFunction product(const char* name) {
  return {name, true, {run_product<F, Half>, run_product<F, BFloat>, run_product<F, float>, run_product<F, double>}};
}
template <class F, bool has_gradient>
constexpr BinaryLossFunction binary_loss(const char* name) {
  return {name, has_gradient, {run_binary_loss<F, Half, has_gradient>, run_binary_loss<F, BFloat, has_gradient>,
                               run_binary_loss<F, float, has_gradient>, run_binary_loss<F, double, has_gradient>}};
}

constexpr ElementwiseFunction elementwise_functions[] = {
    elementwise<Sigmoid>("sigmoid"),
    elementwise<LogSigmoid>("log_sigmoid"),
    elementwise<Softplus>("softplus"),
    elementwise<Logit>("logit"),
    elementwise<Log1mexp>("log1mexp"),
    product<SigmoidVjp>("sigmoid_vjp"),
    product<LogSigmoidVjp>("log_sigmoid_vjp"),
    product<SoftplusVjp>("softplus_vjp"),
    product<LogitVjp>("logit_vjp"),
    product<Log1mexpVjp>("log1mexp_vjp"),
};
constexpr BinaryLossFunction binary_loss_functions[] = {
    binary_loss<BinaryCrossEntropy, false>("binary_cross_entropy"),
    binary_loss<BinaryCrossEntropyOfProbabilities, false>("binary_cross_entropy_of_probabilities"),
    binary_loss<BinaryCrossEntropy, true>("binary_cross_entropy_gradient"),
    binary_loss<BinaryCrossEntropyOfProbabilities, true>("binary_cross_entropy_of_probabilities_gradient"),
};

}  // namespace

extern "C" const ElementFunctions SIGMAX_OF_LEVEL(sigmax_elements);
const ElementFunctions SIGMAX_OF_LEVEL(sigmax_elements) = {
    SIGMAX_LEVEL_NAME,
    elementwise_functions, sizeof(elementwise_functions) / sizeof(elementwise_functions[0]),
    binary_loss_functions, sizeof(binary_loss_functions) / sizeof(binary_loss_functions[0]),
    {Total::chunk, Total::merge},
    {in_unit_interval<std::uint16_t, 0x3c00>, in_unit_interval<std::uint16_t, 0x3f80>,
     in_unit_interval<std::uint32_t, 0x3f800000>, in_unit_interval<std::uint64_t, 0x3ff0000000000000>},
};

}  // namespace sigmax
