// The first two moments of a row's logits z under p = softmax(b·z), about a reference r:
//   mean = Σ p_k·(z_k - r),   second = Σ p_k·(z_k - r)².
// With r the logit of the label, they are the derivatives by b that Newton's method fits a temperature 1/b with: the loss
// log Σ e^(b·z) - b·r has the derivatives mean and second - mean².
//
// Everything is one double per number, whatever the type of the logits. With m the largest logit, y_k = b·(z_k - m) and
// u = 2^-53, a factor e^y is wrong by (6 + 3|y|)·u at most: z_k - m and the rate b·log₂e are rounded, their product is
// not; 6·u is for the reduced argument and the polynomial. A sum of n <= 64 terms, one after the other, adds n·u of the sum
// of their absolute values, one of more, in 32 lanes, (n/32 + 9)·u; z_k - r, products and the quotient 6·u. So, numerator
// and denominator together,
//   |error of mean| <= u·Σ p_k·|z_k - r|·(24 + 2·min(n, 64) + n/16 + 3|y_k| + 3·Σ p_j·|y_j|),
// and with squares that of `second`. A class with z_k = r adds 0 exactly: the mean of a confident row about its winner
// keeps its digits, however close to 0 it is.
//
// A class at -inf, and one with y < -700, has p = 0 and adds nothing. A row without another class has the moments 0 and 0,
// one with NaN or +inf has NaN. So has a row for a b that is not in [0, 2^1023], or one of doubles whose range overflows at
// a b below 2^-1010.
#pragma once

#include "axis_kernels.h"

namespace sigmax {
namespace {

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
  SIGMAX_INLINE Mask counts_all(Vec min) const { return (min - max) * rate >= -1000.0; }
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
};

// The numbers of rows that are computed together.
struct MomentRows {
  alignas(64) double beta[kTileRows], reference[kTileRows], largest[kTileRows], smallest[kTileRows];
  alignas(64) double total[kTileRows], first[kTileRows], second[kTileRows];

  MomentRows(const MomentsCall& call, std::ptrdiff_t begin, std::ptrdiff_t count) {
    if (count < kTileRows) std::memset(this, 0, sizeof(*this));  // rows that are not there
    copy_block<double>(column(beta), block_at(call.beta, begin), count, 1);
    copy_block<double>(column(reference), block_at(call.reference, begin), count, 1);
  }
  // The moments take the place of the sums.
  void finish(const MomentsCall& call, std::ptrdiff_t begin, std::ptrdiff_t count) {
    for (std::ptrdiff_t i = 0; i < count; i += kLanes) {
      Vec sum = load(total + i), inverse = 1.0 / sum;
      store(first + i, one_nan(select(sum == 0.0, Vec{}, load(first + i) * inverse)));
      store(second + i, one_nan(select(sum == 0.0, Vec{}, load(second + i) * inverse)));
    }
    copy_block<double>(block_at(call.mean, begin), column(first), count, 1);
    copy_block<double>(block_at(call.second, begin), column(second), count, 1);
  }
  SIGMAX_INLINE MomentRow row(std::ptrdiff_t i) const {
    return MomentRow(splat(largest[i]), splat(beta[i]), splat(reference[i]));
  }
  static Block column(double* numbers) { return {reinterpret_cast<char*>(numbers), sizeof(double), 0}; }
};

template <class S>
struct LogitMoments {
  typedef typename Arithmetic<S>::T T;
  typedef Lanes<T> V;
  static constexpr std::ptrdiff_t kSize = sizeof(S);
  static constexpr std::ptrdiff_t kLongestInLanes = 64;  // rows of up to so many classes are in lanes
  static constexpr std::ptrdiff_t kBatchBytes = 32768;  // in the first cache

  static std::ptrdiff_t rows_together(std::ptrdiff_t classes) {
    return classes <= kLongestInLanes ? kTileRows : classes <= kLongestWholeRow ? kStridedRows : 1;
  }
  static std::size_t scratch_bytes(std::ptrdiff_t classes) {
    return classes <= kLongestInLanes ? 0 : rows_together(classes) * padded(classes) * kSize;
  }

  static void rows(const MomentsCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, char* scratch) {
    const std::ptrdiff_t step = rows_together(call.classes);
    for (std::ptrdiff_t row = begin; row < end; row += step) {
      std::ptrdiff_t count = end - row < step ? end - row : step;
      MomentRows rows(call, row, count);
      call.classes <= kLongestInLanes ? short_rows(call, row, count, rows) : long_rows(call, row, count, scratch, rows);
      rows.finish(call, row, count);
    }
  }

  // ---------------------------------------------------------------- rows in lanes, terms in class order

  static void short_rows(const MomentsCall& call, std::ptrdiff_t begin, std::ptrdiff_t count, MomentRows& rows) {
    alignas(64) S z[kLongestInLanes * kTileRows];
    if (count < kTileRows) std::memset(z, 0, call.classes * kTileRows * kSize);
    Block tile = {reinterpret_cast<char*>(z), kSize, kTileRows * kSize};
    copy_block<S>(tile, block_at(call.x, begin), count, call.classes);
    for (std::ptrdiff_t row = 0; row < count; row += kVirtualLanes)
      rows_in_lanes(z, call.classes, block_at(call.x, begin + kTileRows + row).data, row, rows);
  }

  // What is read later: memory brings it while these classes are computed.
  static SIGMAX_INLINE void prefetch(const char* next) {
    for (std::ptrdiff_t byte = 0; byte < kVirtualLanes * kSize; byte += 64) __builtin_prefetch(next + byte);
  }

  static void rows_in_lanes(const S* z, std::ptrdiff_t n, const char* next, std::ptrdiff_t first, MomentRows& rows) {
    Vec largest[kVectors], smallest[kVectors];
    MomentRow row[kVectors];
    MomentSums sums[kVectors];
    SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) {
      largest[k] = splat(-kLargest<T>);
      smallest[k] = splat(kLargest<T>);
    }
    for (std::ptrdiff_t j = 0; j < n; ++j)
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) {
        Vec v = load(z + j * kTileRows + first + k * kLanes);
        largest[k] = max(v, largest[k]);
        smallest[k] = min(v, smallest[k]);
      }
    Mask all = ~Mask{};
    SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) {
      row[k] = MomentRow(largest[k], load(rows.beta + first + k * kLanes), load(rows.reference + first + k * kLanes));
      all &= row[k].counts_all(smallest[k]);
    }
    bool some = any(~all);
    for (std::ptrdiff_t j = 0; j < n; ++j) {
      prefetch(next + j * kVirtualLanes * kSize);
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) {
        Vec v = load(z + j * kTileRows + first + k * kLanes);
        if (__builtin_expect(some, false))
          sums[k].add_where(row[k].counts(v), v, row[k]);
        else
          sums[k].add(v, row[k]);
      }
    }
    SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) {
      store(rows.total + first + k * kLanes, sums[k].total);
      store(rows.first + first + k * kLanes, sums[k].first);
      store(rows.second + first + k * kLanes, sums[k].second);
    }
  }

  // ---------------------------------------------------------------- classes in lanes

  // Contiguous rows where they are, others through scratch. The range of a row is needed for its first term, and waited
  // for: those of a few rows are found together.
  static void long_rows(const MomentsCall& call, std::ptrdiff_t begin, std::ptrdiff_t count, char* scratch,
                        MomentRows& rows) {
    const std::ptrdiff_t n = call.classes, batch = kBatchBytes / (n * kSize) + 1;
    Block z = block_at(call.x, begin);
    if (z.class_stride != kSize) {
      Block copy = {scratch, padded(n) * kSize, kSize};
      copy_block<S>(copy, z, count, n);
      z = copy;
    }
    for (std::ptrdiff_t i = 0; i < count; i += batch) {
      const std::ptrdiff_t end = i + batch < count ? i + batch : count;
      for (std::ptrdiff_t k = i; k < end; ++k)
        find_range(reinterpret_cast<const S*>(z.at(k, 0)), n, rows.largest + k, rows.smallest + k);
      for (std::ptrdiff_t k = i; k < end; ++k)
        add_row(reinterpret_cast<const S*>(z.at(k, 0)), n, z.at(k + batch, 0), k, rows);
    }
  }

  static SIGMAX_INLINE void add_row(const S* z, std::ptrdiff_t n, const char* next, std::ptrdiff_t i, MomentRows& rows) {
    bool some = any(~rows.row(i).counts_all(splat(rows.smallest[i])));
    some ? sums<true>(z, n, next, i, rows) : sums<false>(z, n, next, i, rows);
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
  static SIGMAX_INLINE double folded(V* vectors, Combine combine) {
    constexpr int lanes = sizeof(V) / sizeof(T), parts = lanes / kLanes;
    SIGMAX_UNROLL for (int k = 1; k < kVirtualLanes / lanes; ++k) vectors[0] = combine(vectors[0], vectors[k]);
    Vec part[parts];
    SIGMAX_UNROLL for (int k = 0; k < parts; ++k) part[k] = load(lane_pointer(vectors[0]) + k * kLanes);
    return fold<parts>(part, combine)[0];
  }

  // Class i goes to virtual lane i mod 32. The classes after the last 32 go to the first lanes, eight at a time; of a last
  // eight that are not whole, class n - k goes to lane 8 - k.
  template <bool guarded>
  static SIGMAX_NOINLINE void sums(const S* z, std::ptrdiff_t n, const char* next, std::ptrdiff_t at,
                                   MomentRows& rows) {
    const MomentRow row = rows.row(at);
    MomentSums lanes[kVectors];
    auto add = [&](MomentSums& sums, Vec v) SIGMAX_ALWAYS {
      guarded ? sums.add_where(row.counts(v), v, row) : sums.add(v, row);
    };
    std::ptrdiff_t i = 0;
    for (; i + kVirtualLanes <= n; i += kVirtualLanes) {
      prefetch(next + i * kSize);
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) add(lanes[k], load(z + i + k * kLanes));
    }
    for (; i + kBlock<double> <= n; i += kBlock<double>)
      SIGMAX_UNROLL for (int k = 0; k < kBlock<double> / kLanes; ++k) add(lanes[k], load(z + i + k * kLanes));
    if (i < n)
      SIGMAX_UNROLL for (int k = 0; k < kBlock<double> / kLanes; ++k) {
        Vec v = load(z + n - kBlock<double> + k * kLanes);
        Mask fresh = ~lanes_below(kBlock<double> - (n - i) - k * kLanes);
        lanes[k].add_where(guarded ? fresh & row.counts(v) : fresh, v, row);
      }
    rows.total[at] = folded(lanes, [](const MomentSums& sums) SIGMAX_ALWAYS { return sums.total; });
    rows.first[at] = folded(lanes, [](const MomentSums& sums) SIGMAX_ALWAYS { return sums.first; });
    rows.second[at] = folded(lanes, [](const MomentSums& sums) SIGMAX_ALWAYS { return sums.second; });
  }

  template <class Sum>
  static SIGMAX_INLINE double folded(const MomentSums* lanes, Sum sum) {
    Vec part[kVectors];
    SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) part[k] = sum(lanes[k]);
    return fold(part, [](Vec a, Vec b) { return a + b; })[0];
  }

  static constexpr MomentsKernel kernel = {rows, scratch_bytes};
};

}  // namespace
}  // namespace sigmax
