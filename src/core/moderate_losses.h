// Hard labels on moderate rows: what becomes of a row's sums.
//
// With y the label's energy, e = e^y, `total` the sum of all Boltzmann factors and `rest` that of all but the label's,
//   loss = s·w·(log total - y) + z·lse²,
//   gradient = scale/T·((s·w + 2·z·lse)·e_i/total), and of the label scale/T·(2·z·lse·e - s·w·rest)/total:
// one factor for all terms of the row, and a number for the label.
#pragma once

#include "labels.h"
#include "moderate.h"

namespace sigmax {
namespace {

// Whether a call's rows have nothing but a hard label each.
SIGMAX_INLINE bool has_hard_labels(const AxisCall& call) {
  return call.per_class.data == nullptr && is_everywhere(call.loss.smoothing, 0.0) && !has_mask(call.loss);
}

// `count` doubles of an operand.
SIGMAX_INLINE void read_numbers(const Operand& operand, std::ptrdiff_t row, std::ptrdiff_t count, double* to) {
  const char* from = block_at(operand, row).data;
  if (operand.row_stride == sizeof(double)) {
    std::memcpy(to, from, count * sizeof(double));
  } else if (operand.row_stride == 0) {
    double number = number_at<double>(operand, row);
    for (std::ptrdiff_t i = 0; i < count; ++i) to[i] = number;
  } else {
    for (std::ptrdiff_t i = 0; i < count; ++i) to[i] = number_at<double>(operand, row + i);
  }
}

// The numbers of `count` rows of at most n; the others are rows that are left out. Such a row weighs nothing, and has no
// logit.
template <int n>
struct LabelledRows {
  alignas(64) double x[n], class_weight[n], weight[n], z_loss[n], scale[n];
  std::int64_t label[n];

  template <class S>
  void read(const AxisCall& call, std::ptrdiff_t row, Block rows, std::ptrdiff_t count) {
    const LossOperands& loss = call.loss;
    read_numbers(loss.weight, row, count, weight);
    read_numbers(loss.z_loss, row, count, z_loss);
    read_numbers(loss.scale, row, count, scale);
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      label[i] = number_at<std::int64_t>(loss.label, row + i);
      std::ptrdiff_t c = label[i] < 0 ? 0 : label[i];
      S logit;
      std::memcpy(&logit, rows.at(i, c), sizeof(logit));
      x[i] = as_double(logit);
      class_weight[i] = number_at<double>(loss.class_weight, row, c);
      if (__builtin_expect(label[i] < 0, false)) leave_out(i);
    }
    for (std::ptrdiff_t i = count; i < n; ++i) leave_out(i);
  }

  void leave_out(std::ptrdiff_t i) {
    x[i] = kNaN;
    class_weight[i] = weight[i] = z_loss[i] = scale[i] = 0.0;
    label[i] = -1;
  }

  static SIGMAX_INLINE double as_double(float x) { return x; }
  static SIGMAX_INLINE double as_double(double x) { return x; }
  template <class S>
  static SIGMAX_INLINE double as_double(S x) { return load_scalar<S>(reinterpret_cast<const char*>(&x)); }
};

// Gradients whose common factor, as a pair of T, keeps its digits.
template <class T>
constexpr double kLeastFactor = sizeof(T) == sizeof(float) ? 0x1p-28 : 0x1p-128;

template <class T>
SIGMAX_INLINE Mask is_in_reach(Vec factor) {
  Vec size = abs(factor);
  return (size == 0.0) | ((size >= kLeastFactor<T>) & (size <= 1.0 / kLeastFactor<T>));
}

// The square of a logsumexp that its two parts cancel lacks the digits that sums in floats never had.
template <class T>
SIGMAX_INLINE Mask is_cancelled_loss(Vec z_loss, Vec logsumexp, Vec log_total) {
  if (sizeof(T) != sizeof(float)) return Mask{};
  return (z_loss != 0.0) & (abs(logsumexp) < 0.125 * min(log_total, opaque(1.0)));
}

template <class W>
struct HardLoss {
  Vec value, target;
  W factor;
  Mask outside;  // the row is to be computed the general way
};

// kLanes rows from `first` on.
template <class T, class W, int n>
SIGMAX_INLINE HardLoss<W> hard_loss(const LabelledRows<n>& labels, int first, Vec max, Vec temperature,
                                    const ModerateSums<W>& moderate) {
  Row<W> row;
  set_temperature(row, temperature);
  Vec x = load(labels.x + first), z = load(labels.z_loss + first);
  W others = moderate.total, log_total = log_of_sum(moderate.ties, others);
  W gap = multiply(difference<W>(max, select(x == x, x, max)), row.beta);
  W e = scale(exp_scaled(negate(gap)), splat(1.0 / kExpScale<W>));
  W rest = add(others, add(negate(e), moderate.ties));
  W in_units = reciprocal(multiply(add(others, moderate.ties), moderate.unit));
  W inverse = multiply(in_units, moderate.unit);
  W strength = multiply(wide<W>(load(labels.class_weight + first)), load(labels.weight + first));
  W logsumexp = add(log_total, multiply(row.beta, max)), pull = multiply(logsumexp, 2.0 * z);
  W gain = multiply(row.beta, load(labels.scale + first));
  HardLoss<W> loss;
  loss.value = rounded(add(multiply(strength, add(gap, log_total)), multiply(multiply(logsumexp, logsumexp), z)));
  loss.target = rounded(multiply(multiply(gain, inverse), add(multiply(pull, e), negate(multiply(strength, rest)))));
  W all = add(strength, pull);
  loss.factor = multiply(multiply(gain, all), in_units);
  loss.outside = ~is_in_reach<T>(leading(gain) * leading(all)) |
                 is_cancelled_loss<T>(z, leading(logsumexp), leading(log_total));
  return loss;
}

}  // namespace
}  // namespace sigmax
