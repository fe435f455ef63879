// Moderate rows side by side in memory: rows in lanes.
#pragma once

#include "moderate_row.h"

namespace sigmax {
namespace {

// kBlock rows side by side, of `n` classes `x_stride` bytes apart, computed range by range of the classes. With
// lanes = kBlock terms are added in the order of ModerateRow, in as many sums as it has lanes: the same bits. With
// lanes = 1, for few classes, they are added in class order.
template <class S, bool apart, bool kept, int lanes>
struct ModerateColumns {
  typedef typename Arithmetic<S>::T T;
  typedef typename Arithmetic<S>::W W;
  typedef Lanes<T> V;
  typedef std::ptrdiff_t Index;
  static constexpr int kVectorLanes = kBlock<T> / kBlockVectors, kGroups = kBlock<T> / kLanes;

  const char* x;
  Index x_stride, n;
  const Scale<T>* scale;  // one per vector of rows
  T* terms;               // room for those of all classes where they are kept, or null: computed once more
  V max[kBlockVectors], offset[kBlockVectors];
  Integers<T> used[kBlockVectors] = {};
  TermSum<T, apart> lane_sums[kBlockVectors][lanes];
  alignas(64) T outside[kBlock<T>];  // 1 for a row that is not moderate, else 0
  ModerateSums<W> sums[kGroups];

  SIGMAX_INLINE V logits(Index j, int k) const {
    return load_lanes(reinterpret_cast<const S*>(x + j * x_stride) + k * kVectorLanes);
  }
  // Classes far apart in memory are beyond what the hardware foresees.
  static constexpr Index kAhead = 64;

  SIGMAX_NOINLINE void find_largest(Index begin, Index end) {
    V m[kBlockVectors];
    SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) m[k] = begin == 0 ? logits(0, k) : max[k];
    for (Index j = begin; j < end; ++j) {
      __builtin_prefetch(x + (j + kAhead) * x_stride);
      SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) {
        V v = logits(j, k);
        m[k] = v > m[k] ? v : m[k];
      }
    }
    SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) {
      max[k] = unfused(m[k]);
      offset[k] = offset_of<T>(max[k], scale[k].rate);
    }
  }

  // After the largest of all classes were found. The numbers of the rows are copied first: memory would be asked for
  // them again after every store.
  SIGMAX_NOINLINE void add(Index begin, Index end) {
    for (int k = 0; k < kBlockVectors; ++k) {
      const Scale<T> own = scale[k];
      const V largest = max[k], shift = offset[k];
      const char* from = x + k * kVectorLanes * sizeof(S);
      T* to = terms;
      Integers<T> integers = used[k];
      auto add_class = [&](Index j, TermSum<T, apart>& sum) SIGMAX_ALWAYS {
        V v = load_lanes(reinterpret_cast<const S*>(from + j * x_stride));
        PairOf<V> term = exponential<T>(v, shift, own, integers);
        sum.add(v, largest, term);
        if (kept && to) reinterpret_cast<PairOf<V>*>(to)[j * kBlockVectors + k] = term;
      };
      if constexpr (lanes == 1)
        add_in_order(lane_sums[k][0], begin, end, add_class);
      else
        add_in_lanes(lane_sums[k], begin, end, add_class);
      used[k] = integers;
    }
  }

  template <class Add>
  static SIGMAX_INLINE void add_in_order(TermSum<T, apart>& total, Index begin, Index end, Add add_class) {
    TermSum<T, apart> sum = total;
    for (Index j = begin; j < end; ++j) add_class(j, sum);
    total.sum = {unfused(sum.sum.hi), unfused(sum.sum.lo)};
    total.ties = sum.ties;
  }

  template <class Add>
  SIGMAX_INLINE void add_in_lanes(TermSum<T, apart>* sums, Index begin, Index end, Add add_class) const {
    Index whole = n / lanes * lanes;
    for (Index j = begin; j < end; ++j) {
      Index lane = j < whole ? j % lanes : j - (n - lanes);
      add_class(j, sums[lane]);
      if (j < whole && renormalizes_after<T>(j - lane)) sums[lane].renormalize();
    }
  }

  // Whether all rows are moderate.
  SIGMAX_NOINLINE bool finish() {
    Integers<T> all = {};
    SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) {
      Integers<T> bad = out_of_window<T>(used[k]) | ~mask_bits<T>(abs_lanes(max[k]) <= scale[k].limit);
      store_vector(outside + k * kVectorLanes, only_in_lanes(bad, constant(T{1})));
      all |= bad;
    }
    for (int group = 0; group < kGroups; ++group) sums[group] = folded(group);
    if constexpr (apart) divide_by_units();
    return !any(all);
  }

  // The sums of kLanes rows.
  SIGMAX_INLINE ModerateSums<W> folded(int group) const {
    const int k = group * kLanes / kVectorLanes, first = group * kLanes % kVectorLanes;
    W parts[lanes];
    Integers<T> ties = {};
    for (int lane = 0; lane < lanes; ++lane) {
      const TermSum<T, apart>& sum = lane_sums[k][lane];
      parts[lane] = joined(lane_pointer(sum.sum.hi) + first, lane_pointer(sum.sum.lo) + first, TermSum<T, apart>::kStart);
      ties += sum.ties;
    }
    SIGMAX_UNROLL for (int step = lanes / 2; step > 0; step /= 2)
      for (int lane = 0; lane < step; ++lane) parts[lane] = plus(parts[lane], parts[lane + step]);
    T counts[kVectorLanes];
    store_vector(counts, __builtin_convertvector(ties, V));
    return {parts[0], load(counts + first)};
  }

  void divide_by_units() {
    alignas(64) T hi[kBlock<T>], lo[kBlock<T>];
    SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) {
      Integers<T> used = {};
      PairOf<V> term = exponential<T>(max[k], offset[k], scale[k], used);
      store_vector(hi + k * kVectorLanes, term.hi);
      store_vector(lo + k * kVectorLanes, term.lo);
    }
    for (int group = 0; group < kGroups; ++group) {
      sums[group].unit = joined(hi + group * kLanes, lo + group * kLanes, 0);
      sums[group].total = divide(sums[group].total, sums[group].unit);
    }
  }

  // What the terms of the rows are multiplied with, as pairs of T.
  struct Factors {
    alignas(64) T hi[kBlock<T>], lo[kBlock<T>];

    SIGMAX_INLINE void set(int group, W factor) { split(factor, hi + group * kLanes, lo + group * kLanes); }
  };

  // Terms times factors; rows that are not moderate keep what `out` has.
  SIGMAX_NOINLINE void write(Index begin, Index end, const Factors& f, char* out, Index out_stride, bool some) const {
    for (int k = 0; k < kBlockVectors; ++k) {
      const PairOf<V> factor = {load_vector<V>(f.hi + k * kVectorLanes), load_vector<V>(f.lo + k * kVectorLanes)};
      const Scale<T> own = scale[k];
      const V shift = offset[k];
      Integers<T> again = {};
      if (terms)
        write_classes(k, begin, end, out, out_stride, some, [&](Index j) SIGMAX_ALWAYS {
          return rounded_product(reinterpret_cast<const PairOf<V>*>(terms)[j * kBlockVectors + k], factor);
        });
      else
        write_classes(k, begin, end, out, out_stride, some, [&](Index j) SIGMAX_ALWAYS {
          return rounded_product(exponential<T>(logits(j, k), shift, own, again), factor);
        });
    }
  }

  SIGMAX_NOINLINE void write(Index begin, Index end, const LogProbabilities<T>& logs, char* out, Index out_stride,
                             bool some) const {
    for (int k = 0; k < kBlockVectors; ++k) {
      const LogProbability<V> log = logs.rows(k * kVectorLanes);
      write_classes(k, begin, end, out, out_stride, some, [&](Index j) SIGMAX_ALWAYS { return log.of(logits(j, k)); });
    }
  }

  template <class Result>
  SIGMAX_INLINE void write_classes(int k, Index begin, Index end, char* out, Index out_stride, bool some,
                                   Result result) const {
    const auto stays = load_vector<V>(outside + k * kVectorLanes) != 0;
    for (Index j = begin; j < end; ++j) {
      prefetch_ahead(j, out, out_stride);
      S* to = reinterpret_cast<S*>(out + j * out_stride) + k * kVectorLanes;
      V v = result(j);
      if (__builtin_expect(some, false)) v = stays ? load_lanes(to) : v;
      store_lanes(to, v);
    }
  }

  SIGMAX_INLINE void prefetch_ahead(Index j, char* out, Index out_stride) const {
    __builtin_prefetch(x + (j + kAhead) * x_stride);
    __builtin_prefetch(out + (j + kAhead) * out_stride, 1);
  }
};

}  // namespace
}  // namespace sigmax
