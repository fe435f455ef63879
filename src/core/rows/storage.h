// Blocks of rows between memory, of any storage type and any strides, and tiles of the type they are computed in.
#pragma once

#include "../calls.h"
#include "../simd/copy.h"
#include "../simd/rounding.h"

namespace sigmax {
namespace {

constexpr SIGMAX_INLINE std::ptrdiff_t smaller(std::ptrdiff_t a, std::ptrdiff_t b) { return a < b ? a : b; }
constexpr SIGMAX_INLINE std::ptrdiff_t larger(std::ptrdiff_t a, std::ptrdiff_t b) { return a > b ? a : b; }

// Rows x classes numbers of type T: rows next to each other (step 1 from row to row) or classes.
template <class T>
struct Tile {
  T* data;
  std::ptrdiff_t row_step, class_step;

  T* at(std::ptrdiff_t row, std::ptrdiff_t c) const { return data + row * row_step + c * class_step; }
  Block block() const {
    return {reinterpret_cast<char*>(data), row_step * std::ptrdiff_t{sizeof(T)}, class_step * std::ptrdiff_t{sizeof(T)}};
  }
};

SIGMAX_INLINE Block block_at(const Operand& operand, std::ptrdiff_t row, std::ptrdiff_t c = 0) {
  Block block = {operand.data, operand.row_stride, operand.class_stride};
  block.data = block.at(row, c);
  return block;
}

// What the engine needs of a storage type S that is computed in numbers T.
template <class T>
struct Storage {
  std::ptrdiff_t size;
  void (*gather)(Tile<T> to, Block from, std::ptrdiff_t rows, std::ptrdiff_t classes);
  void (*scatter)(Block to, Tile<T> from, std::ptrdiff_t rows, std::ptrdiff_t classes);
  void (*store)(char* to, double x);  // one number, rounded once
  double (*load)(const char* from);
  const Format* format;
};

// 16-bit numbers that are neighbours in a tile, to floats and back.
template <class S>
void widen_line(float* to, const char* from, std::ptrdiff_t stride, std::ptrdiff_t n) {
  std::ptrdiff_t i = 0;
  for (; stride == sizeof(S) && i + kLanes <= n; i += kLanes) store_singles(to + i, load_singles(reinterpret_cast<const S*>(from + i * stride)));
  for (; i < n; i += kLanes) {
    S some[kLanes] = {};
    float wide[kLanes];
    for (std::ptrdiff_t k = 0; k < smaller(kLanes, n - i); ++k) std::memcpy(some + k, from + (i + k) * stride, sizeof(S));
    store_singles(wide, load_singles(some));
    for (std::ptrdiff_t k = 0; k < smaller(kLanes, n - i); ++k) to[i + k] = wide[k];
  }
}
template <class S>
void narrow_line(char* to, std::ptrdiff_t stride, const float* from, std::ptrdiff_t n) {
  std::ptrdiff_t i = 0;
  for (; stride == sizeof(S) && i + kLanes <= n; i += kLanes) store_singles(reinterpret_cast<S*>(to + i * stride), load_singles(from + i));
  for (; i < n; i += kLanes) {
    float wide[kLanes] = {};
    S some[kLanes];
    for (std::ptrdiff_t k = 0; k < smaller(kLanes, n - i); ++k) wide[k] = from[i + k];
    store_singles(some, load_singles(wide));
    for (std::ptrdiff_t k = 0; k < smaller(kLanes, n - i); ++k) std::memcpy(to + (i + k) * stride, some + k, sizeof(S));
  }
}

// Calls body(line of floats, its first number in memory, the stride there, how many) for all numbers of a tile. Where memory
// has them row by row and the tile does not, they go by way of rows of floats, `to_tile` or from it.
template <bool to_tile, std::ptrdiff_t size, class Body>
SIGMAX_INLINE void for_each_line(Tile<float> tile, Block memory, std::ptrdiff_t rows, std::ptrdiff_t classes, Body body) {
  constexpr std::ptrdiff_t most = 2048;  // floats, in the first cache
  if (tile.class_step == 1) {
    for (std::ptrdiff_t i = 0; i < rows; ++i) body(tile.at(i, 0), memory.at(i, 0), memory.class_stride, classes);
  } else if (memory.class_stride != size || rows > most) {
    for (std::ptrdiff_t j = 0; j < classes; ++j) {
      prefetch_ahead(memory, rows, 0, j, size);
      body(tile.at(0, j), memory.at(0, j), memory.row_stride, rows);
    }
  } else {
    float rows_of[most];
    for (std::ptrdiff_t j = 0; j < classes; j += most / rows) {
      const std::ptrdiff_t n = smaller(most / rows, classes - j);
      const Block of_tile = {reinterpret_cast<char*>(tile.at(0, j)), sizeof(float), tile.class_step * std::ptrdiff_t{sizeof(float)}};
      const Block between = {reinterpret_cast<char*>(rows_of), n * std::ptrdiff_t{sizeof(float)}, sizeof(float)};
      const bool as_one = memory.row_stride == n * size;
      if constexpr (!to_tile) copy_block<float>(between, of_tile, rows, n);
      for (std::ptrdiff_t i = 0; i < (as_one ? 1 : rows); ++i) body(rows_of + i * n, memory.at(i, j), size, as_one ? rows * n : n);
      if constexpr (to_tile) copy_block<float>(of_tile, between, rows, n);
    }
  }
}

template <class S, class T>
struct Stored {
  static constexpr std::ptrdiff_t kSize = sizeof(S);

  static void gather(Tile<T> to, Block from, std::ptrdiff_t rows, std::ptrdiff_t classes) {
    if constexpr (sizeof(S) == sizeof(T))
      copy_block<S>(to.block(), from, rows, classes);
    else
      for_each_line<true, kSize>(to, from, rows, classes, [](float* line, const char* at, std::ptrdiff_t stride, std::ptrdiff_t n) { widen_line<S>(line, at, stride, n); });
  }
  static void scatter(Block to, Tile<T> from, std::ptrdiff_t rows, std::ptrdiff_t classes) {
    if constexpr (sizeof(S) == sizeof(T))
      copy_block<S>(to, from.block(), rows, classes);
    else
      for_each_line<false, kSize>(from, to, rows, classes, [](const float* line, char* at, std::ptrdiff_t stride, std::ptrdiff_t n) { narrow_line<S>(at, stride, line, n); });
  }
  static void store(char* to, double x) {
    S lanes[kLanes];
    sigmax::store(lanes, splat(x));
    std::memcpy(to, lanes, sizeof(S));
  }
  static double load(const char* from) {
    S lanes[kLanes] = {};
    std::memcpy(lanes, from, sizeof(S));
    return sigmax::load(lanes)[0];
  }

  static constexpr Storage<T> storage = {kSize, gather, scatter, store, load, &kFormat<S>};
};

template <class T>
SIGMAX_INLINE const Storage<T>& storage_of(Type type);
template <>
SIGMAX_INLINE const Storage<float>& storage_of<float>(Type type) {
  static constexpr Storage<float> of[] = {Stored<Half, float>::storage, Stored<BFloat, float>::storage, Stored<float, float>::storage};
  return of[type];
}
template <>
SIGMAX_INLINE const Storage<double>& storage_of<double>(Type) {
  return Stored<double, double>::storage;
}

}  // namespace
}  // namespace sigmax
