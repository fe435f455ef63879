#include "run.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include "float_environment.h"
#include "threads.h"

namespace sigmax {
namespace {

std::ptrdiff_t ceil_div(std::ptrdiff_t a, std::ptrdiff_t b) { return (a + b - 1) / b; }

// parallel_for over [0, count) in tasks of `step`.
template <class Body>
void for_ranges(std::ptrdiff_t count, std::ptrdiff_t step, const Body& body) {
  struct Context {
    std::ptrdiff_t count, step;
    const Body& body;
  } context{count, step, body};
  auto task = [](void* context, std::ptrdiff_t k) {
    const Context& c = *static_cast<Context*>(context);
    c.body(k * c.step, std::min((k + 1) * c.step, c.count));
  };
  const std::ptrdiff_t tasks = ceil_div(count, step);
  if (tasks <= 1) {
    if (count > 0) body(0, count);
  } else {
    parallel_for(tasks, task, &context);
  }
}

// Scratch of this thread, kept for its next call; aligned to a cache line.
char* scratch_of_size(std::size_t size) {
  struct Free {
    void operator()(void* block) const { std::free(block); }
  };
  thread_local std::unique_ptr<void, Free> block;
  thread_local std::size_t capacity = 0;
  if (size > capacity) {
    size = (size + 4095) & ~std::size_t{4095};
    block.reset(std::aligned_alloc(64, size));
    capacity = block ? size : 0;
  }
  return static_cast<char*>(block.get());
}

// With scratch for `body`; takes note if there is none.
template <class Body>
class WithScratch {
 public:
  WithScratch(std::size_t size, const Body& body) : size_(size), body_(body) {}
  void operator()(std::ptrdiff_t begin, std::ptrdiff_t end) const {
    char* scratch = scratch_of_size(size_);
    if (scratch == nullptr && size_ > 0)
      __atomic_store_n(&enough_, false, __ATOMIC_RELAXED);
    else
      body_(begin, end, scratch);
  }
  bool enough() const { return enough_; }

 private:
  const std::size_t size_;
  const Body& body_;
  mutable bool enough_ = true;
};

template <class Body>
bool for_ranges_with_scratch(std::ptrdiff_t count, std::ptrdiff_t step, std::size_t size, const Body& body) {
  WithScratch<Body> with_scratch(size, body);
  for_ranges(count, step, with_scratch);
  return with_scratch.enough();
}

// Rows that are in lanes together stay together.
std::ptrdiff_t rows_per_task(const RowsCall& call) {
  constexpr std::ptrdiff_t kTogether = 64;
  const std::ptrdiff_t step = std::max<std::ptrdiff_t>(1, kTaskSize / std::max<std::ptrdiff_t>(call.classes, 1));
  const bool beside = call[kX].row_stride < call[kX].class_stride;
  return beside || step >= kTogether / 2 ? ceil_div(step, kTogether) * kTogether : step;
}

bool run_long_row(const RowsKernel& kernel, const RowsCall& call, std::ptrdiff_t row, Partial* partials, std::ptrdiff_t chunks) {
  const std::size_t size = kernel.scratch_bytes(call.classes);
  Partial whole;
  auto for_chunks = [&](auto body) {
    return for_ranges_with_scratch(chunks, 1, size, [&](std::ptrdiff_t chunk, std::ptrdiff_t, char* scratch) { body(chunk, scratch); });
  };
  if (!for_chunks([&](std::ptrdiff_t chunk, char* scratch) { kernel.chunk_largest(call, row, chunk, partials, scratch); })) return false;
  kernel.merge_largest(partials, chunks, &whole);
  if (!for_chunks([&](std::ptrdiff_t chunk, char* scratch) { kernel.chunk_sums(call, row, chunk, partials, whole, scratch); })) return false;
  kernel.merge_sums(partials, chunks, &whole);
  return for_chunks([&](std::ptrdiff_t chunk, char* scratch) { kernel.chunk_outputs(call, row, chunk, whole, scratch); });
}

std::unique_ptr<Sum[]> new_sums(std::ptrdiff_t chunks) {
  return std::unique_ptr<Sum[]>(new (std::nothrow) Sum[static_cast<std::size_t>(chunks)]);
}

RowsCall rows_of(const RowsCall& call, std::ptrdiff_t begin, std::ptrdiff_t end) {
  RowsCall part = call;
  part.rows = end - begin;
  for (Operand& operand : part.operands) operand.data += begin * operand.row_stride;
  return part;
}

bool run_rows(const RowsKernel& kernel, const RowsCall& call) {
  if (call.classes <= kLongestWholeRow)
    return for_ranges_with_scratch(call.rows, rows_per_task(call), kernel.scratch_bytes(call.classes),
                                   [&](std::ptrdiff_t begin, std::ptrdiff_t end, char* scratch) { kernel.rows(call, begin, end, scratch); });
  const std::ptrdiff_t chunks = call.classes / kChunk;
  const std::unique_ptr<Partial[]> partials(new (std::nothrow) Partial[static_cast<std::size_t>(chunks)]);
  if (partials == nullptr) return false;
  for (std::ptrdiff_t row = 0; row < call.rows; ++row)
    if (!run_long_row(kernel, call, row, partials.get(), chunks)) return false;
  return true;
}

}  // namespace

bool run_rows(const RowsFunction& function, const RowsCall& call) {
  FloatEnvironment environment;
  const bool one_kernel = call[kSmoothing].row_stride == 0 && call[kZLoss].row_stride == 0;
  for (std::ptrdiff_t begin = 0, end; begin < call.rows; begin = end) {
    const RowsKernel* kernel = function.kernel(call, begin);
    for (end = one_kernel ? call.rows : begin + 1; end < call.rows && function.kernel(call, end) == kernel;) ++end;
    if (!run_rows(*kernel, rows_of(call, begin, end))) return false;
  }
  return true;
}

void run_elementwise(ElementwiseKernel kernel, const ElementwiseCall& call, std::ptrdiff_t count) {
  FloatEnvironment environment;
  for_ranges(count, kTaskSize, [&](std::ptrdiff_t begin, std::ptrdiff_t end) { kernel(call, begin, end); });
}

void run_binary_loss(BinaryLossKernel kernel, const BinaryLossCall& call, std::ptrdiff_t count) {
  FloatEnvironment environment;
  for_ranges(count, kTaskSize, [&](std::ptrdiff_t begin, std::ptrdiff_t end) { kernel(call, begin, end); });
}

bool run_total(const TotalKernel& kernel, const double* numbers, std::ptrdiff_t count, double* total) {
  const std::unique_ptr<Sum[]> sums = new_sums(ceil_div(count, kChunk));
  if (sums == nullptr) return false;
  FloatEnvironment environment;
  for_ranges(count, kChunk, [&](std::ptrdiff_t begin, std::ptrdiff_t end) { sums[begin / kChunk] = kernel.chunk(numbers + begin, end - begin); });
  *total = kernel.merge(sums.get(), ceil_div(count, kChunk));
  return true;
}

bool run_binary_loss_total(const TotalKernel& total_kernel, BinaryLossKernel kernel, BinaryLossCall& call, std::ptrdiff_t count, double* total) {
  const std::unique_ptr<Sum[]> sums = new_sums(ceil_div(count, kChunk));
  if (sums == nullptr) return false;
  call.sums = sums.get();
  FloatEnvironment environment;
  for_ranges(count, kChunk, [&](std::ptrdiff_t begin, std::ptrdiff_t end) { kernel(call, begin, end); });
  *total = total_kernel.merge(sums.get(), ceil_div(count, kChunk));
  return true;
}

bool run_in_unit_interval(bool (*kernel)(const char* x, std::ptrdiff_t n), const char* numbers, std::ptrdiff_t size, std::ptrdiff_t count) {
  bool inside = true;
  for_ranges(count, kTaskSize, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    if (!kernel(numbers + begin * size, end - begin)) __atomic_store_n(&inside, false, __ATOMIC_RELAXED);
  });
  return inside;
}

}  // namespace sigmax
