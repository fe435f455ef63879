// The first two moments of a row's logits z under p = softmax(b·z), about a reference r:
//   mean = Σ p_k·(z_k - r),   second = Σ p_k·(z_k - r)².
// With r the logit of the label, they are the derivatives by b that Newton's method fits a temperature 1/b with: the loss
// log Σ e^(b·z) - b·r has the derivatives mean and second - mean².
//
// Everything is one double per number, whatever the type of the logits. With m the largest logit, y_k = b·(z_k - m) and
// u = 2^-53, a factor e^y is wrong by (6 + 3|y|)·u at most: z_k - m and the rate b·log₂e are rounded, their product is
// not; 6·u is for the reduced argument and the polynomial. A sum of n terms in 8
// lanes adds (n/8 + 9)·u of the sum of their absolute values; z_k - r, products and the quotient 6·u. So, numerator and
// denominator together,
//   |error of mean| <= u·Σ p_k·|z_k - r|·(30 + n/4 + 3|y_k| + 3·Σ p_j·|y_j|),
// and with squares that of `second`. A class with z_k = r adds 0 exactly: the mean of a confident row about its winner
// keeps its digits, however close to 0 it is.
//
// A class at -inf, and one with y < -700, has p = 0 and adds nothing. A row without another class has the moments 0 and 0,
// one with NaN or +inf has NaN. So has a row for a b that is not in [0, 2^1023], or one of doubles whose range overflows at
// a b below 2^-1010.
#pragma once

#include "../rows/program.h"

namespace sigmax {
namespace {

struct LogitMoments : Program {
  typedef Vec Wide;
  typedef Vec Term;
  static constexpr bool per_class = false, has_value = true, has_second_value = true;
  static constexpr int kept = 0;
  struct Row {
    Vec max, rate, reference;
    Vec lowest;  // of z - m: below it, p counts as 0
    Vec mean, second_moment;
  };
  struct Sums {
    Vec total, first, second;
  };

  static SIGMAX_INLINE Row begin(const Options& o) {
    Row row;
    const Vec beta = select((o.temperature >= 0.0) & (o.temperature <= 0x1p1023), abs(o.temperature), splat(kNaN));
    row.max = select(o.top == kInfinity, splat(kNaN), o.largest);
    row.rate = beta * kLog2e;
    row.reference = o.reference;
    row.lowest = kNarrowFloor / beta;
    return row;
  }
  static SIGMAX_INLINE Mask counts(Vec z, const Row& row) { return ~(z - row.max < row.lowest) & (z != -kInfinity); }
  static SIGMAX_INLINE Vec term(Vec z, Vec, const Row& row) {
    return only_where(counts(z, row), exp2_of_product(z - row.max, row.rate, kExp2));
  }
  static SIGMAX_INLINE void collect(Sums& sums, Vec z, Vec, Vec e, const Row& row) {
    const Vec deviation = only_where(counts(z, row), z - row.reference), product = e * deviation;
    sums.total = sums.total + e;
    sums.first = sums.first + product;
    sums.second = mul_add(product, deviation, sums.second);
  }
  static SIGMAX_INLINE void finish(Row& row, const Sums& sums, const Options&) {
    const Vec inverse = 1.0 / sums.total;
    row.mean = select(sums.total == 0.0, Vec{}, sums.first * inverse);
    row.second_moment = select(sums.total == 0.0, Vec{}, sums.second * inverse);
  }
  static SIGMAX_INLINE Vec value(const Row& row) { return row.mean; }
  static SIGMAX_INLINE Vec second_value(const Row& row) { return row.second_moment; }
};

}  // namespace
}  // namespace sigmax
