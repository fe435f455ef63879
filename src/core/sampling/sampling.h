// What the sampling module asks of its kernels, which are compiled once per instruction-set level.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sigmax {

// The steps of a chain: each narrows the window [lowest, highest] of the logits that are kept.
enum class Step : int { kTemperature, kTopK, kTopP, kMinP, kTypicalP, kTopNSigma, kEpsilon, kLowest, kHighest };
constexpr int kMostSteps = 16;

// What became of a row.
enum Outcome : std::uint8_t {
  kSettled,
  kDoubtful,    // rounding could have decided what is kept: to be settled exactly, with kLowest and kHighest
  kNotANumber,  // the row has NaN
  kNothing,     // no class is possible
};

// A number for each row, or one for all (then step is 0).
struct PerRow {
  const double* data = nullptr;
  std::ptrdiff_t step = 0;
};

struct SamplingCall {
  int type;  // of `Type`
  const void* x;
  std::ptrdiff_t rows, classes;
  int steps;
  Step step[kMostSteps];
  PerRow parameter[kMostSteps];
  std::uint8_t* outcome;  // per row

  // Each may be null.
  void* kept;           // of the type of x: the logits, -inf where they are not kept, or their softmax
  double* log_mass;     // per row
  std::int64_t* drawn;  // per row and draw: a class, of random bits
  double* log_prob;     // per draw

  bool as_probabilities;
  std::ptrdiff_t draws;
  const std::uint64_t* bits;  // with replacement one per draw, without it one per class
  bool replace;
  std::int64_t* possible;  // per row: how many classes can be drawn (without replacement)
};

// The accepted drafts of a row, and the draw that follows them.
struct SpeculationCall {
  int type;
  const void* draft;   // rows × classes
  const void* target;  // rows × classes
  std::ptrdiff_t rows, classes;
  PerRow draft_temperature, target_temperature;
  const std::int64_t* token;  // per row: drawn from the draft
  const std::uint64_t* bits;  // per row: two, for acceptance and for the residual
  std::uint8_t* accepted;     // per row
  std::int64_t* residual;     // per row: what is drawn where the token is refused
};

struct SamplingKernels {
  const char* name;
  // Doubles of scratch for one thread.
  std::ptrdiff_t (*scratch)(std::ptrdiff_t classes);
  void (*sample)(const SamplingCall& call, std::ptrdiff_t first, std::ptrdiff_t last, double* scratch);
  void (*speculate)(const SpeculationCall& call, std::ptrdiff_t first, std::ptrdiff_t last, double* scratch);
};

}  // namespace sigmax
