// Binary cross-entropy and its gradient, over W = Vec (narrow types) or Pair (float64): see elementwise.h.
//
// loss = s·(u·softplus(-x) + v·softplus(x)) with u = pos_weight·y, v = 1 - y, y = (1-ε)·y0 + ε/2. u and v are computed
// apart, 1 - y0 exactly: a hard label has exactly 0 for the other. Every term is >= 0, so that the loss has the relative
// error of its parts, Vec 2^-40 and Pair 2^-55, and one rounding.
// The gradient, s/D·(v·σ(x) - u·σ(-x)), is a difference only between soft labels: its error is relative to the sum of
// both terms.
#pragma once

#include "elementwise.h"

namespace sigmax {
namespace {

struct LossAndGradient {
  Vec loss, gradient;
};

// Options of one element; the loss is divided by `divisor` outside, the gradient here.
struct LossOptions {
  Vec weight, pos_weight, smoothing, divisor;
};

// A large pos_weight leaves 2^600 of u and v to the weight of the element, so that products of theirs do not overflow.
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
  Mask large = options.pos_weight > 0x1p400;
  Vec room = select(large, splat(0x1p-600), splat(1.0));
  return {multiply(one, options.pos_weight * room), scale(zero, room),
          select(large, options.weight * 0x1p600, options.weight), (leading(one) != 0.0) & (options.pos_weight != 0.0), leading(zero) != 0.0};
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

struct BinaryCrossEntropy {
  template <class W>
  static SIGMAX_INLINE LossAndGradient apply(Vec x, Vec y, const LossOptions& options) {
    constexpr double unscale = 1.0 / kExpScale<W>;
    Targets<W> target = targets<W>(y, options);
    Vec magnitude = abs(x);
    W t = keep(magnitude <= kFarthest<W>, exp_scaled(wide<W>(-magnitude)));
    return {keep_nan(x, loss(x, magnitude, t, target)),
            keep_nan(x, times_quotient(slope(x, t, target, one_plus(scale(t, splat(unscale)))), target.weight,
                                       options.divisor, unscale))};
  }

  // v·σ(x) - u·σ(-x), the difference divided once by 1 + t: times kExpScale<W>, as t is.
  template <class W>
  static SIGMAX_INLINE W slope(Vec x, W t, const Targets<W>& target, W one_plus_t) {
    Mask positive = x >= 0.0;
    W u = negate(target.u);
    W whole = scale(choose(positive, target.v, u), splat(kExpScale<W>));
    return divide(add(whole, multiply(choose(positive, u, target.v), t)), one_plus_t);
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

// 0·inf = 0.
SIGMAX_INLINE Vec infinite(Vec weight) { return select(weight == 0.0, splat(0.0), weight * kInfinity); }

// loss = s·(-u·log p - v·log(1-p)), gradient = s/D·(v/(1-p) - u/p). What is 0 or infinite at p = 0 and 1 is set apart.
struct BinaryCrossEntropyOfProbabilities {
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

constexpr std::ptrdiff_t kLossBlockSize = 512;

// Elements next to each other, at most kLossBlockSize of them, and the options of each.
template <class T>
struct LossBlock {
  const T *x = nullptr, *labels = nullptr;
  const double *weight = nullptr, *pos_weight = nullptr, *smoothing = nullptr, *divisor = nullptr;
  double* loss = nullptr;
  T* gradient = nullptr;

  // A vector of them, in arithmetic W.
  template <class F>
  SIGMAX_INLINE LossAndGradient general(std::ptrdiff_t i) const {
    LossOptions options = {load(weight + i), load(pos_weight + i), load(smoothing + i), load(divisor + i)};
    return F::template apply<typename Arithmetic<T>::W>(load(x + i), load(labels + i), options);
  }

  // `n` elements, rounded up to whole vectors.
  template <class F, bool with_gradient>
  void compute(std::ptrdiff_t n) const {
    for (std::ptrdiff_t i = 0; i < n; i += kLanes) {
      LossAndGradient result = general<F>(i);
      store(loss + i, result.loss);
      if constexpr (with_gradient) store(gradient + i, result.gradient);
    }
  }
};

}  // namespace
}  // namespace sigmax
