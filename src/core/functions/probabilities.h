// Functions of probabilities along an axis: inverse_softmax and entropy, and their derivatives.
#pragma once

#include "../rows/gain.h"
#include "log_probability.h"

namespace sigmax {
namespace {

template <class W>
struct OfProbabilities : Program {
  typedef W Wide;
  typedef W Term;
  static constexpr double absent = 0.0;
};

// log(p_i/p_max), by way of log(1 + (p_i - p_max)/p_max), exact for equal probabilities.
template <class W>
SIGMAX_INLINE W log_ratio(Vec p, Vec largest) {
  const Vec lift = select(largest < kTiny, splat(kLift), splat(1.0)), unit = largest * lift;
  const W difference_ratio = divide(difference<W>(p * lift, unit), wide<W>(unit));
  const W ratio = divide(wide<W>(lifted(p)), wide<W>(unit));
  Pair near = two_sum(splat(1.0), leading(difference_ratio));
  near.lo = near.lo + trailing(difference_ratio);
  const Decomposed<W> parts = decompose<W>(choose(p > 0.75 * largest, near, as_pair(ratio)));
  return log_of_odds(parts.s, parts.k - select((p < kTiny) & (lift == 1.0), splat(kLiftExponent), splat(0.0)));
}

template <class W>
struct PossibleSums {
  W total, possible, improper;

  // Minus the mean over the possible classes; NaN if a number was no probability.
  SIGMAX_INLINE W negative_mean() const {
    W mean = divide(negate(total), possible);
    mean = choose(leading(possible) > 0.0, mean, wide<W>(Vec{}));
    return choose(leading(improper) == 0.0, mean, wide<W>(splat(kNaN)));
  }
};

// log p_i less its mean over the classes that are possible; an impossible class stays at -inf.
template <class W>
struct InverseSoftmax : OfProbabilities<W> {
  struct Row {
    Vec largest;
    W mean;
  };
  typedef PossibleSums<W> Sums;

  static SIGMAX_INLINE Row begin(const Options& o) { return {o.largest, W{}}; }
  static SIGMAX_INLINE W term(Vec p, Vec, const Row& row) { return keep(p > 0.0, log_ratio<W>(p, row.largest)); }
  static SIGMAX_INLINE void collect(Sums& sums, Vec p, Vec, W log, const Row&) {
    accumulate(sums.total, log);
    count(sums.possible, p > 0.0);
    accumulate(sums.improper, wide<W>(improper(p)));
  }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) { row.mean = sums.negative_mean(); }
  static SIGMAX_INLINE Vec output(Vec p, Vec, W log, const Row& row) {
    const Vec result = rounded(add(log, row.mean));
    return one_nan(select((p == 0.0) & (result == result), splat(-kInfinity), result));
  }
};

// (c_i - mean c)/p_i over the possible classes, 0 for the impossible ones: as (n·c_i - Σ c)/(n·p_i), which is exact but for
// the division.
template <class W>
struct InverseSoftmaxVjp : OfProbabilities<W> {
  static constexpr Second second = Second::kNumbers;
  static constexpr int kept = 0;
  static constexpr bool needs_largest = false;
  static constexpr double kUnit = 0x1p-60;
  struct Row {
    Vec unit;  // of cotangents whose sum would overflow
    W total, possible;
  };
  struct Sums : PossibleSums<W> {
    W total_in_units;
  };

  static SIGMAX_INLINE Row begin(const Options&) { return Row(); }
  static SIGMAX_INLINE W term(Vec, Vec, const Row&) { return W{}; }
  static SIGMAX_INLINE void collect(Sums& sums, Vec p, Vec c, W, const Row&) {
    const Vec counted = only_where(p > 0.0, c);
    accumulate(sums.total, wide<W>(counted));
    accumulate(sums.total_in_units, wide<W>(counted * kUnit));
    count(sums.possible, p > 0.0);
    accumulate(sums.improper, wide<W>(improper(p)));
  }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) {
    const Mask in_units = ~(abs(leading(sums.total_in_units)) < 0x1p900);
    row.unit = select(in_units, splat(kUnit), splat(1.0));
    const W total = choose(in_units, sums.total_in_units, sums.total);
    row.total = choose(leading(sums.improper) == 0.0, total, wide<W>(splat(kNaN)));
    row.possible = sums.possible;
  }
  static SIGMAX_INLINE Vec output(Vec p, Vec c, W, const Row& row) {
    const Vec lift = select(p < kTiny, splat(kLift), splat(1.0));
    const W deviation = scale(add(multiply(row.possible, c * row.unit), negate(row.total)), lift);
    const W divisor = multiply(row.possible, lifted(p));
    Vec result = rounded(divide(deviation, divisor));
    result = select(result == result, result, leading(deviation) / leading(divisor)) * (1.0 / row.unit);  // infinite
    return one_nan(select((p == 0.0) & (leading(row.total) == leading(row.total)), splat(0.0), result));
  }
};

// -Σ p·log p, all terms of one sign.
template <class W>
struct EntropyOfProbabilities : OfProbabilities<W> {
  static constexpr bool needs_largest = false, per_class = false, has_result = true;
  static constexpr int kept = 0;
  struct Row {
    W entropy;  // times kExpScale: subnormal terms keep their digits
  };
  struct Sums {
    W total, improper;
  };

  static SIGMAX_INLINE Row begin(const Options&) { return Row(); }
  static SIGMAX_INLINE W term(Vec p, Vec, const Row&) { return keep(p > 0.0, multiply(negate(log_probability<W>(p)), p * kExpScale<W>)); }
  static SIGMAX_INLINE void collect(Sums& sums, Vec p, Vec, W term, const Row&) {
    accumulate(sums.total, term);
    accumulate(sums.improper, wide<W>(improper(p)));
  }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) {
    row.entropy = choose(rounded(sums.improper) == 0.0, sums.total, wide<W>(splat(kNaN)));
  }
  static SIGMAX_INLINE Vec result(const Row& row) { return rounded(row.entropy) * (1.0 / kExpScale<W>); }
};

// -c·(log p_i + 1).
template <class W>
struct EntropyOfProbabilitiesVjp : OfProbabilities<W> {
  static constexpr bool needs_largest = false;
  static constexpr int kept = 0;
  struct Row {
    Vec cotangent, unit, back;
    W improper;
  };
  struct Sums {
    W improper;
  };

  static SIGMAX_INLINE Row begin(const Options& o) {
    const Vec exponent = min(opaque(1022.0), exponent_of(o.cotangent));
    const Vec half = (exponent * 0.5 + kRoundToInteger) - kRoundToInteger;
    return {o.cotangent * two_to(-exponent), two_to(half), two_to(exponent - half), W{}};
  }
  static SIGMAX_INLINE W term(Vec, Vec, const Row&) { return W{}; }
  static SIGMAX_INLINE void collect(Sums& sums, Vec p, Vec, W, const Row&) { accumulate(sums.improper, wide<W>(improper(p))); }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) { row.improper = sums.improper; }
  static SIGMAX_INLINE Vec output(Vec p, Vec, W, const Row& row) {
    const W slope = negate(multiply(add(log_probability<W>(p), splat(1.0)), row.cotangent));
    const Vec at_zero = select(row.cotangent == 0.0, splat(0.0), row.cotangent * kInfinity);
    const Vec result = select(p == 0.0, at_zero, rounded(slope) * row.unit * row.back);
    return one_nan(select(leading(row.improper) == 0.0, result, splat(kNaN)));
  }
};

}  // namespace
}  // namespace sigmax
