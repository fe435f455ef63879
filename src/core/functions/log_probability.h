// The logarithm of a number in (0, 1], subnormal ones included.
#pragma once

#include "../simd/wide.h"

namespace sigmax {
namespace {

// p < 2^-900 is lifted out of the reach of the subnormal numbers; the logarithm gives the 108·ln 2 back.
constexpr double kTiny = 0x1p-900, kLift = 0x1p108, kLiftExponent = 108.0;

SIGMAX_INLINE Vec lifted(Vec p) { return select(p < kTiny, p * kLift, p); }

template <class W>
SIGMAX_INLINE W log_probability(Vec p) {
  const Decomposed<W> parts = decompose<W>(as_pair(lifted(p)));
  return log_of_odds(parts.s, parts.k - select(p < kTiny, splat(kLiftExponent), splat(0.0)));
}

// a·log a, and 0 for a = 0.
template <class W>
SIGMAX_INLINE W information(W a) {
  return keep(leading(a) > 0.0, multiply(log_probability<W>(leading(a)), a));
}

// 1 for a number that is no probability.
SIGMAX_INLINE Vec improper(Vec p) { return select((p >= 0.0) & (p <= 1.0), splat(0.0), splat(1.0)); }

}  // namespace
}  // namespace sigmax
