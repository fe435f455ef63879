// Blocks of rows x classes in memory, copied between layouts: contiguous rows, contiguous columns, any strides.
#pragma once

#include <type_traits>
#include <utility>

#include "vector.h"

namespace sigmax {
namespace {

typedef std::uint32_t Four32 __attribute__((vector_size(16)));

SIGMAX_INLINE Four32 shuffle(Four32 a, Four32 b, int i, int j, int k, int l) {
#ifdef __clang__
  std::uint32_t both[8];
  std::memcpy(both, &a, 16);
  std::memcpy(both + 4, &b, 16);
  return Four32{both[i], both[j], both[k], both[l]};
#else
  Four32 order = {static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(j), static_cast<std::uint32_t>(k),
                  static_cast<std::uint32_t>(l)};
  return __builtin_shuffle(a, b, order);
#endif
}

// A block of 16 bytes' width, rows to columns: 4x4 elements of 32 bits, 2x2 of 64.
template <class T>
SIGMAX_INLINE void transpose_block(const char* from, std::ptrdiff_t from_stride, char* to, std::ptrdiff_t to_stride) {
  if constexpr (sizeof(T) == 8) {
    Four32 a = load_vector<Four32>(from), b = load_vector<Four32>(from + from_stride);
    store_vector(to, shuffle(a, b, 0, 1, 4, 5));
    store_vector(to + to_stride, shuffle(a, b, 2, 3, 6, 7));
    return;
  }
  Four32 a = load_vector<Four32>(from), b = load_vector<Four32>(from + from_stride);
  Four32 c = load_vector<Four32>(from + 2 * from_stride), d = load_vector<Four32>(from + 3 * from_stride);
  Four32 ab0 = shuffle(a, b, 0, 4, 1, 5), ab1 = shuffle(a, b, 2, 6, 3, 7);
  Four32 cd0 = shuffle(c, d, 0, 4, 1, 5), cd1 = shuffle(c, d, 2, 6, 3, 7);
  store_vector(to, shuffle(ab0, cd0, 0, 1, 4, 5));
  store_vector(to + to_stride, shuffle(ab0, cd0, 2, 3, 6, 7));
  store_vector(to + 2 * to_stride, shuffle(ab1, cd1, 0, 1, 4, 5));
  store_vector(to + 3 * to_stride, shuffle(ab1, cd1, 2, 3, 6, 7));
}

// A rows x classes block of some layout (strides in bytes).
struct Block {
  char* data;
  std::ptrdiff_t row_stride, class_stride;
  char* at(std::ptrdiff_t row, std::ptrdiff_t c) const { return data + row * row_stride + c * class_stride; }
};

// Classes far apart in memory are beyond what the hardware foresees: ask for those a few steps ahead.
constexpr std::ptrdiff_t kClassesAhead = 16, kLine = 64;  // bytes of the cache
SIGMAX_INLINE void prefetch_ahead(Block from, std::ptrdiff_t rows, std::ptrdiff_t row, std::ptrdiff_t c,
                                  std::ptrdiff_t size) {
  if (from.row_stride == size)
    for (std::ptrdiff_t byte = 0; byte < rows * size; byte += kLine)
      __builtin_prefetch(from.at(row, c + kClassesAhead) + byte);
}

template <class T>
SIGMAX_INLINE void copy_elements(Block to, Block from, std::ptrdiff_t row, std::ptrdiff_t rows, std::ptrdiff_t c,
                                 std::ptrdiff_t classes) {
  for (std::ptrdiff_t j = c; j < classes; ++j) {  // rows are few: this order meets each cache line once
    prefetch_ahead(from, rows - row, row, j, sizeof(T));
    for (std::ptrdiff_t i = row; i < rows; ++i) std::memcpy(to.at(i, j), from.at(i, j), sizeof(T));
  }
}

// A few lines of n elements to as many columns.
template <class T>
SIGMAX_INLINE void transpose_strip(const char* from, std::ptrdiff_t from_stride, char* to, std::ptrdiff_t to_stride,
                                   std::ptrdiff_t n) {
  constexpr std::ptrdiff_t side = 16 / sizeof(T);
  std::ptrdiff_t i = 0;
  for (; i + side <= n; i += side) {
    transpose_block<T>(from, from_stride, to, to_stride);
    from += 16;
    to += side * to_stride;
  }
  std::ptrdiff_t back = i + side - n;
  if (back < side) transpose_block<T>(from - back * sizeof(T), from_stride, to - back * to_stride, to_stride);
}

// Contiguous rows on one side, contiguous columns on the other. The last blocks overlap those before them.
template <class T>
void transpose(Block to, Block from, std::ptrdiff_t rows, std::ptrdiff_t classes) {
  constexpr std::ptrdiff_t side = sizeof(T) == 4 ? 4 : 2;
  if (sizeof(T) < 4 || rows < side || classes < side) return copy_elements<T>(to, from, 0, rows, 0, classes);
  if (from.class_stride == sizeof(T))
    for (std::ptrdiff_t i = 0; i < rows; i += side) {
      if (i > rows - side) i = rows - side;
      transpose_strip<T>(from.at(i, 0), from.row_stride, to.at(i, 0), to.class_stride, classes);
    }
  else
    for (std::ptrdiff_t j = 0; j < classes; j += side) {
      if (j > classes - side) j = classes - side;
      for (std::ptrdiff_t k = j; k < j + side; ++k) prefetch_ahead(from, rows, 0, k, sizeof(T));
      transpose_strip<T>(from.at(0, j), from.class_stride, to.at(0, j), to.row_stride, rows);
    }
}

// Rows of two or three classes, one after the other, as vectors: class `c` of as many rows as a vector has lanes.
template <int n, int c, class V, std::size_t... row>
SIGMAX_INLINE V class_of_rows(const V* rows, std::index_sequence<row...>) {
  constexpr std::size_t lanes = sizeof...(row);
  const V first = __builtin_shufflevector(rows[0], rows[1], (n * row + c < 2 * lanes ? n * row + c : 0)...);
  if constexpr (n == 2) return first;
  else return __builtin_shufflevector(first, rows[n - 1], (n * row + c < 2 * lanes ? row : n * row + c - lanes)...);
}
// Vector `k` of these rows.
template <int n, int k, class V, std::size_t... lane>
SIGMAX_INLINE V rows_of_classes(const V* classes, std::index_sequence<lane...>) {
  constexpr std::size_t lanes = sizeof...(lane), at = k * lanes;
  const V first = __builtin_shufflevector(classes[0], classes[1], ((at + lane) / n + ((at + lane) % n == 1 ? lanes : 0))...);
  if constexpr (n == 2) return first;
  else return __builtin_shufflevector(first, classes[n - 1], ((at + lane) % n < 2 ? lane : lanes + (at + lane) / n)...);
}
template <class T, int n>
void columns_of_rows(T* to, std::ptrdiff_t to_stride, const T* from, std::ptrdiff_t rows) {
  typedef T V __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));
  constexpr std::ptrdiff_t lanes = sizeof(V) / sizeof(T);
  constexpr auto all = std::make_index_sequence<lanes>();
  std::ptrdiff_t i = 0;
  for (; i + lanes <= rows; i += lanes) {
    V v[n];
    SIGMAX_UNROLL_ALL for (int k = 0; k < n; ++k) v[k] = load_vector<V>(from + i * n + k * lanes);
    store_vector(to + i, class_of_rows<n, 0>(v, all));
    store_vector(to + i + to_stride, class_of_rows<n, 1>(v, all));
    if constexpr (n == 3) store_vector(to + i + 2 * to_stride, class_of_rows<n, 2>(v, all));
  }
  for (; i < rows; ++i)
    for (int j = 0; j < n; ++j) to[j * to_stride + i] = from[i * n + j];
}
template <class T, int n>
void rows_of_columns(T* to, const T* from, std::ptrdiff_t from_stride, std::ptrdiff_t rows) {
  typedef T V __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));
  constexpr std::ptrdiff_t lanes = sizeof(V) / sizeof(T);
  constexpr auto all = std::make_index_sequence<lanes>();
  std::ptrdiff_t i = 0;
  for (; i + lanes <= rows; i += lanes) {
    V v[n];
    SIGMAX_UNROLL_ALL for (int k = 0; k < n; ++k) v[k] = load_vector<V>(from + i + k * from_stride);
    store_vector(to + i * n, rows_of_classes<n, 0>(v, all));
    store_vector(to + i * n + lanes, rows_of_classes<n, 1>(v, all));
    if constexpr (n == 3) store_vector(to + i * n + 2 * lanes, rows_of_classes<n, 2>(v, all));
  }
  for (; i < rows; ++i)
    for (int j = 0; j < n; ++j) to[i * n + j] = from[j * from_stride + i];
}

// False for rows that are not short, or not one after the other.
template <class T>
bool copy_short_rows(Block to, Block from, std::ptrdiff_t rows, std::ptrdiff_t classes) {
  constexpr std::ptrdiff_t size = sizeof(T);
  if (sizeof(T) < 4 || classes > 3) return false;
  const bool splits = from.class_stride == size && from.row_stride == classes * size && to.row_stride == size;
  const bool joins = to.class_stride == size && to.row_stride == classes * size && from.row_stride == size;
  T* out = reinterpret_cast<T*>(to.data);
  const T* in = reinterpret_cast<const T*>(from.data);
  const std::ptrdiff_t stride = (splits ? to.class_stride : from.class_stride) / size;
  if (splits && classes == 2) columns_of_rows<T, 2>(out, stride, in, rows);
  else if (splits && classes == 3) columns_of_rows<T, 3>(out, stride, in, rows);
  else if (joins && classes == 2) rows_of_columns<T, 2>(out, in, stride, rows);
  else if (joins && classes == 3) rows_of_columns<T, 3>(out, in, stride, rows);
  else return false;
  return true;
}

template <class T>
void copy_block(Block to, Block from, std::ptrdiff_t rows, std::ptrdiff_t classes) {
  constexpr std::ptrdiff_t size = sizeof(T);
  if constexpr (std::is_arithmetic<T>::value)
    if (copy_short_rows<T>(to, from, rows, classes)) return;
  bool rows_to = to.class_stride == size, rows_from = from.class_stride == size;
  bool columns_to = to.row_stride == size, columns_from = from.row_stride == size;
  if (rows_to && rows_from)
    for (std::ptrdiff_t i = 0; i < rows; ++i) std::memcpy(to.at(i, 0), from.at(i, 0), classes * size);
  else if (columns_to && columns_from)
    for (std::ptrdiff_t j = 0; j < classes; ++j) std::memcpy(to.at(0, j), from.at(0, j), rows * size);
  else if ((rows_to && columns_from) || (columns_to && rows_from))
    transpose<T>(to, from, rows, classes);
  else
    copy_elements<T>(to, from, 0, rows, 0, classes);
}

}  // namespace
}  // namespace sigmax
