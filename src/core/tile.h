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

}  // namespace
}  // namespace sigmax
