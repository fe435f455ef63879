// Exponentials and logarithms with the same bits on every level, and sums of the numbers of a row.
//
// The rest of the core fuses multiply-adds where there are any; its bits differ from those of a processor without them. What
// decides a draw in the last resort, and what is asked for to the last digit of a double, is computed here without.
#pragma once

#include "../simd/fold.h"

namespace sigmax {
namespace {

typedef std::ptrdiff_t Index;

constexpr Index kBlock = 256, kSumLanes = 16, kParts = kSumLanes / kLanes;

constexpr double kMinusInfinity = -kInfinity;

// Relative to any sum of exponentials here: each has 2^-42.5 at most, where its argument is -700, and sums add less.
constexpr double kSumError = 0x1p-40;
// Relative to the terms of a threshold for logits: a few roundings.
constexpr double kThresholdError = 0x1p-48;

template <class D>
struct BitsOf {
  typedef std::uint64_t Type;
};
template <>
struct BitsOf<Vec> {
  typedef Bits Type;
};

// e^y for y <= 709; 0 below -708. Relative error 2^-50 and that of y. Of a number or a vector.
template <class D>
SIGMAX_INLINE D exp_of(D y) {
  typedef typename BitsOf<D>::Type B;
  const D clamped = y > -708.0 ? y : D{} - 708.0;
  const D t = clamped * kLog2e + kRoundToInteger, n = t - kRoundToInteger;
  const D r = ((clamped - n * kLn2Hi) - n * kLn2Lo) * kLog2e;
  D power = D{} + kExp2[10];
  SIGMAX_UNROLL_ALL for (int k = 9; k >= 0; --k) power = power * r + kExp2[k];
  const D e = bit_cast<D>(bit_cast<B>(power) + (bit_cast<B>(t) << 52));
  return y > -708.0 ? e : D{};
}

// log((1+s)/(1-s)) for |s| <= 0.2.
template <class D>
SIGMAX_INLINE D log_of_odds(D s) {
  const D z = s * s;
  D tail = D{} + kLogTail[7];
  SIGMAX_UNROLL_ALL for (int k = 6; k >= 0; --k) tail = tail * z + kLogTail[k];
  return 2.0 * s + s * z * tail;
}

// Of a positive normal number.
template <class D>
SIGMAX_INLINE D log_of(D y) {
  typedef typename BitsOf<D>::Type B;
  constexpr std::uint64_t sqrt_half = 0x3fe6a09e667f3bcdu, one = 0x3ff0000000000000u;
  const B bits = bit_cast<B>(y), biased = (bits + (one - sqrt_half)) >> 52;
  const D k = bit_cast<D>(biased | 0x4330000000000000u) - (0x1p52 + 1023.0);
  const D mantissa = bit_cast<D>(bits - ((biased << 52) - one));
  return k * kLn2Hi + (k * kLn2Lo + log_of_odds((mantissa - 1.0) / (mantissa + 1.0)));
}

// log(1 + t) for t > -1, with all digits where t is small.
template <class D>
SIGMAX_INLINE D log1p_of(D t) {
  const auto small = (t > -0.29) & (t < 0.41);
  const D inside = small ? t : D{};
  return small ? log_of_odds(inside / (2.0 + inside)) : log_of(1.0 + t);
}

// e^y - 1 for |y| <= 1/2: the series, from its smallest term on.
inline double expm1_small(double y) {
  double sum = 1.0;
  for (int k = 15; k >= 2; --k) sum = 1.0 + sum * y / k;
  return sum * y;
}

// The double nearest to an integer of 64 bits: both halves are exact, and added with one rounding.
SIGMAX_INLINE Vec nearest(Bits b) {
  const Vec high = bit_cast<Vec>((b >> 32) | 0x4530000000000000u), low = bit_cast<Vec>((b & 0xffffffffu) | 0x4330000000000000u);
  return (high - (0x1p84 + 0x1p52)) + low;
}

// A sum and its rounding errors (Neumaier 1974).
struct Total {
  double sum = 0.0, error = 0.0;
  void add(double x) {
    const double s = sum + x, part = s - sum;
    error += (sum - (s - part)) + (x - part);
    sum = s;
  }
  double value() const { return sum + error; }
};

// The lanes of kParts vectors, added in the one order of fold.h.
SIGMAX_INLINE double sum_of_lanes(Vec* parts) {
  return fold<kParts>(parts, [](Vec a, Vec b) SIGMAX_ALWAYS { return a + b; })[0];
}

}  // namespace
}  // namespace sigmax
