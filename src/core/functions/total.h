// The sum of float64 numbers, compensated, in an order that depends on their number alone.
#pragma once

#include "../calls.h"
#include "../simd/fold.h"

namespace sigmax {
namespace {

// Chunks of kChunk numbers, which threads may share; in a chunk number i goes to virtual lane i mod 32, the lanes are
// folded 32 -> 1, and chunk follows chunk. The rounding error of every addition is added up beside the sum
// (Ogita, Rump & Oishi 2005): relative error 2^-53 + n²·2^-106·Σ|x|/|Σx|. Additions alone: the baseline agrees.
class Total {
  static constexpr int kVirtualLanes = 32, kVectors = kVirtualLanes / kLanes;  // more than rows have: sums wait for memory

 public:
  // Only the last call of a chunk may add other than a multiple of 32 numbers.
  void add(const double* x, std::ptrdiff_t n) {
    Pair sums[kVectors];
    std::memcpy(sums, sums_, sizeof(sums));
    std::ptrdiff_t i = 0;
    for (; i + kVirtualLanes <= n; i += kVirtualLanes) add_block(sums, x + i);
    if (i < n) {
      double rest[kVirtualLanes] = {};
      std::memcpy(rest, x + i, (n - i) * sizeof(double));
      add_block(sums, rest);
    }
    std::memcpy(sums_, sums, sizeof(sums));
  }

  Sum sum() {
    Pair sum = fold<kVectors>(sums_, [](Pair a, Pair b) SIGMAX_ALWAYS {
      accumulate(a, b);
      return a;
    });
    return {sum.hi[0], sum.lo[0]};
  }

  static Sum chunk(const double* x, std::ptrdiff_t n) {
    Total total;
    total.add(x, n);
    return total.sum();
  }

  // Where the sum is infinite its rounding error is NaN, and does not count.
  static double merge(const Sum* chunks, std::ptrdiff_t count) {
    Pair sum = {};
    for (std::ptrdiff_t k = 0; k < count; ++k) accumulate(sum, Pair{splat(chunks[k].value), splat(chunks[k].error)});
    return select(sum.lo == sum.lo, sum.hi + sum.lo, sum.hi)[0];
  }

 private:
  Pair sums_[kVectors] = {};

  // 32 numbers, one per virtual lane.
  static SIGMAX_INLINE void add_block(Pair* sums, const double* x) {
    SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) accumulate(sums[k], as_pair(load(x + k * kLanes)));
  }
};

}  // namespace
}  // namespace sigmax
