// Runs kernels of the NEON table on operands from standard input, results to standard output; see test_isa.py.
// A call: eight 64-bit integers, then the operands, each contiguous and empty where the kernel has none.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "../../src/core/kernels.h"

extern "C" const sigmax::KernelTable sigmax_kernels_neon;

namespace {

using namespace sigmax;

enum Kind { kElementwise, kAxis, kBinaryLoss, kLoss, kMoments };

struct Header {
  std::int64_t kind, function, type, rows, classes;
  // Of a binary loss the first is has_gradient; of a loss they are is_soft, has_gradient, has_mask.
  std::int64_t has_per_class, has_per_row, reduces;
};

bool read(void* to, std::size_t size) { return std::fread(to, 1, size, stdin) == size; }

std::vector<char> operand(std::int64_t count, std::int64_t size) {
  std::vector<char> bytes(static_cast<std::size_t>(count * size));
  if (!read(bytes.data(), bytes.size())) std::exit(1);
  return bytes;
}

void elementwise(const Header& h, std::int64_t size, char* x, char* cotangent, char* out) {
  ElementwiseCall call;
  call.x = {x, size, 0};
  call.cotangent = {cotangent, size, 0};
  call.out = {out, size, 0};
  sigmax_kernels_neon.elementwise[h.function][h.type](call, 0, h.rows * h.classes);
}

// Sample weight, pos_weight, smoothing and divisor are doubles; the answer is the gradient, or else the losses.
std::vector<char> binary_loss(const Header& h, std::int64_t size, char* x) {
  std::int64_t count = h.rows * h.classes;
  constexpr std::int64_t kDouble = sizeof(double);
  std::vector<char> labels = operand(count, size), weight = operand(count, kDouble);
  std::vector<char> pos_weight = operand(count, kDouble), smoothing = operand(count, kDouble);
  std::vector<char> divisor = operand(h.has_per_class ? count : 0, kDouble);
  std::vector<char> loss(static_cast<std::size_t>(count * kDouble)), gradient(static_cast<std::size_t>(count * size));
  BinaryLossCall call;
  call.x = {x, size, 0};
  call.labels = {labels.data(), size, 0};
  call.weight = {weight.data(), kDouble, 0};
  call.pos_weight = {pos_weight.data(), kDouble, 0};
  call.smoothing = {smoothing.data(), kDouble, 0};
  double one = 1.0;
  call.divisor = h.has_per_class ? Operand{divisor.data(), kDouble, 0} : Operand{reinterpret_cast<char*>(&one), 0, 0};
  call.loss = {loss.data(), kDouble, 0};
  call.gradient = {gradient.data(), size, 0};
  sigmax_kernels_neon.binary_loss[h.function][h.type](call, 0, count);
  return h.has_per_class ? gradient : loss;
}

void long_row(const AxisKernel& kernel, const AxisCall& call, std::int64_t row) {
  std::int64_t chunks = (call.classes + kChunk - 1) / kChunk;
  std::vector<Partial> partials(static_cast<std::size_t>(chunks));
  Partial whole;
  for (std::int64_t k = 0; k < chunks; ++k) kernel.chunk_max(call, row, k, partials.data());
  kernel.merge_max(partials.data(), chunks, &whole);
  for (std::int64_t k = 0; k < chunks; ++k) kernel.chunk_sums(call, row, k, partials.data(), whole);
  kernel.merge_sums(partials.data(), chunks, &whole);
  for (std::int64_t k = 0; k < chunks; ++k) kernel.chunk_out(call, row, k, partials.data(), whole);
}

void axis(const Header& h, const AxisCall& call) {
  const AxisKernel& kernel = sigmax_kernels_neon.axis[h.function][h.type];
  if (call.classes <= kLongestWholeRow) {
    std::vector<double> scratch(kernel.scratch_bytes(call.classes) / sizeof(double) + 1);
    kernel.rows(call, 0, call.rows, reinterpret_cast<char*>(scratch.data()));
  } else {
    for (std::int64_t row = 0; row < call.rows; ++row) long_row(kernel, call, row);
  }
}

// Of each row: label, soft labels, weight, temperature, z_loss, scale, total of the prior, mask; then of all rows: smoothing,
// weights of the classes, prior. The answer is the gradient, or else the losses.
std::vector<char> loss(const Header& h, std::int64_t size, char* x) {
  constexpr std::int64_t kDouble = sizeof(double);
  std::int64_t numbers = h.rows * h.classes;
  std::vector<char> label = operand(h.rows, sizeof(std::int64_t)), soft = operand(h.has_per_class ? numbers : 0, size);
  std::vector<char> options[5];
  for (std::vector<char>& option : options) option = operand(h.rows, kDouble);
  std::vector<char> mask = operand(h.reduces ? numbers : 0, 1), smoothing = operand(1, kDouble);
  std::vector<char> class_weight = operand(h.classes, kDouble), prior = operand(h.classes, kDouble);
  std::vector<char> value(static_cast<std::size_t>(h.rows * kDouble)), gradient(static_cast<std::size_t>(numbers * size));
  char no_mask = 1;
  auto per_row = [](std::vector<char>& numbers) { return Operand{numbers.data(), sizeof(double), 0}; };
  AxisCall call;
  call.rows = h.rows;
  call.classes = h.classes;
  call.x = {x, h.classes * size, size};
  if (h.has_per_class) call.per_class = {soft.data(), h.classes * size, size};
  call.temperature = per_row(options[1]);
  call.out = {gradient.data(), h.classes * size, size};
  call.loss.label = {label.data(), sizeof(std::int64_t), 0};
  call.loss.weight = per_row(options[0]);
  call.loss.class_weight = {class_weight.data(), 0, kDouble};
  call.loss.smoothing = {smoothing.data(), 0, 0};
  call.loss.prior = {prior.data(), 0, kDouble};
  call.loss.prior_total = per_row(options[4]);
  call.loss.mask = h.reduces ? Operand{mask.data(), h.classes, 1} : Operand{&no_mask, 0, 0};
  call.loss.z_loss = per_row(options[2]);
  call.loss.scale = per_row(options[3]);
  call.loss.value = per_row(value);
  axis(h, call);
  return h.has_per_row ? gradient : value;
}

// Of each row: inverse temperature and reference, doubles; the answer is mean and second moment, side by side.
std::vector<char> moments(const Header& h, std::int64_t size, char* x) {
  constexpr std::int64_t kDouble = sizeof(double);
  std::vector<char> beta = operand(h.rows, kDouble), reference = operand(h.rows, kDouble);
  std::vector<char> answer(static_cast<std::size_t>(2 * h.rows * kDouble));
  MomentsCall call;
  call.rows = h.rows;
  call.classes = h.classes;
  call.x = {x, h.classes * size, size};
  call.beta = {beta.data(), kDouble, 0};
  call.reference = {reference.data(), kDouble, 0};
  call.mean = {answer.data(), 2 * kDouble, 0};
  call.second = {answer.data() + kDouble, 2 * kDouble, 0};
  const MomentsKernel& kernel = sigmax_kernels_neon.logit_moments[h.type];
  std::vector<double> scratch(kernel.scratch_bytes(call.classes) / sizeof(double) + 1);
  kernel.rows(call, 0, call.rows, reinterpret_cast<char*>(scratch.data()));
  return answer;
}

}  // namespace

int main() {
  const std::int64_t sizes[] = {2, 2, 4, 8};
  for (Header h; read(&h, sizeof(h));) {
    std::int64_t size = sizes[h.type], numbers = h.rows * h.classes;
    std::vector<char> x = operand(numbers, size);
    if (h.kind >= kBinaryLoss) {
      std::vector<char> answer = h.kind == kMoments ? moments(h, size, x.data())
                                 : h.kind == kLoss  ? loss(h, size, x.data())
                                                    : binary_loss(h, size, x.data());
      if (std::fwrite(answer.data(), 1, answer.size(), stdout) != answer.size()) return 1;
      continue;
    }
    std::vector<char> per_class = operand(h.has_per_class ? numbers : 0, size);
    std::vector<char> per_row = operand(h.has_per_row ? h.rows : 0, size);
    std::vector<char> temperature = operand(h.kind == kAxis ? h.rows : 0, sizeof(double));
    std::vector<char> out(static_cast<std::size_t>((h.reduces ? h.rows : numbers) * size));
    if (h.kind == kAxis) {
      AxisCall call;
      call.rows = h.rows;
      call.classes = h.classes;
      call.x = {x.data(), h.classes * size, size};
      call.per_class = {per_class.data(), h.classes * size, size};
      call.per_row = {per_row.data(), size, 0};
      call.temperature = {temperature.data(), sizeof(double), 0};
      call.out = h.reduces ? Operand{out.data(), size, 0} : Operand{out.data(), h.classes * size, size};
      axis(h, call);
    } else {
      elementwise(h, size, x.data(), per_class.data(), out.data());
    }
    if (std::fwrite(out.data(), 1, out.size(), stdout) != out.size()) return 1;
  }
}
