// The factor of a gradient: the cotangent over T, of any size.
//
// In float64 cotangents, 1/T and the strength of a loss are each brought to [1, 2) by a power of two; the powers come back at
// the end, together with the scale of Boltzmann factors, so that nothing overflows or becomes subnormal on the way.
#pragma once

#include "energy.h"

namespace sigmax {
namespace {

template <class W>
struct Gain;

// Narrow cotangents meet doubles.
template <>
struct Gain<Vec> {
  Vec factor, at_one;  // at_one: at temperature 1

  Gain() = default;
  SIGMAX_INLINE Gain(const Energy<Vec>& energy, Vec cotangent, Vec) : factor(energy.beta * cotangent), at_one(cotangent) {}
  SIGMAX_INLINE Vec in_unit(Vec c) const { return c; }
  // Once, on the way out.
  SIGMAX_INLINE Vec rounded(Vec x) const { return one_nan(x); }
};

template <>
struct Gain<Pair> {
  Vec unit, power1, power2;
  Pair factor, at_one;

  Gain() = default;
  // `magnitude` is that of the cotangents of a row.
  SIGMAX_INLINE Gain(const Energy<Pair>& energy, Vec cotangent, Vec magnitude) {
    const Vec k = min(opaque(1022.0), exponent_of(magnitude)), b = exponent_of(energy.beta.hi);
    unit = two_to(-k);
    cotangent = select(cotangent == 1.0, cotangent, cotangent * unit);
    factor = multiply(scale(energy.beta, two_to(-b)), cotangent);
    at_one = as_pair(cotangent * two_to(-b));
    set_power(k + b - 512.0);
  }
  SIGMAX_INLINE void set_power(Vec power) {
    const Vec half = (power * 0.5 + kRoundToInteger) - kRoundToInteger;
    power1 = two_to(max(opaque(-1000.0), half));
    power2 = two_to(max(opaque(-1000.0), power - half));
  }
  SIGMAX_INLINE Vec in_unit(Vec c) const { return c * unit; }
  SIGMAX_INLINE Vec rounded(Pair x) const { return one_nan(sigmax::rounded(x) * power1 * power2); }
};

// In float64 a p_i comes times kExpScale, and so does the number it is multiplied with; half of each scale goes before the
// product, the rest with the gain.
template <class W>
constexpr double kHalfScale = 1.0;
template <>
constexpr double kHalfScale<Pair> = 0x1p-256;

template <class W>
SIGMAX_INLINE W scaled_product(W p, W deviation) {
  return multiply(scale(p, splat(kHalfScale<W>)), scale(deviation, splat(kHalfScale<W>)));
}

}  // namespace
}  // namespace sigmax
