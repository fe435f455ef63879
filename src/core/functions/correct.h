// Correctly rounded rows of narrow types: softmax, log_softmax, logsumexp and the loss of a class index.
//
// The first step is in doubles, as the ordinary way is, but with errors that are proved (tools/prove_rounding.py) and a test of
// each rounding. Rows in doubt are computed again in pairs (`settle`). The argument is in docs/numerics/rounding.md.
//
// With the largest logit m, d = m - a >= 0 and L = log Σ e^((x_j - m)/T), all but the softmax is d/T + L: minus the log_softmax
// of the logit a; the loss of the label a; the logsumexp for a = 0.
#pragma once

#include "../rows/block.h"
#include "logsumexp.h"

namespace sigmax {
namespace {

// Relative errors: of a term e^y, |y| <= 700, which is kTermError + |y|·kPerEnergy; of its sums, of their logarithms, of d/T.
constexpr double kRounding = 0x1p-53;
constexpr double kTermError = 0x1p-50, kPerEnergy = 0x1.4p-51, kSumError = 0x1p-50, kLogError = 0x1.4p-50, kQuotientError = 0x1.4p-51;
// The same of pairs: of a softmax, of a logarithm.
constexpr double kPairError = 0x1p-53, kPairLogError = 0x1.8p-54;
constexpr double kUnderflow = 0x1p-970;  // more than all terms that are too small for doubles

// A first test of all results of a row together, for one error of all classes: none is suspect that is a normal float and
// farther from a tie than so many units. What is watched is the least, over the results, of two words of 32 bits: how far
// the last 29 bits are above the range beside a tie, and the high word, which tells tiny ones.
struct Sieve {
  Vec units, least;

  Sieve() = default;
  SIGMAX_INLINE Sieve(Vec error, const Options& o)
      : units(min(opaque(0x1p26), error * 0x1p53) + 2.0), least(splat(o.format == &kFormat<float> ? o.format->tiny : kInfinity)) {
    units = (units + kRoundToInteger) - kRoundToInteger;
  }
  SIGMAX_INLINE bool is_of_use() const { return least[0] < kInfinity; }
  // A 0 is above all here, and exact.
  SIGMAX_INLINE Mask watched(Mask closest, Vec y) const {
    const Bits place = (bit_cast<Bits>(abs(y)) + around() - (std::uint64_t{1} << 28)) & (kHighWord | kBetween);
    const UnsignedInts words = bit_cast<UnsignedInts>(place), before = bit_cast<UnsignedInts>(closest);
    return bit_cast<Mask>(words < before ? words : before);
  }
  SIGMAX_INLINE Mask suspects(Mask closest) const {
    const Bits limit = (bit_cast<Bits>(least) & kHighWord) | (around() + around());
    return bit_cast<Mask>(bit_cast<UnsignedInts>(closest) < bit_cast<UnsignedInts>(limit));
  }

 private:
  static constexpr std::uint64_t kHighWord = 0xffffffff00000000u, kBetween = (std::uint64_t{1} << 29) - 1;  // two floats
  SIGMAX_INLINE Bits around() const { return bit_cast<Bits>(units + 0x1p52) & kBetween; }
};

// At least the logarithm of an integer.
SIGMAX_INLINE Vec log_bound(Vec n) { return kLn2 * (exponent_of(n) + 1.0); }
// The sums of chunks are added plainly.
SIGMAX_INLINE Vec sum_error(const Options& o) { return mul_add(o.classes, kRounding / kChunk, splat(kSumError)); }

template <class W>
struct CorrectSoftmax : Program {
  typedef Vec Wide;
  typedef Vec Term;
  static constexpr bool is_tested = true, has_apart_outputs = true;
  struct Row {
    Energy<Vec> energy;
    Vec inverse, error, per_distance;
    Sieve sieve;
    Grid grid;
  };
  struct Sums {
    Vec total, rest;
  };
  static constexpr double kLargestEnergy = 88.0;  // of normal floats

  // Σ e is off by the mean error of its terms, and the mean energy is at most log n.
  static SIGMAX_INLINE Row begin(const Options& o) {
    const Vec error = kPerEnergy * log_bound(o.classes) + sum_error(o) + (2.0 * kTermError + 4.0 * kRounding);
    return {Energy<Vec>(o.largest, o), Vec{}, error, kPerEnergy * o.beta, Sieve(error + kPerEnergy * kLargestEnergy, o), Grid(*o.format)};
  }
  static SIGMAX_INLINE Vec term(Vec x, Vec, const Row& row) { return row.energy.precise_factor(x); }
  static SIGMAX_INLINE void collect(Sums& sums, Vec, Vec, Vec e, const Row&) { accumulate(sums.total, sums.rest, e); }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) { row.inverse = 1.0 / (sums.total + sums.rest); }
  static SIGMAX_INLINE Vec output(Vec, Vec, Vec e, const Row& row) { return e * row.inverse; }
  static SIGMAX_INLINE Rounded output_apart(Vec x, Vec, Vec e, const Row& row) {
    const Vec p = e * row.inverse;
    return round_within(p, p * mul_add(row.energy.distance(x), row.per_distance, row.error), row.grid);
  }
  static SIGMAX_INLINE Vec health(const Row& row) { return row.inverse; }
};

// What d/T + L is made of.
struct LogRow {
  Vec max, temperature, beta, log_error;
  Pair log;
  Grid grid;
};

// d/T + L where `near` is all that doubles tell of it: on which side of the tie M that is closest. The sign of (d - M·T)/T + L
// is, for confident rows, that of L beside an exact 0, or else of a difference that no sum has rounded.
SIGMAX_NOINLINE Rounded beside_tie(Vec a, Vec near, const LogRow& row) {
  const GridNumber nearest = on_grid(near, row.grid);
  const Vec away = near - nearest.number;
  const Vec tie = nearest.number + select(away < 0.0, -nearest.half, nearest.half);
  const Pair product = two_product(tie, row.temperature), d = two_sum(row.max, -a);
  const Pair high = two_sum(d.hi, -product.hi), low = two_sum(d.lo, -product.lo);
  const Pair beta = {row.beta, row.beta * residual(row.temperature, row.beta, splat(1.0))};
  const Pair quotient = multiply(add(high, low), beta), beyond = add(quotient, row.log);
  const Vec error = row.log_error + 0x1p-98 * (abs(quotient.hi) + abs(row.log.hi) + (abs(high.hi) + abs(low.hi)) * row.beta);
  const Mask clear = (abs(beyond.hi) > error) & (abs(product.hi) > 0x1p-900) & (abs(away) > 0.5 * nearest.half);
  return {tie + select(beyond.hi > 0.0, nearest.half, -nearest.half), ~clear};
}

// The log_softmax per class, the logsumexp as result, or a loss as value: what the call has a place for.
template <class W>
struct CorrectLog : Program {
  typedef Vec Wide;
  typedef Vec Term;
  static constexpr bool is_tested = true, has_apart_outputs = true, is_apart = true, has_result = true, has_value = true, has_label = true, has_mask = true;
  static constexpr int kept = 0;
  static constexpr double empty = -kInfinity;
  struct Row {
    Energy<Vec> energy;
    Vec temperature, log, log_error, label_x, top;
    Sieve sieve;
    Grid grid;
  };
  struct First {
    Vec total, rest;
    SIGMAX_INLINE Vec without_winner() const { return (total - 1.0) + rest; }
  };
  struct Apart {
    Vec ties, others, rest;
  };
  struct Sums {
    First first;
    Apart apart;
  };

  static SIGMAX_INLINE Row begin(const Options& o) {
    return {Energy<Vec>(o.largest, o), o.temperature, Vec{}, Vec{}, o.label_x, o.top, Sieve(), Grid(*o.format)};
  }
  static SIGMAX_INLINE Vec term(Vec x, Vec, const Row& row) { return row.energy.precise_factor(x); }
  static SIGMAX_INLINE void collect(First& sums, Vec, Vec, Vec e, const Row&) { accumulate(sums.total, sums.rest, e); }
  static SIGMAX_INLINE void collect(Apart& sums, Vec x, Vec, Vec e, const Row& row) {
    const Mask tie = x == row.energy.max;
    count(sums.ties, tie);
    accumulate(sums.others, sums.rest, only_where(~tie, e));
  }
  static SIGMAX_INLINE Mask is_confident(const First& first) { return (first.without_winner() < kConfident<Vec>) & (first.total > 0.0); }
  static SIGMAX_INLINE void settle(Mask confident, const First& first, Apart& apart) {
    apart.ties = select(confident, apart.ties, splat(1.0));
    apart.others = select(confident, apart.others, first.without_winner());
    apart.rest = only_where(confident, apart.rest);
  }
  // Of the others, the mean energy is at most log n - log Σ e, and L at most Σ e.
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options& o) {
    row.log = log_of_sum(sums.apart.ties, sums.apart.others + sums.apart.rest);
    const Vec energy = log_bound(o.classes) + kLn2 * max(splat(1.0), 1.0 - exponent_of(row.log));
    const Vec of_sum = select(is_confident(sums.first), splat(kUnderflow), sum_error(o) + 4.0 * kRounding);
    row.log_error = abs(row.log) * (kPerEnergy * energy + sum_error(o) + (kTermError + kLogError)) + of_sum;
    row.sieve = Sieve(max(row.log_error / row.log, splat(kQuotientError)), o);
  }
  static SIGMAX_INLINE Vec near_of(Vec a, const Row& row) { return row.energy.distance(a) * row.energy.beta + row.log; }
  static SIGMAX_NOINLINE Rounded at(Vec a, const Row& row) {
    const Vec near = near_of(a, row);
    Rounded result = round_within(near, mul_add(abs(near - row.log), kQuotientError, row.log_error), row.grid);
    if (any(result.in_doubt)) {
      const Rounded beside = beside_tie(a, near, {row.energy.max, row.temperature, row.energy.beta, row.log_error, {row.log, Vec{}}, row.grid});
      result.number = select(result.in_doubt, beside.number, result.number);
      result.in_doubt &= beside.in_doubt;
    }
    return result;
  }
  static SIGMAX_INLINE Vec health(const Row& row) { return row.log; }

  static SIGMAX_INLINE Vec output(Vec x, Vec, Vec, const Row& row) { return -near_of(x, row); }
  static SIGMAX_INLINE Rounded output_apart(Vec x, Vec, Vec, const Row& row) {
    const Rounded result = at(x, row);
    return {-result.number, result.in_doubt};
  }
  static SIGMAX_INLINE Rounded result(const Row& row) {
    const Rounded sum = at(Vec{}, row);
    const Mask infinite = abs(row.top) == kInfinity;
    return {select(infinite, row.top + row.log, sum.number), sum.in_doubt & ~infinite};
  }
  static SIGMAX_INLINE Rounded value(const Row& row) {
    const Mask impossible = (row.label_x == -kInfinity) & (row.log == row.log);
    const Rounded loss = at(row.label_x, row);
    return {select(impossible, splat(kInfinity), loss.number), loss.in_doubt & ~impossible};
  }
};

// ---------------------------------------------------------------- rows in doubt

// The logits of a row, filled up with -inf; none of them is +inf.
inline void load_row(const RowInDoubt& row) {
  const RowsCall& call = row.call;
  const std::ptrdiff_t n = call.classes;
  const bool masked = has_mask(call);
  float* numbers = reinterpret_cast<float*>(row.scratch);
  storage_of<float>(call.type).gather({numbers, n, 1}, block_at(call[kX], row.row), 1, n);
  for (std::ptrdiff_t j = 0; j < n; ++j) row.logits[j] = masked && is_masked(call, row.row, j) ? -kInfinity : numbers[j];
  for (std::ptrdiff_t j = n; j < rounded_up(n, kOctet); ++j) row.logits[j] = -kInfinity;
  if (largest_of(row.logits, n) == kInfinity)
    for (std::ptrdiff_t j = 0; j < n; ++j) row.logits[j] = row.logits[j] == kInfinity ? 0.0 : -kInfinity;
}

inline void put(const RowInDoubt& row, std::ptrdiff_t c, double number) {
  const RowsCall& call = row.call;
  if (row.function == Correct::kCrossEntropy) return std::memcpy(block_at(call[kValue], row.row).data, &number, sizeof(number)), void();
  storage_of<float>(call.type).store(block_at(call[row.function == Correct::kLogsumexp ? kResult : kOut], row.row, c).data, number);
}

inline std::ptrdiff_t settle(const RowInDoubt& row) {
  load_row(row);
  const RowsCall& call = row.call;
  const std::ptrdiff_t n = call.classes;
  Options o = {};
  o.largest = splat(largest_of(row.logits, n));
  o.temperature = splat(number_at<double>(call[kTemperature], row.row));
  o.beta = 1.0 / o.temperature;
  const Energy<Pair> energy(o.largest, o);
  const Grid grid(*storage_of<float>(call.type).format);
  ApartSums<Pair> sums = {};
  Vec present = {};
  for (std::ptrdiff_t j = 0; j < n; j += kLanes) {
    const Vec x = load(row.logits + j);
    sums.add(x == o.largest, energy.factor(x));
    count(present, x > -kInfinity);
  }
  const auto plus = [](auto a, auto b) SIGMAX_ALWAYS { return add(a, b); };
  sums.ties = fold<1>(&sums.ties, plus);
  sums.others = fold<1>(&sums.others, plus);
  const Pair inverse = reciprocal(sums.total());
  // What is there but too small for a double is above 0 all the same, and below every other distance from a tie.
  const bool alone = fold<1>(&present, plus)[0] == 1.0;
  const bool tiny = !alone && sums.ties.hi[0] == 1.0 && sums.others.hi[0] < 0.5 * kUnderflow * kExpScale<Pair>;
  const Pair log = tiny ? as_pair(splat(kUnderflow)) : alone ? Pair{} : sums.log();
  const Vec log_error = tiny ? splat(0.875 * kUnderflow) : abs(log.hi) * kPairLogError + (alone ? 0.0 : 0x1p-1021);
  const bool one_result = row.function == Correct::kLogsumexp || row.function == Correct::kCrossEntropy;
  const double target = row.function == Correct::kCrossEntropy ? row.logits[number_at<std::int64_t>(call[kLabel], row.row)] : 0.0;
  std::ptrdiff_t left = 0;
  for (std::ptrdiff_t j = 0; j < (one_result ? 1 : n); j += kLanes) {
    const Vec a = one_result ? splat(target) : load(row.logits + j);
    Rounded result;
    if (row.function == Correct::kSoftmax) {
      const Pair p = scale(multiply(energy.factor(a), inverse), splat(1.0 / kExpScale<Pair>));
      result = round_within(p, p.hi * kPairError, grid);
    } else {
      const Pair y = multiply(difference<Pair>(o.largest, a), energy.beta);
      const Vec near = select(a > -kInfinity, rounded(add(y, log)), splat(kInfinity));
      result = round_within(near, mul_add(abs(y.hi) + abs(log.hi), kQuotientError, log_error), grid);
      const Rounded beside = beside_tie(a, near, {o.largest, o.temperature, o.beta, log_error, log, grid});
      result.number = select(result.in_doubt, beside.number, result.number);
      result.in_doubt &= beside.in_doubt;
      if (row.function == Correct::kLogSoftmax) result.number = -result.number;
    }
    store(reinterpret_cast<float*>(row.scratch) + j, result.number);
    for (int lane = 0; lane < kLanes; ++lane) {
      row.in_doubt[j + lane] = result.in_doubt[lane] != 0;
      left += row.in_doubt[j + lane] && j + lane < (one_result ? 1 : n);
    }
    if (one_result) put(row, 0, result.number[0]);
  }
  if (!one_result) storage_of<float>(call.type).scatter(block_at(call[kOut], row.row), {reinterpret_cast<float*>(row.scratch), n, 1}, 1, n);
  return left;
}

}  // namespace
}  // namespace sigmax
