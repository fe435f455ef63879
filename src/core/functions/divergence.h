// Divergences of two rows of logits, alone and beside the cross-entropy of a class index.
//
// The divergence of the row z from the row x is s·Σ q_i·(log q_i - log p_i) with q = softmax(z/T), p = softmax(x/T). With
// Boltzmann factors f of z and e of x, each measured from its own largest logit, d = log e - log f and S = Σ (e - f)/Σ f,
// it is
//   Σ f·(e^d - 1 - d)/Σ f - (S - log(1 + S)):
// small to second order where the rows are close, and so are its two terms, of which the first is a sum of positive ones.
// Its gradient is scale·s/T·(p_i - q_i) = scale·s/T·((e_i - f_i) - f_i·S)/Σ e.
#pragma once

#include "log_softmax.h"

namespace sigmax {
namespace {

// a·power + b, for a power of two.
SIGMAX_INLINE Vec add_scaled(Vec a, Vec power, Vec b) { return mul_add(a, power, b); }
SIGMAX_INLINE Pair add_scaled(Pair a, Vec power, Pair b) { return add(scale(a, power), b); }

// Boltzmann factors of a class in both rows.
template <class W>
struct TwoFactors {
  W f, difference, excess;  // of e - f, and f·(e^d - 1 - d)
  W far;                    // the excess where it is at least kFar, then in units of kFarUnit
  Mask rare;                // only such have a far excess, or are impossible
};
constexpr double kFarExponent = 900.0, kFarUnit = 1600.0;  // exponents of both

template <class W>
struct TwoEnergies {
  Energy<W> first, second;
  Vec lowest;  // of a distance that is not rare

  TwoEnergies() = default;
  SIGMAX_INLINE explicit TwoEnergies(const Options& o) : first(o.largest, o), second(o.second_largest, o), lowest(kNarrowFloor * o.temperature) {}

  // One reduction d = n·ln 2 + r serves both: e^d - 1 = 2^n·(r + r²·(...)) + (2^n - 1), and for n = 0, where the rows are
  // close, e^d - 1 - d is the second term alone, without a difference.
  SIGMAX_INLINE TwoFactors<W> factors(Vec x, Vec z) const {
    const W d = multiply(add(difference<W>(x, first.max), negate(difference<W>(z, second.max))), first.beta);
    const Reduced<W> reduced = reduce(d);
    const Vec power = power_of_two<Vec>(reduced.shifted_n);
    const W curve = multiply(multiply(reduced.r, reduced.r), half_and_more(reduced.r));
    const W line = add_scaled(reduced.r, power, add(difference<W>(power, splat(1.0)), negate(d)));
    const W excess = add_scaled(curve, power, line), f = second.precise_factor(z);
    TwoFactors<W> term;
    term.f = f;
    term.difference = multiply(f, add(excess, d));
    term.excess = multiply(f, excess);
    term.far = W{};
    term.rare = is_rare(x, z);
    if (any(term.rare)) {
      const TwoEnergies energies = *this;  // the others can stay in registers
      term = energies.mended(term, x, z);
    }
    return term;
  }

 private:
  // (e^r - 1 - r)/r².
  static SIGMAX_INLINE Vec half_and_more(Vec r) { return split_polynomial(r, kExcess); }
  static SIGMAX_INLINE Pair half_and_more(Pair r) {
    return fast_two_sum(splat(0.5), r.hi * split_polynomial(r.hi, kExpTail) + r.lo * kExpTail[0]);
  }
  // Whether e or f is too small for this: for most, the class is not there.
  SIGMAX_INLINE Mask is_rare(Vec x, Vec z) const { return ~(min(x - first.max, z - second.max) >= lowest); }
  // Without a class in x the excess is infinite: the sums count it as impossible. Without one in z it is e.
  SIGMAX_NOINLINE TwoFactors<W> mended(TwoFactors<W> term, Vec x, Vec z) const {
    const Mask rare = term.rare, has_x = x > -kInfinity, has_z = z > -kInfinity;
    const Mask absent = (x == -kInfinity) & (z == -kInfinity);
    const W e = keep(has_x, first.precise_factor(x)), f = keep(has_z, second.precise_factor(z));
    const Scaled<W> half_d = Scaled<W>(half_difference(first.max, x)) + Scaled<W>(half_difference(z, second.max));
    const Scaled<W> minus_linear = only_where(has_x & has_z, Scaled<W>(f) * half_d * Scaled<W>(first.beta));
    const Mask is_far = minus_linear.exponent > kFarExponent;
    W change = add(e, negate(f));
    change = choose(x + z == x + z, change, wide<W>(splat(kNaN)));
    term.f = keep(~absent, choose(rare, f, term.f));
    term.difference = keep(~absent, choose(rare, change, term.difference));
    const W excess = add(change, keep(~is_far, scale(minus_linear.at(Vec{}), splat(2.0))));
    term.excess = keep(~absent, choose(rare, excess, term.excess));
    term.far = keep(rare & is_far, minus_linear.at(splat(kFarUnit - 1.0)));
    return term;
  }
  // (a - b)/2, which does not overflow.
  static SIGMAX_INLINE W half_difference(Vec a, Vec b) { return difference<W>(0.5 * a, 0.5 * b); }
};

template <class W>
struct DivergenceSums {
  W total, mass, moment, far, impossible;

  SIGMAX_INLINE void add(const TwoFactors<W>& term, Vec x, Vec z) {
    accumulate(total, term.f);
    accumulate(mass, term.difference);
    accumulate(moment, term.excess);
    if (!any(term.rare)) return;
    accumulate(far, term.far);
    count(impossible, (x == -kInfinity) & (z > -kInfinity));
  }
};

// S - log(1 + S); for small S it is S²·(1/2 - S/3 + S²/4 - ...).
template <class W>
SIGMAX_INLINE W less_its_log1p(W s) {
  constexpr double series[] = {1.0 / 2, -1.0 / 3, 1.0 / 4, -1.0 / 5, 1.0 / 6, -1.0 / 7, 1.0 / 8, -1.0 / 9, 1.0 / 10, -1.0 / 11};
  const Mask small = abs(leading(s)) < 0x1p-6;
  const W of_small = multiply(multiply(s, s), wide<W>(polynomial(leading(s), series)));
  return choose(small, of_small, add(s, negate(log_of_sum(splat(1.0), choose(small, W{}, s)))));
}

// A row's divergence with its weight, where it is finite, and the factor of its gradient before it has a common exponent with
// others.
template <class N>
struct DivergenceParts {
  N value, factor;
};
template <class W>
SIGMAX_INLINE Scaled<W> add_far(const Scaled<W>& near, W far, W inverse_total) {
  return near + Scaled<W>(far) * Scaled<W>(inverse_total) * Scaled<W>(wide<W>(splat(1.0)), splat(kFarUnit));
}
template <class W>
SIGMAX_INLINE Plain<W> add_far(const Plain<W>& near, W, W) {
  return near;
}
// Whether the numbers of a row need no exponents of their own.
SIGMAX_INLINE bool is_plain(const DivergenceSums<Vec>& sums, const Options& o) {
  return are_moderate(o.beta, o.weight, o.scale, o.z_loss) && !any(sums.far != 0.0);
}

template <class W>
struct DivergenceRow {
  TwoEnergies<W> energies;
  Gain<W> gain;
  Vec value;
  W mean, factor;

  template <class N>
  SIGMAX_INLINE DivergenceParts<N> finish(const DivergenceSums<W>& sums, const Options& o) {
    const Mask there = leading(sums.total) != 0.0;  // without a teacher there is nothing to diverge from
    const W inverse_total = reciprocal(choose(there, sums.total, wide<W>(splat(1.0))));
    mean = multiply(sums.mass, inverse_total);
    const W inverse = reciprocal(scale(add(sums.total, sums.mass), splat(1.0 / kExpScale<W>)));
    const N weight(wide<W>(o.weight)), of_row = weight * N(wide<W>(o.scale)) * N(energies.first.beta) * N(inverse);
    const N near(keep(there, add(multiply(sums.moment, inverse_total), negate(less_its_log1p(mean)))));
    return {only_where(o.weight != 0.0, add_far(near, sums.far, inverse_total) * weight), only_where(there, of_row)};
  }
  SIGMAX_INLINE W slope(const TwoFactors<W>& term) const { return multiply(less_product(term.difference, term.f, mean), factor); }
};

template <class W>
SIGMAX_INLINE Mask is_infinite(const DivergenceSums<W>& sums, const Options& o) {
  return (leading(sums.impossible) > 0.0) & (o.weight != 0.0) & (leading(sums.total) == leading(sums.total)) & (leading(sums.mass) == leading(sums.mass));
}

template <class W>
struct Divergence : Program {
  typedef W Wide;
  typedef TwoFactors<W> Term;
  typedef DivergenceRow<W> Row;
  typedef DivergenceSums<W> Sums;
  static constexpr Second second = Second::kLogits;
  static constexpr bool has_value = true, has_mask = true;
  static constexpr int kept = 2;

  static SIGMAX_INLINE Row begin(const Options& o) {
    Row row;
    row.energies = TwoEnergies<W>(o);
    return row;
  }
  static SIGMAX_INLINE Term term(Vec x, Vec z, const Row& row) { return row.energies.factors(x, z); }
  static SIGMAX_INLINE void collect(Sums& sums, Vec x, Vec z, const Term& term, const Row&) { sums.add(term, x, z); }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options& o) {
    if constexpr (kExpScale<W> == 1.0)  // float64 reaches as far as the doubles do
      if (is_plain(sums, o)) return finish_with<Plain<W>>(row, sums, o);
    finish_with<Scaled<W>>(row, sums, o);
  }
  template <class N>
  static SIGMAX_INLINE void finish_with(Row& row, const Sums& sums, const Options& o) {
    const DivergenceParts<N> parts = row.template finish<N>(sums, o);
    row.value = select(is_infinite(sums, o), o.weight * kInfinity, parts.value.rounded());
    const Vec exponent = exponent_of(parts.factor);
    row.gain = Gain<W>(exponent);
    row.factor = row.gain.factor(parts.factor, exponent);
  }
  static SIGMAX_INLINE Vec output(Vec, Vec, const Term& term, const Row& row) { return row.gain.rounded(row.slope(term)); }
  static SIGMAX_INLINE Vec health(const Row& row) { return leading(row.factor) + leading(row.mean); }
  static SIGMAX_INLINE Vec value(const Row& row) { return row.value; }
};

// The same with the cross-entropy of the row and a class y at temperature 1, which has the weight v:
//   s·(the divergence) + v·(log Σ e - log e_y),
// where e are now the Boltzmann factors at temperature 1. Their part of the gradient is scale·v·e_i/Σ e, and of y
// -scale·v·(Σ e - e_y)/Σ e, with the sum of the others as in cross_entropy.h.
template <class W>
struct Distillation : Program {
  typedef W Wide;
  struct Term {
    W e;
    TwoFactors<W> soft;
  };
  struct Row {
    DivergenceRow<W> soft;
    Energy<W> at_one;
    Vec value, label_x, label_z;
    W others, ties, strength;
  };
  struct Sums {
    DivergenceSums<W> soft;
    ApartSums<W> e;
  };
  static constexpr Second second = Second::kLogits;
  static constexpr bool has_value = true, has_mask = true, has_label = true;
  static constexpr int kept = 3;

  static SIGMAX_INLINE Row begin(const Options& o) {
    Row row;
    row.soft.energies = TwoEnergies<W>(o);
    Options at_one = o;
    at_one.temperature = at_one.beta = splat(1.0);
    row.at_one = Energy<W>(o.largest, at_one);
    row.label_x = o.label_x;
    row.label_z = o.label_second;
    return row;
  }
  static SIGMAX_INLINE Term term(Vec x, Vec z, const Row& row) {
    return {keep(x != -kInfinity, row.at_one.precise_factor(x)), row.soft.energies.factors(x, z)};
  }
  static SIGMAX_INLINE void collect(Sums& sums, Vec x, Vec z, const Term& term, const Row& row) {
    sums.soft.add(term.soft, x, z);
    sums.e.add(x == row.at_one.max, term.e);
  }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options& o) {
    if constexpr (kExpScale<W> == 1.0)
      if (is_plain(sums.soft, o)) return finish_with<Plain<W>>(row, sums, o);
    finish_with<Scaled<W>>(row, sums, o);
  }
  template <class N>
  static SIGMAX_INLINE void finish_with(Row& row, const Sums& sums, const Options& o) {
    const DivergenceParts<N> soft = row.soft.template finish<N>(sums.soft, o);
    const Vec weight = o.z_loss;
    const Mask counts = weight != 0.0, impossible = row.label_x == -kInfinity;
    const N gap = N(keep(~impossible, row.at_one.distance(row.label_x))) * N(row.at_one.per_distance());
    const N hard = only_where(counts & ~impossible, (gap + N(sums.e.log())) * N(wide<W>(weight)));
    Vec value = (soft.value + hard).rounded();
    value = select(counts & impossible & (value == value), weight * kInfinity, value);
    row.value = select(is_infinite(sums.soft, o), o.weight * kInfinity, value);
    row.others = sums.e.others;
    row.ties = sums.e.ties;
    const N strength = N(reciprocal(sums.e.total())) * N(wide<W>(weight)) * N(wide<W>(o.scale));
    const Vec exponent = exponent_of(strength + soft.factor);
    row.soft.gain = Gain<W>(exponent);
    row.soft.factor = row.soft.gain.factor(soft.factor, exponent);
    row.strength = row.soft.gain.factor(strength, exponent);
  }
  static SIGMAX_INLINE Vec output(Vec, Vec, const Term& term, const Row& row) {
    return row.soft.gain.rounded(less_product(row.soft.slope(term.soft), negate(term.e), row.strength));
  }
  static SIGMAX_INLINE Vec health(const Row& row) { return leading(row.soft.factor) + leading(row.soft.mean) + leading(row.strength); }
  static SIGMAX_INLINE Vec target(const Row& row) {
    const Vec s = splat(kExpScale<W>);
    const Term term = Distillation::term(row.label_x, row.label_z, row);
    const Mask tie = row.label_x == row.at_one.max;
    const W all = add(row.others, scale(row.ties, s)), ties_but_one = scale(add(row.ties, splat(-1.0)), s);
    const W rest = choose(tie, add(row.others, ties_but_one), add(all, negate(term.e)));
    return one_nan(row.soft.gain.rounded(less_product(row.soft.slope(term.soft), rest, row.strength)));
  }
  static SIGMAX_INLINE Vec value(const Row& row) { return row.value; }
};

}  // namespace
}  // namespace sigmax
