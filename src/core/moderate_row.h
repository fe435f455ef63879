// Moderate rows in contiguous memory: classes in lanes.
#pragma once

#include "moderate.h"

namespace sigmax {
namespace {

// out = of(x) for n >= kBlock numbers, where out may be x: the last block, which overlaps others, is computed first.
template <class S, class Of>
SIGMAX_INLINE void map_row(const S* x, std::ptrdiff_t n, S* out, Of of) {
  typedef typename Arithmetic<S>::T T;
  constexpr int lanes = kBlock<T> / kBlockVectors;
  const std::ptrdiff_t tail = n - kBlock<T>;
  Lanes<T> last[kBlockVectors];
  SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) last[k] = of(load_lanes(x + tail + k * lanes));
  for (std::ptrdiff_t i = 0; i + lanes <= n; i += lanes) store_lanes(out + i, of(load_lanes(x + i)));
  SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) store_lanes(out + tail + k * lanes, last[k]);
}

// A row of n >= kBlock classes in contiguous memory. Class i goes to lane i mod kBlock; of a last block that is not
// whole, class n - k goes to lane kBlock - k. Terms are kept block by block, the high parts first.
template <class S>
struct ModerateRow {
  typedef typename Arithmetic<S>::T T;
  typedef typename Arithmetic<S>::W W;
  typedef Lanes<T> V;
  static constexpr int kVectorLanes = kBlock<T> / kBlockVectors;

  const S* x;
  const S *next, *out;  // what is read, and what is written, later: memory brings it while this row is computed
  std::ptrdiff_t n;

  static std::ptrdiff_t terms_size(std::ptrdiff_t n) { return 2 * (n + kBlock<T>); }

  // NaN is passed over: what it becomes in the exponential is not in the window.
  SIGMAX_INLINE T largest() const {
    V m[kBlockVectors];
    SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) m[k] = load_lanes(x + n - kBlock<T> + k * kVectorLanes);
    for (std::ptrdiff_t i = 0; i + kBlock<T> <= n; i += kBlock<T>)
      SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) {
        V v = load_lanes(x + i + k * kVectorLanes);
        m[k] = v > m[k] ? v : m[k];
      }
    T lanes[kBlock<T>];
    SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) store_vector(lanes + k * kVectorLanes, unfused(m[k]));
    Vec parts[kBlock<T> / kLanes];
    SIGMAX_UNROLL for (int k = 0; k < kBlock<T> / kLanes; ++k) parts[k] = load(lanes + k * kLanes);
    return static_cast<T>(fold<kBlock<T> / kLanes>(parts, [](Vec a, Vec b) { return max(a, b); })[0]);
  }

  // False, and no sums, for a row that is not moderate. `terms` is used if the terms are kept.
  template <bool apart, bool kept>
  bool sums(const Scale<T>& scale, T max, T* terms, ModerateSums<W>* result) const {
    V vmax = constant(max), offset = offset_of<T>(vmax, scale.rate);
    TermSum<T, apart> sums[kBlockVectors];
    Integers<T> used = {};
    std::ptrdiff_t whole = n / kBlock<T> * kBlock<T>;
    add_blocks<apart, kept>(scale, vmax, offset, terms, sums, &used);
    if (whole < n)
      SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) {
        V v = load_lanes(x + n - kBlock<T> + k * kVectorLanes);
        PairOf<V> term = exponential<T>(v, offset, scale, used);
        sums[k].add(v, vmax, term, ~lanes_below<T>(kBlock<T> - (n - whole) - k * kVectorLanes));
        if (kept) keep(terms + 2 * whole, k, term);
      }
    if (any(out_of_window<T>(used))) return false;
    result->total = folded(sums);
    if constexpr (apart) {
      result->unit = unit_of(vmax, offset, scale);
      result->total = divide(result->total, result->unit);
      result->ties = splat(count(sums));
    }
    return true;
  }

  // The whole blocks. By itself: beside what folds the sums, GCC keeps them in memory.
  template <bool apart, bool kept>
  SIGMAX_NOINLINE void add_blocks(const Scale<T> scale, V max, V offset, T* terms, TermSum<T, apart>* to,
                                  Integers<T>* to_used) const {
    TermSum<T, apart> sums[kBlockVectors];
    Integers<T> used = {};
    for (std::ptrdiff_t i = 0; i + kBlock<T> <= n; i += kBlock<T>) {
      __builtin_prefetch(next + i);
      __builtin_prefetch(out + i, 1);
      SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) {
        V v = load_lanes(x + i + k * kVectorLanes);
        PairOf<V> term = exponential<T>(v, offset, scale, used);
        sums[k].add(v, max, term);
        if (kept) keep(terms + 2 * i, k, term);
        if (renormalizes_after<T>(i)) sums[k].renormalize();
      }
    }
    SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) to[k] = sums[k];
    *to_used = used;
  }

  static SIGMAX_INLINE void keep(T* terms, int k, PairOf<V> term) {
    store_vector(terms + k * kVectorLanes, term.hi);
    store_vector(terms + kBlock<T> + k * kVectorLanes, term.lo);
  }

  template <bool apart>
  static SIGMAX_INLINE W folded(const TermSum<T, apart>* sums) {
    constexpr int wide = kBlock<T> / kLanes;
    T hi[kBlock<T>], lo[kBlock<T>];
    SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) {
      store_vector(hi + k * kVectorLanes, sums[k].sum.hi);
      store_vector(lo + k * kVectorLanes, sums[k].sum.lo);
    }
    W parts[wide];
    SIGMAX_UNROLL for (int k = 0; k < wide; ++k)
      parts[k] = joined(hi + k * kLanes, lo + k * kLanes, TermSum<T, apart>::kStart);
    return fold<wide>(parts, plus<W>);
  }

  template <bool apart>
  static SIGMAX_INLINE double count(const TermSum<T, apart>* sums) {
    Integers<T> ties = {};
    SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) ties += sums[k].ties;
    return static_cast<double>(sum_of_lanes(ties));
  }

  // What the largest logit would add.
  static SIGMAX_INLINE W unit_of(V max, V offset, const Scale<T>& scale) {
    Integers<T> used = {};
    PairOf<V> term = exponential<T>(max, offset, scale, used);
    T hi[kBlock<T>], lo[kBlock<T>];
    store_vector(hi, term.hi);
    store_vector(lo, term.lo);
    return joined(hi, lo, 0);
  }

  static SIGMAX_INLINE PairOf<V> pair_of(W x) {
    T hi[kLanes], lo[kLanes];
    split(x, hi, lo);
    return {constant(hi[0]), constant(lo[0])};
  }

  // Terms times a factor, rounded once: kept ones, ...
  static SIGMAX_NOINLINE void write(const T* terms, std::ptrdiff_t n, W times, S* out) {
    const PairOf<V> factor = pair_of(times);
    std::ptrdiff_t whole = n / kBlock<T> * kBlock<T>;
    for (std::ptrdiff_t i = 0; i < whole; i += kBlock<T>) write_block(terms + 2 * i, factor, out + i);
    if (whole < n) write_block(terms + 2 * whole, factor, out + n - kBlock<T>);
  }

  static SIGMAX_INLINE void write_block(const T* terms, PairOf<V> factor, S* out) {
    SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) {
      const T* term = terms + k * kVectorLanes;
      PairOf<V> pair = {load_vector<V>(term), load_vector<V>(term + kBlock<T>)};
      store_lanes(out + k * kVectorLanes, rounded_product(pair, factor));
    }
  }

  // ... or computed once more; `to` may be x.
  SIGMAX_NOINLINE void write_again(const Scale<T> scale, T max, W times, S* to) const {
    const PairOf<V> factor = pair_of(times);
    const V offset = offset_of<T>(constant(max), scale.rate);
    Integers<T> used = {};
    map_row(x, n, to, [&](V v) SIGMAX_ALWAYS { return rounded_product(exponential<T>(v, offset, scale, used), factor); });
  }
};

// ---------------------------------------------------------------- log-probabilities

// log p = x/T - shift, shift = max/T + log Σ e^((x - max)/T), with the numbers of rows as pairs: a class that is not
// the largest has p <= 1/2, and |log p| >= log 2 is far above the errors of the pairs. Of a confident row's largest,
// nothing would be left: it has its own number.
template <class V>
struct LogProbability {
  V max, beta, beta_rest, shift, shift_rest, of_max;

  SIGMAX_INLINE V of(V x) const {
    V p = x * beta;
    V p_rest = mul_add(x, beta_rest, mul_add(x, beta, -p));
    V difference = p - shift, part = difference - p;
    V error = (p - (difference - part)) - (shift + part);
    return x == max ? of_max : difference + (error + (p_rest - shift_rest));
  }
};

// The same for kBlock rows.
template <class T>
struct LogProbabilities {
  alignas(64) T max[kBlock<T>], beta[kBlock<T>], beta_rest[kBlock<T>];
  alignas(64) T shift[kBlock<T>], shift_rest[kBlock<T>], of_max[kBlock<T>];

  // kLanes rows from `first` on.
  template <class W>
  SIGMAX_INLINE void set(int first, Vec row_max, W row_beta, W log_total) {
    store(max + first, row_max);
    split(row_beta, beta + first, beta_rest + first);
    split(add(multiply(row_beta, row_max), log_total), shift + first, shift_rest + first);
    store(of_max + first, -rounded(log_total));
  }

  SIGMAX_INLINE LogProbability<Lanes<T>> row(int i) const {
    return {constant(max[i]),   constant(beta[i]),       constant(beta_rest[i]),
            constant(shift[i]), constant(shift_rest[i]), constant(of_max[i])};
  }
  SIGMAX_INLINE LogProbability<Lanes<T>> rows(int first) const {
    typedef Lanes<T> V;
    return {load_vector<V>(max + first),   load_vector<V>(beta + first),       load_vector<V>(beta_rest + first),
            load_vector<V>(shift + first), load_vector<V>(shift_rest + first), load_vector<V>(of_max + first)};
  }

  // One row of n classes; `out` may be x.
  template <class S>
  SIGMAX_NOINLINE static void write(const LogProbability<Lanes<T>> log, const S* x, std::ptrdiff_t n, S* out) {
    map_row(x, n, out, [&](Lanes<T> v) SIGMAX_ALWAYS { return log.of(v); });
  }
};

}  // namespace
}  // namespace sigmax
