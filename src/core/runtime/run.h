// Runs kernels: shares the work of a call among threads, with scratch for each.
#pragma once

#include "../calls.h"

namespace sigmax {

// Work below this many numbers is not worth waking a thread; a task has about as many.
constexpr std::ptrdiff_t kTaskSize = 16384;

// False when there is not enough memory.
bool run_rows(const RowsFunction& function, const RowsCall& call);

// Whether narrow results of functions along an axis are correctly rounded from the next call on, of any thread.
bool get_correct_rounding();
void set_correct_rounding(bool on);
// What that takes: kernels, and exact arithmetic for the results of a row that are in doubt still. It answers on the thread of
// the call; false: it could not, and neither can `run_rows`.
typedef bool (*ExactResult)(const RowInDoubt& row, std::ptrdiff_t result, double* number);
void provide_correct_rounding(const CorrectRows* kernels, ExactResult exact);
void run_elementwise(ElementwiseKernel kernel, const ElementwiseCall& call, std::ptrdiff_t count);
// The same from a table of the results of all 16-bit numbers, by their bits.
void run_look_up(const std::uint16_t* table, const ElementwiseCall& call, std::ptrdiff_t count);
void run_binary_loss(BinaryLossKernel kernel, const BinaryLossCall& call, std::ptrdiff_t count);

// The sum of contiguous numbers; that of the losses of a call, which are not written. False when there is not enough memory.
bool run_total(const TotalKernel& kernel, const double* numbers, std::ptrdiff_t count, double* total);
bool run_binary_loss_total(const TotalKernel& total_kernel, BinaryLossKernel kernel, BinaryLossCall& call, std::ptrdiff_t count, double* total);

bool run_in_unit_interval(bool (*kernel)(const char* x, std::ptrdiff_t n), const char* numbers, std::ptrdiff_t size, std::ptrdiff_t count);

// A step of an evaluation over all rows: one thread has all rows of a group, in their order, so that sums do not depend on
// threads. False when there is not enough memory.
bool run_evaluation(const EvaluationKernel& kernel, const Evaluation& call);
// The product of counts (resamples, groups) and a table (groups, cells), to `product`, which has room for a multiple of
// kResamples; without it the sums of its absolute numbers over the cells, to `sums`.
bool run_resamples(const EvaluationFunctions& kernels, const double* counts, std::ptrdiff_t resamples, const double* table,
                   std::ptrdiff_t groups, std::ptrdiff_t cells, double* product, double* sums);

}  // namespace sigmax
