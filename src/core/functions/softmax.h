// softmax: p_i = e_i/Σ e, and its vector-Jacobian product.
#pragma once

#include "../rows/gain.h"

namespace sigmax {
namespace {

template <class W>
struct Softmax : Program {
  typedef W Wide;
  typedef W Term;
  struct Row {
    Energy<W> energy;
    W inverse;
  };
  struct Sums {
    W total;
  };

  static SIGMAX_INLINE Row begin(const Options& o) { return {Energy<W>(o.largest, o), W{}}; }
  static SIGMAX_INLINE W term(Vec x, Vec, const Row& row) { return row.energy.factor(x); }
  static SIGMAX_INLINE void collect(Sums& sums, Vec, Vec, W e, const Row&) { accumulate(sums.total, e); }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) { row.inverse = inverse(sums.total); }
  static SIGMAX_INLINE Vec output(Vec, Vec, W e, const Row& row) { return rounded_product(e, row.inverse); }
  static SIGMAX_INLINE Vec health(const Row& row) { return leading(row.inverse); }

 private:
  static SIGMAX_INLINE Vec inverse(Vec total) { return narrow_reciprocal(total); }
  static SIGMAX_INLINE Pair inverse(Pair total) { return reciprocal(total); }
};

// p_i·((c_i - c_w) - Σ p_j·(c_j - c_w))/T: measured from the winner's cotangent c_w, the winner's own gradient is the sum of
// the others and keeps its digits however confident the row.
template <class W>
struct SoftmaxVjp : Program {
  typedef W Wide;
  typedef W Term;
  static constexpr Second second = Second::kNumbers;
  static constexpr bool needs_pivot = true, needs_magnitude = true;
  struct Row {
    Energy<W> energy;
    Unit<W> unit;
    Gain<W> gain;
    Vec pivot;
    W factor, mean;
  };
  struct Sums {
    W total, moment;
  };

  static SIGMAX_INLINE Row begin(const Options& o) {
    Row row;
    row.energy = Energy<W>(o.largest, o);
    row.unit = Unit<W>(o.magnitude);
    row.pivot = row.unit.of(o.pivot);
    return row;
  }
  static SIGMAX_INLINE W from_winner(Vec c, const Row& row) { return difference<W>(row.unit.of(c), row.pivot); }
  static SIGMAX_INLINE W term(Vec x, Vec, const Row& row) { return row.energy.precise_factor(x); }
  static SIGMAX_INLINE void collect(Sums& sums, Vec, Vec c, W e, const Row& row) {
    accumulate(sums.total, e);
    accumulate(sums.moment, multiply(e, from_winner(c, row)));
  }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) {
    const W inverse = reciprocal(scale(sums.total, splat(1.0 / kExpScale<W>)));
    row.mean = negate(multiply(sums.moment, inverse));
    const Scaled<W> factor = Scaled<W>(inverse) * Scaled<W>(row.energy.beta);
    row.gain = Gain<W>(factor.exponent + row.unit.exponent());
    row.factor = row.gain.factor(factor, factor.exponent);
  }
  static SIGMAX_INLINE Vec output(Vec, Vec c, W e, const Row& row) {
    const W deviation = add(scale(from_winner(c, row), splat(kExpScale<W>)), row.mean);
    return row.gain.rounded(scaled_product(multiply(e, row.factor), deviation));
  }
  static SIGMAX_INLINE Vec health(const Row& row) { return leading(row.factor) + leading(row.mean); }
};

}  // namespace
}  // namespace sigmax
