// Blocks of rows x classes in memory, copied between layouts: contiguous rows, contiguous columns, any strides.
#pragma once

#include <type_traits>
#include <utility>

#include "vector.h"

namespace sigmax {
namespace {

template <int bytes>
struct WordsOf {
  typedef std::uint32_t Type __attribute__((vector_size(bytes)));
};
template <int bytes>
using Words32 = typename WordsOf<bytes>::Type;

template <int i, int j, int k, int l, class V, std::size_t... lane>
SIGMAX_INLINE V shuffled(V a, V b, std::index_sequence<lane...>) {
  constexpr std::size_t of[] = {i, j, k, l}, lanes = sizeof...(lane);
  return __builtin_shufflevector(a, b, (lane / 4 * 4 + (of[lane % 4] < 4 ? of[lane % 4] : of[lane % 4] - 4 + lanes))...);
}
// Of each 16 bytes the same four words, of a where they are below 4.
template <int i, int j, int k, int l, class V>
SIGMAX_INLINE V shuffle(V a, V b) {
  return shuffled<i, j, k, l>(a, b, std::make_index_sequence<sizeof(V) / 4>());
}

template <class V, std::size_t... lane>
SIGMAX_INLINE Words32<2 * sizeof(V)> joined(V low, V high, std::index_sequence<lane...>) {
  return __builtin_shufflevector(low, high, lane...);
}
// 16 bytes of each 4th line, one after the other.
template <int bytes>
SIGMAX_INLINE Words32<bytes> load_quarters(const char* from, std::ptrdiff_t step) {
  if constexpr (bytes == 16) {
    return load_vector<Words32<16>>(from);
  } else {
    const auto low = load_quarters<bytes / 2>(from, step), high = load_quarters<bytes / 2>(from + bytes / 32 * step, step);
    return joined(low, high, std::make_index_sequence<bytes / 4>());
  }
}
template <int which, class V, std::size_t... lane>
SIGMAX_INLINE Words32<sizeof(V) / 2> half(V v, std::index_sequence<lane...>) {
  return __builtin_shufflevector(v, v, (lane + which * sizeof...(lane))...);
}
template <class V>
SIGMAX_INLINE void store_quarters(char* to, std::ptrdiff_t step, V v) {
  if constexpr (sizeof(V) == 16) {
    store_vector(to, v);
  } else {
    store_quarters(to, step, half<0>(v, std::make_index_sequence<sizeof(V) / 8>()));
    store_quarters(to + sizeof(V) / 32 * step, step, half<1>(v, std::make_index_sequence<sizeof(V) / 8>()));
  }
}

// 4x4 words in each 16 bytes.
template <class V>
SIGMAX_INLINE void transpose_quarters(V (&v)[4]) {
  const V ab0 = shuffle<0, 4, 1, 5>(v[0], v[1]), ab1 = shuffle<2, 6, 3, 7>(v[0], v[1]);
  const V cd0 = shuffle<0, 4, 1, 5>(v[2], v[3]), cd1 = shuffle<2, 6, 3, 7>(v[2], v[3]);
  v[0] = shuffle<0, 1, 4, 5>(ab0, cd0);
  v[1] = shuffle<2, 3, 6, 7>(ab0, cd0);
  v[2] = shuffle<0, 1, 4, 5>(ab1, cd1);
  v[3] = shuffle<2, 3, 6, 7>(ab1, cd1);
}

// Lines of 16 bytes to columns of `bytes`, or back: bytes/4 x 4 words, or with numbers of 8 bytes 2x2.
template <class T, int bytes, bool back>
SIGMAX_INLINE void transpose_block(const char* from, std::ptrdiff_t from_stride, char* to, std::ptrdiff_t to_stride) {
  if constexpr (sizeof(T) == 8) {
    const auto a = load_vector<Words32<16>>(from), b = load_vector<Words32<16>>(from + from_stride);
    store_vector(to, shuffle<0, 1, 4, 5>(a, b));
    store_vector(to + to_stride, shuffle<2, 3, 6, 7>(a, b));
  } else {
    Words32<bytes> v[4];
    SIGMAX_UNROLL_ALL for (int k = 0; k < 4; ++k) v[k] = back ? load_vector<Words32<bytes>>(from + k * from_stride) : load_quarters<bytes>(from + k * from_stride, 4 * from_stride);
    transpose_quarters(v);
    SIGMAX_UNROLL_ALL for (int k = 0; k < 4; ++k) back ? store_quarters(to + k * to_stride, 4 * to_stride, v[k]) : store_vector(to + k * to_stride, v[k]);
  }
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

// Lines of n numbers, bytes/sizeof(T) of them, to as many columns; or columns to lines. The last blocks overlap those before them.
template <class T, int bytes, bool back>
SIGMAX_INLINE void transpose_strip(const char* lines, std::ptrdiff_t line_stride, char* columns, std::ptrdiff_t column_stride, std::ptrdiff_t n) {
  constexpr std::ptrdiff_t size = sizeof(T), side = 16 / size;
  for (std::ptrdiff_t i = 0; i < n; i += side) {
    if (i > n - side) i = n - side;
    if constexpr (back)
      SIGMAX_UNROLL_ALL for (std::ptrdiff_t k = 0; k < side; ++k) __builtin_prefetch(columns + (i + k + kClassesAhead) * column_stride);
    char* of_lines = const_cast<char*>(lines) + i * size;
    back ? transpose_block<T, bytes, true>(columns + i * column_stride, column_stride, of_lines, line_stride)
         : transpose_block<T, bytes, false>(of_lines, line_stride, columns + i * column_stride, column_stride);
  }
}

// Contiguous rows on one side, contiguous columns on the other.
template <class T, int bytes>
void transpose(Block rows_of, Block columns_of, bool back, std::ptrdiff_t rows, std::ptrdiff_t classes) {
  constexpr std::ptrdiff_t side = (sizeof(T) == 8 ? 16 : bytes) / sizeof(T);
  for (std::ptrdiff_t i = 0; i < rows; i += side) {
    if (i > rows - side) i = rows - side;
    if (back) transpose_strip<T, bytes, true>(rows_of.at(i, 0), rows_of.row_stride, columns_of.at(i, 0), columns_of.class_stride, classes);
    else transpose_strip<T, bytes, false>(rows_of.at(i, 0), rows_of.row_stride, columns_of.at(i, 0), columns_of.class_stride, classes);
  }
}

template <class T>
void transpose(Block to, Block from, std::ptrdiff_t rows, std::ptrdiff_t classes) {
  constexpr std::ptrdiff_t side = sizeof(T) == 8 ? 2 : 4, lanes = SIGMAX_VECTOR_BYTES / 4;
  const bool back = from.class_stride != sizeof(T);
  if (sizeof(T) < 4 || rows < side || classes < side) copy_elements<T>(to, from, 0, rows, 0, classes);
  else if (sizeof(T) == 4 && rows >= lanes) transpose<T, SIGMAX_VECTOR_BYTES>(back ? to : from, back ? from : to, back, rows, classes);
  else transpose<T, 16>(back ? to : from, back ? from : to, back, rows, classes);
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
