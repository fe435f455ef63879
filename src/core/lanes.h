// Elementwise functions in lanes of the stored type itself: floats for the narrow types, doubles for float64.
//
// Each function is one formula. Its result is an unevaluated sum or product of two numbers, exact to three or four bits
// more than one holds, and is rounded once. Largest errors: float32 0.63 ULP, log1mexp 0.70 (all inputs were run);
// float64 0.70 ULP, log1mexp 0.85 (sampled); float16 and bfloat16 are correctly rounded (all inputs are tested). Numbers
// out of the formula's reach - subnormal results, NaN, outside the domain - go through the wider arithmetic of
// elementwise.h, one by one: a result depends on its own argument alone.
//
// The coefficients and tables come from tools/make_coefficients.py, which a test runs against this file.
#pragma once

#include <type_traits>

#include "elementwise.h"

namespace sigmax {
namespace {

// e^-v = 1 + v·Q(v), |v| <= ln 2 / 16.
constexpr float kDecayFloat[] = {-0x1p+0f, 0x1p-1f, -0x1.555c6ep-3f, 0x1.555664p-5f};  // c0.. ascending; largest error 2^-32.4
constexpr double kDecayDouble[] = {-0x1p+0, 0x1.000000000010bp-1, -0x1.5555555555182p-3, 0x1.555555480eab3p-5, -0x1.111111246adafp-7, 0x1.6c1cbd5b6b3c9p-10, -0x1.a016a04db3e4p-13};  // c0.. ascending; largest error 2^-58.3
// log((2+s)/(2-s)) = s + s·z·P(z), z = s², |s| <= 2/3 and |s| <= 0.544.
constexpr float kOddsTailWideFloat[] = {0x1.555558p-4f, 0x1.9996d8p-7f, 0x1.25051p-9f, 0x1.b72bb6p-12f, 0x1.f08b0cp-14f};  // c0.. ascending; largest error 2^-33.0
constexpr float kOddsTailFloat[] = {0x1.555546p-4f, 0x1.99a916p-7f, 0x1.222796p-9f, 0x1.08fcc4p-11f};  // c0.. ascending; largest error 2^-30.8
constexpr double kOddsTailWideDouble[] = {0x1.5555555555535p-4, 0x1.99999999a0787p-7, 0x1.2492492089ff5p-9, 0x1.c71c741db3c0bp-12, 0x1.745cb3d3d9b7ep-14, 0x1.3b1ddef8aa66fp-16, 0x1.10679a08ce283p-18, 0x1.efdab7ef7ebd7p-21, 0x1.55a796cfe3e03p-23, 0x1.5c809bbaed77fp-24};  // c0.. ascending; largest error 2^-59.4
constexpr double kOddsTailDouble[] = {0x1.555555555556bp-4, 0x1.9999999993e9fp-7, 0x1.24924928ae014p-9, 0x1.c71c6edef718p-12, 0x1.745dabe1f4203p-14, 0x1.3b01d4e6fff84p-16, 0x1.126174b56de72p-18, 0x1.c46feeb6d9a47p-21, 0x1.2fd274d318857p-22};  // c0.. ascending; largest error 2^-60.3
// log(2·sinh(x/2)/x) = y·P(y), y = x², |x| <= 0.85.
constexpr float kSinhcTailFloat[] = {0x1.555552p-5f, -0x1.6c07d2p-12f, 0x1.689ba4p-18f};  // c0.. ascending; largest error 2^-31.8
constexpr double kSinhcTailDouble[] = {0x1.5555555555555p-5, -0x1.6c16c16c16304p-12, 0x1.71de3a53675abp-18, -0x1.bbd7760b7698dp-24, 0x1.1eec48b304b42p-29, -0x1.82c7495dcf286p-35, 0x1.fa0331ea9fe52p-41};  // c0.. ascending; largest error 2^-63.9
// 2^(k/8) = root·(1 + rest); a root comes less the bits that k adds to its fraction.
alignas(64) constexpr std::uint32_t kRootsFloat[] = {0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7, 0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7, 0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7, 0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7};
alignas(64) constexpr std::uint32_t kRootRestsFloat[] = {0x00000000, 0xb24e0611, 0x33092801, 0xb3051aa8, 0x329302ae, 0x31b3d0e5, 0xb27ce182, 0xb1d290be, 0x00000000, 0xb24e0611, 0x33092801, 0xb3051aa8, 0x329302ae, 0x31b3d0e5, 0xb27ce182, 0xb1d290be};
alignas(64) constexpr std::uint64_t kRootsDouble[] = {0x3ff0000000000000, 0x3fef72b83c7d517b, 0x3fef06fe0a31b715, 0x3feebfdad5362a27, 0x3feea09e667f3bcd, 0x3feeace5422aa0db, 0x3feee89f995ad3ad, 0x3fef5818dcfba487};
alignas(64) constexpr std::uint64_t kRootRestsDouble[] = {0x0000000000000000, 0xbc801b15eaa59348, 0x3c834d754db0abb6, 0x3c7690cebb7aafb0, 0xbc93b3efbf5e2228, 0x3c8db72fc1f0eab4, 0x3c8c1a7792cb3387, 0x3c74a385a63d07a7};
constexpr float kStepsPerUnitFloat = 0x1.715476p+3f;
constexpr float kStepFloat = 0x1.62e43p-4f;
constexpr float kStepRestFloat = -0x1.05c61p-32f;
constexpr double kStepsPerUnitDouble = 0x1.71547652b82fep+3;
constexpr double kStepDouble = 0x1.62e42fefa39efp-4;
constexpr double kStepRestDouble = 0x1.abc9e3b39803fp-59;
constexpr float kLn2HiFloat = 0x1.62e4p-1f;  // 16 bits: n * kLn2HiFloat is exact for |n| < 2^8
constexpr float kLn2LoFloat = 0x1.7f7d1cp-20f;

// What the formulas know of the type they compute in.
template <class T>
struct Format;

template <>
struct Format<float> {
  static constexpr int kFractionBits = 23;
  static constexpr float kRoundToInteger = 0x1.8p23f, kOnes = 0x1p23f, kBias = 127.0f;
  static constexpr float kStepsPerUnit = kStepsPerUnitFloat, kStep = kStepFloat, kStepRest = kStepRestFloat;
  static constexpr auto& kRoots = kRootsFloat;
  static constexpr auto& kRootRests = kRootRestsFloat;
  static constexpr auto& kDecay = kDecayFloat;
  static constexpr auto& kOddsTailWide = kOddsTailWideFloat;
  static constexpr auto& kOddsTail = kOddsTailFloat;
  static constexpr auto& kSinhcTail = kSinhcTailFloat;
  static constexpr float kLn2Hi = kLn2HiFloat, kLn2Lo = kLn2LoFloat;
  static constexpr std::uint32_t kSign = 0x80000000u, kOne = 0x3f800000u, kSqrtHalf = 0x3f3504f3u;
  static constexpr std::uint32_t kLeastNormal = 0x00800000u, kOnesBits = 0x4b000000u, kTwiceBias = 254;
  // e^±80 and what rounding leaves of it are normal floats.
  static constexpr float kReach = 80.0f;
  static constexpr std::uint32_t kReachBits = 0x42a00000u, kStepsInReach = 0x4b400000u + 923;
};

template <>
struct Format<double> {
  static constexpr int kFractionBits = 52;
  static constexpr double kRoundToInteger = 0x1.8p52, kOnes = 0x1p52, kBias = 1023.0;
  static constexpr double kStepsPerUnit = kStepsPerUnitDouble, kStep = kStepDouble, kStepRest = kStepRestDouble;
  static constexpr auto& kRoots = kRootsDouble;
  static constexpr auto& kRootRests = kRootRestsDouble;
  static constexpr auto& kDecay = kDecayDouble;
  static constexpr auto& kOddsTailWide = kOddsTailWideDouble;
  static constexpr auto& kOddsTail = kOddsTailDouble;
  static constexpr auto& kSinhcTail = kSinhcTailDouble;
  static constexpr double kLn2Hi = sigmax::kLn2Hi, kLn2Lo = sigmax::kLn2Lo;
  static constexpr std::uint64_t kSign = 0x8000000000000000u, kOne = 0x3ff0000000000000u, kSqrtHalf = 0x3fe6a09e667f3bcdu;
  static constexpr std::uint64_t kLeastNormal = 0x0010000000000000u, kOnesBits = 0x4330000000000000u, kTwiceBias = 2046;
  static constexpr double kReach = 650.0;
  static constexpr std::uint64_t kReachBits = 0x4084500000000000u, kStepsInReach = 0x4338000000000000u + 7502;
};

// ---------------------------------------------------------------- vocabulary, for floats and doubles

typedef std::int32_t FloatMask __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));  // -1 where true, 0 elsewhere

template <class T>
using Masks = typename std::conditional<std::is_same<T, double>::value, Mask, FloatMask>::type;

SIGMAX_INLINE Floats constant(float x) { return x - Floats{}; }
SIGMAX_INLINE Vec constant(double x) { return splat(x); }
SIGMAX_INLINE FloatBits bits_of(Floats x) { return bit_cast<FloatBits>(x); }
SIGMAX_INLINE Bits bits_of(Vec x) { return bit_cast<Bits>(x); }

// As for doubles: b where one is NaN, and a constant must be opaque to become one instruction.
SIGMAX_INLINE Floats max(Floats a, Floats b) { return a > b ? a : b; }
SIGMAX_INLINE Floats min(Floats a, Floats b) { return a < b ? a : b; }
SIGMAX_INLINE Floats opaque(float x) {
  Floats v = constant(x);
#if defined(__x86_64__)
  __asm__("" : "+v"(v));
#endif
  return v;
}

SIGMAX_INLINE FloatBits larger(FloatBits a, FloatBits b) { return a > b ? a : b; }
SIGMAX_INLINE FloatBits smaller(FloatBits a, FloatBits b) { return a < b ? a : b; }
SIGMAX_INLINE Bits larger(Bits a, Bits b) { return a > b ? a : b; }
SIGMAX_INLINE Bits smaller(Bits a, Bits b) { return a < b ? a : b; }

// By their bit patterns, which any port can do: right where one of the two is >= 0.
template <class V>
SIGMAX_INLINE V larger_number(V a, V b) {
  auto x = bit_cast<decltype(a > b)>(a), y = bit_cast<decltype(a > b)>(b);
  return bit_cast<V>(x > y ? x : y);
}
template <class V>
SIGMAX_INLINE V smaller_number(V a, V b) {
  auto x = bit_cast<decltype(a > b)>(a), y = bit_cast<decltype(a > b)>(b);
  return bit_cast<V>(x < y ? x : y);
}

template <int n>
SIGMAX_INLINE Floats polynomial(Floats x, const float (&coefficients)[n]) {
  Floats sum = constant(coefficients[n - 1]);
  SIGMAX_UNROLL_ALL for (int k = n - 2; k >= 0; --k) sum = mul_add(x, sum, constant(coefficients[k]));
  return sum;
}

// Compilers spell this out lane by lane.
template <class M>
SIGMAX_INLINE bool any_lane(M mask) {
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

// table[index mod 8]
SIGMAX_INLINE FloatBits look_up(const std::uint32_t (&table)[16], FloatBits index) { return lookup8(table, index); }
SIGMAX_INLINE Bits look_up(const std::uint64_t (&table)[8], Bits index) {
  Bits r;
#if defined(__AVX512F__)
  __asm__("vpermq %1, %2, %0" : "=v"(r) : "v"(load_vector<Bits>(table)), "v"(index));
#elif defined(__AVX2__)
  Bits even = (index & 3u) << 1, places = even | (even << 32) | (std::uint64_t{1} << 32);  // of both halves of a number
  Bits low, high;
  __asm__("vpermd %1, %2, %0" : "=v"(low) : "v"(load_vector<Bits>(table)), "v"(places));
  __asm__("vpermd %1, %2, %0" : "=v"(high) : "v"(load_vector<Bits>(table + 4)), "v"(places));
  r = bit_cast<Mask>(index << 61) < 0 ? high : low;
#else
  for (int lane = 0; lane < kLanes; ++lane) r[lane] = table[index[lane] & 7u];
#endif
  return r;
}

// ---------------------------------------------------------------- two numbers

template <class V>
struct Sum {  // hi + lo
  V hi, lo;
};
template <class V>
struct Product {  // value·(1 + error)
  V value, error;
};

// a + b exactly, for |a| >= |b| or a = 0.
template <class V>
SIGMAX_INLINE Sum<V> exact_sum(V a, V b) {
  V s = a + b;
  return {s, b - (s - a)};
}

// What is rounded, and what the rounding leaves.
template <class V>
SIGMAX_INLINE Sum<V> split(Sum<V> x) {
  return exact_sum(x.hi, x.lo);
}
template <class V>
SIGMAX_INLINE Sum<V> split(Product<V> x) {
  V hi = mul_add(x.value, x.error, x.value);
  return {hi, mul_add(x.value, x.error, x.value - hi)};
}

// The one rounding at the end.
template <class V>
SIGMAX_INLINE V rounded(Sum<V> x) {
  return x.hi + x.lo;
}
template <class V>
SIGMAX_INLINE V rounded(Product<V> x) {
  return mul_add(x.value, x.error, x.value);
}

// To odd: of the two floats around the number the one whose last bit is 1. A second rounding, to fewer bits, is then
// that of the number itself (Boldo & Melquiond 2008). A float may move by one bit, which no second rounding sees.
template <class Number>
SIGMAX_INLINE Floats rounded_to_odd(Number x) {
  Sum<Floats> s = split(x);
  FloatBits below = bit_cast<FloatBits>(bit_cast<FloatMask>(bits_of(s.hi) ^ bits_of(s.lo)) >> 31);
  return bit_cast<Floats>((bits_of(s.hi) + below) | 1u);
}

// ---------------------------------------------------------------- loads, and stores of a number rounded to odd

typedef std::uint16_t FloatShorts __attribute__((vector_size(SIGMAX_VECTOR_BYTES / 2)));  // as many lanes as Floats

SIGMAX_INLINE Vec load_lanes(const double* from) { return load_vector<Vec>(from); }
SIGMAX_INLINE Floats load_lanes(const float* from) { return load_vector<Floats>(from); }
SIGMAX_INLINE Floats load_lanes(const BFloat* from) {
  return bit_cast<Floats>(__builtin_convertvector(load_vector<FloatShorts>(from), FloatBits) << 16);
}
SIGMAX_INLINE void store_odd(BFloat* to, Floats odd) {
  store_vector(to, __builtin_convertvector((bits_of(odd) + 0x8000u) >> 16, FloatShorts));
}

#if defined(__AVX2__)
SIGMAX_INLINE Floats load_lanes(const Half* from) {
  Floats x;
  __asm__("vcvtph2ps %1, %0" : "=v"(x) : "m"(*reinterpret_cast<const FloatShorts*>(from)));
  return x;
}
SIGMAX_INLINE void store_odd(Half* to, Floats odd) {
  __asm__("vcvtps2ph $0, %1, %0" : "=m"(*reinterpret_cast<FloatShorts*>(to)) : "v"(odd));
}
#else
SIGMAX_INLINE Floats load_lanes(const Half* from) {
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
    Sum<Lanes<T>> sum = exact_sum(larger_number(one, root), smaller_number(one, root));
    Lanes<T> rest = mul_add(root, d.e.error, sum.lo);
    Lanes<T> inverse = T{1} / (sum.hi + rest);
    return {inverse, mul_add(-inverse, rest, mul_add(-inverse, sum.hi, one))};
  }
};

// s = 2N/(2 + N) of N > -1, so that log(1 + N) = log((2+s)/(2-s)): the quotient, and what it lacks, from the residual
// N - s - s·N/2, where N - s is exact (Sterbenz).
template <class T>
SIGMAX_INLINE Sum<Lanes<T>> odds(Lanes<T> n, Lanes<T> n_lo) {
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
  static SIGMAX_INLINE Sum<Lanes<T>> apply(Lanes<T> x, Integers<T>& used) {
    typedef Format<T> C;
    x = within_reach<S, T>(x);
    used = larger(used, bits_of(x));
    Integers<T> magnitude = bits_of(x) & ~C::kSign;
    if constexpr (sizeof(S) < sizeof(T))  // rounding to odd would touch infinity and NaN
      used |= bit_cast<Integers<T>>(magnitude >= bits_of(constant(T{__builtin_inff()})));
    Integers<T> bounded = smaller(magnitude, Integers<T>{} + C::kReachBits);
    Sum<Lanes<T>> e = split(decay<T>(bit_cast<Lanes<T>>(bounded)).e);
    Sum<Lanes<T>> s = odds<T>(e.hi, e.lo);
    Lanes<T> z = s.hi * s.hi;
    Lanes<T> tail = mul_add(z, mul_add(s.lo, constant(T{0.25}), s.hi * polynomial(z, C::kOddsTailWide)), s.lo);
    Lanes<T> ramp = larger_number(x, Lanes<T>{});
    Sum<Lanes<T>> sum = exact_sum(larger_number(ramp, s.hi), smaller_number(ramp, s.hi));
    return {sum.hi, min(sum.lo + tail, opaque(T{1}))};  // NaN beside an infinity
  }
};

template <>
struct InLanes<LogSigmoid> {
  static constexpr bool kExists = true;
  template <class T>
  static constexpr auto kReach = InLanes<Softplus>::kReach<T>;

  template <class S, class T>
  static SIGMAX_INLINE Sum<Lanes<T>> apply(Lanes<T> x, Integers<T>& used) {
    Sum<Lanes<T>> softplus = InLanes<Softplus>::apply<S, T>(-x, used);
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
  static SIGMAX_INLINE Sum<Lanes<T>> apply(Lanes<T> p, Integers<T>& used) {
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
    Sum<Lanes<T>> sum = exact_sum(k * C::kLn2Hi, s);
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
  static SIGMAX_INLINE Sum<Lanes<T>> apply(Lanes<T> x, Integers<T>& used) {
    typedef Format<T> C;
    x = within_reach<S, T>(x);
    Integers<T> w = bits_of(x) ^ C::kSign;
    used = larger(used, x == T{0} ? Integers<T>{} : w - C::kLeastNormal);
    Integers<T> bounded = smaller(w, Integers<T>{} + C::kReachBits);
    Sum<Lanes<T>> e = split(decay<T>(bit_cast<Lanes<T>>(bounded)).e);
    Integers<T> biased = (w + (C::kOne - C::kSqrtHalf)) >> C::kFractionBits;
    Lanes<T> f = bit_cast<Lanes<T>>(w - (biased << C::kFractionBits) + C::kOne) - T{1}, zero{};
    auto near = x > constant(T(-0.85));
    Lanes<T> k = near ? exponent<T>(biased) : zero;
    Sum<Lanes<T>> s = odds<T>(near ? f : -e.hi, near ? zero : -e.lo);
    Lanes<T> z = s.hi * s.hi, x_near = near ? x : zero, y = x_near * x_near;
    Lanes<T> tail = mul_add(k, constant(C::kLn2Lo), mul_add(y, polynomial(y, C::kSinhcTail), s.lo));
    Sum<Lanes<T>> first = exact_sum(k * C::kLn2Hi, T{0.5} * x_near);
    Sum<Lanes<T>> sum = exact_sum(first.hi, s.hi);
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
      if (__builtin_expect(any_lane(used > InLanes<F>::template kReach<T>), false))
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
