// What a loss knows of a row besides its logits: the label, weights, smoothing and a mask.
//
// A class counts in the loss with the weight
//   a_i = class_weight_i·((1 - smoothing)·q_i + smoothing·prior_i/prior_total),
// where q is the soft label, or 1 for the class of a hard label and 0 elsewhere. So hard labels, the same labels as one-hot
// rows, and any mixture with smoothing and class weights are one thing to the kernels.
#pragma once

#include "layout.h"
#include "policy.h"

namespace sigmax {
namespace {

template <class N>
SIGMAX_INLINE N number_at(const Operand& operand, std::ptrdiff_t row, std::ptrdiff_t c = 0) {
  N number;
  std::memcpy(&number, block_at(operand, row).at(0, c), sizeof(N));
  return number;
}

// The numbers of one row. `weight`, `z_loss` and `label` are those of losses.
struct RowOptions {
  double temperature, cotangent, weight = 0.0, z_loss = 0.0;
  std::int64_t label = 0;

  bool left_out() const { return label < 0; }
};

template <class P, class S>
RowOptions options_of(const AxisCall& call, std::ptrdiff_t row) {
  RowOptions options;
  options.temperature = number_at<double>(call.temperature, row);
  options.cotangent = P::per_row && !P::labelled ? load_scalar<S>(block_at(call.per_row, row).data) : 0.0;
  if constexpr (P::labelled) {
    const LossOperands& loss = call.loss;
    options.cotangent = number_at<double>(loss.scale, row);
    options.weight = number_at<double>(loss.weight, row);
    options.z_loss = number_at<double>(loss.z_loss, row);
    options.label = number_at<std::int64_t>(loss.label, row);
  }
  return options;
}

// A number that all rows and classes share is a stride of 0.
SIGMAX_INLINE bool is_everywhere(const Operand& operand, double number) {
  return operand.row_stride == 0 && operand.class_stride == 0 && number_at<double>(operand, 0) == number;
}
SIGMAX_INLINE bool has_mask(const LossOperands& loss) {
  return loss.mask.row_stride != 0 || loss.mask.class_stride != 0 || number_at<std::uint8_t>(loss.mask, 0) == 0;
}
SIGMAX_INLINE bool is_masked(const LossOperands& loss, std::ptrdiff_t row, std::ptrdiff_t c) {
  return number_at<std::uint8_t>(loss.mask, row, c) == 0;
}

// kLanes doubles of a row's operand, one after the other or all the same; fewer where the row ends.
SIGMAX_INLINE Vec load_doubles(const Operand& operand, std::ptrdiff_t row, std::ptrdiff_t c, std::ptrdiff_t count) {
  if (operand.class_stride == 0) return splat(number_at<double>(operand, row));
  if (count == kLanes && operand.class_stride == sizeof(double))
    return load_vector<Vec>(block_at(operand, row).at(0, c));
  double numbers[kLanes] = {};
  for (std::ptrdiff_t k = 0; k < count; ++k) numbers[k] = number_at<double>(operand, row, c + k);
  return load(numbers);
}

// 0, 1, 2, ...
SIGMAX_INLINE Vec first_integers() {
  double lanes[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = lane;
  return load(lanes);
}
// -1 in the first `count` lanes, or where the classes are not masked; 1 in one lane.
SIGMAX_INLINE Mask lanes_below(std::ptrdiff_t count) { return first_integers() < static_cast<double>(count); }
SIGMAX_INLINE Mask unmasked(const LossOperands& loss, std::ptrdiff_t row, std::ptrdiff_t c, std::ptrdiff_t count) {
  double lanes[kLanes] = {};
  for (std::ptrdiff_t k = 0; k < count; ++k) lanes[k] = is_masked(loss, row, c + k) ? 0.0 : 1.0;
  return load(lanes) != 0.0;
}
SIGMAX_INLINE Vec one_at(std::ptrdiff_t lane) {
  double lanes[kLanes] = {};
  lanes[lane] = 1.0;
  return load(lanes);
}

template <class T>
SIGMAX_INLINE Vec load_some(const T* from, std::ptrdiff_t count) {
  if (count == kLanes) return load(from);
  T numbers[kLanes] = {};
  std::memcpy(numbers, from, count * sizeof(T));
  return load(numbers);
}

// What the weights of a row's classes have in common.
template <class W>
struct Smoothing {
  W kept, spread;  // 1 - smoothing, smoothing/prior_total

  Smoothing(const LossOperands& loss, std::ptrdiff_t row) : Smoothing(loss, splat(number_at<double>(loss.prior_total, row))) {}
  Smoothing(const LossOperands& loss, Vec prior_total) {
    Vec smoothing = splat(number_at<double>(loss.smoothing, 0));
    kept = difference<W>(splat(1.0), smoothing);
    spread = divide(wide<W>(smoothing), wide<W>(select(prior_total > 0.0, prior_total, splat(1.0))));
  }
  SIGMAX_INLINE W weight(Vec class_weight, Vec q, Vec prior) const {
    return multiply(add(multiply(kept, q), multiply(spread, prior)), class_weight);
  }
};

// Whether all classes of a row have one weight and prior, and none is masked.
SIGMAX_INLINE bool shares_weights(const LossOperands& loss) {
  return loss.class_weight.class_stride == 0 && loss.prior.class_stride == 0 && !has_mask(loss);
}

// a_i of such a row, slope·q_i + least, where they are needed: from its soft labels or the hard one. Of a block of classes.
template <class T, bool soft>
struct SharedWeights {
  Vec slope, least, of_label;
  const T* q;
  double label, n;  // counted from the block's first class

  SharedWeights(const AxisCall& call, std::ptrdiff_t row, const T* q)
      : q(q), label(number_at<std::int64_t>(call.loss.label, row)), n(call.classes) {
    Smoothing<Vec> smoothing(call.loss, row);
    Vec class_weight = splat(number_at<double>(call.loss.class_weight, row));
    slope = smoothing.kept * class_weight;
    least = smoothing.spread * number_at<double>(call.loss.prior, row) * class_weight;
    of_label = slope + least;
  }

  // That of the block from class c on.
  SIGMAX_INLINE SharedWeights from(std::ptrdiff_t c) const {
    SharedWeights block = *this;
    if (soft) block.q += c;
    block.label -= c;
    block.n -= c;
    return block;
  }
  SIGMAX_INLINE Vec vector(int k) const {
    Vec index = first_integers() + k * kLanes;
    Vec a = soft ? mul_add(slope, load(q + k * kLanes), least) : select(index == label, of_label, least);
    return __builtin_expect(n < kVirtualLanes, false) ? only_where(index < n, a) : a;
  }
};

// a_i of the classes [begin, begin + n) of a row, and 0 up to a whole number of blocks; `soft` points to the first of its soft
// labels, if it has such.
template <class W, class T>
class ClassWeights {
 public:
  ClassWeights(const AxisCall& call, std::ptrdiff_t row, const T* soft, std::ptrdiff_t begin, std::ptrdiff_t n)
      : loss_(call.loss), smoothing_(call.loss, row), soft_(soft), row_(row), begin_(begin), n_(n) {
    label_ = soft ? -1 : number_at<std::int64_t>(loss_.label, row) - begin;
    masked_ = has_mask(loss_);
    same_ = shares_weights(loss_);
  }

  void write(double* to) const {
    constexpr int wide = sizeof(W) / sizeof(Vec);
    std::ptrdiff_t i = same_ ? write_same(to) : 0;
    for (; i < n_; i += kLanes) store_wide(to + i * wide, at(i));
    for (; i % kVirtualLanes != 0; i += kLanes) store_wide(to + i * wide, W{});
    if (same_ && label_ >= 0 && label_ < n_) {
      std::ptrdiff_t vector = label_ / kLanes * kLanes;
      store_wide(to + vector * wide, at(vector));
    }
  }

 private:
  // The whole vectors of classes that have one weight and prior; returns where they end.
  std::ptrdiff_t write_same(double* to) const {
    constexpr int wide = sizeof(W) / sizeof(Vec);
    const Vec class_weight = splat(number_at<double>(loss_.class_weight, row_));
    const Vec prior = splat(number_at<double>(loss_.prior, row_));
    const Smoothing<W> smoothing = smoothing_;
    const W without_label = smoothing.weight(class_weight, Vec{}, prior);
    std::ptrdiff_t i = 0;
    if (soft_)
      for (; i + kLanes <= n_; i += kLanes)
        store_wide(to + i * wide, smoothing.weight(class_weight, load(soft_ + i), prior));
    else
      for (; i + kLanes <= n_; i += kLanes) store_wide(to + i * wide, without_label);
    return i;
  }

  SIGMAX_INLINE W at(std::ptrdiff_t i) const {
    std::ptrdiff_t count = n_ - i < kLanes ? n_ - i : kLanes;
    Vec prior = load_doubles(loss_.prior, row_, begin_ + i, count), q = soft_ ? load_some(soft_ + i, count) : Vec{};
    if (masked_) prior = only_where(unmasked(loss_, row_, begin_ + i, count), prior);
    if (label_ >= i && label_ < i + kLanes) q = one_at(label_ - i);
    W a = smoothing_.weight(load_doubles(loss_.class_weight, row_, begin_ + i, count), q, prior);
    return keep(lanes_below(count), a);
  }

  const LossOperands& loss_;
  const Smoothing<W> smoothing_;
  const T* soft_;
  const std::ptrdiff_t row_, begin_, n_;
  std::ptrdiff_t label_;  // counted from `begin`
  bool masked_, same_;
};

template <class W>
SIGMAX_INLINE W pair_or_leading(double hi, double lo);
template <>
SIGMAX_INLINE Vec pair_or_leading<Vec>(double hi, double) { return splat(hi); }
template <>
SIGMAX_INLINE Pair pair_or_leading<Pair>(double hi, double lo) { return {splat(hi), splat(lo)}; }

// That of one class.
template <class W>
SIGMAX_INLINE W weight_at(const double* weights, std::ptrdiff_t c) {
  constexpr int wide = sizeof(W) / sizeof(Vec);
  const double* at = weights + c / kLanes * kLanes * wide + c % kLanes;
  return pair_or_leading<W>(at[0], at[(wide - 1) * kLanes]);
}

// Masked classes get no logit, and no gradient. Returns `to`, which may be x.
template <class T>
const T* copy_masked(const AxisCall& call, std::ptrdiff_t row, const T* x, std::ptrdiff_t begin, std::ptrdiff_t n, T* to) {
  for (std::ptrdiff_t i = 0; i < n; ++i)
    to[i] = is_masked(call.loss, row, begin + i) ? static_cast<T>(-kInfinity) : x[i];
  return to;
}
template <class S>
void clear_masked(const AxisCall& call, std::ptrdiff_t row, Block out, std::ptrdiff_t begin, std::ptrdiff_t n) {
  for (std::ptrdiff_t i = 0; i < n; ++i)
    if (is_masked(call.loss, row, begin + i)) std::memset(out.at(0, i), 0, sizeof(S));
}

}  // namespace
}  // namespace sigmax
