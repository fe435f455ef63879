// Rows of few classes, side by side: a row in each lane. Their logits are sorted, by a network of comparators that is the same
// for all; then each step of a chain is one walk along them. What a step keeps is derived in row.h.
#pragma once

#include "draws.h"
#include "softmax_of_kept.h"

namespace sigmax {
namespace {

constexpr Index kShort = 32;

// The comparators (i, j), i < j, of Batcher's odd-even merge sort.
struct Network {
  int count = 0;
  std::uint8_t first[191], second[191];  // as many as kShort classes take

  explicit Network(Index n) {
    for (Index p = 1; p < n; p *= 2)
      for (Index k = p; k >= 1; k /= 2)
        for (Index j = k % p; j + k < n; j += 2 * k)
          for (Index i = j; i < j + k && i + k < n; ++i)
            if (i / (2 * p) == (i + k) / (2 * p)) {
              first[count] = static_cast<std::uint8_t>(i);
              second[count++] = static_cast<std::uint8_t>(i + k);
            }
  }
  template <class Body>
  SIGMAX_INLINE void for_comparators(Body body) const {
    for (int k = 0; k < count; ++k) body(first[k], second[k]);
  }
};

// What all rows of a call share.
struct ShortCall {
  const SamplingCall& call;
  const Network network;
  Vec log_of_share[kMostSteps];  // of options that are one number

  explicit ShortCall(const SamplingCall& call) : call(call), network(call.classes) {
    for (int k = 0; k < call.steps; ++k)
      log_of_share[k] = call.parameter[k].step == 0 ? log_of(splat(call.parameter[k].data[0])) : Vec{};
  }
  static Vec log_of(Vec p) { return select(p > 0.0, log_probability<Vec>(p), splat(kMinusInfinity)); }
};

// Rows first, ..., as many as there are lanes; those from `rows` on are copies whose results nobody reads. x: class by class,
// `step` numbers apart.
template <class S>
class ShortRows {
  typedef typename Arithmetic<S>::T V;

 public:
  ShortRows(const ShortCall& shared) : shared_(shared), call_(shared.call), n_(call_.classes) {}

  void begin(Index first, Index rows, const V* x, Index step) {
    first_ = first;
    rows_ = rows;
    top_ = splat(kMinusInfinity);
    lowest_ = splat(-kLargest);
    highest_ = splat(kLargest);
    inverse_ = temperature_ = splat(1.0);
    nan_ = doubtful_ = Mask{};
    capped_ = sorted_ = has_e_ = false;
    portable_ = call_.log_prob != nullptr;
    for (Index c = 0; c < n_; ++c) {
      x_[c] = s_[c] = load(x + c * step);
      top_ = max(x_[c], top_);
      nan_ |= x_[c] != x_[c];
    }
    empty_ = (top_ == kMinusInfinity) & ~nan_;
    if (any((top_ == kInfinity) | empty_ | nan_)) share_infinities();
  }

  void apply(int k) {
    const Vec p = of_rows(call_.parameter[k]);
    switch (call_.step[k]) {
      case Step::kTemperature:
        temperature_ = p;
        inverse_ = 1.0 / p;
        has_e_ = false;
        return;
      case Step::kTopK: return top_k(p);
      case Step::kTopP: return top_p(p);
      case Step::kMinP: return min_p(p, log_of_share(k, p));
      case Step::kTypicalP: return typical_p(p);
      case Step::kTopNSigma: return top_n_sigma(p);
      case Step::kEpsilon: return epsilon(p, log_of_share(k, p));
      case Step::kLowest: return keep_from(p);
      case Step::kHighest: return keep_up_to(p);
    }
  }

  // Settled rows get their results; `kept` has the layout of x.
  void finish(V* kept, Index step) {
    std::memset(call_.outcome + first_, kSettled, static_cast<std::size_t>(rows_));
    if (any(nan_ | empty_ | doubtful_))
      for (Index r = 0; r < rows_; ++r)
        call_.outcome[first_ + r] = nan_[r] ? kNotANumber : empty_[r] ? kNothing : doubtful_[r] ? kDoubtful : kSettled;
    if (call_.log_mass) log_mass();
    const Vec absent = select(nan_, splat(kNaN), splat(kMinusInfinity));
    for (Index c = 0; kept && c < n_; ++c) store(kept + c * step, select(keeps(x_[c]), x_[c], absent));
    if (call_.drawn) draw();
  }

 private:
  Vec of_rows(const PerRow& numbers) const {
    if (numbers.step == 0) return splat(numbers.data[0]);
    Vec v;
    for (Index r = 0; r < kLanes; ++r) v[r] = numbers.data[first_ + (r < rows_ ? r : 0)];
    return v;
  }

  // Infinite logits share the probability; a row where nothing is possible, and one with NaN, get a top that is a number.
  SIGMAX_NOINLINE void share_infinities() {
    const Mask infinite = (top_ == kInfinity) & ~nan_;
    for (Index c = 0; c < n_; ++c) {
      const Vec shared = select(x_[c] < kInfinity, splat(kMinusInfinity), Vec{});
      x_[c] = s_[c] = select(infinite, shared, select(nan_, splat(kMinusInfinity), x_[c]));
    }
    top_ = select(infinite | empty_ | nan_, Vec{}, top_);
  }

  void keep_from(Vec lowest) { lowest_ = max(lowest, lowest_); }
  void keep_up_to(Vec highest) {
    highest_ = min(highest, highest_);
    capped_ = true;
  }

  SIGMAX_INLINE Mask keeps(Vec x) const { return (x >= lowest_) & (x <= highest_); }

  // From the largest on; -inf comes last.
  void sort() {
    if (sorted_) return;
    shared_.network.for_comparators([&](Index i, Index j) SIGMAX_ALWAYS {
      const Vec a = s_[i], b = s_[j];
      s_[i] = max(a, b);
      s_[j] = min(a, b);
    });
    sorted_ = true;
    has_e_ = false;
  }

  Energy<Vec> energies() const { return {top_, temperature_, inverse_}; }

  template <class Each>
  SIGMAX_INLINE void exponentials_of(const Vec* x, Vec* e, Each each) const {
    const Energy<Vec> energy = energies();
    for (Index c = 0; c < n_; ++c) {
      e[c] = portable_ ? exp_of(energy.at(x[c])) : energy.precise_factor(x[c]);
      each(c);
    }
  }
  void exponentials() {
    if (!has_e_) exponentials_of(s_, e_, [](Index) SIGMAX_ALWAYS {});
    has_e_ = true;
  }
  Vec mass_of_kept() const {
    Vec mass = {};
    for (Index c = 0; c < n_; ++c) mass += only_where(keeps(s_[c]), e_[c]);
    return mass;
  }
  Vec kept_top() const {
    if (!capped_) return top_;
    Vec top = splat(kMinusInfinity);
    for (Index c = 0; c < n_; ++c) top = max(select(keeps(s_[c]), s_[c], top), top);
    return top;
  }

  // The last of the first k that are kept bounds what is kept; what equals it stays with it.
  void top_k(Vec k) {
    sort();
    Vec rank = {}, lowest = lowest_;
    for (Index c = 0; c < n_; ++c) {
      const Mask kept = keeps(s_[c]);
      rank += only_where(kept, splat(1.0));
      lowest = select(kept & (rank <= k), s_[c], lowest);
    }
    keep_from(lowest);
  }

  // Whether a class stays that comes behind a sum, and whether that is too close to tell. One behind nothing stays.
  struct MassLimit {
    Vec stay_below, close_from, close_to;

    MassLimit(Vec p, Vec mass) {
      const Vec target = p * mass, error = mass * kSumError, least = splat(0x1p-1022);
      stay_below = select(p < 1.0, max(target, least), splat(kInfinity));
      close_from = max(target - error, least);
      close_to = select((p > 0.0) & (p < 1.0), target + error, splat(-1.0));
    }
    SIGMAX_INLINE Mask stays(Vec before) const { return before < stay_below; }
    SIGMAX_INLINE Mask is_close(Vec before) const { return (before >= close_from) & (before <= close_to); }
  };

  void top_p(Vec p) {
    sort();
    exponentials();
    const MassLimit limit(p, mass_of_kept());
    Vec running = {}, before = {}, lowest = lowest_;
    for (Index c = 0; c < n_; ++c) {
      if (c > 0) before = select(s_[c] < s_[c - 1], running, before);
      const Mask kept = keeps(s_[c]);
      running += only_where(kept, e_[c]);
      doubtful_ |= kept & limit.is_close(before);
      lowest = select(kept & limit.stays(before), s_[c], lowest);
    }
    keep_from(lowest);
  }

  void typical_p(Vec p) {
    exponentials();
    Vec mass = {}, mean = {}, distance[kShort], nearest = splat(kInfinity), furthest = splat(-1.0);
    for (Index c = 0; c < n_; ++c) {
      const Vec e = only_where(keeps(s_[c]), e_[c]);
      mass += e;
      mean += only_where(e > 0.0, e * (s_[c] - top_));
    }
    mean /= mass;
    for (Index c = 0; c < n_; ++c) {
      distance[c] = select(keeps(s_[c]), abs((s_[c] - top_) - mean), splat(kInfinity));
      nearest = min(distance[c], nearest);
    }
    const MassLimit limit(p, mass);
    for (Index c = 0; c < n_; c += 2) {  // two classes, whose additions do not wait for each other
      const Vec of_pair[2] = {distance[c], distance[smaller(c + 1, n_ - 1)]};
      Vec before[2] = {};
      for (Index j = 0; j < n_; ++j)
        SIGMAX_UNROLL_ALL for (int k = 0; k < 2; ++k) before[k] += only_where(distance[j] < of_pair[k], e_[j]);
      SIGMAX_UNROLL_ALL for (int k = 0; k < 2; ++k) {
        const Mask kept = of_pair[k] < kInfinity;
        doubtful_ |= kept & limit.is_close(before[k]);
        furthest = max(select(kept & limit.stays(before[k]), of_pair[k], furthest), furthest);
      }
    }
    furthest = select(p > 0.0, furthest, nearest);
    // What is as far, and whether what is about as far has different logits.
    const Vec close = (furthest - mean) * kSumError;
    Vec lowest = splat(kInfinity), highest = splat(kMinusInfinity), about_lowest = lowest, about_highest = highest;
    for (Index c = 0; c < n_; ++c) {
      const Mask stays = distance[c] <= furthest, about = abs(distance[c] - furthest) <= close;
      lowest = min(select(stays, s_[c], lowest), lowest);
      highest = max(select(stays, s_[c], highest), highest);
      about_lowest = min(select(about, s_[c], about_lowest), about_lowest);
      about_highest = max(select(about, s_[c], about_highest), about_highest);
    }
    doubtful_ |= (p < 1.0) & (about_lowest < about_highest);
    keep_from(lowest);
    keep_up_to(highest);
  }

  // Drops what does not reach a threshold that is known to within an error.
  void keep_from(Vec threshold, Vec error) {
    const Vec top = kept_top(), low = max(threshold - error, lowest_), high = threshold + error;
    for (Index c = 0; c < n_; ++c) doubtful_ |= (s_[c] >= low) & (s_[c] <= high) & (s_[c] < top);
    keep_from(min(threshold, top));
  }

  Vec log_of_share(int k, Vec p) const { return call_.parameter[k].step == 0 ? shared_.log_of_share[k] : ShortCall::log_of(p); }

  void min_p(Vec p, Vec log_p) {
    const Vec top = kept_top(), depth = log_p * temperature_;
    const Vec error = (abs(top) - depth) * kThresholdError;
    keep_from(top + depth, only_where((p > 0.0) & (p < 1.0), error));
  }

  void epsilon(Vec p, Vec log_p) {
    exponentials();
    const Vec log_mass = sigmax::log_of(mass_of_kept()), depth = (log_p + log_mass) * temperature_;
    const Vec relative = (log_mass - log_p) * kThresholdError + kSumError;
    const Vec error = relative * temperature_ + (abs(top_) + abs(depth)) * kThresholdError;
    keep_from(top_ + depth, only_where(p > 0.0, error));
  }

  // The spread of what is kept, as far as doubles need it: squares of floats are far from the limits.
  Vec spread(Vec top) const {
    if (sizeof(V) < 8) return splat(1.0);
    Vec spread = {};
    for (Index c = 0; c < n_; ++c) spread = max(select(keeps(s_[c]), top - s_[c], spread), spread);
    return spread;
  }

  void top_n_sigma(Vec n) {
    const Vec top = kept_top(), spread = this->spread(top);
    const Mask counts = (n < kInfinity) & (spread > 0.0);
    const Vec scale = 1.0 / select(counts, spread, splat(1.0));
    Vec center = top, variance;
    for (int pass = 0; pass < 2; ++pass) {
      Vec count = {}, sum = {}, squares = {};
      for (Index c = 0; c < n_; ++c) {
        const Mask kept = keeps(s_[c]);
        const Vec d = only_where(kept, (s_[c] - center) * scale);
        count += only_where(kept, splat(1.0));
        sum += d;
        squares += d * d;
      }
      const Vec mean = sum / count;
      variance = squares / count - mean * mean;
      if (!any(counts & (mean * mean > 16.0 * variance))) break;
      center += select(mean * mean > 16.0 * variance, mean * spread, Vec{});
    }
    Vec sigma;
    for (int lane = 0; lane < kLanes; ++lane) sigma[lane] = __builtin_sqrt(variance[lane] > 0.0 ? variance[lane] : 0.0);
    const Vec depth = only_where(counts, n * spread * sigma);
    if (sizeof(V) == 8) doubtful_ |= counts & ((spread > 0x1p1023) | (spread < 0x1p-960) | (top - spread < -0x1p1023));
    const Vec error = depth * kSumError + abs(top) * kThresholdError;
    keep_from(select(counts, top - depth, splat(kMinusInfinity)), only_where(counts, error));
  }

  void log_mass() {
    if (sizeof(V) == 8 && !portable_) {
      portable_ = true;
      has_e_ = false;
    }
    exponentials();
    Vec kept = {}, removed = {};
    for (Index c = 0; c < n_; ++c) {
      const Mask is_in = keeps(s_[c]);
      kept += only_where(is_in, e_[c]);
      removed += only_where(~is_in, e_[c]);
    }
    const Vec result = 0.0 - log_of_sum(splat(1.0), removed / kept);
    write_numbers(select(nan_, splat(kNaN), only_where(~empty_, result)), call_.log_mass + first_, 1);
  }

  // As Draws::draw.
  void draw() {
    if (draw_within() || portable_) return;
    portable_ = true;
    draw_within();
  }

  // Whether no end of a class was too close to a draw.
  bool draw_within() {
    Vec e[kShort], through[kShort];
    Vec top = splat(kMinusInfinity), winner = {}, others = {}, whole = {};
    exponentials_of(x_, e, [&](Index c) SIGMAX_ALWAYS {  // the first of the largest that are kept is the winner
      const Mask wins = keeps(x_[c]) & (x_[c] > top);
      top = select(wins, x_[c], top);
      winner = select(wins, splat(static_cast<double>(c)), winner);
      whole = select(wins, e[c], whole);
    });
    for (Index c = 0; c < n_; ++c) {
      others += only_where(keeps(x_[c]) & (winner != static_cast<double>(c)), e[c]);
      through[c] = others;
    }
    const Vec total = (others + whole) * 0x1p-64, error = (others + whole) * kSumError;
    Mask close = {};
    for (Index d = 0; d < call_.draws; ++d) {
      const Vec t = nearest(bits_of(d)) * total;
      Vec chosen = winner;
      for (Index c = n_ - 1; c >= 0; --c) {
        chosen = select(through[c] > t, splat(static_cast<double>(c)), chosen);
        close |= abs(through[c] - t) <= error;
      }
      const Mask classes = bit_cast<Mask>(chosen + 0x1p52) & 0xff;
      write_numbers(classes, call_.drawn + first_ * call_.draws + d, call_.draws);
    }
    if (call_.log_prob) log_probs(top, others, whole);
    return !any(close);
  }
  // A number of each row, `step` apart.
  template <class Numbers, class T>
  void write_numbers(Numbers numbers, T* to, Index step) const {
    if (step == 1 && rows_ == kLanes) return store_vector(to, numbers);
    for (Index r = 0; r < rows_; ++r) to[r * step] = numbers[r];
  }
  Bits bits_of(Index d) const {
    const std::uint64_t* bits = call_.bits + first_ * call_.draws + d;
    if (call_.draws == 1 && rows_ == kLanes) return load_vector<Bits>(bits);
    Bits v;
    for (Index r = 0; r < kLanes; ++r) v[r] = bits[(r < rows_ ? r : 0) * call_.draws];
    return v;
  }

  void log_probs(Vec top, Vec others, Vec whole) {
    for (Index r = 0; r < rows_; ++r) {
      if (nan_[r] | empty_[r]) continue;
      const double log_total = log1p_of(others[r] / whole[r]);
      const Index start = (first_ + r) * call_.draws;
      for (Index k = start; k < start + call_.draws; ++k)
        call_.log_prob[k] = (x_[call_.drawn[k]][r] - top[r]) / temperature_[r] - log_total;
    }
  }

  const ShortCall& shared_;
  const SamplingCall& call_;
  const Index n_;
  Index first_, rows_;
  Vec x_[kShort], s_[kShort], e_[kShort];  // as they are given; as they are sorted, and the exponentials of these
  Vec top_, lowest_, highest_, inverse_, temperature_;
  Mask nan_, empty_, doubtful_;
  bool capped_, sorted_, has_e_, portable_;
};

// Blocks of rows on their way from memory and back.
template <class S>
void sample_short_rows(const SamplingCall& call, Index first, Index last, void* scratch) {
  typedef typename Arithmetic<S>::T V;
  constexpr Index kTogether = 256;
  const Index n = call.classes, size = sizeof(S);
  const Storage<V>& storage = storage_of<V>(static_cast<Type>(call.type));
  alignas(64) V x[kShort * kTogether];
  const Tile<V> tile = {x, 1, kTogether};
  const ShortCall shared(call);
  constexpr Index kGroupsTogether = 4;  // step by step, so that one need not wait for the additions of another
  ShortRows<S> side[kGroupsTogether] = {shared, shared, shared, shared};
  for (Index begin = first; begin < last; begin += kTogether) {
    const Index rows = last - begin < kTogether ? last - begin : kTogether;
    char* from = static_cast<char*>(const_cast<void*>(call.x)) + begin * n * size;
    storage.gather(tile, {from, n * size, size}, rows, n);
    for (Index r = rows; r % kLanes != 0; ++r)
      for (Index c = 0; c < n; ++c) *tile.at(r, c) = *tile.at(0, c);
    for (Index r = 0; r < rows; r += kGroupsTogether * kLanes) {
      const Index groups = smaller(kGroupsTogether, (rows - r + kLanes - 1) / kLanes);
      const auto at = [&](Index g) { return tile.at(r + g * kLanes, 0); };
      for (Index g = 0; g < groups; ++g) side[g].begin(begin + r + g * kLanes, smaller(rows - r - g * kLanes, kLanes), at(g), kTogether);
      for (int k = 0; k < call.steps; ++k)
        for (Index g = 0; g < groups; ++g) side[g].apply(k);
      for (Index g = 0; g < groups; ++g) side[g].finish(call.kept ? at(g) : nullptr, kTogether);
    }
    if (!call.kept) continue;
    if (call.as_probabilities) KeptRows<V>::replace(call, tile, begin, rows, scratch);
    char* to = static_cast<char*>(call.kept) + begin * n * size;
    storage.scatter({to, n * size, size}, tile, rows, n);
  }
}

}  // namespace
}  // namespace sigmax
