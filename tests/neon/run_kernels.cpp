// Runs NEON kernels on operands from standard input, results to standard output; see test_isa.py.
// A call: the function's name in 64 bytes; type, rows, classes and the number of operands as 64-bit integers; then each
// operand: its size, its row stride and its class stride in bytes, and its bytes.
// Results per class are written over the numbers they are made of, and tasks run from the last to the first: a task that reads
// what another writes is found out.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "../../src/core/runtime/run.h"
#include "../../src/core/runtime/threads.h"

extern "C" {
extern const sigmax::ElementFunctions sigmax_elements_neon;
extern const sigmax::RowsFunctions sigmax_normalization_neon, sigmax_products_neon, sigmax_cross_entropy_neon, sigmax_divergence_neon;
}

void sigmax::parallel_for(std::ptrdiff_t tasks, void (*body)(void* context, std::ptrdiff_t task), void* context) {
  while (tasks-- > 0) body(context, tasks);
}

namespace {

using namespace sigmax;

bool read(void* to, std::size_t size) { return std::fread(to, 1, size, stdin) == size; }

typedef std::vector<char> Bytes;

struct Given {
  std::int64_t size, row_stride, class_stride;
  Bytes bytes;
  Operand operand() { return {bytes.data(), row_stride, class_stride}; }
  // Of elements, one after the other.
  Operand elements(std::int64_t count) { return {bytes.data(), size / count, 0}; }
};

struct Request {
  char name[64];
  std::int64_t type, rows, classes, count;
  std::vector<Given> operands;

  bool take() {
    if (!read(name, sizeof(name)) || !read(&type, 4 * sizeof(type))) return false;
    operands.resize(static_cast<std::size_t>(count));
    for (Given& given : operands) {
      if (!read(&given.size, 3 * sizeof(given.size))) std::exit(1);
      given.bytes.resize(static_cast<std::size_t>(given.size));
      if (!read(given.bytes.data(), given.bytes.size())) std::exit(1);
    }
    return true;
  }
  std::int64_t numbers() const { return rows * classes; }
  std::int64_t size() const { return type == kFloat64 ? 8 : type == kFloat32 ? 4 : 2; }
};

void write(const Bytes& bytes) { std::fwrite(bytes.data(), 1, bytes.size(), stdout); }

void run(const ElementwiseFunction& function, Request& request) {
  Bytes out(static_cast<std::size_t>(request.numbers() * request.size()));
  ElementwiseCall call;
  call.x = request.operands[0].elements(request.numbers());
  if (function.has_cotangent) call.cotangent = request.operands[1].elements(request.numbers());
  call.out = {out.data(), request.size(), 0};
  function.kernels[request.type](call, 0, request.numbers());
  write(out);
}

void run(const BinaryLossFunction& function, Request& request) {
  const std::int64_t n = request.numbers();
  Bytes loss(static_cast<std::size_t>(8 * n)), gradient(static_cast<std::size_t>(n * request.size()));
  double one = 1.0;
  BinaryLossCall call;
  Operand* operands[] = {&call.x, &call.labels, &call.weight, &call.pos_weight, &call.smoothing, &call.divisor};
  call.divisor = {reinterpret_cast<char*>(&one), 0, 0};
  for (std::size_t k = 0; k < request.operands.size(); ++k) *operands[k] = request.operands[k].elements(n);
  call.loss = {loss.data(), 8, 0};
  call.gradient = {gradient.data(), request.size(), 0};
  function.kernels[request.type](call, 0, n);
  write(function.has_gradient ? gradient : loss);
}

void run(const RowsFunction& function, Request& request) {
  const std::size_t size = static_cast<std::size_t>(request.size()), rows = static_cast<std::size_t>(request.rows);
  RowsCall call;
  call.rows = request.rows;
  call.classes = request.classes;
  call.type = static_cast<Type>(request.type);
  for (int k = 0; k < function.inputs; ++k) call[function.operands[k]] = request.operands[static_cast<std::size_t>(k)].operand();
  std::vector<Bytes> results(static_cast<std::size_t>(function.outputs));
  for (int k = 0; k < function.outputs; ++k) {
    const Name name = function.operands[function.inputs + k];
    if (name == kOut) {
      call[kOut] = call[kX];
      continue;
    }
    const std::size_t number = name == kResult ? size : 8;
    results[static_cast<std::size_t>(k)].resize(rows * number);
    call[name] = {results[static_cast<std::size_t>(k)].data(), static_cast<std::ptrdiff_t>(number), 0};
  }
  if (!run_rows(function, call)) std::exit(1);
  for (const Bytes& result : results) write(result);
  if (call[kOut].data != nullptr) write(request.operands[0].bytes);
}

bool run(Request& request) {
  const ElementFunctions& elements = sigmax_elements_neon;
  for (int k = 0; k < elements.elementwise_count; ++k)
    if (std::strcmp(elements.elementwise[k].name, request.name) == 0) return run(elements.elementwise[k], request), true;
  for (int k = 0; k < elements.binary_loss_count; ++k)
    if (std::strcmp(elements.binary_loss[k].name, request.name) == 0) return run(elements.binary_loss[k], request), true;
  for (const RowsFunctions* family : {&sigmax_normalization_neon, &sigmax_products_neon, &sigmax_cross_entropy_neon, &sigmax_divergence_neon})
    for (int k = 0; k < family->count; ++k)
      if (std::strcmp(family->first[k].name, request.name) == 0) return run(family->first[k], request), true;
  return false;
}

}  // namespace

int main() {
  Request request;
  while (request.take())
    if (!run(request)) return 1;
}
