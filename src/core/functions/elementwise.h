// Functions of one number.
//
// float64 results come of Pairs: `apply`, one rounding at the end. Results of narrower types are correctly rounded, in two
// steps (docs/numerics/rounding.md). The first is one double, of a relative error below `kError`, which
// tools/prove_rounding.py proves. Its halves, `start` and `finish`, hold for floats with bits from kFirst to kLast, of which
// the results are normal numbers; with `bounded` before and `at_ends` behind them, for all numbers. Where that leaves the
// rounding in doubt, `apply` decides.
#pragma once

#include "../simd/rounding.h"
#include "log_probability.h"

namespace sigmax {
namespace {

// Below this, log1p(±e^x) is ±e^x to 2^-72, and the subnormal results keep every bit.
constexpr double kFarBelow = -50.0;

// Below this, e^x is 0 in every narrow type. From kSmallest on, it is a normal float; the bits of both but for the sign.
constexpr double kNarrowBelow = -104.0;
constexpr std::uint32_t kNegative = 0x80000000u, kSmallest = 0x42aea8f5u;  // -87.33

// How `apply` leaves its Pair: as the result, or for one more rounding.
struct Nearest {
  static SIGMAX_INLINE Vec of(Pair x) { return rounded(x); }
};
struct Odd {
  static SIGMAX_INLINE Vec of(Pair x) { return round_to_odd(x); }
};

template <class Rounding = Nearest>
SIGMAX_INLINE Vec unscaled(Pair scaled) {
  return Rounding::of(scaled) * (1.0 / kExpScale<Pair>);
}

SIGMAX_INLINE Vec keep_nan(Vec x, Vec result) { return select(x == x, result, x); }

// With t = e^-|x| <= 1:  sigmoid(x) = 1/(1+t) for x >= 0 and t/(1+t) for x < 0, times kExpScale<W>.
template <class W>
SIGMAX_INLINE W sigmoid_scaled(Vec x) {
  W t = exp_scaled(wide<W>(-abs(x)));
  W numerator = choose(x >= 0.0, wide<W>(splat(kExpScale<W>)), t);
  return divide(numerator, one_plus(scale(t, splat(1.0 / kExpScale<W>))));
}

// What `start` leaves to `finish`: they work on different vectors at once, so that a processor always has work that waits for
// nothing.
struct Start {
  Vec a, b;
};

struct Sigmoid {
  static constexpr double kError = 0x1.3p-39;
  static constexpr std::uint32_t kFirst = 0, kLast = kNegative | kSmallest;

  // 1/(1 + e^-x): neither sum nor quotient loses anything, whatever the sign of x.
  static SIGMAX_INLINE Start start(Vec x) { return {short_reciprocal(1.0 + exp_short(min(opaque(40.0), x), -kLog2e)), Vec{}}; }
  static SIGMAX_INLINE Vec finish(Vec, Start v) { return v.a; }
  static SIGMAX_INLINE Vec bounded(Vec x) { return max(opaque(kNarrowBelow), x); }
  static SIGMAX_INLINE Vec at_ends(Vec, Vec result) { return result; }

  template <class Rounding>
  static SIGMAX_INLINE Vec apply(Vec x) {
    return keep_nan(x, unscaled<Rounding>(sigmoid_scaled<Pair>(x)));
  }
};

// log(1 + e^x) = max(x, 0) + log1p(t), t = e^-|x|.
struct Softplus {
  static constexpr double kError = 0x1.8p-38;
  static constexpr std::uint32_t kFirst = 0, kLast = kNegative | kSmallest;

  // log1p(t) = log((1+s)/(1-s)) with s = t/(2 + t) <= 1/3.
  static SIGMAX_INLINE Start start(Vec x) {
    const Vec t = exp_short(max(opaque(kNarrowBelow), minus_abs(x)), kLog2e);
    return {short_quotient(t, 2.0 + t), Vec{}};
  }
  static SIGMAX_INLINE Vec finish(Vec x, Start v) {
    const Vec z = v.a * v.a;
    return mul_add(v.a, mul_add(z, polynomial(z, kLog1pShort), 2.0), max(x, opaque(0.0)));
  }
  static SIGMAX_INLINE Vec bounded(Vec x) { return x; }
  static SIGMAX_INLINE Vec at_ends(Vec, Vec result) { return result; }

  template <class Rounding>
  static SIGMAX_INLINE Vec apply(Vec x) {
    const Pair t = exp_scaled(wide<Pair>(-abs(x)));
    const Pair log1p_t = log1p_fraction(scale(t, splat(1.0 / kExpScale<Pair>)));
    const Vec near = Rounding::of(add(log1p_t, max(x, opaque(0.0))));
    const Vec result = select(x < kFarBelow, unscaled<Rounding>(t), near);
    return keep_nan(x, select(x > 1000.0, x, result));
  }
};

// log(1/(1 + e^-x)) = -softplus(-x).
struct LogSigmoid {
  static constexpr double kError = Softplus::kError;
  static constexpr std::uint32_t kFirst = kNegative, kLast = kSmallest;
  static SIGMAX_INLINE Start start(Vec x) { return Softplus::start(x); }
  static SIGMAX_INLINE Vec finish(Vec x, Start v) {
    const Vec z = v.a * v.a;
    return less_product(min(x, opaque(0.0)), v.a, mul_add(z, polynomial(z, kLog1pShort), 2.0));
  }
  static SIGMAX_INLINE Vec bounded(Vec x) { return x; }
  static SIGMAX_INLINE Vec at_ends(Vec, Vec result) { return result; }
  template <class Rounding>
  static SIGMAX_INLINE Vec apply(Vec x) {
    return -Softplus::apply<Rounding>(-x);
  }
};

// log(p/q) for q = 1 - p, by s = (p·2^-k - q)/(p·2^-k + q), where 2^k is p/q within a factor 2^0.59: the bits of a
// double, read as an integer, are its logarithm but for 0.09. Around 1/2 k is 0 and s is 2p - 1, which is exact.
struct Logit {
  static constexpr std::uint64_t kOne = 0x3ff0000000000000u, kHalf = 0x0008000000000000u;
  static constexpr double kError = 0x1.7p-41;
  static constexpr std::uint32_t kFirst = 1, kLast = 0x3f7fffffu;  // (0, 1)

  static SIGMAX_INLINE Start start(Vec p) {
    const Vec q = 1.0 - p;
    const Bits shifted = bit_cast<Bits>(p) + kOne, power = shifted - bit_cast<Bits>(q) + kHalf;
    const Vec k = exponent_of_bits(power >> 52);
    const Vec a = bit_cast<Vec>(shifted - (power & 0xfff0000000000000u));
    return {short_quotient(a - q, a + q), k};
  }
  static SIGMAX_INLINE Vec finish(Vec, Start v) { return short_log_of_odds(v.a, v.b); }
  static SIGMAX_INLINE Vec bounded(Vec p) { return p; }
  static SIGMAX_INLINE Vec at_ends(Vec p, Vec result) {
    result = select(p == 0.0, splat(-kInfinity), select(p == 1.0, splat(kInfinity), result));
    return select((p >= 0.0) & (p <= 1.0), result, keep_nan(p, splat(kNaN)));
  }

  template <class Rounding>
  static SIGMAX_INLINE Vec apply(Vec p) {
    const Pair q = difference<Pair>(splat(1.0), p);
    const Vec numerator = lifted(p);
    const Bits biased = (bit_cast<Bits>(numerator) - bit_cast<Bits>(q.hi) + (kOne + kHalf)) >> 52;
    const Vec a = numerator * bit_cast<Vec>((2046 - biased) << 52);
    const Pair s = divide(add(negate(q), a), add(q, a));
    const Vec k = exponent_of_bits(biased) - select(p < kTiny, splat(kLiftExponent), splat(0.0));
    return at_ends(p, Rounding::of(log_of_odds(s, k)));
  }
};

// 1 - e^x as a + b. For x > -1.04 (n >= -1) it is (1 - 2^n) - 2^n·(e^r - 1): nothing is lost as x -> 0.
// Below, it is 1 + (-e^x): nothing is lost as e^x -> 0.
template <class W>
struct OneMinusExp {
  Vec a;
  W b;
};

template <class W>
SIGMAX_INLINE OneMinusExp<W> one_minus_exp(Vec x) {
  Reduced<W> reduced = reduce(at_least_floor(wide<W>(x)));
  W p = expm1_reduced(reduced.r);
  Vec power = power_of_two<W>(reduced.shifted_n) * (1.0 / kExpScale<W>);
  Mask near = reduced.n >= -1.0;
  Vec a = select(near, 1.0 - power, splat(1.0));
  return {a, negate(scale(choose(near, p, one_plus(p)), power))};
}

struct Log1mexp {
  static constexpr double kError = 0x1.1p-38;
  static constexpr std::uint32_t kFirst = kNegative | 1u, kLast = kNegative | kSmallest;

  // e^x = w + w·p with w = 2^n. v = 1 - e^x is (1 - w) - w·p, and log v by v = 2^k·m: 1 - m is the small one of v's
  // logarithm, and is e^x itself where k = 0.
  static SIGMAX_INLINE Start start(Vec x) {
    constexpr std::uint64_t kOne = 0x3ff0000000000000u;
    const ShortExp e = short_exp(x, kLog2e);
    const Vec p = e.f * polynomial(e.f, kExp2Short), w = bit_cast<Vec>((bit_cast<Bits>(e.t) << 52) + kOne);
    return {less_product(1.0 - w, w, p), mul_add(w, p, w)};
  }
  static SIGMAX_INLINE Vec finish(Vec, Start v) {
    constexpr std::uint64_t kSqrtHalf = 0x3fe6a09e667f3bcdu, kOne = 0x3ff0000000000000u;
    const Bits shifted = bit_cast<Bits>(v.a) + (kOne - kSqrtHalf);
    const Vec k = exponent_of_bits(shifted >> 52), m = bit_cast<Vec>((shifted & 0x000fffffffffffffu) + kSqrtHalf);
    const Vec minus_f = select(k == 0.0, v.b, 1.0 - m);
    return short_log_of_odds(-short_quotient(minus_f, 2.0 - minus_f), k);
  }
  static SIGMAX_INLINE Vec bounded(Vec x) { return max(opaque(kNarrowBelow), x); }
  static SIGMAX_INLINE Vec at_ends(Vec x, Vec result) {
    result = select(x == 0.0, splat(-kInfinity), result);
    return keep_nan(x, select(x <= 0.0, result, splat(kNaN)));
  }

  template <class Rounding>
  static SIGMAX_INLINE Vec apply(Vec x) {
    const Mask tiny = x > -kTiny;  // 1 - e^x is -x
    const OneMinusExp<Pair> v = one_minus_exp<Pair>(select(tiny, splat(-1.0), x));
    const Pair sum = two_sum(v.a, v.b.hi);
    const Pair y = choose(tiny, as_pair(-x * kLift), Pair{sum.hi, sum.lo + v.b.lo});
    const Decomposed<Pair> parts = decompose<Pair>(y);
    const Pair log = log_of_odds(parts.s, parts.k - select(tiny, splat(kLiftExponent), splat(0.0)));
    const Vec near = Rounding::of(choose(x < -21.0, log1p_small(v.b), log));  // e^-21 < kSmall
    return at_ends(x, select(x < kFarBelow, -unscaled<Rounding>(exp_scaled(wide<Pair>(x))), near));
  }
};

// ---------------------------------------------------------------- vector-Jacobian products: g·f'(x)

// derivative·g, where the derivative comes times kExpScale<W>: the scale is taken from g where g is large
// and from the product where it is small, so that neither overflows nor loses bits.
template <class W, class G>
SIGMAX_INLINE Vec times_cotangent(W derivative, G g) {
  constexpr double unscale = 1.0 / kExpScale<W>;
  Mask large = abs(leading(g)) >= 1.0;
  Vec product = rounded(multiply(derivative, choose(large, scale(g, splat(unscale)), g)));
  Vec result = select(large, product, product * unscale);
  return select(result == result, result, leading(derivative) * leading(g));  // infinite, or g is NaN
}

// e^-|x|·g where a Pair has no room for e^-|x|: by two factors of e^(-|x|/2), down to what is 0 times any g.
SIGMAX_INLINE Vec far_product(Vec x, Vec g) {
  Pair half = exp_scaled(wide<Pair>(max(opaque(-750.0), -0.5 * abs(x))));
  Vec unscale = splat(1.0 / kExpScale<Pair>);
  Vec product = rounded(multiply(multiply(half, g * unscale), half)) * unscale;
  return select(abs(x) < 1500.0, product, splat(0.0));
}

// `near` where e^y, y <= 0, is a Pair; beyond, g·e^y.
template <class W>
SIGMAX_INLINE Vec with_far(Vec y, Vec g, Vec near) {
  Mask far = y < -700.0;
  if (kExpScale<W> == 1.0 || !any(far)) return near;
  return select(far & (abs(g) < kInfinity), far_product(y, g), near);
}

// sigmoid' = t/(1+t)², even in x.
struct SigmoidVjp {
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec x, Vec g) {
    W t = exp_scaled(wide<W>(-abs(x)));
    W q = reciprocal(one_plus(scale(t, splat(1.0 / kExpScale<W>))));
    return keep_nan(x, with_far<W>(-abs(x), g, times_cotangent(multiply(multiply(t, q), q), g)));
  }
};

struct LogSigmoidVjp {
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec x, Vec g) {
    return keep_nan(x, with_far<W>(-x, g, times_cotangent(sigmoid_scaled<W>(-x), g)));
  }
};

struct SoftplusVjp {
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec x, Vec g) {
    return keep_nan(x, with_far<W>(x, g, times_cotangent(sigmoid_scaled<W>(x), g)));
  }
};

// g/(p·(1-p)), with p and g lifted out of the subnormal range; 0 for g = 0, whatever p.
struct LogitVjp {
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec p, Vec g) {
    Mask small = abs(g) < kTiny;
    W numerator = wide<W>(select(small, g * kLift, g));
    W denominator = multiply(difference<W>(splat(1.0), p), lifted(p));
    Vec result = rounded(divide(numerator, denominator));
    Mask tiny = p < kTiny;
    result = select(tiny, select(small, result, result * kLift), select(small, result * (1.0 / kLift), result));
    Vec at_ends = select(g == 0.0, splat(0.0), g * kInfinity);
    result = select((p == 0.0) | (p == 1.0), at_ends, result);
    result = select(result == result, result, g / (p * (1.0 - p)));  // infinite, or g is NaN
    return select((p >= 0.0) & (p <= 1.0), result, keep_nan(p, splat(kNaN)));
  }
};

// -g·e^x/(1 - e^x), which is g/x for tiny x.
struct Log1mexpVjp {
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec x, Vec g) {
    Mask tiny = x > -0x1p-500;
    Vec bounded = select(tiny, splat(-1.0), x);
    OneMinusExp<W> v = one_minus_exp<W>(bounded);
    W ratio = divide(exp_scaled(wide<W>(bounded)), add(v.b, v.a));
    Vec at_zero = select(g == 0.0, splat(0.0), g * -kInfinity);
    Vec result = select(tiny, select(x == 0.0, at_zero, g / x), -with_far<W>(x, g, times_cotangent(ratio, g)));
    return keep_nan(x, select(x <= 0.0, result, splat(kNaN)));
  }
};

}  // namespace
}  // namespace sigmax
