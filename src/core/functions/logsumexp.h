// logsumexp: m/T + log Σ e, or of Σ w·e; and its derivatives.
#pragma once

#include "log_softmax.h"

namespace sigmax {
namespace {

// m/T + log, rounded once; infinite where m is, or the product overflows.
template <class W>
SIGMAX_INLINE Vec with_largest(W log, const Energy<W>& energy, Vec top) {
  const Vec product = energy.max * leading(energy.beta);
  const Vec sum = rounded(add(log, multiply(energy.beta, energy.max)));
  return select(abs(top) == kInfinity, top + leading(log), select(abs(product) == kInfinity, product, sum));
}

template <class W>
struct Logsumexp : ApartProgram<W> {
  typedef W Wide;
  typedef W Term;
  static constexpr double empty = -kInfinity;
  static constexpr bool per_class = false, has_result = true;
  struct Row {
    Energy<W> energy;
    Vec top;
    W log;
  };
  typedef typename ApartProgram<W>::First First;
  typedef typename ApartProgram<W>::Apart Apart;
  struct Sums {
    First first;
    Apart apart;
  };

  static SIGMAX_INLINE Row begin(const Options& o) { return {Energy<W>(o.largest, o), o.top, W{}}; }
  static SIGMAX_INLINE W term(Vec x, Vec, const Row& row) { return row.energy.precise_factor(x); }
  static SIGMAX_INLINE void collect(First& sums, Vec, Vec, W e, const Row&) { accumulate(sums.total, e); }
  static SIGMAX_INLINE void collect(Apart& sums, Vec x, Vec, W e, const Row& row) { sums.e.add(x == row.energy.max, e); }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) { row.log = sums.apart.e.log(); }
  static SIGMAX_INLINE Vec result(const Row& row) { return with_largest(row.log, row.energy, row.top); }
};

// n·ln 2 for an integer n.
SIGMAX_INLINE Vec times_ln2(Vec n, Vec) { return n * (kLn2Hi + kLn2Lo); }
SIGMAX_INLINE Pair times_ln2(Vec n, Pair) { return {n * kLn2Hi, n * kLn2Lo}; }

// A weight in two parts, of which one is 0: large ones are taken times a power of two, so that no product overflows.
struct SplitWeight {
  static constexpr double kLarge = 0x1p400, kUnit = 0x1p-600, kUnitExponent = 600.0;
  Vec small, large;

  explicit SIGMAX_INLINE SplitWeight(Vec weight) {
    const Mask is_large = abs(weight) > kLarge;
    small = only_where(~is_large, weight);
    large = only_where(is_large, weight * kUnit);
  }
};

// Σ w·e from sums of both parts, which are times `scale`.
template <class W>
SIGMAX_INLINE Scaled<W> weighted_total(W small, W large, double scale) {
  const Scaled<W> unit(wide<W>(splat(1.0 / scale)));
  return (Scaled<W>(small) + Scaled<W>(large) * Scaled<W>(wide<W>(splat(1.0 / SplitWeight::kUnit)))) * unit;
}

// Weights of 0 take a class out, a negative sum has no logarithm.
template <class W>
struct LogsumexpWeighted : Logsumexp<W> {
  static constexpr Second second = Second::kWeights;
  static constexpr bool is_apart = false;
  struct Row {
    Energy<W> energy;
    Vec top;
    W log;
  };
  struct Sums {
    ApartSums<W> small, large;
  };

  static SIGMAX_INLINE Row begin(const Options& o) { return {Energy<W>(o.largest, o), o.top, W{}}; }
  static SIGMAX_INLINE W term(Vec x, Vec, const Row& row) { return row.energy.precise_factor(x); }
  static SIGMAX_INLINE void collect(Sums& sums, Vec x, Vec c, W e, const Row& row) {
    const SplitWeight weight(c);
    const Mask tie = x == row.energy.max;
    sums.small.add(tie, multiply(e, weight.small), weight.small);
    sums.large.add(tie, multiply(e, weight.large), weight.large);
  }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) {
    const Scaled<W> total = weighted_total(sums.small.ties, sums.large.ties, 1.0) + weighted_total(sums.small.others, sums.large.others, kExpScale<W>);
    const Mask plain = (leading(sums.large.ties) == 0.0) & (leading(sums.large.others) == 0.0) & (leading(sums.small.ties) > 0x1p-400);
    const Vec sum = leading(total.number);
    const Scaled<W> one_to_two(total.number);
    const W far_log = add(log_of_sum(leading(one_to_two.number), wide<W>(trailing(one_to_two.number))), times_ln2(one_to_two.exponent + total.exponent, W{}));
    const Vec special = select(sum == 0.0, splat(-kInfinity), select(sum > 0.0, sum, splat(kNaN)));
    row.log = choose((sum > 0.0) & (sum < kInfinity), choose(plain, sums.small.log(), far_log), wide<W>(special));
  }
  static SIGMAX_INLINE Vec result(const Row& row) {
    return select(abs(leading(row.log)) == kInfinity, leading(row.log), with_largest(row.log, row.energy, row.top));
  }
};

// The derivative by the logits: c·p_i/T.
template <class W>
struct LogsumexpVjp : Program {
  typedef W Wide;
  typedef W Term;
  struct Row {
    Energy<W> energy;
    Gain<W> gain;
    Vec cotangent;
    W factor;
  };
  struct Sums {
    W total;
  };

  static SIGMAX_INLINE Row begin(const Options& o) {
    Row row;
    row.energy = Energy<W>(o.largest, o);
    row.cotangent = o.cotangent;
    return row;
  }
  static SIGMAX_INLINE W term(Vec x, Vec, const Row& row) { return row.energy.factor(x); }
  static SIGMAX_INLINE void collect(Sums& sums, Vec, Vec, W e, const Row&) { accumulate(sums.total, e); }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) {
    set_factor(row, Scaled<W>(reciprocal(scale(sums.total, splat(1.0 / kExpScale<W>)))));
  }
  // The exponent of the factor.
  static SIGMAX_INLINE Vec set_factor(Row& row, const Scaled<W>& inverse) {
    const Scaled<W> factor = inverse * Scaled<W>(row.energy.beta) * Scaled<W>(wide<W>(row.cotangent));
    row.gain = Gain<W>(factor.exponent);
    row.factor = row.gain.factor(factor, factor.exponent);
    return factor.exponent;
  }
  static SIGMAX_INLINE Vec output(Vec, Vec, W e, const Row& row) { return row.gain.rounded(multiply(e, row.factor)); }
  static SIGMAX_INLINE Vec health(const Row& row) { return leading(row.factor); }
};

// c·w_i·e_i/(T·Σ w·e).
template <class W>
struct LogsumexpWeightedVjp : LogsumexpVjp<W> {
  static constexpr Second second = Second::kWeights;
  struct Row : LogsumexpVjp<W>::Row {
    Gain<W> large_gain;
  };
  struct Sums {
    W small, large;
  };

  static SIGMAX_INLINE Row begin(const Options& o) { return {LogsumexpVjp<W>::begin(o), Gain<W>()}; }

  static SIGMAX_INLINE void collect(Sums& sums, Vec, Vec c, W e, const Row&) {
    const SplitWeight weight(c);
    accumulate(sums.small, multiply(e, weight.small));
    accumulate(sums.large, multiply(e, weight.large));
  }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) {
    Scaled<W> total = weighted_total(sums.small, sums.large, kExpScale<W>);
    total.number = choose(leading(total.number) > 0.0, total.number, wide<W>(splat(kNaN)));
    const Vec exponent = LogsumexpVjp<W>::set_factor(row, reciprocal(total));
    row.large_gain = Gain<W>(exponent + SplitWeight::kUnitExponent);
  }
  static SIGMAX_INLINE Vec output(Vec, Vec c, W e, const Row& row) {
    const SplitWeight weight(c);
    const Mask is_large = weight.large != 0.0;
    const W product = multiply(multiply(e, select(is_large, weight.large, weight.small)), row.factor);
    return select(is_large, row.large_gain.rounded(product), row.gain.rounded(product));
  }
};

}  // namespace
}  // namespace sigmax
