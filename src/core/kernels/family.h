// What the kernel files of functions along an axis share.
#pragma once

#include "../rows/half_rows.h"
#include "level.h"

namespace sigmax {
namespace {

// The kernel of a program, for any row: float64 is computed in pairs, narrower types in doubles.
template <template <class> class P>
const RowsKernel* kernel(const RowsCall& call, std::ptrdiff_t) {
  return call.type == kFloat64 ? &Engine<P<Pair>, double>::kernel : &Engine<P<Vec>, float>::kernel;
}

// The same, of a program that has floats for 16-bit types; not at the baseline, which is to be small.
template <template <class> class P>
const RowsKernel* kernel_with_halves(const RowsCall& call, std::ptrdiff_t row) {
  if constexpr (!kOnlyColumns)
    if (call.type <= kBFloat16) return &HalfRows<P<Vec>>::kernel;
  return kernel<P>(call, row);
}

}  // namespace
}  // namespace sigmax
