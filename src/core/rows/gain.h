// The factor of a gradient, the cotangent over T, of any size.
//
// In float64 the outputs of a row are computed as numbers about 1, times kExpScale; two powers of two bring them to their size
// at the end, so that nothing overflows or becomes subnormal on the way. Narrow outputs meet doubles: a power that no narrow
// number survives may be cut.
#pragma once

#include "../simd/scaled.h"
#include "energy.h"

namespace sigmax {
namespace {

template <class W>
struct Gain;

template <>
struct Gain<Vec> {
  Gain() = default;
  explicit SIGMAX_INLINE Gain(Vec) {}
  // A factor of the row's outputs, which all are at `exponent`.
  static SIGMAX_INLINE Vec factor(const Scaled<Vec>& x, Vec exponent) {
    return x.at(exponent) * two_to(max(opaque(-1000.0), min(opaque(1000.0), exponent)));
  }
  static SIGMAX_INLINE Vec factor(const Plain<Vec>& x, Vec) { return x.number; }
  SIGMAX_INLINE Vec rounded(Vec x) const { return x; }
  SIGMAX_INLINE Vec lifted(Vec x, Vec lift) const { return x * lift; }
};

template <>
struct Gain<Pair> {
  Vec power1, power2;

  Gain() = default;
  explicit SIGMAX_INLINE Gain(Vec exponent) {
    const Vec power = max(opaque(-2000.0), min(opaque(2000.0), exponent - 512.0));
    const Vec half = (power * 0.5 + kRoundToInteger) - kRoundToInteger;
    power1 = two_to(half);
    power2 = two_to(power - half);
  }
  static SIGMAX_INLINE Pair factor(const Scaled<Pair>& x, Vec exponent) { return x.at(exponent); }
  SIGMAX_INLINE Vec rounded(Pair x) const { return sigmax::rounded(x) * power1 * power2; }
  SIGMAX_INLINE Vec lifted(Pair x, Vec lift) const { return sigmax::rounded(x) * power1 * lift * power2; }
};

// A power of two that brings cotangents of this magnitude to 1, and its exponent; narrow ones need none.
template <class W>
struct Unit;
template <>
struct Unit<Vec> {
  Unit() = default;
  explicit SIGMAX_INLINE Unit(Vec) {}
  SIGMAX_INLINE Vec exponent() const { return Vec{}; }
  SIGMAX_INLINE Vec of(Vec c) const { return c; }
  SIGMAX_INLINE Vec scaled(Vec c) const { return c; }
};
template <>
struct Unit<Pair> {
  Vec power, half, rest;  // half·rest = power·kExpScale
  Unit() = default;
  explicit SIGMAX_INLINE Unit(Vec magnitude) {
    const Vec exponent = min(opaque(1022.0), exponent_of(magnitude)), even = (exponent * 0.5 + kRoundToInteger) - kRoundToInteger;
    power = two_to(-exponent);
    half = two_to(256.0 - even);
    rest = two_to(256.0 - (exponent - even));
  }
  SIGMAX_INLINE Vec exponent() const { return -exponent_of(power); }
  SIGMAX_INLINE Vec of(Vec c) const { return c * power; }
  // Times kExpScale; so cotangents far below the largest keep their digits.
  SIGMAX_INLINE Vec scaled(Vec c) const { return c * half * rest; }
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
