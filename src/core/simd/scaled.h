// Numbers with an exponent of their own, number·2^exponent, for products of a few factors of any size: none of them overflows
// or becomes subnormal before the result does. Once per row, never per class.
#pragma once

#include "wide.h"

namespace sigmax {
namespace {

// x·2^exponent for any integer exponent; only the last factor can make a result subnormal.
SIGMAX_INLINE Vec times_power(Vec x, Vec exponent) {
  const Vec first = max(opaque(-1000.0), min(opaque(1000.0), exponent + 1000.0)), rest = exponent - first;
  const Vec second = max(opaque(-1000.0), min(opaque(1000.0), rest));
  return x * two_to(first) * two_to(second) * two_to(max(opaque(-1000.0), min(opaque(1000.0), rest - second)));
}

template <class W>
struct Scaled {
  W number;
  Vec exponent;

  Scaled() = default;
  SIGMAX_INLINE Scaled(W number, Vec exponent) : number(number), exponent(exponent) {}
  // 0, infinities and NaN stay as they are.
  explicit SIGMAX_INLINE Scaled(W x) : number(x) {
    const Vec magnitude = abs(leading(x));
    exponent = only_where((magnitude > 0.0) & (magnitude < kInfinity), min(opaque(1022.0), exponent_of(magnitude)));
    number = scale(x, two_to(-exponent));
  }

  SIGMAX_INLINE Scaled operator*(const Scaled& other) const { return {multiply(number, other.number), exponent + other.exponent}; }
  SIGMAX_INLINE Scaled operator+(const Scaled& other) const {
    const Mask here = leading(number) != 0.0, there = leading(other.number) != 0.0;
    const Vec larger = select(here & there, max(exponent, other.exponent), select(here, exponent, other.exponent));
    return {add(at(larger), other.at(larger)), larger};
  }
  // The number for another, larger exponent: what is far below is 0.
  SIGMAX_INLINE W at(Vec other) const {
    const Vec power = exponent - other;
    return keep(power > -1000.0, scale(number, two_to(max(opaque(-1000.0), min(opaque(1000.0), power)))));
  }
  SIGMAX_INLINE Vec rounded() const { return times_power(sigmax::rounded(number), exponent); }
};

// About 1 again, also where x was subnormal and its number is tiny.
template <class W>
SIGMAX_INLINE Scaled<W> reciprocal(const Scaled<W>& x) {
  Scaled<W> result(reciprocal(x.number));
  result.exponent = result.exponent - x.exponent;
  return result;
}

// 0·infinity is 0 here.
template <class W>
SIGMAX_INLINE Scaled<W> only_where(Mask mask, const Scaled<W>& x) {
  return {keep(mask, x.number), only_where(mask, x.exponent)};
}

// Numbers that need no exponent of their own: the same operations, the same bits, a tenth of the work.
template <class W>
struct Plain {
  W number;

  Plain() = default;
  explicit SIGMAX_INLINE Plain(W x) : number(x) {}

  SIGMAX_INLINE Plain operator*(const Plain& other) const { return Plain(multiply(number, other.number)); }
  SIGMAX_INLINE Plain operator+(const Plain& other) const { return Plain(add(number, other.number)); }
  SIGMAX_INLINE Vec rounded() const { return sigmax::rounded(number); }
};
template <class W>
SIGMAX_INLINE Plain<W> only_where(Mask mask, const Plain<W>& x) {
  return Plain<W>(keep(mask, x.number));
}

// Whether products of some of these numbers are as well in doubles, for results that are narrow: none overflows, and what
// becomes subnormal is 0 there.
template <class... Vecs>
SIGMAX_INLINE bool are_moderate(Vecs... numbers) {
  Mask moderate = ~Mask{};
  const Vec all[] = {numbers...};
  for (const Vec& number : all) moderate = moderate & (abs(number) <= 0x1p100);
  return !any(~moderate);
}

// The largest exponent of those that are not 0.
template <class W>
SIGMAX_INLINE Vec common_exponent(const Scaled<W>& a, const Scaled<W>& b, const Scaled<W>& c) {
  const auto exponent = [](const Scaled<W>& x) SIGMAX_ALWAYS { return select(leading(x.number) != 0.0, x.exponent, splat(-4000.0)); };
  return max(max(exponent(a), exponent(b)), exponent(c));
}
// Of narrow rows: what makes everything infinite that is not 0 need not be larger, but of two such the larger has the sign.
SIGMAX_INLINE void bound_together(Scaled<Vec>& a, Scaled<Vec>& b) {
  const Vec excess = max(splat(0.0), min(a.exponent, b.exponent) - 900.0);
  a.exponent = min(opaque(1000.0), a.exponent - excess);
  b.exponent = min(opaque(1000.0), b.exponent - excess);
}
template <class N>
SIGMAX_INLINE void bound_together(N&, N&) {}
// Whether x at this exponent may be 0 without being so.
template <class W>
SIGMAX_INLINE Mask is_out_of_reach(const Scaled<W>& x, Vec common) {
  return (leading(x.number) != 0.0) & ((x.exponent < common - 900.0) | (common > 900.0));
}
template <class W>
SIGMAX_INLINE Mask is_out_of_reach(const Plain<W>&, Vec) {
  return Mask{};
}
template <class W>
SIGMAX_INLINE Vec exponent_of(const Scaled<W>& x) {
  return x.exponent;
}
template <class W>
SIGMAX_INLINE Vec exponent_of(const Plain<W>&) {
  return Vec{};
}
template <class W>
SIGMAX_INLINE Vec common_exponent(const Plain<W>&, const Plain<W>&, const Plain<W>&) {
  return Vec{};
}

}  // namespace
}  // namespace sigmax
