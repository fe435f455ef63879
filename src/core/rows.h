// The general way of a row: classes in lanes, class i in virtual lane i mod 32, lanes folded 32 -> 1.
#pragma once

#include "labels.h"

namespace sigmax {
namespace {

// The second numbers of classes are stored like x; the weights of labels come from class_weights.
template <class P, class T>
using Second = typename std::conditional<P::weighs_classes, double, T>::type;

// Whether a function writes a number per class or per row; the value of a loss has its own place.
template <class P>
constexpr bool kWrites = !(P::labelled && P::reduces);
template <class P>
SIGMAX_INLINE std::ptrdiff_t outputs(std::ptrdiff_t classes) {
  return !kWrites<P> ? 0 : P::reduces ? 1 : classes;
}

// The second number in the arithmetic of the policy.
template <class P, class W>
using SecondOf = typename std::conditional<P::weighs_classes, W, Vec>::type;

// Seconds: where the second numbers of the classes are, or what makes them.
template <class P, class T, class Seconds = const Second<P, T>*>
struct RowEngine {
  typedef typename Arithmetic<T>::W W;
  typedef Second<P, T> C;
  typedef SecondOf<P, W> VC;
  typedef typename P::template Term<W> Term;
  static constexpr int kWide = sizeof(W) / sizeof(Vec), kKept = P::kept_numbers * kWide;
  static constexpr bool kTakesCotangents = P::per_class && !P::weighted && !P::labelled && kWide == 2;

  const T* x;
  Seconds c;     // null where there are none
  const T* out;  // where `write` will write
  T last_x[kVirtualLanes];  // the last block, where it is not whole, with classes that add nothing
  T last_c[kVirtualLanes];

  template <class V>
  static SIGMAX_INLINE Vec logits(Vec x, V) { return x; }
  static SIGMAX_INLINE Vec logits(Vec x, Vec c) {
    return P::weighted ? select(c != 0.0, x, splat(-kInfinity)) : x;
  }

  // To be called before all else, and when x or c change: a processor reads in pieces slowly what it has just written.
  void pad(std::ptrdiff_t n) {
    std::ptrdiff_t rest = n % kVirtualLanes;
    if (rest == 0) return;
    copy_padded(last_x, x + n - rest, rest, P::padding);
    pad_seconds(c, n, rest);
  }
  void pad_seconds(const C* c, std::ptrdiff_t n, std::ptrdiff_t rest) {
    if constexpr (P::per_class && !P::weighs_classes)
      copy_padded(last_c, c + n - rest, rest, P::of_two_rows ? P::padding : 0.0);
  }
  template <bool soft>
  void pad_seconds(const SharedWeights<T, soft>& weights, std::ptrdiff_t n, std::ptrdiff_t rest) {
    if (soft) copy_padded(last_c, weights.q + n - rest, rest, 0.0);
  }
  template <class N>
  static void copy_padded(N* to, const N* from, std::ptrdiff_t n, double padding) {
    for (int k = 0; k < kVirtualLanes; k += kLanes) store(to + k, splat(padding));
    std::memcpy(to, from, n * sizeof(N));
  }

  // Calls body(x, c, i) for blocks of kVirtualLanes classes.
  template <class Body>
  SIGMAX_INLINE void for_each_block(std::ptrdiff_t begin, std::ptrdiff_t end, Body body) const {
    for (std::ptrdiff_t i = begin; i < end; i += kVirtualLanes) {
      const T* block_x = x + i;
      Seconds block_c = from(c, i);
      if (__builtin_expect(i + kVirtualLanes > end, 0)) {
        block_x = last_x;
        take_last(block_c);
      }
      body(block_x, block_c, i);
    }
  }

  // The seconds from class i on, ...
  static SIGMAX_INLINE const C* from(const C* c, std::ptrdiff_t i) {
    return P::per_class ? c + i * (P::weighs_classes ? kWide : 1) : nullptr;
  }
  template <bool soft>
  static SIGMAX_INLINE SharedWeights<T, soft> from(const SharedWeights<T, soft>& weights, std::ptrdiff_t i) {
    return weights.from(i);
  }
  // ... those of the last block; stored weights are padded as they are, ...
  SIGMAX_INLINE void take_last(const C*& c) const {
    if constexpr (P::per_class && !P::weighs_classes) c = last_c;
  }
  template <bool soft>
  SIGMAX_INLINE void take_last(SharedWeights<T, soft>& weights) const {
    if (soft) weights.q = last_c;
  }
  // ... and the k-th vector of a block.
  static SIGMAX_INLINE VC second(const C* c, int k) {
    if constexpr (P::weighs_classes)
      return load_wide<W>(c + k * kLanes * kWide);
    else
      return P::per_class ? load(c + k * kLanes) : Vec{};
  }
  template <bool soft>
  static SIGMAX_INLINE Vec second(const SharedWeights<T, soft>& weights, int k) {
    return weights.vector(k);
  }

  // While this pass computes, memory brings the next row, if it follows in memory, and this row's place for results.
  static SIGMAX_INLINE void prefetch(const T* next, const T* result) {
    constexpr int line = 64 / sizeof(T);
    SIGMAX_UNROLL for (int k = 0; k < kVirtualLanes; k += line) {
      __builtin_prefetch(next + k);
      __builtin_prefetch(result + k, 1);
    }
  }

  // All loads of a block come before its stores: the compiler cannot know that they never meet.
  template <int n>
  static SIGMAX_INLINE void load_vectors(const T* x, const Seconds& c, int first, Vec* vx, VC* vc) {
    SIGMAX_UNROLL for (int k = 0; k < n; ++k) {
      vc[k] = second(c, first + k);
      vx[k] = logits(load(x + (first + k) * kLanes), vc[k]);
    }
  }

  // The terms of n vectors; `row(k)` is that of the k-th. True where some had to be mended: see divergence.h.
  template <int n, class RowAt>
  static SIGMAX_INLINE bool set_terms(Term* term, const Vec* x, const VC* c, RowAt row) {
    if constexpr (P::of_two_rows) {
      SIGMAX_UNROLL for (int k = 0; k < n; ++k) term[k] = P::template term<W>(x[k], c[k], row(k));
      Mask rare = {};
      SIGMAX_UNROLL for (int k = 0; k < n; ++k) rare |= P::is_rare(x[k], c[k], row(k));
      if (__builtin_expect(!any(rare), 1)) return false;
      Term mended[n];  // copies: what a loop steps through lives in memory
      Vec mended_x[n], mended_c[n];
      SIGMAX_UNROLL for (int k = 0; k < n; ++k) mended[k] = term[k], mended_x[k] = x[k], mended_c[k] = c[k];
      for (int k = 0; k < n; ++k) P::mend(mended[k], mended_x[k], mended_c[k], row(k));
      SIGMAX_UNROLL for (int k = 0; k < n; ++k) term[k] = mended[k];
      return true;
    } else {
      SIGMAX_UNROLL for (int k = 0; k < n; ++k) term[k] = P::template term<W>(x[k], row(k));
      return false;
    }
  }

  // NaN is passed over; it comes out of the sums.
  SIGMAX_NOINLINE Partial largest(std::ptrdiff_t begin, std::ptrdiff_t end) const {
    typedef decltype(load_comparable(x)) V;
    V largest[kVectors], seconds[kVectors];
    Vec cotangents[kVectors] = {};
    SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) largest[k] = seconds[k] = V{} - static_cast<float>(kInfinity);
    for_each_block(begin, end, [&](const T* x, const Seconds& c, std::ptrdiff_t) SIGMAX_ALWAYS {
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) {
        V v = load_comparable(x + k * kLanes);
        if constexpr (kTakesCotangents) cotangents[k] = max(abs(load(c + k * kLanes)), cotangents[k]);
        if constexpr (P::weighted) v = load_comparable(c + k * kLanes) != 0 ? v : V{} - static_cast<float>(kInfinity);
        largest[k] = v > largest[k] ? v : largest[k];
        if constexpr (P::of_two_rows) {
          V second = load_comparable(c + k * kLanes);
          seconds[k] = second > seconds[k] ? second : seconds[k];
        }
      }
    });
    V m = fold(largest, [](V a, V b) { return a > b ? a : b; });
    Partial partial = {};
    partial.max = m[0];
    if (partial.max == -kInfinity) partial.unordered = has_nan(x, begin, end);
    if constexpr (P::pivoted) partial.pivot = pivot(begin, end, partial.max);
    if constexpr (P::of_two_rows) {
      partial.pivot = fold(seconds, [](V a, V b) { return a > b ? a : b; })[0];
      bool nothing = partial.max == -kInfinity || partial.pivot == -kInfinity;
      if (nothing && (has_nan(x, begin, end) || has_nan(c, begin, end))) partial.unordered = 1.0;
    }
    if (kTakesCotangents) partial.cotangent = fold(cotangents, [](Vec a, Vec b) { return max(a, b); })[0];
    return partial;
  }

  bool has_nan(const T* numbers, std::ptrdiff_t begin, std::ptrdiff_t end) const {
    for (std::ptrdiff_t i = begin; i < end; ++i)
      if (numbers[i] != numbers[i] && !(P::weighted && c[i] == 0)) return true;
    return false;
  }

  // The per-class operand of the first class whose logit is `max`.
  double pivot(std::ptrdiff_t begin, std::ptrdiff_t end, double max) const {
    for (std::ptrdiff_t i = begin; i < end; ++i)
      if (x[i] == max) return c[i];
    return 0.0;
  }

  // `keep` says whether the terms are stored for `write`.
  template <bool keep>
  SIGMAX_NOINLINE Sums<W> sums(std::ptrdiff_t begin, std::ptrdiff_t end, const Row<W>& given, double* terms) const {
    const Row<W> row = given;  // no store can change it
    Sums<W> lanes[kVectors] = {};
    // Of the last block the vectors that have classes, as the widest vectors are: a class that is not there adds e^-700.
    std::ptrdiff_t whole = P::labelled ? end - (end - begin) % kVirtualLanes : end;
    for_each_block(begin, whole, [&](const T* x, const Seconds& c, std::ptrdiff_t i) SIGMAX_ALWAYS {
      prefetch(x + (end - begin), out + i);
      add_vectors<kVectors, keep>(lanes, x, c, 0, row, terms + i * kKept);
    });
    for_each_block(whole, end, [&](const T* x, const Seconds& c, std::ptrdiff_t i) SIGMAX_ALWAYS {
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k)
        if (k * kLanes / kEight * kEight < end - i) add_vectors<1, keep>(lanes, x, c, k, row, terms + i * kKept);
    });
    return folded(lanes);
  }

  // n vectors of a block, from the one of number `first` on.
  template <int n, bool keep>
  static SIGMAX_INLINE void add_vectors(Sums<W>* lanes, const T* x, const Seconds& c, int first, const Row<W>& row,
                                        double* terms) {
    Vec vx[n];
    VC vc[n];
    Term term[n];
    load_vectors<n>(x, c, first, vx, vc);
    bool mended = set_terms<n>(term, vx, vc, [&](int) SIGMAX_ALWAYS -> const Row<W>& { return row; });
    SIGMAX_UNROLL for (int k = 0; k < n; ++k)
      P::template accumulate<W>(lanes[first + k], vx[k], vc[k], term[k], row);
    if constexpr (P::of_two_rows)
      if (mended) SIGMAX_UNROLL for (int k = 0; k < n; ++k) P::count_impossible(lanes[first + k], vx[k], vc[k]);
    if (keep) SIGMAX_UNROLL for (int k = 0; k < n; ++k) P::store_term(terms + (first + k) * kLanes * kKept, term[k]);
  }

  template <bool kept>
  SIGMAX_NOINLINE void write(std::ptrdiff_t begin, std::ptrdiff_t end, const Row<W>& given, const double* terms,
                           T* out) const {
    const Row<W> row = given;
    for_each_block(begin, end, [&](const T* x, const Seconds& c, std::ptrdiff_t i) SIGMAX_ALWAYS {
      T padded[kVirtualLanes];
      bool whole = i + kVirtualLanes <= end;
      T* to = whole ? out + i : padded;
      Vec vx[kVectors], result[kVectors];
      VC vc[kVectors];
      Term term[kVectors];
      load_vectors<kVectors>(x, c, 0, vx, vc);
      if constexpr (kept)
        SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) term[k] = P::template load_term<W>(terms + (i + k * kLanes) * kKept);
      else
        set_terms<kVectors>(term, vx, vc, [&](int) SIGMAX_ALWAYS -> const Row<W>& { return row; });
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) result[k] = P::template apply<W>(vx[k], vc[k], term[k], row);
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) store(to + k * kLanes, result[k]);
      if (!whole) std::memcpy(out + i, padded, (end - i) * sizeof(T));
    });
  }

  // The gradient of the label's class, of logits x and z.
  static T target(T x, T z, const Row<W>& row) {
    Vec vx = splat(x), vz = splat(z);
    Term term;
    set_terms<1>(&term, &vx, &vz, [&](int) SIGMAX_ALWAYS -> const Row<W>& { return row; });
    return static_cast<T>(P::target(term, row)[0]);
  }
};

template <class T>
SIGMAX_INLINE double fill(T* out, std::ptrdiff_t n, double value) {
  for (std::ptrdiff_t i = 0; i < n; ++i) out[i] = static_cast<T>(value);
  return value;
}

// +inf logits share the probability: a row of 0 where x is +inf and -inf elsewhere has the same softmax.
template <class T>
void split_infinite(const T* x, std::ptrdiff_t n, T* finite) {
  for (std::ptrdiff_t i = 0; i < n; ++i)
    finite[i] = x[i] == x[i] ? static_cast<T>(x[i] == kInfinity ? 0.0 : -kInfinity) : x[i];
}

// Where the second row has nothing, but the first has, a label counts alone.
template <class P>
SIGMAX_INLINE bool counts_alone(const Partial& partial) {
  return P::has_target && partial.pivot == -kInfinity;
}

template <class P, class W>
SIGMAX_INLINE Row<W> row_of(Partial partial, RowOptions options) {
  if (counts_alone<P>(partial)) partial.pivot = partial.max, options.weight = 0.0;
  Row<W> row;
  row.max = splat(partial.max);
  row.pivot = row.second_max = splat(partial.pivot);
  row.weight = splat(options.weight);
  row.z_loss = splat(options.z_loss);
  set_temperature(row, splat(options.temperature));
  if (P::per_row)
    set_gain(row, splat(options.cotangent), abs(splat(options.cotangent)));
  else
    set_gain(row, splat(1.0), splat(partial.cotangent));
  return row;
}

// A row whose largest number decides it: nothing in it but -inf and NaN, or an infinite "probability".
template <class P>
SIGMAX_INLINE bool is_decided(const Partial& partial) {
  bool no_second = P::of_two_rows && partial.pivot == -kInfinity && (!P::has_target || partial.unordered != 0.0);
  return partial.max == -kInfinity || (P::of_probabilities && partial.max == kInfinity) || no_second;
}
template <class P>
SIGMAX_INLINE double decided(const Partial& partial) {
  return partial.unordered != 0.0 || P::of_probabilities ? kNaN : P::masked;
}

template <class P, class W>
SIGMAX_INLINE Mask is_nan(const Sums<W>& sums) {
  Vec all = leading(sums.total) + leading(sums.ties);
  if (P::of_two_rows) all = all + leading(sums.mass);
  return all != all;
}

// The output of a row; +inf for one whose +inf logits have a positive sum of weights, where the function says so.
template <class P, class W>
SIGMAX_INLINE double result_of(const Row<W>& row, bool infinite) {
  double result = P::template result<W>(row)[0];
  if (!(P::infinite_at_infinity && infinite)) return result;
  return result > -kInfinity ? kInfinity : kNaN;
}

// The loss of a row without a finite logit: infinite if a label counts, or if the square of its logsumexp does.
SIGMAX_INLINE double loss_of_nothing(const RowOptions& options, double mass) {
  double likelihood = options.weight * mass == 0.0 ? 0.0 : options.weight * mass * kInfinity;
  return options.z_loss == 0.0 ? likelihood : kInfinity;
}

// The divergence of rows of which one has nothing: infinite if the second alone has something; and what a label adds.
SIGMAX_INLINE double divergence_of_nothing(const Partial& partial, const RowOptions& options) {
  double weight = partial.pivot == -kInfinity || options.weight == 0.0 ? options.z_loss : options.weight;
  return weight == 0.0 ? 0.0 : weight * kInfinity;
}

// Where the logsumexp is infinite and its square counts, the gradient is so for the classes that share the probability.
template <class T>
void write_infinite_pull(const T* finite, const RowOptions& options, T* out, std::ptrdiff_t n) {
  for (std::ptrdiff_t i = 0; i < n; ++i)
    if (finite[i] == 0) out[i] = static_cast<T>(options.cotangent * kInfinity);
}

SIGMAX_INLINE std::ptrdiff_t whole_blocks(std::ptrdiff_t n) {
  return (n + kVirtualLanes - 1) / kVirtualLanes * kVirtualLanes;
}
template <class N>
SIGMAX_INLINE double sum_of(const N* numbers, std::ptrdiff_t n) {
  double sum = 0.0;
  for (std::ptrdiff_t i = 0; i < n; ++i) sum += numbers[i];
  return sum;
}

// One whole row: x, c and out contiguous; `terms` has room for the terms, `finite` and `finite_c` for one more row each.
// Returns the loss of a row with labels.
template <class P, class T>
double whole_row(const T* x, const Second<P, T>* c, const RowOptions& options, T* out, std::ptrdiff_t n, double* terms,
                 T* finite, T* finite_c) {
  typedef typename Arithmetic<T>::W W;
  RowEngine<P, T> engine{x, c, P::reduces ? x : out, {}, {}};
  engine.pad(n);
  Partial partial = {};
  if (P::needs_largest) partial = engine.largest(0, n);
  if (is_decided<P>(partial)) {
    fill(out, outputs<P>(n), decided<P>(partial));
    if constexpr (!P::labelled || P::of_probabilities) return kNaN;
    if (partial.unordered != 0.0) return kNaN;
    if constexpr (P::of_two_rows)
      return divergence_of_nothing(partial, options);
    else
      return loss_of_nothing(options, sum_of(c, whole_blocks(n) * static_cast<std::ptrdiff_t>(sizeof(W) / sizeof(Vec))));
  }
  bool infinite = partial.max == kInfinity;
  if (infinite) {
    split_infinite(x, n, finite);
    engine.x = finite;
    partial.max = 0.0;
  }
  if constexpr (P::of_two_rows)
    if (partial.pivot == kInfinity) {
      split_infinite(c, n, finite_c);
      engine.c = finite_c;
      partial.pivot = 0.0;
    }
  if constexpr (P::has_target)
    if (counts_alone<P>(partial)) engine.c = engine.x;
  if (__builtin_expect(engine.x != x || engine.c != c, 0)) engine.pad(n);
  Row<W> row = row_of<P, W>(partial, options);
  Sums<W> sums = engine.template sums<P::keeps_terms>(0, n, row, terms);
  if (any(is_nan<P>(sums))) return fill(out, outputs<P>(n), kNaN);
  if constexpr (P::has_target) sums.gap = difference<W>(row.max, splat(engine.x[options.label]));
  P::template finish<W>(row, sums);
  if constexpr (P::has_target && !P::reduces) {
    T target = engine.target(engine.x[options.label], engine.c[options.label], row);  // before x is overwritten in place
    engine.template write<P::keeps_terms>(0, n, row, terms, out);
    out[options.label] = target;
  } else if constexpr (!P::reduces) {
    engine.template write<P::keeps_terms>(0, n, row, terms, out);
  } else if constexpr (!P::labelled) {
    *out = static_cast<T>(result_of<P>(row, infinite));
  }
  if constexpr (!P::labelled) return 0.0;
  if (P::of_two_rows || !infinite || options.z_loss == 0.0) return row.value[0];
  write_infinite_pull(finite, options, out, outputs<P>(n));
  return kInfinity;
}

}  // namespace
}  // namespace sigmax
