// The engine of the axis functions: how rows travel through memory and in which order their terms are added.
//
// A function is a policy (see normalization.h) with a term per class, sums of terms, and an output per class
// or per row. The engine runs it in one of three ways, chosen by the class count alone, so that a row's bits
// never depend on the batch, the layout or the threads:
//   classes <= kShort            rows in lanes: a tile of rows is transposed, terms are added in class order
//   classes <= kLongestWholeRow  classes in lanes: class i goes to virtual lane i mod 32, lanes are folded 32 -> 1
//   longer                       the same in chunks of kChunk classes, chunk sums added in order
#pragma once

#include "fold.h"
#include "kernels.h"
#include "layout.h"
#include "moderate.h"

namespace sigmax {
namespace {

constexpr std::ptrdiff_t kShort = 32;
constexpr std::ptrdiff_t kTileRows = 64;      // rows of a transposed tile
constexpr std::ptrdiff_t kRowsTogether = 16;  // rows of a tile computed side by side
constexpr int kRowVectors = kRowsTogether / kLanes;
constexpr std::ptrdiff_t kKeptClasses = 512;  // side by side, the terms of more do not stay in the cache
constexpr std::ptrdiff_t kStridedRows = 32;   // long rows copied together: whole cache lines of every class

// ---------------------------------------------------------------- what a policy works with

// What a policy asks of a moderate row (see moderate.h): nothing, all terms, or their sum with the ties apart.
enum class LaneTerms { kNone, kAll, kApart };

template <class W>
struct Sums {  // a policy uses the ones it needs; the others vanish in compilation
  W total, ties, moment, tied_cotangent, other_cotangent;
};

template <class W>
struct Row {
  Vec max, pivot;  // pivot: the per-class operand of the first largest class
  W beta;                     // 1/temperature
  Vec beta_log2e, lowest;     // lowest: x - max (Vec) or x (Pair) below which a class has no probability
  // Of a vector-Jacobian product: cotangents are taken times `unit`, `gain` is the row's cotangent over T, and
  // the result is still to be multiplied by both powers.
  Vec unit, power1, power2;
  W gain;
  W inverse, log_total, mean, others, tied_cotangent, other_cotangent;  // what `finish` made of the sums
};

SIGMAX_INLINE void set_temperature(Row<Vec>& row, Vec temperature) {
  row.beta = 1.0 / temperature;
  row.beta_log2e = kLog2e / temperature;
  row.lowest = kNarrowFloor * temperature;
}
SIGMAX_INLINE void set_temperature(Row<Pair>& row, Vec temperature) { row.beta = reciprocal(as_pair(temperature)); }

// Narrow cotangents meet doubles: nothing overflows.
SIGMAX_INLINE void set_gain(Row<Vec>& row, Vec cotangent, Vec) {
  row.unit = splat(1.0);
  row.gain = row.beta * cotangent;
}
// float64: cotangents are brought to [1, 2) by `unit`, 1/T likewise; the powers of two come back at the end, so that
// nothing overflows or becomes subnormal on the way. kExpScale is taken out there too.
SIGMAX_INLINE void set_gain(Row<Pair>& row, Vec cotangent, Vec largest) {
  Vec k = min(opaque(1022.0), exponent_of(largest)), b = exponent_of(row.beta.hi);
  row.unit = two_to(-k);
  row.pivot = row.pivot * row.unit;
  row.gain = multiply(scale(row.beta, two_to(-b)), select(cotangent == 1.0, cotangent, cotangent * row.unit));
  Vec power = k + b - 512.0, half = (power * 0.5 + kRoundToInteger) - kRoundToInteger;
  row.power1 = two_to(max(opaque(-1000.0), half));
  row.power2 = two_to(max(opaque(-1000.0), power - half));
}

// One NaN for all: which of two NaNs an operation passes on, and its sign, differ between processors.
SIGMAX_INLINE Vec one_nan(Vec x) { return select(x == x, x, splat(kNaN)); }

SIGMAX_INLINE Vec descaled(Vec x, const Row<Vec>&) { return one_nan(x); }
SIGMAX_INLINE Vec descaled(Pair x, const Row<Pair>& row) { return one_nan(rounded(x) * row.power1 * row.power2); }

template <class W>
SIGMAX_INLINE Sums<W> added(Sums<W> a, Sums<W> b) {
  return {add(a.total, b.total), add(a.ties, b.ties), add(a.moment, b.moment),
          add(a.tied_cotangent, b.tied_cotangent), add(a.other_cotangent, b.other_cotangent)};
}

template <class W>
SIGMAX_INLINE Sums<W> folded(Sums<W>* lanes) {
  Sums<W> sum;
  W part[kVectors];
  auto plus = [](auto a, auto b) { return add(a, b); };
#define SIGMAX_FOLD(field)                                     \
  SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) part[k] = lanes[k].field; \
  sum.field = fold(part, plus);
  SIGMAX_FOLD(total)
  SIGMAX_FOLD(ties)
  SIGMAX_FOLD(moment)
  SIGMAX_FOLD(tied_cotangent)
  SIGMAX_FOLD(other_cotangent)
#undef SIGMAX_FOLD
  return sum;
}

SIGMAX_INLINE void store_wide(double* to, Vec x) { store(to, x); }
SIGMAX_INLINE void store_wide(double* to, Pair x) {
  store(to, x.hi);
  store(to + kLanes, x.lo);
}
template <class W>
SIGMAX_INLINE W load_wide(const double* from);
template <>
SIGMAX_INLINE Vec load_wide<Vec>(const double* from) { return load(from); }
template <>
SIGMAX_INLINE Pair load_wide<Pair>(const double* from) { return {load(from), load(from + kLanes)}; }

// Numbers are compared in float where that is exact: twice as fast.
SIGMAX_INLINE Vec load_comparable(const double* from) { return load(from); }
SIGMAX_INLINE Singles load_comparable(const float* from) { return load_singles(from); }

template <class S>
SIGMAX_INLINE void store_scalar(S* to, double x) {
  S lanes[kLanes];
  store(lanes, splat(x));
  *to = lanes[0];
}
template <class S>
SIGMAX_INLINE double load_scalar(const char* from) {
  S lanes[kLanes] = {};
  std::memcpy(lanes, from, sizeof(S));
  return load(lanes)[0];
}

// ---------------------------------------------------------------- one row, classes in lanes

template <class P, class T>
struct RowEngine {
  typedef typename Arithmetic<T>::W W;
  static constexpr int kWide = sizeof(W) / sizeof(Vec);
  static constexpr bool kTakesCotangents = P::per_class && !P::weighted && kWide == 2;

  const T* x;
  const T* c;    // the per-class operand, or null
  const T* out;  // where `write` will write

  static SIGMAX_INLINE Vec logits(Vec x, Vec c) {
    return P::weighted ? select(c != 0.0, x, splat(-kInfinity)) : x;
  }

  // Calls body(x, c, i) for blocks of kVirtualLanes classes, the last one padded with classes that add nothing.
  template <class Body>
  SIGMAX_INLINE void for_each_block(std::ptrdiff_t begin, std::ptrdiff_t end, Body body) const {
    T padded_x[kVirtualLanes], padded_c[kVirtualLanes];
    for (std::ptrdiff_t i = begin; i < end; i += kVirtualLanes) {
      const T *block_x = x + i, *block_c = P::per_class ? c + i : nullptr;
      if (__builtin_expect(i + kVirtualLanes > end, 0)) {
        block_x = padded(padded_x, block_x, end - i, P::padding);
        if (P::per_class) block_c = padded(padded_c, block_c, end - i, 0.0);
      }
      body(block_x, block_c, i);
    }
  }

  static const T* padded(T* to, const T* from, std::ptrdiff_t n, double padding) {
    for (int k = 0; k < kVirtualLanes; k += kLanes) store(to + k, splat(padding));
    std::memcpy(to, from, n * sizeof(T));
    return to;
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
  static SIGMAX_INLINE void load_block(const T* x, const T* c, Vec* vx, Vec* vc) {
    SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) {
      vc[k] = P::per_class ? load(c + k * kLanes) : Vec{};
      vx[k] = logits(load(x + k * kLanes), vc[k]);
    }
  }

  // NaN is passed over; it comes out of the sums.
  SIGMAX_NOINLINE Partial largest(std::ptrdiff_t begin, std::ptrdiff_t end) const {
    typedef decltype(load_comparable(x)) V;
    V largest[kVectors];
    Vec cotangents[kVectors] = {};
    SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) largest[k] = V{} - static_cast<float>(kInfinity);
    for_each_block(begin, end, [&](const T* x, const T* c, std::ptrdiff_t) SIGMAX_ALWAYS {
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) {
        V v = load_comparable(x + k * kLanes);
        if constexpr (kTakesCotangents) cotangents[k] = max(abs(load(c + k * kLanes)), cotangents[k]);
        if constexpr (P::weighted) v = load_comparable(c + k * kLanes) != 0 ? v : V{} - static_cast<float>(kInfinity);
        largest[k] = v > largest[k] ? v : largest[k];
      }
    });
    V m = fold(largest, [](V a, V b) { return a > b ? a : b; });
    Partial partial = {};
    partial.max = m[0];
    if (partial.max == -kInfinity) partial.unordered = has_nan(begin, end);
    if (P::pivoted) partial.pivot = pivot(begin, end, partial.max);
    if (kTakesCotangents) partial.cotangent = fold(cotangents, [](Vec a, Vec b) { return max(a, b); })[0];
    return partial;
  }

  bool has_nan(std::ptrdiff_t begin, std::ptrdiff_t end) const {
    for (std::ptrdiff_t i = begin; i < end; ++i)
      if (x[i] != x[i] && !(P::weighted && c[i] == 0)) return true;
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
  SIGMAX_NOINLINE Sums<W> sums(std::ptrdiff_t begin, std::ptrdiff_t end, const Row<W> row, double* terms) const {
    Sums<W> lanes[kVectors] = {};
    for_each_block(begin, end, [&](const T* x, const T* c, std::ptrdiff_t i) SIGMAX_ALWAYS {
      Vec vx[kVectors], vc[kVectors];
      W term[kVectors];
      load_block(x, c, vx, vc);
      prefetch(x + (end - begin), out + i);
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) term[k] = P::template term<W>(vx[k], row);
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k)
        P::template accumulate<W>(lanes[k], vx[k], vc[k], term[k], row);
      if (keep) SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) store_wide(terms + (i + k * kLanes) * kWide, term[k]);
    });
    return folded(lanes);
  }

  template <bool kept>
  SIGMAX_NOINLINE void write(std::ptrdiff_t begin, std::ptrdiff_t end, const Row<W> row, const double* terms,
                           T* out) const {
    for_each_block(begin, end, [&](const T* x, const T* c, std::ptrdiff_t i) SIGMAX_ALWAYS {
      T padded[kVirtualLanes];
      bool whole = i + kVirtualLanes <= end;
      T* to = whole ? out + i : padded;
      Vec vx[kVectors], vc[kVectors], result[kVectors];
      load_block(x, c, vx, vc);
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) {
        W term = kept ? load_wide<W>(terms + (i + k * kLanes) * kWide) : P::template term<W>(vx[k], row);
        result[k] = P::template apply<W>(vx[k], vc[k], term, row);
      }
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) store(to + k * kLanes, result[k]);
      if (!whole) std::memcpy(out + i, padded, (end - i) * sizeof(T));
    });
  }
};

template <class T>
SIGMAX_INLINE void fill(T* out, std::ptrdiff_t n, double value) {
  for (std::ptrdiff_t i = 0; i < n; ++i) out[i] = static_cast<T>(value);
}

// +inf logits share the probability: a row of 0 where x is +inf and -inf elsewhere has the same softmax.
template <class T>
void split_infinite(const T* x, std::ptrdiff_t n, T* finite) {
  for (std::ptrdiff_t i = 0; i < n; ++i)
    finite[i] = x[i] == x[i] ? static_cast<T>(x[i] == kInfinity ? 0.0 : -kInfinity) : x[i];
}

template <class W>
SIGMAX_INLINE Row<W> row_of(const Partial& partial, double temperature, bool per_row, double cotangent) {
  Row<W> row;
  row.max = splat(partial.max);
  row.pivot = splat(partial.pivot);
  set_temperature(row, splat(temperature));
  if (per_row)
    set_gain(row, splat(cotangent), abs(splat(cotangent)));
  else
    set_gain(row, splat(1.0), splat(partial.cotangent));
  return row;
}

// A row whose largest number decides it: nothing in it but -inf and NaN, or an infinite "probability".
template <class P>
SIGMAX_INLINE bool is_decided(const Partial& partial) {
  return partial.max == -kInfinity || (P::of_probabilities && partial.max == kInfinity);
}
template <class P>
SIGMAX_INLINE double decided(const Partial& partial) {
  return partial.unordered != 0.0 || P::of_probabilities ? kNaN : P::masked;
}

template <class W>
SIGMAX_INLINE Mask is_nan(const Sums<W>& sums) {
  Vec both = leading(sums.total) + leading(sums.ties);
  return both != both;
}

// The output of a row; +inf for one whose +inf logits have a positive sum of weights, where the function says so.
template <class P, class W>
SIGMAX_INLINE double result_of(const Row<W>& row, bool infinite) {
  double result = P::template result<W>(row)[0];
  if (!(P::infinite_at_infinity && infinite)) return result;
  return result > -kInfinity ? kInfinity : kNaN;
}

// One whole row: x, c and out contiguous; `terms` has room for the terms, `finite` for one more row.
template <class P, class T>
void whole_row(const T* x, const T* c, double temperature, double cotangent, T* out, std::ptrdiff_t n, double* terms,
               T* finite) {
  typedef typename Arithmetic<T>::W W;
  std::ptrdiff_t outputs = P::reduces ? 1 : n;
  RowEngine<P, T> engine{x, c, P::reduces ? x : out};
  Partial partial = engine.largest(0, n);
  if (is_decided<P>(partial)) return fill(out, outputs, decided<P>(partial));
  if (partial.max == kInfinity) {
    split_infinite(x, n, finite);
    engine.x = finite;
    partial.max = 0.0;
  }
  Row<W> row = row_of<W>(partial, temperature, P::per_row, cotangent);
  Sums<W> sums = engine.template sums<P::keeps_terms>(0, n, row, terms);
  if (any(is_nan(sums))) return fill(out, outputs, kNaN);
  P::template finish<W>(row, sums);
  if constexpr (P::reduces)
    *out = static_cast<T>(result_of<P>(row, engine.x != x));
  else
    engine.template write<P::keeps_terms>(0, n, row, terms, out);
}

// ---------------------------------------------------------------- moderate rows

template <class P>
constexpr bool kTakesLanes = SIGMAX_HAS_FMA && P::lane_terms != LaneTerms::kNone;
template <class P>
constexpr bool kApart = P::lane_terms == LaneTerms::kApart;

// The Scale of the last temperature: rows mostly share one.
template <class T>
class ScaleAt {
 public:
  const Scale<T>& row(double temperature) {
    if (temperature != temperature_) {
      set_temperature(same_[0], temperature_ = temperature);
      for (Scale<T>& scale : same_) scale = same_[0];
    }
    return same_[0];
  }

  // Of kBlock rows, one per lane.
  const Scale<T>* columns(const double* temperatures) {
    const Scale<T>& first = row(temperatures[0]);
    bool same = true;
    for (int lane = 1; lane < kBlock<T>; ++lane) same = same && temperatures[lane] == temperatures[0];
    if (same) return &first;
    for (int lane = 0; lane < kBlock<T>; ++lane) set_lane(lane, temperatures[lane]);
    return mixed_;
  }

 private:
  void set_lane(int lane, double temperature) {
    constexpr int lanes = kBlock<T> / kBlockVectors;
    Scale<T> scale;
    set_temperature(scale, temperature);
    const Lanes<T>* from = &scale.limit;
    Lanes<T>* to = &mixed_[lane / lanes].limit;
    for (std::size_t field = 0; field < sizeof(scale) / sizeof(Lanes<T>); ++field)
      to[field][lane % lanes] = from[field][0];
  }

  double temperature_ = 0.0;
  Scale<T> same_[kBlockVectors], mixed_[kBlockVectors];
};

// What the general sums of moderate rows, relative to the largest term, would be, ...
template <class W>
SIGMAX_INLINE Sums<W> sums_of(const ModerateSums<W>& moderate) {
  Sums<W> sums = {};
  sums.total = scale(moderate.total, splat(kExpScale<W>));
  sums.ties = wide<W>(moderate.ties);
  return sums;
}

// ... and the rows with it.
template <class P, class W>
SIGMAX_INLINE Row<W> finished(Vec max, Vec temperature, const ModerateSums<W>& moderate) {
  Row<W> row;
  row.max = max;
  set_temperature(row, temperature);
  P::template finish<W>(row, sums_of(moderate));
  return row;
}

// A logarithm that the largest logit cancels loses digits that a sum in floats never had; the general way has them.
template <class P, class T>
SIGMAX_INLINE Mask is_cancelled(Vec result, Vec max) {
  if constexpr (!P::reduces || sizeof(T) != sizeof(float)) return Mask{};
  return abs(result) < 0.125 * min(result - max, opaque(1.0));
}

// Rows in contiguous memory, a few together: each step is done for all of them before the next, so that the processor
// works on several at a time.
template <class P, class S>
struct RowBatch {
  typedef typename Arithmetic<S>::T T;
  typedef typename Arithmetic<S>::W W;
  static constexpr int kMost = 16;
  static std::ptrdiff_t size(std::ptrdiff_t n) { return n >= 2048 ? 1 : n <= 128 ? kMost : 2048 / n; }

  const S* x[kMost];
  S* out[kMost];
  alignas(64) double temperature[kMost], max[kMost];
  bool moderate[kMost];
  std::ptrdiff_t count, n;

  // Computes the rows that are moderate, and says which.
  void run(T* terms, ScaleAt<T>& scale_at) {
    ModerateSums<W> sums[kMost];
    for (int i = 0; i < count; ++i) max[i] = row(i).largest();
    for (int i = 0; i < count; ++i) {
      const Scale<T>& scale = scale_at.row(temperature[i]);
      moderate[i] = __builtin_fabs(max[i]) <= scale.limit[0] &&
                    row(i).template sums<kApart<P>>(scale, static_cast<T>(max[i]), terms_of(terms, i), &sums[i]);
    }
    if constexpr (kApart<P>)
      for (int first = 0; first < count; first += kLanes) finish(first, sums);
    else
      for (int i = 0; i < count; ++i)
        if (moderate[i]) ModerateRow<S>::write(terms_of(terms, i), n, sums[i].total, out[i]);
  }

  ModerateRow<S> row(int i) const { return {x[i], x[i] + count * n, P::reduces ? x[i] : out[i], n}; }

  T* terms_of(T* terms, int i) const { return terms + i * ModerateRow<S>::terms_size(n); }

  void finish(int first, const ModerateSums<W>* sums) {
    int rows = count - first < kLanes ? static_cast<int>(count - first) : kLanes;
    alignas(64) double hi[kLanes] = {}, lo[kLanes] = {}, ties[kLanes] = {}, row_max[kLanes] = {}, row_temperature[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) row_temperature[lane] = 1.0;
    for (int lane = 0; lane < rows; ++lane) {
      if (!moderate[first + lane]) continue;
      hi[lane] = leading(sums[first + lane].total)[0];
      lo[lane] = trailing(sums[first + lane].total)[0];
      ties[lane] = sums[first + lane].ties[0];
      row_max[lane] = max[first + lane];
      row_temperature[lane] = temperature[first + lane];
    }
    ModerateSums<W> lanes{joined(hi, lo, W{}), load(ties)};
    Row<W> row = finished<P, W>(load(row_max), load(row_temperature), lanes);
    LogProbabilities<T> logs;
    Vec result{};
    Mask again{};
    if constexpr (P::reduces) {
      result = P::template result<W>(row);
      again = is_cancelled<P, T>(result, row.max);
    } else {
      logs.set(0, row.max, row.beta, negate(row.log_total));
    }
    for (int lane = 0; lane < rows; ++lane) {
      if (!moderate[first + lane]) continue;
      if constexpr (P::reduces) {
        moderate[first + lane] = again[lane] == 0;
        store_scalar(out[first + lane], result[lane]);
      } else
        logs.write(logs.row(lane), x[first + lane], n, out[first + lane]);
    }
  }

  static SIGMAX_INLINE Vec joined(const double* hi, const double*, Vec) { return load(hi); }
  static SIGMAX_INLINE Pair joined(const double* hi, const double* lo, Pair) { return {load(hi), load(lo)}; }
};

// A few blocks of rows side by side, range by range of the classes: their lines are neighbours in memory.
template <class P, class S, int lanes>
struct ColumnGroup {
  typedef typename Arithmetic<S>::T T;
  typedef typename Arithmetic<S>::W W;
  typedef ModerateColumns<S, kApart<P>, lanes> Columns;
  static constexpr int kMost = 4;
  static constexpr std::ptrdiff_t kRange = 64;  // classes

  Block x, out;
  std::ptrdiff_t n;
  const double* temperatures;
  int blocks;
  Columns columns[kMost];
  bool done[kMost];                 // or the rows of the block are to be computed otherwise
  std::uint32_t cancelled[kMost];  // rows that are to be computed again, alone

  // Rows that are not moderate: with `some`, they keep what `out` has; else nothing of their block is written.
  void run(bool some, T* terms, ScaleAt<T>& scale_at) {
    for (int g = 0; g < blocks; ++g) {
      columns[g].x = x.at(g * kBlock<T>, 0);
      columns[g].x_stride = x.class_stride;
      columns[g].n = n;
      columns[g].scale = scale_at.columns(temperatures + g * kBlock<T>);
      columns[g].terms = terms ? terms + g * 2 * kBlock<T> * n : nullptr;
    }
    for_ranges([&](int g, std::ptrdiff_t begin, std::ptrdiff_t end) { columns[g].find_largest(begin, end); });
    for_ranges([&](int g, std::ptrdiff_t begin, std::ptrdiff_t end) { columns[g].add(begin, end); });
    bool all[kMost];
    for (int g = 0; g < blocks; ++g) {
      all[g] = columns[g].finish();
      done[g] = all[g] || some;
      cancelled[g] = 0;
    }
    if constexpr (P::reduces)
      for (int g = 0; g < blocks; ++g) cancelled[g] = done[g] ? write_results(g) : 0;
    else
      write(all);
  }

  template <class Body>
  void for_ranges(Body body) {
    for (std::ptrdiff_t begin = 0; begin < n; begin += kRange)
      for (int g = 0; g < blocks; ++g) body(g, begin, begin + kRange < n ? begin + kRange : n);
  }

  Row<W> finished_rows(int g, int first) const {
    return finished<P, W>(load(lane_pointer(columns[g].max[0]) + first), load(temperatures + g * kBlock<T> + first),
                          columns[g].sums[first / kLanes]);
  }

  void write(const bool* all) {
    typename std::conditional<kApart<P>, LogProbabilities<T>, typename Columns::Factors>::type factors[kMost];
    for (int g = 0; g < blocks; ++g)
      if constexpr (kApart<P>)
        for (int first = 0; first < kBlock<T>; first += kLanes) {
          Row<W> row = finished_rows(g, first);
          factors[g].set(first, row.max, row.beta, negate(row.log_total));
        }
      else
        factors[g] = columns[g].factors();
    for_ranges([&](int g, std::ptrdiff_t begin, std::ptrdiff_t end) {
      if (done[g]) columns[g].write(begin, end, factors[g], out.at(g * kBlock<T>, 0), out.class_stride, !all[g]);
    });
  }

  std::uint32_t write_results(int g) {
    std::uint32_t cancelled = 0;
    for (int first = 0; first < kBlock<T>; first += kLanes) {
      Row<W> row = finished_rows(g, first);
      S* to = reinterpret_cast<S*>(out.at(g * kBlock<T> + first, 0));
      Vec result = P::template result<W>(row), outside = load(columns[g].outside + first);
      store(to, select(outside != 0.0, load(to), result));
      Mask again = is_cancelled<P, T>(result, row.max) & (outside == 0.0);
      if (__builtin_expect(any(again), false))
        for (int lane = 0; lane < kLanes; ++lane) cancelled |= (again[lane] & 1u) << (first + lane);
    }
    return cancelled;
  }
};

// ---------------------------------------------------------------- a tile of short rows, rows in lanes

template <class P, class T>
struct Tile {
  typedef typename Arithmetic<T>::W W;

  alignas(64) T x[kShort * kTileRows];
  alignas(64) T c[P::per_class ? kShort * kTileRows : 1];
  alignas(64) T out[kShort * kTileRows];
  alignas(64) T cotangents[kTileRows];
  alignas(64) double temperatures[kTileRows];
  std::ptrdiff_t rows, classes, stride;

  template <class S>
  Block block(S* data) const {
    return {reinterpret_cast<char*>(data), sizeof(S), stride * static_cast<std::ptrdiff_t>(sizeof(S))};
  }

  // `raw` holds a block in its storage type; it is the block itself where nothing is to be converted.
  template <class S>
  static S* raw(T* data, S* spare) {
    if constexpr (sizeof(S) == sizeof(T))
      return data;
    else
      return spare;
  }

  template <class S>
  void read_block(T* to, const Operand& operand, std::ptrdiff_t first, std::ptrdiff_t columns, S* spare) {
    S* stored = raw(to, spare);
    if (sizeof(S) != sizeof(T) && rows < stride) std::memset(stored, 0, columns * stride * sizeof(S));
    copy_block<S>(block(stored), block_at(operand, first), rows, columns);
    convert(to, stored, columns * stride);
  }

  template <class S>
  void read(const AxisCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, S* spare) {
    rows = end - begin;
    classes = call.classes;
    stride = (rows + kRowsTogether - 1) / kRowsTogether * kRowsTogether;
    if (rows < stride) clear();
    read_block(x, call.x, begin, classes, spare);
    if (P::per_class) read_block(c, call.per_class, begin, classes, spare);
    if (P::per_row) read_block(cotangents, call.per_row, begin, 1, spare);
    copy_block<double>(block(temperatures), block_at(call.temperature, begin), rows, 1);
  }

  // Rows that are not there get numbers whose arithmetic is as fast as any.
  void clear() {
    std::memset(x, 0, classes * stride * sizeof(T));
    if (P::per_class) std::memset(c, 0, classes * stride * sizeof(T));
    for (std::ptrdiff_t i = 0; i < stride; ++i) cotangents[i] = 0, temperatures[i] = 1.0;
  }

  template <class S>
  void write(const AxisCall& call, std::ptrdiff_t begin, S* spare) {
    std::ptrdiff_t columns = P::reduces ? 1 : classes;
    S* stored = raw(out, spare);
    convert(stored, out, columns * stride);
    copy_block<S>(block_at(call.out, begin), block(stored), rows, columns);
  }

  SIGMAX_INLINE Vec per_class(std::ptrdiff_t at) const { return P::per_class ? load(c + at) : Vec{}; }
  SIGMAX_INLINE Vec logits(std::ptrdiff_t at) const {
    return RowEngine<P, T>::logits(load(x + at), per_class(at));
  }

  // Where class j of the k-th vector of rows stands.
  SIGMAX_INLINE std::ptrdiff_t at(std::ptrdiff_t first, std::ptrdiff_t j, int k) const {
    return j * stride + first + k * kLanes;
  }

  SIGMAX_INLINE void begin_rows(std::ptrdiff_t first, Row<W>* row) const {
    Vec largest[kRowVectors];
    SIGMAX_UNROLL for (int k = 0; k < kRowVectors; ++k) {
      row[k].max = splat(-kInfinity);
      row[k].pivot = Vec{};
      set_temperature(row[k], load(temperatures + first + k * kLanes));
      largest[k] = Vec{};
    }
    for (std::ptrdiff_t j = 0; j < classes; ++j)
      SIGMAX_UNROLL for (int k = 0; k < kRowVectors; ++k) {
        Vec v = logits(at(first, j, k));
        if (P::pivoted) row[k].pivot = select(v > row[k].max, per_class(at(first, j, k)), row[k].pivot);
        row[k].max = max(v, row[k].max);
        if (P::per_class) largest[k] = max(abs(per_class(at(first, j, k))), largest[k]);
      }
    SIGMAX_UNROLL for (int k = 0; k < kRowVectors; ++k) {
      Vec cotangent = P::per_row ? load(cotangents + first + k * kLanes) : splat(1.0);
      set_gain(row[k], cotangent, P::per_row ? abs(cotangent) : largest[k]);
    }
  }

  // kRowsTogether rows from `first` on; `special` says which have NaN or no finite largest number.
  void compute(std::ptrdiff_t first, Mask* special) {
    Row<W> row[kRowVectors];
    begin_rows(first, row);
    Sums<W> sums[kRowVectors] = {};
    W terms[kShort][kRowVectors];
    for (std::ptrdiff_t j = 0; j < classes; ++j) {
      Vec v[kRowVectors];
      W term[kRowVectors];
      SIGMAX_UNROLL for (int k = 0; k < kRowVectors; ++k) v[k] = logits(at(first, j, k));
      SIGMAX_UNROLL for (int k = 0; k < kRowVectors; ++k) term[k] = P::template term<W>(v[k], row[k]);
      SIGMAX_UNROLL for (int k = 0; k < kRowVectors; ++k) {
        P::template accumulate<W>(sums[k], v[k], per_class(at(first, j, k)), term[k], row[k]);
        terms[j][k] = term[k];
      }
    }
    SIGMAX_UNROLL for (int k = 0; k < kRowVectors; ++k) {
      P::template finish<W>(row[k], sums[k]);
      special[k] = is_nan(sums[k]) | (row[k].max == -kInfinity) | (row[k].max == kInfinity);
      if constexpr (P::reduces) store(out + first + k * kLanes, P::template result<W>(row[k]));
    }
    if constexpr (!P::reduces)
      for (std::ptrdiff_t j = 0; j < classes; ++j)
        SIGMAX_UNROLL for (int k = 0; k < kRowVectors; ++k)
          store(out + at(first, j, k),
                P::template apply<W>(logits(at(first, j, k)), per_class(at(first, j, k)), terms[j][k], row[k]));
  }

  // A row with NaN, +inf or nothing in it, alone.
  void compute_special(std::ptrdiff_t row) {
    T row_x[kShort], row_c[kShort] = {}, row_out[kShort], finite[kShort];
    alignas(64) double terms[2 * (kShort + kVirtualLanes)];
    for (std::ptrdiff_t j = 0; j < classes; ++j) {
      row_x[j] = x[j * stride + row];
      if (P::per_class) row_c[j] = c[j * stride + row];
    }
    double cotangent = P::per_row ? cotangents[row] : 0.0;
    whole_row<P, T>(row_x, row_c, temperatures[row], cotangent, row_out, classes, terms, finite);
    for (std::ptrdiff_t j = 0; j < (P::reduces ? 1 : classes); ++j) out[j * stride + row] = row_out[j];
  }

  // Moderate rows in lanes of T; where others are among them, after those.
  bool run_lanes(std::ptrdiff_t first, bool some, T* terms, ScaleAt<T>& scale_at) {
    bool all = true;
    for (std::ptrdiff_t row = first; row < first + kRowsTogether; row += kBlock<T>) {
      ColumnGroup<P, T, 1> group;
      group.x = block(x + row);
      group.out = block(out + row);
      group.n = classes;
      group.temperatures = temperatures + row;
      group.blocks = 1;
      group.run(some, terms, scale_at);
      all = all && group.done[0];
      for (std::uint32_t left = group.cancelled[0]; left != 0; left &= left - 1)
        compute_special(row + __builtin_ctz(left));
    }
    return all;
  }

  void run(ScaleAt<T>& scale_at) {
    alignas(64) T terms[kTakesLanes<P> && !kApart<P> ? 2 * kShort * kBlock<T> : 1];
    for (std::ptrdiff_t first = 0; first < rows; first += kRowsTogether) {
      if constexpr (kTakesLanes<P>)
        if (run_lanes(first, false, terms, scale_at)) continue;
      run_general(first);
      if constexpr (kTakesLanes<P>) run_lanes(first, true, terms, scale_at);
    }
  }

  void run_general(std::ptrdiff_t first) {
    Mask special[kRowVectors];
    compute(first, special);
    for (int k = 0; k < kRowVectors; ++k)
      if (__builtin_expect(any(special[k]), 0)) repair(first + k * kLanes, special[k]);
  }

  SIGMAX_NOINLINE void repair(std::ptrdiff_t first, Mask special) {
    for (int lane = 0; lane < kLanes && first + lane < rows; ++lane)
      if (special[lane]) compute_special(first + lane);
  }
};

// ---------------------------------------------------------------- the kernels of a policy

template <class P, class S>
struct AxisKernels {
  typedef typename Arithmetic<S>::T T;
  typedef typename Arithmetic<S>::W W;
  static constexpr std::ptrdiff_t kSize = sizeof(S);
  static constexpr bool kConverts = sizeof(S) != sizeof(T);

  // One cache line more than a multiple of lines: rows a power of two apart would share cache sets.
  static std::ptrdiff_t padded(std::ptrdiff_t classes) { return ((classes + 63) & ~63) + 64; }

  // What rows in between need: the terms, one row each for split_infinite and conversions, strided rows.
  struct Scratch {
    double* terms;
    T *finite, *x, *c, *out;
    char *strided_x, *strided_c;
  };
  static constexpr std::ptrdiff_t kRowsOfT = 4, kRowsOfS = 2 * kStridedRows;

  // Terms of a batch of rows, or of rows side by side.
  static std::ptrdiff_t terms_bytes(std::ptrdiff_t classes) {
    std::ptrdiff_t general = sizeof(W) / sizeof(Vec) * sizeof(double);
    std::ptrdiff_t batch = kTakesLanes<P> ? 2 * sizeof(T) * RowBatch<P, S>::size(classes) : 0;
    std::ptrdiff_t columns = kTakesLanes<P> && classes <= kKeptClasses ? ColumnGroup<P, S, 1>::kMost * 2 * 64 : 0;
    std::ptrdiff_t most = general > batch ? general : batch;
    return padded(classes) * (most > columns ? most : columns);
  }

  static std::size_t scratch_bytes(std::ptrdiff_t classes) {
    if (classes <= kShort) return 0;
    return terms_bytes(classes) + padded(classes) * (kRowsOfT * sizeof(T) + kRowsOfS * sizeof(S));
  }

  static Scratch scratch_at(char* memory, std::ptrdiff_t classes) {
    std::ptrdiff_t n = padded(classes);
    Scratch s;
    s.terms = reinterpret_cast<double*>(memory);
    s.finite = reinterpret_cast<T*>(memory + terms_bytes(classes));
    s.c = s.finite + n;
    s.x = s.c + n;
    s.out = s.x + n;
    s.strided_x = reinterpret_cast<char*>(s.out + n);
    s.strided_c = s.strided_x + kStridedRows * n * kSize;
    return s;
  }

  static void rows(const AxisCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, char* scratch) {
    if (call.classes == 0) return empty_rows(call, begin, end);
    ScaleAt<T> scale_at;
    bool columns = kTakesLanes<P> && call.x.row_stride == kSize && call.out.row_stride == kSize;
    if (call.classes <= kShort) {
      alignas(64) T terms[ColumnGroup<P, S, 1>::kMost * 2 * kShort * kBlock<T>];
      auto others = [&](std::ptrdiff_t begin, std::ptrdiff_t end) { short_rows(call, begin, end, scale_at); };
      std::ptrdiff_t row = columns ? column_rows<1>(call, begin, end, terms, scale_at, others) : begin;
      return others(row, end);
    }
    Scratch s = scratch_at(scratch, call.classes);
    auto others = [&](std::ptrdiff_t begin, std::ptrdiff_t end) { long_rows(call, begin, end, s, scale_at); };
    T* terms = reinterpret_cast<T*>(s.terms);
    if (call.classes > kKeptClasses) terms = nullptr;
    std::ptrdiff_t row = columns ? column_rows<kBlock<T>>(call, begin, end, terms, scale_at, others) : begin;
    for (; row < end; row += kStridedRows)
      long_rows(call, row, row + kStridedRows < end ? row + kStridedRows : end, s, scale_at);
  }

  // Rows side by side in memory, as long as they come in whole blocks; `others` computes those that are not moderate.
  // Returns the first row that is left.
  template <int lanes, class Others>
  static std::ptrdiff_t column_rows(const AxisCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, T* terms,
                                    ScaleAt<T>& scale_at, Others others) {
    std::ptrdiff_t row = begin;
    if constexpr (kTakesLanes<P>) {
      typedef ColumnGroup<P, S, lanes> Group;
      alignas(64) double temperatures[Group::kMost * kBlock<T>];
      std::ptrdiff_t most = call.temperature.row_stride == 0 ? Group::kMost : 1;  // a block's own Scale is not kept
      for (; row + kBlock<T> <= end;) {
        std::ptrdiff_t blocks = (end - row) / kBlock<T> < most ? (end - row) / kBlock<T> : most;
        for (int lane = 0; lane < blocks * kBlock<T>; ++lane)
          std::memcpy(temperatures + lane, block_at(call.temperature, row + lane).data, sizeof(double));
        Group group;
        group.x = block_at(call.x, row);
        group.out = block_at(call.out, row);
        group.n = call.classes;
        group.temperatures = temperatures;
        group.blocks = static_cast<int>(blocks);
        group.run(false, terms, scale_at);
        for (int g = 0; g < blocks; ++g, row += kBlock<T>)
          if (!group.done[g] || group.cancelled[g] != 0) others(row, row + kBlock<T>);
      }
    }
    return row;
  }

  static void empty_rows(const AxisCall& call, std::ptrdiff_t begin, std::ptrdiff_t end) {
    if (P::reduces)
      for (std::ptrdiff_t row = begin; row < end; ++row)
        store_scalar(reinterpret_cast<S*>(block_at(call.out, row).data), P::masked);
  }

  static void short_rows(const AxisCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, ScaleAt<T>& scale_at) {
    Tile<P, T> tile;
    alignas(64) S spare[kConverts ? kShort * kTileRows : 1];
    for (std::ptrdiff_t row = begin; row < end; row += kTileRows) {
      tile.read(call, row, row + kTileRows < end ? row + kTileRows : end, spare);
      tile.run(scale_at);
      tile.write(call, row, spare);
    }
  }

  // Contiguous rows are read and written where they are, strided ones through scratch.
  static void long_rows(const AxisCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, const Scratch& s,
                        ScaleAt<T>& scale_at) {
    std::ptrdiff_t n = call.classes, stride = padded(n) * kSize;
    Block spare = {s.strided_x, stride, kSize};
    Block x = contiguous(call.x, begin, end, n, spare), c = x, out = block_at(call.out, begin);
    if (P::per_class) c = contiguous(call.per_class, begin, end, n, {s.strided_c, stride, kSize});
    bool in_place = P::reduces || call.out.class_stride == kSize;
    if (!in_place) out = spare;
    for (std::ptrdiff_t i = 0; i < end - begin; i += RowBatch<P, S>::size(n))
      run_batch(call, begin, end, i, x, c, out, s, scale_at);
    if (!in_place) copy_block<S>(block_at(call.out, begin), out, end - begin, n);
  }

  // The rows from begin + i on that are computed together.
  static void run_batch(const AxisCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, std::ptrdiff_t i, Block x,
                        Block c, Block out, const Scratch& s, ScaleAt<T>& scale_at) {
    RowBatch<P, S> batch;
    batch.n = call.classes;
    batch.count = end - begin - i < batch.size(batch.n) ? end - begin - i : batch.size(batch.n);
    for (std::ptrdiff_t k = 0; k < batch.count; ++k) {
      batch.x[k] = reinterpret_cast<const S*>(x.at(i + k, 0));
      batch.out[k] = reinterpret_cast<S*>(out.at(i + k, 0));
      batch.temperature[k] = temperature_at(call, begin + i + k);
      batch.moderate[k] = false;
    }
    if constexpr (kTakesLanes<P>) batch.run(reinterpret_cast<T*>(s.terms), scale_at);
    for (std::ptrdiff_t k = 0; k < batch.count; ++k) {
      if (batch.moderate[k]) continue;
      double cotangent = P::per_row ? load_scalar<S>(block_at(call.per_row, begin + i + k).data) : 0.0;
      T* row_out = computable_out(out.at(i + k, 0), s.out);
      whole_row<P, T>(computable(x.at(i + k, 0), batch.n, s.x),
                      P::per_class ? computable(c.at(i + k, 0), batch.n, s.c) : nullptr, batch.temperature[k], cotangent,
                      row_out, batch.n, s.terms, s.finite);
      finish_out(out.at(i + k, 0), row_out, P::reduces ? 1 : batch.n);
    }
  }

  static Block contiguous(const Operand& operand, std::ptrdiff_t begin, std::ptrdiff_t end, std::ptrdiff_t n,
                          Block spare) {
    Block block = block_at(operand, begin);
    if (block.class_stride == kSize) return block;
    copy_block<S>(spare, block, end - begin, n);
    return spare;
  }

  // Stored numbers as T: where they are, or converted into `spare`.
  static const T* computable(const char* stored, std::ptrdiff_t n, T* spare) {
    if constexpr (!kConverts) return reinterpret_cast<const T*>(stored);
    const S* from = reinterpret_cast<const S*>(stored);
    std::ptrdiff_t whole = n / kLanes * kLanes;
    convert(spare, from, whole);
    for (std::ptrdiff_t i = whole; i < n; ++i) spare[i] = static_cast<T>(load_scalar<S>(stored + i * kSize));
    return spare;
  }
  static T* computable_out(char* stored, T* spare) { return kConverts ? spare : reinterpret_cast<T*>(stored); }
  static void finish_out(char* stored, const T* out, std::ptrdiff_t n) {
    if constexpr (!kConverts) return;
    S* to = reinterpret_cast<S*>(stored);
    std::ptrdiff_t whole = n / kLanes * kLanes;
    convert(to, out, whole);
    for (std::ptrdiff_t i = whole; i < n; ++i) store_scalar(to + i, out[i]);
  }

  // One chunk of a long row, in contiguous memory.
  struct Chunk {
    alignas(64) T x_copy[kChunk];
    alignas(64) T c_copy[P::per_class ? kChunk : 1];
    alignas(64) S stored[kChunk];
    alignas(64) T terms[kTakesLanes<P> && !kApart<P> ? 2 * (kChunk + kBlock<T>) : 1];
    RowEngine<P, T> engine;
    std::ptrdiff_t n;

    Chunk(const AxisCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, bool infinite) {
      std::ptrdiff_t begin = chunk * kChunk;
      n = call.classes - begin < kChunk ? call.classes - begin : kChunk;
      const T* c = P::per_class ? part(call.per_class, row, begin, c_copy, c_copy) : nullptr;
      engine = {part(call.x, row, begin, x_copy, x_copy), c, x_copy};
      if (!infinite) return;
      split_infinite(engine.x, n, x_copy);
      engine.x = x_copy;
    }
    const T* part(const Operand& operand, std::ptrdiff_t row, std::ptrdiff_t begin, T* converted, void* in_place) {
      Block block = block_at(operand, row);
      block.data = block.at(0, begin);
      if (block.class_stride == kSize) return computable(block.data, n, converted);
      char* copy = kConverts ? reinterpret_cast<char*>(stored) : static_cast<char*>(in_place);
      copy_elements<S>({copy, 0, kSize}, block, 0, 1, 0, n);
      return computable(copy, n, converted);
    }
  };

  // A chunk of a row that may be moderate. The chunks of one row need not all be: their sums are of the same kind.
  struct ModerateChunk {
    Scale<T> scale;
    ModerateRow<T> row;
    T max;
    bool possible;

    ModerateChunk(const Chunk& part, const Partial& whole, double temperature)
        : row{part.engine.x, part.engine.x + part.n, part.engine.x, part.n}, max(static_cast<T>(whole.max)) {
      set_temperature(scale, temperature);
      possible = part.n >= kBlock<T> && __builtin_fabs(whole.max) <= scale.limit[0];
    }
    W factor() const {
      Lanes<T> lanes = constant(max);
      return row.factor_of(lanes, offset_of<T>(lanes, scale.rate), scale);
    }
    bool sums(T* terms, Sums<W>* result) const {
      ModerateSums<W> moderate;
      if (!possible || !row.template sums<kApart<P>>(scale, max, terms, &moderate)) return false;
      if (!kApart<P>) moderate.total = divide(moderate.total, factor());
      *result = sums_of(moderate);
      return true;
    }
  };

  static void chunk_max(const AxisCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, Partial* partials) {
    Chunk part(call, row, chunk, false);
    Partial& partial = partials[chunk] = {};
    if (kTakesLanes<P> && part.n >= kBlock<T>)
      partial.max = ModerateRow<T>{part.engine.x, nullptr, nullptr, part.n}.largest();
    if (!(partial.max > -kInfinity && kTakesLanes<P> && part.n >= kBlock<T>)) partial = part.engine.largest(0, part.n);
  }

  static void merge_max(const Partial* partials, std::ptrdiff_t chunks, Partial* whole) {
    *whole = partials[0];
    for (std::ptrdiff_t k = 1; k < chunks; ++k) {
      if (partials[k].max > whole->max) whole->max = partials[k].max, whole->pivot = partials[k].pivot;
      if (partials[k].unordered != 0.0) whole->unordered = 1.0;
      if (partials[k].cotangent > whole->cotangent) whole->cotangent = partials[k].cotangent;
    }
  }

  // The row as the phases after `merge_max` see it: +inf has become 0.
  static Row<W> row_at(const AxisCall& call, std::ptrdiff_t row, const Partial& whole) {
    Partial partial = whole;
    if (whole.max == kInfinity) partial.max = 0.0;
    double cotangent = P::per_row ? load_scalar<S>(block_at(call.per_row, row).data) : 0.0;
    return row_of<W>(partial, temperature_at(call, row), P::per_row, cotangent);
  }

  static void chunk_sums(const AxisCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, Partial* partials,
                         const Partial& whole) {
    if (is_decided<P>(whole)) return;
    Chunk part(call, row, chunk, whole.max == kInfinity);
    Sums<W> sums;
    partials[chunk].moderate = false;
    if constexpr (kTakesLanes<P>)
      partials[chunk].moderate = ModerateChunk(part, whole, temperature_at(call, row)).sums(part.terms, &sums);
    if (!partials[chunk].moderate)
      sums = part.engine.template sums<false>(0, part.n, row_at(call, row, whole), nullptr);
    save(sums, partials + chunk);
  }

  static double temperature_at(const AxisCall& call, std::ptrdiff_t row) {
    return load_scalar<double>(block_at(call.temperature, row).data);
  }

  static void save(Sums<W> sums, Partial* partial) {
    W fields[5] = {sums.total, sums.ties, sums.moment, sums.tied_cotangent, sums.other_cotangent};
    for (int k = 0; k < 5; ++k) {
      partial->sums[2 * k] = leading(fields[k])[0];
      partial->sums[2 * k + 1] = trailing(fields[k])[0];
    }
  }
  static W restored(const double* sums) { return add(wide<W>(splat(sums[0])), wide<W>(splat(sums[1]))); }
  static Sums<W> restored(const Partial& partial) {
    const double* s = partial.sums;
    return {restored(s), restored(s + 2), restored(s + 4), restored(s + 6), restored(s + 8)};
  }

  static void merge_sums(const Partial* partials, std::ptrdiff_t chunks, Partial* whole) {
    Sums<W> sums = restored(partials[0]);
    for (std::ptrdiff_t k = 1; k < chunks; ++k) sums = added(sums, restored(partials[k]));
    save(sums, whole);
  }

  static void chunk_out(const AxisCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, const Partial* partials,
                        const Partial& whole) {
    if (P::reduces && chunk > 0) return;
    Chunk part(call, row, chunk, whole.max == kInfinity);
    std::ptrdiff_t outputs = P::reduces ? 1 : part.n;
    Block to = block_at(call.out, row);
    to.data = to.at(0, P::reduces ? 0 : chunk * kChunk);
    bool in_place = P::reduces || to.class_stride == kSize;
    char* stored = in_place ? to.data : reinterpret_cast<char*>(kConverts ? static_cast<void*>(part.stored) : part.x_copy);
    T* out = computable_out(stored, part.x_copy);
    write_chunk(call, row, whole, part, partials[chunk].moderate, out, outputs);
    finish_out(stored, out, outputs);
    if (!in_place) copy_elements<S>(to, {stored, 0, kSize}, 0, 1, 0, outputs);
  }

  static void write_chunk(const AxisCall& call, std::ptrdiff_t row, const Partial& whole, Chunk& part, bool moderate,
                          T* out, std::ptrdiff_t outputs) {
    Sums<W> sums = restored(whole);
    if (is_decided<P>(whole)) return fill(out, outputs, decided<P>(whole));
    if (any(is_nan(sums))) return fill(out, outputs, kNaN);
    Row<W> r = row_at(call, row, whole);
    P::template finish<W>(r, sums);
    if constexpr (P::reduces) {
      double result = result_of<P>(r, whole.max == kInfinity);
      if (any(is_cancelled<P, T>(splat(result), splat(whole.max)))) {
        P::template finish<W>(r, general_sums(call, row, whole));
        result = result_of<P>(r, false);
      }
      *out = static_cast<T>(result);
    } else if (moderate)
      write_moderate(ModerateChunk(part, whole, temperature_at(call, row)), part, r, sums, out);
    else
      part.engine.template write<false>(0, part.n, r, nullptr, out);
  }

  // The sums of a whole row, none of them in lanes of T.
  static SIGMAX_NOINLINE Sums<W> general_sums(const AxisCall& call, std::ptrdiff_t row, const Partial& whole) {
    Row<W> r = row_at(call, row, whole);
    Sums<W> sums = {};
    for (std::ptrdiff_t chunk = 0; chunk * kChunk < call.classes; ++chunk) {
      Chunk part(call, row, chunk, false);
      sums = added(sums, part.engine.template sums<false>(0, part.n, r, nullptr));
    }
    return sums;
  }

  static void write_moderate(const ModerateChunk& chunk, Chunk& part, const Row<W>& row, const Sums<W>& sums, T* out) {
    if constexpr (kApart<P>) {
      LogProbabilities<T> logs;
      logs.set(0, row.max, row.beta, negate(row.log_total));
      logs.write(logs.row(0), part.engine.x, part.n, out);
    } else if constexpr (kTakesLanes<P>) {
      Sums<W> own;
      chunk.sums(part.terms, &own);
      W total = multiply(scale(sums.total, splat(1.0 / kExpScale<W>)), chunk.factor());
      chunk.row.write(part.terms, part.n, total, out);
    }
  }

  static constexpr AxisKernel kernel = {rows, scratch_bytes, chunk_max, chunk_sums, chunk_out, merge_max, merge_sums};
};

}  // namespace
}  // namespace sigmax
