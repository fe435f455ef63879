// What a call hands to a kernel: operands by name, with their strides. No vectors here: NumPy's side includes this too.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sigmax {

// Storage types, in the order of every table of kernels.
enum Type { kFloat16, kBFloat16, kFloat32, kFloat64, kTypes };

// An array operand: strides in bytes.
struct Operand {
  char* data = nullptr;
  std::ptrdiff_t row_stride = 0, class_stride = 0;
};

// The operands of functions along an axis. A function's entry (entries.h) lists the ones it has.
enum Name {
  kX,            // logits or probabilities, per class
  kSecond,       // per class, of the type of x: a cotangent, a weight, a soft label or a teacher's logit
  kCotangent,    // per row, of the type of x
  kTemperature,  // doubles from here on, per row
  kWeight,
  kZLoss,        // in a distillation the weight of the label
  kScale,        // the cotangent of the loss
  kReference,    // of logit moments: the logit they are about
  kSmoothing,
  kClassWeight,  // per class, or one for all
  kPrior,        // likewise
  kPriorTotal,   // per row: that of the classes that are not masked
  kMask,         // a byte per class, or one for all: 0 takes the class out of the row
  kLabel,        // int64 per row: its class where labels are indices; negative: the row is left out
  kValue,        // doubles per row, written: the loss
  kSecondValue,  // likewise: a second result
  kResult,       // per row, of the type of x, written
  kOut,          // per class, of the type of x, written
  kNames
};

// `rows` rows of `classes` numbers.
struct RowsCall {
  std::ptrdiff_t rows = 0, classes = 0;
  Type type = kFloat32;
  Operand operands[kNames];
  bool* in_doubt = nullptr;  // per row, set where the rounding of a result is in doubt; of kernels of CorrectRows

  // Always inline: a symbol of theirs would be shared between levels.
  __attribute__((always_inline)) const Operand& operator[](Name name) const { return operands[name]; }
  __attribute__((always_inline)) Operand& operator[](Name name) { return operands[name]; }
};

// Rows up to this many classes are computed in one go; longer ones in chunks of kChunk classes, which threads may share.
// Both depend on the class count alone, so that threads never change a bit.
constexpr std::ptrdiff_t kLongestWholeRow = 65536, kChunk = 16384;

// What one chunk of a long row (or the whole row, after `merge`) contributes.
struct Partial {
  double largest, second_largest, pivot, magnitude;
  double label_x, label_second;  // the same in all
  bool has_nan;  // known where nothing is above -inf
  double sums[22];
};

struct RowsKernel {
  // Rows [begin, end) of at most kLongestWholeRow classes; `scratch` holds scratch_bytes bytes. Rows are best shared out by
  // multiples of rows_together.
  void (*rows)(const RowsCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, char* scratch);
  std::size_t (*scratch_bytes)(std::ptrdiff_t classes);
  // One long row in three phases, chunk by chunk, with a merge of the partials in between.
  void (*chunk_largest)(const RowsCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, Partial* partials, char* scratch);
  void (*chunk_sums)(const RowsCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, Partial* partials, const Partial& whole, char* scratch);
  void (*chunk_outputs)(const RowsCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, const Partial& whole, char* scratch);
  void (*merge_largest)(const Partial* partials, std::ptrdiff_t chunks, Partial* whole);
  void (*merge_sums)(const Partial* partials, std::ptrdiff_t chunks, Partial* whole);
};

// The functions along an axis whose results of narrow types are correctly rounded where that is asked for.
enum class Correct { kNone, kSoftmax, kLogSoftmax, kLogsumexp, kCrossEntropy };

// A row whose rounding is in doubt: where its logits go, as doubles, and which results are in doubt still. All of these, and
// a scratch of as many doubles, have room for a multiple of 8.
struct RowInDoubt {
  Correct function;
  const RowsCall& call;
  std::ptrdiff_t row;
  double *logits, *scratch;
  bool* in_doubt;
};

// Kernels of correctly rounded results. Those of rows are the first step. What they leave in doubt, `settle` writes again,
// from pairs of doubles, and returns how many are for exact arithmetic, which are written by `put`.
struct CorrectRows {
  const RowsKernel* of[5];  // by Correct
  std::ptrdiff_t (*settle)(const RowInDoubt& row);
  void (*put)(const RowInDoubt& row, std::ptrdiff_t c, double number);
};

// A function along an axis: its operands in the order of NumPy's call, inputs first, and the kernel of a row, which differs
// between the rows of a call only as their smoothing and z-loss do.
constexpr int kMostOperands = 14;
struct RowsFunction {
  const char* name;
  int inputs, outputs;
  Name operands[kMostOperands];
  const RowsKernel* (*kernel)(const RowsCall& call, std::ptrdiff_t row);
  Correct correct = Correct::kNone;
};
struct RowsFunctions {
  const RowsFunction* first;
  int count;
  const CorrectRows* correct = nullptr;  // one family has them for all
};

// `count` elements of an elementwise function; `cotangent` only for the vector-Jacobian products.
struct ElementwiseCall {
  Operand x, cotangent, out;  // row_stride is the step from one element to the next
};
typedef void (*ElementwiseKernel)(const ElementwiseCall& call, std::ptrdiff_t begin, std::ptrdiff_t end);
struct ElementwiseFunction {
  const char* name;
  bool has_cotangent;
  ElementwiseKernel kernels[kTypes];
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
struct BinaryLossFunction {
  const char* name;
  bool has_gradient;
  BinaryLossKernel kernels[kTypes];
};

// The compensated sum of contiguous numbers, chunk by chunk.
struct TotalKernel {
  Sum (*chunk)(const double* x, std::ptrdiff_t n);
  double (*merge)(const Sum* chunks, std::ptrdiff_t count);
};

struct ElementFunctions {
  const char* level;
  const ElementwiseFunction* elementwise;
  int elementwise_count;
  const BinaryLossFunction* binary_loss;
  int binary_loss_count;
  TotalKernel total;
  bool (*in_unit_interval[kTypes])(const char* x, std::ptrdiff_t n);
};

// Rows of an evaluation. Bin k is (edges[k], edges[k + 1]], the first has 0 too.
struct Evaluation {
  double* table;  // the sums of weight·(p - label) by group, bin of p and class, to which rows are added; or null
  std::ptrdiff_t groups, bins, rows, classes;
  const double* edges;
  const std::int64_t* group;   // of each row
  const double* weight;
  const std::int64_t* label;   // class indices, or null
  const void *numbers, *terms;  // per class: logits alone; or p, and p or p - label, float or double
  const double* temperature;    // of logits, one for all or one per row
  std::ptrdiff_t temperature_step;
  double *confidence, *loss, *squares;  // of logits, written
  bool* right;

  __attribute__((always_inline)) std::ptrdiff_t bin_of(double number) const {
    std::ptrdiff_t k = number > 0.0 ? static_cast<std::ptrdiff_t>((number < 1.0 ? number : 1.0) * static_cast<double>(bins)) : 0;
    while (k > 0 && edges[k] >= number) --k;
    while (k < bins - 1 && edges[k + 1] < number) ++k;
    return k;
  }
};
// Some of the rows, by their numbers. Those of a group come in one call, in their order.
struct EvaluationKernel {
  void (*rows)(const Evaluation& call, const std::ptrdiff_t* order, std::ptrdiff_t count, char* scratch);
  std::size_t (*scratch_bytes)(std::ptrdiff_t classes);
};

// How often each resample has each group, and sums of cells for each group: their product, or its absolute sums over the cells.
struct Resamples {
  const double* counts;  // (blocks, groups, kResamples): of a block of resamples
  const double* table;   // (groups, cells)
  std::ptrdiff_t groups, cells, blocks;
  double* product;  // (blocks, kResamples, cells), or null
};
constexpr std::ptrdiff_t kResamples = 32;

// What logits of a row span: the largest, NaN where one is; of those above -inf the smallest and the mean, inf and NaN where
// there is none.
struct Spans {
  double *largest, *smallest, *mean;
};

// Steps of an evaluation and of a fit, of contiguous rows; of float and of double where there are two.
struct EvaluationFunctions {
  void (*spans[2])(const void* x, std::ptrdiff_t rows, std::ptrdiff_t classes, const Spans& spans);
  void (*winners[2])(const void* x, std::ptrdiff_t rows, std::ptrdiff_t classes, std::int64_t* winners);
  void (*squares[2])(const void* p, std::ptrdiff_t rows, std::ptrdiff_t classes, const std::int64_t* labels, double* squares);
  EvaluationKernel add_by_class[2], of_logits;
  // Of the cells [begin, end). Without a place for the product, absolute sums are added to the totals of the resamples.
  void (*resample)(const Resamples& call, std::ptrdiff_t begin, std::ptrdiff_t end, double* totals, char* scratch);
  std::size_t (*resample_bytes)(std::ptrdiff_t groups);
};

// What one instruction-set level offers. Each member is the one symbol that an object file of the level exports.
struct Kernels {
  const ElementFunctions* elements;
  const RowsFunctions* families[4];
  const EvaluationFunctions* evaluation;
};

}  // namespace sigmax
