// Cross-entropy, its gradient and the mass of labels, as policies for the kernels of axis_kernels.h.
//
// With the class weights a_i of labels.h, A = Σ a, and energies y_i = (x_i - m)/T <= 0 (normalization.h), a row's loss is
//   s·Σ a_i·(-log p_i) + z·lse² = s·(Σ a_i·(-y_i) + A·log Σ e^y) + z·lse²,   lse = m/T + log Σ e^y:
// terms of one sign, so that nothing of a confident row is lost. Its gradient is
//   scale/T·(s·(A·p_i - a_i) + 2·z·lse·p_i).
#pragma once

#include "normalization.h"

namespace sigmax {
namespace {

struct LossPolicy : CancellingPolicy {
  static constexpr bool per_class = true, labelled = true, weighs_classes = true;
};

// a·log a, which a divergence adds to the cross-entropy.
template <class W>
SIGMAX_INLINE W information(W a) {
  return keep(leading(a) > 0.0, multiply(log_probability<W>(leading(a)), a));
}

// With `relative`, of soft labels alone: s·Σ q_i·(log q_i - log p_i), the divergence of the labels from the row.
template <bool with_gradient, bool relative = false>
struct CrossEntropyPolicy : LossPolicy {
  static constexpr bool per_row = with_gradient, reduces = !with_gradient, keeps_terms = with_gradient;
  static constexpr LaneTerms lane_terms = relative ? LaneTerms::kNone : LaneTerms::kApart;

  template <class W>
  static SIGMAX_INLINE void accumulate(Sums<W>& sums, Vec x, W a, W e, const Row<W>& row) {
    Mask tie = x == row.max;
    accumulate_unless(tie, sums.total, e);
    accumulate_unless(tie, sums.other_cotangent, a);
    add_moment(sums, leading(a) != 0.0, x, a, row);
    accumulate_where(tie, sums.ties, wide<W>(splat(1.0)));
    accumulate_where(tie, sums.tied_cotangent, a);
    if (relative) sigmax::accumulate(sums.information, information(a));
  }
  // Σ a·(m - x). That of a Pair keeps to finite numbers: infinity would become NaN.
  static SIGMAX_INLINE void add_moment(Sums<Vec>& sums, Mask counts, Vec x, Vec a, const Row<Vec>& row) {
    sums.moment = select(counts, mul_add(x - row.max, -a, sums.moment), sums.moment);
  }
  static SIGMAX_INLINE void add_moment(Sums<Pair>& sums, Mask counts, Vec x, Pair a, const Row<Pair>& row) {
    Mask possible = x > -kInfinity;
    sigmax::accumulate(sums.moment, keep(counts & possible, multiply(difference<Pair>(row.max, x), a)));
    sigmax::accumulate(sums.impossible, wide<Pair>(only_where(counts & ~possible, splat(1.0))));
  }

  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    constexpr double s = kExpScale<W>;
    row.log_total = log_of_total(sums);
    row.tied_cotangent = sums.tied_cotangent;
    row.other_cotangent = sums.other_cotangent;
    W mass = add(row.tied_cotangent, row.other_cotangent);
    row.logsumexp = add(row.log_total, multiply(row.beta, row.max));
    W likelihood = add(multiply(sums.moment, row.beta), multiply(mass, row.log_total));
    if (relative) likelihood = add(likelihood, sums.information);
    Mask counts = row.weight != 0.0;  // 0 times infinity is 0
    likelihood = keep(counts, multiply(likelihood, row.weight));
    Vec value = rounded(add(likelihood, multiply(multiply(row.logsumexp, row.logsumexp), row.z_loss)));
    Mask infinite = (leading(sums.impossible) > 0.0) | (value != value);
    row.value = select(infinite & counts, row.weight * kInfinity, value);
    if constexpr (with_gradient) {
      row.inverse = reciprocal(add(scale(sums.total, splat(1.0 / s)), leading(sums.ties)));
      row.others = add(sums.total, (leading(sums.ties) - 1.0) * s);
      row.pull = multiply(row.logsumexp, 2.0 * row.z_loss);
      row.strength = add(multiply(mass, row.weight), row.pull);
      set_factors(row);
    }
  }

  // For a tie p_i = 1/Σe, and (A·p_i - a_i)·Σe = (A - a_i) - a_i·others, with the sum of the other weights not by a
  // difference: those of a confident label may be tiny. What all classes share is a factor, and stays finite: 0 times it is 0.
  static SIGMAX_INLINE void set_factors(Row<Vec>& row) {
    Vec share = row.inverse * row.gain;
    row.factor = finite(share * row.strength);
    row.own_factor = finite(row.weight * row.gain);
    row.tie_factor = finite(row.weight * share);
    row.tie_own_factor = finite(row.others * row.weight * share);
    row.tie_pull = finite(row.pull * share);
  }
  static SIGMAX_INLINE void set_factors(Row<Pair>&) {}
  static SIGMAX_INLINE Vec finite(Vec x) { return min(opaque(kLargest<double>), max(opaque(-kLargest<double>), x)); }

  template <class W>
  static SIGMAX_INLINE Vec apply(Vec x, W a, W e, const Row<W>& row) {
    return gradient(x == row.max, a, e, row);
  }
  static SIGMAX_INLINE Vec gradient(Mask tie, Vec a, Vec e, const Row<Vec>& row) {
    Vec of_others = (row.tied_cotangent - a) + row.other_cotangent;
    Vec of_tie = mul_add(of_others, row.tie_factor, mul_add(a, -row.tie_own_factor, row.tie_pull));
    return one_nan(select(tie, of_tie, mul_add(e, row.factor, -(a * row.own_factor))));
  }
  static SIGMAX_INLINE Vec gradient(Mask tie, Pair a, Pair e, const Row<Pair>& row) {
    Vec unscale = splat(kExpScale<Pair>);
    Pair of_others = multiply(add(add(row.tied_cotangent, negate(a)), row.other_cotangent), row.weight);
    Pair own = multiply(a, row.weight);
    Pair of_tie = add(scale(add(of_others, row.pull), unscale), negate(multiply(row.others, own)));
    Pair of_other = add(multiply(multiply(e, row.inverse), row.strength), negate(scale(own, unscale)));
    return descaled(multiply(choose(tie, multiply(of_tie, row.inverse), of_other), row.gain), row);
  }
};

// Probabilities as they are given: s·Σ a_i·(-log p_i), and -scale·s·a_i/p_i.
template <bool with_gradient, bool relative = false>
struct CrossEntropyOfProbabilitiesPolicy : LossPolicy {
  static constexpr bool of_probabilities = true, keeps_terms = false;
  static constexpr bool per_row = with_gradient, reduces = !with_gradient;
  static constexpr double padding = 0.0;

  template <class W>
  static SIGMAX_INLINE W term(Vec p, const Row<W>&) {
    return keep(p > 0.0, negate(log_probability<W>(p)));
  }
  template <class W>
  static SIGMAX_INLINE void accumulate(Sums<W>& sums, Vec p, W a, W information_of_p, const Row<W>&) {
    sigmax::accumulate(sums.moment, multiply(information_of_p, a));
    if (relative) sigmax::accumulate(sums.information, information(a));
    sigmax::accumulate(sums.impossible, wide<W>(only_where((leading(a) != 0.0) & (p == 0.0), splat(1.0))));
  }
  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    Vec value = rounded(multiply(relative ? add(sums.moment, sums.information) : sums.moment, row.weight));
    Mask infinite = (leading(sums.impossible) > 0.0) & (row.weight != 0.0);
    row.value = select(infinite, row.weight * kInfinity, value);
  }
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec p, W a, W, const Row<W>& row) {
    Vec unscale = splat(kExpScale<W> == 1.0 ? 1.0 : 0x1p256), lift = select(p < kTiny, splat(kLift), splat(1.0));
    W quotient = multiply(divide(multiply(a, -row.weight), wide<W>(lifted(p))), row.gain);
    Vec result = rounded(quotient) * (kExpScale<W> == 1.0 ? splat(1.0) : row.power1 * unscale * (row.power2 * unscale));
    Vec own = leading(a) * row.weight;
    Vec at_zero = select(own == 0.0, splat(0.0), -own * leading(row.gain) * kInfinity);
    return one_nan(select(p == 0.0, at_zero, result * lift));
  }
};

template <bool with_gradient>
using RelativeEntropyPolicy = CrossEntropyPolicy<with_gradient, true>;
template <bool with_gradient>
using RelativeEntropyOfProbabilitiesPolicy = CrossEntropyOfProbabilitiesPolicy<with_gradient, true>;

// Σ a_i·q_i of a row q of labels; NaN where a number is none.
struct MassPolicy : LossPolicy {
  static constexpr bool of_probabilities = true, reduces = true, keeps_terms = false, needs_largest = false;
  static constexpr double padding = 0.0;

  template <class W>
  static SIGMAX_INLINE W term(Vec, const Row<W>&) {
    return W{};
  }
  template <class W>
  static SIGMAX_INLINE void accumulate(Sums<W>& sums, Vec q, W a, W, const Row<W>&) {
    accumulate_product(sums.mass, a, q);
    accumulate_unless((q >= 0.0) & (q <= 1.0), sums.impossible, wide<W>(splat(1.0)));
  }
  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    row.value = select(leading(sums.impossible) == 0.0, rounded(sums.mass), splat(kNaN));
  }
};

}  // namespace
}  // namespace sigmax
