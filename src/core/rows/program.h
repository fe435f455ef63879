// What a function along an axis is written in.
//
// A program says what becomes of one row: which terms its classes have, which sums of them, what a finished row knows, and
// the output of a class. It is written once over W, Vec or Pair, and does not know where numbers come from: the engine
// (engine.h) runs it with classes in the lanes of a vector, or with rows in the lanes, with the same bits.
//
//   struct Row      what is known of a row, members of type Vec, Mask and W alone: the engine has a row per lane, or one in all
//   struct Sums     running sums, members of type W alone, which start at 0
//   struct Term     a number of a class that outputs need again, of one or more W
//   begin(row, options)             the row before its sums
//   term(x, c, row)                 of a class with the number x and the second number c
//   collect(sums, x, c, term, row)  adds a class to them
//   finish(row, sums, options)      the row after its sums
//   output(x, c, term, row)         per class; or result(row), per row; or value(row) and second_value(row)
//   health(row)                     infinite or NaN where an output of the row may be NaN
//
// A program that needs the sum of all Boltzmann factors but the largest ones', exact also where these are nearly everything,
// has two sets of sums, First and Apart (`is_apart`), each with its `collect`; Sums is both. The second pass is for rows that
// are confident: is_confident(first) says so. settle(confident, first, apart) gives the others what follows for them. If their
// outputs need the ties apart too (`has_apart_outputs`), row.apart says so: output_apart(x, c, term, row) is then for all
// rows of a block, and the same as output for the others.
//
// A program that is tested (`is_tested`) has a sieve in its rows, which watches the outputs; where it suspects one,
// output_apart tests each, and is Rounded, as result and value are. A row with one in doubt is taken note of.
#pragma once

#include "../calls.h"
#include "../simd/fold.h"
#include "../simd/rounding.h"

namespace sigmax {
namespace {

// What the second numbers of a program are.
enum class Second { kNone, kNumbers, kLogits, kWeights, kLabelWeights };

// What a row brings along, a row per lane; what it does not have is 0.
struct Options {
  Vec largest, second_largest;  // of its numbers; 0 for a row that has none above -inf
  Vec top;                      // the largest as it was: infinite, where `largest` is not
  Vec pivot;                    // the largest second number of its largest classes
  Vec magnitude;                // the largest second number but for its sign
  Vec label_x, label_second;    // the numbers of its class
  Vec temperature, beta;        // beta: 1/temperature, rounded
  Vec cotangent, weight, z_loss, scale, reference, smoothing, class_weight, prior, prior_total;
  Vec classes;  // how many
  const Format* format;  // of narrow results
};

// Programs have these, unless they say otherwise.
struct Program {
  static constexpr Second second = Second::kNone;
  static constexpr bool needs_largest = true, needs_pivot = false, needs_magnitude = false;
  static constexpr bool per_class = true;   // writes a number per class
  static constexpr bool has_result = false;  // writes one per row, of the type of x
  static constexpr bool has_value = false, has_second_value = false;  // doubles per row
  static constexpr bool has_label = false;  // its class has an output of its own: target(row)
  static constexpr int kept = 1;            // numbers W of a term that are kept for the outputs; 0: outputs need none
  static constexpr bool has_sums = true;
  static constexpr bool has_mask = false;  // classes can be taken out by a mask
  static constexpr bool is_sparse = false;  // most classes are absent, and have the output 0: whole octets are passed over
  static constexpr bool is_tested = false;  // roundings are known to be right, or a row is taken note of
  static constexpr bool is_apart = false, has_apart_outputs = false;
  static constexpr double absent = -kInfinity;  // x of a class that is not there
  static constexpr double empty = 0.0;          // the output of a row in which everything is absent

  template <class Row>
  static SIGMAX_INLINE Vec health(const Row&) {
    return Vec{};
  }
};

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

// The number of an output, tested or not.
SIGMAX_INLINE Vec number_of(Vec number, Mask&) { return number; }
SIGMAX_INLINE Vec number_of(const Rounded& rounded, Mask& in_doubt) {
  in_doubt |= rounded.in_doubt;
  return rounded.number;
}

// One NaN for all: which of two NaNs an operation passes on, and its sign, differ between processors.
SIGMAX_INLINE Vec one_nan(Vec x) { return select(x == x, x, splat(kNaN)); }

}  // namespace
}  // namespace sigmax
