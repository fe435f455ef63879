// Elementwise functions in lanes of the stored type itself: floats for the narrow types, doubles for float64.
//
// Each function is one formula. Its result is an unevaluated sum or product of two numbers, exact to three or four bits
// more than one holds, and is rounded once. Largest errors: float32 0.67 ULP (measured on all inputs), float64 0.6 ULP
// (sampled); float16 and bfloat16 are correctly rounded (all inputs are tested). Numbers out of the formula's reach -
// subnormal results, NaN, outside the domain - go through the wider arithmetic of elementwise.h, one by one: a result
// depends on its own argument alone.
#pragma once

#include "elementwise.h"
#include "lanes.h"

namespace sigmax {
namespace {

// To odd: of the two floats around the number the one whose last bit is 1. A second rounding, to fewer bits, is then
// that of the number itself (Boldo & Melquiond 2008). A float may move by one bit, which no second rounding sees.
template <class Number>
SIGMAX_INLINE Floats rounded_to_odd(Number x) {
  PairOf<Floats> s = split(x);
  FloatBits below = bit_cast<FloatBits>(bit_cast<FloatMask>(bits_of(s.hi) ^ bits_of(s.lo)) >> 31);
  return bit_cast<Floats>((bits_of(s.hi) + below) | 1u);
}

// ---------------------------------------------------------------- stores of a number rounded to odd

SIGMAX_INLINE void store_odd(Half* to, Floats odd) { store_lanes(to, odd); }
SIGMAX_INLINE void store_odd(BFloat* to, Floats odd) {
  store_vector(to, __builtin_convertvector((bits_of(odd) + 0x8000u) >> 16, FloatShorts));
}

template <class T, class Number>
SIGMAX_INLINE void store_rounded(T* to, Number x) {
  if constexpr (sizeof(T) >= sizeof(float))
    store_vector(to, rounded(x));
  else
    store_odd(to, rounded_to_odd(x));
}

// ---------------------------------------------------------------- exponential

// e^-u for |u| up to 87 and 700, to four bits more than T has. With n the integer nearest to -8·u/ln 2, the fused
// v = u + n·ln 2/8 is exact but for the rest of ln 2/8, and e^-u = 2^(n/8)·e^-v.
template <class T>
struct Decay {
  Product<Lanes<T>> e;
  Integers<T> steps;  // bits of the sum of n and kRoundToInteger; larger than those of any n where u is NaN
};

template <class T>
SIGMAX_INLINE Decay<T> decay(Lanes<T> u) {
  typedef Format<T> C;
  Lanes<T> t = mul_add(u, constant(-C::kStepsPerUnit), constant(C::kRoundToInteger));
  Lanes<T> n = t - C::kRoundToInteger;
  Lanes<T> leading = mul_add(n, constant(C::kStep), u);
  Lanes<T> v = mul_add(n, constant(C::kStepRest), leading);
  Integers<T> steps = bits_of(t);
  Lanes<T> root = bit_cast<Lanes<T>>(look_up(C::kRoots, steps) + (steps << (C::kFractionBits - 3)));
  Lanes<T> rest = bit_cast<Lanes<T>>(look_up(C::kRootRests, steps));
  return {{root, mul_add(v, polynomial(v, C::kDecay), rest)}, steps};
}

// ---------------------------------------------------------------- functions

// The formula of F for numbers stored as S and computed in T, right where `used` is at most reach<T>().
template <class F>
struct InLanes {
  static constexpr bool kExists = false;
};

// As a half e^-80 is 0, so that no half is out of reach.
template <class S, class T>
SIGMAX_INLINE Lanes<T> within_reach(Lanes<T> x) {
  if constexpr (std::is_same<S, Half>::value) return max(opaque(-Format<T>::kReach), x);
  return x;
}

// What is rounded to infinity. The halves round the largest float to it, which rounding to odd leaves alone.
template <class S, class T>
constexpr T kInfinite = sizeof(S) < sizeof(float) ? T{0x1.fffffep127f} : T{__builtin_inff()};

// 1/(1 + E), E = e^-x: one division by the rounded sum, and the error of this inverse, 1 - inverse·(1 + E).
template <>
struct InLanes<Sigmoid> {
  static constexpr bool kExists = true;
  template <class T>
  static constexpr auto kReach = Format<T>::kStepsInReach;

  template <class S, class T>
  static SIGMAX_INLINE Product<Lanes<T>> apply(Lanes<T> x, Integers<T>& used) {
    Decay<T> d = decay<T>(min(opaque(T{40}), within_reach<S, T>(x)));
    used = larger(used, d.steps);
    Lanes<T> root = d.e.value, one = constant(T{1});
    PairOf<Lanes<T>> sum = fast_two_sum(larger_number(one, root), smaller_number(one, root));
    Lanes<T> rest = mul_add(root, d.e.error, sum.lo);
    Lanes<T> inverse = T{1} / (sum.hi + rest);
    return {inverse, mul_add(-inverse, rest, mul_add(-inverse, sum.hi, one))};
  }
};

// s = 2N/(2 + N) of N > -1, so that log(1 + N) = log((2+s)/(2-s)): the quotient, and what it lacks, from the residual
// N - s - s·N/2, where N - s is exact (Sterbenz).
template <class T>
SIGMAX_INLINE PairOf<Lanes<T>> odds(Lanes<T> n, Lanes<T> n_lo) {
  Lanes<T> half = T{0.5} * n;
  Lanes<T> inverse = T{1} / (T{1} + half);
  Lanes<T> s = n * inverse;
  Lanes<T> residual = mul_add(n_lo, inverse, mul_add(-s, half, n - s));
  return {s, residual * inverse};
}

// max(x, 0) + log1p(E), E = e^-|x|.
template <>
struct InLanes<Softplus> {
  static constexpr bool kExists = true;
  template <class T>
  static constexpr auto kReach = Format<T>::kSign + Format<T>::kReachBits;  // of float, a positive NaN passes through

  template <class S, class T>
  static SIGMAX_INLINE PairOf<Lanes<T>> apply(Lanes<T> x, Integers<T>& used) {
    typedef Format<T> C;
    x = within_reach<S, T>(x);
    used = larger(used, bits_of(x));
    Integers<T> magnitude = bits_of(x) & ~C::kSign;
    if constexpr (sizeof(S) < sizeof(T))  // rounding to odd would touch infinity and NaN
      used |= bit_cast<Integers<T>>(magnitude >= bits_of(constant(T{__builtin_inff()})));
    Integers<T> bounded = smaller(magnitude, Integers<T>{} + C::kReachBits);
    PairOf<Lanes<T>> e = split(decay<T>(bit_cast<Lanes<T>>(bounded)).e);
    PairOf<Lanes<T>> s = odds<T>(e.hi, e.lo);
    Lanes<T> z = s.hi * s.hi;
    Lanes<T> tail = mul_add(z, mul_add(s.lo, constant(T{0.25}), s.hi * polynomial(z, C::kOddsTailWide)), s.lo);
    Lanes<T> ramp = larger_number(x, Lanes<T>{});
    PairOf<Lanes<T>> sum = fast_two_sum(larger_number(ramp, s.hi), smaller_number(ramp, s.hi));
    return {sum.hi, min(sum.lo + tail, opaque(T{1}))};  // NaN beside an infinity
  }
};

template <>
struct InLanes<LogSigmoid> {
  static constexpr bool kExists = true;
  template <class T>
  static constexpr auto kReach = InLanes<Softplus>::kReach<T>;

  template <class S, class T>
  static SIGMAX_INLINE PairOf<Lanes<T>> apply(Lanes<T> x, Integers<T>& used) {
    PairOf<Lanes<T>> softplus = InLanes<Softplus>::apply<S, T>(-x, used);
    return {-softplus.hi, -softplus.lo};
  }
};

// k of the biased exponent k + bias: the low bits of 2^kFractionBits count in ones.
template <class T>
SIGMAX_INLINE Lanes<T> exponent(Integers<T> biased) {
  typedef Format<T> C;
  return bit_cast<Lanes<T>>(biased | C::kOnesBits) - (C::kOnes + C::kBias);
}

// As in elementwise.h: s = 2·(p·2^-k - q)/(p·2^-k + q), where the difference of p·2^-k and 1 - p, rounded, is exact.
template <>
struct InLanes<Logit> {
  static constexpr bool kExists = true;
  template <class T>
  static constexpr auto kReach = Format<T>::kOne - Format<T>::kLeastNormal;

  template <class S, class T>
  static SIGMAX_INLINE PairOf<Lanes<T>> apply(Lanes<T> p, Integers<T>& used) {
    typedef Format<T> C;
    used = larger(used, p == T{0} ? Integers<T>{} : bits_of(p) - C::kLeastNormal);
    Lanes<T> q = T{1} - p, q_lo = (T{1} - q) - p;
    Integers<T> biased = (bits_of(p) - bits_of(q) + (C::kOne + C::kLeastNormal / 2)) >> C::kFractionBits;
    Lanes<T> k = exponent<T>(biased);
    Lanes<T> n = p * bit_cast<Lanes<T>>((C::kTwiceBias - biased) << C::kFractionBits) - q, half = T{0.5} * n;
    Lanes<T> d = q + half, d_lo = mul_add(q_lo, constant(T{0.5}), half - (d - q));
    Lanes<T> inverse = T{1} / d;
    Lanes<T> s = n * inverse, z = s * s;
    Lanes<T> s_lo = mul_add(-s, d_lo, mul_add(-s, d, n) - q_lo) * inverse;
    Lanes<T> tail = mul_add(s * z, polynomial(z, C::kOddsTail), mul_add(k, constant(C::kLn2Lo), s_lo));
    PairOf<Lanes<T>> sum = fast_two_sum(k * C::kLn2Hi, s);
    Lanes<T> at_one = p == T{1} ? constant(kInfinite<S, T>) : sum.hi;
    Lanes<T> hi = p == T{0} ? constant(-kInfinite<S, T>) : at_one;
    return {hi, min(sum.lo + tail, opaque(T{1}))};  // NaN where p is 1
  }
};

// Near 0, log(1 - e^x) = log(-x) + x/2 + log(2·sinh(x/2)/x), with -x = 2^k·(1 + N); elsewhere log(1 + N), N = -e^x.
template <>
struct InLanes<Log1mexp> {
  static constexpr bool kExists = true;
  template <class T>
  static constexpr auto kReach = Format<T>::kReachBits - Format<T>::kLeastNormal;

  template <class S, class T>
  static SIGMAX_INLINE PairOf<Lanes<T>> apply(Lanes<T> x, Integers<T>& used) {
    typedef Format<T> C;
    x = within_reach<S, T>(x);
    Integers<T> w = bits_of(x) ^ C::kSign;
    used = larger(used, x == T{0} ? Integers<T>{} : w - C::kLeastNormal);
    Integers<T> bounded = smaller(w, Integers<T>{} + C::kReachBits);
    PairOf<Lanes<T>> e = split(decay<T>(bit_cast<Lanes<T>>(bounded)).e);
    Integers<T> biased = (w + (C::kOne - C::kSqrtHalf)) >> C::kFractionBits;
    Lanes<T> f = bit_cast<Lanes<T>>(w - (biased << C::kFractionBits) + C::kOne) - T{1}, zero{};
    auto near = x > constant(T(-0.85));
    Lanes<T> k = near ? exponent<T>(biased) : zero;
    PairOf<Lanes<T>> s = odds<T>(near ? f : -e.hi, near ? zero : -e.lo);
    Lanes<T> z = s.hi * s.hi, x_near = near ? x : zero, y = x_near * x_near;
    Lanes<T> tail = mul_add(k, constant(C::kLn2Lo), mul_add(y, polynomial(y, C::kSinhcTail), s.lo));
    PairOf<Lanes<T>> first = fast_two_sum(k * C::kLn2Hi, T{0.5} * x_near);
    PairOf<Lanes<T>> sum = fast_two_sum(first.hi, s.hi);
    Lanes<T> hi = x == T{0} ? constant(-kInfinite<S, T>) : sum.hi;
    return {hi, (first.lo + sum.lo) + mul_add(s.hi * z, polynomial(z, C::kOddsTail), tail)};
  }
};

// ---------------------------------------------------------------- kernel

// Without FMA, and for vector-Jacobian products, the wider arithmetic does it all.
template <class F>
constexpr bool kInLanes = SIGMAX_HAS_FMA && InLanes<F>::kExists;

template <class F, class S>
struct LanesKernel {
  typedef typename std::conditional<std::is_same<S, double>::value, double, float>::type T;
  typedef typename std::conditional<std::is_same<S, double>::value, Pair, Vec>::type Wider;
  static constexpr std::ptrdiff_t kCount = SIGMAX_VECTOR_BYTES / sizeof(T);

  static SIGMAX_INLINE auto formula(const S* in, Integers<T>& used) {
    return InLanes<F>::template apply<S, T>(load_lanes(in), used);
  }

  // A vector with numbers out of reach: these are replaced.
  static SIGMAX_NOINLINE void mixed(S* out, const S* in) {
    Integers<T> used{};
    S near[kCount], far[kCount];
    store_rounded(near, formula(in, used));
    for (int k = 0; k < kCount; k += kLanes) store(far + k, F::template apply<Wider>(load(in + k)));
    for (int k = 0; k < kCount; ++k) out[k] = used[k] > InLanes<F>::template kReach<T> ? far[k] : near[k];
  }

  // Several vectors side by side: one alone would wait for its own polynomials. The rest goes in pairs, the last padded.
  template <int together = std::is_same<T, float>::value ? 6 : 4>
  static SIGMAX_NOINLINE void block(S* out, std::ptrdiff_t n, const S* in) {
    std::ptrdiff_t i = 0;
    for (; i + together * kCount <= n; i += together * kCount) {
      Integers<T> used{};
      decltype(formula(in, used)) result[together];
      SIGMAX_UNROLL_ALL for (int k = 0; k < together; ++k) result[k] = formula(in + i + k * kCount, used);
      if (__builtin_expect(any(used > InLanes<F>::template kReach<T>), false))
        for (int k = 0; k < together; ++k) mixed(out + i + k * kCount, in + i + k * kCount);
      else
        SIGMAX_UNROLL_ALL for (int k = 0; k < together; ++k) store_rounded(out + i + k * kCount, result[k]);
    }
    if (i == n) return;
    if constexpr (together > 2) return block<2>(out + i, n - i, in + i);
    S rest[2 * kCount] = {};  // 0 is within the reach of every function
    std::memcpy(rest, in + i, (n - i) * sizeof(S));
    block<2>(rest, 2 * kCount, rest);
    std::memcpy(out + i, rest, (n - i) * sizeof(S));
  }
};

}  // namespace
}  // namespace sigmax
