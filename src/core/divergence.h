// Divergences of two rows of logits, alone and beside the cross-entropy of a label, as policies for the kernels of
// axis_kernels.h.
//
// The divergence of the row z from the row x is s·Σ q_i·(log q_i - log p_i) with q = softmax(z/T), p = softmax(x/T). With
// Boltzmann factors f of z and e of x, each measured from its own largest logit, d = log e - log f and S = Σ (e - f)/Σ f,
// it is
//   Σ f·(e^d - 1 - d)/Σ f - (S - log(1 + S)):
// small to second order where the rows are close, and so are its two terms, of which the first is a sum of positive ones.
// Its gradient is scale·s/T·(p_i - q_i) = scale·s/T·((e_i - f_i) - f_i·S)/Σ e.
#pragma once

#include "normalization.h"

namespace sigmax {
namespace {

// a·power + b and a - b·c, for a power of two.
SIGMAX_INLINE Vec add_scaled(Vec a, Vec power, Vec b) { return mul_add(a, power, b); }
SIGMAX_INLINE Pair add_scaled(Pair a, Vec power, Pair b) { return add(scale(a, power), b); }
SIGMAX_INLINE Vec less_product(Vec a, Vec b, Vec c) { return mul_add(-b, c, a); }
SIGMAX_INLINE Pair less_product(Pair a, Pair b, Pair c) { return add(a, negate(multiply(b, c))); }

// How often a lane of a mask is set.
SIGMAX_INLINE void count(Vec& sum, Mask mask) { accumulate_where(mask, sum, splat(1.0)); }
SIGMAX_INLINE void count(Pair& sum, Mask mask) { count(sum.hi, mask); }

template <bool with_gradient>
struct DivergencePolicy : CancellingPolicy {
  static constexpr bool per_class = true, labelled = true, of_two_rows = true;
  static constexpr bool per_row = with_gradient, reduces = !with_gradient, keeps_terms = with_gradient;
  static constexpr int kept_numbers = 2;

  template <class W>
  struct Term {
    W f, difference, excess;  // of e - f, and f·(e^d - 1 - d)
  };
  template <class W>
  static SIGMAX_INLINE void store_term(double* to, const Term<W>& term) {
    store_wide(to, term.f);
    store_wide(to + sizeof(W) / sizeof(double), term.difference);
  }
  template <class W>
  static SIGMAX_INLINE Term<W> load_term(const double* from) {
    return {load_wide<W>(from), load_wide<W>(from + sizeof(W) / sizeof(double)), W{}};
  }

  // One reduction d = n·ln 2 + r serves both: e^d - 1 = 2^n·(r + r²·(...)) + (2^n - 1), and for n = 0, where the rows are
  // close, e^d - 1 - d is the second term alone, without a difference.
  template <class W>
  static SIGMAX_INLINE Term<W> term(Vec x, Vec z, const Row<W>& row) {
    W d = multiply(add(difference<W>(x, row.max), negate(difference<W>(z, row.second_max))), row.beta);
    Reduced<W> reduced = reduce(d);
    Vec power = power_of_two<Vec>(reduced.shifted_n);
    W curve = multiply(multiply(reduced.r, reduced.r), half_and_more(reduced.r));
    W line = add_scaled(reduced.r, power, add(difference<W>(power, splat(1.0)), negate(d)));
    W excess = add_scaled(curve, power, line), f = boltzmann_precise(z, second(row));
    return {f, multiply(f, add(excess, d)), multiply(f, excess)};
  }
  // (e^r - 1 - r)/r².
  static SIGMAX_INLINE Vec half_and_more(Vec r) { return mul_add(r, polynomial(r, kExpTail), 0.5); }
  static SIGMAX_INLINE Pair half_and_more(Pair r) {
    return fast_two_sum(splat(0.5), r.hi * polynomial(r.hi, kExpTail) + r.lo * kExpTail[0]);
  }
  template <class W>
  static SIGMAX_INLINE Row<W> second(const Row<W>& row) {
    Row<W> other = row;
    other.max = row.second_max;
    return other;
  }

  // Whether e or f is too small for `term`: for most, the class is not there.
  template <class W>
  static SIGMAX_INLINE Mask is_rare(Vec x, Vec z, const Row<W>& row) {
    return min(x - row.max, z - row.second_max) < row.lowest;
  }
  // Without a class in x the excess is infinite: `count_impossible`. Without one in z it is e.
  template <class W>
  static SIGMAX_INLINE void mend(Term<W>& term, Vec x, Vec z, const Row<W>& row) {
    Mask rare = is_rare(x, z, row), has_x = x > -kInfinity, has_z = z > -kInfinity;
    Mask absent = (x == -kInfinity) & (z == -kInfinity);
    term = {keep(~absent, term.f), keep(~absent, term.difference), keep(~absent, term.excess)};
    if (!any(rare & ~absent)) return;
    W e = keep(has_x, boltzmann_precise(x, row)), f = keep(has_z, boltzmann_precise(z, second(row)));
    W d = add(energy(x, row), negate(energy(z, second(row)))), far = add(e, negate(f));
    far = choose(x + z == x + z, far, wide<W>(splat(kNaN)));
    W linear = keep(has_x & has_z, multiply(f, d));
    term.f = choose(rare, f, term.f);
    term.difference = choose(rare, far, term.difference);
    term.excess = choose(rare, add(far, negate(linear)), term.excess);
  }
  template <class W>
  static SIGMAX_INLINE void count_impossible(Sums<W>& sums, Vec x, Vec z) {
    count(sums.impossible, (x == -kInfinity) & (z > -kInfinity));
  }

  template <class W>
  static SIGMAX_INLINE void accumulate(Sums<W>& sums, Vec, Vec, const Term<W>& term, const Row<W>&) {
    sigmax::accumulate(sums.total, term.f);
    sigmax::accumulate(sums.mass, term.difference);
    sigmax::accumulate(sums.moment, term.excess);
  }
  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    W value = multiply(divergence(row, sums), row.weight);
    row.value = select(is_infinite(row, sums), row.weight * kInfinity, rounded(value));
  }
  template <class W>
  static SIGMAX_INLINE Mask is_infinite(const Row<W>& row, const Sums<W>& sums) {
    return (leading(sums.impossible) > 0.0) & (row.weight != 0.0);
  }
  // Without its weight, where it is finite.
  template <class W>
  static SIGMAX_INLINE W divergence(Row<W>& row, const Sums<W>& sums) {
    W inverse = reciprocal(sums.total);
    row.mean = multiply(sums.mass, inverse);
    row.inverse = reciprocal(scale(add(sums.total, sums.mass), splat(1.0 / kExpScale<W>)));
    row.inverse = multiply(multiply(row.inverse, row.weight), row.gain);
    return add(multiply(sums.moment, inverse), negate(less_its_log1p(row.mean)));
  }
  // S - log(1 + S); for small S it is S²·(1/2 - S/3 + S²/4 - ...).
  template <class W>
  static SIGMAX_INLINE W less_its_log1p(W s) {
    constexpr double series[] = {1.0 / 2, -1.0 / 3, 1.0 / 4, -1.0 / 5, 1.0 / 6, -1.0 / 7, 1.0 / 8, -1.0 / 9, 1.0 / 10, -1.0 / 11};
    Mask small = abs(leading(s)) < 0x1p-6;
    W of_small = multiply(multiply(s, s), wide<W>(polynomial(leading(s), series)));
    return choose(small, of_small, add(s, negate(log_of_sum(splat(1.0), choose(small, W{}, s)))));
  }
  template <class W>
  static SIGMAX_INLINE W slope(const Term<W>& term, const Row<W>& row) {
    return multiply(less_product(term.difference, term.f, row.mean), row.inverse);
  }
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec, Vec, const Term<W>& term, const Row<W>& row) {
    return descaled(slope(term, row), row);
  }
};

// The same with the cross-entropy of the row and a class y at temperature 1, which has the weight v:
//   s·(the divergence) + v·(log Σ e - log e_y),
// where e are now the Boltzmann factors at temperature 1. Their part of the gradient is scale·v·e_i/Σ e, and of y
// -scale·v·(Σ e - e_y)/Σ e, with the sum of the others as in losses.h. `sums.gap` is the largest logit less that of y:
// infinite or NaN where y is impossible.
template <bool with_gradient>
struct DistillationPolicy : DivergencePolicy<with_gradient> {
  typedef DivergencePolicy<with_gradient> Base;
  static constexpr bool has_target = true;
  static constexpr int kept_numbers = 3;

  template <class W>
  struct Term : Base::template Term<W> {
    W e;
  };
  template <class W>
  static SIGMAX_INLINE void store_term(double* to, const Term<W>& term) {
    Base::template store_term<W>(to, term);
    store_wide(to + 2 * sizeof(W) / sizeof(double), term.e);
  }
  template <class W>
  static SIGMAX_INLINE Term<W> load_term(const double* from) {
    return {Base::template load_term<W>(from), load_wide<W>(from + 2 * sizeof(W) / sizeof(double))};
  }

  template <class W>
  static SIGMAX_INLINE Term<W> term(Vec x, Vec z, const Row<W>& row) {
    return {Base::term(x, z, row), exp_scaled(difference<W>(x, row.max))};
  }
  template <class W>
  static SIGMAX_INLINE void mend(Term<W>& term, Vec x, Vec z, const Row<W>& row) {
    Base::template mend<W>(term, x, z, row);
    term.e = keep(~(x == -kInfinity), term.e);
  }
  template <class W>
  static SIGMAX_INLINE void accumulate(Sums<W>& sums, Vec x, Vec z, const Term<W>& term, const Row<W>& row) {
    Base::template accumulate<W>(sums, x, z, term, row);
    Mask tie = x == row.max;
    count(sums.ties, tie);
    accumulate_unless(tie, sums.others, term.e);
  }
  template <class W>
  static SIGMAX_INLINE void finish(Row<W>& row, const Sums<W>& sums) {
    constexpr double s = kExpScale<W>;
    W total = add(sums.others, leading(sums.ties) * s), others = scale(sums.others, splat(1.0 / s));
    W soft = multiply(Base::divergence(row, sums), row.weight);
    W hard = add(sums.gap, log_of_sum(leading(sums.ties), others));
    Vec weight = row.z_loss;
    Mask counts = weight != 0.0, possible = abs(leading(hard)) < kInfinity;
    Vec value = rounded(add(soft, keep(counts & possible, multiply(hard, weight))));
    value = select(counts & ~possible, weight * kInfinity, value);
    row.value = select(Base::is_infinite(row, sums), row.weight * kInfinity, value);
    row.others = sums.others;
    row.ties = scale(sums.ties, splat(s));
    row.strength = multiply(multiply(reciprocal(scale(total, splat(1.0 / s))), weight), row.gain_at_one);
  }
  template <class W>
  static SIGMAX_INLINE Vec apply(Vec, Vec, const Term<W>& term, const Row<W>& row) {
    return descaled(less_product(Base::slope(term, row), negate(term.e), row.strength), row);
  }
  template <class W>
  static SIGMAX_INLINE Vec target(const Term<W>& term, const Row<W>& row) {
    W rest = add(row.others, add(row.ties, negate(term.e)));
    return descaled(less_product(Base::slope(term, row), rest, row.strength), row);
  }
};

}  // namespace
}  // namespace sigmax
