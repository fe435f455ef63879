// A row of logits and what the steps of a chain keep of it: a window [lowest, highest] of its logits.
//
// What is kept must be what exact arithmetic would keep. A step that compares logits is exact: the k-th largest, say. One
// that compares sums of exponentials, or a threshold that comes of them, knows a bound of its error; where a logit other
// than the winner is closer to the decision than that, the row is called doubtful, and settled elsewhere.
//
// With e_i = e^((x_i - top)/T):
//   top_p        the first logits, descending, whose e reach p·Σe; for p > 1/2 the first ones ascending that exceed (1-p)·Σe,
//                as the smaller sums are the more exact
//   min_p        x_i >= top + T·log p
//   epsilon      x_i >= top + T·(log p + log Σe)
//   typical_p    the surprise is -log p_i = log Σe - (x_i - top)/T, and the entropy is its mean, so what is closest to the
//                entropy is closest to the mean logit: as top_p, along -|x_i - mean|
//   top_n_sigma  x_i >= top - n·σ, with σ² = Σd²/n - (Σd/n)², d from a logit in the middle; again from the mean, where that
//                is too far from it for the difference to keep its digits
#pragma once

#include "../functions/log_probability.h"
#include "../rows/energy.h"
#include "crossing.h"
#include "sampling.h"

namespace sigmax {
namespace {

SIGMAX_INLINE double log_of_share(double p) { return log_probability<Vec>(splat(p))[0]; }
SIGMAX_INLINE double minus_log1p(double t) { return 0.0 - log_of_sum(splat(1.0), splat(t))[0]; }

// Memory for one row, in whole blocks.
template <class V>
struct Scratch {
  V* row;        // of half types, or with infinities
  V* values;     // of the kept classes
  V* spare;
  double* e;     // exponentials
  double* keys;
  double* weights;
  double* prefix;  // sums of the blocks before and with each

  Scratch(double* from, Index n) {
    n = padded(n);
    row = reinterpret_cast<V*>(from);
    values = reinterpret_cast<V*>(from + n);
    spare = reinterpret_cast<V*>(from + 2 * n);
    e = from + 3 * n;
    keys = from + 4 * n;
    weights = from + 5 * n;
    prefix = from + 6 * n;
  }
  static Index padded(Index n) { return n + kBlock; }
  static Index doubles(Index n) { return 6 * padded(n) + n / kBlock + 1; }
};

template <class V>
class Row {
  typedef typename ManyOf<V>::Type Many;

 public:
  Row(const V* x, Index n, Scratch<V> scratch) : scratch_(scratch), x_(x, n), values_(x_) {
    find_top();
    is_nan_ = x_.has_nan();
    row_top_ = top_;
    if (top_ == kInfinity && !is_nan_) share_infinities();
  }

  bool is_nan() const { return is_nan_; }
  bool is_empty() const { return !(top_ > kMinusInfinity); }
  bool is_doubtful() const { return doubtful_; }
  bool is_narrowed() const { return narrowed_; }
  double temperature() const { return temperature_; }

  void apply(Step step, double parameter) {
    if (step == Step::kTemperature) {
      inverse_ = 1.0 / parameter;
      temperature_ = parameter;
      has_removed_ = false;
      return;
    }
    if (step == Step::kLowest) return narrow_to(parameter, highest_);
    if (step == Step::kHighest) return narrow_to(lowest_, parameter);
    gather();
    switch (step) {
      case Step::kTopK: return top_k(parameter);
      case Step::kTopP: return top_p(parameter);
      case Step::kMinP: return min_p(parameter);
      case Step::kTypicalP: return typical_p(parameter);
      case Step::kTopNSigma: return top_n_sigma(parameter);
      case Step::kEpsilon: return epsilon(parameter);
      default: return;
    }
  }

  // The logarithm of the probability of what is kept.
  double log_mass() const {
    if (!narrowed_) return 0.0;
    if (has_removed_) return minus_log1p(removed_ / kept_);
    const Energy<Vec> energy = energies(row_top_);
    const Vec lowest = splat(lowest_), highest = splat(highest_);
    Total kept, removed;
    for (Index start = 0; start < x_.count(); start += kBlock) {
      const V* x = x_.block(start);
      Vec in[kParts] = {}, out[kParts] = {};
      for (Index i = 0; i < kBlock; i += kSumLanes) {
        SIGMAX_UNROLL for (Index p = 0; p < kParts; ++p) {
          const Vec v = load(x + i + p * kLanes), term = sizeof(V) == 8 ? exp_of(energy.at(v)) : energy.factor(v);
          const Mask is_in = (v >= lowest) & (v <= highest);
          in[p] += only_where(is_in, term);
          out[p] += only_where(~is_in, term);
        }
      }
      kept.add(sum_of_lanes(in));
      removed.add(sum_of_lanes(out));
    }
    return minus_log1p(removed.value() / kept.value());
  }

  // The logits that are kept, -inf for the others.
  SIGMAX_NOINLINE void write_kept(V* out) const {
    constexpr Index step = ManyOf<V>::count;
    const Many lowest = Many{} + lowest_, highest = Many{} + highest_, none = Many{} + static_cast<V>(kMinusInfinity);
    const V* x = x_.data();
    Index i = 0;
    for (; i + step <= x_.count(); i += step) {
      const Many v = load_vector<Many>(x + i);
      store_vector(out + i, ((v >= lowest) & (v <= highest)) ? v : none);
    }
    for (; i < x_.count(); ++i) out[i] = (x[i] >= lowest_) & (x[i] <= highest_) ? x[i] : static_cast<V>(kMinusInfinity);
  }

  // What can be drawn, and, unless that is all of the row, where it stands.
  const Values<V>& candidates(std::int64_t* places) {
    if (narrowed_) {
      values_.set(scratch_.values, x_.collect(lowest_, highest_, scratch_.values, places));
    } else {
      values_ = x_;
    }
    return values_;
  }

 private:
  Energy<Vec> energies(double top) const { return {splat(top), splat(temperature_), splat(inverse_)}; }

  void find_top() { top_ = largest_of(values_.data(), values_.count()); }

  // Infinite logits share the probability: a row of zeros, and nothing else is possible.
  void share_infinities() {
    for (Index i = 0; i < x_.count(); ++i) scratch_.row[i] = x_[i] < kInfinity ? static_cast<V>(kMinusInfinity) : V{0};
    x_.set(scratch_.row, x_.count());
    values_ = x_;
    top_ = row_top_ = 0.0;
  }

  void narrow_to(double lowest, double highest) {
    const V least = not_below<V>(lowest), most = not_above<V>(highest);
    if (least > lowest_) lowest_ = least;
    if (most < highest_) highest_ = most;
    narrowed_ = pending_ = true;
    has_removed_ = false;
  }

  // Brings the values that are kept together.
  void gather() {
    if (!pending_) return;
    pending_ = false;
    is_whole_ = false;
    values_.set(scratch_.values, values_.collect(lowest_, highest_, scratch_.values));
    find_top();
  }

  // Keeps what reaches a threshold that is known to within an error.
  void keep_from(double threshold, double error) {
    if (!(threshold < top_)) threshold = top_;
    const V low = not_below<V>(threshold - error), high = not_above<V>(threshold + error);
    doubtful_ |= values_.has_within(low > lowest_ ? low : lowest_, high, static_cast<V>(top_));
    narrow_to(threshold, highest_);
  }

  // Some of the values above -inf, from fixed places, the largest first; how many.
  static constexpr Index kSample = 64;
  Index sample(double* some) const {
    double unused[kSample];
    Index size = 0;
    for (Index i = 0; i < kSample; ++i) {
      some[size] = values_[(2 * i + 1) * values_.count() / (2 * kSample)];
      size += some[size] > kMinusInfinity;
    }
    sort<true>(some, unused, size);
    return size;
  }

  // How far the k largest values reach down, roughly.
  double reach(double k) const {
    double some[kSample + 1];
    const Index size = sample(some);
    const double place = k / static_cast<double>(values_.count()) * kSample;
    const Index i = static_cast<Index>(place + 2.0 + 2.0 * __builtin_sqrt(place));
    return size > 0 ? top_ - some[i < size ? i : size - 1] : 0.0;
  }

  // Values that are crossed along themselves, with weight(v).
  template <class Weight>
  struct ByLogit {
    const Values<V>& values;
    V* spare;
    Weight weight_of;

    const V* block(Index start) const { return values.block(start); }
    SIGMAX_INLINE Vec key(Vec v) const { return v; }
    SIGMAX_INLINE Vec weight(Index, Vec v) const { return weight_of(v); }
    Index take(Index, Bins bins, double bin, double* keys, double* weights) const {
      const auto bin_of = [&](V v) { return bins(splat(v))[0]; };
      const V low = first_with<V>([&](V v) { return bin_of(v) <= bin; }), high = last_without<V>([&](V v) { return bin_of(v) < bin; });
      const Index size = values.collect(low, high, spare);
      for (Index i = 0; i < size; i += kLanes) {
        const Vec v = load(spare + i);
        store(keys + i, v);
        store(weights + i, weight_of(v));
      }
      return size;
    }
  };
  template <class Weight>
  ByLogit<Weight> by_logit(const Values<V>& values, Weight weight) const {
    return {values, scratch_.spare, weight};
  }

  // Values along their nearness to the mean, with weights e that are there.
  struct ByNearness {
    const Values<V>& values;
    V* spare;
    const double* e;
    Energy<Vec> energy;
    Vec top, mean;

    const V* block(Index start) const { return values.block(start); }
    SIGMAX_INLINE Vec above_mean(Vec v) const { return (v - top) - mean; }
    SIGMAX_INLINE Vec key(Vec v) const { return -abs(above_mean(v)); }
    SIGMAX_INLINE Vec weight(Index i, Vec) const { return load(e + i); }
    // On both sides of the mean.
    Index take(Index, Bins bins, double bin, double* keys, double* weights) const {
      const auto is_above = [&](V v) { return above_mean(splat(v))[0] > 0.0; };
      const auto bin_of = [&](V v) { return bins(key(splat(v)))[0]; };
      const V low = first_with<V>([&](V v) { return is_above(v) || bin_of(v) <= bin; });
      const V high = last_without<V>([&](V v) { return is_above(v) || bin_of(v) < bin; });
      const V upper_low = first_with<V>([&](V v) { return is_above(v) && bin_of(v) >= bin; });
      const V upper_high = last_without<V>([&](V v) { return is_above(v) && bin_of(v) > bin; });
      const Index below = values.collect(low, high, spare), size = below + values.collect(upper_low, upper_high, spare + below);
      for (Index i = 0; i < size; i += kLanes) {
        const Vec v = load(spare + i);
        store(keys + i, key(v));
        store(weights + i, energy.precise_factor(v));
      }
      return size;
    }
  };

  void top_k(double k) {
    if (k >= static_cast<double>(values_.count())) return;
    const double span = reach(k);
    const Index size = values_.collect(not_below<V>(top_ - span), highest_, scratch_.spare);
    const Values<V> largest(scratch_.spare, size);
    const Values<V>& among = static_cast<double>(size) >= k ? largest : values_;
    const double share = k / static_cast<double>(among.count());
    const auto one = [](Vec) SIGMAX_ALWAYS { return splat(1.0); };
    narrow_to(crossing<true>(by_logit(among, one), among.count(), top_, span, share, 0.5, scratch_.keys, scratch_.weights).key, highest_);
  }

  // The crossing of a share p of the mass, from the side with less of it, along keys of at most `largest`.
  template <class Source>
  Crossing cross_mass(Source source, double largest, double p) {
    const double span = 40.0 * temperature_;  // as far down as there is weight to speak of
    const Crossing found =
        p > 0.5 ? crossing<false>(source, values_.count(), largest, span, 1.0 - p, 0.0, scratch_.keys, scratch_.weights)
                : crossing<true>(source, values_.count(), largest, span, p, 0.0, scratch_.keys, scratch_.weights);
    doubtful_ |= p > 0.0 && found.is_close(values_.count());
    return found;
  }
  // Of a whole row, its sums are what log_mass() needs, but for the last digits of a double.
  void note_removed(const Crossing& found, double p) {
    if (!is_whole_ || sizeof(V) == 8) return;
    removed_ = p > 0.5 ? found.before : found.after;
    kept_ = p > 0.5 ? found.through - found.before + found.after : found.through;
    has_removed_ = true;
  }

  void top_p(double p) {
    if (p >= 1.0) return;
    if (p <= 0.0) return narrow_to(top_, highest_);
    const Energy<Vec> energy = energies(top_);
    const auto weight = [energy](Vec v) SIGMAX_ALWAYS { return energy.precise_factor(v); };
    const Crossing found = cross_mass(by_logit(values_, weight), top_, p);
    narrow_to(found.key, highest_);
    note_removed(found, p);
  }

  void min_p(double p) {
    if (p <= 0.0) return;
    if (p >= 1.0) return narrow_to(top_, highest_);
    const double depth = log_of_share(p) * temperature_;
    keep_from(top_ + depth, kThresholdError * (__builtin_fabs(top_) + __builtin_fabs(depth)));
  }

  void epsilon(double p) {
    if (p <= 0.0) return;
    const Energy<Vec> energy = energies(top_);
    const double mass = sum_over_blocks(values_, [&](Vec v) SIGMAX_ALWAYS { return energy.precise_factor(v); });
    const double log_p = log_of_share(p), log_mass = log_of(mass), depth = (log_p + log_mass) * temperature_;
    const double error = kSumError + kThresholdError * (log_mass - log_p);
    keep_from(top_ + depth, error * temperature_ + kThresholdError * (__builtin_fabs(top_) + __builtin_fabs(depth)));
  }

  void typical_p(double p) {
    if (p >= 1.0) return;
    // The mean logit, from the top: -inf has no weight.
    const Energy<Vec> energy = energies(top_);
    const Vec top = splat(top_);
    Total mass, moment;
    for (Index start = 0; start < values_.count(); start += kBlock) {
      const V* values = values_.block(start);
      Vec sum[kParts] = {}, first[kParts] = {};
      for (Index i = 0; i < kBlock; i += kSumLanes) {
        SIGMAX_UNROLL for (Index k = 0; k < kParts; ++k) {
          const Vec v = load(values + i + k * kLanes), e = energy.precise_factor(v);
          store(scratch_.e + start + i + k * kLanes, e);
          sum[k] += e;
          first[k] += e * max(v - top, splat(-1e300));
        }
      }
      mass.add(sum_of_lanes(sum));
      moment.add(sum_of_lanes(first));
    }
    const double mean = moment.value() / mass.value();
    const Crossing found = cross_mass(ByNearness{values_, scratch_.spare, scratch_.e, energy, top, splat(mean)}, 0.0, p);
    const double bound = found.key, close = kSumError * (-bound - mean);
    // Numbers at these distances from the mean, by the arithmetic of the keys.
    const auto above_mean = [&](V v) { return (static_cast<double>(v) - top_) - mean; };
    const auto from = [&](double distance) { return first_with<V>([&](V v) { return above_mean(v) >= distance; }); };
    const auto up_to = [&](double distance) { return last_without<V>([&](V v) { return above_mean(v) > distance; }); };
    // Whether what is about as near has different logits.
    const V left = from(bound - close), left_end = up_to(bound + close), right = from(-bound - close), right_end = up_to(-bound + close);
    const Many highest = Many{} + static_cast<V>(kInfinity);
    Many low = highest, high = -highest;
    values_.for_many([&](Many v) SIGMAX_ALWAYS {
      const auto about = (((v >= left) & (v <= left_end)) | ((v >= right) & (v <= right_end))) & (v >= lowest_);
      low = (about & (v < low)) ? v : low;
      high = (about & (v > high)) ? v : high;
    });
    doubtful_ |= least_of(low) < -least_of(-high);
    narrow_to(from(bound), up_to(-bound));
    note_removed(found, p);
  }

  static double least_of(Many v) {
    V least = v[0];
    for (Index lane = 1; lane < ManyOf<V>::count; ++lane) least = v[lane] < least ? v[lane] : least;
    return least;
  }

  // The spread of the finite values, as far as doubles need it: squares of floats are far from the limits.
  double spread() const {
    if (sizeof(V) < 8) return 1.0;
    Many deepest = Many{} + static_cast<V>(top_);
    values_.for_many([&](Many v) SIGMAX_ALWAYS { deepest = ((v >= lowest_) & (v < deepest)) ? v : deepest; });
    return top_ - least_of(deepest);
  }

  void top_n_sigma(double n) {
    if (!(n < kInfinity)) return;
    const double spread = this->spread();
    if (!(spread > 0.0)) return;
    doubtful_ |= top_ - spread < -0x1p1023 || spread > 0x1p1023 || spread < 0x1p-960;
    double some[kSample + 1];
    const Index size = sample(some);
    double center = size > 0 ? some[size / 2] : top_, variance = 0.0;
    for (int pass = 0; pass < 2; ++pass) {
      const Vec origin = splat(center), scale = splat(1.0 / spread);
      Total count, first, second;
      for (Index start = 0; start < values_.count(); start += kBlock) {
        const V* values = values_.block(start);
        Vec counted[kParts] = {}, sum[kParts] = {}, squares[kParts] = {};
        for (Index i = 0; i < kBlock; i += kSumLanes) {
          SIGMAX_UNROLL for (Index k = 0; k < kParts; ++k) {
            const Vec v = load(values + i + k * kLanes);
            const Mask counts = v > kMinusInfinity;
            const Vec d = only_where(counts, (v - origin) * scale);
            counted[k] += only_where(counts, splat(1.0));
            sum[k] += d;
            squares[k] += d * d;
          }
        }
        count.add(sum_of_lanes(counted));
        first.add(sum_of_lanes(sum));
        second.add(sum_of_lanes(squares));
      }
      const double mean = first.value() / count.value();
      variance = second.value() / count.value() - mean * mean;
      if (mean * mean <= 16.0 * variance) break;
      center += mean * spread;
    }
    const double depth = n * spread * __builtin_sqrt(variance > 0.0 ? variance : 0.0);
    keep_from(top_ - depth, kSumError * depth + kThresholdError * __builtin_fabs(top_));
  }

  Scratch<V> scratch_;
  Values<V> x_, values_;  // of all classes; of those that are kept since the last gather()
  double top_ = 0.0, row_top_ = 0.0, inverse_ = 1.0, temperature_ = 1.0;
  V lowest_ = with_order<V>(order_of(static_cast<V>(kMinusInfinity)) + 1), highest_ = static_cast<V>(kInfinity);
  bool is_nan_ = false, doubtful_ = false, narrowed_ = false, pending_ = false, is_whole_ = true;
  bool has_removed_ = false;  // whether removed_ and kept_ are known
  double removed_ = 0.0, kept_ = 0.0;
};

}  // namespace
}  // namespace sigmax
