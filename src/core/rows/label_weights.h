// The weights of a row's classes in a loss:
//   a_j = class_weight_j·((1 - smoothing)·q_j + smoothing·prior_j/prior_total),
// where q is the soft label, or 1 for the class of a label that is an index and 0 elsewhere. So indices, the same labels as
// one-hot rows, and any mixture with smoothing and class weights are one thing to a loss. Where all classes share one class
// weight and prior, and none is masked, a_j = slope·q_j + least, and nothing is stored; else the weights are spelled out.
#pragma once

#include "../simd/wide.h"
#include "storage.h"

namespace sigmax {
namespace {

template <class N>
SIGMAX_INLINE N number_at(const Operand& operand, std::ptrdiff_t row, std::ptrdiff_t c = 0) {
  N number;
  std::memcpy(&number, block_at(operand, row, c).data, sizeof(number));
  return number;
}

// 1 where there is none.
SIGMAX_INLINE double option(const RowsCall& call, Name name, std::ptrdiff_t row, std::ptrdiff_t c = 0) {
  return call[name].data == nullptr ? 1.0 : number_at<double>(call[name], row, c);
}

SIGMAX_INLINE bool has_mask(const RowsCall& call) {
  const Operand& mask = call[kMask];
  if (mask.data == nullptr) return false;
  return mask.row_stride != 0 || mask.class_stride != 0 || number_at<std::uint8_t>(mask, 0) == 0;
}
SIGMAX_INLINE bool is_masked(const RowsCall& call, std::ptrdiff_t row, std::ptrdiff_t c) {
  return number_at<std::uint8_t>(call[kMask], row, c) == 0;
}
SIGMAX_INLINE bool shares_weights(const RowsCall& call) {
  return call[kClassWeight].class_stride == 0 && call[kPrior].class_stride == 0 && !has_mask(call);
}
SIGMAX_INLINE bool is_smoothed(const RowsCall& call, std::ptrdiff_t row) { return number_at<double>(call[kSmoothing], row) != 0.0; }
SIGMAX_INLINE bool has_z_loss(const RowsCall& call, std::ptrdiff_t row) { return number_at<double>(call[kZLoss], row) != 0.0; }

template <class W>
struct Smoothing {
  static constexpr double kLift = 0x1p200;  // a tiny smoothing keeps its digits
  W kept, spread;                           // 1 - smoothing, kLift·smoothing/prior_total

  SIGMAX_INLINE Smoothing(Vec smoothing, Vec prior_total) {
    kept = difference<W>(splat(1.0), smoothing);
    spread = divide(wide<W>(smoothing * kLift), wide<W>(select(prior_total > 0.0, prior_total, splat(1.0))));
  }
  SIGMAX_INLINE W weight(Vec q, Vec class_weight, Vec prior) const {
    return add(multiply(multiply(kept, q), class_weight), least(class_weight, prior));
  }
  SIGMAX_INLINE W least(Vec class_weight, Vec prior) const {
    const Vec before = select(class_weight > 1.0, splat(1.0 / kLift), splat(1.0));
    return multiply(scale(multiply(spread, class_weight * before), (1.0 / kLift) / before), prior);
  }
};

// Writes a_j of the classes [begin, begin + n) of a row as planes of W, one class `step` after the other. `soft` are its soft
// labels, if it has such, `soft_step` apart.
template <class A, class T>
void write_label_weights(const RowsCall& call, std::ptrdiff_t row, std::ptrdiff_t begin, std::ptrdiff_t n, const T* soft,
                         std::ptrdiff_t soft_step, double* to, std::ptrdiff_t step, std::ptrdiff_t plane) {
  typedef typename A::W W;
  constexpr int planes = sizeof(W) / sizeof(Vec);
  const Smoothing<W> smoothing(splat(option(call, kSmoothing, row)), splat(option(call, kPriorTotal, row)));
  const std::int64_t label = soft != nullptr || call[kLabel].data == nullptr ? -1 : number_at<std::int64_t>(call[kLabel], row);
  const bool masked = has_mask(call);
  for (std::ptrdiff_t j = 0; j < n; j += kLanes) {
    double q[kLanes] = {}, class_weight[kLanes] = {}, prior[kLanes] = {}, a[planes][kLanes];
    const std::ptrdiff_t count = n - j < kLanes ? n - j : kLanes;
    for (std::ptrdiff_t k = 0; k < count; ++k) {
      const std::ptrdiff_t c = begin + j + k;
      q[k] = soft != nullptr ? soft[(j + k) * soft_step] : c == label ? 1.0 : 0.0;
      class_weight[k] = option(call, kClassWeight, row, c);
      prior[k] = masked && is_masked(call, row, c) ? 0.0 : number_at<double>(call[kPrior], row, c);
    }
    const W weights = smoothing.weight(load(q), load(class_weight), load(prior));
    std::memcpy(a, &weights, sizeof(a));
    for (int p = 0; p < planes; ++p)
      for (std::ptrdiff_t k = 0; k < count; ++k) to[p * plane + (j + k) * step] = a[p][k];
  }
}

}  // namespace
}  // namespace sigmax
