// What one instruction-set level offers: a table of kernels, the only symbol its object file exports.
#pragma once

#include <cstddef>

namespace sigmax {

// Storage types, in the order of every table of kernels.
enum Type { kFloat16, kBFloat16, kFloat32, kFloat64, kTypes };

// An array operand: strides in bytes.
struct Operand {
  char* data = nullptr;
  std::ptrdiff_t row_stride = 0, class_stride = 0;
};

// `count` elements of an elementwise function; `cotangent` only for the vector-Jacobian products.
struct ElementwiseCall {
  Operand x, cotangent, out;  // row_stride is the step from one element to the next
};
typedef void (*ElementwiseKernel)(const ElementwiseCall& call, std::ptrdiff_t begin, std::ptrdiff_t end);

// One call of an axis function: `rows` rows of `classes` numbers.
struct AxisCall {
  std::ptrdiff_t rows, classes;
  Operand x;
  Operand per_class;    // a second number per class: cotangent or weight
  Operand per_row;      // one cotangent per row
  Operand temperature;  // doubles, one per row
  Operand out;
};

// Rows up to this many classes are computed in one go with `scratch`; longer rows in chunks of kChunk
// classes, which threads may share. Both depend on the class count alone, so threads never change a bit.
constexpr std::ptrdiff_t kLongestWholeRow = 65536;
constexpr std::ptrdiff_t kChunk = 16384;

// What one chunk (or the whole row, after `merge`) contributes.
struct Partial {
  double max, pivot, unordered, cotangent;
  bool moderate;  // whether the sums came the way of moderate.h
  double sums[10];
};

struct AxisKernel {
  // Rows [begin, end); `scratch` holds scratch_bytes(classes) bytes.
  void (*rows)(const AxisCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, char* scratch);
  std::size_t (*scratch_bytes)(std::ptrdiff_t classes);
  // One long row, chunk by chunk, in three phases with `merge` between them.
  void (*chunk_max)(const AxisCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, Partial* partials);
  void (*chunk_sums)(const AxisCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, Partial* partials,
                     const Partial& whole);
  void (*chunk_out)(const AxisCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, const Partial* partials,
                    const Partial& whole);
  void (*merge_max)(const Partial* partials, std::ptrdiff_t chunks, Partial* whole);
  void (*merge_sums)(const Partial* partials, std::ptrdiff_t chunks, Partial* whole);
};

enum ElementwiseFunction {
  kSigmoid, kLogSigmoid, kSoftplus, kLogit, kLog1mexp,
  kSigmoidVjp, kLogSigmoidVjp, kSoftplusVjp, kLogitVjp, kLog1mexpVjp,
  kElementwiseFunctions
};

enum AxisFunction {
  kSoftmax, kLogSoftmax, kLogsumexp, kLogsumexpWeighted, kEntropy, kInverseSoftmax, kEntropyOfProbabilities,
  kSoftmaxVjp, kLogSoftmaxVjp, kLogsumexpVjp, kLogsumexpWeightedVjp, kEntropyVjp, kInverseSoftmaxVjp,
  kEntropyOfProbabilitiesVjp,
  kAxisFunctions
};

struct KernelTable {
  const char* name;
  ElementwiseKernel elementwise[kElementwiseFunctions][kTypes];
  AxisKernel axis[kAxisFunctions][kTypes];
};

}  // namespace sigmax
