// A block of rows on its way through a program: where its numbers are, its largest ones, what its rows bring along.
//
// A block has one of two forms. Where rows are short, or next to each other in memory, a row is in a lane of a vector, and
// classes come one after the other ("columns"); else classes are in lanes. Numbers that are in memory as a form needs them are
// read in place, others by way of a tile. Nothing here depends on the program but through its Traits.
#pragma once

#include "label_weights.h"
#include "program.h"
#include "storage.h"

namespace sigmax {
namespace {

constexpr std::ptrdiff_t kMostRows = 64;                        // of a block
constexpr std::ptrdiff_t kGroups = kMostRows / kLanes;          // of rows, one per lane
constexpr std::ptrdiff_t kColumns = 2 * kLanes;                 // a tile of columns has whole vectors of floats
constexpr std::ptrdiff_t kMostRowsAlone = 16;                   // of a block whose classes are in lanes
constexpr std::ptrdiff_t kFewClasses = 24;                      // rows of fewer are in lanes
#ifdef SIGMAX_ONLY_COLUMNS  // for a small module: one form for all rows, with the same bits
constexpr bool kOnlyColumns = true;
#else
constexpr bool kOnlyColumns = false;
#endif
constexpr std::ptrdiff_t kBlockNumbers = 4096;                  // about as many are in a block
constexpr std::ptrdiff_t kColumnBytes = 4 * kLine;              // of a class, in one of rows that are beside each other
constexpr std::ptrdiff_t kKeptBytes = std::ptrdiff_t{1} << 22;  // of terms; more are computed a second time

SIGMAX_INLINE std::ptrdiff_t rounded_up(std::ptrdiff_t n, std::ptrdiff_t step) { return (n + step - 1) / step * step; }

// What a block has to know of its program; see program.h.
struct Traits {
  Second second;
  bool needs_largest, needs_pivot, needs_magnitude, has_label, has_mask;
  int kept_planes, weight_planes;  // doubles per class: of terms that are kept, and of label weights
  double absent;
};

// Row i, class j of the chunks [0, n/kChunk) of a long row: the last one takes the rest.
SIGMAX_INLINE std::ptrdiff_t chunk_begin(std::ptrdiff_t chunk) { return chunk * kChunk; }
SIGMAX_INLINE std::ptrdiff_t chunk_size(std::ptrdiff_t n, std::ptrdiff_t chunk) {
  return chunk + 1 < n / kChunk ? kChunk : n - chunk * kChunk;
}

// T is float or double, the type numbers are computed from; stored ones may be narrower.
template <class T>
class RowBlock {
 public:
  static constexpr std::ptrdiff_t kSize = sizeof(T);
  static constexpr T kInfinityOf = static_cast<T>(kInfinity);

  static std::ptrdiff_t rows_together(const Traits& traits, std::ptrdiff_t n, bool columns) {
    const std::ptrdiff_t fit = kBlockNumbers / (n + 1);
    if (!columns) return larger(1, smaller(kMostRowsAlone, fit));
    constexpr std::ptrdiff_t step = kOnlyColumns ? kColumns : 16;
    if (n < kFewClasses || kOnlyColumns) return larger(step, smaller(kMostRows, fit / step * step));
    // Whole lines of each class, which is in another page of memory; fewer where only so terms can be kept.
    constexpr std::ptrdiff_t most = smaller(kMostRows, kColumnBytes / kSize);
    const std::ptrdiff_t kept = smaller(most, kKeptBytes / larger(1, kept_bytes(traits, n)) / step * step);
    return traits.kept_planes != 0 && kept >= step ? kept : most;
  }
  static std::ptrdiff_t kept_bytes(const Traits& traits, std::ptrdiff_t n) { return n * traits.kept_planes * std::ptrdiff_t{sizeof(double)}; }
  // Tiles have room for whole vectors.
  static std::ptrdiff_t tile_numbers(const Traits& traits, std::ptrdiff_t n, bool columns) {
    return rows_together(traits, n, columns) * (columns ? n : rounded_up(n, kOctet));
  }
  static bool keeps(const Traits& traits, std::ptrdiff_t n, bool columns) {
    return kept_bytes(traits, tile_numbers(traits, n, columns)) <= kKeptBytes;
  }
  static std::size_t scratch_bytes(const Traits& traits, std::ptrdiff_t n) {
    return static_cast<std::size_t>(larger(bytes(traits, n, false), bytes(traits, n, true)));
  }
  static std::ptrdiff_t bytes(const Traits& traits, std::ptrdiff_t n, bool columns) {
    const std::ptrdiff_t planes = traits.weight_planes + (keeps(traits, n, columns) ? traits.kept_planes : 0);
    return tile_numbers(traits, n, columns) * (3 * kSize + planes * std::ptrdiff_t{sizeof(double)}) + 8 * 64;
  }

  SIGMAX_NOINLINE RowBlock(const RowsCall& call, const Traits& traits, char* scratch)
      : call(call), traits(traits), storage(storage_of<T>(call.type)), masked(traits.has_mask && has_mask(call)), scratch_(scratch) {
    share_options();
  }

  const RowsCall& call;
  const Traits& traits;
  const Storage<T>& storage;
  const bool masked;
  std::ptrdiff_t first = 0, count = 0, groups = 0;  // rows
  std::ptrdiff_t first_class = 0, n = 0;            // all classes, or those of a chunk
  bool columns = false;
  Tile<T> x = {}, second = {};
  Tile<double> weights = {};
  double* kept = nullptr;
  std::ptrdiff_t plane = 0;  // doubles from one plane of terms or weights to the next
  bool special = false;      // a row is infinite or empty
  bool empty[kMostRows] = {};
  std::int64_t labels[kMostRows] = {};  // negative: the row is left out
  alignas(64) double largest[kMostRows] = {}, second_largest[kMostRows] = {}, top[kMostRows] = {}, pivot[kMostRows] = {},
                     magnitude[kMostRows] = {};
  Options options[kGroups];

  // The rows from `row` on.
  SIGMAX_NOINLINE void place(std::ptrdiff_t row, std::ptrdiff_t end) {
    n = call.classes;
    const bool beside = call[kX].row_stride == storage.size && end - row >= kLanes && !copies() && traits.second != Second::kLabelWeights;
    columns = kOnlyColumns || n < kFewClasses || beside;
    first = row;
    count = smaller(end - row, rows_together(traits, n, columns));
    if (n >= kFewClasses && columns && count > kLanes) count = count / kLanes * kLanes;
    groups = (count + kLanes - 1) / kLanes;
  }
  void place_chunk(std::ptrdiff_t row, std::ptrdiff_t chunk) {
    columns = kOnlyColumns;
    first = row;
    count = groups = 1;
    first_class = chunk_begin(chunk);
    n = chunk_size(call.classes, chunk);
  }

  // ---------------------------------------------------------------- numbers: in place, or in tiles

  bool is_in_place(const Operand& operand) const {
    if (storage.size != kSize) return false;
    return columns ? operand.row_stride == kSize && count % kLanes == 0 : operand.class_stride == kSize;
  }
  Tile<T> in_place(const Operand& operand) const {
    return {reinterpret_cast<T*>(block_at(operand, first, first_class).data), operand.row_stride / kSize, operand.class_stride / kSize};
  }
  template <class N>
  Tile<N> new_tile() {
    Tile<N> tile = columns ? Tile<N>{nullptr, 1, rounded_up(count, kColumns)} : Tile<N>{nullptr, rounded_up(n, kOctet), 1};
    tile.data = take<N>(numbers());
    return tile;
  }
  std::ptrdiff_t second_step() const { return traits.weight_planes != 0 ? weights.class_step : second.class_step; }

  SIGMAX_NOINLINE void take_numbers() { take_numbers(copies()); }

  // Classes far apart in memory are beyond what the hardware foresees. Their numbers are asked for so far ahead: in the next
  // block where a block is small, else in a later class.
  std::ptrdiff_t ahead(std::ptrdiff_t step) const { return step <= kMostRows ? 0 : n * count <= kBlockNumbers ? count : kClassesAhead * step; }
  static SIGMAX_INLINE void prefetch_class(const T* at, std::ptrdiff_t ahead, std::ptrdiff_t rows) {
    for (std::ptrdiff_t row = 0; ahead != 0 && row < rows; row += kLine / kSize) __builtin_prefetch(at + ahead + row);
  }

  // Where the same row of the next block is, whose numbers are asked for while those of this row are added up: the passes before
  // and after would wait for them. The row itself where there is none, or its numbers are not beside each other.
  const char* next_row(const Operand& operand, std::ptrdiff_t i) const {
    const bool is_there = operand.class_stride == storage.size && first + count + i < call.rows;
    return block_at(operand, first + i + (is_there ? count : 0)).data;
  }

  // Writes a block of outputs that are in a tile.
  SIGMAX_NOINLINE void scatter(Tile<T> out) const { storage.scatter(block_at(call[kOut], first, first_class), out, count, n); }
  void fill(Tile<T> out, std::ptrdiff_t i, T number) const {
    for (std::ptrdiff_t j = 0; j < n; ++j) *out.at(i, j) = number;
  }
  bool needs_mending() const { return special || masked || leaves_out_; }

  // Rows that are empty or left out, and masked classes.
  SIGMAX_COLD void mend_outputs(Tile<T> out, T of_empty) const {
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      if (special && empty[i]) fill(out, i, of_empty);
      if (labels[i] < 0) fill(out, i, 0);
      for (std::ptrdiff_t j = 0; masked && j < n; ++j)
        if (is_masked(call, first + i, first_class + j)) *out.at(i, j) = 0;
    }
  }
  // One NaN for all: which of two an operation passes on, and its sign, differ between processors.
  SIGMAX_COLD void mend_nans(Tile<T> out) const {
    for (std::ptrdiff_t i = 0; i < count; ++i)
      for (std::ptrdiff_t j = 0; j < n; ++j)
        if (*out.at(i, j) != *out.at(i, j)) *out.at(i, j) = static_cast<T>(kNaN);
  }
  SIGMAX_NOINLINE void write_doubles(const Operand& operand, std::ptrdiff_t group, Vec values) const {
    const std::ptrdiff_t at = group * kLanes, end = smaller(count, at + kLanes);
    if (operand.row_stride == sizeof(double) && end - at == kLanes && !leaves_out_)
      return store_vector(block_at(operand, first + at).data, values);
    for (std::ptrdiff_t i = at; i < end; ++i) {
      const double value = labels[i] < 0 ? 0.0 : values[i - at];
      std::memcpy(block_at(operand, first + i).data, &value, sizeof(value));
    }
  }
  SIGMAX_NOINLINE void write_results(std::ptrdiff_t group, Vec results, double of_empty) const {
    for (std::ptrdiff_t i = group * kLanes; i < smaller(count, (group + 1) * kLanes); ++i)
      storage.store(block_at(call[kResult], first + i).data, special && empty[i] ? of_empty : results[i % kLanes]);
  }

  // ---------------------------------------------------------------- largest numbers

  SIGMAX_NOINLINE void find_largest() {
    if (traits.needs_largest) {
      find(x, largest);
      if (traits.second == Second::kLogits) find(second, second_largest);
      Mask infinite = {};
      for (std::ptrdiff_t i = 0; i < groups * kLanes; i += kLanes) {
        store(top + i, load(largest + i));
        infinite = infinite | (abs(load(largest + i)) == kInfinity) | (abs(load(second_largest + i)) == kInfinity);
      }
      special = false;
      if (traits.absent != 0.0 && any(infinite)) mend_infinite();
      if (traits.needs_pivot) find_pivot();
    }
    if (traits.needs_magnitude) find_magnitude();
  }
  // Those of a long row, from all its chunks; this one's numbers are mended.
  SIGMAX_COLD void set_largest(const Partial& whole) {
    largest[0] = top[0] = whole.largest;
    second_largest[0] = whole.second_largest;
    pivot[0] = whole.pivot;
    magnitude[0] = whole.magnitude;
    whole_ = &whole;
    const bool infinite = traits.needs_largest && (__builtin_fabs(whole.largest) == kInfinity || __builtin_fabs(whole.second_largest) == kInfinity);
    if (traits.absent != 0.0 && infinite) mend_infinite();
    if (special && whole.has_nan) empty[0] = false;
  }
  SIGMAX_COLD void find_partial(Partial& partial) {
    take_numbers();
    if (traits.needs_largest) find(x, largest);
    if (traits.second == Second::kLogits) find(second, second_largest);
    if (traits.needs_pivot) find_pivot();
    if (traits.needs_magnitude) find_magnitude();
    partial = {largest[0], second_largest[0], pivot[0], magnitude[0], 0.0, 0.0, largest[0] == -kInfinity && has_nan(x, 0), {}};
    const std::int64_t label = traits.has_label && call[kLabel].data != nullptr ? number_at<std::int64_t>(call[kLabel], first) : -1;
    if (label < 0) return;
    partial.label_x = number_of(kX, label);
    if (traits.second == Second::kLogits) partial.label_second = number_of(kSecond, label);
  }
  SIGMAX_COLD static void merge_largest(const Partial* partials, std::ptrdiff_t chunks, Partial* whole) {
    *whole = partials[0];
    for (std::ptrdiff_t k = 1; k < chunks; ++k) {
      const Partial& p = partials[k];
      if (p.largest > whole->largest || (p.largest == whole->largest && p.pivot > whole->pivot)) whole->pivot = p.pivot;
      if (p.largest > whole->largest) whole->largest = p.largest;
      if (p.second_largest > whole->second_largest) whole->second_largest = p.second_largest;
      if (!(p.magnitude <= whole->magnitude)) whole->magnitude = p.magnitude;
      whole->has_nan |= p.has_nan;
    }
  }

  // ---------------------------------------------------------------- what rows bring along

  SIGMAX_NOINLINE void take_options() {
    take_labels();
    for (std::ptrdiff_t g = 0; g < groups; ++g) {
      const std::ptrdiff_t at = g * kLanes;
      Options& o = options[g];
      o.largest = load(largest + at);
      o.second_largest = load(second_largest + at);
      o.top = load(top + at);
      o.pivot = load(pivot + at);
      o.magnitude = load(magnitude + at);
      o.label_x = load(label_x_ + at);
      o.label_second = load(label_second_ + at);
      if (call[kCotangent].data != nullptr)
        for (int lane = 0; lane < kLanes; ++lane)
          o.cotangent[lane] = storage.load(block_at(call[kCotangent], first + smaller(at + lane, count - 1)).data);
      for (int k = 0; k < own_options_; ++k) o.*own_[k].member = of_rows(call[own_[k].name], at);
      if (has_label_weights()) o.class_weight = load(label_weight_ + at);
      if (call[kTemperature].row_stride != 0) o.beta = 1.0 / o.temperature;
    }
  }

 private:
  char* const scratch_;
  char* free_ = nullptr;
  double second_top_[kMostRows] = {};
  alignas(64) double label_x_[kMostRows] = {}, label_second_[kMostRows] = {}, label_weight_[kMostRows] = {};
  bool leaves_out_ = false;
  const Partial* whole_ = nullptr;  // of a long row

  // A class that is out needs a tile in which it is not there.
  bool copies() const { return masked || traits.second == Second::kWeights; }

  // Of a tile.
  std::ptrdiff_t numbers() const { return columns ? rounded_up(count, kColumns) * n : count * rounded_up(n, kOctet); }
  template <class N>
  N* take(std::ptrdiff_t numbers) {
    N* taken = reinterpret_cast<N*>(free_);
    free_ += rounded_up(numbers * std::ptrdiff_t{sizeof(N)}, 64);
    return taken;
  }
  Tile<T> taken(const Operand& operand, bool copies) {
    if (!copies && is_in_place(operand)) return in_place(operand);
    const Tile<T> tile = new_tile<T>();
    for_each_idle(tile.data, tile.class_step, [](T& number) { number = 0; });
    storage.gather(tile, block_at(operand, first, first_class), count, n);
    return tile;
  }
  // Lanes without a row.
  template <class N, class Body>
  void for_each_idle(N* data, std::ptrdiff_t step, Body body) const {
    if (!columns || count % kColumns == 0) return;
    for (std::ptrdiff_t j = 0; j < n; ++j)
      for (std::ptrdiff_t i = count; i < step; ++i) body(data[j * step + i]);
  }

  void take_numbers(bool copies) {
    free_ = scratch_;
    x = taken(call[kX], copies);
    if (call[kSecond].data != nullptr) second = taken(call[kSecond], copies && traits.second == Second::kLogits);
    if (masked) {
      take_out(x, [this](std::ptrdiff_t i, std::ptrdiff_t j) { return is_masked(call, first + i, first_class + j); });
      if (traits.second == Second::kLogits)
        take_out(second, [this](std::ptrdiff_t i, std::ptrdiff_t j) { return is_masked(call, first + i, first_class + j); });
    }
    if (traits.second == Second::kWeights) take_out(x, [this](std::ptrdiff_t i, std::ptrdiff_t j) { return *second.at(i, j) == 0; });
    plane = numbers();
    if (traits.weight_planes != 0) take_label_weights();
    kept = nullptr;
    if (traits.kept_planes != 0 && n == call.classes && keeps(traits, n, columns) && call[kOut].data != nullptr)
      kept = take<double>(plane * traits.kept_planes);
  }
  // Classes that are out get the number of one that is not there.
  template <class Which>
  void take_out(Tile<T> tile, Which which) const {
    for (std::ptrdiff_t i = 0; i < count; ++i)
      for (std::ptrdiff_t j = 0; j < n; ++j)
        if (which(i, j)) *tile.at(i, j) = static_cast<T>(traits.absent);
  }
  void take_label_weights() {
    weights = new_tile<double>();
    take<double>(plane * (traits.weight_planes - 1));
    for (int k = 0; k < traits.weight_planes; ++k) for_each_idle(weights.data + k * plane, weights.class_step, [](double& a) { a = 0.0; });
    for (std::ptrdiff_t i = 0; i < count; ++i)
      write_label_weights<Arithmetic<T>>(call, first + i, first_class, n, call[kSecond].data != nullptr ? second.at(i, 0) : nullptr,
                                         second.class_step, weights.at(i, 0), weights.class_step, plane);
  }

  // ---- largest numbers

  void find(Tile<T> tile, double* most) const {
    if (columns)
      for_groups([&](auto together, std::ptrdiff_t g) { largest_of_columns<together()>(tile.at(g * kLanes, 0), tile.class_step, most + g * kLanes); });
    else
      for (std::ptrdiff_t i = 0; i < count; ++i) most[i] = largest_of(tile.at(i, 0), n);
  }
  // Groups of rows, some at a time: a class is in whole lines of memory.
  template <class Body>
  SIGMAX_INLINE void for_groups(Body body) const {
    constexpr int together = 8;
    std::ptrdiff_t g = 0;
    for (; g + together <= groups; g += together) body(std::integral_constant<int, together>(), g);
    for (; g < groups; ++g) body(std::integral_constant<int, 1>(), g);
  }
  template <int together>
  SIGMAX_NOINLINE void largest_of_columns(const T* numbers, std::ptrdiff_t step, double* most) const {
    typedef T V __attribute__((vector_size(sizeof(T) * kLanes)));
    V of_groups[together];
    for (V& v : of_groups) v = V{} - kInfinityOf;
    for (std::ptrdiff_t j = 0; j < n; ++j) {
      prefetch_class(numbers + j * step, ahead(step), together * kLanes);
      SIGMAX_UNROLL_ALL for (int k = 0; k < together; ++k) of_groups[k] = larger_of(load_vector<V>(numbers + j * step + k * kLanes), of_groups[k]);
    }
    for (int k = 0; k < together; ++k) store_vector(most + k * kLanes, __builtin_convertvector(of_groups[k], Vec));
  }
  // Infinite logits share their row, and the others are not there. A row without a logit above -inf is empty, or NaN.
  SIGMAX_COLD void mend_infinite() {
    take_numbers(true);
    special = true;
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      empty[i] = largest[i] == -kInfinity && !has_nan(x, i);
      mend_row(x, i, largest[i]);
      if (traits.second != Second::kLogits) continue;
      second_top_[i] = second_largest[i];
      mend_row(second, i, second_largest[i]);
    }
  }
  void mend_row(Tile<T> tile, std::ptrdiff_t i, double& most) const {
    if (most == kInfinity)
      for (std::ptrdiff_t j = 0; j < n; ++j) *tile.at(i, j) = mended(*tile.at(i, j));
    if (__builtin_fabs(most) == kInfinity) most = 0.0;
  }
  static T mended(T number) { return number != number ? number : number == kInfinityOf ? 0 : -kInfinityOf; }
  bool has_nan(Tile<T> tile, std::ptrdiff_t i) const {
    for (std::ptrdiff_t j = 0; j < n; ++j)
      if (*tile.at(i, j) != *tile.at(i, j)) return true;
    return false;
  }

  // The largest second number of the classes that have the largest: the winner's.
  void find_pivot() {
    if (columns) for_groups([&](auto together, std::ptrdiff_t g) { find_pivot_of_columns<together()>(g); });
    for (std::ptrdiff_t i = 0; !columns && i < count; ++i) {
      typedef T V __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));
      constexpr std::ptrdiff_t lanes = sizeof(V) / sizeof(T);
      static_assert(lanes <= kFewClasses, "a row has a whole vector");
      const V most = static_cast<T>(largest[i]) - V{};
      const T *a = x.at(i, 0), *b = second.at(i, 0);
      const V found = second_of_largest<V>(a, lanes, b, lanes, n / lanes, most), last = second_of_largest<V>(a + n - lanes, 0, b + n - lanes, 0, 1, most);
      pivot[i] = largest_lane<lanes / 2>(larger_of(found, last))[0] + 0.0;
    }
  }
  template <int together>
  SIGMAX_NOINLINE void find_pivot_of_columns(std::ptrdiff_t g) {
    typedef T V __attribute__((vector_size(sizeof(T) * kLanes)));
    const V none = V{} - kInfinityOf;
    V most[together], found[together];
    for (int k = 0; k < together; ++k) {
      most[k] = __builtin_convertvector(load(largest + (g + k) * kLanes), V);
      found[k] = none;
    }
    for (std::ptrdiff_t j = 0; j < n; ++j) {
      const T *a = x.at(g * kLanes, j), *b = second.at(g * kLanes, j);
      prefetch_class(a, ahead(x.class_step), together * kLanes);
      prefetch_class(b, ahead(second.class_step), together * kLanes);
      SIGMAX_UNROLL_ALL for (int k = 0; k < together; ++k)
        found[k] = larger_of(load_vector<V>(a + k * kLanes) == most[k] ? load_vector<V>(b + k * kLanes) : none, found[k]);
    }
    for (int k = 0; k < together; ++k) store_vector(pivot + (g + k) * kLanes, __builtin_convertvector(found[k], Vec) + 0.0);  // one zero for two
  }
  // Of vectors of x that are a step apart, the largest numbers c beside those that are `most`.
  template <class V>
  static SIGMAX_INLINE V second_of_largest(const T* x, std::ptrdiff_t step, const T* c, std::ptrdiff_t c_step, std::ptrdiff_t vectors, V most) {
    const V none = V{} - kInfinityOf;
    V found = none;
    for (std::ptrdiff_t j = 0; j < vectors; ++j)
      found = larger_of(load_vector<V>(x + j * step) == most ? load_vector<V>(c + j * c_step) : none, found);
    return found;
  }
  void find_magnitude() {
    for (double& number : magnitude) number = 0.0;
    for (std::ptrdiff_t j = 0; columns && j < n; ++j)
      for (std::ptrdiff_t g = 0; g < groups; ++g)
        store(magnitude + g * kLanes, max(abs(load(second.at(g * kLanes, j))), load(magnitude + g * kLanes)));
    for (std::ptrdiff_t i = 0; !columns && i < count; ++i) {
      const T* c = second.at(i, 0);
      Vec most = {};
      for (std::ptrdiff_t j = 0; j + kLanes <= n; j += kLanes) most = max(abs(load(c + j)), most);
      magnitude[i] = largest_lane<kLanes / 2>(max(abs(load(c + n - kLanes)), most))[0];
    }
  }

  // ---- what rows bring along

  struct Option {
    Name name;
    Vec Options::*member;
  };
  static constexpr Option kOptions[] = {
      {kTemperature, &Options::temperature}, {kWeight, &Options::weight},           {kZLoss, &Options::z_loss},
      {kScale, &Options::scale},             {kReference, &Options::reference},     {kSmoothing, &Options::smoothing},
      {kClassWeight, &Options::class_weight}, {kPrior, &Options::prior},            {kPriorTotal, &Options::prior_total},
  };

  Option own_[sizeof(kOptions) / sizeof(Option)];  // those of which each row has its own
  int own_options_ = 0;

  // What all rows share, once per call.
  void share_options() {
    Options shared = {};
    shared.classes = splat(static_cast<double>(call.classes));
    shared.format = storage.format;
    for (const Option& option : kOptions) {
      const Operand& operand = call[option.name];
      if (operand.data == nullptr) continue;
      if (operand.row_stride == 0) shared.*option.member = splat(number_at<double>(operand, 0));
      else own_[own_options_++] = option;
    }
    shared.beta = 1.0 / shared.temperature;
    for (Options& o : options) o = shared;
  }
  void take_labels() {
    leaves_out_ = false;
    const Operand& operand = call[kLabel];
    if (operand.data == nullptr || (operand.row_stride == 0 && !traits.has_label && number_at<std::int64_t>(operand, 0) >= 0)) return;
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      labels[i] = number_at<std::int64_t>(operand, first + i);
      leaves_out_ |= labels[i] < 0;
      if (traits.has_label && labels[i] >= 0) take_label(i, labels[i]);
    }
  }
  bool has_label_weights() const { return traits.has_label && call[kClassWeight].class_stride != 0; }
  void take_label(std::ptrdiff_t i, std::int64_t of) {
    label_x_[i] = whole_ ? mended(whole_->label_x, top[i]) : *x.at(i, of);
    if (traits.second == Second::kLogits) label_second_[i] = whole_ ? mended(whole_->label_second, second_top_[i]) : *second.at(i, of);
    if (has_label_weights()) label_weight_[i] = number_at<double>(call[kClassWeight], first + i, of);
  }
  // Of the rows from `at` on; lanes without a row have the last row's.
  Vec of_rows(const Operand& operand, std::ptrdiff_t at) const {
    if (operand.row_stride == sizeof(double) && at + kLanes <= count) return load_vector<Vec>(block_at(operand, first + at).data);
    Vec numbers = {};
    for (int lane = 0; lane < kLanes; ++lane) numbers[lane] = number_at<double>(operand, first + smaller(at + lane, count - 1));
    return numbers;
  }
  // Of a long row's class, which may be outside of this chunk: read before the row is written, maybe over its numbers.
  double number_of(Name name, std::int64_t c) const {
    return masked && is_masked(call, first, c) ? traits.absent : storage.load(block_at(call[name], first, c).data);
  }
  double mended(double number, double most) const { return special && most == kInfinity ? mended(static_cast<T>(number)) : number; }
};

}  // namespace
}  // namespace sigmax
