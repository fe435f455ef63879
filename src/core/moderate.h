// Rows of moderate logits, in lanes of the stored type itself.
//
// A row is moderate when its largest |x|/T is below kReach and no x/T is more than about kTop·ln 2 below the largest:
// the rows that classifiers and language models make. Other rows go the general way (rows.h). Which way a row
// goes is decided by its values and its temperature alone.
//
// With n the integer nearest to x/step, step = T·ln 2/8 rounded, the fused difference x - n·step is exact, and so
//   e^(x/T) = 2^(n/8)·e^w,  w = (x - n·step - n·rest)/T,  |w| <= ln 2/16,
// needs no rounded subtraction of the maximum. A term is the pair 2^(n/8) + 2^(n/8)·(e^w - 1), times 2^(kTop - n_max/8):
// a row's terms are its Boltzmann factors times one common number, which cancels. Powers of two are added to exponents
// as integers. A term is exact to 2^-28 (float) or 2^-57 (double); what comes of it is rounded once.
#pragma once

#include "fold.h"
#include "lanes.h"

namespace sigmax {
namespace {

template <class T>
struct Moderate;

template <>
struct Moderate<float> {
  typedef std::uint32_t Word;
  static constexpr int kTop = 80;
  static constexpr Word kRound = 0x4b400000, kWindow = 1024;  // kRoundToInteger as bits; 8·kTop is in the window
  static constexpr double kReach = 0x1p10, kLargestTemperature = 0x1p20;
};

template <>
struct Moderate<double> {
  typedef std::uint64_t Word;
  static constexpr int kTop = 800;
  static constexpr Word kRound = 0x4338000000000000, kWindow = 8192;
  static constexpr double kReach = 0x1p20, kLargestTemperature = 0x1p100;
};

template <class T>
constexpr int kSeriesTerms = sizeof(Format<T>::kDecay) / sizeof(T);

// What the exponentials of rows of one temperature have in common; in a tile, of a row per lane.
template <class T>
struct Scale {
  Lanes<T> limit;  // of |x| of a moderate row's largest logit
  Lanes<T> rate, step, rest;
  Lanes<T> series[kSeriesTerms<T>];  // e^(u/T) - 1 = u·(series[0] + series[1]·u + ...)
};

// Comparisons as integers of the lanes' size: -1 where true.
template <class T, class M>
SIGMAX_INLINE Integers<T> mask_bits(M mask) {
  return bit_cast<Integers<T>>(mask);
}

template <class V, class I>
SIGMAX_INLINE V only_in_lanes(I mask, V x) {
  return bit_cast<V>(bit_cast<I>(x) & mask);
}
template <class V, class I>
SIGMAX_INLINE PairOf<V> only_in(I mask, PairOf<V> p) {
  return {only_in_lanes(mask, p.hi), only_in_lanes(mask, p.lo)};
}

SIGMAX_INLINE Floats abs_lanes(Floats x) { return bit_cast<Floats>(bit_cast<FloatBits>(x) & 0x7fffffffu); }
SIGMAX_INLINE Vec abs_lanes(Vec x) { return abs(x); }

SIGMAX_INLINE const float* lane_pointer(const Floats& x) { return reinterpret_cast<const float*>(&x); }
SIGMAX_INLINE const double* lane_pointer(const Vec& x) { return reinterpret_cast<const double*>(&x); }

// -1 in the first `count` lanes.
template <class T>
SIGMAX_INLINE Integers<T> lanes_below(std::ptrdiff_t count) {
  constexpr int lanes = sizeof(Lanes<T>) / sizeof(T);
  Lanes<T> index;
  for (int lane = 0; lane < lanes; ++lane) index[lane] = static_cast<T>(lane);
  return mask_bits<T>(index < constant(static_cast<T>(count)));
}

template <class I>
SIGMAX_INLINE std::uint64_t sum_of_lanes(I counts) {
  std::uint64_t sum = 0;
  for (std::size_t lane = 0; lane < sizeof(I) / sizeof(counts[0]); ++lane) sum += counts[lane];
  return sum;
}

// GCC must not merge what computes x with a comparison that follows, nor keep x in memory where it is stored after a
// loop.
template <class V>
SIGMAX_INLINE V unfused(V x) {
#if defined(__x86_64__)
  __asm__("" : "+v"(x));
#endif
  return x;
}

SIGMAX_INLINE Floats rounded_product(PairOf<Floats> a, PairOf<Floats> b) {
  return mul_add(a.hi, b.hi, mul_add(a.hi, b.lo, a.lo * b.hi));
}

// ---------------------------------------------------------------- exponentials

// Temperatures far from 1 are not moderate: step, 1/T and what is left of them could be subnormal.
template <class T>
SIGMAX_INLINE T limit_at(double temperature) {
  constexpr double largest = Moderate<T>::kLargestTemperature;
  bool moderate = temperature <= largest && temperature * largest >= 1.0;
  return static_cast<T>(moderate ? Moderate<T>::kReach * temperature : -1.0);
}

// The powers of 1/T go into the coefficients: a temperature costs nothing per number.
template <class T>
SIGMAX_INLINE void set_temperature(Scale<T>& s, double temperature) {
  constexpr auto& decay = Format<T>::kDecay;
  Pair step = two_product(splat(temperature), splat(kStepDouble));
  T rounded_step = static_cast<T>(step.hi[0]);
  double beta = 1.0 / temperature, power = -beta;
  s.limit = constant(limit_at<T>(temperature));
  s.rate = constant(static_cast<T>(8 * kLog2e * beta));
  s.step = constant(rounded_step);
  s.rest = constant(static_cast<T>((step.hi[0] - rounded_step) + (step.lo[0] + temperature * kStepRestDouble)));
  int k = 0;
  for (Lanes<T>& coefficient : s.series) {
    coefficient = constant(static_cast<T>(decay[k++] * power));
    power *= -beta;
  }
}

// The integer n of the row's largest logit becomes 8·kTop.
template <class T>
SIGMAX_INLINE Lanes<T> offset_of(Lanes<T> max, Lanes<T> rate) {
  Lanes<T> round = constant(Format<T>::kRoundToInteger);
  Lanes<T> n = mul_add(max, rate, round) - round;
  return (round - n) + T{8 * Moderate<T>::kTop};
}

// e^(x/T)·2^(kTop - n_max/8); `used` collects the integers n, as bits.
template <class T>
SIGMAX_INLINE PairOf<Lanes<T>> exponential(Lanes<T> x, Lanes<T> offset, const Scale<T>& s, Integers<T>& used) {
  typedef Format<T> C;
  Lanes<T> t = mul_add(x, s.rate, offset);
  Lanes<T> n = t - offset;
  Lanes<T> u = mul_add(n, -s.rest, mul_add(n, -s.step, x));
  Lanes<T> series = s.series[kSeriesTerms<T> - 1];
  SIGMAX_UNROLL_ALL for (int k = kSeriesTerms<T> - 2; k >= 0; --k) series = mul_add(u, series, s.series[k]);
  Integers<T> bits = bits_of(t);
  used |= bits;
  Lanes<T> root = bit_cast<Lanes<T>>(look_up(C::kRoots, bits) + (bits << (C::kFractionBits - 3)));
  return {root, root * mul_add(u, series, bit_cast<Lanes<T>>(look_up(C::kRootRests, bits)))};
}

// -1 in the lanes whose integers were not all in the window, as those of NaN and the infinities are not.
template <class T>
SIGMAX_INLINE Integers<T> out_of_window(Integers<T> used) {
  typedef typename Moderate<T>::Word Word;
  return mask_bits<T>((used & ~Word{Moderate<T>::kWindow - 1}) != Integers<T>{} + Moderate<T>::kRound);
}

// ---------------------------------------------------------------- sums

// Above every term: a sum that starts with it is the larger part of every addition.
template <class T>
constexpr T kAboveTerms = static_cast<T>(sizeof(T) == sizeof(float) ? 0x1p81 : 0x1p801);

// Running sums with their rounding errors in the low part: of terms that are smaller than the sum, ...
template <class V>
SIGMAX_INLINE void add_smaller(PairOf<V>& sum, PairOf<V> term) {
  V s = sum.hi + term.hi;
  sum = {s, sum.lo + ((term.hi - (s - sum.hi)) + term.lo)};
}

// ... and of any: the sum of a confident row's losers may be tiny, and has to keep its digits.
template <class V>
SIGMAX_INLINE void add_any(PairOf<V>& sum, PairOf<V> term) {
  V hi = unfused(term.hi);
  V large = sum.hi > hi ? sum.hi : hi, small = sum.hi < hi ? sum.hi : hi;
  V s = large + small;
  sum = {s, sum.lo + ((small - (s - large)) + term.lo)};
}

// What is added up: all terms, or the terms less the ties, which are counted.
template <class T, bool apart>
struct TermSum {
  typedef Lanes<T> V;
  static constexpr T kStart = apart ? 0 : kAboveTerms<T>;

  PairOf<V> sum = {constant(kStart), V{}};
  Integers<T> ties = {};

  SIGMAX_INLINE void add(V x, V max, PairOf<V> term, Integers<T> valid = ~Integers<T>{}) {
    if constexpr (apart) {
      Integers<T> tie = mask_bits<T>(x == max);
      ties -= tie & valid;
      add_any(sum, only_in(~tie & valid, term));
    } else {
      add_smaller(sum, only_in(valid, term));
    }
  }

  // Moves to the high part what it can hold: adding to a low part that is large would cost digits.
  SIGMAX_INLINE void renormalize() {
    V s = sum.hi + sum.lo;
    sum = {s, sum.lo - (s - sum.hi)};
  }
};

// A block: as many numbers as the widest vector has.
template <class T>
constexpr int kBlock = 64 / sizeof(T);
constexpr int kBlockVectors = 64 / SIGMAX_VECTOR_BYTES;

// Sums are renormalized after every eighth block.
template <class T>
SIGMAX_INLINE bool renormalizes_after(std::ptrdiff_t block_begin) {
  return block_begin % (8 * kBlock<T>) == 0;
}

// A sum less what it started with.
SIGMAX_INLINE Vec joined(const float* hi, const float* lo, float start) { return (load(hi) - start) + load(lo); }
SIGMAX_INLINE Pair joined(const double* hi, const double* lo, double start) {
  return two_sum(load(hi) - start, load(lo));
}

template <class W>
SIGMAX_INLINE W plus(W a, W b) {
  return add(a, b);
}

// The factor of a row's (or of rows') terms, as a pair of T.
template <class T, class W>
SIGMAX_INLINE void split(W x, T* hi, T* lo) {
  store(hi, leading(x));
  store(lo, (leading(x) - load(hi)) + trailing(x));
}

// Σ e^((x - max)/T) of a row, or of a row per lane, times the unit of its terms. With the ties apart it is that of the
// others, without the unit.
template <class W>
struct ModerateSums {
  W total;
  Vec ties = {};
  W unit = {};
};

}  // namespace
}  // namespace sigmax
