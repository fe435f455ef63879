// Exponentials and logarithms in wide arithmetic.
//
// Narrow storage types (float16, bfloat16, float32) are computed in one double: 29 bits to spare. float64 is
// computed in a `Pair`, the unevaluated sum of two doubles. Kernels are written once, over W = Vec or Pair:
// wide arithmetic inside, one rounding at the end (`rounded`).
//
// The coefficients come from tools/make_coefficients.py, which a test runs against this file.
#pragma once

#include "vector.h"

namespace sigmax {
namespace {

constexpr double kLog2e = 0x1.71547652b82fep+0;
constexpr double kLn2 = 0x1.62e42fefa39efp-1;
constexpr double kLn2Hi = 0x1.62e42fefa4p-1;  // 41 bits: n * kLn2Hi is exact for |n| < 2^12
constexpr double kLn2Lo = -0x1.8432a1b0e2634p-43;  // ln2 - kLn2Hi - kLn2Lo = 2^-102.0

// 2^f, |f| <= 1/2: for axis functions and for elementwise functions of narrow types; in floats for rows of halves.
constexpr double kExp2Narrow[] = {0x1p+0, 0x1.62e42ff0e191fp-1, 0x1.ebfbe07787272p-3, 0x1.c6b08ac06beffp-5, 0x1.3b29f39d4bde3p-7, 0x1.5d8a85fe161f2p-10, 0x1.445c840cca09ap-13, 0x1.fde5fe6ee0ed8p-17};  // c0.. ascending; largest error 2^-34.3
constexpr float kExp2Half[] = {0x1p+0f, 0x1.62e42ap-1f, 0x1.ebf9c2p-3f, 0x1.c6b6d8p-5f, 0x1.3ce8acp-7f, 0x1.5bda4p-10f};  // c0.. ascending; largest error 2^-23.4
constexpr double kExp2[] = {0x1p+0, 0x1.62e42fefa3a12p-1, 0x1.ebfbdff82c431p-3, 0x1.c6b08d703e193p-5, 0x1.3b2ab6fbd6d93p-7, 0x1.5d87fe9b8c7b1p-10, 0x1.4309126beb48ep-13, 0x1.ffcb58d06545ap-17, 0x1.62c147d149dd5p-20, 0x1.b671adbc348ccp-24, 0x1.e3a8c14f5dadcp-28};  // c0.. ascending; largest error 2^-52.0
constexpr double kExp2Short[] = {0x1.62e42fef9cdf7p-1, 0x1.ebfbdff85f49p-3, 0x1.c6b08da69c879p-5, 0x1.3b2ab6a0e0edap-7, 0x1.5d87762e19002p-10, 0x1.43099b4e6b011p-13, 0x1.00c080e625afap-16, 0x1.62c0105eec287p-20};  // c0.. ascending; largest error 2^-37.7
// q in e^r = 1 + r + r²·(1/2 + r·q(r)), |r| <= ln 2 / 2.
constexpr double kExpTail[] = {0x1.555555555555ap-3, 0x1.5555555555531p-5, 0x1.111111110f16bp-7, 0x1.6c16c16c26f88p-10, 0x1.a01a01b1e18bap-13, 0x1.a01a0151ec07dp-16, 0x1.71ddf391b5524p-19, 0x1.27e58f2d65884p-22, 0x1.af66a6b133e62p-26, 0x1.1e627e35a1b6p-29};  // c0.. ascending; largest error 2^-63.8
// h in e^r = 1 + r + r²·h(r), |r| <= ln 2 / 2.
constexpr double kExcess[] = {0x1.ffffffffffff5p-2, 0x1.5555555553b9ep-3, 0x1.555555555a876p-5, 0x1.1111111c3d4a7p-7, 0x1.6c16c155b0f06p-10, 0x1.a019adcf7412bp-13, 0x1.a01a2d32f8bcp-16, 0x1.72c6f69954b3cp-19, 0x1.28189863ec76bp-22};  // c0.. ascending; largest error 2^-46.0
// P in log((1+s)/(1-s)) = 2s + s·z·P(z), z = s², |s| <= 0.2004, for Pair and for Vec.
constexpr double kLogTail[] = {0x1.555555555554fp-1, 0x1.999999999c1abp-2, 0x1.24924921e0067p-2, 0x1.c71c74942aa72p-3, 0x1.745c49bbba08ap-3, 0x1.3b35e77688b27p-3, 0x1.0dc8f5027f611p-3, 0x1.1b93cced19ef3p-3};  // c0.. ascending; largest error 2^-62.6
constexpr double kLogTailShort[] = {0x1.5555555928d2bp-1, 0x1.99998f1dc7252p-2, 0x1.2496f1249bd73p-2, 0x1.c550379a79af1p-3, 0x1.9c43d6da40ef1p-3};  // c0.. ascending; largest error 2^-42.2
// The same for |s| <= 1/3.
constexpr double kLog1pShort[] = {0x1.5555553aea753p-1, 0x1.9999bd2b136fap-2, 0x1.248a561002142p-2, 0x1.c8bc178835f1p-3, 0x1.5f30197826224p-3, 0x1.be4efd4523fdp-3};  // c0.. ascending; largest error 2^-38.4
// P in log1p(t) = t·P(t), 0 <= t <= 1.
constexpr double kLog1p[] = {0x1.fffffffff95b5p-1, -0x1.ffffffeb20874p-2, 0x1.55554fdda758dp-2, -0x1.fffedd2d9fd2fp-3, 0x1.9989b130d6142p-3, -0x1.54ce48cded9e8p-3, 0x1.219f151b16d87p-3, -0x1.e9107467fa2ecp-4, 0x1.86b93b6bb9b73p-4, -0x1.1303e5cb975a5p-4, 0x1.38e97f28431aep-5, -0x1.0439ab7bdfd26p-6, 0x1.12a321755522ap-8, -0x1.1034792a005f6p-11};  // c0.. ascending; largest error 2^-38.3

// e^-v = 1 + v·Q(v), |v| <= ln 2 / 16.
constexpr double kDecay[] = {-0x1p+0, 0x1.000000000010bp-1, -0x1.5555555555182p-3, 0x1.555555480eab3p-5, -0x1.111111246adafp-7, 0x1.6c1cbd5b6b3c9p-10, -0x1.a016a04db3e4p-13};  // c0.. ascending; largest error 2^-58.3
// 2^(k/8) = root·(1 + rest); a root comes less the bits that k adds to its fraction.
alignas(64) constexpr std::uint64_t kRoots[] = {0x3ff0000000000000, 0x3fef72b83c7d517b, 0x3fef06fe0a31b715, 0x3feebfdad5362a27, 0x3feea09e667f3bcd, 0x3feeace5422aa0db, 0x3feee89f995ad3ad, 0x3fef5818dcfba487};
alignas(64) constexpr std::uint64_t kRootRests[] = {0x0000000000000000, 0xbc801b15eaa59348, 0x3c834d754db0abb6, 0x3c7690cebb7aafb0, 0xbc93b3efbf5e2228, 0x3c8db72fc1f0eab4, 0x3c8c1a7792cb3387, 0x3c74a385a63d07a7};
constexpr double kStepsPerUnit = 0x1.71547652b82fep+3;
constexpr double kStep = 0x1.62e42fefa39efp-4;  // ln 2 / 8, and what it lacks
constexpr double kStepRest = 0x1.abc9e3b39803fp-59;

// 1.5·2^52: adding it leaves the nearest integer in the low bits of the sum.
constexpr double kRoundToInteger = 0x1.8p52;

// ---------------------------------------------------------------- error-free transformations

template <class V>
struct PairOf {  // hi + lo, lo much smaller than hi
  V hi, lo;
};
typedef PairOf<Vec> Pair;

// a + b exactly.
SIGMAX_INLINE Pair two_sum(Vec a, Vec b) {
  Vec s = a + b;
  Vec b_part = s - a;
  return {s, (a - (s - b_part)) + (b - b_part)};
}

// a + b exactly, for |a| >= |b| or a = 0.
template <class V>
SIGMAX_INLINE PairOf<V> fast_two_sum(V a, V b) {
  V s = a + b;
  return {s, b - (s - a)};
}

#if !SIGMAX_HAS_FMA
// Without FMA: the 26 leading bits of x, so that products of halves are exact (Dekker 1971).
SIGMAX_INLINE Vec leading_half(Vec x) {
  return bit_cast<Vec>(bit_cast<Bits>(x) & 0xfffffffff8000000u);
}
#endif

// a·b exactly.
SIGMAX_INLINE Pair two_product(Vec a, Vec b) {
  Vec p = a * b;
#if SIGMAX_HAS_FMA
  return {p, mul_add(a, b, -p)};
#else
  Vec a1 = leading_half(a), a2 = a - a1, b1 = leading_half(b), b2 = b - b1;
  return {p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2};
#endif
}

// c - a·b with one rounding of the difference, for a·b close to c.
SIGMAX_INLINE Vec residual(Vec a, Vec b, Vec c) {
#if SIGMAX_HAS_FMA
  return mul_add(-a, b, c);
#else
  Pair p = two_product(a, b);
  return (c - p.hi) - p.lo;
#endif
}

// ---------------------------------------------------------------- wide arithmetic over W = Vec or Pair

template <class W>
SIGMAX_INLINE W wide(Vec x);
template <>
SIGMAX_INLINE Vec wide<Vec>(Vec x) { return x; }
template <>
SIGMAX_INLINE Pair wide<Pair>(Vec x) { return {x, Vec{}}; }

SIGMAX_INLINE Pair as_pair(Vec x) { return {x, Vec{}}; }
SIGMAX_INLINE Pair as_pair(Pair x) { return x; }

// The one rounding at the end.
SIGMAX_INLINE Vec rounded(Vec x) { return x; }
SIGMAX_INLINE Vec rounded(Pair x) { return x.hi + x.lo; }

SIGMAX_INLINE Vec leading(Vec x) { return x; }
SIGMAX_INLINE Vec leading(Pair x) { return x.hi; }
SIGMAX_INLINE Vec trailing(Vec) { return Vec{}; }
SIGMAX_INLINE Vec trailing(Pair x) { return x.lo; }

// a - b of two stored numbers.
template <class W>
SIGMAX_INLINE W difference(Vec a, Vec b);
template <>
SIGMAX_INLINE Vec difference<Vec>(Vec a, Vec b) { return a - b; }
template <>
SIGMAX_INLINE Pair difference<Pair>(Vec a, Vec b) { return two_sum(a, -b); }

SIGMAX_INLINE Vec add(Vec a, Vec b) { return a + b; }
SIGMAX_INLINE Pair add(Pair a, Pair b) {
  Pair s = two_sum(a.hi, b.hi);
  return fast_two_sum(s.hi, s.lo + (a.lo + b.lo));
}
SIGMAX_INLINE Pair add(Pair a, Vec b) {
  Pair s = two_sum(a.hi, b);
  return fast_two_sum(s.hi, s.lo + a.lo);
}

SIGMAX_INLINE Vec multiply(Vec a, Vec b) { return a * b; }
SIGMAX_INLINE Pair multiply(Pair a, Pair b) {
  Pair p = two_product(a.hi, b.hi);
  return {p.hi, p.lo + mul_add(a.hi, b.lo, a.lo * b.hi)};
}
SIGMAX_INLINE Pair multiply(Pair a, Vec b) {
  Pair p = two_product(a.hi, b);
  return {p.hi, mul_add(a.lo, b, p.lo)};
}

// a·b with one rounding.
SIGMAX_INLINE Vec rounded_product(Vec a, Vec b) { return a * b; }
SIGMAX_INLINE Vec rounded_product(Pair a, Pair b) {
#if SIGMAX_HAS_FMA
  return mul_add(a.hi, b.hi, mul_add(a.hi, b.lo, a.lo * b.hi));
#else
  return rounded(multiply(a, b));
#endif
}

SIGMAX_INLINE Vec negate(Vec a) { return -a; }
SIGMAX_INLINE Pair negate(Pair a) { return {-a.hi, -a.lo}; }

// a - b·c.
SIGMAX_INLINE Vec less_product(Vec a, Vec b, Vec c) { return mul_add(-b, c, a); }
SIGMAX_INLINE Pair less_product(Pair a, Pair b, Pair c) { return add(a, negate(multiply(b, c))); }

// By an exact factor: a power of two.
SIGMAX_INLINE Vec scale(Vec a, Vec power) { return a * power; }
SIGMAX_INLINE Pair scale(Pair a, Vec power) { return {a.hi * power, a.lo * power}; }

SIGMAX_INLINE Vec choose(Mask mask, Vec yes, Vec no) { return select(mask, yes, no); }
SIGMAX_INLINE Pair choose(Mask mask, Pair yes, Pair no) {
  return {select(mask, yes.hi, no.hi), select(mask, yes.lo, no.lo)};
}
SIGMAX_INLINE Vec keep(Mask mask, Vec a) { return only_where(mask, a); }
SIGMAX_INLINE Pair keep(Mask mask, Pair a) { return {only_where(mask, a.hi), only_where(mask, a.lo)}; }

// 1/a: the quotient's own residual, to first order, is the low part.
SIGMAX_INLINE Vec reciprocal(Vec a) { return 1.0 / a; }
SIGMAX_INLINE Pair reciprocal(Pair a) {
  Vec q = 1.0 / a.hi;
  return {q, q * (residual(a.hi, q, splat(1.0)) - a.lo * q)};
}

// 1/a to 2^-44 for an a that a float holds: a division of floats and one step of Newton's, in a third of the time.
SIGMAX_INLINE Vec narrow_reciprocal(Vec a) {
  const Vec q = widen(1.0f / narrow(a));
  return mul_add(q, mul_add(-a, q, splat(1.0)), q);
}

// 1/a and a/b to 2^-41: with the estimate q that AVX-512 has to 2^-14, and e = 1 - a·q, 1/a is q·(1 + e + e²) but for e³.
SIGMAX_INLINE Vec short_reciprocal(Vec a) {
#if defined(__AVX512F__)
  Vec q;
  __asm__("vrcp14pd %1, %0" : "=v"(q) : "v"(a));
  const Vec e = mul_add(-a, q, splat(1.0));
  return mul_add(q, mul_add(e, e, e), q);
#else
  return 1.0 / a;
#endif
}
SIGMAX_INLINE Vec short_quotient(Vec a, Vec b) {
#if defined(__AVX512F__)
  return a * short_reciprocal(b);
#else
  return a / b;
#endif
}

SIGMAX_INLINE Vec divide(Vec a, Vec b) { return a / b; }
SIGMAX_INLINE Pair divide(Pair a, Pair b) {
  Vec inverse = 1.0 / b.hi;
  Vec q = a.hi * inverse;
  return {q, ((residual(b.hi, q, a.hi) + a.lo) - b.lo * q) * inverse};
}

// ---------------------------------------------------------------- exponential

// e^y for y <= 0 is returned times kExpScale<W>, a power of two that keeps every Pair away from the
// subnormal numbers, where the low part would be lost. What falls below e^kExpFloor becomes e^kExpFloor,
// which is 0 after the scale is taken back.
template <class W>
constexpr double kExpScale = 1.0;
template <>
constexpr double kExpScale<Pair> = 0x1p512;
constexpr double kExpFloor = -800.0, kNarrowFloor = -700.0;

// 2^n times kExpScale<W>, for the integer n that t = n + kRoundToInteger holds in its low bits.
template <class W>
SIGMAX_INLINE Vec power_of_two(Vec t) {
  constexpr std::uint64_t bias = kExpScale<W> == 1.0 ? 1023 : 1023 + 512;
  return bit_cast<Vec>((bit_cast<Bits>(t) + bias) << 52);
}

// y >= kExpFloor, without NaN in the low part where y was -inf.
SIGMAX_INLINE Pair at_least_floor(Pair y) {
  return {max(opaque(kExpFloor), y.hi), keep(y.hi > kExpFloor, y.lo)};
}
SIGMAX_INLINE Vec at_least_floor(Vec y) { return max(opaque(kNarrowFloor), y); }

// y = n·ln 2 + r with |r| <= ln 2 / 2; n·kLn2Hi and its difference from y are exact (Cody & Waite 1980).
template <class W>
struct Reduced {
  W r;
  Vec n, shifted_n;
};

SIGMAX_INLINE Reduced<Vec> reduce(Vec y) {
  Vec t = mul_add(y, kLog2e, splat(kRoundToInteger));
  Vec n = t - kRoundToInteger;
  return {mul_add(n, -kLn2Lo, mul_add(n, -kLn2Hi, y)), n, t};
}
SIGMAX_INLINE Reduced<Pair> reduce(Pair y) {
  Vec t = mul_add(y.hi, kLog2e, splat(kRoundToInteger));
  Vec n = t - kRoundToInteger;
  return {fast_two_sum(mul_add(n, -kLn2Hi, y.hi), mul_add(n, -kLn2Lo, y.lo)), n, t};
}

// e^r - 1 = r + r²·(1/2 + r·q(r)): all but the leading r fits one double, 2^-57 of e^r.
SIGMAX_INLINE Vec expm1_reduced(Vec r) {
  return mul_add(r * r, mul_add(r, polynomial(r, kExpTail), 0.5), r);
}
SIGMAX_INLINE Vec expm1_tail(Pair r) {
  Vec tail = (r.hi * r.hi) * mul_add(r.hi, polynomial(r.hi, kExpTail), 0.5);
  return tail + mul_add(r.hi, r.lo, r.lo);
}
SIGMAX_INLINE Pair expm1_reduced(Pair r) { return fast_two_sum(r.hi, expm1_tail(r)); }

SIGMAX_INLINE Vec one_plus(Vec p) { return 1.0 + p; }
SIGMAX_INLINE Pair one_plus(Pair p) {
  Pair s = fast_two_sum(splat(1.0), p.hi);
  return fast_two_sum(s.hi, s.lo + p.lo);
}

// The first step of a rounding: x·rate = n + f, t = n + kRoundToInteger; and 2^(x·rate), |x·rate| <= 1000, to 2^-37.6.
struct ShortExp {
  Vec t, f;
};
SIGMAX_INLINE ShortExp short_exp(Vec x, double rate) {
  const Vec t = mul_add(x, rate, splat(kRoundToInteger));
  return {t, mul_add(x, rate, kRoundToInteger - t)};
}
SIGMAX_INLINE Vec exp_short(Vec x, double rate) {
  const ShortExp e = short_exp(x, rate);
  return bit_cast<Vec>(bit_cast<Bits>(mul_add(e.f, polynomial(e.f, kExp2Short), 1.0)) + (bit_cast<Bits>(e.t) << 52));
}

// 2^(x·rate) by the polynomial given for |f| <= 1/2; |x·rate| <= 1000 is the caller's business. A NaN that was a
// float goes through: its low bits are 0.
template <int n>
SIGMAX_INLINE Vec exp2_of_product(Vec x, Vec rate, const double (&coefficients)[n]) {
  Vec t = mul_add(x, rate, kRoundToInteger);
  Vec f = mul_add(x, rate, kRoundToInteger - t);
  Vec mantissa = split_polynomial(f, coefficients);
  return bit_cast<Vec>(bit_cast<Bits>(mantissa) + (bit_cast<Bits>(t) << 52));
}

// table[index mod 8].
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

// e^y · kExpScale<W> for y <= 0. Relative error: Vec 2^-46, Pair 2^-57.
SIGMAX_INLINE Vec exp_scaled(Vec y) { return exp2_of_product(at_least_floor(y), splat(kLog2e), kExp2); }
SIGMAX_INLINE Pair exp_scaled(Pair y) {
  Reduced<Pair> reduced = reduce(at_least_floor(y));
  Pair leading_terms = fast_two_sum(splat(1.0), reduced.r.hi);
  Pair e = fast_two_sum(leading_terms.hi, leading_terms.lo + expm1_tail(reduced.r));
  return scale(e, power_of_two<Pair>(reduced.shifted_n));
}

// The exponent of a positive number, -1023 for 0 and the subnormal ones; and 2^n for an integer n in [-1022, 1023].
SIGMAX_INLINE Vec exponent_of_bits(Bits biased) { return bit_cast<Vec>(biased | 0x4330000000000000u) - (0x1p52 + 1023.0); }
SIGMAX_INLINE Vec exponent_of(Vec x) { return exponent_of_bits((bit_cast<Bits>(x) >> 52) & 0x7ffu); }
SIGMAX_INLINE Vec two_to(Vec n) { return power_of_two<Vec>(n + kRoundToInteger); }

// ---------------------------------------------------------------- logarithm

// k·ln 2 + log((1+s)/(1-s)) = k·ln 2 + 2s + s·z·P(z), z = s²; kLn2Hi takes the exact part of the sum.
SIGMAX_INLINE Vec log_of_odds(Vec s, Vec k) {
  Vec z = s * s;
  Vec tail = (s * z) * polynomial(z, kLogTail);
  return mul_add(k, kLn2Hi, mul_add(k, kLn2Lo, tail) + 2.0 * s);
}
// The same to 2^-42, the first step of a rounding.
SIGMAX_INLINE Vec short_log_of_odds(Vec s, Vec k) {
  const Vec z = s * s;
  return mul_add(k, kLn2, s * mul_add(z, polynomial(z, kLogTailShort), 2.0));
}
SIGMAX_INLINE Pair log_of_odds(Pair s, Vec k) {
  Vec z = s.hi * s.hi;
  Vec tail = (s.hi * z) * polynomial(z, kLogTail);
  Pair sum = fast_two_sum(k * kLn2Hi, 2.0 * s.hi);
  return fast_two_sum(sum.hi, sum.lo + (mul_add(k, kLn2Lo, tail) + 2.0 * s.lo));
}

// h + l = 2^k · (1 + f + c), f exact with 1 + f in [√½, √2); then s = (f + c)/(2 + f + c).
template <class W>
struct Decomposed {
  W s;
  Vec k;
};

template <class W>
SIGMAX_INLINE W odds_of(Vec f, Vec c);
template <>
SIGMAX_INLINE Vec odds_of<Vec>(Vec f, Vec c) {
  return (f + c) / (2.0 + (f + c));
}
template <>
SIGMAX_INLINE Pair odds_of<Pair>(Vec f, Vec c) {
  Pair denominator = fast_two_sum(splat(2.0), f);
  return divide(Pair{f, c}, Pair{denominator.hi, denominator.lo + c});
}

template <class W>
SIGMAX_INLINE Decomposed<W> decompose(Pair y) {
  constexpr std::uint64_t kSqrtHalf = 0x3fe6a09e667f3bcdu, kOne = 0x3ff0000000000000u;
  Bits biased = (bit_cast<Bits>(y.hi) + (kOne - kSqrtHalf)) >> 52;
  Vec mantissa = bit_cast<Vec>(bit_cast<Bits>(y.hi) - ((biased << 52) - kOne));
  Vec inverse_power = bit_cast<Vec>((2046 - biased) << 52);
  Vec k = exponent_of_bits(biased);
  return {odds_of<W>(mantissa - 1.0, y.lo * inverse_power), k};
}

// log(y) of a positive normal number. Relative error, also where y is close to 1: Vec 2^-51, Pair 2^-58.
template <class W>
SIGMAX_INLINE W log_of(Pair y) {
  Decomposed<W> parts = decompose<W>(y);
  return log_of_odds(parts.s, parts.k);
}

// log(1 + u) for |u| < 2^-30: three terms. Where 1 + u would round the low part of u away, nothing is added to 1.
constexpr double kSmall = 0x1p-30;
SIGMAX_INLINE Vec log1p_small(Vec u) { return u - u * u * (0.5 - u * (1.0 / 3.0)); }
SIGMAX_INLINE Pair log1p_small(Pair u) { return {u.hi, u.lo - u.hi * u.hi * (0.5 - u.hi * (1.0 / 3.0))}; }

// log(1 + t) for 0 <= t <= 1. Relative error: Vec 2^-38 (no division), Pair 2^-58.
SIGMAX_INLINE Vec log1p_fraction(Vec t) { return t * split_polynomial(t, kLog1p); }
SIGMAX_INLINE Pair log1p_fraction(Pair t) {
  Pair s = fast_two_sum(splat(1.0), t.hi);
  return choose(t.hi < kSmall, log1p_small(t), log_of<Pair>(Pair{s.hi, s.lo + t.lo}));
}

// log(a + b) without losing b beside a.
SIGMAX_INLINE Vec log_of_sum(Vec a, Vec b) { return log_of<Vec>(two_sum(a, b)); }
SIGMAX_INLINE Pair log_of_sum(Vec a, Pair b) {
  Pair s = two_sum(a, b.hi);
  return choose((a == 1.0) & (abs(b.hi) < kSmall), log1p_small(b), log_of<Pair>(Pair{s.hi, s.lo + b.lo}));
}

// A storage type S is computed in numbers T, the general way in arithmetic W.
template <class S>
struct Arithmetic {
  typedef float T;
  typedef Vec W;
};
template <>
struct Arithmetic<double> {
  typedef double T;
  typedef Pair W;
};

}  // namespace
}  // namespace sigmax
