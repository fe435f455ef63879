// What the policies of normalization.h are written in: the sums of a row and what becomes of them.
#pragma once

#include "fold.h"
#include "kernels.h"

namespace sigmax {
namespace {

// What a policy asks of a moderate row (see moderate.h): nothing, all terms, or their sum with the ties apart.
enum class LaneTerms { kNone, kAll, kApart };

template <class W>
struct Sums {  // a policy uses the ones it needs; the others vanish in compilation
  W total, ties, moment, tied_cotangent, other_cotangent, mass, impossible, information, others, gap;
};

template <class W>
struct Row {
  Vec max, pivot;  // pivot: the per-class operand of the first largest class
  Vec second_max;  // of the second row
  W beta;                     // 1/temperature
  Vec beta_log2e, lowest;     // lowest: x - max below which a class has no probability; beta_log2e: of Vec alone
  // Of a vector-Jacobian product: cotangents are taken times `unit`, `gain` is the row's cotangent over T, and
  // the result is still to be multiplied by both powers. `gain_at_one` is the gain at temperature 1.
  Vec unit, power1, power2, gain_at_one;
  W gain;
  W inverse, log_total, mean, others, ties, tied_cotangent, other_cotangent;  // what `finish` made of the sums
  Vec weight, z_loss;  // of a loss, and what `finish` made of its sums:
  Vec value;
  W logsumexp, strength, pull;
  Vec factor, own_factor, tie_factor, tie_own_factor, tie_pull;
};

SIGMAX_INLINE void set_temperature(Row<Vec>& row, Vec temperature) {
  row.beta = 1.0 / temperature;
  row.beta_log2e = kLog2e / temperature;
  row.lowest = kNarrowFloor * temperature;
}
SIGMAX_INLINE void set_temperature(Row<Pair>& row, Vec temperature) {
  row.beta = reciprocal(as_pair(temperature));
  row.lowest = kNarrowFloor * temperature;
}

// Narrow cotangents meet doubles: nothing overflows.
SIGMAX_INLINE void set_gain(Row<Vec>& row, Vec cotangent, Vec) {
  row.unit = splat(1.0);
  row.gain = row.beta * cotangent;
  row.gain_at_one = cotangent;
}
// float64: cotangents are brought to [1, 2) by `unit`, 1/T likewise; the powers of two come back at the end, so that
// nothing overflows or becomes subnormal on the way. kExpScale is taken out there too.
SIGMAX_INLINE void set_gain(Row<Pair>& row, Vec cotangent, Vec largest) {
  Vec k = min(opaque(1022.0), exponent_of(largest)), b = exponent_of(row.beta.hi);
  row.unit = two_to(-k);
  row.pivot = row.pivot * row.unit;
  cotangent = select(cotangent == 1.0, cotangent, cotangent * row.unit);
  row.gain = multiply(scale(row.beta, two_to(-b)), cotangent);
  row.gain_at_one = cotangent * two_to(-b);
  Vec power = k + b - 512.0, half = (power * 0.5 + kRoundToInteger) - kRoundToInteger;
  row.power1 = two_to(max(opaque(-1000.0), half));
  row.power2 = two_to(max(opaque(-1000.0), power - half));
}

// One NaN for all: which of two NaNs an operation passes on, and its sign, differ between processors.
SIGMAX_INLINE Vec one_nan(Vec x) { return select(x == x, x, splat(kNaN)); }

SIGMAX_INLINE Vec descaled(Vec x, const Row<Vec>&) { return one_nan(x); }
SIGMAX_INLINE Vec descaled(Pair x, const Row<Pair>& row) { return one_nan(rounded(x) * row.power1 * row.power2); }

template <class W>
SIGMAX_INLINE Sums<W> added(Sums<W> a, Sums<W> b) {
  return {add(a.total, b.total), add(a.ties, b.ties), add(a.moment, b.moment),
          add(a.tied_cotangent, b.tied_cotangent), add(a.other_cotangent, b.other_cotangent),
          add(a.mass, b.mass), add(a.impossible, b.impossible), add(a.information, b.information),
          add(a.others, b.others), add(a.gap, b.gap)};
}

template <class W>
SIGMAX_INLINE Sums<W> folded(Sums<W>* lanes) {
  Sums<W> sum;
  W part[kVectors];
  auto plus = [](auto a, auto b) { return add(a, b); };
#define SIGMAX_FOLD(field)                                     \
  SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) part[k] = lanes[k].field; \
  sum.field = fold(part, plus);
  SIGMAX_FOLD(total)
  SIGMAX_FOLD(ties)
  SIGMAX_FOLD(moment)
  SIGMAX_FOLD(tied_cotangent)
  SIGMAX_FOLD(other_cotangent)
  SIGMAX_FOLD(mass)
  SIGMAX_FOLD(impossible)
  SIGMAX_FOLD(information)
  SIGMAX_FOLD(others)
  SIGMAX_FOLD(gap)
#undef SIGMAX_FOLD
  return sum;
}

SIGMAX_INLINE void store_wide(double* to, Vec x) { store(to, x); }
SIGMAX_INLINE void store_wide(double* to, Pair x) {
  store(to, x.hi);
  store(to + kLanes, x.lo);
}
template <class W>
SIGMAX_INLINE W load_wide(const double* from);
template <>
SIGMAX_INLINE Vec load_wide<Vec>(const double* from) { return load(from); }
template <>
SIGMAX_INLINE Pair load_wide<Pair>(const double* from) { return {load(from), load(from + kLanes)}; }

// Numbers are compared in float where that is exact: twice as fast.
SIGMAX_INLINE Vec load_comparable(const double* from) { return load(from); }
SIGMAX_INLINE Singles load_comparable(const float* from) { return load_singles(from); }

template <class S>
SIGMAX_INLINE void store_scalar(S* to, double x) {
  S lanes[kLanes];
  store(lanes, splat(x));
  *to = lanes[0];
}
template <class S>
SIGMAX_INLINE double load_scalar(const char* from) {
  S lanes[kLanes] = {};
  std::memcpy(lanes, from, sizeof(S));
  return load(lanes)[0];
}

}  // namespace
}  // namespace sigmax
