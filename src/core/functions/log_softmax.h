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

// Of the others in a row that is not confident, from the sum of all.
template <class W>
SIGMAX_INLINE W without_winner(W total) { return add(total, splat(-kExpScale<W>)); }

// Below this the sum of all has lost too many digits of the others.
template <class W>
constexpr double kConfident = 0x1p-10;
template <>
constexpr double kConfident<Pair> = 0x1p-40;

// Numbers of a row, of its ties and of the others; or all of them as if they were of the ties.
template <class W>
struct SplitSums {
  W tied, other;

  SIGMAX_INLINE void add(Mask tie, W x) {
    accumulate(tied, keep(tie, x));
    accumulate(other, keep(~tie, x));
  }
  SIGMAX_INLINE void settle(Mask confident, W total) {
    tied = choose(confident, tied, total);
    other = keep(confident, other);
  }
};

// What programs have in common that collect the sum of all Boltzmann factors, and those of the ties and the others apart.
template <class W>
struct ApartProgram : Program {
  static constexpr bool is_apart = true;
  struct First {
    W total;
  };
  struct Apart {
    ApartSums<W> e;
  };
  template <class AnyFirst>
  static SIGMAX_INLINE Mask is_confident(const AnyFirst& first) {
    return (leading(without_winner(first.total)) < kConfident<W> * kExpScale<W>) & (leading(first.total) > 0.0);
  }
  // One tie; any others count as others.
  template <class AnyFirst, class AnyApart>
  static SIGMAX_INLINE void settle(Mask confident, const AnyFirst& first, AnyApart& apart) {
    apart.e.ties = choose(confident, apart.e.ties, wide<W>(splat(1.0)));
    apart.e.others = choose(confident, apart.e.others, without_winner(first.total));
  }
};

template <class W>
struct LogSoftmax : ApartProgram<W> {
  typedef W Wide;
  typedef W Term;
  static constexpr int kept = 0;
  static constexpr double empty = -kInfinity;
  struct Row {
    Energy<W> energy;
    W minus_log;
  };
  typedef typename ApartProgram<W>::First First;
  typedef typename ApartProgram<W>::Apart Apart;
  struct Sums {
    First first;
    Apart apart;
  };

  static SIGMAX_INLINE Row begin(const Options& o) { return {Energy<W>(o.largest, o), W{}}; }
  static SIGMAX_INLINE W term(Vec x, Vec, const Row& row) { return row.energy.factor(x); }
  static SIGMAX_INLINE void collect(First& sums, Vec, Vec, W e, const Row&) { accumulate(sums.total, e); }
  static SIGMAX_INLINE void collect(Apart& sums, Vec x, Vec, W e, const Row& row) { sums.e.add(x == row.energy.max, e); }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) { row.minus_log = negate(sums.apart.e.log()); }
  static SIGMAX_INLINE Vec output(Vec x, Vec, W, const Row& row) {
    const W y = negate(multiply(row.energy.distance(x), row.energy.per_distance()));
    return one_nan(select(leading(y) > -kInfinity, rounded(add(y, row.minus_log)), leading(y) + leading(row.minus_log)));
  }
};

// (c_i - p_i·Σ c)/T. For a tie p_i = 1/Σe, and c_i·Σe - Σc = c_i·(ties - 1 + others) - (Σ c - c_i).
template <class W>
struct LogSoftmaxVjp : ApartProgram<W> {
  typedef W Wide;
  typedef W Term;
  static constexpr Second second = Second::kNumbers;
  static constexpr bool needs_magnitude = true;
  struct Row {
    Energy<W> energy;
    Unit<W> unit;
    Gain<W> gain;
    W factor, inverse, others, tied_cotangent, other_cotangent, cotangent;
    Vec exponent;  // of the factor
    Mask apart;
  };
  static constexpr bool has_apart_outputs = true;
  struct First {
    W total, cotangent;  // times kExpScale, as e is: a tiny one keeps its digits beside the winner's
  };
  struct Apart {
    ApartSums<W> e;
    SplitSums<W> cotangent;
  };
  struct Sums {
    First first;
    Apart apart;
  };

  static SIGMAX_INLINE Row begin(const Options& o) {
    Row row;
    row.energy = Energy<W>(o.largest, o);
    row.unit = Unit<W>(o.magnitude);
    return row;
  }
  static SIGMAX_INLINE W term(Vec x, Vec, const Row& row) { return row.energy.precise_factor(x); }
  static SIGMAX_INLINE void collect(First& sums, Vec, Vec c, W e, const Row& row) {
    accumulate(sums.total, e);
    accumulate(sums.cotangent, wide<W>(row.unit.scaled(c)));
  }
  static SIGMAX_INLINE void collect(Apart& sums, Vec x, Vec c, W e, const Row& row) {
    const Mask tie = x == row.energy.max;
    sums.e.add(tie, e);
    sums.cotangent.add(tie, wide<W>(row.unit.scaled(c)));
  }
  static SIGMAX_INLINE void settle(Mask confident, const First& first, Apart& apart) {
    ApartProgram<W>::settle(confident, first, apart);
    apart.cotangent.settle(confident, first.cotangent);
  }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) {
    const Scaled<W> factor(row.energy.beta);
    row.gain = Gain<W>(factor.exponent + row.unit.exponent());
    row.factor = row.gain.factor(factor, factor.exponent);
    row.exponent = factor.exponent;
    row.apart = ApartProgram<W>::is_confident(sums.first);
    row.inverse = reciprocal(sums.apart.e.total());
    row.others = add(sums.apart.e.others, (leading(sums.apart.e.ties) - 1.0) * kExpScale<W>);
    row.tied_cotangent = sums.apart.cotangent.tied;
    row.other_cotangent = sums.apart.cotangent.other;
    row.cotangent = scale(multiply(add(row.tied_cotangent, row.other_cotangent), row.inverse), splat(1.0 / kExpScale<W>));
  }
  static SIGMAX_INLINE Vec output(Vec, Vec c, W e, const Row& row) {
    return with_tiny(c, e, row.gain.rounded(multiply(slope(c, e, row), row.factor)), row);
  }
  // c/T where there is no probability and c has no digits beside the largest.
  static SIGMAX_INLINE Vec with_tiny(Vec c, W e, Vec result, const Row& row) {
    if constexpr (kExpScale<W> == 1.0) return result;
    const Mask tiny = (leading(e) == 0.0) & (abs(row.unit.scaled(c)) < 0x1p-900);
    if (!any(tiny)) return result;
    return select(tiny, times_power(rounded(multiply(row.factor, c * 0x1p600)), row.exponent - 600.0), result);
  }
  static SIGMAX_INLINE Vec output_apart(Vec x, Vec c, W e, const Row& row) {
    const W rest = add(negate(row.other_cotangent), add(negate(row.tied_cotangent), row.unit.scaled(c)));
    const W of_tie = multiply(add(multiply(row.others, row.unit.of(c)), rest), row.inverse);
    const W sum = choose((x == row.energy.max) & row.apart, of_tie, slope(c, e, row));
    return with_tiny(c, e, row.gain.rounded(multiply(sum, row.factor)), row);
  }
  static SIGMAX_INLINE W slope(Vec c, W e, const Row& row) {
    return less_product(wide<W>(row.unit.scaled(c)), e, row.cotangent);
  }
  static SIGMAX_INLINE Vec health(const Row& row) { return leading(row.factor) + leading(row.cotangent); }
};

}  // namespace
}  // namespace sigmax
