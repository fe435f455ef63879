// The first two moments of a row's logits z under p = softmax(b·z), about a reference r:
//   mean = Σ p_k·(z_k - r),   second = Σ p_k·(z_k - r)².
// With r the logit of the label, they are the derivatives by b that Newton's method fits a temperature 1/b with: the loss
// log Σ e^(b·z) - b·r has the derivatives mean and second - mean².
//
// Everything is one double per number, whatever the type of the logits. With m the largest logit, y_k = b·(z_k - m) and
// u = 2^-53, a factor e^y is wrong by (6 + 2|y|)·u: z_k - m and the rate b·log₂e, products of which are not rounded, by
// 2|y|·u at most; the reduced argument, the polynomial and its evaluation by less than 6·u. A sum of n terms adds
// (n/32 + 10)·u (n up to kShort: n·u) of the sum of their absolute values, z_k - r and the products 4·u. So, for the
// denominator as for the numerator,
//   |error of mean| <= u·Σ p_k·|z_k - r|·(32 + n/16 + 2|y_k| + 2·Σ p_j·|y_j|),
// and the same of `second` with squares. A class with z_k = r adds 0 exactly: the mean of a confident row about its
// winner keeps its digits, however close to 0 it is.
//
// A class at -inf, and one with y < -700, has p = 0 and adds nothing. A row without another class has the moments 0 and 0,
// one with NaN or +inf has NaN. So has a row for a b that is not in [0, 2^1023], or one of doubles whose range overflows at
// a b below 2^-1010.
#pragma once

#include "axis_kernels.h"

namespace sigmax {
namespace {

template <class T>
constexpr double kLargest = sizeof(T) == sizeof(float) ? 0x1.fffffep127 : 0x1.fffffffffffffp1023;

// Of a row, or of a row per lane.
struct MomentRow {
  Vec max, rate, reference;
  Vec lowest;  // of z - m: below it, p counts as 0

  SIGMAX_INLINE MomentRow() {}
  SIGMAX_INLINE MomentRow(Vec max, Vec beta, Vec reference) : max(max), reference(reference) {
    beta = select((beta >= 0.0) & (beta <= 0x1p1023), abs(beta), splat(kNaN));
    rate = beta * kLog2e;
    lowest = kNarrowFloor / beta;
  }

  // Whether no class counts as 0, by the smallest logit.
  SIGMAX_INLINE Mask counts_all(Vec min) const {
    Vec range = min - max;
    return (range * rate >= -1000.0) & (range > -kInfinity);
  }
  SIGMAX_INLINE Mask counts(Vec z) const { return ~(z - max < lowest) & (z != -kInfinity); }
};

struct MomentSums {
  Vec total = {}, first = {}, second = {};

  SIGMAX_INLINE void add(Vec e, Vec deviation) {
    Vec product = e * deviation;
    total = total + e;
    first = first + product;
    second = mul_add(product, deviation, second);
  }
  SIGMAX_INLINE void add(Vec z, const MomentRow& row) { add(factor(z, row), z - row.reference); }
  SIGMAX_INLINE void add_where(Mask mask, Vec z, const MomentRow& row) {
    add(only_where(mask, factor(z, row)), only_where(mask, z - row.reference));
  }
  static SIGMAX_INLINE Vec factor(Vec z, const MomentRow& row) { return exp2_of_product(z - row.max, row.rate, kExp2); }

  SIGMAX_INLINE Vec moment(Vec sum) const { return one_nan(select(total == 0.0, Vec{}, sum * (1.0 / total))); }
};

template <class S>
struct LogitMoments {
  typedef typename Arithmetic<S>::T T;
  typedef Lanes<T> V;
  static constexpr std::ptrdiff_t kSize = sizeof(S);
  static constexpr int kEight = 8;  // classes that a row is shorter than a multiple of: see sums

  static std::size_t scratch_bytes(std::ptrdiff_t classes) {
    return classes <= kShort ? 0 : kStridedRows * padded(classes) * kSize;
  }

  static void rows(const MomentsCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, char* scratch) {
    const std::ptrdiff_t step = call.classes <= kShort ? kTileRows : kStridedRows;
    for (std::ptrdiff_t row = begin; row < end; row += step) {
      std::ptrdiff_t count = end - row < step ? end - row : step;
      call.classes <= kShort ? short_rows(call, row, count) : long_rows(call, row, count, scratch);
    }
  }

  // ---------------------------------------------------------------- rows in lanes, terms in class order

  static void short_rows(const MomentsCall& call, std::ptrdiff_t begin, std::ptrdiff_t count) {
    alignas(64) S z[kShort * kTileRows];
    alignas(64) double beta[kTileRows] = {}, reference[kTileRows] = {}, mean[kTileRows], second[kTileRows];
    if (count < kTileRows) std::memset(z, 0, sizeof(z));
    copy_block<S>(tile_of(z), block_at(call.x, begin), count, call.classes);
    copy_block<double>(tile_of(beta), block_at(call.beta, begin), count, 1);
    copy_block<double>(tile_of(reference), block_at(call.reference, begin), count, 1);
    for (std::ptrdiff_t row = 0; row < count; row += kVirtualLanes)
      rows_in_lanes(z + row, call.classes, beta + row, reference + row, mean + row, second + row);
    copy_block<double>(block_at(call.mean, begin), tile_of(mean), count, 1);
    copy_block<double>(block_at(call.second, begin), tile_of(second), count, 1);
  }

  template <class N>
  static Block tile_of(N* numbers) {
    constexpr std::ptrdiff_t size = sizeof(N);
    return {reinterpret_cast<char*>(numbers), size, kTileRows * size};
  }

  static void rows_in_lanes(const S* z, std::ptrdiff_t n, const double* beta, const double* reference, double* mean,
                            double* second) {
    Vec largest[kVectors], smallest[kVectors];
    MomentRow row[kVectors];
    MomentSums sums[kVectors];
    SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) {
      largest[k] = splat(-kLargest<T>);
      smallest[k] = splat(kLargest<T>);
    }
    for (std::ptrdiff_t j = 0; j < n; ++j)
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) {
        Vec v = load(z + j * kTileRows + k * kLanes);
        largest[k] = max(v, largest[k]);
        smallest[k] = min(v, smallest[k]);
      }
    Mask all = ~Mask{};
    SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) {
      row[k] = MomentRow(largest[k], load(beta + k * kLanes), load(reference + k * kLanes));
      all &= row[k].counts_all(smallest[k]);
    }
    bool some = any(~all);
    for (std::ptrdiff_t j = 0; j < n; ++j)
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) {
        Vec v = load(z + j * kTileRows + k * kLanes);
        if (__builtin_expect(some, false))
          sums[k].add_where(row[k].counts(v), v, row[k]);
        else
          sums[k].add(v, row[k]);
      }
    SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) {
      store(mean + k * kLanes, sums[k].moment(sums[k].first));
      store(second + k * kLanes, sums[k].moment(sums[k].second));
    }
  }

  // ---------------------------------------------------------------- classes in lanes

  // Contiguous rows where they are, others through scratch.
  static void long_rows(const MomentsCall& call, std::ptrdiff_t begin, std::ptrdiff_t count, char* scratch) {
    const std::ptrdiff_t n = call.classes;
    Block z = block_at(call.x, begin);
    if (z.class_stride != kSize) {
      Block copy = {scratch, padded(n) * kSize, kSize};
      copy_block<S>(copy, z, count, n);
      z = copy;
    }
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      MomentSums sums = sums_of(reinterpret_cast<const S*>(z.at(i, 0)), n, number_at<double>(call.beta, begin + i),
                                number_at<double>(call.reference, begin + i));
      store_scalar(reinterpret_cast<double*>(block_at(call.mean, begin + i).data), sums.moment(sums.first)[0]);
      store_scalar(reinterpret_cast<double*>(block_at(call.second, begin + i).data), sums.moment(sums.second)[0]);
    }
  }

  static SIGMAX_INLINE MomentSums sums_of(const S* z, std::ptrdiff_t n, double beta, double reference) {
    double largest, smallest;
    find_range(z, n, &largest, &smallest);
    MomentRow row(splat(largest), splat(beta), splat(reference));
    return any(~row.counts_all(splat(smallest))) ? sums<true>(z, n, row) : sums<false>(z, n, row);
  }

  // NaN is passed over; it comes out of the sums.
  static SIGMAX_INLINE void find_range(const S* z, std::ptrdiff_t n, double* largest, double* smallest) {
    constexpr int lanes = sizeof(V) / sizeof(T), vectors = kVirtualLanes / lanes;
    V most[vectors], least[vectors];
    SIGMAX_UNROLL for (int k = 0; k < vectors; ++k) {
      most[k] = constant(static_cast<T>(-kLargest<T>));
      least[k] = -most[k];
    }
    auto take = [&](std::ptrdiff_t i) SIGMAX_ALWAYS {
      SIGMAX_UNROLL for (int k = 0; k < vectors; ++k) {
        V v = load_lanes(z + i + k * lanes);
        most[k] = max(v, most[k]);
        least[k] = min(v, least[k]);
      }
    };
    take(n - kVirtualLanes);
    for (std::ptrdiff_t i = 0; i + kVirtualLanes <= n; i += kVirtualLanes) take(i);
    *largest = folded(most, [](auto a, auto b) { return max(a, b); });
    *smallest = folded(least, [](auto a, auto b) { return min(a, b); });
  }

  template <class Combine>
  static SIGMAX_INLINE double folded(const V* vectors, Combine combine) {
    alignas(64) T lanes[kVirtualLanes];
    std::memcpy(lanes, vectors, sizeof(lanes));
    Vec parts[kVectors];
    SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) parts[k] = load(lanes + k * kLanes);
    return fold(parts, combine)[0];
  }

  // Class i goes to virtual lane i mod 32. The classes after the last 32 go to the first lanes, eight at a time; of a last
  // eight that are not whole, class n - k goes to lane 8 - k.
  template <bool guarded>
  static SIGMAX_NOINLINE MomentSums sums(const S* z, std::ptrdiff_t n, const MomentRow row) {
    MomentSums lanes[kVectors];
    auto add = [&](MomentSums& sums, Vec v) SIGMAX_ALWAYS {
      guarded ? sums.add_where(row.counts(v), v, row) : sums.add(v, row);
    };
    std::ptrdiff_t i = 0;
    for (; i + kVirtualLanes <= n; i += kVirtualLanes)
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) add(lanes[k], load(z + i + k * kLanes));
    for (; i + kEight <= n; i += kEight)
      SIGMAX_UNROLL for (int k = 0; k < kEight / kLanes; ++k) add(lanes[k], load(z + i + k * kLanes));
    if (i < n)
      SIGMAX_UNROLL for (int k = 0; k < kEight / kLanes; ++k) {
        Vec v = load(z + n - kEight + k * kLanes);
        Mask fresh = ~lanes_below(kEight - (n - i) - k * kLanes);
        lanes[k].add_where(guarded ? fresh & row.counts(v) : fresh, v, row);
      }
    auto plus = [](Vec a, Vec b) { return a + b; };
    Vec part[kVectors];
    MomentSums sum;
    SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) part[k] = lanes[k].total;
    sum.total = fold(part, plus);
    SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) part[k] = lanes[k].first;
    sum.first = fold(part, plus);
    SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) part[k] = lanes[k].second;
    sum.second = fold(part, plus);
    return sum;
  }

  static constexpr MomentsKernel kernel = {rows, scratch_bytes};
};

}  // namespace
}  // namespace sigmax
