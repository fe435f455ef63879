// Where a running sum of weights crosses a number, without sorting the keys it runs along.
//
// The weights are added up in bins of equal width, from the largest key down, in one pass. The bin in which the sum crosses
// its target is taken apart: its few keys are binned again, and sorted when they are fewer than kFew.
#pragma once

#include "values.h"

namespace sigmax {
namespace {

// The first key, in ascending or descending order, at which the weights so far exceed a target, a share of the mass of
// all; equal keys count together. `before` and `through`: the sums without and with its weights; `after`: of the rest.
struct Crossing {
  double key, before, through, after, mass, target;

  // Whether rounding could have moved it, among n keys.
  bool is_close(Index n) const {
    const double error = (kSumError + 0x1p-52 * static_cast<double>(n)) * target;
    return !(target - before > error && through - target > error);
  }
};

template <bool kDown>
SIGMAX_INLINE bool precedes(double a, double b) {
  return kDown ? a > b : a < b;
}

constexpr Index kGaps[] = {701, 301, 132, 57, 23, 10, 4, 1};  // of Shell's sort (Ciura 2001)

template <bool kDown>
void sort(double* keys, double* weights, Index n) {
  for (Index gap : kGaps) {
    for (Index i = gap; i < n; ++i) {
      const double key = keys[i], weight = weights[i];
      Index j = i;
      for (; j >= gap && precedes<kDown>(key, keys[j - gap]); j -= gap) {
        keys[j] = keys[j - gap];
        weights[j] = weights[j - gap];
      }
      keys[j] = key;
      weights[j] = weight;
    }
  }
}

constexpr Index kFew = 48, kMostBins = 512, kTables = 4;

// Bins of equal width from the largest key down; the last one takes all that is below.
struct Bins {
  Index count;
  Vec top, scale, last;

  Bins(Index keys, double largest, double span) : count(keys < 4096 ? kMostBins / 8 : kMostBins), top(splat(largest)) {
    const double bins = static_cast<double>(count);
    scale = splat(span > 0x1p-1000 ? (span < 0x1p1000 ? bins / span : 0x1p-1010) : 0x1p1000);
    last = splat(bins - 1.0);
  }
  // The number of the bin, and kRoundToInteger.
  SIGMAX_INLINE Vec operator()(Vec key) const { return min((top - key) * scale, last) + kRoundToInteger; }
};

// The weight in each bin: four tables take turns, so that an addition seldom waits for the one before.
template <class Source>
SIGMAX_NOINLINE void fill_bins(Source source, Index n, Bins bins, double* sums) {
  double table[kTables][kMostBins];
  for (Index t = 0; t < kTables; ++t)
    for (Index b = 0; b < bins.count; ++b) table[t][b] = 0.0;
  for (Index start = 0; start < n; start += kBlock) {
    double weight[kBlock];
    std::uint64_t bin[kBlock];
    const Index count = n - start < kBlock ? n - start : kBlock;
    const auto* numbers = source.block(start);
    for (Index i = 0; i < kBlock; i += kSumLanes) {
      SIGMAX_UNROLL for (Index at = i; at < i + kSumLanes; at += kLanes) {
        const Vec number = load(numbers + at);
        store_vector(bin + at, bit_cast<Bits>(bins(source.key(number))) & 0xffffu);
        store(weight + at, source.weight(start + at, number));
      }
    }
    Index i = 0;
    for (; i + kTables <= count; i += kTables)
      SIGMAX_UNROLL_ALL for (Index t = 0; t < kTables; ++t) table[t][bin[i + t]] += weight[i + t];
    for (; i < count; ++i) table[0][bin[i]] += weight[i];
  }
  for (Index b = 0; b < bins.count; ++b) sums[b] = (table[0][b] + table[1][b]) + (table[2][b] + table[3][b]);
}

// Keys that are listed with their weights. What else is crossed has the same members: the numbers of a block of kBlock; the
// keys of a vector of them, and the weights, from number i on; and take().
struct Listed {
  double *keys, *weights;

  const double* block(Index start) const { return keys + start; }
  SIGMAX_INLINE Vec key(Vec number) const { return number; }
  SIGMAX_INLINE Vec weight(Index i, Vec) const { return load(weights + i); }

  // Copies what is in one bin of n keys, with its weights; how much that is. It may be copied to where it is.
  Index take(Index n, Bins bins, double bin, double* to, double* to_weights) const {
    Index size = 0;
    for (Index i = 0; i < n; i += kLanes) {
      const Vec key = load(keys + i), weight = load(weights + i);
      const Mask there = bins(key) == bin;
      for (Index l = 0; l < kLanes && i + l < n; ++l) {
        to[size] = key[l];
        to_weights[size] = weight[l];
        size -= there[l];
      }
    }
    return size;
  }
};

// Takes the bin where the weights so far exceed the target; what is before and after it is added up.
template <bool kDown, class Source>
Index take_crossed(Source source, Index n, Bins bins, const double* sums, Crossing* so_far, double* keys, double* weights) {
  const Index first = kDown ? 0 : bins.count - 1, last = bins.count - 1 - first, step = kDown ? 1 : -1;
  Index bin = first;
  for (; bin != last && !(so_far->before + sums[bin] > so_far->target); bin += step) so_far->before += sums[bin];
  double after = 0.0;
  for (Index b = last; b != bin; b -= step) after += sums[b];
  so_far->after += after;
  return source.take(n, bins, static_cast<double>(bin) + kRoundToInteger, keys, weights);
}

// The end, when few keys are left.
template <bool kDown>
Crossing cross_sorted(double* keys, double* weights, Index n, Crossing found) {
  sort<kDown>(keys, weights, n);
  found.key = n > 0 ? keys[0] : kNaN;
  found.through = found.before;
  Index i = 0;
  for (; i < n; ++i) {
    if (keys[i] != found.key) {
      if (found.through > found.target) break;
      found.key = keys[i];
      found.before = found.through;
    }
    found.through += weights[i];
  }
  double after = 0.0;
  for (Index k = n - 1; k >= i; --k) after += weights[k];
  found.after += after;
  return found;
}

// What is crossed among n keys. All are at most `largest`; those below largest - span take longer. The target is a share of
// the mass, less `margin`. `keys` and `weights` take whole blocks.
template <bool kDown, class Source>
Crossing crossing(Source source, Index n, double largest, double span, double share, double margin, double* keys,
                  double* weights) {
  double sums[kMostBins], mass = 0.0;
  if (n <= kFew) {
    const auto* numbers = source.block(0);
    for (Index i = 0; i < n; i += kLanes) {
      const Vec number = load(numbers + i);
      store(weights + i, source.weight(i, number));
      store(keys + i, source.key(number));
    }
    for (Index i = 0; i < n; ++i) mass += weights[i];
    return cross_sorted<kDown>(keys, weights, n, {kNaN, 0.0, 0.0, 0.0, mass, share * mass - margin});
  }
  const Bins first(n, largest, span);
  fill_bins(source, n, first, sums);
  for (Index b = first.count - 1; b >= 0; --b) mass += sums[b];
  Crossing found = {kNaN, 0.0, 0.0, 0.0, mass, share * mass - margin};
  Index left = take_crossed<kDown>(source, n, first, sums, &found, keys, weights);
  while (true) {
    double low = kInfinity, high = kMinusInfinity, within = 0.0;
    for (Index i = 0; i < left; ++i) {
      low = keys[i] < low ? keys[i] : low;
      high = keys[i] > high ? keys[i] : high;
      within += weights[i];
    }
    if (low == high) {
      found.key = low;
      found.through = found.before + within;
      return found;
    }
    if (left <= kFew) return cross_sorted<kDown>(keys, weights, left, found);
    const Bins bins(left, high, high - low);
    const Listed listed = {keys, weights};
    fill_bins(listed, left, bins, sums);
    const Index taken = take_crossed<kDown>(listed, left, bins, sums, &found, keys, weights);
    if (taken == left) return cross_sorted<kDown>(keys, weights, left, found);
    left = taken;
  }
}

}  // namespace
}  // namespace sigmax
