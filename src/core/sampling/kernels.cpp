// Which classes are kept and which is drawn, row by row. Compiled once per instruction-set level.
//
// All arithmetic is in doubles, and a row's additions are in an order of its own: every batch gets the same bits. Levels may
// differ in the last bits of what decides (some fuse multiply-adds, others cannot), never in the decision: where it is closer
// than the rounding errors, it is made by arithmetic that is the same everywhere (portable.h), or the row is called doubtful,
// and settled elsewhere in exact arithmetic.
#include "long_rows.h"
#include "short_rows.h"
#include "speculation.h"

#define SIGMAX_JOIN(a, b) a##b
#define SIGMAX_TABLE(level) SIGMAX_JOIN(sigmax_sampling_kernels_, level)
#define SIGMAX_STRING(a) #a
#define SIGMAX_NAME(level) SIGMAX_STRING(level)

namespace sigmax {
namespace {

// Rows of doubles take the most.
Index scratch_size(Index classes) { return long_scratch<double>(classes); }

template <class S>
void sample_rows(const SamplingCall& call, Index first, Index last, double* scratch) {
  if (call.classes <= kShort && call.replace) return sample_short_rows<S>(call, first, last, scratch);
  for (Index r = first; r < last; ++r) LongRow<S>(call, r, scratch).run();
}

void sample(const SamplingCall& call, Index first, Index last, double* scratch) {
  switch (call.type) {
    case kFloat16: return sample_rows<Half>(call, first, last, scratch);
    case kBFloat16: return sample_rows<BFloat>(call, first, last, scratch);
    case kFloat32: return sample_rows<float>(call, first, last, scratch);
    default: return sample_rows<double>(call, first, last, scratch);
  }
}

template <class S>
void speculate_rows(const SpeculationCall& call, Index first, Index last, double* scratch) {
  for (Index r = first; r < last; ++r) speculate_row<S>(call, r, scratch);
}

void speculate(const SpeculationCall& call, Index first, Index last, double* scratch) {
  switch (call.type) {
    case kFloat16: return speculate_rows<Half>(call, first, last, scratch);
    case kBFloat16: return speculate_rows<BFloat>(call, first, last, scratch);
    case kFloat32: return speculate_rows<float>(call, first, last, scratch);
    default: return speculate_rows<double>(call, first, last, scratch);
  }
}

}  // namespace
}  // namespace sigmax

extern "C" __attribute__((visibility("default"))) const sigmax::SamplingKernels SIGMAX_TABLE(SIGMAX_LEVEL);
const sigmax::SamplingKernels SIGMAX_TABLE(SIGMAX_LEVEL) = {SIGMAX_NAME(SIGMAX_LEVEL), sigmax::scratch_size,
                                                            sigmax::sample, sigmax::speculate};
