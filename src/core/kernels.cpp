// One instruction-set level's kernels: compiled once per level, see meson.build.
#include "kernels.h"

#include "axis_kernels.h"
#include "binary_cross_entropy_lanes.h"
#include "elementwise_lanes.h"
#include "logit_moments.h"
#include "losses.h"
#include "total.h"

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
      else if constexpr (kInLanes<F>)
        LanesKernel<F, T>::block(out, n, x);
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
  static constexpr bool kInFloats =
      SIGMAX_HAS_FMA && std::is_same<T, float>::value && std::is_same<F, BinaryCrossEntropy>::value;

  struct Block {
    T x[kLossBlockSize], labels[kLossBlockSize], gradient[kLossBlockSize];
    double weight[kLossBlockSize], pos_weight[kLossBlockSize], smoothing[kLossBlockSize], divisor[kLossBlockSize], loss[kLossBlockSize];
  };

  template <bool with_gradient>
  static void run(const BinaryLossCall& call, std::ptrdiff_t begin, std::ptrdiff_t end) {
    Block copy;
    Total total;
    typename std::conditional<kInFloats, LossBlockInLanes, LossBlock<T>>::type block;
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
      if constexpr (kInFloats)
        same ? block.template same_options<with_gradient>(n) : block.template own_options<with_gradient>(n);
      else
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

#define SIGMAX_ELEMENTWISE(F)                                         \
  {ElementwiseKernels<F, Half>::run<false>, ElementwiseKernels<F, BFloat>::run<false>, \
   ElementwiseKernels<F, float>::run<false>, ElementwiseKernels<F, double>::run<false>}
#define SIGMAX_ELEMENTWISE_VJP(F)                                     \
  {ElementwiseKernels<F, Half>::run<true>, ElementwiseKernels<F, BFloat>::run<true>, \
   ElementwiseKernels<F, float>::run<true>, ElementwiseKernels<F, double>::run<true>}
#define SIGMAX_BINARY_LOSS(F, with_gradient)                                                             \
  {BinaryLossKernels<F, Half>::run<with_gradient>, BinaryLossKernels<F, BFloat>::run<with_gradient>, \
   BinaryLossKernels<F, float>::run<with_gradient>, BinaryLossKernels<F, double>::run<with_gradient>}
#define SIGMAX_AXIS(P)                                                     \
  {AxisKernels<P, Half>::kernel, AxisKernels<P, BFloat>::kernel, AxisKernels<P, float>::kernel, \
   AxisKernels<P, double>::kernel}

#define SIGMAX_STRING(name) SIGMAX_STRING_OF(name)
#define SIGMAX_STRING_OF(name) #name
#define SIGMAX_TABLE(level) SIGMAX_TABLE_OF(level)
#define SIGMAX_TABLE_OF(level) sigmax_kernels_##level

}  // namespace

// In the order of ElementwiseFunction, BinaryLossFunction and AxisFunction.
extern "C" const KernelTable SIGMAX_TABLE(SIGMAX_LEVEL);
const KernelTable SIGMAX_TABLE(SIGMAX_LEVEL) = {
    SIGMAX_STRING(SIGMAX_LEVEL),
    {
        SIGMAX_ELEMENTWISE(Sigmoid),
        SIGMAX_ELEMENTWISE(LogSigmoid),
        SIGMAX_ELEMENTWISE(Softplus),
        SIGMAX_ELEMENTWISE(Logit),
        SIGMAX_ELEMENTWISE(Log1mexp),
        SIGMAX_ELEMENTWISE_VJP(SigmoidVjp),
        SIGMAX_ELEMENTWISE_VJP(LogSigmoidVjp),
        SIGMAX_ELEMENTWISE_VJP(SoftplusVjp),
        SIGMAX_ELEMENTWISE_VJP(LogitVjp),
        SIGMAX_ELEMENTWISE_VJP(Log1mexpVjp),
    },
    {
        SIGMAX_BINARY_LOSS(BinaryCrossEntropy, false),
        SIGMAX_BINARY_LOSS(BinaryCrossEntropyOfProbabilities, false),
        SIGMAX_BINARY_LOSS(BinaryCrossEntropy, true),
        SIGMAX_BINARY_LOSS(BinaryCrossEntropyOfProbabilities, true),
    },
    {
        SIGMAX_AXIS(SoftmaxPolicy),
        SIGMAX_AXIS(LogSoftmaxPolicy),
        SIGMAX_AXIS(LogsumexpPolicy),
        SIGMAX_AXIS(LogsumexpWeightedPolicy),
        SIGMAX_AXIS(EntropyPolicy),
        SIGMAX_AXIS(InverseSoftmaxPolicy),
        SIGMAX_AXIS(EntropyOfProbabilitiesPolicy),
        SIGMAX_AXIS(SoftmaxVjpPolicy),
        SIGMAX_AXIS(LogSoftmaxVjpPolicy),
        SIGMAX_AXIS(LogsumexpVjpPolicy),
        SIGMAX_AXIS(LogsumexpWeightedVjpPolicy),
        SIGMAX_AXIS(EntropyVjpPolicy),
        SIGMAX_AXIS(InverseSoftmaxVjpPolicy),
        SIGMAX_AXIS(EntropyOfProbabilitiesVjpPolicy),
        SIGMAX_AXIS(CrossEntropyPolicy<false>),
        SIGMAX_AXIS(CrossEntropyPolicy<true>),
        SIGMAX_AXIS(CrossEntropyOfProbabilitiesPolicy<false>),
        SIGMAX_AXIS(CrossEntropyOfProbabilitiesPolicy<true>),
        SIGMAX_AXIS(MassPolicy),
        SIGMAX_AXIS(RelativeEntropyPolicy<false>),
        SIGMAX_AXIS(RelativeEntropyPolicy<true>),
        SIGMAX_AXIS(RelativeEntropyOfProbabilitiesPolicy<false>),
        SIGMAX_AXIS(RelativeEntropyOfProbabilitiesPolicy<true>),
        SIGMAX_AXIS(DivergencePolicy<false>),
        SIGMAX_AXIS(DivergencePolicy<true>),
    },
    {LogitMoments<Half>::kernel, LogitMoments<BFloat>::kernel, LogitMoments<float>::kernel, LogitMoments<double>::kernel},
    {Total::chunk, Total::merge},
    {in_unit_interval<std::uint16_t, 0x3c00>, in_unit_interval<std::uint16_t, 0x3f80>,
     in_unit_interval<std::uint32_t, 0x3f800000>, in_unit_interval<std::uint64_t, 0x3ff0000000000000>},
};

}  // namespace sigmax
