// Elementwise functions of one 16-bit number: there are 65,536 of these, and a table of all results is read in a third of the
// time that a result takes. The kernels fill it, so that it has their bits.
#include <atomic>
#include <memory>
#include <new>

#include "../runtime/run.h"
#include "functions.h"

namespace sigmax {
namespace {

constexpr npy_intp kNumbers = 65536;
constexpr int kMostFunctions = 16;

std::unique_ptr<std::uint16_t[]> results_of(ElementwiseKernel kernel) {
  std::unique_ptr<std::uint16_t[]> table(new (std::nothrow) std::uint16_t[kNumbers]);
  if (table == nullptr) return table;
  for (npy_intp bits = 0; bits < kNumbers; ++bits) table[bits] = static_cast<std::uint16_t>(bits);
  ElementwiseCall call;
  call.x = call.out = {reinterpret_cast<char*>(table.get()), sizeof(std::uint16_t), 0};
  run_elementwise(kernel, call, kNumbers);
  return table;
}

struct Place {
  std::atomic<const std::uint16_t*> table;
  std::atomic<npy_intp> asked;  // how many results, before there was a table
};

// The table of a function, by the bits of its argument; made once as many results have been asked for as it has. Null where there
// is none: before that, for other types, for functions of two numbers, or without memory.
const std::uint16_t* table_of(const ElementwiseFunction& function, Type type, npy_intp count) {
  static Place places[kMostFunctions][2];
  const std::ptrdiff_t number = &function - kernels->elements->elementwise;
  if (type > kBFloat16 || function.has_cotangent || number >= kMostFunctions) return nullptr;
  Place& place = places[number][type];
  const std::uint16_t* table = place.table.load(std::memory_order_acquire);
  if (table != nullptr || place.asked.fetch_add(count, std::memory_order_relaxed) + count < kNumbers) return table;
  std::unique_ptr<std::uint16_t[]> made = results_of(function.kernels[type]);
  if (made == nullptr) return nullptr;
  return place.table.compare_exchange_strong(table, made.get(), std::memory_order_acq_rel) ? made.release() : table;  // another thread's
}

}  // namespace

void run_elements(const ElementwiseFunction& function, Type type, const ElementwiseCall& call, npy_intp count) {
  const std::uint16_t* table = table_of(function, type, count);
  table != nullptr ? run_look_up(table, call, count) : run_elementwise(function.kernels[type], call, count);
}

}  // namespace sigmax
