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

struct Header {
  std::int64_t is_axis, function, type, rows, classes;
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

}  // namespace

int main() {
  const std::int64_t sizes[] = {2, 2, 4, 8};
  for (Header h; read(&h, sizeof(h));) {
    std::int64_t size = sizes[h.type], numbers = h.rows * h.classes;
    std::vector<char> x = operand(numbers, size);
    std::vector<char> per_class = operand(h.has_per_class ? numbers : 0, size);
    std::vector<char> per_row = operand(h.has_per_row ? h.rows : 0, size);
    std::vector<char> temperature = operand(h.is_axis ? h.rows : 0, sizeof(double));
    std::vector<char> out(static_cast<std::size_t>((h.reduces ? h.rows : numbers) * size));
    if (h.is_axis) {
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
