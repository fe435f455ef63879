// Functions of one number, over W = Vec (narrow types) or Pair (float64): x in, one rounding at the end.
#pragma once

#include "log_probability.h"

namespace sigmax {
namespace {

// Below this, log1p(±e^x) is ±e^x to 2^-72, and the subnormal results keep every bit.
constexpr double kFarBelow = -50.0;

template <class W>
SIGMAX_INLINE Vec unscaled(W scaled) {
  return rounded(scaled) * (1.0 / kExpScale<W>);
}

SIGMAX_INLINE Vec keep_nan(Vec x, Vec result) { return select(x == x, result, x); }

// With t = e^-|x| <= 1:  sigmoid(x) = 1/(1+t) for x >= 0 and t/(1+t) for x < 0, times kExpScale<W>.
template <class W>
SIGMAX_INLINE W sigmoid_scaled(Vec x) {
  W t = exp_scaled(wide<W>(-abs(x)));
  W numerator = choose(x >= 0.0, wide<W>(splat(kExpScale<W>)), t);
  return divide(numerator, one_plus(scale(t, splat(1.0 / kExpScale<W>))));
}

struct Sigmoid {
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec x) {
    if constexpr (kExpScale<W> != 1.0) return keep_nan(x, unscaled(sigmoid_scaled<W>(x)));
    const Vec t = exp_narrow(-abs(x));
    return select(x >= 0.0, splat(1.0), t) * narrow_reciprocal(1.0 + t);
  }
};

// e^y · kExpScale<W>, y <= 0, for results that lose no digits of it.
template <class W>
SIGMAX_INLINE W exp_of(Vec y);
template <>
SIGMAX_INLINE Vec exp_of<Vec>(Vec y) { return exp_narrow(y); }
template <>
SIGMAX_INLINE Pair exp_of<Pair>(Vec y) { return exp_scaled(wide<Pair>(y)); }

// log(1 + e^x) = max(x, 0) + log1p(e^-|x|).
struct Softplus {
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec x) {
    W t = exp_of<W>(-abs(x));
    W log1p_t = log1p_fraction(scale(t, splat(1.0 / kExpScale<W>)));
    Vec result = rounded(add(log1p_t, max(x, opaque(0.0))));
    if constexpr (kExpScale<W> != 1.0) result = select(x < kFarBelow, unscaled(t), result);
    return keep_nan(x, select(x > 1000.0, x, result));
  }
};

// log(1/(1 + e^-x)) = -softplus(-x).
struct LogSigmoid {
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec x) {
    return -Softplus::apply<W>(-x);
  }
};

// log(p/q) for q = 1 - p, by s = (p·2^-k - q)/(p·2^-k + q), where 2^k is p/q within a factor 2^0.59: the bits of a
// double, read as an integer, are its logarithm but for 0.09. Around 1/2 k is 0 and s is 2p - 1, which is exact.
struct Logit {
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec p) {
    constexpr std::uint64_t kOne = 0x3ff0000000000000u, kHalf = 0x0008000000000000u;
    W q = difference<W>(splat(1.0), p);
    Vec numerator = lifted(p);
    Bits biased = (bit_cast<Bits>(numerator) - bit_cast<Bits>(leading(q)) + (kOne + kHalf)) >> 52;
    Vec k = bit_cast<Vec>(biased | 0x4330000000000000u) - (0x1p52 + 1023.0);
    Vec a = numerator * bit_cast<Vec>((2046 - biased) << 52);
    W s = divide(add(negate(q), a), add(q, a));
    Vec result = rounded(log_of_odds_narrow(s, k - select(p < kTiny, splat(kLiftExponent), splat(0.0))));
    result = select(p == 0.0, splat(-kInfinity), select(p == 1.0, splat(kInfinity), result));
    return select((p >= 0.0) & (p <= 1.0), result, keep_nan(p, splat(kNaN)));
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
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec x) {
    constexpr bool wide_range = kExpScale<W> != 1.0;  // float64 reaches where 1 - e^x or e^x is subnormal
    Mask tiny = wide_range ? x > -kTiny : Mask{};      // 1 - e^x is -x
    OneMinusExp<W> v = one_minus_exp<W>(select(tiny, splat(-1.0), x));
    Pair sum = two_sum(v.a, leading(v.b));
    Pair y = choose(tiny, as_pair(-x * kLift), Pair{sum.hi, sum.lo + trailing(v.b)});
    Decomposed<W> parts = decompose<W>(y);
    W log = log_of_odds_narrow(parts.s, parts.k - select(tiny, splat(kLiftExponent), splat(0.0)));
    Vec result = rounded(choose(x < -21.0, log1p_small(v.b), log));  // e^-21 < kSmall
    if constexpr (wide_range) result = select(x < kFarBelow, -unscaled(exp_scaled(wide<W>(x))), result);
    result = select(x == 0.0, splat(-kInfinity), result);
    return keep_nan(x, select(x <= 0.0, result, splat(kNaN)));
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
