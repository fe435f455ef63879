// The axis functions as policies for the kernels of axis_kernels.h.
//
// Throughout, m is the row's largest logit, y_i = (x_i - m)/T <= 0 its energy and e_i = e^y_i its Boltzmann
// factor: the classes with x_i = m (the ties, usually one winner) have e_i = 1 exactly. Sums that keep the ties
// apart from the others lose nothing of a confident row: log(sum) is log(ties + others) with `others` down to
// 1e-300 beside 1.
#pragma once

#include "policy.h"

namespace sigmax {
namespace {

// ---------------------------------------------------------------- terms

SIGMAX_INLINE Vec energy(Vec x, const Row<Vec>& row) { return (x - row.max) * row.beta; }
SIGMAX_INLINE Pair energy(Vec x, const Row<Pair>& row) {
  return multiply(difference<Pair>(x, row.max), row.beta);
}

// The energy, no lower than where e^y counts as 0.
SIGMAX_INLINE Vec bounded_energy(Vec x, const Row<Vec>& row) { return max(row.lowest, x - row.max) * row.beta; }
SIGMAX_INLINE Pair bounded_energy(Vec x, const Row<Pair>& row) { return at_least_floor(energy(x, row)); }

// e^y with a relative error of 2^-34 (Vec), which is 0.0005 ULP of float32, ...
SIGMAX_INLINE Vec boltzmann(Vec x, const Row<Vec>& row) {
  return exp2_of_product(max(row.lowest, x - row.max), row.beta_log2e, kExp2Narrow);
}
SIGMAX_INLINE Pair boltzmann(Vec x, const Row<Pair>& row) { return exp_scaled(energy(x, row)); }

// ... and of 2^-46, for sums that may cancel.
SIGMAX_INLINE Vec boltzmann_precise(Vec x, const Row<Vec>& row) {
  return exp2_of_product(max(row.lowest, x - row.max), row.beta_log2e, kExp2);
}
SIGMAX_INLINE Pair boltzmann_precise(Vec x, const Row<Pair>& row) { return boltzmann(x, row); }

// What every policy has, unless it says otherwise.
struct AxisPolicy {
  static constexpr bool per_class = false;  // has a second number per class
  static constexpr bool per_row = false;    // has a cotangent per row
  static constexpr bool weighted = false;   // that number is a weight: 0 takes the class out of the row
  static constexpr bool pivoted = false;    // uses the winner's second number
  static constexpr bool reduces = false;    // one output per row, else one per class
  static constexpr bool keeps_terms = true;
  static constexpr bool needs_largest = true;
  static constexpr bool infinite_at_infinity = false;
  static constexpr bool labelled = false;        // a loss: it has the operands of labels.h
  static constexpr bool weighs_classes = false;  // its second numbers are the weights of classes
  static constexpr bool of_two_rows = false;     // or a second row of logits, of which it needs the largest
  static constexpr bool has_target = false;      // and beside these a label, whose class has a gradient of its own
  static constexpr bool of_probabilities = false;
  static constexpr LaneTerms lane_terms = LaneTerms::kNone;
  static constexpr double padding = -kInfinity;  // a class that adds nothing
  static constexpr double masked = 0.0;          // the output of a row in which everything is masked

  template <class W>
  using Term = W;
  static constexpr int kept_numbers = 1;  // of a term

  template <class W>
  static SIGMAX_INLINE W term(Vec x, const Row<W>& row) {
    return boltzmann(x, row);
  }
  template <class W>
  static SIGMAX_INLINE void store_term(double* to, W term) {
    store_wide(to, term);
  }
  template <class W>
  static SIGMAX_INLINE W load_term(const double* from) {
    return load_wide<W>(from);
  }
};

// A policy that takes differences of its sums, and needs the terms' digits for it.
struct CancellingPolicy : AxisPolicy {
  template <class W>
  static SIGMAX_INLINE W term(Vec x, const Row<W>& row) {
    return boltzmann_precise(x, row);
  }
};

// ---------------------------------------------------------------- functions of logits

// p_i = e_i / Σ e.
struct SoftmaxPolicy : AxisPolicy {
  static constexpr LaneTerms lane_terms = LaneTerms::kAll;

  template <class W>
  static SIGMAX_INLINE void accumulate(Sums<W>& sums, Vec, Vec, W e, const Row<W>&) {
    sigmax::accumulate(sums.total, e);
  }
  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    row.inverse = reciprocal(sums.total);
  }
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec, Vec, W e, const Row<W>& row) {
    return rounded_product(e, row.inverse);
  }
};

// Σ e with the ties apart. `weight` is 1 or the class's weight.
template <class W>
SIGMAX_INLINE void accumulate_apart(Sums<W>& sums, Mask tie, W e, Vec weight) {
  accumulate(sums.ties, wide<W>(only_where(tie, weight)));
  accumulate(sums.total, keep(~tie, e));
}

template <class W>
SIGMAX_INLINE W log_of_total(const Sums<W>& sums) {
  W others = scale(sums.total, splat(1.0 / kExpScale<W>));
  return log_of_sum(leading(sums.ties), add(others, trailing(sums.ties)));
}

// log p_i = y_i - log Σ e: two negative numbers, nothing cancels.
struct LogSoftmaxPolicy : AxisPolicy {
  static constexpr LaneTerms lane_terms = LaneTerms::kApart;
  static constexpr double masked = -kInfinity;
  static constexpr bool keeps_terms = false;

  template <class W>
  static SIGMAX_INLINE void accumulate(Sums<W>& sums, Vec x, Vec, W e, const Row<W>& row) {
    accumulate_apart(sums, x == row.max, e, splat(1.0));
  }
  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    row.log_total = negate(log_of_total(sums));
  }
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec x, Vec, W, const Row<W>& row) {
    W y = energy(x, row);
    return select(leading(y) > -kInfinity, rounded(add(y, row.log_total)), leading(y));
  }
};

// m/T + log Σ e.
struct LogsumexpPolicy : LogSoftmaxPolicy {
  static constexpr bool reduces = true, infinite_at_infinity = true;

  template <class W>
  static SIGMAX_INLINE W term(Vec x, const Row<W>& row) {
    return boltzmann_precise(x, row);
  }

  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    row.log_total = log_of_total(sums);
  }
  template <class W>
  static SIGMAX_INLINE Vec result(const Row<W>& row) {
    return rounded(add(row.log_total, multiply(row.beta, row.max)));
  }
};

// m/T + log Σ w·e; weights of 0 take a class out, a negative sum has no logarithm.
struct LogsumexpWeightedPolicy : LogsumexpPolicy {
  static constexpr LaneTerms lane_terms = LaneTerms::kNone;
  static constexpr bool per_class = true, weighted = true;

  template <class W>
  static SIGMAX_INLINE void accumulate(Sums<W>& sums, Vec x, Vec weight, W e, const Row<W>& row) {
    accumulate_apart(sums, x == row.max, multiply(e, weight), weight);
  }
  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    Vec total = rounded(add(sums.total, scale(sums.ties, splat(kExpScale<W>))));
    W log_total = log_of_total(sums);
    Vec special = select(total == 0.0, splat(-kInfinity), select(total > 0.0, total, splat(kNaN)));
    row.log_total = choose((total > 0.0) & (total < kInfinity), log_total, wide<W>(special));
  }
  template <class W>
  static SIGMAX_INLINE Vec result(const Row<W>& row) {
    Vec finite = LogsumexpPolicy::result(row);
    return select(abs(leading(row.log_total)) < kInfinity, finite, leading(row.log_total));
  }
};

// log Σ e - Σ e·y / Σ e: two positive numbers.
struct EntropyPolicy : LogSoftmaxPolicy {
  static constexpr LaneTerms lane_terms = LaneTerms::kNone;
  static constexpr bool reduces = true;
  static constexpr double masked = 0.0;

  template <class W>
  static SIGMAX_INLINE void accumulate(Sums<W>& sums, Vec x, Vec, W e, const Row<W>& row) {
    accumulate_apart(sums, x == row.max, e, splat(1.0));
    sigmax::accumulate(sums.moment, multiply(e, bounded_energy(x, row)));
  }
  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    row.log_total = log_of_total(sums);
    row.inverse = reciprocal(add(sums.total, scale(sums.ties, splat(kExpScale<W>))));
    row.mean = multiply(sums.moment, row.inverse);
  }
  template <class W>
  static SIGMAX_INLINE Vec result(const Row<W>& row) {
    return rounded(add(row.log_total, negate(row.mean)));
  }
};

// ---------------------------------------------------------------- their vector-Jacobian products

// In float64 a p_i comes times kExpScale, and so does the number it is multiplied with; half of each scale goes
// before the product, the rest with `descaled`.
template <class W>
constexpr double kHalfScale = 1.0;
template <>
constexpr double kHalfScale<Pair> = 0x1p-256;

template <class W>
SIGMAX_INLINE W scaled_product(W p, W deviation) {
  return multiply(scale(p, splat(kHalfScale<W>)), scale(deviation, splat(kHalfScale<W>)));
}

// p_i·((c_i - c_w) - Σ p_j·(c_j - c_w))/T: measured from the winner's cotangent c_w, the winner's own gradient
// is the sum of the others and keeps its digits however confident the row.
struct SoftmaxVjpPolicy : CancellingPolicy {
  static constexpr bool per_class = true, pivoted = true;

  template <class W>
  static SIGMAX_INLINE W from_winner(Vec c, const Row<W>& row) {
    return difference<W>(c * row.unit, row.pivot);
  }
  template <class W>
  static SIGMAX_INLINE void accumulate(Sums<W>& sums, Vec, Vec c, W e, const Row<W>& row) {
    sigmax::accumulate(sums.total, e);
    sigmax::accumulate(sums.moment, multiply(e, from_winner(c, row)));
  }
  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    row.inverse = reciprocal(scale(sums.total, splat(1.0 / kExpScale<W>)));
    row.mean = negate(multiply(sums.moment, row.inverse));
  }
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec, Vec c, W e, const Row<W>& row) {
    W deviation = add(scale(from_winner(c, row), splat(kExpScale<W>)), row.mean);
    return descaled(multiply(scaled_product(multiply(e, row.inverse), deviation), row.gain), row);
  }
};

// (c_i - p_i·Σ c)/T. For a tie p_i = 1/Σe, and c_i·Σe - Σc = c_i·(ties - 1 + others) - (Σ c - c_i).
struct LogSoftmaxVjpPolicy : CancellingPolicy {
  static constexpr bool per_class = true;

  template <class W>
  static SIGMAX_INLINE void accumulate(Sums<W>& sums, Vec x, Vec c, W e, const Row<W>& row) {
    Mask tie = x == row.max;
    accumulate_apart(sums, tie, e, splat(1.0));
    sigmax::accumulate(sums.tied_cotangent, wide<W>(only_where(tie, c * row.unit)));
    sigmax::accumulate(sums.other_cotangent, wide<W>(only_where(~tie, c * row.unit)));
  }
  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    constexpr double s = kExpScale<W>;
    row.inverse = reciprocal(add(scale(sums.total, splat(1.0 / s)), leading(sums.ties)));
    row.others = add(sums.total, (leading(sums.ties) - 1.0) * s);
    row.tied_cotangent = sums.tied_cotangent;
    row.other_cotangent = sums.other_cotangent;
  }
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec x, Vec c, W e, const Row<W>& row) {
    Vec unit_c = c * row.unit, s = splat(kExpScale<W>);
    W rest = add(negate(row.other_cotangent), add(negate(row.tied_cotangent), unit_c));
    W of_tie = multiply(add(multiply(row.others, unit_c), scale(rest, s)), row.inverse);
    W sum = add(row.tied_cotangent, row.other_cotangent);
    W of_other = add(negate(multiply(multiply(e, row.inverse), sum)), unit_c * s);
    return descaled(multiply(choose(x == row.max, of_tie, of_other), row.gain), row);
  }
};

// c·p_i/T.
struct LogsumexpVjpPolicy : SoftmaxPolicy {
  static constexpr LaneTerms lane_terms = LaneTerms::kNone;
  static constexpr bool per_row = true;

  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    row.inverse = reciprocal(scale(sums.total, splat(1.0 / kExpScale<W>)));
  }
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec, Vec, W e, const Row<W>& row) {
    return descaled(multiply(multiply(e, row.inverse), row.gain), row);
  }
};

// c·w_i·e_i / (T·Σ w·e).
struct LogsumexpWeightedVjpPolicy : LogsumexpVjpPolicy {
  static constexpr bool per_class = true, weighted = true;

  template <class W>
  static SIGMAX_INLINE void accumulate(Sums<W>& sums, Vec, Vec weight, W e, const Row<W>&) {
    sigmax::accumulate(sums.total, multiply(e, weight));
  }
  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    LogsumexpVjpPolicy::finish(row, sums);
    row.gain = choose(rounded(sums.total) > 0.0, row.gain, wide<W>(splat(kNaN)));
  }
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec, Vec weight, W e, const Row<W>& row) {
    return descaled(multiply(multiply(multiply(e, weight), row.inverse), row.gain), row);
  }
};

// -c·p_i·(y_i - Σ p·y)/T: as softmax's, with the energies as cotangents; the winner's is 0.
struct EntropyVjpPolicy : CancellingPolicy {
  static constexpr bool per_row = true;

  template <class W>
  static SIGMAX_INLINE void accumulate(Sums<W>& sums, Vec x, Vec, W e, const Row<W>& row) {
    sigmax::accumulate(sums.total, e);
    sigmax::accumulate(sums.moment, multiply(e, bounded_energy(x, row)));
  }
  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    row.inverse = reciprocal(scale(sums.total, splat(1.0 / kExpScale<W>)));
    row.mean = multiply(sums.moment, row.inverse);
  }
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec x, Vec, W e, const Row<W>& row) {
    W deviation = add(row.mean, negate(scale(bounded_energy(x, row), splat(kExpScale<W>))));
    return descaled(multiply(scaled_product(multiply(e, row.inverse), deviation), row.gain), row);
  }
};

// ---------------------------------------------------------------- functions of probabilities

// log p for p > 0.
template <class W>
SIGMAX_INLINE W log_probability(Vec p) {
  Decomposed<W> parts = decompose<W>(as_pair(lifted(p)));
  return log_of_odds(parts.s, parts.k - select(p < kTiny, splat(kLiftExponent), splat(0.0)));
}

// 1 for a number that is no probability.
SIGMAX_INLINE Vec improper(Vec p) { return select((p >= 0.0) & (p <= 1.0), splat(0.0), splat(1.0)); }

// log(p_i/p_max), by way of log(1 + (p_i - p_max)/p_max), exact for equal probabilities.
template <class W>
SIGMAX_INLINE W log_ratio(Vec p, Vec largest) {
  Vec lift = select(largest < kTiny, splat(kLift), splat(1.0));
  W difference_ratio = divide(difference<W>(p * lift, largest * lift), wide<W>(largest * lift));
  W ratio = divide(wide<W>(p * lift), wide<W>(largest * lift));
  Mask close = p > 0.75 * largest;
  Pair near = two_sum(splat(1.0), leading(difference_ratio));
  near.lo = near.lo + trailing(difference_ratio);
  Decomposed<W> parts = decompose<W>(choose(close, near, as_pair(ratio)));
  return log_of_odds(parts.s, parts.k);
}

// The sum of the possible classes, `ties` in number, as a negative mean; NaN if a number was no probability.
template <class W>
SIGMAX_INLINE W negative_mean(const Sums<W>& sums) {
  W mean = divide(negate(sums.total), sums.ties);
  mean = choose(leading(sums.ties) > 0.0, mean, wide<W>(Vec{}));
  return choose(leading(sums.moment) == 0.0, mean, wide<W>(splat(kNaN)));
}

// log p_i less its mean over the classes that are possible; an impossible class stays at -inf.
struct InverseSoftmaxPolicy : AxisPolicy {
  static constexpr bool of_probabilities = true;
  static constexpr double padding = 0.0, masked = -kInfinity;

  template <class W>
  static SIGMAX_INLINE W term(Vec p, const Row<W>& row) {
    return keep(p > 0.0, log_ratio<W>(p, row.max));
  }
  template <class W>
  static SIGMAX_INLINE void accumulate(Sums<W>& sums, Vec p, Vec, W log, const Row<W>&) {
    sigmax::accumulate(sums.total, log);
    sigmax::accumulate(sums.ties, wide<W>(only_where(p > 0.0, splat(1.0))));
    sigmax::accumulate(sums.moment, wide<W>(improper(p)));
  }
  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    row.mean = negative_mean(sums);
  }
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec p, Vec, W log, const Row<W>& row) {
    Vec result = rounded(add(log, row.mean));
    return select((p == 0.0) & (result == result), splat(-kInfinity), result);
  }
};

// (c_i - mean c)/p_i over the possible classes, 0 for the impossible ones.
struct InverseSoftmaxVjpPolicy : AxisPolicy {
  static constexpr double padding = 0.0;
  static constexpr bool of_probabilities = true, per_class = true, keeps_terms = false;

  template <class W>
  static SIGMAX_INLINE W term(Vec, const Row<W>&) {
    return W{};
  }
  template <class W>
  static SIGMAX_INLINE void accumulate(Sums<W>& sums, Vec p, Vec c, W, const Row<W>&) {
    sigmax::accumulate(sums.total, wide<W>(only_where(p > 0.0, c)));
    sigmax::accumulate(sums.ties, wide<W>(only_where(p > 0.0, splat(1.0))));
    sigmax::accumulate(sums.moment, wide<W>(improper(p)));
  }
  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    row.mean = negative_mean(sums);
  }
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec p, Vec c, W, const Row<W>& row) {
    W deviation = scale(add(row.mean, c), select(p < kTiny, splat(kLift), splat(1.0)));
    Vec result = rounded(divide(deviation, wide<W>(lifted(p))));
    result = select(result == result, result, leading(deviation) / lifted(p));  // infinite
    return select((p == 0.0) & (leading(row.mean) == leading(row.mean)), splat(0.0), result);
  }
};

// -Σ p·log p, all terms of one sign.
struct EntropyOfProbabilitiesPolicy : AxisPolicy {
  static constexpr double padding = 0.0;
  static constexpr bool of_probabilities = true, reduces = true, keeps_terms = false;

  template <class W>
  static SIGMAX_INLINE W term(Vec p, const Row<W>&) {
    return keep(p > 0.0, multiply(negate(log_probability<W>(p)), p));
  }
  template <class W>
  static SIGMAX_INLINE void accumulate(Sums<W>& sums, Vec p, Vec, W term, const Row<W>&) {
    sigmax::accumulate(sums.total, term);
    sigmax::accumulate(sums.moment, wide<W>(improper(p)));
  }
  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    row.mean = choose(rounded(sums.moment) == 0.0, sums.total, wide<W>(splat(kNaN)));
  }
  template <class W>
  static SIGMAX_INLINE Vec result(const Row<W>& row) {
    return rounded(row.mean);
  }
};

// -c·(log p_i + 1).
struct EntropyOfProbabilitiesVjpPolicy : EntropyOfProbabilitiesPolicy {
  static constexpr bool reduces = false, per_row = true;

  template <class W>
  static SIGMAX_INLINE Vec apply(Vec p, Vec, W, const Row<W>& row) {
    Vec result = descaled(multiply(scale(add(log_probability<W>(p), splat(1.0)), splat(-kExpScale<W>)), row.gain), row);
    Vec at_zero = leading(row.gain) == 0.0 ? splat(0.0) : leading(row.gain) * kInfinity;
    result = select(p == 0.0, at_zero, result);
    return select(leading(row.mean) == leading(row.mean), result, splat(kNaN));
  }
};

}  // namespace
}  // namespace sigmax
