// Adding numbers in an order that does not depend on the width of vectors.
//
// Numbers are added in eight virtual lanes, the widest vector's, whatever a register holds; then lanes i and i + 4, i and
// i + 2, i and i + 1 are added. A row whose classes are in lanes and one that has a lane for itself fold in the same order.
#pragma once

#include "wide.h"

namespace sigmax {
namespace {

constexpr int kOctet = 8;
constexpr int kVectors = kOctet / kLanes;  // that hold an octet

// 0, 1, 2, ...
SIGMAX_INLINE Vec first_integers() {
  Vec lanes;
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = lane;
  return lanes;
}

// Lane i of the result is lane i + step, cyclically: adding it leaves the same sum in every lane.
template <int step, class V>
SIGMAX_INLINE V rotated(V v) {
  constexpr int lanes = sizeof(V) / sizeof(v[0]);
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

// The largest lane of floats or doubles; none is NaN.
template <int step, class V>
SIGMAX_INLINE V largest_lane(V v) {
  if constexpr (step == 0) {
    return v;
  } else {
    const V other = rotated<step>(v);
    return largest_lane<step / 2>(v > other ? v : other);
  }
}

// The larger one of numbers or vectors, b where a is NaN.
template <class V>
SIGMAX_INLINE V larger_of(V a, V b) {
  return a > b ? a : b;
}

// The largest of n numbers, -inf where none is above it.
template <class T>
double largest_of(const T* numbers, std::ptrdiff_t n) {
  constexpr int lanes = SIGMAX_VECTOR_BYTES / sizeof(T), unroll = 4;
  constexpr T infinity = static_cast<T>(kInfinity);
  typedef T V __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));
  V part[unroll];
  for (V& v : part) v = V{} - infinity;
  std::ptrdiff_t i = 0;
  for (; i + unroll * lanes <= n; i += unroll * lanes)
    SIGMAX_UNROLL_ALL for (int k = 0; k < unroll; ++k) part[k] = larger_of(load_vector<V>(numbers + i + k * lanes), part[k]);
  for (; i + lanes <= n; i += lanes) part[0] = larger_of(load_vector<V>(numbers + i), part[0]);
  if (n >= lanes) {
    part[1] = larger_of(load_vector<V>(numbers + n - lanes), part[1]);
  } else {
    T rest[lanes];
    for (int k = 0; k < lanes; ++k) rest[k] = k < n ? numbers[k] : -infinity;
    part[1] = larger_of(load_vector<V>(rest), part[1]);
  }
  return largest_lane<lanes / 2>(larger_of(larger_of(part[0], part[1]), larger_of(part[2], part[3])))[0];
}

// `count` vectors, a power of two: their lanes, one after the other, folded into every lane of the result.
template <int count, class V, class Combine>
SIGMAX_INLINE V fold(V* vectors, Combine combine) {
  SIGMAX_UNROLL for (int step = count / 2; step > 0; step /= 2)
    SIGMAX_UNROLL for (int k = 0; k < step; ++k) vectors[k] = combine(vectors[k], vectors[k + step]);
  return fold_lanes<kLanes / 2>(vectors[0], combine);
}

// Running sums: plain, or with the rounding errors carried in the low part.
SIGMAX_INLINE void accumulate(Vec& sum, Vec x) { sum = sum + x; }
SIGMAX_INLINE void accumulate(Pair& sum, Pair x) {
  Pair s = two_sum(sum.hi, x.hi);
  sum = {s.hi, sum.lo + (s.lo + x.lo)};
}
// With the rounding errors in `rest`: all of them but 2^-51 of the sum, which is lost while it is smaller than what is added.
SIGMAX_INLINE void accumulate(Vec& sum, Vec& rest, Vec x) {
  const Pair s = fast_two_sum(sum, x);
  sum = s.hi;
  rest = rest + s.lo;
}
SIGMAX_INLINE void accumulate_product(Vec& sum, Vec a, Vec b) { sum = mul_add(a, b, sum); }
SIGMAX_INLINE void accumulate_product(Pair& sum, Pair a, Vec b) { accumulate(sum, multiply(a, b)); }
SIGMAX_INLINE void accumulate_where(Mask mask, Vec& sum, Vec x) { sum = select(mask, sum + x, sum); }
SIGMAX_INLINE void accumulate_where(Mask mask, Pair& sum, Pair x) { accumulate(sum, keep(mask, x)); }
SIGMAX_INLINE void accumulate_unless(Mask mask, Vec& sum, Vec x) { sum = select(mask, sum, sum + x); }
SIGMAX_INLINE void accumulate_unless(Mask mask, Pair& sum, Pair x) { accumulate(sum, keep(~mask, x)); }

// How often a lane of a mask is set.
SIGMAX_INLINE void count(Vec& sum, Mask mask) { accumulate_where(mask, sum, splat(1.0)); }
SIGMAX_INLINE void count(Pair& sum, Mask mask) { count(sum.hi, mask); }

}  // namespace
}  // namespace sigmax
