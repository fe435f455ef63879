// Binary cross-entropy of float32 logits and hard labels, in lanes of floats.
//
// With m = -x for label 1 and x for label 0 the loss is a·softplus(m) and the gradient ∓k·σ(m), where a is s·pos_weight
// or s, and k = a/D. Both share r = σ(-|x|) = t/(1+t), t = e^-|x|, known to 2^-28 as a pair:
//   softplus(m) = max(m, 0) - log(1 - r),  -log(1 - r) = r + r²/2 + r³·P(r),  σ(m) = r or 1/(1+t).
// Largest errors: loss 0.45 ULP of a float before it is rounded to one, gradient 0.6 ULP. Elements out of reach - soft
// labels, |x| > 40, a smoothing, k where the low parts of a product could be subnormal - go through the doubles of
// binary_cross_entropy.h, one by one: a result depends on its own element alone.
#pragma once

#include "binary_cross_entropy.h"
#include "elementwise_lanes.h"

namespace sigmax {
namespace {

// P in -log(1-r) = r + r²/2 + r³·P(r), 0 <= r <= 1/2.
constexpr float kLog1mFloat[] = {0x1.554f3p-2f, 0x1.010054p-2f, 0x1.79b68ep-3f, 0x1.2c830ap-2f, -0x1.c472b2p-2f, 0x1.af925ap+0f, -0x1.17761ep+1f, 0x1.9e027ep+0f};  // c0.. ascending; largest error 2^-27.7

// By Horner's rule for the even and for the odd powers: half the time to wait.
template <int n>
SIGMAX_INLINE Floats polynomial_in_two(Floats x, Floats x2, const float (&coefficients)[n]) {
  static_assert(n % 2 == 0, "as many odd powers as even ones");
  Floats even = constant(coefficients[n - 2]), odd = constant(coefficients[n - 1]);
  SIGMAX_UNROLL_ALL for (int k = n - 4; k >= 0; k -= 2) {
    even = mul_add(x2, even, constant(coefficients[k]));
    odd = mul_add(x2, odd, constant(coefficients[k + 1]));
  }
  return mul_add(x, odd, even);
}

struct HardLabels {
  FloatBits sign;  // of the gradient
  Floats ramp;     // max(m, 0)
  PairOf<Floats> log1p, sigmoid;
  FloatBits outside;  // not 0 where the element is out of reach
};

SIGMAX_INLINE HardLabels hard_labels(Floats x, Floats y) {
  typedef Format<float> C;
  constexpr std::uint32_t reach = 0x42200000u;  // 40
  Floats one = constant(1.0f);
  FloatBits is_one = bit_cast<FloatBits>(y == one), magnitude = bits_of(x) & ~C::kSign, sign = is_one & C::kSign;
  Floats m = bit_cast<Floats>(bits_of(x) ^ sign);
  FloatBits outside = ((reach - magnitude) & C::kSign) | (bits_of(y) ^ (is_one & C::kOne));

  PairOf<Floats> t = split(decay<float>(bit_cast<Floats>(magnitude)).e);
  PairOf<Floats> sum = fast_two_sum(one, t.hi);
  Floats rest = sum.lo + t.lo;
  Floats inverse = 1.0f / (sum.hi + rest);
  Floats error = mul_add(-inverse, rest, mul_add(-inverse, sum.hi, one));
  Floats r = t.hi * inverse, r2 = r * r;
  Floats r_lo = mul_add(r, error, mul_add(t.lo, inverse, mul_add(t.hi, inverse, -r)));
  Floats rest_of_log = mul_add(r2 * r, polynomial_in_two(r, r2, kLog1mFloat), mul_add(r_lo, t.hi, r_lo));
  Floats tail = mul_add(0.5f * r, r, rest_of_log);  // d(-log(1-r)) is (1 + t)·dr
  FloatMask positive = m >= 0.0f;
  return {sign, max(m, Floats{}), {r, tail}, {positive ? inverse : r, positive ? inverse * error : r_lo}, outside};
}

// What losses and gradients are multiplied by, a and k, for elements whose weights are the same ...
struct SameWeights {
  double a;
  PairOf<Floats> k;

  SIGMAX_INLINE Vec loss(std::ptrdiff_t) const { return splat(a); }
  SIGMAX_INLINE PairOf<Floats> slope(std::ptrdiff_t) const { return k; }
  SIGMAX_INLINE FloatBits outside(std::ptrdiff_t) const { return FloatBits{}; }
  SIGMAX_INLINE FloatBits gradient_outside(std::ptrdiff_t) const { return FloatBits{}; }
};

// ... or not.
struct Weights {
  const double* a;
  const float *k, *k_rest;
  const std::uint32_t *smoothed, *steep;  // not 0 where loss and gradient, or the gradient, are out of reach

  SIGMAX_INLINE Vec loss(std::ptrdiff_t i) const { return load(a + i); }
  SIGMAX_INLINE PairOf<Floats> slope(std::ptrdiff_t i) const { return {load_lanes(k + i), load_lanes(k_rest + i)}; }
  SIGMAX_INLINE FloatBits outside(std::ptrdiff_t i) const { return load_vector<FloatBits>(smoothed + i); }
  SIGMAX_INLINE FloatBits gradient_outside(std::ptrdiff_t i) const { return load_vector<FloatBits>(steep + i); }
};

// No |k| beyond these comes to the lanes, but 0.
constexpr double kSmallestSlope = 0x1p-40, kLargestSlope = 0x1p60;

SIGMAX_INLINE Mask slope_in_reach(Vec k) {
  return (k == 0.0) | ((abs(k) >= kSmallestSlope) & (abs(k) <= kLargestSlope));
}

struct LossBlockInLanes : LossBlock<float> {
  static constexpr std::ptrdiff_t kCount = SIGMAX_VECTOR_BYTES / sizeof(float);

  template <bool with_gradient, class W>
  static SIGMAX_INLINE void store_weighted(std::ptrdiff_t i, const HardLabels& h, const W& weights, double* loss_to,
                                           float* gradient_to) {
    Singles ramp[2], log1p[2], tail[2];
    store_vector(ramp, h.ramp);
    store_vector(log1p, h.log1p.hi);
    store_vector(tail, h.log1p.lo);
    for (int half = 0; half < 2; ++half)
      store(loss_to + half * kLanes,
            (widen(ramp[half]) + (widen(log1p[half]) + widen(tail[half]))) * weights.loss(i + half * kLanes));
    if constexpr (with_gradient) {
      PairOf<Floats> k = weights.slope(i);
      Floats slope = mul_add(h.sigmoid.hi, k.hi, mul_add(h.sigmoid.hi, k.lo, h.sigmoid.lo * k.hi));
      store_lanes(gradient_to, bit_cast<Floats>(bits_of(slope) ^ h.sign));
    }
  }

  // A vector with elements out of reach: these are replaced.
  template <bool with_gradient, class W>
  SIGMAX_NOINLINE void mixed(std::ptrdiff_t i, const W& weights) const {
    HardLabels h = hard_labels(load_lanes(x + i), load_lanes(labels + i));
    FloatBits outside = h.outside | weights.outside(i), gradient_outside = outside | weights.gradient_outside(i);
    double loss_near[kCount], loss_far[kCount];
    float near[kCount], far[kCount];
    store_weighted<with_gradient>(i, h, weights, loss_near, near);
    for (int k = 0; k < kCount; k += kLanes) {
      LossAndGradient replacement = general<BinaryCrossEntropy>(i + k);
      store(loss_far + k, replacement.loss);
      store(far + k, replacement.gradient);
    }
    for (int k = 0; k < kCount; ++k) {
      loss[i + k] = outside[k] ? loss_far[k] : loss_near[k];
      if constexpr (with_gradient) gradient[i + k] = gradient_outside[k] ? far[k] : near[k];
    }
  }

  // Several vectors side by side: one alone would wait for its own polynomials.
  template <bool with_gradient, int together, class W>
  SIGMAX_INLINE void vectors(std::ptrdiff_t i, const W& weights) const {
    HardLabels h[together];
    FloatBits outside{};
    SIGMAX_UNROLL_ALL for (int k = 0; k < together; ++k) {
      h[k] = hard_labels(load_lanes(x + i + k * kCount), load_lanes(labels + i + k * kCount));
      outside |= h[k].outside | weights.outside(i + k * kCount);
      if constexpr (with_gradient) outside |= weights.gradient_outside(i + k * kCount);
    }
    if (__builtin_expect(any(outside), false)) {
      for (int k = 0; k < together; ++k) mixed<with_gradient>(i + k * kCount, weights);
    } else {
      SIGMAX_UNROLL_ALL for (int k = 0; k < together; ++k) {
        std::ptrdiff_t at = i + k * kCount;
        store_weighted<with_gradient>(at, h[k], weights, loss + at, gradient + at);
      }
    }
  }

  // `n` elements, rounded up to whole vectors.
  template <bool with_gradient, class W>
  SIGMAX_NOINLINE void compute_in_lanes(std::ptrdiff_t n, const W& weights) const {
    constexpr int together = 4;
    std::ptrdiff_t i = 0;
    for (; i + together * kCount <= n; i += together * kCount) vectors<with_gradient, together>(i, weights);
    for (; i < n; i += kCount) vectors<with_gradient, 1>(i, weights);
  }

  // All elements have the options of the first.
  template <bool with_gradient>
  void same_options(std::ptrdiff_t n) const {
    double k = *weight / *divisor;
    if (*smoothing != 0.0) return compute<BinaryCrossEntropy, with_gradient>(n);
    if (*pos_weight != 1.0 || !slope_in_reach(splat(k))[0]) return own_options<with_gradient>(n);
    float leading = static_cast<float>(k), rest = static_cast<float>(k - static_cast<double>(leading));
    compute_in_lanes<with_gradient>(n, SameWeights{*weight, {constant(leading), constant(rest)}});
  }

  template <bool with_gradient>
  void own_options(std::ptrdiff_t n) const {
    double a[kLossBlockSize];
    float k[kLossBlockSize], k_rest[kLossBlockSize];
    std::uint32_t smoothed[kLossBlockSize], steep[kLossBlockSize];
    for (std::ptrdiff_t i = 0; i < n; i += kLanes) {
      Vec a_i = load(weight + i) * select(load(labels + i) == 1.0, load(pos_weight + i), splat(1.0));
      Vec k_i = a_i / load(divisor + i);
      Singles leading = narrow(k_i);
      store(a + i, a_i);
      store_singles(k + i, leading);
      store(k_rest + i, k_i - widen(leading));
      store_vector(smoothed + i, __builtin_convertvector(load(smoothing + i) != 0.0, SignedWords));
      store_vector(steep + i, __builtin_convertvector(~slope_in_reach(k_i), SignedWords));
    }
    compute_in_lanes<with_gradient>(n, Weights{a, k, k_rest, smoothed, steep});
  }
};

}  // namespace
}  // namespace sigmax
