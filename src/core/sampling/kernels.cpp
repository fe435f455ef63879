// Which classes are kept and which is drawn, row by row.
//
// All arithmetic is in doubles, without fused multiply-adds, in an order of additions that depends on the row alone:
// every level, every batch and every machine gets the same bits. What is kept must be what exact arithmetic would
// keep: wherever a decision is closer than the rounding errors, the row is called doubtful, and settled elsewhere.
#include "sampling.h"

#include "../simd/wide.h"
#include "../simd/vector.h"

#define SIGMAX_JOIN(a, b) a##b
#define SIGMAX_TABLE(level) SIGMAX_JOIN(sigmax_sampling_kernels_, level)
#define SIGMAX_STRING(a) #a
#define SIGMAX_NAME(level) SIGMAX_STRING(level)

namespace sigmax {
namespace {

typedef std::ptrdiff_t Index;

constexpr Index kBlock = 256, kSumLanes = 16;

SIGMAX_INLINE double at(const PerRow& numbers, Index row) { return numbers.data[row * numbers.step]; }

constexpr double kMinusInfinity = -kInfinity;

// Relative to any sum of exponentials here: each has 2^-42.5 at most, where its argument is -700, and sums add less.
constexpr double kSumError = 0x1p-40;
// Relative to the terms of a threshold for logits: a few roundings.
constexpr double kThresholdError = 0x1p-48;

// ---------------------------------------------------------------- exponential and logarithm

template <class D>
struct BitsOf {
  typedef std::uint64_t Type;
};
template <>
struct BitsOf<Vec> {
  typedef Bits Type;
};

// e^y for y <= 709; 0 below -708. Relative error 2^-50 and that of y. Of a number or a vector.
template <class D>
SIGMAX_INLINE D exp_of(D y) {
  typedef typename BitsOf<D>::Type B;
  const D clamped = y > -708.0 ? y : D{} - 708.0;
  const D t = clamped * kLog2e + kRoundToInteger, n = t - kRoundToInteger;
  const D r = ((clamped - n * kLn2Hi) - n * kLn2Lo) * kLog2e;
  D power = D{} + kExp2[10];
  SIGMAX_UNROLL_ALL for (int k = 9; k >= 0; --k) power = power * r + kExp2[k];
  const D e = bit_cast<D>(bit_cast<B>(power) + (bit_cast<B>(t) << 52));
  return y > -708.0 ? e : D{};
}

// The same with fused multiply-adds, in half the time, where it ends in a decision that these errors cannot change or
// in a float. Relative error 2^-43.
SIGMAX_INLINE Vec quick_exp_of(Vec y) { return only_where(y > -700.0, exp_scaled(y)); }
// What is good enough for numbers stored as V.
template <class V>
SIGMAX_INLINE Vec exp_for(Vec y) {
  return sizeof(V) == sizeof(double) ? exp_of(y) : quick_exp_of(y);
}

// log((1+s)/(1-s)) for |s| <= 0.2.
template <class D>
SIGMAX_INLINE D log_of_odds(D s) {
  const D z = s * s;
  D tail = D{} + kLogTail[7];
  SIGMAX_UNROLL_ALL for (int k = 6; k >= 0; --k) tail = tail * z + kLogTail[k];
  return 2.0 * s + s * z * tail;
}

// Of a positive normal number.
template <class D>
SIGMAX_INLINE D log_of(D y) {
  typedef typename BitsOf<D>::Type B;
  constexpr std::uint64_t sqrt_half = 0x3fe6a09e667f3bcdu, one = 0x3ff0000000000000u;
  const B bits = bit_cast<B>(y), biased = (bits + (one - sqrt_half)) >> 52;
  const D k = bit_cast<D>(biased | 0x4330000000000000u) - (0x1p52 + 1023.0);
  const D mantissa = bit_cast<D>(bits - ((biased << 52) - one));
  return k * kLn2Hi + (k * kLn2Lo + log_of_odds((mantissa - 1.0) / (mantissa + 1.0)));
}

// log(1 + t) for t > -1, with all digits where t is small.
template <class D>
SIGMAX_INLINE D log1p_of(D t) {
  const auto small = (t > -0.29) & (t < 0.41);
  const D inside = small ? t : D{};
  return small ? log_of_odds(inside / (2.0 + inside)) : log_of(1.0 + t);
}

// e^y - 1 for |y| <= 1/2: the series, from its smallest term on.
double expm1_small(double y) {
  double sum = 1.0;
  for (int k = 15; k >= 2; --k) sum = 1.0 + sum * y / k;
  return sum * y;
}

// ---------------------------------------------------------------- sums

// 1 or 0. The loops below multiply by it rather than choose: GCC 12 loads what a vector of choices needs by the mask of
// another one.
SIGMAX_INLINE double number(bool condition) { return static_cast<double>(condition); }

// A sum and its rounding errors (Neumaier 1974).
struct Total {
  double sum = 0.0, error = 0.0;
  void add(double x) {
    const double s = sum + x, part = s - sum;
    error += (sum - (s - part)) + (x - part);
    sum = s;
  }
  double value() const { return sum + error; }
};

// Of at most kBlock terms, term(0), ..., in the order of virtual lanes.
template <class Term>
SIGMAX_INLINE double block_sum(Index n, Term term) {
  double lane[kSumLanes] = {};
  Index i = 0;
  for (; i + kSumLanes <= n; i += kSumLanes)
    for (Index l = 0; l < kSumLanes; ++l) lane[l] += term(i + l);
  for (Index l = 0; i + l < n; ++l) lane[l] += term(i + l);
  for (Index width = kSumLanes / 2; width; width /= 2)
    for (Index l = 0; l < width; ++l) lane[l] += lane[l + width];
  return lane[0];
}

template <class Term>
SIGMAX_INLINE double sum_of(Index n, Term term) {
  Total total;
  for (Index start = 0; start < n; start += kBlock) {
    const Index count = n - start < kBlock ? n - start : kBlock;
    total.add(block_sum(count, [&](Index i) SIGMAX_ALWAYS { return term(start + i); }));
  }
  return total.value();
}

// A block of kBlock numbers, the rest of it filled up in a copy.
template <class K>
SIGMAX_INLINE const K* full_block(const K* from, Index count, K* copy, K rest) {
  if (count == kBlock) return from;
  std::memcpy(copy, from, static_cast<std::size_t>(count) * sizeof(K));
  for (Index i = count; i < kBlock; ++i) copy[i] = rest;
  return copy;
}

// The sum of the lanes of a block, in the order of block_sum.
SIGMAX_INLINE double sum_lanes(const Vec* part) {
  double lane[kSumLanes];
  for (Index p = 0; p < kSumLanes / kLanes; ++p) store_vector(lane + p * kLanes, part[p]);
  for (Index width = kSumLanes / 2; width; width /= 2)
    for (Index l = 0; l < width; ++l) lane[l] += lane[l + width];
  return lane[0];
}

// ---------------------------------------------------------------- where a running sum crosses a number

// The first key, in ascending or descending order, at which the weights so far exceed a target, a share of the mass of
// all; equal keys count together. `before` and `through`: the sums without and with its weights; `after`: of the rest.
struct Crossing {
  double key, before, through, after, mass, target;

  // Whether rounding could have moved it, among n keys.
  bool is_close(Index n) const {
    const double error = (kSumError + 0x1p-52 * static_cast<double>(n)) * target;
    return !(target - before > error && through - target > error);
  }
};

// The weights of keys: 1, listed, or e^((key - top)·inverse).
struct Ones {
  SIGMAX_INLINE Vec operator()(Index, Vec) const { return splat(1.0); }
};
struct Listed {
  const double* weights;  // in whole blocks
  SIGMAX_INLINE Vec operator()(Index i, Vec) const { return load(weights + i); }
};
template <class V>
struct Exponential {
  Vec top, inverse;
  SIGMAX_INLINE Vec operator()(Index, Vec key) const { return exp_for<V>((key - top) * inverse); }
};

template <bool kDown, class K>
SIGMAX_INLINE bool precedes(K a, K b) {
  return kDown ? a > b : a < b;
}

constexpr Index kGaps[] = {701, 301, 132, 57, 23, 10, 4, 1};  // of Shell's sort (Ciura 2001)

template <bool kDown, class K>
void sort(K* keys, double* weights, Index n) {
  for (Index gap : kGaps) {
    for (Index i = gap; i < n; ++i) {
      const K key = keys[i];
      const double weight = weights[i];
      Index j = i;
      for (; j >= gap && precedes<kDown>(key, keys[j - gap]); j -= gap) {
        keys[j] = keys[j - gap];
        weights[j] = weights[j - gap];
      }
      keys[j] = key;
      weights[j] = weight;
    }
  }
}

constexpr Index kFew = 48, kBins = 512, kTables = 4;

// Bins of equal width from the largest key down; the last one takes all that is below.
struct Bins {
  Vec top, scale;

  Bins(double largest, double span) : top(splat(largest)), scale(splat(kBins / span)) {
    if (!(span < 0x1p1000)) scale = splat(0x1p-1010);
    if (!(span > 0x1p-1000)) scale = splat(0x1p1000);
  }
  SIGMAX_INLINE Vec operator()(Vec key) const {
    return (min((top - key) * scale, splat(kBins - 1.0)) + kRoundToInteger) - kRoundToInteger;
  }
};

// The weight in each bin: four tables take turns, so that an addition seldom waits for the one before.
template <class K, class Weight>
SIGMAX_NOINLINE void fill_bins(const K* keys, Index n, Weight weight_of, Bins bins, double* sums) {
  double table[kTables][kBins] = {};
  for (Index start = 0; start < n; start += kBlock) {
    K padded[kBlock];
    double weight[kBlock];
    std::uint64_t bin[kBlock];
    const Index count = n - start < kBlock ? n - start : kBlock;
    const K* block = full_block(keys + start, count, padded, K{0});
    for (Index i = 0; i < kBlock; i += kLanes) {
      const Vec key = load(block + i);
      store_vector(bin + i, bit_cast<Bits>(bins(key) + kRoundToInteger) & 0xffffu);
      store(weight + i, weight_of(start + i, key));
    }
    Index i = 0;
    for (; i + kTables <= count; i += kTables)
      for (Index t = 0; t < kTables; ++t) table[t][bin[i + t]] += weight[i + t];
    for (; i < count; ++i) table[0][bin[i]] += weight[i];
  }
  for (Index b = 0; b < kBins; ++b) sums[b] = (table[0][b] + table[1][b]) + (table[2][b] + table[3][b]);
}

// Copies what is in one bin, with its weights, to the front of other arrays, or of the same; how much that is.
template <class K, class Weight>
SIGMAX_NOINLINE Index take_bin(const K* keys, Index n, Weight weight_of, Bins bins, double bin, K* taken,
                               double* taken_weights) {
  Index size = 0;
  for (Index start = 0; start < n; start += kBlock) {
    K padded[kBlock];
    const Index count = n - start < kBlock ? n - start : kBlock;
    const K* block = full_block(keys + start, count, padded, K{0});
    for (Index i = 0; i < count; i += kLanes) {
      const Vec key = load(block + i);
      const Mask there = bins(key) == bin;
      if (!any(there)) continue;
      K key_of[kLanes];
      double weight[kLanes];
      std::memcpy(key_of, block + i, sizeof(key_of));
      store(weight, weight_of(start + i, key));
      for (Index l = 0; l < kLanes && i + l < count; ++l) {
        taken_weights[size] = weight[l];
        taken[size] = key_of[l];
        size -= there[l];
      }
    }
  }
  return size;
}

// The same of the bin where the weights so far exceed the target; what is before and after it is added up.
template <bool kDown, class K, class Weight>
Index take_crossed(const K* keys, Index n, Weight weight_of, Bins bins, const double* sums, Crossing* so_far, K* taken,
                   double* taken_weights) {
  constexpr Index first = kDown ? 0 : kBins - 1, last = kBins - 1 - first, step = kDown ? 1 : -1;
  Index bin = first;
  for (; bin != last && !(so_far->before + sums[bin] > so_far->target); bin += step) so_far->before += sums[bin];
  double after = 0.0;
  for (Index b = last; b != bin; b -= step) after += sums[b];
  so_far->after += after;
  return take_bin(keys, n, weight_of, bins, static_cast<double>(bin), taken, taken_weights);
}

// The end, when few keys are left.
template <bool kDown, class K>
Crossing cross_sorted(K* keys, double* weights, Index n, Crossing found) {
  sort<kDown>(keys, weights, n);
  found.key = n > 0 ? static_cast<double>(keys[0]) : kNaN;
  found.through = found.before;
  Index i = 0;
  for (; i < n; ++i) {
    if (static_cast<double>(keys[i]) != found.key) {
      if (found.through > found.target) break;
      found.key = keys[i];
      found.before = found.through;
    }
    found.through += weights[i];
  }
  double after = 0.0;
  for (Index k = n - 1; k >= i; --k) after += weights[k];
  found.after += after;
  return found;
}

// All keys are at most `largest`; those below largest - span take longer. The target is a share of the mass, less
// `margin`. `spare` and `spare_weights` take whole blocks.
template <bool kDown, class K, class Weight>
Crossing crossing(const K* keys, Index n, Weight weight_of, double largest, double span, double share, double margin,
                  K* spare, double* spare_weights) {
  double sums[kBins], mass = 0.0;
  Bins bins(largest, span);
  fill_bins(keys, n, weight_of, bins, sums);
  for (Index b = kBins - 1; b >= 0; --b) mass += sums[b];
  Crossing found = {kNaN, 0.0, 0.0, 0.0, mass, share * mass - margin};
  Index left = take_crossed<kDown>(keys, n, weight_of, bins, sums, &found, spare, spare_weights);
  while (true) {
    double low = kInfinity, high = kMinusInfinity, within = 0.0;
    for (Index i = 0; i < left; ++i) {
      const double key = spare[i];
      low = key < low ? key : low;
      high = key > high ? key : high;
      within += spare_weights[i];
    }
    if (low == high) {
      found.key = low;
      found.through = found.before + within;
      return found;
    }
    if (left <= kFew) return cross_sorted<kDown>(spare, spare_weights, left, found);
    bins = Bins(high, high - low);
    fill_bins(spare, left, Listed{spare_weights}, bins, sums);
    const Index taken =
        take_crossed<kDown>(spare, left, Listed{spare_weights}, bins, sums, &found, spare, spare_weights);
    if (taken == left) return cross_sorted<kDown>(spare, spare_weights, left, found);
    left = taken;
  }
}

// ---------------------------------------------------------------- storage

template <class S>
struct Stored {
  typedef float Value;
  typedef std::uint16_t Word;
};
template <>
struct Stored<float> {
  typedef float Value;
  typedef std::uint32_t Word;
};
template <>
struct Stored<double> {
  typedef double Value;
  typedef std::uint64_t Word;
};

template <class S>
constexpr typename Stored<S>::Word kMinusInfinityBits = 0;
template <>
constexpr std::uint16_t kMinusInfinityBits<Half> = 0xfc00u;
template <>
constexpr std::uint16_t kMinusInfinityBits<BFloat> = 0xff80u;
template <>
constexpr std::uint32_t kMinusInfinityBits<float> = 0xff800000u;
template <>
constexpr std::uint64_t kMinusInfinityBits<double> = 0xfff0000000000000u;

// ---------------------------------------------------------------- one row

template <class V>
struct Scratch {
  V* row;        // of half types, or with infinities
  V* values;     // of the kept classes
  V* spare;
  double* e;     // exponentials, in whole blocks
  double* keys;
  double* spare_keys;
  double* weights;
  double* prefix;  // sums of the blocks before and with each

  Scratch(double* from, Index n) {
    n += kBlock;
    row = reinterpret_cast<V*>(from);
    values = reinterpret_cast<V*>(from + n);
    spare = reinterpret_cast<V*>(from + 2 * n);
    e = from + 3 * n;
    keys = from + 4 * n;
    spare_keys = from + 5 * n;
    weights = from + 6 * n;
    prefix = from + 7 * n;
  }
};

Index scratch_size(Index classes) { return 7 * (classes + kBlock) + classes / kBlock + 1; }

// The smallest number of type V that is not below x.
template <class V>
V not_below(double x) {
  const V v = static_cast<V>(x);
  if (!(static_cast<double>(v) < x)) return v;
  typedef typename Stored<V>::Word Word;
  if (v == V{0}) return bit_cast<V>(Word{1});
  return bit_cast<V>(static_cast<Word>(bit_cast<Word>(v) + (v > V{0} ? Word{1} : static_cast<Word>(-1))));
}

template <class V>
class Row {
 public:
  Row(const V* x, Index n, Scratch<V> scratch) : x_(x), n_(n), scratch_(scratch), values_(x), count_(n) {
    maximum();
    if (!(top_ < kInfinity) && !is_nan_) share_infinities();
  }

  bool is_nan() const { return is_nan_; }
  bool is_empty() const { return !(top_ > kMinusInfinity); }
  bool is_doubtful() const { return doubtful_; }

  void apply(Step step, double parameter) {
    if (step == kTemperature) {
      inverse_ = 1.0 / parameter;
      temperature_ = parameter;
      has_e_ = has_removed_ = false;
      return;
    }
    if (step == kLowest || step == kHighest) return narrow_to(step == kLowest ? parameter : lowest_,
                                                             step == kHighest ? parameter : highest_);
    gather();
    switch (step) {
      case kTopK: return top_k(parameter);
      case kTopP: return top_p(parameter);
      case kMinP: return min_p(parameter);
      case kTypicalP: return typical_p(parameter);
      case kTopNSigma: return top_n_sigma(parameter);
      case kEpsilon: return epsilon(parameter);
      default: return;
    }
  }

  SIGMAX_INLINE bool keeps(V x) const { return (x >= lowest_) & (x <= highest_); }
  const V* values() const { return x_; }
  V lowest() const { return lowest_; }
  V highest() const { return highest_; }

  double log_mass() {
    if (!narrowed_) return 0.0;
    if (has_removed_) return 0.0 - log1p_of(removed_ / kept_);
    const bool ready = has_e_ && values_ == x_;
    const Vec top = splat(row_top_), inverse = splat(inverse_);
    const Vec lowest = splat(lowest_), highest = splat(highest_);
    Total kept, removed;
    V padded[kBlock];
    for (Index start = 0; start < n_; start += kBlock) {
      const Index count = n_ - start < kBlock ? n_ - start : kBlock;
      const V* x = full_block(x_ + start, count, padded, static_cast<V>(kMinusInfinity));
      const double* e = ready && count == kBlock ? scratch_.e + start : nullptr;
      Vec in[kSumLanes / kLanes] = {}, out[kSumLanes / kLanes] = {};
      for (Index i = 0; i < kBlock; i += kSumLanes) {
        for (Index p = 0; p < kSumLanes / kLanes; ++p) {
          const Vec v = load(x + i + p * kLanes);
          const Vec term = e ? load(e + i + p * kLanes) : exp_for<V>((v - top) * inverse);
          const Mask is_in = (v >= lowest) & (v <= highest);
          in[p] += only_where(is_in, term);
          out[p] += only_where(~is_in, term);
        }
      }
      kept.add(sum_lanes(in));
      removed.add(sum_lanes(out));
    }
    return 0.0 - log1p_of(removed.value() / kept.value());
  }

  // Collects what can be drawn; how many classes that is.
  Index prepare() {
    if (!narrowed_) {
      values_ = x_;
      count_ = n_;
      places_ = nullptr;
      top_ = row_top_;
      return n_;
    }
    places_ = reinterpret_cast<std::int64_t*>(scratch_.keys);
    Index count = 0;
    for (Index start = 0; start < n_; start += 64) {
      const Index size = n_ - start < 64 ? n_ - start : 64;
      int some = 0;
      for (Index i = 0; i < size; ++i) some |= keeps(x_[start + i]);
      if (!some) continue;
      for (Index i = start; i < start + size; ++i) {
        places_[count] = i;
        scratch_.values[count] = x_[i];
        count += keeps(x_[i]);
      }
    }
    values_ = scratch_.values;
    has_e_ = false;
    count_ = count;
    maximum();
    return count_;
  }

  void need_all_digits() { portable_ = true; }

  // The sums of the exponentials of the others, block by block. The winner is kept apart.
  void sum_others() {
    winner_ = 0;
    for (int found = 0; !found; winner_ += found ? 0 : kBlock) {
      const Index size = count_ - winner_ < kBlock ? count_ - winner_ : kBlock;
      for (Index i = 0; i < size; ++i) found |= values_[winner_ + i] == static_cast<V>(top_);
    }
    while (values_[winner_] != static_cast<V>(top_)) ++winner_;
    others_ = 0.0;
    for (Index start = 0; start < count_; start += kBlock) {
      others_ += fill_block(start, scratch_.e);
      scratch_.prefix[start / kBlock] = others_;
    }
    filled_ = -1;
    log_total_ = log1p_of(others_);
  }

  // The others in their order, then the winner: where a share of the whole falls. By quick exponentials, unless an end
  // of the class is so close that those without fused operations, which are the same everywhere, could tell otherwise.
  Index draw(std::uint64_t bits) {
    double slack;
    const Index quick = draw_within(bits, &slack);
    if (portable_ || slack > kSumError * (others_ + 1.0)) return quick;
    portable_ = true;
    sum_others();
    return draw_within(bits, &slack);
  }

  std::int64_t place(Index i) const { return places_ ? places_[i] : i; }
  double log_prob(Index i) const { return (values_[i] - top_) / temperature_ - log_total_; }

  // Without replacement: the largest of the logits with Gumbel noise, the largest first (Kool et al. 2019).
  Index draw_distinct(const std::uint64_t* bits, Index draws, Index* drawn) {
    double* keys = scratch_.weights;
    Index size = 0, possible = 0;
    const auto loses = [&](Index a, Index b) {  // a comes after b
      return keys[a] < keys[b] || (keys[a] == keys[b] && a > b);
    };
    const auto sink = [&](Index i) {
      for (Index child; (child = 2 * i + 1) < size; i = child) {
        if (child + 1 < size && loses(drawn[child + 1], drawn[child])) ++child;
        if (!loses(drawn[child], drawn[i])) break;
        const Index moved = drawn[i];
        drawn[i] = drawn[child];
        drawn[child] = moved;
      }
    };
    for (Index i = 0; i < count_; ++i) {
      if (!(values_[i] > kMinusInfinity)) continue;
      ++possible;
      const double u = (static_cast<double>(bits[place(i)]) + 0.5) * 0x1p-64;
      const double exponential = -log1p_of(-(u < 1.0 ? u : 1.0 - 0x1p-53));
      keys[i] = (values_[i] - top_) / temperature_ - log_of(exponential);
      if (size < draws) {
        drawn[size++] = i;
        if (size == draws)
          for (Index k = size / 2 - 1; k >= 0; --k) sink(k);
      } else if (loses(drawn[0], i)) {
        drawn[0] = i;
        sink(0);
      }
    }
    if (possible < draws) return possible;
    while (size > 1) {
      const Index worst = drawn[0];
      drawn[0] = drawn[--size];
      sink(0);
      drawn[size] = worst;
    }
    return possible;
  }

 private:
  // The largest of the values, and whether there is a NaN.
  void maximum() {
    constexpr Index lanes = 64 / sizeof(V) * 2;
    V largest[lanes];
    V noise[lanes] = {};
    for (Index l = 0; l < lanes; ++l) largest[l] = static_cast<V>(kMinusInfinity);
    Index i = 0;
    for (; i + lanes <= count_; i += lanes) {
      for (Index l = 0; l < lanes; ++l) {
        const V v = values_[i + l];
        largest[l] = v > largest[l] ? v : largest[l];
        noise[l] += static_cast<V>(v != v);
      }
    }
    V top = static_cast<V>(kMinusInfinity), nan = 0;
    for (Index l = 0; l < lanes; ++l) {
      top = largest[l] > top ? largest[l] : top;
      nan += noise[l];
    }
    for (; i < count_; ++i) {
      top = values_[i] > top ? values_[i] : top;
      nan += static_cast<V>(values_[i] != values_[i]);
    }
    top_ = top;
    if (values_ == x_) row_top_ = top_;
    is_nan_ = nan > 0;
  }

  // Infinite logits share the probability: a row of zeros, and nothing else is possible.
  void share_infinities() {
    for (Index i = 0; i < n_; ++i)
      scratch_.row[i] = x_[i] < kInfinity ? static_cast<V>(kMinusInfinity) : V{0};
    x_ = values_ = scratch_.row;
    top_ = row_top_ = 0.0;
  }

  void narrow_to(double lowest, double highest) {
    const V least = not_below<V>(lowest), most = static_cast<V>(highest);  // the latter is a logit, or infinite
    if (least > lowest_) lowest_ = least;
    if (most < highest_) highest_ = most;
    narrowed_ = true;
    pending_ = true;
    has_removed_ = false;
  }

  // Brings the values that are kept together.
  void gather() {
    if (!pending_) return;
    pending_ = false;
    Index count = 0;
    for (Index i = 0; i < count_; ++i) {
      const V v = values_[i];
      scratch_.values[count] = v;
      count += keeps(v);
    }
    values_ = scratch_.values;
    count_ = count;
    has_e_ = false;
    maximum();
  }

  Index draw_within(std::uint64_t bits, double* slack) {
    const double t = static_cast<double>(bits) * 0x1p-64 * (others_ + 1.0);
    *slack = t - others_;
    if (t >= others_) return winner_;
    Index low = 0, high = (count_ - 1) / kBlock;  // the first block whose sum so far exceeds t
    while (low < high) {
      const Index middle = (low + high) / 2;
      if (scratch_.prefix[middle] > t) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    const double rest = t - (low ? scratch_.prefix[low - 1] : 0.0);
    if (filled_ != low) fill_block(low * kBlock, scratch_.e);
    filled_ = low;
    double running = 0.0, below = 0.0;
    Index chosen = 0;
    for (Index i = 0; i < kBlock; ++i) {
      if (!(scratch_.e[i] > 0.0)) continue;
      chosen = i;
      below = running;
      running += scratch_.e[i];
      if (running > rest) break;
    }
    *slack = running - rest < rest - below ? running - rest : rest - below;
    return low * kBlock + chosen;
  }

  // The exponentials of a block, 0 for the winner; returns their sum.
  double fill_block(Index start, double* e) const {
    const Vec top = splat(top_), inverse = splat(inverse_);
    const Index count = count_ - start < kBlock ? count_ - start : kBlock;
    V padded[kBlock];
    const V* x = full_block(values_ + start, count, padded, static_cast<V>(kMinusInfinity));
    if (portable_) {
      for (Index i = 0; i < kBlock; i += kLanes) store(e + i, exp_of((load(x + i) - top) * inverse));
    } else {
      for (Index i = 0; i < kBlock; i += kLanes) store(e + i, quick_exp_of((load(x + i) - top) * inverse));
    }
    if (winner_ >= start && winner_ < start + kBlock) e[winner_ - start] = 0.0;
    Vec sum[kSumLanes / kLanes] = {};
    for (Index i = 0; i < kBlock; i += kSumLanes)
      for (Index p = 0; p < kSumLanes / kLanes; ++p) sum[p] += load(e + i + p * kLanes);
    return sum_lanes(sum);
  }

  const double* exponentials() {
    if (!has_e_) {
      const Vec top = splat(top_), inverse = splat(inverse_);
      Total total;
      V padded[kBlock];
      for (Index start = 0; start < count_; start += kBlock) {
        const Index count = count_ - start < kBlock ? count_ - start : kBlock;
        const V* x = full_block(values_ + start, count, padded, static_cast<V>(kMinusInfinity));
        double* e = scratch_.e + start;
        Vec sum[kSumLanes / kLanes] = {};
        for (Index i = 0; i < kBlock; i += kSumLanes) {
          for (Index p = 0; p < kSumLanes / kLanes; ++p) {
            const Vec term = exp_for<V>((load(x + i + p * kLanes) - top) * inverse);
            store(e + i + p * kLanes, term);
            sum[p] += term;
          }
        }
        total.add(sum_lanes(sum));
      }
      mass_ = total.value();
      has_e_ = true;
    }
    return scratch_.e;
  }

  // Keeps what reaches a threshold that is known to within an error.
  void keep_from(double threshold, double error) {
    if (!(threshold < top_)) threshold = top_;
    int close = 0;
    const double low = threshold - error, high = threshold + error, top = top_;
    for (Index i = 0; i < count_; ++i) {
      const double v = values_[i];
      close |= (v >= low) & (v <= high) & (v < top) & (v > kMinusInfinity);
    }
    doubtful_ |= close;
    narrow_to(threshold, highest_);
  }

  // How far the k largest values reach down, roughly: from a sample at fixed places.
  double reach(double k) const {
    constexpr Index size = 64;
    V sample[size];
    double unused[size];
    for (Index i = 0; i < size; ++i) sample[i] = values_[(2 * i + 1) * count_ / (2 * size)];
    sort<true>(sample, unused, size);
    const double place = k / static_cast<double>(count_) * size;
    Index i = static_cast<Index>(place + 2.0 + 2.0 * __builtin_sqrt(place));
    i = i < size ? i : size - 1;
    while (i > 0 && !(sample[i] > kMinusInfinity)) --i;
    return top_ - sample[i];
  }

  void top_k(double k) {
    if (k >= static_cast<double>(count_)) return;
    const double span = reach(k);
    const V* keys = values_;
    Index n = gather_from(not_below<V>(top_ - span), scratch_.spare);
    if (static_cast<double>(n) >= k) {
      keys = scratch_.spare;
    } else {
      n = count_;
    }
    const auto found = crossing<true>(keys, n, Ones{}, top_, span, k / static_cast<double>(n), 0.5, scratch_.spare,
                                      scratch_.weights);
    narrow_to(found.key, highest_);
  }

  // Copies the values that are not less than one; how many there are.
  Index gather_from(V least, V* to) const {
    Index size = 0;
    for (Index start = 0; start < count_; start += 64) {
      const Index end = count_ - start < 64 ? count_ : start + 64;
      int some = 0;
      for (Index i = start; i < end; ++i) some |= values_[i] >= least;
      for (Index i = start; some && i < end; ++i) {
        to[size] = values_[i];
        size += values_[i] >= least;
      }
    }
    return size;
  }

  // As far down as there is weight to speak of.
  double weighty_span() const { return 40.0 * temperature_; }

  void top_p(double p) {
    if (p >= 1.0) return;
    if (p <= 0.0) return narrow_to(top_, highest_);
    // From the side with less mass: its sums are the more exact.
    const Exponential<V> weight = {splat(top_), splat(inverse_)};
    const auto found = p > 0.5 ? crossing<false>(values_, count_, weight, top_, weighty_span(), 1.0 - p, 0.0,
                                                 scratch_.spare, scratch_.weights)
                               : crossing<true>(values_, count_, weight, top_, weighty_span(), p, 0.0, scratch_.spare,
                                                scratch_.weights);
    doubtful_ |= found.is_close(count_);
    narrow_to(found.key, highest_);
    if (values_ != x_) return;
    removed_ = p > 0.5 ? found.before : found.after;
    kept_ = p > 0.5 ? found.through - found.before + found.after : found.through;
    has_removed_ = true;
    has_e_ = false;
  }

  void min_p(double p) {
    if (p <= 0.0) return;
    if (p >= 1.0) return narrow_to(top_, highest_);
    const double depth = __builtin_log(p) * temperature_;
    keep_from(top_ + depth, kThresholdError * (__builtin_fabs(top_) + __builtin_fabs(depth)));
  }

  void epsilon(double p) {
    if (p <= 0.0) return;
    exponentials();
    const double log_p = __builtin_log(p), log_mass = __builtin_log(mass_), depth = (log_p + log_mass) * temperature_;
    const double error = kSumError + kThresholdError * (log_mass - log_p);
    keep_from(top_ + depth, error * temperature_ + kThresholdError * (__builtin_fabs(top_) + __builtin_fabs(depth)));
  }

  // Keeps the classes whose surprise -log p is closest to the entropy: those whose logit is closest to the mean logit.
  void typical_p(double p) {
    if (p >= 1.0) return;
    const double* e = exponentials();
    const Vec top = splat(top_);
    // The mean logit, from the top: -inf has no weight.
    Total moment;
    for_blocks([&](Index start, const V* values) SIGMAX_ALWAYS {
      Vec sum[kSumLanes / kLanes] = {};
      for (Index i = 0; i < kBlock; i += kSumLanes) {
        for (Index part = 0; part < kSumLanes / kLanes; ++part) {
          const Index at = i + part * kLanes;
          sum[part] += load(e + start + at) * max(load(values + at) - top, splat(-1e300));
        }
      }
      moment.add(sum_lanes(sum));
    });
    const Vec mean = splat(moment.value() / mass_);
    double* nearness = scratch_.keys;  // the distance from it, negative
    for_blocks([&](Index start, const V* values) SIGMAX_ALWAYS {
      for (Index i = 0; i < kBlock; i += kLanes) store(nearness + start + i, -abs((load(values + i) - top) - mean));
    });
    const Listed weight = {e};
    const auto found = p > 0.5 ? crossing<false>(nearness, count_, weight, 0.0, weighty_span(), 1.0 - p, 0.0,
                                                 scratch_.spare_keys, scratch_.weights)
                               : crossing<true>(nearness, count_, weight, 0.0, weighty_span(), p, 0.0,
                                                scratch_.spare_keys, scratch_.weights);
    doubtful_ |= p > 0.0 && found.is_close(count_);
    // What is as near, and whether what is about as near has different logits.
    const Vec bound = splat(found.key), close = splat(kSumError * (-found.key - mean[0]));
    Vec low = splat(kInfinity), high = -low, close_low = low, close_high = high;
    for_blocks([&](Index start, const V* values) SIGMAX_ALWAYS {
      for (Index i = 0; i < kBlock; i += kLanes) {
        const Vec v = load(values + i), beyond = bound - load(nearness + start + i);
        const Mask counts = v > kMinusInfinity, near = counts & (beyond <= 0.0), about = counts & (abs(beyond) <= close);
        low = select(near & (v < low), v, low);
        high = select(near & (v > high), v, high);
        close_low = select(about & (v < close_low), v, close_low);
        close_high = select(about & (v > close_high), v, close_high);
      }
    });
    doubtful_ |= least_of(close_low) < -least_of(-close_high);
    narrow_to(least_of(low), -least_of(-high));
  }

  static double least_of(Vec v) {
    double least = v[0];
    for (int lane = 1; lane < kLanes; ++lane) least = v[lane] < least ? v[lane] : least;
    return least;
  }

  // Calls body(start, values) for whole blocks of the values, filled up with -inf.
  template <class Body>
  SIGMAX_INLINE void for_blocks(Body body) const {
    V padded[kBlock];
    for (Index start = 0; start < count_; start += kBlock) {
      const Index count = count_ - start < kBlock ? count_ - start : kBlock;
      body(start, full_block(values_ + start, count, padded, static_cast<V>(kMinusInfinity)));
    }
  }

  // Of the logits that are possible: no exponentials.
  void top_n_sigma(double n) {
    if (!(n < kInfinity)) return;
    const Vec top = splat(top_);
    Vec deepest = {};
    for_blocks([&](Index, const V* values) SIGMAX_ALWAYS {
      for (Index i = 0; i < kBlock; i += kLanes) {
        const Vec depth = top - load(values + i);
        deepest = select((depth > deepest) & (depth < kInfinity), depth, deepest);
      }
    });
    const double spread = -least_of(-deepest);
    if (!(spread > 0.0)) return;
    const Vec scale = splat(1.0 / spread);
    double number = 0.0, mean = 0.0, variance = 0.0;
    for (int pass = 0; pass < 2; ++pass) {  // the variance about the mean that the first pass finds
      Total total, count;
      const Vec center = splat(mean);
      for_blocks([&](Index, const V* values) SIGMAX_ALWAYS {
        Vec sum[kSumLanes / kLanes] = {}, counted[kSumLanes / kLanes] = {};
        for (Index i = 0; i < kBlock; i += kSumLanes) {
          for (Index part = 0; part < kSumLanes / kLanes; ++part) {
            const Vec v = load(values + i + part * kLanes), deviation = (v - top) * scale - center;
            const Mask counts = v > kMinusInfinity;
            sum[part] += only_where(counts, pass == 0 ? deviation : deviation * deviation);
            counted[part] += only_where(counts, splat(1.0));
          }
        }
        total.add(sum_lanes(sum));
        count.add(sum_lanes(counted));
      });
      number = count.value();
      (pass == 0 ? mean : variance) = total.value() / number;
    }
    const double depth = n * spread * __builtin_sqrt(variance);
    doubtful_ |= top_ - spread < -0x1p1023 || spread > 0x1p1023 || spread < 0x1p-960;
    keep_from(top_ - depth, kSumError * depth + kThresholdError * (__builtin_fabs(top_) + spread));
  }

  const V* x_;
  Index n_;
  Scratch<V> scratch_;
  const V* values_;  // of the classes that are kept, and of those since the last gather()
  Index count_;
  double top_ = 0.0, row_top_ = 0.0, inverse_ = 1.0, temperature_ = 1.0;
  V lowest_ = static_cast<V>(-(sizeof(V) == sizeof(float) ? 0x1.fffffep127 : kLargest)), highest_ = static_cast<V>(kInfinity);
  bool is_nan_ = false, doubtful_ = false, narrowed_ = false, pending_ = false;

  bool has_e_ = false;  // whether scratch_.e and mass_ are those of values_
  bool has_removed_ = false;  // whether removed_ and kept_ are known
  double mass_ = 0.0, removed_ = 0.0, kept_ = 0.0;

  std::int64_t* places_ = nullptr;
  Index winner_ = 0, filled_ = -1;  // and the block that scratch_.e holds
  double others_ = 0.0, log_total_ = 0.0;
  bool portable_ = sizeof(V) == sizeof(double);
};

// ---------------------------------------------------------------- from and to storage

const float* values_of(const float* x, Index, float*) { return x; }
const double* values_of(const double* x, Index, double*) { return x; }
template <class S>
const float* values_of(const S* x, Index n, float* out) {
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) store_vector(out + i, load_singles(x + i));
  if (i < n) {
    S rest[kLanes] = {};
    std::memcpy(rest, x + i, static_cast<std::size_t>(n - i) * sizeof(S));
    float widened[kLanes];
    store_vector(widened, load_singles(rest));
    std::memcpy(out + i, widened, static_cast<std::size_t>(n - i) * sizeof(float));
  }
  return out;
}

// The bits of a logit that is kept, else those of -inf, without a branch.
template <class S>
SIGMAX_INLINE typename Stored<S>::Word where_kept(bool is_kept, typename Stored<S>::Word bits) {
  typedef typename Stored<S>::Word Word;
  const Word mask = static_cast<Word>(0 - static_cast<Word>(is_kept));
  return static_cast<Word>((bits & mask) | (kMinusInfinityBits<S> & ~mask));
}

// Writes the logits that are kept, -inf for the others.
template <class S, class V>
void write_kept(const S* x, const Row<V>& row, Index n, S* out) {
  typedef typename Stored<S>::Word Word;
  const Word* bits = reinterpret_cast<const Word*>(x);
  const V* values = row.values();
  Word* kept = reinterpret_cast<Word*>(out);
  const V lowest = row.lowest(), highest = row.highest();
  for (Index i = 0; i < n; ++i) {
    const V v = values[i];
    kept[i] = where_kept<S>((v >= lowest) & (v <= highest), bits[i]);
  }
}

// What a row without a distribution gets; false for a row that has one.
template <class S>
bool is_settled_without(const SamplingCall& call, Index r, bool is_nan, bool is_empty) {
  if (!is_nan && !is_empty) return false;
  const Index n = call.classes;
  call.outcome[r] = is_nan ? kNotANumber : kNothing;
  if (call.kept)
    std::memcpy(static_cast<S*>(call.kept) + r * n, static_cast<const S*>(call.x) + r * n,
                static_cast<std::size_t>(n) * sizeof(S));
  if (call.log_mass) call.log_mass[r] = is_nan ? kNaN : 0.0;
  return true;
}

template <class S>
void sample_row(const SamplingCall& call, Index r, double* memory) {
  typedef typename Stored<S>::Value V;
  const Index n = call.classes;
  const Scratch<V> scratch(memory, n);
  const S* x = static_cast<const S*>(call.x) + r * n;
  Row<V> row(values_of(x, n, scratch.row), n, scratch);
  if (is_settled_without<S>(call, r, row.is_nan(), row.is_empty())) return;
  for (int k = 0; k < call.steps; ++k) row.apply(call.step[k], at(call.parameter[k], r));
  call.outcome[r] = row.is_doubtful() ? kDoubtful : kSettled;
  if (row.is_doubtful()) return;
  if (call.log_mass) call.log_mass[r] = row.log_mass();
  if (call.kept) write_kept(x, row, n, static_cast<S*>(call.kept) + r * n);
  if (!call.drawn) return;

  row.prepare();
  if (call.log_prob) row.need_all_digits();
  std::int64_t* drawn = call.drawn + r * call.draws;
  if (call.replace) {
    row.sum_others();
    for (Index d = 0; d < call.draws; ++d) drawn[d] = row.draw(call.bits[r * call.draws + d]);
  } else {
    call.possible[r] = row.draw_distinct(call.bits + r * n, call.draws, drawn);
    if (call.possible[r] < call.draws) return;
    if (call.log_prob) row.sum_others();
  }
  for (Index d = 0; d < call.draws; ++d) {
    const Index i = drawn[d];
    if (call.log_prob) call.log_prob[r * call.draws + d] = row.log_prob(i);
    drawn[d] = row.place(i);
  }
}

// ---------------------------------------------------------------- short rows, side by side

constexpr Index kShort = 32, kSide = 16, kParts = kSide / kLanes;

#define SIGMAX_EACH_PART for (Index p = 0; p < kParts; ++p)

// Numbers, and conditions, of kSide rows.
struct Choice {
  Mask at[kParts];
};
struct Side {
  Vec at[kParts];
  SIGMAX_INLINE double operator[](Index r) const { return at[r / kLanes][r % kLanes]; }
  SIGMAX_INLINE void set(Index r, double x) { at[r / kLanes][r % kLanes] = x; }
};

SIGMAX_INLINE Side all_of(double x) {
  Side s;
  SIGMAX_EACH_PART s.at[p] = splat(x);
  return s;
}

#define SIGMAX_ARITHMETIC(op)                           \
  SIGMAX_INLINE Side operator op(Side a, Side b) {      \
    Side s;                                             \
    SIGMAX_EACH_PART s.at[p] = a.at[p] op b.at[p];      \
    return s;                                           \
  }                                                     \
  SIGMAX_INLINE Side operator op(Side a, double b) { return a op all_of(b); }
SIGMAX_ARITHMETIC(+)
SIGMAX_ARITHMETIC(-)
SIGMAX_ARITHMETIC(*)
SIGMAX_ARITHMETIC(/)

#define SIGMAX_COMPARISON(op)                           \
  SIGMAX_INLINE Choice operator op(Side a, Side b) {    \
    Choice c;                                           \
    SIGMAX_EACH_PART c.at[p] = a.at[p] op b.at[p];      \
    return c;                                           \
  }                                                     \
  SIGMAX_INLINE Choice operator op(Side a, double b) { return a op all_of(b); }
SIGMAX_COMPARISON(<)
SIGMAX_COMPARISON(>)
SIGMAX_COMPARISON(<=)
SIGMAX_COMPARISON(>=)
SIGMAX_COMPARISON(==)
SIGMAX_COMPARISON(!=)

SIGMAX_INLINE Choice operator&(Choice a, Choice b) {
  SIGMAX_EACH_PART a.at[p] &= b.at[p];
  return a;
}
SIGMAX_INLINE Choice operator|(Choice a, Choice b) {
  SIGMAX_EACH_PART a.at[p] |= b.at[p];
  return a;
}

SIGMAX_INLINE Side choose(Choice c, Side yes, Side no) {
  SIGMAX_EACH_PART yes.at[p] = select(c.at[p], yes.at[p], no.at[p]);
  return yes;
}
SIGMAX_INLINE Side choose(Choice c, Side yes, double no) { return choose(c, yes, all_of(no)); }
SIGMAX_INLINE Side only_where(Choice c, Side x) {
  SIGMAX_EACH_PART x.at[p] = only_where(c.at[p], x.at[p]);
  return x;
}
SIGMAX_INLINE Side larger(Side a, Side b) {
  SIGMAX_EACH_PART a.at[p] = max(a.at[p], b.at[p]);
  return a;
}
SIGMAX_INLINE Side magnitude(Side x) {
  SIGMAX_EACH_PART x.at[p] = abs(x.at[p]);
  return x;
}
SIGMAX_INLINE Side exp_of(Side x) {
  SIGMAX_EACH_PART x.at[p] = exp_of(x.at[p]);
  return x;
}
SIGMAX_INLINE Side quick_exp_of(Side x) {
  SIGMAX_EACH_PART x.at[p] = quick_exp_of(x.at[p]);
  return x;
}
SIGMAX_INLINE bool any(Choice c) {
  Mask some = c.at[0];
  for (Index p = 1; p < kParts; ++p) some |= c.at[p];
  return any(some);
}

// sum_before() and what else looks at pairs of classes: all of them, there are at most kShort.
class Tile {
 public:
  Tile(const SamplingCall& call, Index first, Index rows) : call_(call), n_(call.classes), first_(first), rows_(rows) {}

  template <class S>
  void run() {
    load<S>();
    for (int k = 0; k < call_.steps; ++k) apply(call_.step[k], call_.parameter[k]);
    settle<S>();
    if (call_.log_mass) log_mass();
    if (call_.kept) write<S>();
    if (call_.drawn) draw();
  }

 private:
  template <class S>
  void load() {
    typedef typename Stored<S>::Value V;
    V wide[kShort * kSide];
    const V* values = values_of(static_cast<const S*>(call_.x) + first_ * n_, rows_ * n_, wide);
    top_ = all_of(kMinusInfinity);
    Choice nan = {};
    double columns[kShort][kSide];
    for (Index r = 0; r < kSide; ++r) {
      const V* row = values + (r < rows_ ? r : 0) * n_;
      for (Index c = 0; c < n_; ++c) columns[c][r] = row[c];
    }
    for (Index c = 0; c < n_; ++c) {
      Side x;
      SIGMAX_EACH_PART x.at[p] = sigmax::load(columns[c] + p * kLanes);
      top_ = larger(x, top_);
      nan = nan | (x != x);
      x_[c] = kept_[c] = x;
    }
    nan_ = only_where(nan, all_of(1.0));
    inverse_ = temperature_ = all_of(1.0);
    const Choice unusual = (top_ == kInfinity) | (top_ == kMinusInfinity);
    if (any(unusual)) share_infinities();
  }

  // Infinite logits share the probability; a row where nothing is possible gets a top that is a number.
  SIGMAX_NOINLINE void share_infinities() {
    for (Index r = 0; r < kSide; ++r) {
      const double top = top_[r];
      if (top == kInfinity)
        for (Index c = 0; c < n_; ++c) x_[c].set(r, x_[c][r] < kInfinity ? kMinusInfinity : 0.0);
      empty_.set(r, top == kMinusInfinity ? 1.0 : 0.0);
      if (top == kInfinity || top == kMinusInfinity) top_.set(r, 0.0);
      for (Index c = 0; c < n_; ++c) kept_[c].set(r, x_[c][r]);
    }
  }

  void apply(Step step, const PerRow& parameter) {
    double column[kSide];
    for (Index r = 0; r < kSide; ++r) column[r] = sigmax::at(parameter, first_ + (r < rows_ ? r : 0));
    Side p;
    for (Index part = 0; part < kParts; ++part) p.at[part] = sigmax::load(column + part * kLanes);
    switch (step) {
      case kTemperature:
        temperature_ = p;
        inverse_ = all_of(1.0) / p;
        has_e_ = false;
        return;
      case kTopK: return top_k(p);
      case kTopP: return top_p(p);
      case kMinP: return min_p(p);
      case kTypicalP: return typical_p(p);
      case kTopNSigma: return top_n_sigma(p);
      case kEpsilon: return epsilon(p);
      case kLowest: return drop_if([&](Index c) SIGMAX_ALWAYS { return kept_[c] < p; });
      case kHighest: return drop_if([&](Index c) SIGMAX_ALWAYS { return kept_[c] > p; });
    }
  }

  SIGMAX_INLINE Choice is_kept(Index c) const { return kept_[c] > kMinusInfinity; }

  template <class Condition>
  SIGMAX_INLINE void drop_if(Condition condition) {
    for (Index c = 0; c < n_; ++c) kept_[c] = choose(condition(c), all_of(kMinusInfinity), kept_[c]);
    has_mass_ = false;
  }

  // Of all classes, kept or not; the mass is of those that are kept.
  void exponentials() {
    for (Index c = 0; c < n_ && !has_e_; ++c) {
      const Side y = (x_[c] - top_) * inverse_;
      e_[c] = portable_ ? exp_of(y) : quick_exp_of(y);
    }
    if (!has_e_ || !has_mass_) {
      mass_ = Side{};
      for (Index c = 0; c < n_; ++c) mass_ = mass_ + only_where(is_kept(c), e_[c]);
    }
    has_e_ = has_mass_ = true;
  }

  // For each class, of all classes j that come before it: the sum of term(j).
  template <class Precedes, class Term>
  SIGMAX_INLINE void sum_before(Side* sums, Precedes precedes, Term term) {
    for (Index c = 0; c < n_; ++c) {
      Side sum = {};
      for (Index j = 0; j < n_; ++j) sum = sum + only_where(precedes(j, c), term(j));
      sums[c] = sum;
    }
  }

  Side kept_top() const {
    Side top = all_of(kMinusInfinity);
    for (Index c = 0; c < n_; ++c) top = larger(kept_[c], top);
    return top;
  }

  void note_doubt(Choice close) { doubtful_ = choose(close, all_of(1.0), doubtful_); }

  void top_k(Side k) {
    Side above[kShort];
    sum_before(above, [&](Index j, Index c) SIGMAX_ALWAYS { return kept_[j] > kept_[c]; },
               [&](Index) SIGMAX_ALWAYS { return all_of(1.0); });
    drop_if([&](Index c) SIGMAX_ALWAYS { return above[c] >= k; });
  }

  // Drops a class where those before it have the mass already, and notes where that is too close to tell.
  void drop_beyond(const Side* before, Side p) {
    const Side target = p * mass_, error = mass_ * kSumError;
    const Choice counts = (p > 0.0) & (p < 1.0);
    for (Index c = 0; c < n_; ++c)
      note_doubt(counts & is_kept(c) & (before[c] > 0.0) & (magnitude(before[c] - target) <= error));
    drop_if([&](Index c) SIGMAX_ALWAYS { return (before[c] > 0.0) & (before[c] >= target) & (p < 1.0); });
  }

  void top_p(Side p) {
    exponentials();
    Side above[kShort];
    sum_before(above, [&](Index j, Index c) SIGMAX_ALWAYS { return kept_[j] > kept_[c]; },
               [&](Index j) SIGMAX_ALWAYS { return e_[j]; });
    drop_beyond(above, p);
  }

  void typical_p(Side p) {
    exponentials();
    Side mean = {}, distance[kShort], before[kShort] = {}, nearest = all_of(kInfinity);
    for (Index c = 0; c < n_; ++c)
      mean = mean + only_where(is_kept(c) & (e_[c] > 0.0), e_[c] * (kept_[c] - top_));
    mean = mean / mass_;
    for (Index c = 0; c < n_; ++c) {
      distance[c] = magnitude((kept_[c] - top_) - mean);
      nearest = choose(distance[c] < nearest, distance[c], nearest);
    }
    sum_before(before, [&](Index j, Index c) SIGMAX_ALWAYS { return distance[j] < distance[c]; },
               [&](Index j) SIGMAX_ALWAYS { return e_[j]; });  // those that are not kept are infinitely far
    for (Index c = 0; c < n_; ++c) {
      const Side error = (distance[c] - mean) * kSumError;
      for (Index j = 0; j < c; ++j)
        note_doubt((magnitude(distance[j] - distance[c]) <= error) & is_kept(j) & is_kept(c) & (kept_[j] != kept_[c]) &
                   (p < 1.0));
    }
    drop_beyond(before, p);
    drop_if([&](Index c) SIGMAX_ALWAYS { return (p <= 0.0) & (distance[c] > nearest); });
  }

  // Drops what does not reach a threshold that is known to within an error.
  void drop_below(Side threshold, Side error) {
    const Side top = kept_top();
    for (Index c = 0; c < n_; ++c) note_doubt((magnitude(kept_[c] - threshold) <= error) & (kept_[c] < top));
    drop_if([&](Index c) SIGMAX_ALWAYS { return (kept_[c] < threshold) & (kept_[c] < top); });
  }

  static SIGMAX_NOINLINE Side logarithm(Side p) {
    for (Index r = 0; r < kSide; ++r) p.set(r, p[r] > 0.0 ? __builtin_log(p[r]) : kMinusInfinity);
    return p;
  }

  void min_p(Side p) {
    const Side top = kept_top(), depth = logarithm(p) * temperature_;
    const Side error = (magnitude(top) - depth) * kThresholdError;
    drop_below(top + depth, only_where((p > 0.0) & (p < 1.0), error));
  }

  void epsilon(Side p) {
    exponentials();
    const Side log_p = logarithm(p), log_mass = logarithm(mass_), depth = (log_p + log_mass) * temperature_;
    const Side relative = (log_mass - log_p) * kThresholdError + kSumError;
    const Side error = relative * temperature_ + (magnitude(top_) + magnitude(depth)) * kThresholdError;
    drop_below(top_ + depth, only_where(p > 0.0, error));
  }

  void top_n_sigma(Side n) {
    const Side top = kept_top();
    Side count = {}, spread = {}, mean = {}, variance = {};
    for (Index c = 0; c < n_; ++c) {
      const Side depth = top - kept_[c];
      spread = choose((depth > spread) & (depth < kInfinity), depth, spread);
      count = count + only_where(is_kept(c), all_of(1.0));
    }
    const Choice counts = (n < kInfinity) & (spread > 0.0);
    const Side scale = choose(counts, spread, 1.0);
    for (Index c = 0; c < n_; ++c) mean = mean + only_where(is_kept(c), (kept_[c] - top) / scale);
    mean = mean / count;
    for (Index c = 0; c < n_; ++c) {
      const Side deviation = (kept_[c] - top) / scale - mean;
      variance = variance + only_where(is_kept(c), deviation * deviation);
    }
    variance = variance / count;
    SIGMAX_EACH_PART for (int lane = 0; lane < kLanes; ++lane) variance.at[p][lane] = __builtin_sqrt(variance.at[p][lane]);
    const Side depth = n * scale * variance;
    const Side error = depth * kSumError + (magnitude(top) + spread) * kThresholdError;
    note_doubt(counts & ((spread > 0x1p1023) | (spread < 0x1p-960) | (top - spread < -0x1p1023)));
    drop_below(choose(counts, top - depth, kMinusInfinity), only_where(counts, error));
  }

  template <class S>
  void settle() {
    for (Index r = 0; r < rows_; ++r) {
      if (is_settled_without<S>(call_, first_ + r, nan_[r] > 0.0, empty_[r] > 0.0)) continue;
      call_.outcome[first_ + r] = doubtful_[r] > 0.0 ? kDoubtful : kSettled;
    }
  }

  bool has_result(Index r) const { return call_.outcome[first_ + r] == kSettled; }

  void log_mass() {
    exponentials();
    Side removed = {};
    for (Index c = 0; c < n_; ++c) removed = removed + choose(is_kept(c), Side{}, e_[c]);
    const Side ratio = removed / mass_;
    for (Index p = 0; p < kParts; ++p) {
      const Vec result = 0.0 - log1p_of(ratio.at[p]);
      for (Index l = 0, r = p * kLanes; l < kLanes && r < rows_; ++l, ++r)
        if (has_result(r)) call_.log_mass[first_ + r] = result[l];
    }
  }

  template <class S>
  void write() {
    typedef typename Stored<S>::Word Word;
    double kept[kShort][kSide];
    for (Index c = 0; c < n_; ++c) SIGMAX_EACH_PART store_vector(kept[c] + p * kLanes, kept_[c].at[p]);
    for (Index r = 0; r < rows_; ++r) {
      if (!has_result(r)) continue;
      const Word* x = static_cast<const Word*>(call_.x) + (first_ + r) * n_;
      Word* out = static_cast<Word*>(call_.kept) + (first_ + r) * n_;
      for (Index c = 0; c < n_; ++c) {
        out[c] = where_kept<S>(kept[c][r] > kMinusInfinity, x[c]);
      }
    }
  }

  // As Row::draw.
  void draw() {
    portable_ |= call_.log_prob != nullptr;
    if (draw_within() || portable_) return;
    portable_ = true;
    has_e_ = false;
    draw_within();
  }

  // Whether no end of a class was too close to a draw.
  bool draw_within() {
    exponentials();
    // The first of the largest is the winner; the others stand before it.
    const Side top = kept_top();
    Side winner = {}, others = {}, whole = {}, through[kShort];
    for (Index c = n_ - 1; c >= 0; --c) winner = choose(kept_[c] == top, all_of(static_cast<double>(c)), winner);
    for (Index c = 0; c < n_; ++c) {
      const Choice wins = winner == static_cast<double>(c);
      others = others + choose(wins, Side{}, only_where(is_kept(c), e_[c]));
      whole = choose(wins, e_[c], whole);
      through[c] = others;
    }
    const Side total = (others + whole) * 0x1p-64, error = (others + whole) * kSumError;
    Choice close = {};
    for (Index d = 0; d < call_.draws; ++d) {
      double column[kSide];
      for (Index r = 0; r < kSide; ++r)
        column[r] = static_cast<double>(call_.bits[(first_ + (r < rows_ ? r : 0)) * call_.draws + d]);
      Side t;
      SIGMAX_EACH_PART t.at[p] = sigmax::load(column + p * kLanes);
      t = t * total;
      Side chosen = winner;
      for (Index c = n_ - 1; c >= 0; --c) {
        chosen = choose(through[c] > t, all_of(static_cast<double>(c)), chosen);
        close = close | (magnitude(through[c] - t) <= error);
      }
      SIGMAX_EACH_PART store_vector(column + p * kLanes, chosen.at[p]);
      for (Index r = 0; r < rows_; ++r)
        call_.drawn[(first_ + r) * call_.draws + d] = static_cast<std::int64_t>(column[r]);
    }
    if (call_.log_prob) log_probs(top, others, whole);
    return !any(close);
  }

  void log_probs(Side top, Side others, Side whole) {
    for (Index r = 0; r < rows_; ++r) {
      const double log_total = log1p_of(others[r] / whole[r]);
      const Index start = (first_ + r) * call_.draws;
      for (Index k = start; k < start + call_.draws; ++k)
        call_.log_prob[k] = (x_[call_.drawn[k]][r] - top[r]) / temperature_[r] - log_total;
    }
  }

  const SamplingCall& call_;
  Index n_, first_, rows_;
  Side x_[kShort], kept_[kShort], e_[kShort];
  Side top_, nan_, empty_ = {}, doubtful_ = {}, inverse_, temperature_, mass_;
  bool has_e_ = false, has_mass_ = false;
  bool portable_ = call_.type == 3;
};

template <class S>
void sample_tiles(const SamplingCall& call, Index first, Index last) {
  for (Index r = first; r < last; r += kSide) Tile(call, r, last - r < kSide ? last - r : kSide).template run<S>();
}

// ---------------------------------------------------------------- speculation

// The target's distribution q is reached from the draft's p: its token is accepted with probability min(1, q/p), and
// where it is not, a class is drawn from max(q - p, 0) (Leviathan et al. 2023). Where q is close to p, log(q/p) comes of
// the differences of logits, not of two logarithms, and q - p = p·(q/p - 1) keeps its digits.
template <class V>
class Speculation {
 public:
  Speculation(const V* draft, const V* target, Index n, double draft_temperature, double target_temperature, double* weights)
      : draft_(draft), target_(target), n_(n), weights_(weights), draft_inverse_(1.0 / draft_temperature),
        target_inverse_(1.0 / target_temperature), same_(draft_temperature == target_temperature) {
    Index winner = 0;
    for (Index i = 0; i < n; ++i)
      if (draft[i] > draft[winner]) winner = i;
    double top = kMinusInfinity;
    for (Index i = 0; i < n; ++i) top = target[i] > top ? target[i] : top;
    draft_top_ = draft[winner];
    // The draft's winner is the common origin, unless it is far from likely in the target.
    target_top_ = (top - target[winner]) * target_inverse_ < 1.0 ? static_cast<double>(target[winner]) : top;
    const double mass = sum_of(n, [&](Index i) SIGMAX_ALWAYS { return exp_of(of_draft(i)); });
    const double excess = sum_of(n, [&](Index i) { return difference(i, 0.0, 1.0); });
    growth_ = excess / mass;  // Σ target / Σ draft - 1
    log_growth_ = log1p_of(growth_);
  }

  // Whether a share, uniform in [0, 1), is below q/p of the token.
  bool accepts(Index token, double share) const {
    if (!(target_[token] > kMinusInfinity)) return false;
    const double log_ratio = gap(token) - log_growth_;
    return log_ratio >= 0.0 || share < exp_of(log_ratio);
  }

  Index draw(double share) const {
    double mass = fill(false);
    if (!(mass > 0.0)) mass = fill(true);  // p and q are the same to the last digit: rounding alone leads here
    const double t = share * mass;
    double running = 0.0;
    Index last = 0;
    for (Index start = 0; start < n_; start += kBlock) {
      const Index size = n_ - start < kBlock ? n_ - start : kBlock;
      const double block = block_sum(size, [&](Index i) SIGMAX_ALWAYS { return weights_[start + i]; });
      const bool ends = running + block > t;
      double within = 0.0;
      for (Index i = start; i < start + size && (ends || start + kBlock >= n_); ++i) {
        within += weights_[i];
        if (weights_[i] > 0.0) last = i;
        if (running + within > t) return i;
      }
      if (ends) return last;
      running += block;
    }
    return last_possible();
  }

 private:
  double of_draft(Index i) const { return (draft_[i] - draft_top_) * draft_inverse_; }
  double of_target(Index i) const { return (target_[i] - target_top_) * target_inverse_; }

  // The logarithm of target over draft, of a class that both have, up to log_growth_.
  double gap(Index i) const {
    return same_ ? ((static_cast<double>(target_[i]) - draft_[i]) - (target_top_ - draft_top_)) * target_inverse_
                 : of_target(i) - of_draft(i);
  }

  // e^target·scale - e^draft; scale is e^-shift.
  double difference(Index i, double shift, double scale) const {
    const bool in_draft = draft_[i] > kMinusInfinity, in_target = target_[i] > kMinusInfinity;
    if (in_draft && in_target) {
      const double log_ratio = gap(i) - shift;
      if (__builtin_fabs(log_ratio) <= 0.5) return exp_of(of_draft(i)) * expm1_small(log_ratio);
    }
    return (in_target ? exp_of(of_target(i)) * scale : 0.0) - (in_draft ? exp_of(of_draft(i)) : 0.0);
  }

  double fill(bool with_target) const {
    const double scale = 1.0 / (1.0 + growth_);
    for (Index i = 0; i < n_; ++i) {
      const double weight = with_target ? (target_[i] > kMinusInfinity ? exp_of(of_target(i)) : 0.0)
                                        : difference(i, log_growth_, scale);
      weights_[i] = weight > 0.0 ? weight : 0.0;
    }
    return sum_of(n_, [&](Index i) SIGMAX_ALWAYS { return weights_[i]; });
  }

  Index last_possible() const {
    Index i = n_ - 1;
    while (i > 0 && !(weights_[i] > 0.0)) --i;
    return i;
  }

  const V *draft_, *target_;
  Index n_;
  double* weights_;
  double draft_inverse_, target_inverse_;
  bool same_;
  double draft_top_, target_top_, growth_, log_growth_;
};

// Infinite logits share the probability.
template <class V>
const V* without_infinities(const V* x, Index n, V* out) {
  bool infinite = false;
  for (Index i = 0; i < n; ++i) infinite |= x[i] == kInfinity;
  if (!infinite) return x;
  for (Index i = 0; i < n; ++i) out[i] = x[i] < kInfinity ? static_cast<V>(kMinusInfinity) : V{0};
  return out;
}

template <class S>
void speculate_row(const SpeculationCall& call, Index r, double* memory) {
  typedef typename Stored<S>::Value V;
  const Index n = call.classes;
  V *first = reinterpret_cast<V*>(memory), *second = reinterpret_cast<V*>(memory + n);
  const V* draft = without_infinities(values_of(static_cast<const S*>(call.draft) + r * n, n, first), n, first);
  const V* target = without_infinities(values_of(static_cast<const S*>(call.target) + r * n, n, second), n, second);
  const Speculation<V> speculation(draft, target, n, at(call.draft_temperature, r), at(call.target_temperature, r),
                                   memory + 2 * n);
  const double acceptance = static_cast<double>(call.bits[2 * r]) * 0x1p-64;
  const double share = static_cast<double>(call.bits[2 * r + 1]) * 0x1p-64;
  call.accepted[r] = speculation.accepts(call.token[r], acceptance);
  call.residual[r] = call.accepted[r] ? -1 : speculation.draw(share);
}

// ---------------------------------------------------------------- the table

template <class S>
void sample_rows(const SamplingCall& call, Index first, Index last, double* scratch) {
  if (call.classes <= kShort && call.replace) return sample_tiles<S>(call, first, last);
  for (Index r = first; r < last; ++r) sample_row<S>(call, r, scratch);
}

void sample(const SamplingCall& call, Index first, Index last, double* scratch) {
  switch (call.type) {
    case 0: return sample_rows<Half>(call, first, last, scratch);
    case 1: return sample_rows<BFloat>(call, first, last, scratch);
    case 2: return sample_rows<float>(call, first, last, scratch);
    default: return sample_rows<double>(call, first, last, scratch);
  }
}

void speculate(const SpeculationCall& call, Index first, Index last, double* scratch) {
  for (Index r = first; r < last; ++r) {
    switch (call.type) {
      case 0: speculate_row<Half>(call, r, scratch); break;
      case 1: speculate_row<BFloat>(call, r, scratch); break;
      case 2: speculate_row<float>(call, r, scratch); break;
      default: speculate_row<double>(call, r, scratch);
    }
  }
}

}  // namespace
}  // namespace sigmax

extern "C" __attribute__((visibility("default"))) const sigmax::SamplingKernels SIGMAX_TABLE(SIGMAX_LEVEL);
const sigmax::SamplingKernels SIGMAX_TABLE(SIGMAX_LEVEL) = {SIGMAX_NAME(SIGMAX_LEVEL), sigmax::scratch_size,
                                                            sigmax::sample, sigmax::speculate};
