// Blocks of rows between memory, of any storage type and any strides, and tiles of the type they are computed in.
#pragma once

#include "../calls.h"
#include "../simd/copy.h"
#include "../simd/rounding.h"

namespace sigmax {
namespace {

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

constexpr std::ptrdiff_t kConverted = 512;  // numbers at a time, in the first cache

// Numbers of a tile that are neighbours there, line by line: a line is a row or a class.
template <class T, class Body>
void for_each_line(Tile<T> tile, std::ptrdiff_t rows, std::ptrdiff_t classes, Body body) {
  const bool by_row = tile.class_step == 1;
  const std::ptrdiff_t lines = by_row ? rows : classes, length = by_row ? classes : rows;
  for (std::ptrdiff_t line = 0; line < lines; ++line)
    for (std::ptrdiff_t at = 0; at < length; at += kConverted) {
      const std::ptrdiff_t n = length - at < kConverted ? length - at : kConverted;
      by_row ? body(line, at, n) : body(at, line, n);
    }
}

template <class S, class T>
struct Stored {
  static constexpr std::ptrdiff_t kSize = sizeof(S);

  static void gather(Tile<T> to, Block from, std::ptrdiff_t rows, std::ptrdiff_t classes) {
    if constexpr (sizeof(S) == sizeof(T)) {
      copy_block<S>(to.block(), from, rows, classes);
    } else {
      S line[kConverted];
      for_each_line(to, rows, classes, [&](std::ptrdiff_t row, std::ptrdiff_t c, std::ptrdiff_t n) {
        const std::ptrdiff_t stride = to.class_step == 1 ? from.class_stride : from.row_stride;
        if (stride == kSize) std::memcpy(line, from.at(row, c), static_cast<std::size_t>(n * kSize));
        else
          for (std::ptrdiff_t i = 0; i < n; ++i) std::memcpy(line + i, from.at(row, c) + i * stride, kSize);
        std::ptrdiff_t i = 0;
        for (; i + kLanes <= n; i += kLanes) store_singles(to.at(row, c) + i, load_singles(line + i));
        for (; i < n; ++i) to.at(row, c)[i] = static_cast<T>(load(reinterpret_cast<const char*>(line + i)));
      });
    }
  }
  static void scatter(Block to, Tile<T> from, std::ptrdiff_t rows, std::ptrdiff_t classes) {
    if constexpr (sizeof(S) == sizeof(T)) {
      copy_block<S>(to, from.block(), rows, classes);
    } else {
      S line[kConverted];
      for_each_line(from, rows, classes, [&](std::ptrdiff_t row, std::ptrdiff_t c, std::ptrdiff_t n) {
        const std::ptrdiff_t stride = from.class_step == 1 ? to.class_stride : to.row_stride;
        std::ptrdiff_t i = 0;
        for (; i + kLanes <= n; i += kLanes) store_singles(line + i, load_singles(from.at(row, c) + i));
        for (; i < n; ++i) store(reinterpret_cast<char*>(line + i), from.at(row, c)[i]);
        if (stride == kSize) std::memcpy(to.at(row, c), line, static_cast<std::size_t>(n * kSize));
        else
          for (i = 0; i < n; ++i) std::memcpy(to.at(row, c) + i * stride, line + i, kSize);
      });
    }
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
