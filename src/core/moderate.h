// Rows of moderate logits, in lanes of the stored type itself: twice as many floats in a vector as doubles.
//
// A row is moderate when its largest |x|/T is below kReach and no x/T is more than about kTop·ln 2 below the largest:
// the rows that classifiers and language models make. Other rows go the general way (see rows.h). Which way a row
// goes is decided by its values and its temperature alone.
//
// With n the integer nearest to x/step, step = T·ln 2/kSteps rounded, the fused difference x - n·step is exact, and so
//   e^(x/T) = 2^(n/kSteps)·e^w,  w = (x - n·step - n·rest)/T,  |w| <= ln 2/(2·kSteps),
// needs no rounded subtraction of the maximum. It is kept as a pair hi + lo, times 2^(kTop - n_max/kSteps): a row's
// terms are its Boltzmann factors times one common number, which cancels. Powers of two are added to exponents as
// integers. The error of a term is 2^-27 of it in float, 2^-56 in double; the one rounding comes at the end.
#pragma once

#include "fold.h"

namespace sigmax {
namespace {

template <class T>
struct Moderate;

template <>
struct Moderate<float> {
  typedef std::uint32_t Word;
  static constexpr int kSteps = 8, kTop = 80, kBetas = 4;
  static constexpr Word kRound = 0x4b400000, kWindow = 1024;  // the bits of kRoundToInteger; n stays below kWindow
  static constexpr double kRoundToInteger = 0x1.8p23, kReach = 0x1p10, kLargestTemperature = 0x1p20;
};

template <>
struct Moderate<double> {
  typedef std::uint64_t Word;
  static constexpr int kSteps = 1, kTop = 800, kBetas = 2;
  static constexpr Word kRound = 0x4338000000000000, kWindow = 1024;
  static constexpr double kRoundToInteger = 0x1.8p52, kReach = 0x1p20, kLargestTemperature = 0x1p200;
};

// What the exponentials of rows of one temperature have in common; in a tile, of a row per lane.
template <class T>
struct Scale {
  Lanes<T> limit;  // of |x| of a moderate row's largest logit
  Lanes<T> rate, step, rest, beta[Moderate<T>::kBetas];
};

SIGMAX_INLINE Floats splat_lanes(float x) { return x - Floats{}; }
SIGMAX_INLINE Vec splat_lanes(double x) { return splat(x); }

// Comparisons as integers of the lanes' size: -1 where true.
SIGMAX_INLINE FloatBits mask_bits(decltype(Floats{} == Floats{}) mask) { return bit_cast<FloatBits>(mask); }
SIGMAX_INLINE Bits mask_bits(Mask mask) { return bit_cast<Bits>(mask); }

template <class V, class I>
SIGMAX_INLINE PairOf<V> only_in(I mask, PairOf<V> p) {
  return {bit_cast<V>(bit_cast<I>(p.hi) & mask), bit_cast<V>(bit_cast<I>(p.lo) & mask)};
}

// -1 in the first `count` lanes.
template <class T>
SIGMAX_INLINE Integers<T> lanes_below(std::ptrdiff_t count) {
  constexpr int lanes = sizeof(Lanes<T>) / sizeof(T);
  Lanes<T> index;
  for (int lane = 0; lane < lanes; ++lane) index[lane] = static_cast<T>(lane);
  return mask_bits(index < splat_lanes(static_cast<T>(count)));
}

template <class I>
SIGMAX_INLINE bool any_lane(I bits) {
  std::uint64_t set = 0;
  for (std::size_t lane = 0; lane < sizeof(I) / sizeof(bits[0]); ++lane) set |= bits[lane];
  return set != 0;
}

template <class I>
SIGMAX_INLINE std::uint64_t sum_of_lanes(I counts) {
  std::uint64_t sum = 0;
  for (std::size_t lane = 0; lane < sizeof(I) / sizeof(counts[0]); ++lane) sum += counts[lane];
  return sum;
}

// GCC must not merge what computes x with the comparison that follows: two instructions become six.
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

// 2^(k/8) = hi + lo, less the k that comes along with the power of two; twice, for vectors of sixteen.
alignas(64) constexpr std::uint32_t kRootHi[] = {
    0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7, 0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7,
    0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7, 0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7};
alignas(64) constexpr std::uint32_t kRootLo[] = {
    0x00000000, 0xb250aba1, 0x33031b71, 0xb2fc9d5e, 0x328fe77a, 0x31baa837, 0xb274a58a, 0xb1d116de,
    0x00000000, 0xb250aba1, 0x33031b71, 0xb2fc9d5e, 0x328fe77a, 0x31baa837, 0xb274a58a, 0xb1d116de};
// c in e^w = 1 + w + c0·w² + c1·w³ + c2·w⁴, |w| <= ln 2 / 16.
constexpr double kExpRoot[] = {0x1p-1, 0x1.555c6ep-3, 0x1.555664p-5};  // c0.. ascending; largest error 2^-32.4
// P in e^w = 1 + w + w²·P(w), |w| <= ln 2 / 2.
constexpr double kExpWhole[] = {0x1.000000000000ap-1, 0x1.555555555550dp-3, 0x1.55555555507bap-5, 0x1.111111112454p-7, 0x1.6c16c184319fep-10, 0x1.a01a01384fe21p-13, 0x1.a0199a21b3d84p-16, 0x1.71df0cc2a9775p-19, 0x1.28ad4c2877747p-22, 0x1.ad9eef1cd5726p-26};  // c0.. ascending; largest error 2^-57.9

constexpr double kLn2 = 0x1.62e42fefa39efp-1;
constexpr double kLn2Rest = 0x1.abc9e3b39803fp-56;  // ln2 - kLn2 - kLn2Rest = 2^-110.5

// Temperatures far from 1 are not moderate: step, 1/T and what is left of them could be subnormal.
template <class T>
SIGMAX_INLINE T limit_at(double temperature) {
  constexpr double largest = Moderate<T>::kLargestTemperature;
  bool moderate = temperature <= largest && temperature * largest >= 1.0;
  return static_cast<T>(moderate ? Moderate<T>::kReach * temperature : -1.0);
}

// What of a Scale depends on the temperature alone. For float, the powers of 1/T go into the coefficients.
SIGMAX_INLINE void set_temperature(Scale<float>& s, double temperature) {
  s.limit = splat_lanes(limit_at<float>(temperature));
  double beta = 1.0 / temperature, step = temperature * (kLn2 / 8), power = beta;
  s.rate = splat_lanes(static_cast<float>(8 * kLog2e * beta));
  s.step = splat_lanes(static_cast<float>(step));
  s.rest = splat_lanes(static_cast<float>(step - static_cast<float>(step)));
  s.beta[0] = splat_lanes(static_cast<float>(beta));
  for (int k = 1; k < 4; ++k) s.beta[k] = splat_lanes(static_cast<float>((power *= beta) * kExpRoot[k - 1]));
}

// For double, `rest` comes over T, and 1/T as a pair.
SIGMAX_INLINE void set_temperature(Scale<double>& s, double temperature) {
  s.limit = splat(limit_at<double>(temperature));
  Vec t = splat(temperature);
  Pair step = two_product(t, splat(kLn2)), beta = reciprocal(as_pair(t));
  s.rate = beta.hi * kLog2e;
  s.step = step.hi;
  s.rest = mul_add(t, kLn2Rest, step.lo) * beta.hi;
  s.beta[0] = beta.hi;
  s.beta[1] = beta.lo;
}

// The integer n of the row's largest logit becomes kTop·kSteps.
template <class T>
SIGMAX_INLINE Lanes<T> offset_of(Lanes<T> max, Lanes<T> rate) {
  Lanes<T> round = splat_lanes(static_cast<T>(Moderate<T>::kRoundToInteger));
  Lanes<T> n = mul_add(max, rate, round) - round;
  return (round - n) + static_cast<T>(Moderate<T>::kTop * Moderate<T>::kSteps);
}

// e^(x/T)·2^(kTop - n_max/kSteps); `used` collects the integers n, as bits.
SIGMAX_INLINE PairOf<Floats> exponential(Floats x, Floats offset, const Scale<float>& s, FloatBits& used) {
  Floats t = mul_add(x, s.rate, offset);
  Floats n = t - offset;
  Floats u = mul_add(n, -s.rest, mul_add(n, -s.step, x));
  Floats expm1 = u * mul_add(u, mul_add(u, mul_add(u, s.beta[3], s.beta[2]), s.beta[1]), s.beta[0]);
  FloatBits bits = bit_cast<FloatBits>(t), power = bits << 20;
  used |= bits;
  Floats hi = bit_cast<Floats>(lookup8(kRootHi, bits) + power);
  Floats lo = bit_cast<Floats>(lookup8(kRootLo, bits) + power);
  return {hi, mul_add(hi, expm1, lo)};
}

// With one step, e^w reaches √2 and w²·P(w) 0.07: 1 + r is split into its rounded value and its error, which leaves
// only the small w²·P(w) and `rest` to be rounded before the sum.
SIGMAX_INLINE Pair exponential(Vec x, Vec offset, const Scale<double>& s, Bits& used) {
  Vec t = mul_add(x, s.rate, offset);
  Vec n = t - offset;
  Vec u = mul_add(n, -s.step, x);
  Vec r = u * s.beta[0];
  Vec rest = mul_add(n, -s.rest, mul_add(u, s.beta[1], mul_add(u, s.beta[0], -r)));
  Vec w = r + rest;
  Vec tail = mul_add(w * w, polynomial(w, kExpWhole), rest);
  Vec hi = 1.0 + r;
  Vec lo = (r - (hi - 1.0)) + tail;
  Bits bits = bit_cast<Bits>(t), power = bits << 52;
  used |= bits;
  return {bit_cast<Vec>(bit_cast<Bits>(hi) + power), bit_cast<Vec>(bit_cast<Bits>(lo) + power)};
}

// -1 in the lanes whose integers were not all in the window, as those of NaN and the infinities are not.
template <class T>
SIGMAX_INLINE Integers<T> out_of_window(Integers<T> used) {
  typedef typename Moderate<T>::Word Word;
  return mask_bits((used & ~Word{Moderate<T>::kWindow - 1}) != Integers<T>{} + Moderate<T>::kRound);
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

// Adds terms; with `apart`, not those of the ties: they are counted.
template <class T, bool apart>
struct TermSum {
  typedef Lanes<T> V;
  static constexpr T kStart = apart ? 0 : kAboveTerms<T>;

  PairOf<V> sum = {splat_lanes(kStart), V{}};
  Integers<T> used = {}, ties = {};

  // Moves to the high part what it can hold: while the low part is large, adding to it costs digits.
  SIGMAX_INLINE void renormalize() {
    V s = sum.hi + sum.lo;
    sum = {s, sum.lo - (s - sum.hi)};
  }

  SIGMAX_INLINE PairOf<V> term(V x, V offset, const Scale<T>& scale) { return exponential(x, offset, scale, used); }

  SIGMAX_INLINE void add(V x, V max, PairOf<V> term) {
    if constexpr (apart) {
      Integers<T> loser = mask_bits(x != max);
      ties += 1 + loser;
      add_any(sum, only_in(loser, term));
    } else {
      add_smaller(sum, term);
    }
  }
};

// ---------------------------------------------------------------- one row, classes in lanes

// A block: as many numbers as the widest vector has. Class i goes to lane i mod kBlock.
template <class T>
constexpr int kBlock = 64 / sizeof(T);
constexpr int kBlockVectors = 64 / SIGMAX_VECTOR_BYTES;

SIGMAX_INLINE Vec joined(const float* hi, const float* lo) { return load(hi) + load(lo); }
SIGMAX_INLINE Pair joined(const double* hi, const double* lo) { return two_sum(load(hi), load(lo)); }

// The sums of a block's lanes, added up.
template <class W, class T, bool apart>
SIGMAX_INLINE W folded(const TermSum<T, apart>* sums) {
  constexpr int wide = kBlock<T> / kLanes;
  T hi[kBlock<T>], lo[kBlock<T>];
  SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) {
    store_vector(hi + k * (kBlock<T> / kBlockVectors), sums[k].sum.hi - TermSum<T, apart>::kStart);
    store_vector(lo + k * (kBlock<T> / kBlockVectors), sums[k].sum.lo);
  }
  W parts[wide];
  SIGMAX_UNROLL for (int k = 0; k < wide; ++k) parts[k] = joined(hi + k * kLanes, lo + k * kLanes);
  return fold<wide>(parts, [](W a, W b) { return add(a, b); });
}

// Σ e^((x - max)/T), the ties apart if wanted.
template <class W>
struct ModerateSums {
  W total;
  double ties;
};

// Rows of n classes in contiguous memory. Terms are kept block by block, the high parts first.
template <class W, class T>
struct ModerateRow {
  typedef Lanes<T> V;
  static constexpr int kVectorLanes = kBlock<T> / kBlockVectors;

  const T* x;
  const T* out;  // where the results will go
  std::ptrdiff_t n;

  // False, and no sums, for a row that is not moderate. `terms` is used unless the ties are apart.
  template <bool apart>
  SIGMAX_NOINLINE bool sums(const Scale<T>& scale, T max, T* terms, ModerateSums<W>* result) const {
    TermSum<T, apart> sums[kBlockVectors];
    V vmax = splat_lanes(max), offset = offset_of<T>(vmax, scale.rate);
    std::ptrdiff_t whole = n / kBlock<T> * kBlock<T>, rest = n - whole;
    for (std::ptrdiff_t i = 0; i < whole; i += kBlock<T>) {
      __builtin_prefetch(x + n + i);
      __builtin_prefetch(out + i, 1);
      SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) {
        V v = load_vector<V>(x + i + k * kVectorLanes);
        PairOf<V> term = sums[k].term(v, offset, scale);
        sums[k].add(v, vmax, term);
        if constexpr (!apart) keep(terms + 2 * i, k, term);
        if (i % (8 * kBlock<T>) == 0) sums[k].renormalize();
      }
    }
    // Or GCC keeps running sums in memory, where they will be folded.
    SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k)
      sums[k].sum = {unfused(sums[k].sum.hi), unfused(sums[k].sum.lo)};
    if (rest > 0) add_last<apart>(sums, offset, scale, max, rest, terms + 2 * whole);
    Integers<T> outside = {}, ties = {};
    SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) {
      outside |= out_of_window<T>(sums[k].used);
      ties += sums[k].ties;
    }
    if (any_lane(outside)) return false;
    result->total = folded<W>(sums);
    if constexpr (apart) {
      result->total = divide(result->total, factor_of_max(vmax, offset, scale));
      result->ties = static_cast<double>(sum_of_lanes(ties)) - (rest > 0 ? kBlock<T> - rest : 0);
    }
    return true;
  }

  // The last block is filled up with ties: apart, they only have to be taken from the count.
  template <bool apart>
  SIGMAX_INLINE void add_last(TermSum<T, apart>* sums, V offset, const Scale<T>& scale, T max, std::ptrdiff_t rest,
                              T* terms) const {
    T padded[kBlock<T>];
    for (T& number : padded) number = max;
    std::memcpy(padded, x + n - rest, rest * sizeof(T));
    SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) {
      V v = load_vector<V>(padded + k * kVectorLanes);
      PairOf<V> term = only_in(lanes_below<T>(rest - k * kVectorLanes), sums[k].term(v, offset, scale));
      sums[k].add(v, splat_lanes(max), term);
      if constexpr (!apart) keep(terms, k, term);
    }
  }

  static SIGMAX_INLINE void keep(T* terms, int k, PairOf<V> term) {
    store_vector(terms + k * kVectorLanes, term.hi);
    store_vector(terms + kBlock<T> + k * kVectorLanes, term.lo);
  }

  static SIGMAX_INLINE W factor_of_max(V max, V offset, const Scale<T>& scale) {
    Integers<T> used = {};
    PairOf<V> term = exponential(max, offset, scale, used);
    T hi[kBlock<T>], lo[kBlock<T>];
    store_vector(hi, term.hi);
    store_vector(lo, term.lo);
    return joined(hi, lo);
  }

  // terms·inverse, rounded once.
  SIGMAX_NOINLINE static void write(const T* terms, std::ptrdiff_t n, W inverse, T* out) {
    T hi = static_cast<T>(leading(inverse)[0]);
    T lo = static_cast<T>((leading(inverse)[0] - hi) + trailing(inverse)[0]);
    PairOf<V> factor = {splat_lanes(hi), splat_lanes(lo)};
    for (std::ptrdiff_t i = 0; i < n; i += kBlock<T>) {
      T padded[kBlock<T>];
      bool whole = i + kBlock<T> <= n;
      T* to = whole ? out + i : padded;
      SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) {
        const T* term = terms + 2 * i + k * kVectorLanes;
        PairOf<V> pair = {load_vector<V>(term), load_vector<V>(term + kBlock<T>)};
        store_vector(to + k * kVectorLanes, rounded_product(pair, factor));
      }
      if (!whole) std::memcpy(out + i, padded, (n - i) * sizeof(T));
    }
  }
};

}  // namespace
}  // namespace sigmax
