// The functions of one element and the sum of many, at one instruction-set level.
#include "../functions/binary_cross_entropy.h"
#include "../functions/elementwise.h"
#include "../functions/total.h"
#include "level.h"

namespace sigmax {
namespace {

// Elements are computed in blocks of doubles that stay in the first cache, whatever type they are stored in.
constexpr std::ptrdiff_t kBlock = 512;

// Elements [begin, begin + n) as doubles, and the last one again to the end of the last octet.
template <class S>
SIGMAX_NOINLINE void load_block(const Operand& operand, std::ptrdiff_t begin, std::ptrdiff_t n, double* to) {
  const char* from = operand.data + begin * operand.row_stride;
  S copy[kBlock];
  const S* numbers = reinterpret_cast<const S*>(from);
  if (operand.row_stride != sizeof(S) || n % kOctet != 0) {
    for (std::ptrdiff_t i = 0; i < (n + kOctet - 1) / kOctet * kOctet; ++i)
      std::memcpy(copy + i, from + (i < n ? i : n - 1) * operand.row_stride, sizeof(S));
    numbers = copy;
  }
  for (std::ptrdiff_t i = 0; i < n; i += kLanes) store(to + i, load(numbers + i));
}
template <class S>
SIGMAX_NOINLINE void store_block(const Operand& operand, std::ptrdiff_t begin, std::ptrdiff_t n, const double* from) {
  char* to = operand.data + begin * operand.row_stride;
  if (operand.row_stride == sizeof(S) && n % kOctet == 0) {
    for (std::ptrdiff_t i = 0; i < n; i += kLanes) store(reinterpret_cast<S*>(to) + i, load(from + i));
    return;
  }
  for (std::ptrdiff_t i = 0; i < n; i += kLanes) {
    S lanes[kLanes];
    store(lanes, load(from + i));
    for (std::ptrdiff_t k = 0; k < kLanes && i + k < n; ++k) std::memcpy(to + (i + k) * operand.row_stride, lanes + k, sizeof(S));
  }
}

struct ElementBlock {
  alignas(64) double x[kBlock], cotangent[kBlock], out[kBlock];
};

template <class F, class W, bool has_cotangent>
SIGMAX_NOINLINE void compute(ElementBlock& block, std::ptrdiff_t n) {
  for (std::ptrdiff_t i = 0; i < n; i += kLanes) {
    if constexpr (has_cotangent)
      store(block.out + i, F::template apply<W>(load(block.x + i), load(block.cotangent + i)));
    else
      store(block.out + i, F::template apply<W>(load(block.x + i)));
  }
}

template <class F, class S, bool has_cotangent>
void run_element(const ElementwiseCall& call, std::ptrdiff_t begin, std::ptrdiff_t end) {
  ElementBlock block;
  for (std::ptrdiff_t at = begin; at < end; at += kBlock) {
    const std::ptrdiff_t n = end - at < kBlock ? end - at : kBlock;
    load_block<S>(call.x, at, n, block.x);
    if (has_cotangent) load_block<S>(call.cotangent, at, n, block.cotangent);
    compute<F, typename Arithmetic<S>::W, has_cotangent>(block, n);
    store_block<S>(call.out, at, n, block.out);
  }
}

struct LossBlock {
  alignas(64) double x[kBlock], labels[kBlock], weight[kBlock], pos_weight[kBlock], smoothing[kBlock], divisor[kBlock], loss[kBlock], gradient[kBlock];
  bool is_ordinary;  // the options of all elements are

  SIGMAX_INLINE LossOptions options(std::ptrdiff_t i) const { return {load(weight + i), load(pos_weight + i), load(smoothing + i), load(divisor + i)}; }
};

template <class F, class W, bool has_gradient>
SIGMAX_NOINLINE void compute(LossBlock& block, std::ptrdiff_t n) {
  for (std::ptrdiff_t i = 0; i < n; i += kLanes) {
    const LossOptions options = block.options(i);
    const Vec x = load(block.x + i), labels = load(block.labels + i);
    LossAndGradient result = F::template apply<W>(x, labels, options);
    if (!block.is_ordinary && any(~is_ordinary(options))) {
      const LossAndGradient far = F::template apply_far<W>(x, labels, options);
      result = {select(has_ordinary_weights(options), result.loss, far.loss), select(is_ordinary(options), result.gradient, far.gradient)};
    }
    store(block.loss + i, result.loss);
    if (has_gradient) store(block.gradient + i, result.gradient);
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
  Word largest = 0;
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    Word word;
    std::memcpy(&word, x + i * sizeof(Word), sizeof(Word));
    largest = word > largest ? word : largest;
  }
  return largest <= one;
}

template <class F>
constexpr ElementwiseFunction elementwise(const char* name) {
  return {name, false, {run_element<F, Half, false>, run_element<F, BFloat, false>, run_element<F, float, false>, run_element<F, double, false>}};
}
template <class F>
constexpr ElementwiseFunction product(const char* name) {
  return {name, true, {run_element<F, Half, true>, run_element<F, BFloat, true>, run_element<F, float, true>, run_element<F, double, true>}};
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
