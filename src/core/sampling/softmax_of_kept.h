// The softmax of rows that hold -inf for what is not kept, in their place: by the core's own engine, so that a filtered row
// has the bits of softmax(x, where=kept).
#pragma once

#include "../functions/softmax.h"
#include "../rows/engine.h"
#include "sampling.h"

namespace sigmax {
namespace {

template <class W>
struct SoftmaxOfKept : Softmax<W> {
  static constexpr bool is_sparse = true;
};

// The temperature of a call's probabilities.
SIGMAX_INLINE PerRow temperature_of(const SamplingCall& call) {
  static constexpr double kOne = 1.0;
  for (int k = 0; k < call.steps; ++k)
    if (call.step[k] == Step::kTemperature) return call.parameter[k];
  return {&kOne, 0};
}

// T is float or double.
template <class T>
struct KeptRows {
  static constexpr const RowsKernel& kernel = Engine<SoftmaxOfKept<typename Arithmetic<T>::W>, T>::kernel;

  static std::size_t scratch_bytes(std::ptrdiff_t classes) {
    return kernel.scratch_bytes(classes) + static_cast<std::size_t>(classes / kChunk + 1) * sizeof(Partial);
  }

  // Numbers of a tile; `first` is the number of its first row in the call.
  static void replace(const SamplingCall& sampling, Tile<T> tile, std::ptrdiff_t first, std::ptrdiff_t rows, void* scratch) {
    const PerRow temperature = temperature_of(sampling);
    RowsCall call = {};
    call.rows = rows;
    call.classes = sampling.classes;
    call.type = sizeof(T) == 8 ? kFloat64 : kFloat32;
    const Block block = tile.block();
    call[kX] = call[kOut] = {block.data, block.row_stride, block.class_stride};
    char* temperatures = reinterpret_cast<char*>(const_cast<double*>(temperature.data + first * temperature.step));
    call[kTemperature] = {temperatures, temperature.step * std::ptrdiff_t{sizeof(double)}, 0};
    char* memory = static_cast<char*>(scratch);
    if (call.classes <= kLongestWholeRow) return kernel.rows(call, 0, rows, memory);
    for (std::ptrdiff_t row = 0; row < rows; ++row) replace_long(call, row, memory);
  }

 private:
  static void replace_long(const RowsCall& call, std::ptrdiff_t row, char* memory) {
    const std::ptrdiff_t chunks = call.classes / kChunk;
    Partial* partials = reinterpret_cast<Partial*>(memory);
    char* scratch = memory + static_cast<std::size_t>(chunks + 1) * sizeof(Partial);
    Partial whole;
    for (std::ptrdiff_t k = 0; k < chunks; ++k) kernel.chunk_largest(call, row, k, partials, scratch);
    kernel.merge_largest(partials, chunks, &whole);
    for (std::ptrdiff_t k = 0; k < chunks; ++k) kernel.chunk_sums(call, row, k, partials, whole, scratch);
    kernel.merge_sums(partials, chunks, &whole);
    for (std::ptrdiff_t k = 0; k < chunks; ++k) kernel.chunk_outputs(call, row, k, whole, scratch);
  }
};

}  // namespace
}  // namespace sigmax
