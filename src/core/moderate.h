// Rows of moderate logits, in lanes of the stored type itself: twice as many floats in a vector as doubles.
//
// A row is moderate when its largest |x|/T is below kReach and no x/T is more than about kTop·ln 2 below the largest:
// the rows that classifiers and language models make. Other rows go the general way (see rows.h). Which way a row
// goes is decided by its values and its temperature alone.
//
// With n the integer nearest to x/step, step = T·ln 2/kSteps, the fused difference x - n·step is exact, and so
//   e^(x/T) = 2^(n/kSteps)·e^w,  w = (x - n·step - n·rest)/T,  |w| <= ln 2/(2·kSteps),
// needs no rounded subtraction of the maximum. It is kept as a pair of T, hi + lo, times 2^(kTop - n_max/kSteps): a
// row's terms are its Boltzmann factors times one common number, which cancels. Powers of two are added to the
// exponents of hi and lo as integers.
#pragma once

#include "math.h"

namespace sigmax {
namespace {

template <class V>
struct PairOf {
  V hi, lo;
};

SIGMAX_INLINE Floats splat_lanes(float x) { return x - Floats{}; }
SIGMAX_INLINE Vec splat_lanes(double x) { return splat(x); }

template <class T>
struct Moderate;

// What the exponentials of a row (or of a row per lane) have in common.
template <class T>
struct Scale {
  typedef Lanes<T> V;
  V rate, offset, step, rest, beta[Moderate<T>::kPowers];
};

// ---------------------------------------------------------------- float

// 2^(k/8) = hi + lo, less the bits k that the integer below brings along; twice, for vectors of sixteen.
alignas(64) constexpr std::uint32_t kRootsHi[] = {
    0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7, 0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7,
    0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7, 0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7};
alignas(64) constexpr std::uint32_t kRootsLo[] = {
    0x00000000, 0xb250aba1, 0x33031b71, 0xb2fc9d5e, 0x328fe77a, 0x31baa837, 0xb274a58a, 0xb1d116de,
    0x00000000, 0xb250aba1, 0x33031b71, 0xb2fc9d5e, 0x328fe77a, 0x31baa837, 0xb274a58a, 0xb1d116de};
// c in e^w - 1 = w + c0·w² + c1·w³ + c2·w⁴, |w| <= ln 2 / 16.
constexpr double kExpm1Root[] = {0x1p-1, 0x1.555c6ep-3, 0x1.555664p-5};  // c0.. ascending; largest error 2^-32.4

template <>
struct Moderate<float> {
  static constexpr int kSteps = 8, kTop = 80, kPowers = 4;
  static constexpr std::uint32_t kWindow = 1024, kRoundToIntegerBits = 0x4b400000;
  static constexpr double kRoundToInteger = 0x1.8p23, kReach = 1024.0, kTemperatures = 0x1p20;
};

SIGMAX_INLINE PairOf<Floats> exponential(Floats x, const Scale<float>& s, FloatBits& used) {
  Floats t = mul_add(x, s.rate, s.offset);
  Floats n = t - s.offset;
  Floats u = mul_add(n, -s.rest, mul_add(n, -s.step, x));
  Floats expm1 = u * mul_add(u, mul_add(u, mul_add(u, s.beta[3], s.beta[2]), s.beta[1]), s.beta[0]);
  FloatBits bits = bit_cast<FloatBits>(t), power = bits << 20;
  used |= bits;
  Floats hi = bit_cast<Floats>(lookup8(kRootsHi, bits) + power);
  Floats lo = bit_cast<Floats>(lookup8(kRootsLo, bits) + power);
  return {hi, mul_add(hi, expm1, lo)};
}

}  // namespace
}  // namespace sigmax
