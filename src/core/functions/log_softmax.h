// log_softmax: log p_i = y_i - log Σ e, two negative numbers, of which nothing cancels; and its vector-Jacobian product.
#pragma once

#include "../rows/gain.h"

namespace sigmax {
namespace {

// Σ e with the ties apart, which count 1 each, or their weights.
template <class W>
struct ApartSums {
  W ties, others;

  SIGMAX_INLINE void add(Mask tie, W e) {
    count(ties, tie);
    accumulate_unless(tie, others, e);
  }
  SIGMAX_INLINE void add(Mask tie, W e, Vec weight) {
    accumulate(ties, wide<W>(only_where(tie, weight)));
    accumulate_unless(tie, others, e);
  }
  SIGMAX_INLINE W log() const {
    const W unscaled = scale(others, splat(1.0 / kExpScale<W>));
    return log_of_sum(leading(ties), sigmax::add(unscaled, trailing(ties)));
  }
  SIGMAX_INLINE W total() const { return sigmax::add(scale(others, splat(1.0 / kExpScale<W>)), ties); }
};

template <class W>
struct LogSoftmax : Program {
  typedef W Wide;
  typedef W Term;
  static constexpr int kept = 0;
  static constexpr double empty = -kInfinity;
  struct Row {
    Energy<W> energy;
    W minus_log;
  };
  typedef ApartSums<W> Sums;

  static SIGMAX_INLINE Row begin(const Options& o) { return {Energy<W>(o.largest, o), W{}}; }
  static SIGMAX_INLINE W term(Vec x, Vec, const Row& row) { return row.energy.factor(x); }
  static SIGMAX_INLINE void collect(Sums& sums, Vec x, Vec, W e, const Row& row) { sums.add(x == row.energy.max, e); }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) { row.minus_log = negate(sums.log()); }
  static SIGMAX_INLINE Vec output(Vec x, Vec, W, const Row& row) {
    const W y = row.energy.at(x);
    return one_nan(select(leading(y) > -kInfinity, rounded(add(y, row.minus_log)), leading(y) + leading(row.minus_log)));
  }
};

// (c_i - p_i·Σ c)/T. For a tie p_i = 1/Σe, and c_i·Σe - Σc = c_i·(ties - 1 + others) - (Σ c - c_i).
template <class W>
struct LogSoftmaxVjp : Program {
  typedef W Wide;
  typedef W Term;
  static constexpr Second second = Second::kNumbers;
  static constexpr bool needs_magnitude = true;
  struct Row {
    Energy<W> energy;
    Unit<W> unit;
    Gain<W> gain;
    W factor, inverse, others, tied_cotangent, other_cotangent, cotangent;
  };
  struct Sums {
    ApartSums<W> e;
    W tied_cotangent, other_cotangent;
  };

  static SIGMAX_INLINE Row begin(const Options& o) {
    Row row;
    row.energy = Energy<W>(o.largest, o);
    row.unit = Unit<W>(o.magnitude);
    return row;
  }
  static SIGMAX_INLINE W term(Vec x, Vec, const Row& row) { return row.energy.precise_factor(x); }
  static SIGMAX_INLINE void collect(Sums& sums, Vec x, Vec c, W e, const Row& row) {
    const Mask tie = x == row.energy.max;
    c = row.unit.of(c);
    sums.e.add(tie, e);
    accumulate(sums.tied_cotangent, wide<W>(only_where(tie, c)));
    accumulate(sums.other_cotangent, wide<W>(only_where(~tie, c)));
  }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) {
    const Scaled<W> factor(row.energy.beta);
    row.gain = Gain<W>(factor.exponent + row.unit.exponent());
    row.factor = row.gain.factor(factor, factor.exponent);
    row.inverse = reciprocal(sums.e.total());
    row.others = add(sums.e.others, (leading(sums.e.ties) - 1.0) * kExpScale<W>);
    row.tied_cotangent = sums.tied_cotangent;
    row.other_cotangent = sums.other_cotangent;
    row.cotangent = multiply(add(sums.tied_cotangent, sums.other_cotangent), row.inverse);
  }
  static SIGMAX_INLINE Vec output(Vec x, Vec c, W e, const Row& row) {
    const Vec unit_c = row.unit.of(c), s = splat(kExpScale<W>);
    const W rest = add(negate(row.other_cotangent), add(negate(row.tied_cotangent), unit_c));
    const W of_tie = multiply(add(multiply(row.others, unit_c), scale(rest, s)), row.inverse);
    const W of_other = add(negate(multiply(e, row.cotangent)), unit_c * s);
    return row.gain.rounded(multiply(choose(x == row.energy.max, of_tie, of_other), row.factor));
  }
};

}  // namespace
}  // namespace sigmax
