// Rows of moderate logits, in lanes of the stored type itself.
//
// A row is moderate when its largest |x|/T is below kReach and no x/T is more than about kTop·ln 2 below the largest:
// the rows that classifiers and language models make. Other rows go the general way (see rows.h). Which way a row
// goes is decided by its values and its temperature alone.
//
// With n the integer nearest to x/step, step = T·ln 2/8 rounded, the fused difference x - n·step is exact, and so
//   e^(x/T) = 2^(n/8)·e^w,  w = (x - n·step - n·rest)/T,  |w| <= ln 2/16,
// needs no rounded subtraction of the maximum. A term is the pair 2^(n/8) + 2^(n/8)·(e^w - 1), times 2^(kTop - n_max/8):
// a row's terms are its Boltzmann factors times one common number, which cancels. Powers of two are added to exponents
// as integers. A term is exact to 2^-28 (float) or 2^-57 (double); what comes of it is rounded once.
#pragma once

#include <iterator>

#include "fold.h"
#include "lanes.h"

namespace sigmax {
namespace {

// A storage type S is computed in numbers T, the general way in arithmetic W.
template <class S>
struct Arithmetic {
  typedef float T;
  typedef Vec W;
};
template <>
struct Arithmetic<double> {
  typedef double T;
  typedef Pair W;
};

template <class T>
struct Moderate;

template <>
struct Moderate<float> {
  typedef std::uint32_t Word;
  static constexpr int kTop = 80;
  static constexpr Word kRound = 0x4b400000, kWindow = 1024;  // kRoundToInteger as bits; 8·kTop is in the window
  static constexpr double kReach = 0x1p10, kLargestTemperature = 0x1p20;
};

template <>
struct Moderate<double> {
  typedef std::uint64_t Word;
  static constexpr int kTop = 800;
  static constexpr Word kRound = 0x4338000000000000, kWindow = 8192;
  static constexpr double kReach = 0x1p20, kLargestTemperature = 0x1p100;
};

template <class T>
constexpr int kTerms = std::size(Format<T>::kDecay);

// What the exponentials of rows of one temperature have in common; in a tile, of a row per lane.
template <class T>
struct Scale {
  Lanes<T> limit;  // of |x| of a moderate row's largest logit
  Lanes<T> rate, step, rest;
  Lanes<T> series[kTerms<T>];  // e^(u/T) - 1 = u·(series[0] + series[1]·u + ...)
};

// Comparisons as integers of the lanes' size: -1 where true.
SIGMAX_INLINE FloatBits mask_bits(decltype(Floats{} == Floats{}) mask) { return bit_cast<FloatBits>(mask); }
SIGMAX_INLINE Bits mask_bits(Mask mask) { return bit_cast<Bits>(mask); }

template <class V, class I>
SIGMAX_INLINE V only_in_lanes(I mask, V x) {
  return bit_cast<V>(bit_cast<I>(x) & mask);
}
template <class V, class I>
SIGMAX_INLINE PairOf<V> only_in(I mask, PairOf<V> p) {
  return {only_in_lanes(mask, p.hi), only_in_lanes(mask, p.lo)};
}

SIGMAX_INLINE Floats abs_lanes(Floats x) { return bit_cast<Floats>(bit_cast<FloatBits>(x) & 0x7fffffffu); }
SIGMAX_INLINE Vec abs_lanes(Vec x) { return abs(x); }

SIGMAX_INLINE const float* lane_pointer(const Floats& x) { return reinterpret_cast<const float*>(&x); }
SIGMAX_INLINE const double* lane_pointer(const Vec& x) { return reinterpret_cast<const double*>(&x); }

// -1 in the first `count` lanes.
template <class T>
SIGMAX_INLINE Integers<T> lanes_below(std::ptrdiff_t count) {
  constexpr int lanes = sizeof(Lanes<T>) / sizeof(T);
  Lanes<T> index;
  for (int lane = 0; lane < lanes; ++lane) index[lane] = static_cast<T>(lane);
  return mask_bits(index < constant(static_cast<T>(count)));
}

template <class I>
SIGMAX_INLINE std::uint64_t sum_of_lanes(I counts) {
  std::uint64_t sum = 0;
  for (std::size_t lane = 0; lane < sizeof(I) / sizeof(counts[0]); ++lane) sum += counts[lane];
  return sum;
}

// GCC must not merge what computes x with a comparison that follows, nor keep x in memory where it is stored after a
// loop.
template <class V>
SIGMAX_INLINE V unfused(V x) {
#if defined(__x86_64__)
  __asm__("" : "+v"(x));
#endif
  return x;
}

SIGMAX_INLINE Floats rounded_product(PairOf<Floats> a, PairOf<Floats> b) {
  return mul_add(a.hi, b.hi, mul_add(a.hi, b.lo, a.lo * b.hi));
}

// ---------------------------------------------------------------- exponentials

// Temperatures far from 1 are not moderate: step, 1/T and what is left of them could be subnormal.
template <class T>
SIGMAX_INLINE T limit_at(double temperature) {
  constexpr double largest = Moderate<T>::kLargestTemperature;
  bool moderate = temperature <= largest && temperature * largest >= 1.0;
  return static_cast<T>(moderate ? Moderate<T>::kReach * temperature : -1.0);
}

// The powers of 1/T go into the coefficients: a temperature costs nothing per number.
template <class T>
SIGMAX_INLINE void set_temperature(Scale<T>& s, double temperature) {
  constexpr auto& decay = Format<T>::kDecay;
  Pair step = two_product(splat(temperature), splat(kStepDouble));
  T rounded_step = static_cast<T>(step.hi[0]);
  double beta = 1.0 / temperature, power = -beta;
  s.limit = constant(limit_at<T>(temperature));
  s.rate = constant(static_cast<T>(8 * kLog2e * beta));
  s.step = constant(rounded_step);
  s.rest = constant(static_cast<T>((step.hi[0] - rounded_step) + (step.lo[0] + temperature * kStepRestDouble)));
  int k = 0;
  for (Lanes<T>& coefficient : s.series) {
    coefficient = constant(static_cast<T>(decay[k++] * power));
    power *= -beta;
  }
}

// The integer n of the row's largest logit becomes 8·kTop.
template <class T>
SIGMAX_INLINE Lanes<T> offset_of(Lanes<T> max, Lanes<T> rate) {
  Lanes<T> round = constant(Format<T>::kRoundToInteger);
  Lanes<T> n = mul_add(max, rate, round) - round;
  return (round - n) + T{8 * Moderate<T>::kTop};
}

// e^(x/T)·2^(kTop - n_max/8); `used` collects the integers n, as bits.
template <class T>
SIGMAX_INLINE PairOf<Lanes<T>> exponential(Lanes<T> x, Lanes<T> offset, const Scale<T>& s, Integers<T>& used) {
  typedef Format<T> C;
  Lanes<T> t = mul_add(x, s.rate, offset);
  Lanes<T> n = t - offset;
  Lanes<T> u = mul_add(n, -s.rest, mul_add(n, -s.step, x));
  Lanes<T> series = s.series[kTerms<T> - 1];
  SIGMAX_UNROLL_ALL for (int k = kTerms<T> - 2; k >= 0; --k) series = mul_add(u, series, s.series[k]);
  Integers<T> bits = bits_of(t);
  used |= bits;
  Lanes<T> root = bit_cast<Lanes<T>>(look_up(C::kRoots, bits) + (bits << (C::kFractionBits - 3)));
  return {root, root * mul_add(u, series, bit_cast<Lanes<T>>(look_up(C::kRootRests, bits)))};
}

// -1 in the lanes whose integers were not all in the window, as those of NaN and the infinities are not.
template <class T>
SIGMAX_INLINE Integers<T> out_of_window(Integers<T> used) {
  typedef typename Moderate<T>::Word Word;
  return mask_bits((used & ~Word{Moderate<T>::kWindow - 1}) != Integers<T>{} + Moderate<T>::kRound);
}

// ---------------------------------------------------------------- sums

// Above every term: a sum that starts with it is the larger part of every addition.
template <class T>
constexpr T kAboveTerms = static_cast<T>(sizeof(T) == sizeof(float) ? 0x1p81 : 0x1p801);

// Running sums with their rounding errors in the low part: of terms that are smaller than the sum, ...
template <class V>
SIGMAX_INLINE void add_smaller(PairOf<V>& sum, PairOf<V> term) {
  V s = sum.hi + term.hi;
  sum = {s, sum.lo + ((term.hi - (s - sum.hi)) + term.lo)};
}

// ... and of any: the sum of a confident row's losers may be tiny, and has to keep its digits.
template <class V>
SIGMAX_INLINE void add_any(PairOf<V>& sum, PairOf<V> term) {
  V hi = unfused(term.hi);
  V large = sum.hi > hi ? sum.hi : hi, small = sum.hi < hi ? sum.hi : hi;
  V s = large + small;
  sum = {s, sum.lo + ((small - (s - large)) + term.lo)};
}

// What is added up: all terms, or the terms less the ties, which are counted.
template <class T, bool apart>
struct TermSum {
  typedef Lanes<T> V;
  static constexpr T kStart = apart ? 0 : kAboveTerms<T>;

  PairOf<V> sum = {constant(kStart), V{}};
  Integers<T> ties = {};

  SIGMAX_INLINE void add(V x, V max, PairOf<V> term, Integers<T> valid = ~Integers<T>{}) {
    if constexpr (apart) {
      Integers<T> tie = mask_bits(x == max);
      ties -= tie & valid;
      add_any(sum, only_in(~tie & valid, term));
    } else {
      add_smaller(sum, only_in(valid, term));
    }
  }

  // Moves to the high part what it can hold: adding to a low part that is large would cost digits.
  SIGMAX_INLINE void renormalize() {
    V s = sum.hi + sum.lo;
    sum = {s, sum.lo - (s - sum.hi)};
  }
};

// A block: as many numbers as the widest vector has.
template <class T>
constexpr int kBlock = 64 / sizeof(T);
constexpr int kBlockVectors = 64 / SIGMAX_VECTOR_BYTES;

// Sums are renormalized after every eighth block.
template <class T>
SIGMAX_INLINE bool renormalizes_after(std::ptrdiff_t block_begin) {
  return block_begin % (8 * kBlock<T>) == 0;
}

// A sum less what it started with.
SIGMAX_INLINE Vec joined(const float* hi, const float* lo, float start) { return (load(hi) - start) + load(lo); }
SIGMAX_INLINE Pair joined(const double* hi, const double* lo, double start) {
  return two_sum(load(hi) - start, load(lo));
}

template <class W>
SIGMAX_INLINE W plus(W a, W b) {
  return add(a, b);
}

// The factor of a row's (or of rows') terms, as a pair of T.
template <class T, class W>
SIGMAX_INLINE void split(W x, T* hi, T* lo) {
  store(hi, leading(x));
  store(lo, (leading(x) - load(hi)) + trailing(x));
}

// Σ e^((x - max)/T) of a row, or of a row per lane; with the ties apart, of the others.
template <class W>
struct ModerateSums {
  W total;
  Vec ties = {};
};

// ---------------------------------------------------------------- one row, classes in lanes

// A row of n >= kBlock classes in contiguous memory. Class i goes to lane i mod kBlock; of a last block that is not
// whole, class n - k goes to lane kBlock - k. Terms are kept block by block, the high parts first.
template <class S>
struct ModerateRow {
  typedef typename Arithmetic<S>::T T;
  typedef typename Arithmetic<S>::W W;
  typedef Lanes<T> V;
  static constexpr int kVectorLanes = kBlock<T> / kBlockVectors;

  const S* x;
  const S* next;  // what is read, and written, after this row: memory brings it while this row is computed
  const S* out;
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
    auto larger = [](Vec a, Vec b) { return a > b ? a : b; };
    Vec parts[kBlock<T> / kLanes];
    SIGMAX_UNROLL for (int k = 0; k < kBlock<T> / kLanes; ++k) parts[k] = load(lanes + k * kLanes);
    return static_cast<T>(fold<kBlock<T> / kLanes>(parts, larger)[0]);
  }

  // False, and no sums, for a row that is not moderate. `terms` is used unless the ties are apart.
  template <bool apart>
  bool sums(const Scale<T>& scale, T max, T* terms, ModerateSums<W>* result) const {
    V vmax = constant(max), offset = offset_of<T>(vmax, scale.rate);
    TermSum<T, apart> sums[kBlockVectors];
    Integers<T> used = {};
    std::ptrdiff_t whole = n / kBlock<T> * kBlock<T>;
    add_blocks(scale, vmax, offset, terms, sums, &used);
    if (whole < n)
      SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) {
        V v = load_lanes(x + n - kBlock<T> + k * kVectorLanes);
        PairOf<V> term = exponential<T>(v, offset, scale, used);
        sums[k].add(v, vmax, term, ~lanes_below<T>(kBlock<T> - (n - whole) - k * kVectorLanes));
        if (!apart) keep(terms + 2 * whole, k, term);
      }
    if (any_lane(out_of_window<T>(used))) return false;
    result->total = folded(sums);
    if constexpr (apart) {
      result->total = divide(result->total, factor_of(vmax, offset, scale));
      result->ties = splat(count(sums));
    }
    return true;
  }

  // The whole blocks. By itself: beside what folds the sums, GCC keeps them in memory.
  template <bool apart>
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
        if (!apart) keep(terms + 2 * i, k, term);
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

  // What the largest logit would add: the factor of all terms.
  static SIGMAX_INLINE W factor_of(V max, V offset, const Scale<T>& scale) {
    Integers<T> used = {};
    PairOf<V> term = exponential<T>(max, offset, scale, used);
    T hi[kBlock<T>], lo[kBlock<T>];
    store_vector(hi, term.hi);
    store_vector(lo, term.lo);
    return joined(hi, lo, 0);
  }

  // Terms times 1/total, rounded once.
  static SIGMAX_NOINLINE void write(const T* terms, std::ptrdiff_t n, W total, S* out) {
    T hi[kLanes], lo[kLanes];
    split(reciprocal(total), hi, lo);
    PairOf<V> factor = {constant(hi[0]), constant(lo[0])};
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
    typedef Lanes<T> V;
    constexpr int lanes = kBlock<T> / kBlockVectors;
    V last[kBlockVectors];
    SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k)
      last[k] = log.of(load_lanes(x + n - kBlock<T> + k * lanes));
    for (std::ptrdiff_t i = 0; i + kBlock<T> <= n; i += kBlock<T>)
      SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k)
        store_lanes(out + i + k * lanes, log.of(load_lanes(x + i + k * lanes)));
    SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) store_lanes(out + n - kBlock<T> + k * lanes, last[k]);
  }
};

// ---------------------------------------------------------------- rows in lanes

// kBlock rows side by side, of `n` classes `x_stride` bytes apart, computed range by range of the classes. With
// lanes = kBlock terms are added in the order of ModerateRow, in as many sums as it has lanes: the same bits. With
// lanes = 1, for few classes, they are added in class order.
template <class S, bool apart, int lanes>
struct ModerateColumns {
  typedef typename Arithmetic<S>::T T;
  typedef typename Arithmetic<S>::W W;
  typedef Lanes<T> V;
  typedef std::ptrdiff_t Index;
  static constexpr int kVectorLanes = kBlock<T> / kBlockVectors, kGroups = kBlock<T> / kLanes;

  const char* x;
  Index x_stride, n;
  const Scale<T>* scale;  // one per vector of rows
  T* terms;               // room for those of all classes, or null: computed once more
  V max[kBlockVectors], offset[kBlockVectors];
  Integers<T> used[kBlockVectors] = {};
  TermSum<T, apart> lane_sums[kBlockVectors][lanes];
  alignas(64) T outside[kBlock<T>];  // 1 for a row that is not moderate, else 0
  ModerateSums<W> sums[kGroups];

  SIGMAX_INLINE V logits(Index j, int k) const {
    return load_lanes(reinterpret_cast<const S*>(x + j * x_stride) + k * kVectorLanes);
  }
  // Classes far apart in memory are beyond what the hardware foresees.
  static constexpr Index kAhead = 16;

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
        if (!apart && to) reinterpret_cast<PairOf<V>*>(to)[j * kBlockVectors + k] = term;
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
      Integers<T> bad = out_of_window<T>(used[k]) | ~mask_bits(abs_lanes(max[k]) <= scale[k].limit);
      store_vector(outside + k * kVectorLanes, only_in_lanes(bad, constant(T{1})));
      all |= bad;
    }
    for (int group = 0; group < kGroups; ++group) sums[group] = folded(group);
    if constexpr (apart) divide_by_factors();
    return !any_lane(all);
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

  void divide_by_factors() {
    alignas(64) T hi[kBlock<T>], lo[kBlock<T>];
    SIGMAX_UNROLL for (int k = 0; k < kBlockVectors; ++k) {
      Integers<T> used = {};
      PairOf<V> term = exponential<T>(max[k], offset[k], scale[k], used);
      store_vector(hi + k * kVectorLanes, term.hi);
      store_vector(lo + k * kVectorLanes, term.lo);
    }
    for (int group = 0; group < kGroups; ++group)
      sums[group].total = divide(sums[group].total, joined(hi + group * kLanes, lo + group * kLanes, 0));
  }

  // 1/total as pairs of T.
  struct Factors {
    alignas(64) T hi[kBlock<T>], lo[kBlock<T>];
  };
  Factors factors() const {
    Factors f;
    for (int group = 0; group < kGroups; ++group)
      split(reciprocal(sums[group].total), f.hi + group * kLanes, f.lo + group * kLanes);
    return f;
  }

  // Terms times 1/total; rows that are not moderate keep what `out` has.
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
    const auto kept = load_vector<V>(outside + k * kVectorLanes) != 0;
    for (Index j = begin; j < end; ++j) {
      prefetch_ahead(j, out, out_stride);
      S* to = reinterpret_cast<S*>(out + j * out_stride) + k * kVectorLanes;
      V v = result(j);
      if (__builtin_expect(some, false)) v = kept ? load_lanes(to) : v;
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
