// Energies and Boltzmann factors of a row's logits.
//
// m is the row's largest logit, y = (x - m)/T <= 0 a class's energy and e = e^y its Boltzmann factor: the classes with
// x = m (the ties, usually one winner) have e = 1 exactly. Sums that keep the ties apart from the others lose nothing of a
// confident row: log(ties + others) with `others` down to 1e-300 beside 1.
#pragma once

#include "program.h"

namespace sigmax {
namespace {

template <class W>
struct Energy;

// One double: x - m and its product with 1/T are rounded, which costs e^y a relative error of |y|·2^-52 at most.
template <>
struct Energy<Vec> {
  Vec max, beta, rate, lowest;  // lowest: of x - m; below it a class has no probability

  Energy() = default;
  SIGMAX_INLINE Energy(Vec max, Vec temperature, Vec beta)
      : max(max), beta(beta), rate(beta * kLog2e), lowest(kNarrowFloor * temperature) {}
  SIGMAX_INLINE Energy(Vec max, const Options& o) : Energy(max, o.temperature, o.beta) {}

  SIGMAX_INLINE Vec at(Vec x) const { return (x - max) * beta; }
  // m - x, and what makes -y of it.
  SIGMAX_INLINE Vec distance(Vec x) const { return max - x; }
  SIGMAX_INLINE Vec per_distance() const { return beta; }
  SIGMAX_INLINE Vec bounded(Vec x) const { return sigmax::max(lowest, x - max) * beta; }
  SIGMAX_INLINE Vec lift() const { return splat(1.0); }
  SIGMAX_INLINE Vec lifted(Vec x, Vec) const { return bounded(x); }
  // e^y with a relative error of 2^-34, which is 0.0005 ULP of float32, ...
  SIGMAX_INLINE Vec factor(Vec x) const { return above_floor(x - max, kExp2Narrow); }
  // ... and of 2^-46, for sums that may cancel.
  SIGMAX_INLINE Vec precise_factor(Vec x) const { return above_floor(x - max, kExp2); }

 private:
  template <int n>
  SIGMAX_INLINE Vec above_floor(Vec d, const double (&coefficients)[n]) const {
    return only_where(~(d < lowest), exp2_of_product(d, rate, coefficients));  // NaN passes
  }
};

// A pair: e^y·kExpScale = 2^(k/8)·e^w with k the integer nearest to 8·log2(e)·(x - m)/T and |w| <= ln 2/16. With n = k + n_m,
// n_m such an integer of m itself, and step + rest = T·ln 2/8, the fused difference v = x - n·step is exact, and w is
// ((v - n·rest) - (v_m - n_m·rest))/T: no subtraction of the maximum is rounded, and w is 0 for m. All of it happens times a
// power of two that brings T to [1, 2); and where m/T is beyond 2^20, on x - m, which is exact for every class that matters.
// What is below e^kFloor is 0. Relative error 2^-57.
template <>
struct Energy<Pair> {
  static constexpr double kFloor = -1020.0, kFar = 0x1p20, kTopSteps = 8 * 512.0;
  Vec max;
  Pair beta;
  Vec scale, shift, lowest;  // x·scale + shift, no lower than `lowest`
  Vec top, of_top, rate, offset, step, rest, minus_beta;
  Vec unit;  // of distances

  Energy() = default;
  SIGMAX_INLINE Energy(Vec max, const Options& o) : max(max) {
    beta = {o.beta, o.beta * residual(o.temperature, o.beta, splat(1.0))};
    const Vec exponent = exponent_of(o.temperature);
    scale = two_to(min(opaque(1022.0), min(-exponent, opaque(1000.0) - exponent_of(max))));
    const Vec of_coldest = select(abs(max) >= 1.0, splat(0.5), splat(1.0));  // 1/T has room for no more
    unit = select((o.temperature >= 0x1p-800) | ((abs(max) >= 0x1p-700) & (o.temperature >= 0x1p-960)), splat(0x1p-60), of_coldest);
    const Vec temperature = sigmax::max(o.temperature * scale, opaque(0x1p-900)), inverse = 1.0 / temperature;
    const Vec scaled_max = max * scale;
    const Mask far = abs(scaled_max) * inverse > kFar;
    const Vec anchor = only_where(far, scaled_max), round = splat(kRoundToInteger);
    top = scaled_max - anchor;
    shift = -anchor;
    lowest = mul_add(temperature, splat(kFloor), top);
    rate = inverse * kStepsPerUnit;
    minus_beta = -inverse;
    const Pair whole = two_product(temperature, splat(kStep));
    step = whole.hi;
    rest = mul_add(temperature, kStepRest, whole.lo);
    const Vec n = mul_add(top, rate, round) - round;
    offset = (round + kTopSteps) - n;
    of_top = mul_add(n, -rest, mul_add(n, -step, top));
  }

  SIGMAX_INLINE Pair at(Vec x) const { return multiply(difference<Pair>(x, max), beta); }
  // m - x in a unit that leaves room for sums of such; what it makes subnormal is nothing beside log Σ e.
  SIGMAX_INLINE Pair distance(Vec x) const { return difference<Pair>(max * unit, x * unit); }
  SIGMAX_INLINE Pair per_distance() const { return sigmax::scale(beta, 1.0 / unit); }
  SIGMAX_INLINE Pair bounded(Vec x) const { return at_least_floor(at(x)); }
  // The same times a power of two, with which tiny ones keep their digits.
  SIGMAX_INLINE Vec lift() const { return select(beta.hi >= 0x1p-700, splat(0x1p256), splat(1.0)); }
  SIGMAX_INLINE Pair lifted(Vec x, Vec lift) const {
    const Pair y = multiply(sigmax::scale(difference<Pair>(x, max), lift), beta);
    const Vec least = lift * kExpFloor;
    return {sigmax::max(least, y.hi), keep(y.hi > least, y.lo)};
  }
  SIGMAX_INLINE Pair factor(Vec x) const {
#if !SIGMAX_HAS_FMA  // x - n·step is exact only where it is fused
    const Pair y = at(x);
    return keep(~(y.hi < kExpFloor), exp_scaled(y));
#endif
    const Vec d = mul_add(x, scale, shift);
    const Mask there = ~(d < lowest);  // NaN too
    const Vec t = mul_add(d - top, rate, splat(kRoundToInteger + kTopSteps)), n = t - offset;
    const Vec w = (mul_add(n, -rest, mul_add(n, -step, d)) - of_top) * minus_beta;
    const Bits bits = bit_cast<Bits>(t);
    const Vec root = bit_cast<Vec>(look_up(kRoots, bits) + (bits << 49));
    const Vec error = mul_add(w, polynomial(w, kDecay), bit_cast<Vec>(look_up(kRootRests, bits)));
    const Vec hi = mul_add(root, error, root);
    return {only_where(there, hi), only_where(there, mul_add(root, error, root - hi))};
  }
  SIGMAX_INLINE Pair precise_factor(Vec x) const { return factor(x); }
};

}  // namespace
}  // namespace sigmax
