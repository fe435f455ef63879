// Adding the lanes of vectors in an order that does not depend on their width.
#pragma once

#include "math.h"

namespace sigmax {
namespace {

constexpr int kVirtualLanes = 32;
constexpr int kVectors = kVirtualLanes / kLanes;
constexpr int kEight = 8;  // lanes of the widest vector

// Lane i of the result is lane i + step, cyclically: adding it leaves the same sum in every lane.
template <int step, class V>
SIGMAX_INLINE V rotated(V v) {
  constexpr int lanes = kLanes;
#ifdef __clang__
  V r;
  for (int lane = 0; lane < lanes; ++lane) r[lane] = v[(lane + step) % lanes];
  return r;
#else
  decltype(v > v) order;
  for (int lane = 0; lane < lanes; ++lane) order[lane] = (lane + step) % lanes;
  return __builtin_shuffle(v, order);
#endif
}
template <int step>
SIGMAX_INLINE Pair rotated(Pair p) {
  return {rotated<step>(p.hi), rotated<step>(p.lo)};
}

template <int step, class V, class Combine>
SIGMAX_INLINE V fold_lanes(V v, Combine combine) {
  if constexpr (step == 0)
    return v;
  else
    return fold_lanes<step / 2>(combine(v, rotated<step>(v)), combine);
}

// Virtual lanes j and j + half of them, then j + a quarter, ..., j + 1.
template <int vectors = kVectors, class V, class Combine>
SIGMAX_INLINE V fold(V* lanes, Combine combine) {
  SIGMAX_UNROLL for (int step = vectors / 2; step > 0; step /= 2)
    SIGMAX_UNROLL for (int k = 0; k < step; ++k) lanes[k] = combine(lanes[k], lanes[k + step]);
  return fold_lanes<kLanes / 2>(lanes[0], combine);
}

// Running sums: plain, or with the rounding errors carried in the low part.
SIGMAX_INLINE void accumulate(Vec& sum, Vec x) { sum = sum + x; }
SIGMAX_INLINE void accumulate(Pair& sum, Pair x) {
  Pair s = two_sum(sum.hi, x.hi);
  sum = {s.hi, sum.lo + (s.lo + x.lo)};
}
SIGMAX_INLINE void accumulate_product(Vec& sum, Vec a, Vec b) { sum = mul_add(a, b, sum); }
SIGMAX_INLINE void accumulate_product(Pair& sum, Pair a, Vec b) { accumulate(sum, multiply(a, b)); }
SIGMAX_INLINE void accumulate_where(Mask mask, Vec& sum, Vec x) { sum = select(mask, sum + x, sum); }
SIGMAX_INLINE void accumulate_where(Mask mask, Pair& sum, Pair x) { accumulate(sum, keep(mask, x)); }
SIGMAX_INLINE void accumulate_unless(Mask mask, Vec& sum, Vec x) { sum = select(mask, sum, sum + x); }
SIGMAX_INLINE void accumulate_unless(Mask mask, Pair& sum, Pair x) { accumulate(sum, keep(~mask, x)); }

}  // namespace
}  // namespace sigmax
