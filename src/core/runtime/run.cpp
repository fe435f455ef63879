#include "run.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

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

// ---------------------------------------------------------------- correct rounding

bool rounds_correctly = false;
const CorrectRows* correct_rows = nullptr;
ExactResult exact_result = nullptr;

constexpr std::ptrdiff_t kOctet = 8;

template <class N>
N number_at(const Operand& operand, std::ptrdiff_t row) {
  N number;
  std::memcpy(&number, operand.data + row * operand.row_stride, sizeof(number));
  return number;
}
bool is_everywhere(const Operand& operand, double number) {
  return operand.row_stride == 0 && operand.class_stride == 0 && number_at<double>(operand, 0) == number;
}
// A loss is where nothing but its label has a weight, of 1.
bool can_be_correct(const RowsFunction& function, const RowsCall& call) {
  if (function.correct == Correct::kNone || call.type == kFloat64) return false;
  if (function.correct != Correct::kCrossEntropy) return true;
  return is_everywhere(call[kWeight], 1.0) && is_everywhere(call[kClassWeight], 1.0) && is_everywhere(call[kSmoothing], 0.0) &&
         is_everywhere(call[kZLoss], 0.0);
}

// Rows [begin, end) of x copied to `to`, in the same order in memory: for a call that writes over them.
Operand copied(const RowsCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, char* to) {
  const std::ptrdiff_t size = call.type == kFloat32 ? 4 : 2, rows = end - begin;
  const Operand& x = call[kX];
  const bool beside = x.row_stride == size;
  Operand copy = {to, beside ? size : call.classes * size, beside ? rows * size : size};
  const std::ptrdiff_t lines = beside ? call.classes : rows, length = beside ? rows : call.classes;
  const std::ptrdiff_t line = beside ? x.class_stride : x.row_stride, step = beside ? x.row_stride : x.class_stride;
  for (std::ptrdiff_t k = 0; k < lines; ++k) {
    const char* from = x.data + begin * x.row_stride + k * line;
    if (step == size) std::memcpy(to + k * length * size, from, static_cast<std::size_t>(length * size));
    else
      for (std::ptrdiff_t j = 0; j < length; ++j) std::memcpy(to + (k * length + j) * size, from + j * step, static_cast<std::size_t>(size));
  }
  copy.data -= begin * copy.row_stride;
  return copy;
}

// A call whose results are correctly rounded: by the kernel where that is certain, else row by row.
class CorrectCall {
 public:
  CorrectCall(Correct function, const RowsCall& call) : function_(function), call_(call), kernel_(*correct_rows->of[static_cast<int>(function)]) {
    call_.in_doubt = few_;
    if (call.rows > static_cast<std::ptrdiff_t>(sizeof(few_))) many_.reset(call_.in_doubt = new (std::nothrow) bool[static_cast<std::size_t>(call.rows)]());
  }

  bool run() {
    if (call_.in_doubt == nullptr) return false;
    return (call_.classes <= kLongestWholeRow ? run_rows() : run_long_rows()) && enough_ && decide();
  }

 private:
  // A row with results for exact arithmetic.
  struct OpenRow {
    std::ptrdiff_t row;
    std::unique_ptr<double[]> logits;
    std::vector<std::ptrdiff_t> results;
  };

  bool is_in_place() const { return call_[kOut].data == call_[kX].data; }
  std::size_t copy_bytes(std::ptrdiff_t rows) const {
    return is_in_place() ? static_cast<std::size_t>(ceil_div(rows * call_.classes * 4, 64) * 64) : 0;
  }

  bool run_rows() {
    const std::ptrdiff_t step = rows_per_task(call_);
    const std::size_t copy = copy_bytes(std::min(step, call_.rows));
    return for_ranges_with_scratch(call_.rows, step, copy + kernel_.scratch_bytes(call_.classes),
                                   [&](std::ptrdiff_t begin, std::ptrdiff_t end, char* scratch) {
                                     RowsCall part = call_;
                                     if (is_in_place()) part[kX] = copied(call_, begin, end, scratch);
                                     kernel_.rows(part, begin, end, scratch + copy);
                                     for (std::ptrdiff_t row = begin; row < end; ++row)
                                       if (call_.in_doubt[row]) settle(part, row);
                                   });
  }
  bool run_long_rows() {
    const std::ptrdiff_t chunks = call_.classes / kChunk;
    const std::unique_ptr<Partial[]> partials(new (std::nothrow) Partial[static_cast<std::size_t>(chunks)]);
    const std::unique_ptr<char[]> copy(new (std::nothrow) char[copy_bytes(1)]);
    if (partials == nullptr || copy == nullptr) return false;
    for (std::ptrdiff_t row = 0; row < call_.rows; ++row) {
      RowsCall part = call_;
      if (is_in_place()) part[kX] = copied(call_, row, row + 1, copy.get());
      if (!run_long_row(kernel_, part, row, partials.get(), chunks)) return false;
      if (call_.in_doubt[row]) settle(part, row);
    }
    return true;
  }

  // A row again, in pairs.
  void settle(const RowsCall& call, std::ptrdiff_t row) {
    const std::size_t n = static_cast<std::size_t>(ceil_div(call.classes, kOctet) * kOctet);
    OpenRow open = {row, std::unique_ptr<double[]>(new (std::nothrow) double[n]), {}};
    const std::unique_ptr<double[]> scratch(new (std::nothrow) double[n]);
    const std::unique_ptr<bool[]> in_doubt(new (std::nothrow) bool[n]);
    if (open.logits == nullptr || scratch == nullptr || in_doubt == nullptr) return give_up();
    const std::ptrdiff_t left = correct_rows->settle({function_, call, row, open.logits.get(), scratch.get(), in_doubt.get()});
    if (left == 0) return;
    for (std::ptrdiff_t c = 0; std::ptrdiff_t(open.results.size()) < left; ++c)
      if (in_doubt[static_cast<std::size_t>(c)]) open.results.push_back(c);
    const std::lock_guard<std::mutex> lock(mutex_);
    open_.push_back(std::move(open));
  }
  // What settling leaves.
  bool decide() {
    for (const OpenRow& open : open_)
      for (const std::ptrdiff_t c : open.results) {
        const RowInDoubt row = {function_, call_, open.row, open.logits.get(), nullptr, nullptr};
        double number;
        if (exact_result == nullptr || !exact_result(row, c, &number)) return false;
        correct_rows->put(row, c, number);
      }
    return true;
  }
  void give_up() { __atomic_store_n(&enough_, false, __ATOMIC_RELAXED); }

  const Correct function_;
  RowsCall call_;
  const RowsKernel& kernel_;
  bool few_[256] = {};
  std::unique_ptr<bool[]> many_;
  bool enough_ = true;
  std::mutex mutex_;
  std::vector<OpenRow> open_;
};

bool run_in_ordinary_way(const RowsFunction& function, const RowsCall& call) {
  const bool one_kernel = call[kSmoothing].row_stride == 0 && call[kZLoss].row_stride == 0;
  for (std::ptrdiff_t begin = 0, end; begin < call.rows; begin = end) {
    const RowsKernel* kernel = function.kernel(call, begin);
    for (end = one_kernel ? call.rows : begin + 1; end < call.rows && function.kernel(call, end) == kernel;) ++end;
    if (!run_rows(*kernel, rows_of(call, begin, end))) return false;
  }
  return true;
}

// Losses first, then their gradient, which may go where the logits are and is not correctly rounded.
bool run_correctly(const RowsFunction& function, const RowsCall& call) {
  if (function.correct != Correct::kCrossEntropy || call[kOut].data == nullptr) return CorrectCall(function.correct, call).run();
  RowsCall losses = call, gradient = call;
  losses[kOut] = {};
  const std::unique_ptr<double[]> ordinary(new (std::nothrow) double[static_cast<std::size_t>(call.rows)]);
  gradient[kValue] = {reinterpret_cast<char*>(ordinary.get()), sizeof(double), 0};
  return ordinary != nullptr && CorrectCall(function.correct, losses).run() && run_in_ordinary_way(function, gradient);
}

}  // namespace

bool get_correct_rounding() { return __atomic_load_n(&rounds_correctly, __ATOMIC_RELAXED); }
void set_correct_rounding(bool on) { __atomic_store_n(&rounds_correctly, on, __ATOMIC_RELAXED); }
void provide_correct_rounding(const CorrectRows* kernels, ExactResult exact) {
  correct_rows = kernels;
  exact_result = exact;
}

bool run_rows(const RowsFunction& function, const RowsCall& call) {
  FloatEnvironment environment;
  return get_correct_rounding() && correct_rows != nullptr && can_be_correct(function, call) ? run_correctly(function, call) : run_in_ordinary_way(function, call);
}

void run_elementwise(ElementwiseKernel kernel, const ElementwiseCall& call, std::ptrdiff_t count) {
  FloatEnvironment environment;
  for_ranges(count, kTaskSize, [&](std::ptrdiff_t begin, std::ptrdiff_t end) { kernel(call, begin, end); });
}

namespace {

__attribute__((always_inline)) inline void look_up(const std::uint16_t* table, const char* from, std::ptrdiff_t step, char* to, std::ptrdiff_t out_step, std::ptrdiff_t count) {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, from + i * step, sizeof(bits));
    std::memcpy(to + i * out_step, table + bits, sizeof(bits));
  }
}

}  // namespace

void run_look_up(const std::uint16_t* table, const ElementwiseCall& call, std::ptrdiff_t count) {
  constexpr std::ptrdiff_t kSize = sizeof(*table), kLine = 64, kAhead = 32 * kLine;  // bytes
  const std::ptrdiff_t step = call.x.row_stride, out_step = call.out.row_stride;
  for_ranges(count, kTaskSize, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    const char* from = call.x.data + begin * step;
    char* to = call.out.data + begin * out_step;
    if (step != kSize || out_step != kSize) return look_up(table, from, step, to, out_step, end - begin);
    for (std::ptrdiff_t i = 0; i < (end - begin) * kSize; i += kLine) {
      __builtin_prefetch(from + i + kAhead);
      __builtin_prefetch(to + i + kAhead, 1);
      look_up(table, from + i, kSize, to + i, kSize, std::min(kLine, (end - begin) * kSize - i) / kSize);
    }
  });
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

namespace {

// The rows of each group together, in their order, and where a task may end: after the last row of a group. Without a table
// each row is a group.
class GroupedRows {
 public:
  explicit GroupedRows(const Evaluation& call)
      : groups_(call.table != nullptr ? call.groups : call.rows),
        order_(new (std::nothrow) std::ptrdiff_t[static_cast<std::size_t>(call.rows)]),
        ends_(new (std::nothrow) std::ptrdiff_t[static_cast<std::size_t>(groups_ + 1)]()) {
    if (!has_memory()) return;
    const auto group_of = [&](std::ptrdiff_t row) { return call.table != nullptr ? static_cast<std::ptrdiff_t>(call.group[row]) : row; };
    for (std::ptrdiff_t row = 0; row < call.rows; ++row) ++ends_[group_of(row) + 1];
    for (std::ptrdiff_t g = 0; g < groups_; ++g) ends_[g + 1] += ends_[g];
    for (std::ptrdiff_t row = 0; row < call.rows; ++row) order_[ends_[group_of(row)]++] = row;  // ends_[g] is then the end of g
    find_tasks(std::max<std::ptrdiff_t>(1, kTaskSize / call.classes));
  }
  bool has_memory() const { return order_ != nullptr && ends_ != nullptr; }
  std::ptrdiff_t tasks() const { return tasks_; }
  const std::ptrdiff_t* begin(std::ptrdiff_t task) const { return order_.get() + (task == 0 ? 0 : ends_[task - 1]); }
  std::ptrdiff_t size(std::ptrdiff_t task) const { return order_.get() + ends_[task] - begin(task); }

 private:
  // Overwrites the ends of groups with those of tasks of about `step` rows.
  void find_tasks(std::ptrdiff_t step) {
    for (std::ptrdiff_t g = 0, begin = 0; g < groups_; ++g) {
      if (ends_[g] - begin < step && g + 1 < groups_) continue;
      begin = ends_[tasks_++] = ends_[g];
    }
  }
  const std::ptrdiff_t groups_;
  std::unique_ptr<std::ptrdiff_t[]> order_, ends_;
  std::ptrdiff_t tasks_ = 0;
};

}  // namespace

bool run_evaluation(const EvaluationKernel& kernel, const Evaluation& call) {
  const GroupedRows rows(call);
  if (!rows.has_memory()) return false;
  FloatEnvironment environment;
  return for_ranges_with_scratch(rows.tasks(), 1, kernel.scratch_bytes(call.classes), [&](std::ptrdiff_t task, std::ptrdiff_t, char* scratch) {
    kernel.rows(call, rows.begin(task), rows.size(task), scratch);
  });
}

bool run_resamples(const EvaluationFunctions& kernels, const double* counts, std::ptrdiff_t resamples, const double* table,
                   std::ptrdiff_t groups, std::ptrdiff_t cells, double* product, double* sums) {
  constexpr std::ptrdiff_t kTasks = 64;  // parts of the cells, which say in which order they are added
  const std::ptrdiff_t fewest = product != nullptr ? 8 : 128;  // cells of a part
  const std::ptrdiff_t blocks = ceil_div(resamples, kResamples), step = std::max(fewest, ceil_div(cells, kTasks)), parts = ceil_div(cells, step);
  const std::unique_ptr<double[]> of_blocks(new (std::nothrow) double[static_cast<std::size_t>(blocks * groups * kResamples)]());
  const std::unique_ptr<double[]> of_parts(new (std::nothrow) double[static_cast<std::size_t>(parts * blocks * kResamples)]());
  if (of_blocks == nullptr || of_parts == nullptr) return false;
  FloatEnvironment environment;
  for_ranges(resamples, kResamples, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    for (std::ptrdiff_t r = begin; r < end; ++r)
      for (std::ptrdiff_t g = 0; g < groups; ++g) of_blocks[(begin * groups) + g * kResamples + (r - begin)] = counts[r * groups + g];
  });
  const Resamples call = {of_blocks.get(), table, groups, cells, blocks, product};
  const bool enough = for_ranges_with_scratch(cells, step, kernels.resample_bytes(groups), [&](std::ptrdiff_t begin, std::ptrdiff_t end, char* scratch) {
    kernels.resample(call, begin, end, of_parts.get() + begin / step * blocks * kResamples, scratch);
  });
  for (std::ptrdiff_t r = 0; product == nullptr && r < resamples; ++r) {
    sums[r] = 0.0;
    for (std::ptrdiff_t k = 0; k < parts; ++k) sums[r] += of_parts[k * blocks * kResamples + r];
  }
  return enough;
}

}  // namespace sigmax
