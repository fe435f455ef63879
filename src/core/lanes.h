// Lanes of the stored type itself, floats or doubles: what the fast kernels of both are written in, once.
//
// Results are unevaluated pairs of two numbers, exact to three or four bits more than one holds, and rounded once.
//
// The coefficients and tables come from tools/make_coefficients.py, which a test runs against this file.
#pragma once

#include <type_traits>

#include "math.h"

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

// table[index mod 8]; a table of words comes twice, for vectors of sixteen.
SIGMAX_INLINE FloatBits look_up(const std::uint32_t (&table)[16], FloatBits index) {
  FloatBits r;
#if defined(__AVX2__)
  __asm__("vpermd %1, %2, %0" : "=v"(r) : "v"(load_vector<FloatBits>(table)), "v"(index));
#else
  for (int lane = 0; lane < 2 * kLanes; ++lane) r[lane] = table[index[lane] & 7u];
#endif
  return r;
}
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
struct Product {  // value·(1 + error)
  V value, error;
};

// What is rounded, and what the rounding leaves.
template <class V>
SIGMAX_INLINE PairOf<V> split(PairOf<V> x) {
  return fast_two_sum(x.hi, x.lo);
}
template <class V>
SIGMAX_INLINE PairOf<V> split(Product<V> x) {
  V hi = mul_add(x.value, x.error, x.value);
  return {hi, mul_add(x.value, x.error, x.value - hi)};
}

// The one rounding at the end.
template <class V>
SIGMAX_INLINE V rounded(PairOf<V> x) {
  return x.hi + x.lo;
}
template <class V>
SIGMAX_INLINE V rounded(Product<V> x) {
  return mul_add(x.value, x.error, x.value);
}

// ---------------------------------------------------------------- loads and stores of the storage types

typedef std::uint16_t FloatShorts __attribute__((vector_size(SIGMAX_VECTOR_BYTES / 2)));  // as many lanes as Floats

SIGMAX_INLINE Vec load_lanes(const double* from) { return load_vector<Vec>(from); }
SIGMAX_INLINE Floats load_lanes(const float* from) { return load_vector<Floats>(from); }
SIGMAX_INLINE void store_lanes(double* to, Vec x) { store_vector(to, x); }
SIGMAX_INLINE void store_lanes(float* to, Floats x) { store_vector(to, x); }

#if defined(__AVX2__)
SIGMAX_INLINE Floats load_lanes(const Half* from) {
  Floats x;
  __asm__("vcvtph2ps %1, %0" : "=v"(x) : "m"(*reinterpret_cast<const FloatShorts*>(from)));
  return x;
}
SIGMAX_INLINE void store_lanes(Half* to, Floats x) {
  __asm__("vcvtps2ph $0, %1, %0" : "=m"(*reinterpret_cast<FloatShorts*>(to)) : "v"(x));
}
#else
SIGMAX_INLINE Floats load_lanes(const Half* from) {
  Singles parts[] = {load_singles(from), load_singles(from + kLanes)};
  return load_vector<Floats>(parts);
}
SIGMAX_INLINE void store_lanes(Half* to, Floats x) {
  Singles parts[2];
  store_vector(parts, x);
  store_singles(to, parts[0]);
  store_singles(to + kLanes, parts[1]);
}
#endif

SIGMAX_INLINE Floats load_lanes(const BFloat* from) {
  return bit_cast<Floats>(__builtin_convertvector(load_vector<FloatShorts>(from), FloatBits) << 16);
}
SIGMAX_INLINE void store_lanes(BFloat* to, Floats x) {
  FloatBits bits = bits_of(x), rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16, nan = (bits >> 16) | 0x0040u;
  store_vector(to, __builtin_convertvector((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded, FloatShorts));
}

}  // namespace
}  // namespace sigmax
