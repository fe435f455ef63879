// One instruction-set level's kernels: compiled once per level, see meson.build.
#include "kernels.h"

#include "axis_kernels.h"
#include "elementwise_lanes.h"
#include "normalization.h"

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
      if (in_place) continue;
      for (std::ptrdiff_t i = 0; i < n; ++i) std::memcpy(to + i * call.out.row_stride, out + i, sizeof(T));
    }
  }
};

#define SIGMAX_ELEMENTWISE(F)                                         \
  {ElementwiseKernels<F, Half>::run<false>, ElementwiseKernels<F, BFloat>::run<false>, \
   ElementwiseKernels<F, float>::run<false>, ElementwiseKernels<F, double>::run<false>}
#define SIGMAX_ELEMENTWISE_VJP(F)                                     \
  {ElementwiseKernels<F, Half>::run<true>, ElementwiseKernels<F, BFloat>::run<true>, \
   ElementwiseKernels<F, float>::run<true>, ElementwiseKernels<F, double>::run<true>}
#define SIGMAX_AXIS(P)                                                     \
  {AxisKernels<P, Half>::kernel, AxisKernels<P, BFloat>::kernel, AxisKernels<P, float>::kernel, \
   AxisKernels<P, double>::kernel}

#define SIGMAX_STRING(name) SIGMAX_STRING_OF(name)
#define SIGMAX_STRING_OF(name) #name
#define SIGMAX_TABLE(level) SIGMAX_TABLE_OF(level)
#define SIGMAX_TABLE_OF(level) sigmax_kernels_##level

}  // namespace

// In the order of ElementwiseFunction and AxisFunction.
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
    },
};

}  // namespace sigmax
