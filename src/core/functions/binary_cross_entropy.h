// Binary cross-entropy and its gradient, over W = Vec (narrow types) or Pair (float64): see elementwise.h.
//
// loss = s·(u·softplus(-x) + v·softplus(x)) with u = pos_weight·y, v = 1 - y, y = (1-ε)·y0 + ε/2. u and v are computed
// apart, 1 - y0 exactly: a hard label has exactly 0 for the other. Every term is >= 0, so that the loss has the relative
// error of its parts, Vec 2^-40 and Pair 2^-55, and one rounding.
// The gradient, s/D·(v·σ(x) - u·σ(-x)), is a difference only between soft labels: its error is relative to the sum of
// both terms.
#pragma once

#include "elementwise.h"
#include "../simd/scaled.h"

namespace sigmax {
namespace {

struct LossAndGradient {
  Vec loss, gradient;
};

// Options of one element; the loss is divided by `divisor` outside, the gradient here.
struct LossOptions {
  Vec weight, pos_weight, smoothing, divisor;
};

// Whether products of these neither overflow nor lose digits, nor bring back what is 0 as e^-|x|.
SIGMAX_INLINE Mask is_between(Vec x, double least, double most) { return (x == 0.0) | ((abs(x) >= least) & (abs(x) <= most)); }
SIGMAX_INLINE Mask has_ordinary_weights(const LossOptions& options) {
  return is_between(options.weight, 0x1p-200, 0x1p26) & is_between(options.pos_weight, 0x1p-200, 0x1p26) & is_between(options.smoothing, 0x1p-200, 1.0);
}
SIGMAX_INLINE Mask is_ordinary(const LossOptions& options) { return has_ordinary_weights(options) & is_between(options.divisor, 0x1p-26, 0x1p200); }

// Labels of narrow types are far from the smallest doubles.
template <class W>
SIGMAX_INLINE Mask has_digits_in_products(Vec labels) {
  return kExpScale<W> == 1.0 ? ~Mask{} : is_between(labels, 0x1p-200, 1.0);
}

template <class W>
struct Targets {
  W u, v;
  Vec weight;
  Mask has_one, has_zero;  // u and v are not 0, whatever they round to
};

template <class W>
SIGMAX_INLINE Targets<W> targets(Vec y, const LossOptions& options) {
  Vec share = 0.5 * options.smoothing;
  W kept = difference<W>(splat(1.0), options.smoothing);
  W one = add(multiply(kept, y), share);
  W zero = add(multiply(kept, difference<W>(splat(1.0), y)), share);
  return {multiply(one, options.pos_weight), zero, options.weight, (leading(one) != 0.0) & (options.pos_weight != 0.0), leading(zero) != 0.0};
}

// Options of any size: s·u, s·v and 1/D with exponents of their own.
template <class W>
struct FarTargets {
  Scaled<W> u, v, per_divisor;

  SIGMAX_INLINE FarTargets(Vec y, const LossOptions& options) {
    const Scaled<W> weight(wide<W>(options.weight)), divisor(wide<W>(options.divisor));
    u = weight * Scaled<W>(wide<W>(options.pos_weight)) * smoothed(wide<W>(y), options.smoothing);
    v = weight * smoothed(difference<W>(splat(1.0), y), options.smoothing);
    per_divisor = reciprocal(divisor);
  }
  // (1 - ε)·share + ε/2, with the digits of tiny ones.
  static SIGMAX_INLINE Scaled<W> smoothed(W share, Vec smoothing) {
    constexpr double exponent = 200.0, lift = 0x1p200;
    Scaled<W> result(add(multiply(difference<W>(splat(1.0), smoothing), scale(share, splat(lift))), wide<W>(0.5 * (smoothing * lift))));
    result.exponent = result.exponent - exponent;
    return result;
  }
};
template <class W>
SIGMAX_INLINE Scaled<W> negate(const Scaled<W>& x) {
  return {negate(x.number), x.exponent};
}
template <class W>
SIGMAX_INLINE Scaled<W> choose(Mask mask, const Scaled<W>& yes, const Scaled<W>& no) {
  return {choose(mask, yes.number, no.number), select(mask, yes.exponent, no.exponent)};
}

// As a double e^-800 is 0 to any weight below 2^80, e^-700 to any narrow number.
template <class W>
constexpr double kFarthest = kExpScale<W> == 1.0 ? -kNarrowFloor : -kExpFloor;

// slope·weight/divisor, where the slope comes times 1/unscale: see times_cotangent.
template <class W>
SIGMAX_INLINE Vec times_quotient(W slope, Vec weight, Vec divisor, double unscale) {
  Mask large = abs(weight) >= divisor;
  W product = multiply(slope, select(large, weight * unscale, weight));
  Vec result = rounded(divide(product, wide<W>(divisor)));
  result = select(result == result, result, leading(product) / divisor);  // infinite
  return select(large, result, result * unscale);
}

// 0·inf = 0.
SIGMAX_INLINE Vec infinite(Vec weight) { return select(weight == 0.0, splat(0.0), weight * kInfinity); }

struct BinaryCrossEntropy {
  static constexpr double kError = 0x1.1p-38;  // of the loss of a hard label in one double

  // Such a loss is a softplus. Where its rounding to a float is in doubt, it becomes what the last step of that has.
  static SIGMAX_INLINE Vec settled(Vec x, Vec y, const LossOptions& options, Vec loss) {
    const Mask easy = ~is_near_tie(loss, splat(kError * 0x1p53 + 2.0)) & ((loss >= kFormat<float>.tiny) | (loss == 0.0));
    return any(~easy) ? settled_for_sure(x, y, options, loss) : loss;
  }
  static SIGMAX_NOINLINE Vec settled_for_sure(Vec x, Vec y, const LossOptions& options, Vec loss) {
    const Mask hard = ((y == 0.0) | (y == 1.0)) & (options.weight == 1.0) & (options.pos_weight == 1.0) & (options.smoothing == 0.0);
    const Mask in_doubt = hard & round_within(loss, kError, kFormat<float>).in_doubt;
    return any(in_doubt) ? select(in_doubt, Softplus::apply<Odd>(select(y == 0.0, x, -x)), loss) : loss;
  }

  template <class W>
  static SIGMAX_INLINE LossAndGradient apply(Vec x, Vec y, const LossOptions& options) {
    constexpr double unscale = 1.0 / kExpScale<W>;
    Targets<W> target = targets<W>(y, options);
    Vec magnitude = abs(x);
    W t = keep(magnitude <= kFarthest<W>, exp_scaled(wide<W>(-magnitude)));
    const W per_slope = one_plus(scale(t, splat(unscale))), numerator = slope_times_one_plus(x, t, target);
    return {keep_nan(x, loss(x, magnitude, t, target)), keep_nan(x, divided(numerator, per_slope, target.weight, options.divisor, unscale))};
  }

  // With t = (e^(-|x|/4))^4, for as long as any options bring it back.
  template <class W>
  static SIGMAX_NOINLINE LossAndGradient apply_far(Vec x, Vec y, const LossOptions& options) {
    constexpr double exponent = kExpScale<W> == 1.0 ? 0.0 : 512.0;
    const FarTargets<W> target(y, options);
    const Vec magnitude = abs(x);
    const Mask positive = x >= 0.0;
    Scaled<W> root(exp_scaled(wide<W>(max(opaque(-700.0), -0.25 * magnitude))));
    root.exponent = root.exponent - exponent;
    const Scaled<W> t = only_where(magnitude < 2800.0, root * root * root * root);
    const W one_plus_t = one_plus(t.at(Vec{}));
    const Scaled<W> log1p_t = choose(magnitude > -kFarBelow, t, Scaled<W>(log1p_fraction(t.at(Vec{}))));
    const Scaled<W> wrong = choose(positive, target.v, target.u);
    const Scaled<W> straight(wide<W>(min(opaque(0x1.fffffffffffffp1023), magnitude)));
    const Scaled<W> loss = (target.u + target.v) * log1p_t + only_where(leading(wrong.number) != 0.0, wrong * straight);
    const Vec value = select(magnitude == kInfinity, infinite(leading(wrong.number)), loss.rounded());
    const Scaled<W> minus_u = negate(target.u);
    const Scaled<W> slope = choose(positive, target.v, minus_u) + choose(positive, minus_u, target.v) * t;
    return {keep_nan(x, value), keep_nan(x, (slope * target.per_divisor * Scaled<W>(reciprocal(one_plus_t))).rounded())};
  }

  // (v·σ(x) - u·σ(-x))·(1 + t), times kExpScale<W>, as t is.
  template <class W>
  static SIGMAX_INLINE W slope_times_one_plus(Vec x, W t, const Targets<W>& target) {
    Mask positive = x >= 0.0;
    W u = negate(target.u);
    W whole = scale(choose(positive, target.v, u), splat(kExpScale<W>));
    return add(whole, multiply(choose(positive, u, target.v), t));
  }
  // Over 1 + t and the divisor. Of doubles one division is enough.
  static SIGMAX_INLINE Vec divided(Vec numerator, Vec one_plus_t, Vec weight, Vec divisor, double) { return numerator * weight / (one_plus_t * divisor); }
  static SIGMAX_INLINE Vec divided(Pair numerator, Pair one_plus_t, Vec weight, Vec divisor, double unscale) {
    return times_quotient(divide(numerator, one_plus_t), weight, divisor, unscale);
  }

  // s·((u + v)·log1p(t) + w·|x|), w = v for x > 0 and u for x < 0.
  template <class W>
  static SIGMAX_INLINE Vec loss(Vec x, Vec magnitude, W t, const Targets<W>& target) {
    W wrong = choose(x > 0.0, target.v, target.u);
    Vec bounded = magnitude;
    W log1p_t = t;
    Mask huge{};
    if constexpr (kExpScale<W> == 1.0) {
      log1p_t = log1p_fraction(t);
    } else {
      W near = scale(log1p_fraction(scale(t, splat(1.0 / kExpScale<W>))), splat(kExpScale<W>));
      log1p_t = choose(magnitude > -kFarBelow, t, near);
      huge = magnitude >= 0x1p500;  // t is 0, and |x| has no room for the scale
      bounded = select(huge, magnitude, magnitude * kExpScale<W>);
    }
    Vec result = times_cotangent(add(multiply(add(target.u, target.v), log1p_t), multiply(wrong, bounded)), target.weight);
    result = select(huge, result * kExpScale<W>, result);
    Vec slope = leading(wrong) * target.weight;
    Vec beyond = select(slope == 0.0, splat(0.0), slope * magnitude);
    return select(result == result, result, beyond);  // infinite, or 0·inf
  }
};

// -log p for 0 < p <= 1.
template <class W>
SIGMAX_INLINE W minus_log(Vec p) {
  Decomposed<W> parts = decompose<W>(as_pair(lifted(p)));
  return negate(log_of_odds(parts.s, parts.k - select(p < kTiny, splat(kLiftExponent), splat(0.0))));
}

// -log(1 - p) for 0 <= p < 1.
template <class W>
SIGMAX_INLINE W minus_log1m(Vec p) {
  return negate(choose(p < kSmall, log1p_small(wide<W>(-p)), log_of<W>(two_sum(splat(1.0), -p))));
}

// a·b, rounded; where that is infinite the low parts are NaN.
template <class W>
SIGMAX_INLINE Vec bounded_product(W a, W b) {
  Vec product = rounded(multiply(a, b));
  return select(product == product, product, leading(a) * leading(b));
}

// loss = s·(-u·log p - v·log(1-p)), gradient = s/D·(v/(1-p) - u/p). What is 0 or infinite at p = 0 and 1 is set apart.
struct BinaryCrossEntropyOfProbabilities {
  static SIGMAX_INLINE Vec settled(Vec, Vec, const LossOptions&, Vec loss) { return loss; }

  template <class W>
  static SIGMAX_INLINE LossAndGradient apply(Vec p, Vec y, const LossOptions& options) {
    Targets<W> target = targets<W>(y, options);
    Mask zero = p == 0.0, one = p == 1.0;
    Targets<W> finite = {keep(~zero, target.u), keep(~one, target.v), target.weight, {}, {}};
    Vec above_0 = select(zero, splat(1.0), p), below_1 = select(one, splat(0.0), p);
    W terms = add(multiply(finite.u, minus_log<W>(above_0)), multiply(finite.v, minus_log1m<W>(below_1)));
    Mask refuted = (zero & target.has_one) | (one & target.has_zero);
    Vec away = select(zero, -options.weight, options.weight);
    return {select(refuted, infinite(options.weight), bounded_product(terms, wide<W>(target.weight))),
            select(refuted, infinite(away), slope(above_0, below_1, finite, options.divisor))};
  }

  template <class W>
  static SIGMAX_NOINLINE LossAndGradient apply_far(Vec p, Vec y, const LossOptions& options) {
    const FarTargets<W> target(y, options);
    const Mask zero = p == 0.0, one = p == 1.0, has_one = leading(target.u.number) != 0.0, has_zero = leading(target.v.number) != 0.0;
    const Vec above_0 = select(zero, splat(1.0), p), below_1 = select(one, splat(0.0), p);
    const Scaled<W> u = only_where(~zero, target.u), v = only_where(~one, target.v), divisor(wide<W>(above_0));
    const Scaled<W> loss = u * Scaled<W>(minus_log<W>(above_0)) + v * Scaled<W>(minus_log1m<W>(below_1));
    const Scaled<W> per_p = reciprocal(divisor), per_rest(reciprocal(difference<W>(splat(1.0), below_1)));
    const Scaled<W> slope = (v * per_rest + negate(u * per_p)) * target.per_divisor;
    const Mask refuted = (zero & has_one) | (one & has_zero);
    const Vec away = select(zero, -options.weight, options.weight);
    return {select(refuted, infinite(options.weight), loss.rounded()), select(refuted, infinite(away), slope.rounded())};
  }

  // A p below 2^-900 is lifted by 2^108, and v/(1-p) lowered as much.
  template <class W>
  static SIGMAX_INLINE Vec slope(Vec above_0, Vec below_1, const Targets<W>& target, Vec divisor) {
    Mask tiny = above_0 < kTiny;
    W rising = divide(target.v, difference<W>(splat(1.0), below_1));
    W falling = divide(target.u, wide<W>(lifted(above_0)));
    W lowered = scale(rising, select(tiny, splat(1.0 / kLift), splat(1.0)));
    Vec result = times_quotient(add(lowered, negate(falling)), target.weight, divisor, 1.0);
    return select(tiny, result * kLift, result);
  }
};

}  // namespace
}  // namespace sigmax
