// Cross-entropy of logits and its gradient.
//
// With the weights a_i of classes (label_weights.h), A = Σ a, and energies y_i = (x_i - m)/T <= 0, a row's loss is
//   s·Σ a_i·(-log p_i) + z·lse² = s·(Σ a_i·(-y_i) + A·log Σ e^y) + z·lse²,   lse = m/T + log Σ e^y:
// terms of one sign, so that nothing of a confident row is lost. Its gradient is
//   scale/T·(s·(A·p_i - a_i) + 2·z·lse·p_i).
// For a tie p_i = 1/Σe, and (A·p_i - a_i)·Σe = (A - a_i) - a_i·others, with the sum of the other weights not by a difference:
// those of a confident label may be tiny.
#pragma once

#include <type_traits>

#include "log_probability.h"
#include "logsumexp.h"
#include "../rows/label_weights.h"

namespace sigmax {
namespace {

// What the value and the gradient of a row have in common.
template <class W>
struct LossRow {
  Energy<W> energy;
  Gain<W> gain;
  Vec value;
  W inverse;  // 1/Σe
};

// The factors of a row: of a class's weight, s·scale/T, and of its probability, (A·s + 2·z·lse)·scale/T.
template <class N>
struct Strengths {
  N own, pull, all;
};

// From -Σ a·y and the mass A; `infinite` where a class with a weight is impossible. 0 times infinity is 0.
// Without `has_z_loss` the weight of the z-loss is 0.
template <class N, bool has_z_loss, class W>
SIGMAX_INLINE Strengths<N> finish_loss(LossRow<W>& row, const ApartSums<W>& e, const N& cross, W information, W mass, Mask infinite, const Options& o) {
  const W log = e.log();
  const Mask counts = o.weight != 0.0;
  const N beta(row.energy.beta), weight(wide<W>(o.weight)), own = weight * beta * N(wide<W>(o.scale));
  const N of_classes = only_where(counts, weight * (cross + N(mass) * N(log) + N(information)));
  row.inverse = reciprocal(e.total());
  Strengths<N> strengths = {own, N(W{}), N(mass) * own};
  Vec value;
  Mask matters = counts;
  if constexpr (has_z_loss) {
    const Mask pulls = o.z_loss != 0.0;
    const N z(wide<W>(o.z_loss)), lse = N(log) + N(wide<W>(row.energy.max)) * beta;
    value = (of_classes + only_where(pulls, z * lse * lse)).rounded();
    value = select(pulls & (abs(o.top) == kInfinity), o.z_loss * kInfinity, value);
    matters = matters | pulls;
    strengths.pull = only_where(pulls, z * lse * beta * N(wide<W>(o.scale)) * N(wide<W>(splat(2.0))));
    bound_together(strengths.own, strengths.pull);
    strengths.all = N(mass) * strengths.own + strengths.pull;
  } else {
    value = of_classes.rounded();
  }
  value = select(infinite & counts, o.weight * kInfinity, value);
  row.value = select(leading(log) == leading(log), value, select(matters, splat(kNaN), Vec{}));
  return strengths;
}

// How far below 1 the factors of a gradient are taken, so that a class's weight is there beside a large z-loss.
template <class W>
constexpr double kHeadroom = 0.0;
template <>
constexpr double kHeadroom<Pair> = 400.0;

// m - x of a class that may be impossible: a Pair keeps to finite numbers, infinity would become NaN.
SIGMAX_INLINE Vec distance(Vec x, const Energy<Vec>& energy) { return energy.distance(x); }
SIGMAX_INLINE Pair distance(Vec x, const Energy<Pair>& energy) { return keep(x > -kInfinity, energy.distance(x)); }

// Labels that are class indices: all terms of the gradient have one factor, and the label a number of its own. With
// `smoothed`, every class has the weight `least` besides, or there is a z-loss, whose factor needs more digits of the sum.
template <class W, bool smoothed>
struct IndexCrossEntropy : ApartProgram<W> {
  typedef W Wide;
  typedef W Term;
  static constexpr bool has_label = true, has_value = true, has_mask = true;
  struct Row : LossRow<W> {
    Vec label_x;
    W factor, own;  // of a class: its output is e·factor - own
    W others, ties, share_of_others, share;
    Vec alone, target_alone;  // outputs of classes without a probability
  };
  typedef typename ApartProgram<W>::First PlainFirst;
  struct SmoothedFirst : PlainFirst {
    W distance, impossible;  // Σ (m - x); how many are impossible
  };
  typedef typename std::conditional<smoothed, SmoothedFirst, PlainFirst>::type First;
  typedef typename ApartProgram<W>::Apart Apart;
  struct Sums {
    First first;
    Apart apart;
  };

  static SIGMAX_INLINE Row begin(const Options& o) {
    Row row;
    row.energy = Energy<W>(o.largest, o);
    row.label_x = o.label_x;
    return row;
  }
  static SIGMAX_INLINE W term(Vec x, Vec, const Row& row) {
    if constexpr (smoothed) return row.energy.precise_factor(x);
    return row.energy.factor(x);
  }
  static SIGMAX_INLINE void collect(First& sums, Vec x, Vec, W e, const Row& row) {
    accumulate(sums.total, e);
    if constexpr (smoothed) {
      accumulate(sums.distance, distance(x, row.energy));
      if constexpr (kExpScale<W> != 1.0) count(sums.impossible, x == -kInfinity);  // a double distance is infinite then
    }
  }
  static SIGMAX_INLINE void collect(Apart& sums, Vec x, Vec, W e, const Row& row) { sums.e.add(x == row.energy.max, e); }

  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options& o) {
    if constexpr (kExpScale<W> == 1.0)  // float64 reaches as far as the doubles do
      if (are_moderate(o.beta, o.weight, o.scale, o.z_loss, o.class_weight, o.prior)) return finish_with<Plain<W>>(row, sums, o);
    finish_with<Scaled<W>>(row, sums, o);
  }
  template <class N>
  static SIGMAX_INLINE void finish_with(Row& row, const Sums& sums, const Options& o) {
    W slope = wide<W>(o.class_weight), least = {}, of_others = {};
    if constexpr (smoothed) {
      const Smoothing<W> smoothing(o.smoothing, o.prior_total);
      slope = multiply(smoothing.kept, o.class_weight);
      least = smoothing.least(o.class_weight, o.prior);
      of_others = multiply(least, o.classes - 1.0);
    }
    const W of_label = smoothed ? add(slope, least) : slope, mass = smoothed ? add(of_label, of_others) : slope;
    const Mask counts = leading(slope) != 0.0;
    N cross = only_where(counts, N(distance(row.label_x, row.energy)) * N(slope));
    Mask infinite = counts & (row.label_x == -kInfinity);
    if constexpr (smoothed) {
      const Mask least_counts = leading(least) != 0.0;
      cross = cross + only_where(least_counts, N(sums.first.distance) * N(least));
      infinite = infinite | (least_counts & ((leading(sums.first.impossible) > 0.0) | (leading(sums.first.distance) == kInfinity)));
    }
    const Strengths<N> strengths = finish_loss<N, smoothed>(row, sums.apart.e, cross * N(row.energy.per_distance()), W{}, mass, infinite, o);
    row.others = sums.apart.e.others;
    row.ties = sums.apart.e.ties;
    const N inverse(row.inverse);
    const Vec exponent = common_exponent(strengths.own, strengths.pull, strengths.all) + exponent_of(leading(add(of_label, wide<W>(splat(1.0))))) - kHeadroom<W>;
    row.gain = Gain<W>(exponent);
    row.factor = row.gain.factor(inverse * strengths.all, exponent);
    if constexpr (smoothed) {
      row.own = scale(row.gain.factor(N(least) * strengths.own, exponent), splat(kExpScale<W>));
      row.alone = -(N(least) * strengths.own).rounded();
      row.target_alone = -(N(of_label) * strengths.own).rounded();
      row.share = row.gain.factor(N(of_label) * strengths.own * inverse, exponent);
      row.share_of_others = row.gain.factor(N(of_others) * strengths.own * inverse + strengths.pull * inverse, exponent);
    }
  }
  static SIGMAX_INLINE Vec output(Vec, Vec, W e, const Row& row) {
    const W of_class = multiply(e, row.factor);
    if constexpr (smoothed) return select(leading(e) == 0.0, row.alone, row.gain.rounded(add(of_class, negate(row.own))));
    return row.gain.rounded(of_class);
  }
  // s·((A - a)·e - a·(Σe - e)) + pull·e, over Σe; without smoothing A = a.
  static SIGMAX_INLINE Vec target(const Row& row) {
    const Vec s = splat(kExpScale<W>);
    const W e = row.energy.precise_factor(row.label_x);
    const Mask tie = row.label_x == row.energy.max;
    const W all = add(row.others, scale(row.ties, s)), ties_but_one = scale(add(row.ties, splat(-1.0)), s);
    const W rest = choose(tie, add(row.others, ties_but_one), add(all, negate(e)));
    const W of_rest = smoothed ? less_product(multiply(row.share_of_others, e), row.share, rest) : negate(multiply(row.factor, rest));
    const Vec result = row.gain.rounded(of_rest);
    return one_nan(smoothed ? select(leading(e) == 0.0, row.target_alone, result) : result);
  }
  static SIGMAX_INLINE Vec health(const Row& row) { return smoothed ? leading(row.factor) + leading(row.own) : leading(row.factor); }
  static SIGMAX_INLINE Vec value(const Row& row) { return row.value; }
};

// Labels that are weights of classes, or with `shared` soft labels q of which they are slope·q + least. With `relative`
// s·Σ q_i·(log q_i - log p_i), the divergence of the labels from the row.
template <class W, bool shared, bool relative>
struct WeightedCrossEntropy : ApartProgram<W> {
  typedef W Wide;
  typedef W Term;
  typedef typename std::conditional<shared, Vec, W>::type Number;
  static constexpr Second second = shared ? Second::kNumbers : Second::kLabelWeights;
  static constexpr bool has_value = true, has_mask = true, has_apart_outputs = true;
  struct Row : LossRow<W> {
    W slope, least;
    W others, tied_mass, other_mass;
    W factor, own_factor, tie_factor, tie_own_factor, tie_pull;  // of p, of a; of a tie's (A - a)·s, its a·s·others, its pull
    W own_slope, own_least;                                      // of q, with `shared`
    Mask confident, out_of_reach, apart;
    Gain<W> own_gain;  // of the weight of a class without a probability, in a row where its factor is out of reach
    W own_alone;
  };
  struct PlainFirst {
    W total, mass, cross;  // Σ a·(m - x), NaN where a class without a weight is impossible
  };
  struct RelativeFirst : PlainFirst {
    W information;
  };
  typedef typename std::conditional<relative, RelativeFirst, PlainFirst>::type First;
  struct Apart {
    ApartSums<W> e;
    SplitSums<W> mass;
    W cross, far_cross, impossible;  // far: the terms of at least kFar, times kUnit²
  };
  static constexpr double kUnit = kExpScale<W> == 1.0 ? 1.0 : 0x1p-600, kFar = kExpScale<W> == 1.0 ? kInfinity : 0x1p850;
  struct Sums {
    First first;
    Apart apart;
  };

  static SIGMAX_INLINE Row begin(const Options& o) {
    Row row;
    row.energy = Energy<W>(o.largest, o);
    if (shared) {
      const Smoothing<W> smoothing(o.smoothing, o.prior_total);
      row.slope = multiply(smoothing.kept, o.class_weight);
      row.least = smoothing.least(o.class_weight, o.prior);
    }
    return row;
  }
  static SIGMAX_INLINE W term(Vec x, Number, const Row& row) { return row.energy.precise_factor(x); }
  static SIGMAX_INLINE void collect(First& sums, Vec x, Number c, W e, const Row& row) {
    const W a = weight_of(c, row);
    accumulate(sums.total, e);
    accumulate(sums.mass, a);
    add_cross(sums.cross, x, a, row.energy);
    if constexpr (relative) accumulate(sums.information, information(a));
  }
  static SIGMAX_INLINE void collect(Apart& sums, Vec x, Number c, W e, const Row& row) {
    const Mask tie = x == row.energy.max;
    sums.e.add(tie, e);
    const W a = weight_of(c, row);
    const Mask counts = leading(a) != 0.0;
    sums.mass.add(tie, a);
    const W in_units = multiply(scale(a, splat(kUnit)), difference<W>(row.energy.max * kUnit, x * kUnit));
    const Mask there = counts & (x > -kInfinity), near = leading(in_units) < kFar * kUnit * kUnit;
    accumulate(sums.cross, keep(there & near, near_term(a, row.energy.max, x)));
    accumulate(sums.far_cross, keep(there & ~near, in_units));
    count(sums.impossible, counts & (x == -kInfinity));
  }
  // a·(m - x), also where m - x overflows.
  static SIGMAX_INLINE W near_term(W a, Vec max, Vec x) {
    const W distance = difference<W>(max, x), half = difference<W>(0.5 * max, 0.5 * x);
    return choose(leading(distance) < kInfinity, multiply(a, distance), multiply(scale(a, splat(2.0)), half));
  }
  static SIGMAX_INLINE Mask is_confident(const First& first) {
    return ApartProgram<W>::is_confident(first) | ~(abs(leading(first.cross)) < kInfinity);
  }
  static SIGMAX_INLINE void settle(Mask confident, const First& first, Apart& apart) {
    ApartProgram<W>::settle(confident, first, apart);
    apart.mass.settle(confident, first.mass);
    apart.cross = choose(confident, apart.cross, first.cross);
    apart.far_cross = keep(confident, apart.far_cross);
    apart.impossible = keep(confident, apart.impossible);
  }
  static SIGMAX_INLINE W weight_of(Number c, const Row& row) {
    if constexpr (shared) return multiply_add(row.slope, c, row.least);
    else return c;
  }
  static SIGMAX_INLINE Vec multiply_add(Vec slope, Vec q, Vec least) { return mul_add(slope, q, least); }
  static SIGMAX_INLINE Pair multiply_add(Pair slope, Vec q, Pair least) { return add(multiply(slope, q), least); }
  static SIGMAX_INLINE void add_cross(Vec& cross, Vec x, Vec a, const Energy<Vec>& energy) { cross = less_product(cross, x - energy.max, a); }
  static SIGMAX_INLINE void add_cross(Pair& cross, Vec x, Pair a, const Energy<Pair>& energy) {
    accumulate(cross, multiply(difference<Pair>(energy.max, x), a));
  }

  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options& o) {
    if constexpr (kExpScale<W> == 1.0)  // float64 reaches as far as the doubles do
      if (are_moderate(o.beta, o.weight, o.scale, o.z_loss, o.class_weight, o.prior)) return finish_with<Plain<W>>(row, sums, o);
    finish_with<Scaled<W>>(row, sums, o);
  }
  template <class N>
  static SIGMAX_INLINE void finish_with(Row& row, const Sums& sums, const Options& o) {
    row.confident = is_confident(sums.first);
    row.tied_mass = sums.apart.mass.tied;
    row.other_mass = sums.apart.mass.other;
    W known = {};
    if constexpr (relative) known = sums.first.information;
    const N per_unit(wide<W>(splat(1.0 / kUnit)));
    const N cross = (N(sums.apart.cross) + N(sums.apart.far_cross) * per_unit * per_unit) * N(row.energy.beta);
    const Strengths<N> strengths = finish_loss<N, true>(row, sums.apart.e, cross, known, add(row.tied_mass, row.other_mass), leading(sums.apart.impossible) > 0.0, o);
    row.others = add(sums.apart.e.others, (leading(sums.apart.e.ties) - 1.0) * kExpScale<W>);
    const N inverse(row.inverse);
    const Vec common = common_exponent(strengths.own, strengths.pull, strengths.all), exponent = common - kHeadroom<W>;
    row.gain = Gain<W>(exponent);
    row.factor = row.gain.factor(inverse * strengths.all, exponent);
    row.own_factor = scale(row.gain.factor(strengths.own, exponent), splat(kExpScale<W>));
    row.tie_factor = scale(row.gain.factor(inverse * strengths.own, exponent), splat(kExpScale<W>));
    row.tie_own_factor = multiply(row.others, row.gain.factor(inverse * strengths.own, exponent));
    if constexpr (shared) {
      row.own_slope = multiply(row.slope, row.own_factor);
      row.own_least = multiply(row.least, row.own_factor);
    }
    row.out_of_reach = is_out_of_reach(strengths.own, common);
    row.apart = row.confident | row.out_of_reach;
    const Vec of_own = exponent_of(strengths.own);
    row.own_gain = Gain<W>(of_own + (kExpScale<W> == 1.0 ? 0.0 : 512.0));  // the weights may be large, and have no scale
    row.own_alone = row.own_gain.factor(strengths.own, of_own);
    row.tie_pull = scale(row.gain.factor(inverse * strengths.pull, exponent), splat(kExpScale<W>));
  }
  static SIGMAX_INLINE Vec output(Vec, Number c, W e, const Row& row) { return row.gain.rounded(slope(c, e, row)); }
  static SIGMAX_INLINE Vec output_apart(Vec x, Number c, W e, const Row& row) {
    const W a = weight_of(c, row), of_others = add(add(row.tied_mass, negate(a)), row.other_mass);
    const W of_tie = less_product(add(multiply(of_others, row.tie_factor), row.tie_pull), a, row.tie_own_factor);
    const Vec result = row.gain.rounded(choose((x == row.energy.max) & row.confident, of_tie, slope(c, e, row)));
    const Vec without_probability = -row.own_gain.rounded(multiply(a, row.own_alone));
    return select(row.out_of_reach & (leading(e) == 0.0), without_probability, result);
  }
  static SIGMAX_INLINE W slope(Number c, W e, const Row& row) {
    if constexpr (shared && std::is_same<W, Vec>::value) return less_product(mul_add(e, row.factor, -row.own_least), c, row.own_slope);
    else return less_product(multiply(e, row.factor), weight_of(c, row), row.own_factor);
  }
  static SIGMAX_INLINE Vec health(const Row& row) { return leading(row.factor) + leading(row.own_factor) + leading(row.tie_own_factor); }
  static SIGMAX_INLINE Vec value(const Row& row) { return row.value; }
};

// Probabilities as they are given: s·Σ a_i·(-log p_i), and -scale·s·a_i/p_i.
template <class W, bool relative>
struct CrossEntropyOfProbabilities : Program {
  typedef W Wide;
  typedef W Term;
  static constexpr Second second = Second::kLabelWeights;
  static constexpr bool has_value = true, has_mask = true, needs_largest = false;
  static constexpr int kept = 0;
  static constexpr double absent = 0.0;
  struct Row {
    Gain<W> gain;
    Vec value, sign;  // of the gradient's factor
    W factor;
  };
  struct PlainSums {
    W likelihood, impossible;
  };
  struct RelativeSums : PlainSums {
    W information;
  };
  typedef typename std::conditional<relative, RelativeSums, PlainSums>::type Sums;

  static SIGMAX_INLINE Row begin(const Options& o) {
    const Scaled<W> factor = Scaled<W>(wide<W>(o.weight)) * Scaled<W>(wide<W>(-o.scale));
    Row row;
    row.gain = Gain<W>(factor.exponent + (kExpScale<W> == 1.0 ? 0.0 : 512.0));  // nothing here has the scale
    row.factor = row.gain.factor(factor, factor.exponent);
    row.sign = leading(factor.number);
    return row;
  }
  static SIGMAX_INLINE W term(Vec, W, const Row&) { return W{}; }
  static SIGMAX_INLINE void collect(Sums& sums, Vec p, W a, W, const Row&) {
    accumulate(sums.likelihood, multiply(keep(p > 0.0, negate(log_probability<W>(p))), a));
    count(sums.impossible, (leading(a) != 0.0) & (p == 0.0));
    if constexpr (relative) accumulate(sums.information, information(a));
  }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options& o) {
    W sum = sums.likelihood;
    if constexpr (relative) sum = add(sum, sums.information);
    const Vec value = (Scaled<W>(sum) * Scaled<W>(wide<W>(o.weight))).rounded();
    const Mask infinite = (leading(sums.impossible) > 0.0) & (o.weight != 0.0);
    row.value = select(infinite, o.weight * kInfinity, value);
  }
  static SIGMAX_INLINE Vec output(Vec p, W a, W, const Row& row) {
    const Vec lift = select(p < kTiny, splat(kLift), splat(1.0));
    const W quotient = multiply(divide(a, wide<W>(lifted(p))), row.factor);
    const Vec at_zero = select((leading(a) == 0.0) | (row.sign == 0.0), splat(0.0), row.sign * kInfinity);
    return one_nan(select(p == 0.0, at_zero, row.gain.lifted(quotient, lift)));
  }
  static SIGMAX_INLINE Vec value(const Row& row) { return row.value; }
};

// Σ a_i·q_i of a row q of labels, a the weights of classes; NaN where a number is no probability.
template <class W, bool shared>
struct Mass : Program {
  typedef W Wide;
  typedef W Term;
  typedef typename std::conditional<shared, Vec, W>::type Number;
  static constexpr Second second = shared ? Second::kNone : Second::kLabelWeights;
  static constexpr bool needs_largest = false, per_class = false, has_value = true;
  static constexpr int kept = 0;
  static constexpr double absent = 0.0;
  struct Row {
    Vec value;
  };
  struct Sums {
    W mass, improper;
  };

  static SIGMAX_INLINE Row begin(const Options&) { return Row(); }
  static SIGMAX_INLINE W term(Vec, Number, const Row&) { return W{}; }
  static SIGMAX_INLINE void collect(Sums& sums, Vec q, Number a, W, const Row&) {
    if constexpr (shared) accumulate(sums.mass, wide<W>(q));
    else accumulate_product(sums.mass, a, q);
    count(sums.improper, ~((q >= 0.0) & (q <= 1.0)));
  }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options& o) {
    const W mass = shared ? multiply(sums.mass, o.prior) : sums.mass;
    row.value = select(leading(sums.improper) == 0.0, rounded(mass), splat(kNaN));
  }
  static SIGMAX_INLINE Vec value(const Row& row) { return row.value; }
};

}  // namespace
}  // namespace sigmax
