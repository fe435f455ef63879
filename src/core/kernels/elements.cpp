// The functions of one element and the sum of many, at one instruction-set level.
#include "../functions/binary_cross_entropy.h"
#include "../functions/elementwise.h"
#include "../functions/total.h"
#include "level.h"

namespace sigmax {
namespace {

// Strided operands are copied into blocks that stay in the first cache.
constexpr std::ptrdiff_t kBlockSize = 512;

template <class T>
const T* in_block(const Operand& operand, std::ptrdiff_t begin, std::ptrdiff_t n, T* copy) {
  const char* from = operand.data + begin * operand.row_stride;
  if (operand.row_stride == sizeof(T)) return reinterpret_cast<const T*>(from);
  for (std::ptrdiff_t i = 0; i < n; ++i) std::memcpy(copy + i, from + i * operand.row_stride, sizeof(T));
  return copy;
}

template <class T>
void from_block(const Operand& operand, std::ptrdiff_t begin, std::ptrdiff_t n, const T* block) {
  char* to = operand.data + begin * operand.row_stride;
  for (std::ptrdiff_t i = 0; i < n; ++i) std::memcpy(to + i * operand.row_stride, block + i, sizeof(T));
}

template <class T>
SIGMAX_INLINE Vec load_part(const T* from, std::ptrdiff_t n) {
  T lanes[kLanes] = {};
  std::memcpy(lanes, from, n * sizeof(T));
  return load(lanes);
}

template <class T>
SIGMAX_INLINE void store_part(T* to, Vec v, std::ptrdiff_t n) {
  T lanes[kLanes];
  store(lanes, v);
  std::memcpy(to, lanes, n * sizeof(T));
}

template <class F, class T>
struct ElementwiseKernels {
  typedef typename Arithmetic<T>::W W;

  // Four vectors side by side: one alone would wait for its own polynomials.
  template <class... Operands>
  static void block(T* out, std::ptrdiff_t n, const Operands*... in) {
    std::ptrdiff_t i = 0;
    for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
      Vec result[4];
      SIGMAX_UNROLL for (int k = 0; k < 4; ++k) result[k] = F::template apply<W>(load(in + i + k * kLanes)...);
      SIGMAX_UNROLL for (int k = 0; k < 4; ++k) store(out + i + k * kLanes, result[k]);
    }
    for (; i < n; i += kLanes) {
      std::ptrdiff_t rest = n - i < kLanes ? n - i : kLanes;
      store_part(out + i, F::template apply<W>(load_part(in + i, rest)...), rest);
    }
  }

  template <bool with_cotangent>
  static void run(const ElementwiseCall& call, std::ptrdiff_t begin, std::ptrdiff_t end) {
    T x_copy[kBlockSize], g_copy[kBlockSize], out_copy[kBlockSize];
    bool contiguous = call.x.row_stride == sizeof(T) && call.out.row_stride == sizeof(T) &&
                      (!with_cotangent || call.cotangent.row_stride == sizeof(T));
    std::ptrdiff_t block_size = contiguous ? end - begin : kBlockSize;
    for (std::ptrdiff_t at = begin; at < end; at += block_size) {
      std::ptrdiff_t n = end - at < block_size ? end - at : block_size;
      char* to = call.out.data + at * call.out.row_stride;
      bool in_place = call.out.row_stride == sizeof(T);
      T* out = in_place ? reinterpret_cast<T*>(to) : out_copy;
      const T* x = in_block(call.x, at, n, x_copy);
      if constexpr (with_cotangent)
        block(out, n, x, in_block(call.cotangent, at, n, g_copy));
      else
        block(out, n, x);
      if (!in_place) from_block(call.out, at, n, out);
    }
  }
};

// As many elements as fill a vector of any kind.
constexpr std::ptrdiff_t kWholeVectors = 16;

// As in_block, and readable to the end of the last vector.
template <class T>
const T* in_padded_block(const Operand& operand, std::ptrdiff_t begin, std::ptrdiff_t n, T* copy) {
  const T* block = in_block(operand, begin, n, copy);
  if (n % kWholeVectors == 0) return block;
  if (block != copy) std::memcpy(copy, block, n * sizeof(T));
  for (std::ptrdiff_t i = n; i % kWholeVectors != 0; ++i) copy[i] = copy[n - 1];
  return copy;
}

template <class F, class T>
struct BinaryLossKernels {
  struct Block {
    T x[kLossBlockSize], labels[kLossBlockSize], gradient[kLossBlockSize];
    double weight[kLossBlockSize], pos_weight[kLossBlockSize], smoothing[kLossBlockSize], divisor[kLossBlockSize], loss[kLossBlockSize];
  };

  template <bool with_gradient>
  static void run(const BinaryLossCall& call, std::ptrdiff_t begin, std::ptrdiff_t end) {
    Block copy;
    Total total;
    LossBlock<T> block;
    bool same = call.weight.row_stride == 0 && call.pos_weight.row_stride == 0 && call.smoothing.row_stride == 0 &&
                call.divisor.row_stride == 0;
    for (std::ptrdiff_t at = begin; at < end; at += kLossBlockSize) {
      std::ptrdiff_t n = end - at < kLossBlockSize ? end - at : kLossBlockSize;
      block.x = in_padded_block(call.x, at, n, copy.x);
      block.labels = in_padded_block(call.labels, at, n, copy.labels);
      if (!same || at == begin) {
        block.weight = in_padded_block(call.weight, at, n, copy.weight);
        block.pos_weight = in_padded_block(call.pos_weight, at, n, copy.pos_weight);
        block.smoothing = in_padded_block(call.smoothing, at, n, copy.smoothing);
        block.divisor = in_padded_block(call.divisor, at, n, copy.divisor);
      }
      bool in_place = call.gradient.row_stride == sizeof(T) && n % kWholeVectors == 0;
      char* gradient = call.gradient.data + at * call.gradient.row_stride;
      block.gradient = in_place ? reinterpret_cast<T*>(gradient) : copy.gradient;
      block.loss = copy.loss;
      block.template compute<F, with_gradient>(n);
      if (call.sums != nullptr)
        total.add(copy.loss, n);
      else
        from_block(call.loss, at, n, copy.loss);
      if (with_gradient && !in_place) from_block(call.gradient, at, n, copy.gradient);
    }
    if (call.sums != nullptr) call.sums[begin / kChunk] = total.sum();
  }
};

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
  return {name, false, {ElementwiseKernels<F, Half>::template run<false>, ElementwiseKernels<F, BFloat>::template run<false>,
                        ElementwiseKernels<F, float>::template run<false>, ElementwiseKernels<F, double>::template run<false>}};
}
template <class F>
constexpr ElementwiseFunction product(const char* name) {
  return {name, true, {ElementwiseKernels<F, Half>::template run<true>, ElementwiseKernels<F, BFloat>::template run<true>,
                       ElementwiseKernels<F, float>::template run<true>, ElementwiseKernels<F, double>::template run<true>}};
}
template <class F, bool with_gradient>
constexpr BinaryLossFunction binary_loss(const char* name) {
  return {name, with_gradient, {BinaryLossKernels<F, Half>::template run<with_gradient>, BinaryLossKernels<F, BFloat>::template run<with_gradient>,
                                BinaryLossKernels<F, float>::template run<with_gradient>, BinaryLossKernels<F, double>::template run<with_gradient>}};
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
