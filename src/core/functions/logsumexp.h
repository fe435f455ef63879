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

// Weights of 0 take a class out, a negative sum has no logarithm. Weights beyond 2^±400 are taken times a power of two.
template <class W>
struct LogsumexpWeighted : Logsumexp<W> {
  static constexpr Second second = Second::kWeights;
  static constexpr bool needs_magnitude = true, is_apart = false;
  struct Row {
    Energy<W> energy;
    Vec top, exponent, unit;  // unit = 2^-exponent
    W log;
  };
  typedef ApartSums<W> Sums;

  static SIGMAX_INLINE Row begin(const Options& o) {
    Row row;
    row.energy = Energy<W>(o.largest, o);
    row.top = o.top;
    const Vec exponent = min(opaque(1022.0), exponent_of(o.magnitude));
    row.exponent = only_where((abs(exponent) > 400.0) & (o.magnitude > 0.0), exponent);
    row.unit = two_to(-row.exponent);
    return row;
  }
  static SIGMAX_INLINE W term(Vec x, Vec, const Row& row) { return row.energy.precise_factor(x); }
  static SIGMAX_INLINE void collect(Sums& sums, Vec x, Vec weight, W e, const Row& row) {
    weight = weight * row.unit;
    sums.add(x == row.energy.max, multiply(e, weight), weight);
  }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) {
    const Vec total = rounded(sums.total());
    const Vec special = select(total == 0.0, splat(-kInfinity), select(total > 0.0, total, splat(kNaN)));
    const W log = add(sums.log(), times_ln2(row.exponent, W{}));
    row.log = choose((total > 0.0) & (total < kInfinity), log, wide<W>(special));
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
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) { set_factor(row, sums.total); }
  template <class AnyRow>
  static SIGMAX_INLINE void set_factor(AnyRow& row, W total) {
    const W inverse = reciprocal(scale(total, splat(1.0 / kExpScale<W>)));
    const Scaled<W> factor = Scaled<W>(inverse) * Scaled<W>(row.energy.beta) * Scaled<W>(wide<W>(row.cotangent));
    row.gain = Gain<W>(factor.exponent);
    row.factor = row.gain.factor(factor, factor.exponent);
  }
  static SIGMAX_INLINE Vec output(Vec, Vec, W e, const Row& row) { return row.gain.rounded(multiply(e, row.factor)); }
  static SIGMAX_INLINE Vec health(const Row& row) { return leading(row.factor); }
};

// c·w_i·e_i/(T·Σ w·e).
template <class W>
struct LogsumexpWeightedVjp : LogsumexpVjp<W> {
  static constexpr Second second = Second::kWeights;
  static constexpr bool needs_magnitude = true;
  struct Row {
    Energy<W> energy;
    Gain<W> gain;
    Vec unit, cotangent;
    W factor;
  };
  typedef typename LogsumexpVjp<W>::Sums Sums;

  static SIGMAX_INLINE Row begin(const Options& o) {
    Row row;
    row.energy = Energy<W>(o.largest, o);
    row.cotangent = o.cotangent;
    const Vec exponent = min(opaque(1022.0), exponent_of(o.magnitude));
    row.unit = two_to(-only_where((abs(exponent) > 400.0) & (o.magnitude > 0.0), exponent));
    return row;
  }
  static SIGMAX_INLINE W term(Vec x, Vec weight, const Row& row) {
    return multiply(row.energy.factor(x), weight * row.unit);
  }
  static SIGMAX_INLINE void collect(Sums& sums, Vec, Vec, W e, const Row&) { accumulate(sums.total, e); }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) {
    LogsumexpVjp<W>::set_factor(row, choose(rounded(sums.total) > 0.0, sums.total, wide<W>(splat(kNaN))));
  }
  static SIGMAX_INLINE Vec output(Vec, Vec, W e, const Row& row) { return row.gain.rounded(multiply(e, row.factor)); }
  static SIGMAX_INLINE Vec health(const Row& row) { return leading(row.factor); }
};

}  // namespace
}  // namespace sigmax
