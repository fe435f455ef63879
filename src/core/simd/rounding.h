// Rounding that is certain: whether a double known up to an error rounds to one number of a narrower type (Ziv 1991).
#pragma once

#include "wide.h"

namespace sigmax {
namespace {

// hi + lo as one double, with an odd last bit where it is not exact. Rounded once more, to fewer digits, that is the
// rounding of hi + lo: an odd number is never half-way.
SIGMAX_INLINE Vec round_to_odd(Pair x) {
  const Pair sum = fast_two_sum(x.hi, x.lo);
  const Bits bits = bit_cast<Bits>(sum.hi);
  const Bits away = bit_cast<Bits>(sum.lo) ^ bits;
  const Bits step = bit_cast<Bits>(bit_cast<Mask>(away) < 0) | 1u;  // -1 or 1: towards what is missing
  const Bits even = (bits & 1u) - 1u;
  return bit_cast<Vec>(bits + (step & even & bit_cast<Bits>(sum.lo != 0.0)));
}

// A type that results are rounded to. Numbers up to `tiny`, the smallest normal one, have one quantum.
struct Format {
  double tiny;
  double anchor;  // 1.5·2^52 quanta of the numbers from 1 to 2: adding it leaves no room for the digits beyond
  double half;    // of such a quantum
};
constexpr Format format_of(int digits, double tiny) {
  const double power = static_cast<double>(std::uint64_t{1} << digits);
  return {tiny, 0x1.8p53 / power, 1.0 / power};
}
template <class S>
constexpr Format kFormat = format_of(24, 0x1p-126);
template <>
constexpr Format kFormat<Half> = format_of(11, 0x1p-14);
template <>
constexpr Format kFormat<BFloat> = format_of(8, 0x1p-126);

struct Rounded {
  Vec number;
  Mask in_doubt;
};

// y rounded to the format, ties to even; in doubt where a tie is within the error, relative to y.
SIGMAX_INLINE Rounded round_within(Vec y, double error, const Format& format) {
  const Vec power = bit_cast<Vec>(bit_cast<Bits>(y) & 0x7ff0000000000000u);
  const Vec quantum = min(opaque(kLargest / 0x1p54), max(power, splat(format.tiny)));
  const Vec anchor = quantum * format.anchor;
  const Vec number = (y + anchor) - anchor;
  const Bits sign = bit_cast<Bits>(y) & 0x8000000000000000u;
  return {bit_cast<Vec>(bit_cast<Bits>(number) | sign), abs(y - number) > quantum * (format.half - 2.0 * error)};
}

// A format in every lane, and the number of it that is nearest to y, with half of the quantum there.
struct Grid {
  Vec tiny, anchor, half;
  Grid() = default;
  explicit SIGMAX_INLINE Grid(const Format& f) : tiny(splat(f.tiny)), anchor(splat(f.anchor)), half(splat(f.half)) {}
};
struct GridNumber {
  Vec number, half;
};
SIGMAX_INLINE GridNumber on_grid(Vec y, const Grid& grid) {
  const Vec power = bit_cast<Vec>(bit_cast<Bits>(y) & 0x7ff0000000000000u);
  const Vec quantum = min(opaque(kLargest / 0x1p54), max(power, grid.tiny)), anchor = quantum * grid.anchor;
  const Bits sign = bit_cast<Bits>(y) & 0x8000000000000000u;
  return {bit_cast<Vec>(bit_cast<Bits>((y + anchor) - anchor) | sign), quantum * grid.half};
}
// y rounded to the format; in doubt where a tie is within the error, or as close as doubles tell.
SIGMAX_INLINE Rounded round_within(Vec y, Vec error, const Grid& grid) {
  const GridNumber nearest = on_grid(y, grid);
  return {nearest.number, abs(y - nearest.number) >= nearest.half - error};
}
// Whether doubles that round to normal floats are within some units of the last place of a tie; the units are an integer.
SIGMAX_INLINE Mask is_near_tie(Vec y, Vec units) {
  constexpr std::uint64_t between = (std::uint64_t{1} << 29) - 1;  // two floats
  const Bits around = bit_cast<Bits>(units + 0x1p52) & between;
  return bit_cast<Mask>((bit_cast<Bits>(y) + around - (std::uint64_t{1} << 28)) & between) < bit_cast<Mask>(around + around);
}

// The same of a Pair.
SIGMAX_INLINE Rounded round_within(Pair y, Vec error, const Grid& grid) {
  const GridNumber nearest = on_grid(y.hi, grid);
  const Vec away = y.hi - nearest.number, sign = bit_cast<Vec>((bit_cast<Bits>(away) & 0x8000000000000000u) | bit_cast<Bits>(splat(1.0)));
  const Vec beyond = (abs(away) - nearest.half) + y.lo * sign;  // the tie
  return {select(beyond > 0.0, nearest.number + 2.0 * nearest.half * sign, nearest.number), abs(beyond) <= error};
}

// The same test for many doubles that round to normal floats, in 32-bit lanes: the low words of two vectors are one vector.
constexpr int kFull = SIGMAX_VECTOR_BYTES / 4;
typedef std::int32_t Ints __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));
typedef std::uint32_t UnsignedInts __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));

SIGMAX_INLINE Ints smaller(Ints a, Ints b) { return a < b ? a : b; }
SIGMAX_INLINE Ints larger(Ints a, Ints b) { return a > b ? a : b; }

// In any order.
SIGMAX_INLINE UnsignedInts low_words(Vec a, Vec b) {
  UnsignedInts r;
#ifdef __AVX2__
  __asm__("vshufps $0x88, %2, %1, %0" : "=v"(r) : "v"(a), "v"(b));
  return r;
#else
  const UnsignedInts first = bit_cast<UnsignedInts>(a), second = bit_cast<UnsignedInts>(b);
  for (int i = 0; i < kLanes; ++i) {
    r[i] = first[2 * i];
    r[kLanes + i] = second[2 * i];
  }
  return r;
#endif
}

// The 29 digits that a float has no room for, less half: `units` of the last place around a tie become the smallest integers.
SIGMAX_INLINE Ints above_tie(Vec a, Vec b, UnsignedInts units) {
  return bit_cast<Ints>((low_words(a, b) << 3) + (units << 3));
}

}  // namespace
}  // namespace sigmax
