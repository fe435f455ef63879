// Elementwise functions of the narrow types in lanes of float: twice as many in a vector as doubles.
//
// Each function is one formula. Its result is an unevaluated sum or product of two floats, exact to about 2^-27, and is
// rounded once: float32 to less than 0.63 ULP, float16 and bfloat16 correctly (all 65,536 inputs are tested). Numbers
// out of the formula's reach - subnormal results, NaN, outside the domain - go through the double lanes of
// elementwise.h, one by one: a result depends on its own argument alone.
//
// The coefficients and tables come from tools/make_coefficients.py, which a test runs against this file.
#pragma once

#include <type_traits>

#include "elementwise.h"

namespace sigmax {
namespace {

// e^-v = 1 + v·Q(v), |v| <= ln 2 / 16.
constexpr float kDecay[] = {-0x1p+0f, 0x1p-1f, -0x1.555c6ep-3f, 0x1.555664p-5f};  // c0.. ascending; largest error 2^-32.4
constexpr float kEighthsPerUnit = 0x1.715476p+3f;
constexpr float kEighth = 0x1.62e43p-4f;
constexpr float kEighthRest = -0x1.05c61p-32f;
// 2^(k/8) = root·(1 + rest); a root comes less the bits that n + kEighthsOffset, n = k mod 8, adds to its own.
alignas(64) constexpr std::uint32_t kRoots[] = {0xfe800000, 0xfe7b95c2, 0xfe7837f0, 0xfe75fed7, 0xfe7504f3, 0xfe75672a, 0xfe7744fd, 0xfe7ac0c7, 0xfe800000, 0xfe7b95c2, 0xfe7837f0, 0xfe75fed7, 0xfe7504f3, 0xfe75672a, 0xfe7744fd, 0xfe7ac0c7};
alignas(64) constexpr std::uint32_t kRootRests[] = {0x00000000, 0xb24e0611, 0x33092801, 0xb3051aa8, 0x329302ae, 0x31b3d0e5, 0xb27ce182, 0xb1d290be, 0x00000000, 0xb24e0611, 0x33092801, 0xb3051aa8, 0x329302ae, 0x31b3d0e5, 0xb27ce182, 0xb1d290be};
constexpr float kEighthsOffset = 1040.0f;
// log((2+s)/(2-s)) = s + s·z·P(z), z = s², |s| <= 2/3 and |s| <= 0.544.
constexpr float kOddsTailWide[] = {0x1.555558p-4f, 0x1.9996d8p-7f, 0x1.25051p-9f, 0x1.b72bb6p-12f, 0x1.f08b0cp-14f};  // c0.. ascending; largest error 2^-33.0
constexpr float kOddsTail[] = {0x1.555546p-4f, 0x1.99a916p-7f, 0x1.222796p-9f, 0x1.08fcc4p-11f};  // c0.. ascending; largest error 2^-30.8
// log(2·sinh(x/2)/x) = y·P(y), y = x², |x| <= 0.85.
constexpr float kSinhcTail[] = {0x1.555552p-5f, -0x1.6c07d2p-12f, 0x1.689ba4p-18f};  // c0.. ascending; largest error 2^-31.8
constexpr float kLn2Leading = 0x1.62e4p-1f;  // 16 bits: n * kLn2Leading is exact for |n| < 2^8
constexpr float kLn2Rest = 0x1.7f7d1cp-20f;

typedef std::int32_t FloatMask __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));  // -1 where true, 0 elsewhere

SIGMAX_INLINE Floats splat_float(float x) { return x - Floats{}; }
SIGMAX_INLINE FloatBits bits_of(Floats x) { return bit_cast<FloatBits>(x); }
SIGMAX_INLINE Floats mul_add(Floats a, Floats b, float c) { return mul_add(a, b, splat_float(c)); }
SIGMAX_INLINE Floats mul_add(Floats a, float b, Floats c) { return mul_add(a, splat_float(b), c); }

// As for doubles: b where one is NaN, and a constant must be opaque to become one instruction.
SIGMAX_INLINE Floats max(Floats a, Floats b) { return a > b ? a : b; }
SIGMAX_INLINE Floats min(Floats a, Floats b) { return a < b ? a : b; }
SIGMAX_INLINE Floats opaque_float(float x) {
  Floats v = splat_float(x);
#if defined(__x86_64__)
  __asm__("" : "+v"(v));
#endif
  return v;
}

// Of bit patterns, and of floats by their patterns: right where one of the two is >= 0, and any port can do it.
SIGMAX_INLINE FloatBits larger(FloatBits a, FloatBits b) { return a > b ? a : b; }
SIGMAX_INLINE FloatBits smaller(FloatBits a, FloatBits b) { return a < b ? a : b; }
SIGMAX_INLINE Floats larger(Floats a, Floats b) {
  FloatMask x = bit_cast<FloatMask>(a), y = bit_cast<FloatMask>(b);
  return bit_cast<Floats>(x > y ? x : y);
}
SIGMAX_INLINE Floats smaller(Floats a, Floats b) {
  FloatMask x = bit_cast<FloatMask>(a), y = bit_cast<FloatMask>(b);
  return bit_cast<Floats>(x < y ? x : y);
}

template <int n>
SIGMAX_INLINE Floats polynomial(Floats x, const float (&coefficients)[n]) {
  Floats sum = splat_float(coefficients[n - 1]);
  SIGMAX_UNROLL_ALL for (int k = n - 2; k >= 0; --k) sum = mul_add(x, sum, coefficients[k]);
  return sum;
}

// Compilers spell this out lane by lane.
SIGMAX_INLINE bool any(FloatMask mask) {
#if defined(__AVX512F__)
  bool set;
  __asm__("vptestmd %1, %1, %%k1\n\tkortestw %%k1, %%k1" : "=@ccnz"(set) : "v"(mask) : "k1");
  return set;
#elif defined(__AVX2__)
  bool set;
  __asm__("vptest %1, %1" : "=@ccnz"(set) : "x"(mask));
  return set;
#else
  return any(bit_cast<Mask>(mask));
#endif
}

// ---------------------------------------------------------------- two floats

struct FloatPair {  // hi + lo
  Floats hi, lo;
};
struct FloatProduct {  // value·(1 + error)
  Floats value, error;
};

// a + b exactly, for |a| >= |b| or a = 0.
SIGMAX_INLINE FloatPair fast_two_sum(Floats a, Floats b) {
  Floats s = a + b;
  return {s, b - (s - a)};
}

// The rounded product and what the rounding left.
SIGMAX_INLINE FloatPair as_pair(FloatProduct x) {
  Floats hi = mul_add(x.value, x.error, x.value);
  return {hi, mul_add(x.value, x.error, x.value - hi)};
}
SIGMAX_INLINE FloatPair as_pair(FloatPair x) { return fast_two_sum(x.hi, x.lo); }

// The one rounding at the end.
SIGMAX_INLINE Floats rounded(FloatPair x) { return x.hi + x.lo; }
SIGMAX_INLINE Floats rounded(FloatProduct x) { return mul_add(x.value, x.error, x.value); }

// To odd: of the two floats around the number the one whose last bit is 1. A second rounding, to fewer bits, is then
// that of the number itself (Boldo & Melquiond 2008). A float may move by one bit, which no second rounding sees.
template <class Sum>
SIGMAX_INLINE Floats rounded_to_odd(Sum x) {
  FloatPair s = as_pair(x);
  FloatBits below = bit_cast<FloatBits>(bit_cast<FloatMask>(bits_of(s.hi) ^ bits_of(s.lo)) >> 31);
  return bit_cast<Floats>((bits_of(s.hi) + below) | 1u);
}

// ---------------------------------------------------------------- loads, and stores of a number rounded to odd

typedef std::uint16_t FloatShorts __attribute__((vector_size(SIGMAX_VECTOR_BYTES / 2)));  // as many lanes as Floats

SIGMAX_INLINE Floats load_floats(const float* from) { return load_vector<Floats>(from); }
SIGMAX_INLINE Floats load_floats(const BFloat* from) {
  return bit_cast<Floats>(__builtin_convertvector(load_vector<FloatShorts>(from), FloatBits) << 16);
}
SIGMAX_INLINE void store_odd(BFloat* to, Floats odd) {
  store_vector(to, __builtin_convertvector((bits_of(odd) + 0x8000u) >> 16, FloatShorts));
}

#if defined(__AVX2__)
SIGMAX_INLINE Floats load_floats(const Half* from) {
  Floats x;
  __asm__("vcvtph2ps %1, %0" : "=v"(x) : "m"(*reinterpret_cast<const FloatShorts*>(from)));
  return x;
}
SIGMAX_INLINE void store_odd(Half* to, Floats odd) {
  __asm__("vcvtps2ph $0, %1, %0" : "=m"(*reinterpret_cast<FloatShorts*>(to)) : "v"(odd));
}
#else
SIGMAX_INLINE Floats load_floats(const Half* from) {
  Singles parts[] = {load_singles(from), load_singles(from + kLanes)};
  return load_vector<Floats>(parts);
}
SIGMAX_INLINE void store_odd(Half* to, Floats odd) {
  Singles parts[2];
  store_vector(parts, odd);
  store_singles(to, parts[0]);
  store_singles(to + kLanes, parts[1]);
}
#endif

template <class Sum>
SIGMAX_INLINE void store_rounded(float* to, Sum x) {
  store_vector(to, rounded(x));
}
template <class Narrow, class Sum>
SIGMAX_INLINE void store_rounded(Narrow* to, Sum x) {
  store_odd(to, rounded_to_odd(x));
}

// ---------------------------------------------------------------- exponential

// e^-u for -87 < u < 90, to 2^-28. With n the integer nearest to -8·u/ln 2, v = u + n·ln 2/8 is exact but for the rest
// of ln 2/8, and e^-u = 2^(n/8)·e^-v.
struct Decay {
  FloatProduct e;
  FloatBits eighths;  // kEighthsZero + n; beyond kEighthsZero ± 1000 where u is out of reach or NaN
};
constexpr std::uint32_t kEighthsZero = 0x4b400000u + static_cast<std::uint32_t>(kEighthsOffset);

SIGMAX_INLINE Decay decay(Floats u) {
  constexpr float kRoundToEighths = 0x1.8p23f + kEighthsOffset;
  Floats t = mul_add(u, -kEighthsPerUnit, splat_float(kRoundToEighths));
  Floats n = t - kRoundToEighths;
  Floats leading = mul_add(n, kEighth, u);
  Floats v = mul_add(n, kEighthRest, leading);
  FloatBits eighths = bits_of(t);
  Floats root = bit_cast<Floats>(lookup8(kRoots, eighths) + (eighths << 20));
  Floats rest = bit_cast<Floats>(lookup8(kRootRests, eighths));
  return {{root, mul_add(v, polynomial(leading, kDecay), rest)}, eighths};
}

// ---------------------------------------------------------------- functions

// The formula of F, for numbers whose `used` is at most kReach.
template <class F>
struct InFloats {
  static constexpr bool kExists = false;
};

// e^±80 and what rounding leaves of it are normal floats. As a half e^-80 is 0, so that no half is out of reach.
constexpr float kFloatReach = 80.0f;
constexpr std::uint32_t kFloatReachBits = 0x42a00000u;
constexpr std::uint32_t kLeastNormal = 0x00800000u;  // subnormal arguments have no exponent to read

template <class T>
SIGMAX_INLINE Floats within_reach(Floats x) {
  return std::is_same<T, Half>::value ? max(opaque_float(-kFloatReach), x) : x;
}

// What is rounded to infinity. The narrower types round the largest float to it, which rounding to odd leaves alone.
template <class T>
constexpr float kInfinite = std::is_same<T, float>::value ? __builtin_inff() : 0x1.fffffep127f;

// 1/(1 + E), E = e^-x: one division by the rounded sum, and the error of this inverse, 1 - inverse·(1 + E).
template <>
struct InFloats<Sigmoid> {
  static constexpr bool kExists = true;
  static constexpr std::uint32_t kReach = kEighthsZero + 923;  // x = -80
  template <class T>
  static SIGMAX_INLINE FloatProduct apply(Floats x, FloatBits& used) {
    Decay d = decay(min(opaque_float(30.0f), within_reach<T>(x)));
    used = larger(used, d.eighths);
    Floats root = d.e.value, expm1 = d.e.error;
    Floats one = splat_float(1.0f);
    FloatPair sum = fast_two_sum(larger(one, root), smaller(one, root));
    Floats rest = mul_add(root, expm1, sum.lo);
    Floats inverse = 1.0f / (sum.hi + rest);
    return {inverse, mul_add(-inverse, rest, mul_add(-inverse, sum.hi, 1.0f))};
  }
};

// s = 2N/(2 + N) of N > -1, so that log(1 + N) = log((2+s)/(2-s)): the quotient, and what it lacks, from the residual
// N - s - s·N/2, where N - s is exact (Sterbenz).
SIGMAX_INLINE FloatPair odds_of(FloatPair n) {
  Floats half = 0.5f * n.hi;
  Floats inverse = 1.0f / (1.0f + half);
  Floats s = n.hi * inverse;
  Floats residual = mul_add(n.lo, inverse, mul_add(-s, half, n.hi - s));
  return {s, residual * inverse};
}

// max(x, 0) + log1p(E), E = e^-|x|.
template <>
struct InFloats<Softplus> {
  static constexpr bool kExists = true;
  static constexpr std::uint32_t kReach = 0x80000000u + kFloatReachBits;  // x = -80; a positive NaN passes through
  template <class T>
  static SIGMAX_INLINE FloatPair apply(Floats x, FloatBits& used) {
    x = within_reach<T>(x);
    used = larger(used, bits_of(x));
    FloatBits magnitude = smaller(bits_of(x) & 0x7fffffffu, FloatBits{} + kFloatReachBits);
    FloatPair s = odds_of(as_pair(decay(bit_cast<Floats>(magnitude)).e));
    Floats z = s.hi * s.hi;
    Floats tail = mul_add(z, mul_add(s.lo, 0.25f, s.hi * polynomial(z, kOddsTailWide)), s.lo);
    if (kInfinite<T> < __builtin_inff()) x = min(opaque_float(kInfinite<T>), x);
    Floats ramp = larger(x, Floats{});
    FloatPair sum = fast_two_sum(larger(ramp, s.hi), smaller(ramp, s.hi));
    return {sum.hi, min(sum.lo + tail, opaque_float(1.0f))};  // NaN beside an infinity
  }
};

template <>
struct InFloats<LogSigmoid> {
  static constexpr bool kExists = true;
  static constexpr std::uint32_t kReach = InFloats<Softplus>::kReach;
  template <class T>
  static SIGMAX_INLINE FloatPair apply(Floats x, FloatBits& used) {
    FloatPair softplus = InFloats<Softplus>::apply<T>(-x, used);
    return {-softplus.hi, -softplus.lo};
  }
};

// w = 2^k·m with k = floor(log2 w + bias/2^23): k as a float, and 2^-k.
struct FloatExponent {
  Floats k, inverse_power;
};
SIGMAX_INLINE FloatExponent exponent_of(FloatBits biased) {
  return {bit_cast<Floats>(biased | 0x4b000000u) - (0x1p23f + 127.0f), bit_cast<Floats>((254u - biased) << 23)};
}

// As in elementwise.h: s = 2·(p·2^-k - q)/(p·2^-k + q), where the difference of p·2^-k and 1 - p, rounded, is exact.
template <>
struct InFloats<Logit> {
  static constexpr bool kExists = true;
  static constexpr std::uint32_t kReach = 0x3f800000u - kLeastNormal;  // p = 1
  template <class T>
  static SIGMAX_INLINE FloatPair apply(Floats p, FloatBits& used) {
    used = larger(used, p == 0.0f ? FloatBits{} : bits_of(p) - kLeastNormal);
    Floats q = 1.0f - p, q_lo = (1.0f - q) - p;
    FloatExponent exponent = exponent_of((bits_of(p) - bits_of(q) + (0x3f800000u + 0x00400000u)) >> 23);
    Floats n = p * exponent.inverse_power - q, half = 0.5f * n;
    Floats d = q + half, d_lo = mul_add(q_lo, 0.5f, half - (d - q));
    Floats inverse = 1.0f / d;
    Floats s = n * inverse, z = s * s;
    Floats s_lo = mul_add(-s, d_lo, mul_add(-s, d, n) - q_lo) * inverse;
    Floats tail = mul_add(s * z, polynomial(z, kOddsTail), mul_add(exponent.k, kLn2Rest, s_lo));
    FloatPair sum = fast_two_sum(exponent.k * kLn2Leading, s);
    Floats at_one = p == 1.0f ? splat_float(kInfinite<T>) : sum.hi;
    Floats hi = p == 0.0f ? splat_float(-kInfinite<T>) : at_one;
    return {hi, min(sum.lo + tail, opaque_float(1.0f))};  // NaN where p is 1
  }
};

// Near 0, log(1 - e^x) = log(-x) + x/2 + log(2·sinh(x/2)/x), with -x = 2^k·(1 + N); elsewhere log(1 + N), N = -e^x.
template <>
struct InFloats<Log1mexp> {
  static constexpr bool kExists = true;
  static constexpr float kNear = -0.85f;
  static constexpr std::uint32_t kReach = kFloatReachBits - kLeastNormal;  // x = -80
  template <class T>
  static SIGMAX_INLINE FloatPair apply(Floats x, FloatBits& used) {
    x = within_reach<T>(x);
    FloatBits w = bits_of(x) ^ 0x80000000u;
    used = larger(used, x == 0.0f ? FloatBits{} : w - kLeastNormal);
    FloatPair e = as_pair(decay(bit_cast<Floats>(smaller(w, FloatBits{} + kFloatReachBits))).e);
    constexpr std::uint32_t kSqrtHalf = 0x3f3504f3u, kOne = 0x3f800000u;
    FloatBits biased = (w + (kOne - kSqrtHalf)) >> 23;
    Floats f = bit_cast<Floats>(w - (biased << 23) + kOne) - 1.0f, zero{};
    FloatMask near = x > kNear;
    Floats k = near ? exponent_of(biased).k : zero;
    FloatPair s = odds_of({near ? f : -e.hi, near ? zero : -e.lo});
    Floats z = s.hi * s.hi, x_near = near ? x : zero, y = x_near * x_near;
    Floats tail = mul_add(k, kLn2Rest, mul_add(y, polynomial(y, kSinhcTail), s.lo));
    FloatPair first = fast_two_sum(k * kLn2Leading, 0.5f * x_near);
    FloatPair sum = fast_two_sum(first.hi, s.hi);
    Floats hi = x == 0.0f ? splat_float(-kInfinite<T>) : sum.hi;
    return {hi, (first.lo + sum.lo) + mul_add(s.hi * z, polynomial(z, kOddsTail), tail)};
  }
};

// ---------------------------------------------------------------- kernel

// Without FMA, and for vector-Jacobian products, the double lanes do it all.
template <class F, class T>
constexpr bool kInFloats = SIGMAX_HAS_FMA && !std::is_same<T, double>::value && InFloats<F>::kExists;

template <class F, class T>
struct FloatLanes {
  static constexpr std::ptrdiff_t kFloats = 2 * kLanes, kTogether = 4 * kFloats;

  // A vector with numbers out of reach: these are replaced.
  static SIGMAX_NOINLINE void mixed(T* out, const T* in) {
    FloatBits used{};
    T near[kFloats], far[kFloats];
    store_rounded(near, InFloats<F>::template apply<T>(load_floats(in), used));
    for (int k = 0; k < 2; ++k) store(far + k * kLanes, F::template apply<Vec>(load(in + k * kLanes)));
    for (int k = 0; k < kFloats; ++k) out[k] = used[k] > InFloats<F>::kReach ? far[k] : near[k];
  }

  // Four vectors side by side: one alone would wait for its own polynomials.
  static SIGMAX_NOINLINE void block(T* out, std::ptrdiff_t n, const T* in) {
    std::ptrdiff_t i = 0;
    for (; i + kTogether <= n; i += kTogether) {
      FloatBits used{};
      decltype(InFloats<F>::template apply<T>(Floats{}, used)) result[4];
      SIGMAX_UNROLL_ALL for (int k = 0; k < 4; ++k)
        result[k] = InFloats<F>::template apply<T>(load_floats(in + i + k * kFloats), used);
      if (__builtin_expect(any(used > InFloats<F>::kReach), false))
        for (int k = 0; k < 4; ++k) mixed(out + i + k * kFloats, in + i + k * kFloats);
      else
        SIGMAX_UNROLL_ALL for (int k = 0; k < 4; ++k) store_rounded(out + i + k * kFloats, result[k]);
    }
    if (i == n) return;
    T rest[kTogether] = {};  // 0 is within the reach of every function
    std::memcpy(rest, in + i, (n - i) * sizeof(T));
    block(rest, kTogether, rest);
    std::memcpy(out + i, rest, (n - i) * sizeof(T));
  }
};

}  // namespace
}  // namespace sigmax
