// The policies of softmax, log_softmax and logsumexp on moderate rows, by batches: contiguous rows, or rows side by side.
#pragma once

#include "moderate_columns.h"
#include "moderate_losses.h"
#include "rows.h"

namespace sigmax {
namespace {

// Terms of more classes, in a row or in rows side by side, would not stay in the cache: they are computed once more.
constexpr std::ptrdiff_t kKeptInRow = 2048, kKeptSideBySide = 512;

template <class P>
constexpr bool kTakesLanes = SIGMAX_HAS_FMA && P::lane_terms != LaneTerms::kNone;
template <class P>
constexpr bool kApart = P::lane_terms == LaneTerms::kApart;
template <class P>
constexpr bool kWritesTerms = !P::reduces && (!kApart<P> || P::labelled);  // results are multiples of the terms

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
    const Lanes<T>* from = reinterpret_cast<const Lanes<T>*>(&scale);  // a Scale has only such members
    Lanes<T>* to = reinterpret_cast<Lanes<T>*>(&mixed_[lane / lanes]);
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
  static std::ptrdiff_t size(std::ptrdiff_t n) { return n >= kKeptInRow ? 1 : n <= 128 ? kMost : kKeptInRow / n; }

  const S* x[kMost];
  S* out[kMost];
  alignas(64) double temperature[kMost], max[kMost];
  bool done[kMost];
  std::ptrdiff_t count, n;
  LabelledRows<P::labelled ? kMost : 1> labels;
  double value[kMost];  // of losses

  // Computes the rows that are moderate, and says which.
  void run(T* terms, ScaleAt<T>& scale_at) {
    ModerateSums<W> sums[kMost];
    for (int i = 0; i < count; ++i) max[i] = row(i).largest();
    for (int i = 0; i < count; ++i) {
      const Scale<T>& scale = scale_at.row(temperature[i]);
      T largest = static_cast<T>(max[i]);
      done[i] = __builtin_fabs(largest) <= scale.limit[0] &&
                    (!kWritesTerms<P> || n > kKeptInRow
                         ? row(i).template sums<kApart<P>, false>(scale, largest, nullptr, &sums[i])
                         : row(i).template sums<kApart<P>, kWritesTerms<P>>(scale, largest, terms_of(terms, i), &sums[i]));
    }
    if constexpr (kApart<P>)
      for (int first = 0; first < count; first += kLanes) finish(first, sums, terms, scale_at);
    else
      for (int i = 0; i < count; ++i)
        if (done[i]) write(i, reciprocal(sums[i].total), terms, scale_at);
  }

  void write(int i, W factor, const T* terms, ScaleAt<T>& scale_at) const {
    if (n > kKeptInRow)
      row(i).write_again(scale_at.row(temperature[i]), static_cast<T>(max[i]), factor, out[i]);
    else
      ModerateRow<S>::write(terms_of(terms, i), n, factor, out[i]);
  }

  ModerateRow<S> row(int i) const { return {x[i], x[i] + count * n, P::reduces ? x[i] : out[i], n}; }

  template <class Terms>
  Terms* terms_of(Terms* terms, int i) const { return terms + i * ModerateRow<S>::terms_size(n); }

  // kLanes rows.
  struct Lane {
    alignas(64) double total[2][kLanes] = {}, unit[2][kLanes] = {}, ties[kLanes] = {}, max[kLanes] = {},
                       temperature[kLanes];
  };
  SIGMAX_INLINE void finish(int first, const ModerateSums<W>* sums, const T* terms, ScaleAt<T>& scale_at) {
    int rows = count - first < kLanes ? static_cast<int>(count - first) : kLanes;
    Lane lanes;
    for (int lane = 0; lane < kLanes; ++lane) lanes.temperature[lane] = 1.0, lanes.unit[0][lane] = 1.0;
    for (int lane = 0; lane < rows; ++lane) {
      if (!done[first + lane]) continue;
      take(sums[first + lane].total, lanes.total, lane);
      take(sums[first + lane].unit, lanes.unit, lane);
      lanes.ties[lane] = sums[first + lane].ties[0];
      lanes.max[lane] = max[first + lane];
      lanes.temperature[lane] = temperature[first + lane];
    }
    ModerateSums<W> together{joined(lanes.total, W{}), load(lanes.ties), joined(lanes.unit, W{})};
    if constexpr (P::labelled)
      finish_losses(first, rows, lanes, together, terms, scale_at);
    else
      finish_logarithms(first, rows, lanes, together);
  }

  void finish_logarithms(int first, int rows, const Lane& lanes, const ModerateSums<W>& sums) {
    Row<W> row = finished<P, W>(load(lanes.max), load(lanes.temperature), sums);
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
      if (!done[first + lane]) continue;
      if constexpr (P::reduces) {
        done[first + lane] = again[lane] == 0;
        store_scalar(out[first + lane], result[lane]);
      } else
        logs.write(logs.row(lane), x[first + lane], n, out[first + lane]);
    }
  }

  void finish_losses(int first, int rows, const Lane& lanes, const ModerateSums<W>& sums, const T* terms,
                     ScaleAt<T>& scale_at) {
    HardLoss<W> loss = hard_loss<T, W>(labels, first, load(lanes.max), load(lanes.temperature), sums);
    double factor[2][kLanes];
    for (int lane = 0; lane < kLanes; ++lane) take_lane(loss.factor, factor, lane);
    for (int lane = 0; lane < rows; ++lane) {
      int i = first + lane;
      done[i] = done[i] && loss.outside[lane] == 0;
      if (!done[i]) continue;
      value[i] = loss.value[lane];
      if constexpr (!P::reduces) {
        write(i, all_lanes(factor, lane, W{}), terms, scale_at);
        if (labels.label[i] >= 0) store_scalar(out[i] + labels.label[i], loss.target[lane]);
      }
    }
  }

  // The first lane of W, and any.
  static SIGMAX_INLINE void take(W from, double (*to)[kLanes], int lane) {
    to[0][lane] = leading(from)[0];
    to[1][lane] = trailing(from)[0];
  }
  static SIGMAX_INLINE void take_lane(W from, double (*to)[kLanes], int lane) {
    to[0][lane] = leading(from)[lane];
    to[1][lane] = trailing(from)[lane];
  }
  static SIGMAX_INLINE Vec joined(const double (*parts)[kLanes], Vec) { return load(parts[0]); }
  static SIGMAX_INLINE Pair joined(const double (*parts)[kLanes], Pair) { return {load(parts[0]), load(parts[1])}; }
  static SIGMAX_INLINE Vec all_lanes(const double (*parts)[kLanes], int lane, Vec) { return splat(parts[0][lane]); }
  static SIGMAX_INLINE Pair all_lanes(const double (*parts)[kLanes], int lane, Pair) {
    return {splat(parts[0][lane]), splat(parts[1][lane])};
  }
};

// A few blocks of rows side by side, range by range of the classes: their lines are neighbours in memory.
template <class P, class S, int lanes>
struct ColumnGroup {
  typedef typename Arithmetic<S>::T T;
  typedef typename Arithmetic<S>::W W;
  typedef ModerateColumns<S, kApart<P>, kWritesTerms<P>, lanes> Columns;
  static constexpr int kMost = 4;
  static constexpr std::ptrdiff_t kRange = 64;  // classes

  Block x, out;
  std::ptrdiff_t n;
  const double* temperatures;
  int blocks;
  LabelledRows<kBlock<T>> labels[P::labelled ? kMost : 1];
  Block value;           // of losses: doubles
  bool scatters = true;  // or somebody else writes the gradients of the labels
  Columns columns[kMost];
  bool done[kMost];                 // or the rows of the block are to be computed otherwise
  std::uint32_t cancelled[kMost];  // rows that are to be computed again, alone
  alignas(64) double losses[kMost][kBlock<T>], targets[kMost][kBlock<T>];

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
    typename Columns::Factors factors[kMost];
    for (int g = 0; g < blocks; ++g) {
      all[g] = columns[g].finish();
      if constexpr (P::labelled) all[g] = find_losses(g, &factors[g]) && all[g];
      done[g] = all[g] || some;
      cancelled[g] = 0;
    }
    if constexpr (P::labelled)
      write_losses(all, factors);
    else if constexpr (P::reduces)
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
        for (int group = 0; group < Columns::kGroups; ++group)
          factors[g].set(group, reciprocal(columns[g].sums[group].total));
    for_ranges([&](int g, std::ptrdiff_t begin, std::ptrdiff_t end) {
      if (done[g]) columns[g].write(begin, end, factors[g], out.at(g * kBlock<T>, 0), out.class_stride, !all[g]);
    });
  }

  // Whether all rows of the block are in reach.
  bool find_losses(int g, typename Columns::Factors* factors) {
    Mask any_outside{};
    for (int first = 0; first < kBlock<T>; first += kLanes) {
      HardLoss<W> loss = hard_loss<T, W>(labels[g], first, load(lane_pointer(columns[g].max[0]) + first),
                                         load(temperatures + g * kBlock<T> + first), columns[g].sums[first / kLanes]);
      factors->set(first / kLanes, loss.factor);
      store(losses[g] + first, loss.value);
      store(targets[g] + first, loss.target);
      store(columns[g].outside + first, select(loss.outside, splat(1.0), load(columns[g].outside + first)));
      any_outside |= loss.outside;
    }
    return !any(any_outside);
  }

  void write_losses(const bool* all, const typename Columns::Factors* factors) {
    if constexpr (!P::reduces)
      for_ranges([&](int g, std::ptrdiff_t begin, std::ptrdiff_t end) {
        if (done[g]) columns[g].write(begin, end, factors[g], out.at(g * kBlock<T>, 0), out.class_stride, !all[g]);
      });
    for (int g = 0; g < blocks; ++g)
      for (int i = 0; done[g] && i < kBlock<T>; ++i) {
        if (columns[g].outside[i] != 0) continue;
        std::memcpy(value.at(g * kBlock<T> + i, 0), &losses[g][i], sizeof(double));
        if (scatters) scatter(g, i, out.at(g * kBlock<T> + i, 0), out.class_stride);
      }
  }

  // The label's own gradient.
  void scatter(int g, int i, char* row, std::ptrdiff_t class_stride) const {
    std::ptrdiff_t label = labels[g].label[i];
    if (!P::reduces && label >= 0) store_scalar(reinterpret_cast<S*>(row + label * class_stride), targets[g][i]);
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

}  // namespace
}  // namespace sigmax
