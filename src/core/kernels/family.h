// What the kernel files of functions along an axis share.
#pragma once

#include "../rows/engine.h"
#include "level.h"

namespace sigmax {
namespace {

// The kernel of a program, for any row: float64 is computed in pairs, narrower types in doubles.
template <template <class> class P>
const RowsKernel* kernel(const RowsCall& call, std::ptrdiff_t) {
  return call.type == kFloat64 ? &Engine<P<Pair>, double>::kernel : &Engine<P<Vec>, float>::kernel;
}

}  // namespace
}  // namespace sigmax
