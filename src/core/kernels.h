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

// What a loss has besides: see labels.h. Doubles, but for the labels and the mask.
struct LossOperands {
  Operand label;          // int64 per row: its class where labels are hard; negative: the row is left out
  Operand weight;         // per row
  Operand class_weight;   // per class
  Operand smoothing;      // one
  Operand prior;          // per class
  Operand prior_total;    // per row: that of the classes that are not masked
  Operand mask;           // a byte per class: 0 takes the class out of the row
  Operand z_loss;         // per row
  Operand scale;          // per row: the cotangent of the loss
  Operand value;          // per row: the loss
};

// A sum and its rounding errors, of a chunk of kChunk numbers.
struct Sum {
  double value, error;
};

// `count` elements of a binary loss: logits or probabilities x, labels, their options (doubles), the loss (double) and,
// where the function has one, the gradient. With `sums`, one for every kChunk elements, these take the losses' place:
// [begin, end) is then within a chunk.
struct BinaryLossCall {
  Operand x, labels, weight, pos_weight, smoothing, divisor, loss, gradient;
  Sum* sums = nullptr;
};
typedef void (*BinaryLossKernel)(const BinaryLossCall& call, std::ptrdiff_t begin, std::ptrdiff_t end);

// One call of an axis function: `rows` rows of `classes` numbers.
struct AxisCall {
  std::ptrdiff_t rows, classes;
  Operand x;
  Operand per_class;    // a second number per class: cotangent, weight or soft label
  Operand per_row;      // one cotangent per row
  Operand temperature;  // doubles, one per row
  Operand out;
  LossOperands loss;
};

// Rows up to this many classes are computed in one go with `scratch`; longer rows in chunks of kChunk
// classes, which threads may share. Both depend on the class count alone, so threads never change a bit.
constexpr std::ptrdiff_t kLongestWholeRow = 65536;
constexpr std::ptrdiff_t kChunk = 16384;

// What one chunk (or the whole row, after `merge`) contributes.
struct Partial {
  double max, pivot, unordered, cotangent;
  bool moderate;  // whether the sums came the way of moderate.h
  double sums[16];
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

// `rows` rows of `classes` logits x, with doubles per row: see logit_moments.h.
struct MomentsCall {
  std::ptrdiff_t rows, classes;
  Operand x, beta, reference, mean, second;
};

struct MomentsKernel {
  void (*rows)(const MomentsCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, char* scratch);
  std::size_t (*scratch_bytes)(std::ptrdiff_t classes);
};

// The compensated sum of contiguous numbers, chunk by chunk.
struct TotalKernel {
  Sum (*chunk)(const double* x, std::ptrdiff_t n);
  double (*merge)(const Sum* chunks, std::ptrdiff_t count);
};

enum ElementwiseFunction {
  kSigmoid, kLogSigmoid, kSoftplus, kLogit, kLog1mexp,
  kSigmoidVjp, kLogSigmoidVjp, kSoftplusVjp, kLogitVjp, kLog1mexpVjp,
  kElementwiseFunctions
};

enum BinaryLossFunction {
  kBinaryCrossEntropy, kBinaryCrossEntropyOfProbabilities,
  kBinaryCrossEntropyGradient, kBinaryCrossEntropyOfProbabilitiesGradient,
  kBinaryLossFunctions
};

enum AxisFunction {
  kSoftmax, kLogSoftmax, kLogsumexp, kLogsumexpWeighted, kEntropy, kInverseSoftmax, kEntropyOfProbabilities,
  kSoftmaxVjp, kLogSoftmaxVjp, kLogsumexpVjp, kLogsumexpWeightedVjp, kEntropyVjp, kInverseSoftmaxVjp,
  kEntropyOfProbabilitiesVjp,
  kCrossEntropy, kCrossEntropyGradient, kCrossEntropyOfProbabilities, kCrossEntropyOfProbabilitiesGradient, kMass,
  kRelativeEntropy, kRelativeEntropyGradient, kRelativeEntropyOfProbabilities, kRelativeEntropyOfProbabilitiesGradient,
  kDivergence, kDivergenceGradient,
  kAxisFunctions
};

struct KernelTable {
  const char* name;
  ElementwiseKernel elementwise[kElementwiseFunctions][kTypes];
  BinaryLossKernel binary_loss[kBinaryLossFunctions][kTypes];
  AxisKernel axis[kAxisFunctions][kTypes];
  MomentsKernel logit_moments[kTypes];
  TotalKernel total;
  bool (*in_unit_interval[kTypes])(const char* x, std::ptrdiff_t n);
};

}  // namespace sigmax
