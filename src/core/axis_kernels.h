// The kernels of a policy: how rows travel through memory and in which order their terms are added.
//
// A function is a policy (see normalization.h) with a term per class, sums of terms, and an output per class
// or per row. It runs in one of three ways, chosen by the class count alone, so that a row's bits
// never depend on the batch, the layout or the threads:
//   classes <= kShort            rows in lanes (tile.h)
//   classes <= kLongestWholeRow  classes in lanes (rows.h)
//   longer                       the same in chunks of kChunk classes, chunk sums added in order
// In each, moderate rows have their own, faster way, with an order of additions of its own (moderate.h).
#pragma once

#include "tile.h"

namespace sigmax {
namespace {

constexpr std::ptrdiff_t kStridedRows = 32;  // long rows copied together: whole cache lines of every class

// One cache line more than a multiple of lines: rows a power of two apart would share cache sets.
SIGMAX_INLINE std::ptrdiff_t padded(std::ptrdiff_t classes) { return ((classes + 63) & ~63) + 64; }

template <class P, class S>
struct AxisKernels {
  typedef typename Arithmetic<S>::T T;
  typedef typename Arithmetic<S>::W W;
  static constexpr std::ptrdiff_t kSize = sizeof(S);
  static constexpr bool kConverts = sizeof(S) != sizeof(T);
  static constexpr std::ptrdiff_t kWide = sizeof(W) / sizeof(Vec);

  // What rows in between need: the terms, one row each for split_infinite and conversions, strided rows.
  struct Scratch {
    double* terms;
    Second<P, T>* c;
    T *finite, *x, *soft, *out;
    char *strided_x, *strided_c;
  };
  static constexpr std::ptrdiff_t kRowsOfT = 4, kRowsOfS = 2 * kStridedRows;

  // Terms of a batch of rows, or of rows side by side.
  static std::ptrdiff_t terms_bytes(std::ptrdiff_t classes) {
    std::ptrdiff_t general = sizeof(W) / sizeof(Vec) * sizeof(double);
    std::ptrdiff_t batch = kTakesLanes<P> ? 2 * sizeof(T) * RowBatch<P, S>::size(classes) : 0;
    std::ptrdiff_t columns = kTakesLanes<P> && classes <= kKeptSideBySide ? ColumnGroup<P, S, 1>::kMost * 2 * 64 : 0;
    std::ptrdiff_t most = general > batch ? general : batch;
    return padded(classes) * (most > columns ? most : columns);
  }

  static std::size_t scratch_bytes(std::ptrdiff_t classes) {
    if (classes <= kShort) return 0;
    return terms_bytes(classes) + padded(classes) * (kWide * sizeof(*Scratch::c) + kRowsOfT * sizeof(T) + kRowsOfS * sizeof(S));
  }

  static Scratch scratch_at(char* memory, std::ptrdiff_t classes) {
    std::ptrdiff_t n = padded(classes);
    Scratch s;
    s.terms = reinterpret_cast<double*>(memory);
    s.c = reinterpret_cast<Second<P, T>*>(memory + terms_bytes(classes));
    s.finite = reinterpret_cast<T*>(s.c + kWide * n);
    s.soft = s.finite + n;
    s.x = s.soft + n;
    s.out = s.x + n;
    s.strided_x = reinterpret_cast<char*>(s.out + n);
    s.strided_c = s.strided_x + kStridedRows * n * kSize;
    return s;
  }

  static void rows(const AxisCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, char* scratch) {
    if (call.classes == 0) return empty_rows(call, begin, end);
    ScaleAt<T> scale_at;
    bool columns = kTakesLanes<P> && call.x.row_stride == kSize && (!kWrites<P> || call.out.row_stride == kSize) &&
                   (!P::labelled || has_hard_labels(call));
    if (call.classes <= kShort) {
      alignas(64) T terms[ColumnGroup<P, S, 1>::kMost * 2 * kShort * kBlock<T>];
      auto others = [&](std::ptrdiff_t begin, std::ptrdiff_t end) { short_rows(call, begin, end, scale_at); };
      std::ptrdiff_t row = columns ? column_rows<1>(call, begin, end, terms, scale_at, others) : begin;
      return others(row, end);
    }
    Scratch s = scratch_at(scratch, call.classes);
    auto others = [&](std::ptrdiff_t begin, std::ptrdiff_t end) { long_rows(call, begin, end, s, scale_at); };
    T* terms = reinterpret_cast<T*>(s.terms);
    if (call.classes > kKeptSideBySide) terms = nullptr;
    std::ptrdiff_t row = columns ? column_rows<kBlock<T>>(call, begin, end, terms, scale_at, others) : begin;
    for (; row < end; row += kStridedRows)
      long_rows(call, row, row + kStridedRows < end ? row + kStridedRows : end, s, scale_at);
  }

  // Rows side by side in memory, as long as they come in whole blocks; `others` computes those that are not moderate.
  // Returns the first row that is left.
  template <int lanes, class Others>
  static std::ptrdiff_t column_rows(const AxisCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, T* terms,
                                    ScaleAt<T>& scale_at, Others others) {
    std::ptrdiff_t row = begin;
    if constexpr (kTakesLanes<P>) {
      typedef ColumnGroup<P, S, lanes> Group;
      alignas(64) double temperatures[Group::kMost * kBlock<T>];
      std::ptrdiff_t most = call.temperature.row_stride == 0 ? Group::kMost : 1;  // a block's own Scale is not kept
      for (; row + kBlock<T> <= end;) {
        std::ptrdiff_t blocks = (end - row) / kBlock<T> < most ? (end - row) / kBlock<T> : most;
        for (int lane = 0; lane < blocks * kBlock<T>; ++lane)
          std::memcpy(temperatures + lane, block_at(call.temperature, row + lane).data, sizeof(double));
        Group group;
        group.x = block_at(call.x, row);
        group.out = block_at(call.out, row);
        group.n = call.classes;
        group.temperatures = temperatures;
        group.blocks = static_cast<int>(blocks);
        if constexpr (P::labelled) {
          group.value = block_at(call.loss.value, row);
          for (int g = 0; g < blocks; ++g)
            group.labels[g].template read<S>(call, row + g * kBlock<T>, block_at(call.x, row + g * kBlock<T>), kBlock<T>);
        }
        group.run(false, terms, scale_at);
        for (int g = 0; g < blocks; ++g, row += kBlock<T>)
          if (!group.done[g] || group.cancelled[g] != 0) others(row, row + kBlock<T>);
      }
    }
    return row;
  }

  static void empty_rows(const AxisCall& call, std::ptrdiff_t begin, std::ptrdiff_t end) {
    if constexpr (P::labelled)
      for (std::ptrdiff_t row = begin; row < end; ++row) set_value(call, row, 0.0);
    else if (P::reduces)
      for (std::ptrdiff_t row = begin; row < end; ++row)
        store_scalar(reinterpret_cast<S*>(block_at(call.out, row).data), P::masked);
  }

  static void short_rows(const AxisCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, ScaleAt<T>& scale_at) {
    Tile<P, T> tile;
    alignas(64) S spare[kConverts ? kShort * kTileRows : 1];
    for (std::ptrdiff_t row = begin; row < end; row += kTileRows) {
      tile.read(call, row, row + kTileRows < end ? row + kTileRows : end, spare);
      tile.run(call, row, scale_at);
      tile.write(call, row, spare);
    }
  }

  static void set_value(const AxisCall& call, std::ptrdiff_t row, double loss) {
    std::memcpy(block_at(call.loss.value, row).data, &loss, sizeof(loss));
  }

  // Contiguous rows are read and written where they are, strided ones through scratch.
  static void long_rows(const AxisCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, const Scratch& s,
                        ScaleAt<T>& scale_at) {
    std::ptrdiff_t n = call.classes, stride = padded(n) * kSize;
    Block spare = {s.strided_x, stride, kSize};
    Block x = contiguous(call.x, begin, end, n, spare), c = x, out = block_at(call.out, begin);
    if (P::per_class && call.per_class.data != nullptr)
      c = contiguous(call.per_class, begin, end, n, {s.strided_c, stride, kSize});
    bool in_place = P::reduces || call.out.class_stride == kSize;
    if (!in_place) out = spare;
    for (std::ptrdiff_t i = 0; i < end - begin; i += RowBatch<P, S>::size(n))
      run_batch(call, begin, end, i, x, c, out, s, scale_at);
    if (!in_place) copy_block<S>(block_at(call.out, begin), out, end - begin, n);
  }

  // The rows from begin + i on that are computed together.
  static void run_batch(const AxisCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, std::ptrdiff_t i, Block x,
                        Block c, Block out, const Scratch& s, ScaleAt<T>& scale_at) {
    RowBatch<P, S> batch;
    batch.n = call.classes;
    batch.count = end - begin - i < batch.size(batch.n) ? end - begin - i : batch.size(batch.n);
    for (std::ptrdiff_t k = 0; k < batch.count; ++k) {
      batch.x[k] = reinterpret_cast<const S*>(x.at(i + k, 0));
      batch.out[k] = reinterpret_cast<S*>(out.at(i + k, 0));
      batch.temperature[k] = number_at<double>(call.temperature, begin + i + k);
      batch.moderate[k] = false;
    }
    if constexpr (kTakesLanes<P> && P::labelled) {
      if (has_hard_labels(call)) {
        batch.labels.template read<S>(call, begin + i, {x.at(i, 0), x.row_stride, x.class_stride},
                                      batch.count);
        batch.run(reinterpret_cast<T*>(s.terms), scale_at);
      }
    } else if constexpr (kTakesLanes<P>) {
      batch.run(reinterpret_cast<T*>(s.terms), scale_at);
    }
    for (std::ptrdiff_t k = 0; k < batch.count; ++k)
      if (batch.moderate[k]) {
        if (P::labelled) set_value(call, begin + i + k, batch.value[k]);
      } else {
        general_row(call, begin + i + k, x.at(i + k, 0), c.at(i + k, 0), out.at(i + k, 0), s);
      }
  }

  static void general_row(const AxisCall& call, std::ptrdiff_t row, char* x, char* c, char* out, const Scratch& s) {
    const std::ptrdiff_t n = call.classes;
    RowOptions options = options_of<P, S>(call, row);
    if (options.left_out()) {
      if (kWrites<P>) std::memset(out, 0, n * kSize);
      return set_value(call, row, 0.0);
    }
    const T* values = computable(x, n, s.x);
    const T* second_values = P::per_class && call.per_class.data != nullptr ? computable(c, n, s.soft) : nullptr;
    if (P::labelled && has_mask(call.loss)) {
      values = copy_masked(call, row, values, 0, n, s.x);
      if (P::of_two_rows) second_values = copy_masked(call, row, second_values, 0, n, s.soft);
    }
    const Second<P, T>* second;
    if constexpr (P::weighs_classes) {
      ClassWeights<W, T>(call, row, second_values, 0, n).write(s.c);
      second = s.c;
    } else {
      second = second_values;
    }
    T* row_out = computable_out(out, s.out);
    double loss = whole_row<P, T>(values, second, options, row_out, n, s.terms, s.finite, s.soft);
    finish_out(out, row_out, outputs<P>(n));
    if constexpr (!P::labelled) return;
    set_value(call, row, loss);
    if (kWrites<P> && has_mask(call.loss)) clear_masked<S>(call, row, {out, 0, kSize}, 0, n);
  }

  static Block contiguous(const Operand& operand, std::ptrdiff_t begin, std::ptrdiff_t end, std::ptrdiff_t n,
                          Block spare) {
    Block block = block_at(operand, begin);
    if (block.class_stride == kSize) return block;
    copy_block<S>(spare, block, end - begin, n);
    return spare;
  }

  // Stored numbers as T: where they are, or converted into `spare`.
  static const T* computable(const char* stored, std::ptrdiff_t n, T* spare) {
    if constexpr (!kConverts) return reinterpret_cast<const T*>(stored);
    const S* from = reinterpret_cast<const S*>(stored);
    std::ptrdiff_t whole = n / kLanes * kLanes;
    convert(spare, from, whole);
    for (std::ptrdiff_t i = whole; i < n; ++i) spare[i] = static_cast<T>(load_scalar<S>(stored + i * kSize));
    return spare;
  }
  static T* computable_out(char* stored, T* spare) { return kConverts ? spare : reinterpret_cast<T*>(stored); }
  static void finish_out(char* stored, const T* out, std::ptrdiff_t n) {
    if constexpr (!kConverts) return;
    S* to = reinterpret_cast<S*>(stored);
    std::ptrdiff_t whole = n / kLanes * kLanes;
    convert(to, out, whole);
    for (std::ptrdiff_t i = whole; i < n; ++i) store_scalar(to + i, out[i]);
  }

  // One chunk of a long row, in contiguous memory.
  struct Chunk {
    alignas(64) T x_copy[kChunk];
    alignas(64) T c_copy[P::per_class ? kChunk : 1];
    alignas(64) double weights[P::weighs_classes ? kWide * kChunk : 1];
    alignas(64) S stored[kChunk];
    RowEngine<P, T> engine;
    std::ptrdiff_t begin, n;

    Chunk(const AxisCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, bool infinite) : begin(chunk * kChunk) {
      n = call.classes - begin < kChunk ? call.classes - begin : kChunk;
      engine.c = second(call, row);
      engine.x = part(call.x, row, begin, x_copy, x_copy);
      engine.out = x_copy;
      if (P::labelled && has_mask(call.loss)) engine.x = copy_masked(call, row, engine.x, begin, n, x_copy);
      if (!infinite) return;
      split_infinite(engine.x, n, x_copy);
      engine.x = x_copy;
    }
    void split_second() {
      if constexpr (P::of_two_rows) {
        split_infinite(engine.c, n, c_copy);
        engine.c = c_copy;
      }
    }
    const Second<P, T>* second(const AxisCall& call, std::ptrdiff_t row) {
      bool has_operand = P::per_class && call.per_class.data != nullptr;
      const T* c = has_operand ? part(call.per_class, row, begin, c_copy, c_copy) : nullptr;
      if constexpr (P::of_two_rows)
        if (has_mask(call.loss)) c = copy_masked(call, row, c, begin, n, c_copy);
      if constexpr (P::weighs_classes) {
        ClassWeights<W, T>(call, row, c, begin, n).write(weights);
        return weights;
      } else {
        return c;
      }
    }
    const T* part(const Operand& operand, std::ptrdiff_t row, std::ptrdiff_t begin, T* converted, void* in_place) {
      Block block = block_at(operand, row);
      block.data = block.at(0, begin);
      if (block.class_stride == kSize) return computable(block.data, n, converted);
      char* copy = kConverts ? reinterpret_cast<char*>(stored) : static_cast<char*>(in_place);
      copy_elements<S>({copy, 0, kSize}, block, 0, 1, 0, n);
      return computable(copy, n, converted);
    }
  };

  // A chunk of a row that may be moderate. The chunks of one row need not all be: their sums are of the same kind.
  struct ModerateChunk {
    Scale<T> scale;
    ModerateRow<T> row;
    T max;
    bool possible;

    ModerateChunk(const Chunk& part, const Partial& whole, double temperature)
        : row{part.engine.x, part.engine.x + part.n, part.engine.x, part.n}, max(static_cast<T>(whole.max)) {
      set_temperature(scale, temperature);
      possible = part.n >= kBlock<T> && __builtin_fabs(whole.max) <= scale.limit[0];
    }
    W unit() const {
      Lanes<T> lanes = constant(max);
      return row.unit_of(lanes, offset_of<T>(lanes, scale.rate), scale);
    }
    bool sums(Sums<W>* result) const {
      ModerateSums<W> moderate;
      if (!possible || !row.template sums<kApart<P>, false>(scale, max, nullptr, &moderate)) return false;
      if (!kApart<P>) moderate.total = divide(moderate.total, unit());
      *result = sums_of(moderate);
      return true;
    }
  };

  // What the hard label, if it is in the chunk, adds to the sums.
  static void add_label(const AxisCall& call, std::ptrdiff_t row, const Chunk& part, const Partial& whole, Sums<W>* sums) {
    std::ptrdiff_t label = number_at<std::int64_t>(call.loss.label, row) - part.begin;
    if (label < 0 || label >= part.n) return;
    W a = weight_at<W>(part.weights, label);
    (part.engine.x[label] == whole.max ? sums->tied_cotangent : sums->other_cotangent) = a;
    sums->moment = multiply(difference<W>(splat(whole.max), splat(part.engine.x[label])), a);
  }

  static bool is_left_out(const AxisCall& call, std::ptrdiff_t row) {
    return P::labelled && number_at<std::int64_t>(call.loss.label, row) < 0;
  }

  static void chunk_max(const AxisCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, Partial* partials) {
    Partial& partial = partials[chunk] = {};
    if (is_left_out(call, row)) return;
    Chunk part(call, row, chunk, false);
    partial.max = -kInfinity;
    if (kTakesLanes<P> && part.n >= kBlock<T>)
      partial.max = ModerateRow<T>{part.engine.x, nullptr, nullptr, part.n}.largest();
    if (!(partial.max > -kInfinity)) partial = part.engine.largest(0, part.n);
  }

  static void merge_max(const Partial* partials, std::ptrdiff_t chunks, Partial* whole) {
    *whole = partials[0];
    for (std::ptrdiff_t k = 1; k < chunks; ++k) {
      if (P::of_two_rows && partials[k].pivot > whole->pivot) whole->pivot = partials[k].pivot;
      if (partials[k].max > whole->max) {
        whole->max = partials[k].max;
        if (!P::of_two_rows) whole->pivot = partials[k].pivot;
      }
      if (partials[k].unordered != 0.0) whole->unordered = 1.0;
      if (partials[k].cotangent > whole->cotangent) whole->cotangent = partials[k].cotangent;
    }
  }

  // The row as the phases after `merge_max` see it: +inf has become 0.
  static Row<W> row_at(const AxisCall& call, std::ptrdiff_t row, const Partial& whole) {
    Partial partial = whole;
    if (whole.max == kInfinity) partial.max = 0.0;
    if (P::of_two_rows && whole.pivot == kInfinity) partial.pivot = 0.0;
    return row_of<P, W>(partial, options_of<P, S>(call, row));
  }

  static void chunk_sums(const AxisCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, Partial* partials,
                         const Partial& whole) {
    if (is_decided<P>(whole) || is_left_out(call, row)) return;
    Chunk part(call, row, chunk, whole.max == kInfinity);
    if (whole.pivot == kInfinity) part.split_second();
    Sums<W> sums;
    partials[chunk].moderate = false;
    if constexpr (kTakesLanes<P>)
      if (!P::labelled || has_hard_labels(call))
        partials[chunk].moderate = ModerateChunk(part, whole, temperature_at(call, row)).sums(&sums);
    if (!partials[chunk].moderate)
      sums = part.engine.template sums<false>(0, part.n, row_at(call, row, whole), nullptr);
    else if constexpr (P::labelled)
      add_label(call, row, part, whole, &sums);
    save(sums, partials + chunk);
  }

  static double temperature_at(const AxisCall& call, std::ptrdiff_t row) {
    return number_at<double>(call.temperature, row);
  }

  static void save(Sums<W> sums, Partial* partial) {
    W fields[8] = {sums.total,           sums.ties, sums.moment,     sums.tied_cotangent,
                   sums.other_cotangent, sums.mass, sums.impossible, sums.information};
    for (int k = 0; k < 8; ++k) {
      partial->sums[2 * k] = leading(fields[k])[0];
      partial->sums[2 * k + 1] = trailing(fields[k])[0];
    }
  }
  static W restored(const double* sums) { return add(wide<W>(splat(sums[0])), wide<W>(splat(sums[1]))); }
  static Sums<W> restored(const Partial& partial) {
    const double* s = partial.sums;
    return {restored(s),     restored(s + 2),  restored(s + 4), restored(s + 6),
            restored(s + 8), restored(s + 10), restored(s + 12), restored(s + 14)};
  }

  static void merge_sums(const Partial* partials, std::ptrdiff_t chunks, Partial* whole) {
    Sums<W> sums = restored(partials[0]);
    for (std::ptrdiff_t k = 1; k < chunks; ++k) sums = added(sums, restored(partials[k]));
    save(sums, whole);
  }

  static void chunk_out(const AxisCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, const Partial* partials,
                        const Partial& whole) {
    if (P::reduces && chunk > 0) return;
    Chunk part(call, row, chunk, whole.max == kInfinity);
    if (whole.pivot == kInfinity) part.split_second();
    Block to = block_at(call.out, row);
    if (kWrites<P>) to.data = to.at(0, P::reduces ? 0 : part.begin);
    bool in_place = P::reduces || to.class_stride == kSize;
    char* stored = in_place ? to.data : reinterpret_cast<char*>(kConverts ? static_cast<void*>(part.stored) : part.x_copy);
    T* out = computable_out(stored, part.x_copy);
    double loss = write_chunk(call, row, whole, part, partials[chunk].moderate, out);
    finish_out(stored, out, outputs<P>(part.n));
    if (!in_place) copy_elements<S>(to, {stored, 0, kSize}, 0, 1, 0, part.n);
    if constexpr (!P::labelled) return;
    if (chunk == 0) set_value(call, row, loss);
    if (kWrites<P> && has_mask(call.loss)) clear_masked<S>(call, row, to, part.begin, part.n);
  }

  // Returns the loss of a row with labels.
  static double write_chunk(const AxisCall& call, std::ptrdiff_t row, const Partial& whole, Chunk& part, bool moderate,
                            T* out) {
    const std::ptrdiff_t count = outputs<P>(part.n);
    Sums<W> sums = restored(whole);
    if (is_left_out(call, row)) return fill(out, count, 0.0);
    if (is_decided<P>(whole)) {
      fill(out, count, decided<P>(whole));
      if constexpr (!P::labelled || P::of_probabilities) return kNaN;
      if (whole.unordered != 0.0) return kNaN;
      RowOptions options = options_of<P, S>(call, row);
      if constexpr (P::of_two_rows)
        return divergence_of_nothing(whole, options);
      else
        return loss_of_nothing(options, mass_of(call, row));
    }
    if (any(is_nan(sums))) return fill(out, count, kNaN);
    Row<W> r = row_at(call, row, whole);
    P::template finish<W>(r, sums);
    if constexpr (P::labelled) {
      if (kTakesLanes<P> && any(is_cancelled_loss<T>(r.z_loss, leading(r.logsumexp), leading(r.log_total))))
        P::template finish<W>(r, general_sums(call, row, whole));
      return write_loss(call, row, whole, part, moderate, r, out);
    } else if constexpr (P::reduces) {
      double result = result_of<P>(r, whole.max == kInfinity);
      if (any(is_cancelled<P, T>(splat(result), splat(whole.max)))) {
        P::template finish<W>(r, general_sums(call, row, whole));
        result = result_of<P>(r, false);
      }
      *out = static_cast<T>(result);
    } else if (moderate)
      write_moderate(ModerateChunk(part, whole, temperature_at(call, row)), part, r, sums, out);
    else
      part.engine.template write<false>(0, part.n, r, nullptr, out);
    return 0.0;
  }

  // Σ a of a row of chunks.
  static double mass_of(const AxisCall& call, std::ptrdiff_t row) {
    double mass = 0.0;
    for (std::ptrdiff_t chunk = 0; chunk * kChunk < call.classes; ++chunk) {
      Chunk part(call, row, chunk, false);
      mass += sum_of(part.weights, kWide * whole_blocks(part.n));
    }
    return mass;
  }

  static double write_loss(const AxisCall& call, std::ptrdiff_t row, const Partial& whole, Chunk& part, bool moderate,
                           const Row<W>& r, T* out) {
    RowOptions options = options_of<P, S>(call, row);
    bool pulled = whole.max == kInfinity && options.z_loss != 0.0;
    if constexpr (!P::reduces) {
      T shares[kChunk];
      if (pulled) std::memcpy(shares, part.engine.x, part.n * sizeof(T));
      bool written = false;
      if constexpr (kTakesLanes<P>)
        written = moderate && write_terms(ModerateChunk(part, whole, options.temperature), part, r, options, out);
      if (!written) part.engine.template write<false>(0, part.n, r, nullptr, out);
      if (pulled) write_infinite_pull(shares, options, out, part.n);
    }
    return pulled ? kInfinity : r.value[0];
  }

  // A moderate chunk's gradient of a hard label; false where its common factor is out of reach.
  static bool write_terms(const ModerateChunk& chunk, Chunk& part, const Row<W>& row, const RowOptions& options, T* out) {
    W gain = multiply(row.beta, splat(options.cotangent)), strength = multiply(gain, row.strength);
    if (any(~is_in_reach<T>(leading(strength)))) return false;
    std::ptrdiff_t label = options.label - part.begin;
    bool has_label = label >= 0 && label < part.n;
    Vec x = splat(has_label ? part.engine.x[label] : row.max[0]);
    W a = has_label ? weight_at<W>(part.weights, label) : W{};
    Vec target = P::template apply<W>(x, a, P::template term<W>(x, row), row);
    chunk.row.write_again(chunk.scale, chunk.max, divide(multiply(strength, row.inverse), chunk.unit()), out);
    if (has_label) out[label] = static_cast<T>(target[0]);
    return true;
  }

  // The sums of a whole row, none of them in lanes of T.
  static SIGMAX_NOINLINE Sums<W> general_sums(const AxisCall& call, std::ptrdiff_t row, const Partial& whole) {
    Row<W> r = row_at(call, row, whole);
    Sums<W> sums = {};
    for (std::ptrdiff_t chunk = 0; chunk * kChunk < call.classes; ++chunk) {
      Chunk part(call, row, chunk, false);
      sums = added(sums, part.engine.template sums<false>(0, part.n, r, nullptr));
    }
    return sums;
  }

  static void write_moderate(const ModerateChunk& chunk, Chunk& part, const Row<W>& row, const Sums<W>& sums, T* out) {
    if constexpr (kApart<P>) {
      LogProbabilities<T> logs;
      logs.set(0, row.max, row.beta, negate(row.log_total));
      logs.write(logs.row(0), part.engine.x, part.n, out);
    } else if constexpr (kTakesLanes<P>) {
      W total = multiply(scale(sums.total, splat(1.0 / kExpScale<W>)), chunk.unit());
      chunk.row.write_again(chunk.scale, chunk.max, reciprocal(total), out);
    }
  }

  static constexpr AxisKernel kernel = {rows, scratch_bytes, chunk_max, chunk_sums, chunk_out, merge_max, merge_sums};
};

}  // namespace
}  // namespace sigmax
