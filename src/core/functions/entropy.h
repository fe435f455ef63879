// The entropy of softmax: log Σ e - Σ e·y/Σ e, two positive numbers; and its derivative.
#pragma once

#include "log_softmax.h"

namespace sigmax {
namespace {

template <class W>
struct Entropy : ApartProgram<W> {
  typedef W Wide;
  typedef W Term;
  static constexpr bool per_class = false, has_result = true;
  struct Row {
    Energy<W> energy;
    W entropy;
  };
  struct First {
    W total, moment;
  };
  typedef typename ApartProgram<W>::Apart Apart;
  struct Sums {
    First first;
    Apart apart;
  };

  static SIGMAX_INLINE Row begin(const Options& o) { return {Energy<W>(o.largest, o), W{}}; }
  static SIGMAX_INLINE W term(Vec x, Vec, const Row& row) { return row.energy.precise_factor(x); }
  static SIGMAX_INLINE void collect(First& sums, Vec x, Vec, W e, const Row& row) {
    accumulate(sums.total, e);
    accumulate(sums.moment, multiply(e, row.energy.bounded(x)));
  }
  static SIGMAX_INLINE void collect(Apart& sums, Vec x, Vec, W e, const Row& row) { sums.e.add(x == row.energy.max, e); }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) {
    const W inverse = reciprocal(scale(sums.apart.e.total(), splat(kExpScale<W>)));
    row.entropy = add(sums.apart.e.log(), negate(multiply(sums.first.moment, inverse)));
  }
  static SIGMAX_INLINE Vec result(const Row& row) { return rounded(row.entropy); }
};

// -c·p_i·(y_i - Σ p·y)/T: as softmax's, with the energies as cotangents; the winner's is 0.
template <class W>
struct EntropyVjp : Program {
  typedef W Wide;
  typedef W Term;
  struct Row {
    Energy<W> energy;
    Gain<W> gain;
    Vec cotangent, lift, scale;
    W factor, mean;
  };
  struct Sums {
    W total, moment;
  };

  static SIGMAX_INLINE Row begin(const Options& o) {
    Row row;
    row.energy = Energy<W>(o.largest, o);
    row.cotangent = o.cotangent;
    row.lift = row.energy.lift();
    row.scale = kExpScale<W> / row.lift;
    return row;
  }
  static SIGMAX_INLINE W term(Vec x, Vec, const Row& row) { return row.energy.precise_factor(x); }
  static SIGMAX_INLINE void collect(Sums& sums, Vec x, Vec, W e, const Row& row) {
    accumulate(sums.total, e);
    accumulate(sums.moment, multiply(e, row.energy.lifted(x, row.lift)));
  }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) {
    const W inverse = reciprocal(scale(sums.total, splat(1.0 / kExpScale<W>)));
    row.mean = scale(multiply(sums.moment, inverse), 1.0 / row.lift);
    const Scaled<W> factor = Scaled<W>(inverse) * Scaled<W>(row.energy.beta) * Scaled<W>(wide<W>(row.cotangent));
    row.gain = Gain<W>(factor.exponent);
    row.factor = row.gain.factor(factor, factor.exponent);
  }
  static SIGMAX_INLINE Vec output(Vec x, Vec, W e, const Row& row) {
    const W deviation = add(row.mean, negate(scale(row.energy.lifted(x, row.lift), row.scale)));
    return row.gain.rounded(scaled_product(multiply(e, row.factor), deviation));
  }
  static SIGMAX_INLINE Vec health(const Row& row) { return leading(row.factor) + leading(row.mean); }
};

}  // namespace
}  // namespace sigmax
