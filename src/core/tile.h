// Short rows: a tile of them is transposed, so that rows are in lanes; terms are added in class order.
#pragma once

#include "moderate_policy.h"

namespace sigmax {
namespace {

constexpr std::ptrdiff_t kShort = 32;
constexpr std::ptrdiff_t kTileRows = 64;      // rows of a transposed tile
constexpr std::ptrdiff_t kRowsTogether = 16;  // rows of a tile computed side by side
constexpr int kRowVectors = kRowsTogether / kLanes;

template <class P, class T>
struct Tile {
  typedef typename Arithmetic<T>::W W;
  typedef SecondOf<P, W> VC;
  typedef typename P::template Term<W> Term;
  static constexpr int kWideC = sizeof(VC) / sizeof(Vec);  // low parts stand after all the high ones

  alignas(64) T x[kShort * kTileRows];
  alignas(64) Second<P, T> c[P::per_class ? kWideC * kShort * kTileRows : 1];
  alignas(64) T out[kShort * kTileRows];
  alignas(64) typename std::conditional<P::labelled, double, T>::type cotangents[kTileRows];
  alignas(64) double temperatures[kTileRows];
  alignas(64) double weights[P::labelled ? kTileRows : 1], z_losses[P::labelled ? kTileRows : 1];
  alignas(64) double values[P::labelled ? kTileRows : 1];
  alignas(64) double label_logits[P::has_target ? kTileRows : 1];
  // Gradients of hard labels that are still to be written, each in the class named beside it; -1: none.
  double targets[P::labelled ? kTileRows : 1];
  std::int64_t labels[P::labelled ? kTileRows : 1], target_classes[P::labelled ? kTileRows : 1];
  bool hard;  // no row has anything but a hard label
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
    copy_block<double>(block(temperatures), block_at(call.temperature, begin), rows, 1);
    if constexpr (P::per_class && !P::weighs_classes) read_block(c, call.per_class, begin, classes, spare);
    if constexpr (P::labelled)
      read_labels(call, begin, spare);
    else if (P::per_row)
      read_block(cotangents, call.per_row, begin, 1, spare);
  }

  // The numbers of a loss. A row that is left out is one of zeros.
  template <class S>
  void read_labels(const AxisCall& call, std::ptrdiff_t begin, S* spare) {
    const LossOperands& loss = call.loss;
    read_numbers(loss.scale, begin, rows, cotangents);
    read_numbers(loss.weight, begin, rows, weights);
    read_numbers(loss.z_loss, begin, rows, z_losses);
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      labels[i] = number_at<std::int64_t>(loss.label, begin + i);
      target_classes[i] = -1;
      if (labels[i] < 0) leave_out(i);
    }
    hard = kTakesLanes<P> && has_hard_labels(call);
    if constexpr (P::weighs_classes) {
      if (hard) return;  // their weights are rarely needed
      alignas(64) T soft[kShort * kTileRows];
      bool is_soft = call.per_class.data != nullptr;
      if (is_soft) read_block(soft, call.per_class, begin, classes, spare);
      for (std::ptrdiff_t i = 0; i < rows; i += kLanes) set_weights(call, begin, i, is_soft ? soft : nullptr);
    }
    if (has_mask(loss))
      for (std::ptrdiff_t j = 0; j < classes; ++j)
        for (std::ptrdiff_t i = 0; i < rows; ++i)
          if (is_masked(loss, begin + i, j)) mask_class(j * stride + i);
    if constexpr (P::has_target)
      for (std::ptrdiff_t i = 0; i < rows; ++i) label_logits[i] = x[(labels[i] < 0 ? 0 : labels[i]) * stride + i];
  }

  void mask_class(std::ptrdiff_t at) {
    x[at] = static_cast<T>(-kInfinity);
    if constexpr (P::of_two_rows) c[at] = x[at];
  }

  void leave_out(std::ptrdiff_t row) {
    weights[row] = z_losses[row] = 0.0;
    for (std::ptrdiff_t j = 0; j < classes; ++j) {
      x[j * stride + row] = 0;
      if constexpr (P::of_two_rows) c[j * stride + row] = 0;
    }
  }

  // a_j of kLanes rows from `i` on, as ClassWeights has them for one row.
  void set_weights(const AxisCall& call, std::ptrdiff_t begin, std::ptrdiff_t i, const T* soft) {
    const LossOperands& loss = call.loss;
    alignas(64) double label[kLanes] = {}, totals[kLanes] = {};
    std::ptrdiff_t count = rows - i < kLanes ? rows - i : kLanes;
    if (count <= 0) return;
    for (std::ptrdiff_t k = 0; k < count; ++k) label[k] = static_cast<double>(labels[i + k]);
    read_numbers(loss.prior_total, begin + i, count, totals);
    const bool masked = has_mask(loss);
    const Smoothing<W> smoothing(loss, load(totals));
    for (std::ptrdiff_t j = 0; j < classes; ++j) {
      Vec prior = splat(number_at<double>(loss.prior, begin, j));
      if (masked) prior = only_where(unmasked_rows(loss, begin + i, j, count), prior);
      Vec q = soft ? load(soft + j * stride + i) : only_where(load(label) == static_cast<double>(j), splat(1.0));
      W a = smoothing.weight(splat(number_at<double>(loss.class_weight, begin, j)), q, prior);
      store(c + j * stride + i, leading(a));
      if (kWideC == 2) store(c + kShort * kTileRows + j * stride + i, trailing(a));
    }
  }

  static Mask unmasked_rows(const LossOperands& loss, std::ptrdiff_t row, std::ptrdiff_t j, std::ptrdiff_t count) {
    double lanes[kLanes] = {};
    for (std::ptrdiff_t k = 0; k < count; ++k) lanes[k] = is_masked(loss, row + k, j) ? 0.0 : 1.0;
    return load(lanes) != 0.0;
  }

  // Rows that are not there get numbers whose arithmetic is as fast as any.
  void clear() {
    std::memset(x, 0, classes * stride * sizeof(T));
    if (P::per_class) std::memset(c, 0, classes * stride * sizeof(c[0]));
    if (kWideC == 2) std::memset(c + kShort * kTileRows, 0, classes * stride * sizeof(c[0]));
    for (std::ptrdiff_t i = 0; i < stride; ++i) cotangents[i] = 0, temperatures[i] = 1.0;
    for (std::ptrdiff_t i = 0; P::labelled && i < stride; ++i) weights[i] = z_losses[i] = 0.0, labels[i] = -1;
    for (std::ptrdiff_t i = 0; P::has_target && i < stride; ++i) label_logits[i] = 0.0;
  }

  template <class S>
  void write(const AxisCall& call, std::ptrdiff_t begin, S* spare) {
    std::ptrdiff_t columns = outputs<P>(classes);
    S* stored = raw(out, spare);
    convert(stored, out, columns * stride);
    if (kWrites<P>) copy_block<S>(block_at(call.out, begin), block(stored), rows, columns);
    if constexpr (P::labelled) {
      copy_block<double>(block_at(call.loss.value, begin), block(values), rows, 1);
      if (kWrites<P> && hard)  // not before: reading what has just been written in parts is slow
        for (std::ptrdiff_t i = 0; i < rows; ++i)
          if (target_classes[i] >= 0)
            store_scalar(reinterpret_cast<S*>(block_at(call.out, begin + i).at(0, target_classes[i])), targets[i]);
      if (kWrites<P> && has_mask(call.loss))
        for (std::ptrdiff_t i = 0; i < rows; ++i) clear_masked<S>(call, begin + i, block_at(call.out, begin + i), 0, classes);
    }
  }

  SIGMAX_INLINE VC per_class(std::ptrdiff_t at) const {
    if constexpr (kWideC == 2)
      return {load(c + at), load(c + kShort * kTileRows + at)};
    else
      return P::per_class ? load(c + at) : Vec{};
  }
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
      row[k].second_max = splat(-kInfinity);
      set_temperature(row[k], load(temperatures + first + k * kLanes));
      if (P::labelled) row[k].weight = load(weights + first + k * kLanes), row[k].z_loss = load(z_losses + first + k * kLanes);
      largest[k] = Vec{};
    }
    for (std::ptrdiff_t j = 0; j < classes; ++j)
      SIGMAX_UNROLL for (int k = 0; k < kRowVectors; ++k) {
        Vec v = logits(at(first, j, k));
        if constexpr (P::pivoted) row[k].pivot = select(v > row[k].max, per_class(at(first, j, k)), row[k].pivot);
        row[k].max = max(v, row[k].max);
        if constexpr (P::of_two_rows) row[k].second_max = max(per_class(at(first, j, k)), row[k].second_max);
        if constexpr (P::per_class && !P::labelled) largest[k] = max(abs(per_class(at(first, j, k))), largest[k]);
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
    Term terms[kShort][kRowVectors];
    for (std::ptrdiff_t j = 0; j < classes; ++j) {
      Vec v[kRowVectors];
      VC c[kRowVectors];
      Term term[kRowVectors];
      SIGMAX_UNROLL for (int k = 0; k < kRowVectors; ++k) v[k] = logits(at(first, j, k)), c[k] = per_class(at(first, j, k));
      bool mended = RowEngine<P, T>::template set_terms<kRowVectors>(
          term, v, c, [&](int k) SIGMAX_ALWAYS -> const Row<W>& { return row[k]; });
      SIGMAX_UNROLL for (int k = 0; k < kRowVectors; ++k) {
        P::template accumulate<W>(sums[k], v[k], c[k], term[k], row[k]);
        terms[j][k] = term[k];
      }
      if constexpr (P::of_two_rows)
        if (mended) SIGMAX_UNROLL for (int k = 0; k < kRowVectors; ++k) P::count_impossible(sums[k], v[k], c[k]);
    }
    SIGMAX_UNROLL for (int k = 0; k < kRowVectors; ++k) {
      if constexpr (P::has_target) sums[k].gap = difference<W>(row[k].max, load(label_logits + first + k * kLanes));
      P::template finish<W>(row[k], sums[k]);
      special[k] = is_nan<P>(sums[k]) | (row[k].max == -kInfinity) | (row[k].max == kInfinity);
      if (P::of_two_rows) special[k] |= (row[k].second_max == -kInfinity) | (row[k].second_max == kInfinity);
      if constexpr (P::labelled)
        store(values + first + k * kLanes, row[k].value);
      else if constexpr (P::reduces)
        store(out + first + k * kLanes, P::template result<W>(row[k]));
    }
    if constexpr (!P::reduces)
      for (std::ptrdiff_t j = 0; j < classes; ++j)
        SIGMAX_UNROLL for (int k = 0; k < kRowVectors; ++k) {
          Vec result = P::template apply<W>(logits(at(first, j, k)), per_class(at(first, j, k)), terms[j][k], row[k]);
          if constexpr (P::has_target)
            result = select(load_vector<Mask>(labels + first + k * kLanes) == j, P::target(terms[j][k], row[k]), result);
          store(out + at(first, j, k), result);
        }
  }

  // A row with NaN, +inf or nothing in it, alone.
  void compute_special(std::ptrdiff_t row) {
    T row_x[kShort], row_out[kShort], finite[kShort], finite_c[kShort];
    alignas(64) Second<P, T> row_c[kShort * kWideC] = {};
    alignas(64) double terms[RowEngine<P, T>::kKept * (kShort + kVirtualLanes)];
    for (std::ptrdiff_t j = 0; j < classes; ++j) {
      row_x[j] = x[j * stride + row];
      if (!P::per_class) continue;
      row_c[P::weighs_classes ? j / kLanes * kLanes * kWideC + j % kLanes : j] = c[j * stride + row];
      if (kWideC == 2) row_c[(2 * (j / kLanes) + 1) * kLanes + j % kLanes] = c[kShort * kTileRows + j * stride + row];
    }
    RowOptions options{temperatures[row], P::per_row ? cotangents[row] : 0.0};
    if (P::labelled) options.weight = weights[row], options.z_loss = z_losses[row], options.label = labels[row];
    double loss = whole_row<P, T>(row_x, row_c, options, row_out, classes, terms, finite, finite_c);
    if (P::labelled) values[row] = loss;
    for (std::ptrdiff_t j = 0; j < outputs<P>(classes); ++j) out[j * stride + row] = row_out[j];
  }

  // Moderate rows in lanes of T; where others are among them, after those.
  bool run_lanes(const AxisCall& call, std::ptrdiff_t begin, std::ptrdiff_t first, bool some, T* terms,
                 ScaleAt<T>& scale_at) {
    bool all = true;
    for (std::ptrdiff_t row = first; row < first + kRowsTogether; row += kBlock<T>) {
      ColumnGroup<P, T, 1> group;
      group.x = block(x + row);
      group.out = block(out + row);
      group.n = classes;
      group.temperatures = temperatures + row;
      group.blocks = 1;
      if constexpr (P::labelled) {
        group.value = {reinterpret_cast<char*>(values + row), sizeof(double), 0};
        group.scatters = false;
        std::ptrdiff_t count = rows - row < kBlock<T> ? rows - row : kBlock<T>;
        group.labels[0].template read<T>(call, begin + row, group.x, count < 0 ? 0 : count);
      }
      group.run(some, terms, scale_at);
      if constexpr (P::labelled)
        for (int i = 0; group.done[0] && row + i < rows && i < kBlock<T>; ++i)
          if (group.columns[0].outside[i] == 0) {
            targets[row + i] = group.targets[0][i];
            target_classes[row + i] = group.labels[0].label[i];
          }
      all = all && group.done[0];
      for (std::uint32_t left = group.cancelled[0]; left != 0; left &= left - 1)
        compute_special(row + __builtin_ctz(left));
    }
    return all;
  }

  // The rows of a call from `begin` on.
  void run(const AxisCall& call, std::ptrdiff_t begin, ScaleAt<T>& scale_at) {
    alignas(64) T terms[kTakesLanes<P> && kWritesTerms<P> ? 2 * kShort * kBlock<T> : 1];
    for (std::ptrdiff_t first = 0; first < rows; first += kRowsTogether) {
      bool takes_lanes = kTakesLanes<P> && (!P::labelled || hard);
      if constexpr (kTakesLanes<P>)
        if (takes_lanes && run_lanes(call, begin, first, false, terms, scale_at)) continue;
      run_general(call, begin, first);
      if constexpr (kTakesLanes<P>)
        if (takes_lanes) run_lanes(call, begin, first, true, terms, scale_at);
    }
  }

  void run_general(const AxisCall& call, std::ptrdiff_t begin, std::ptrdiff_t first) {
    if constexpr (P::weighs_classes)
      if (hard)
        for (int k = 0; k < kRowVectors; ++k) set_weights(call, begin, first + k * kLanes, nullptr);
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

}  // namespace
}  // namespace sigmax
