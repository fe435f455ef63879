// Rows of 16-bit logits in floats: softmax, its logarithm, logsumexp.
//
// A 16-bit result has 11 digits at most and a float 24. With d = m - x, rounded once, and n + f = -d·log2(e)/T,
//   e^(-d/T)·2^60 = 2^(n + 60)·2^f,
// to 2^-22.2 (the polynomial) and d/T·2^-23 (the products), together 2^-19.6 for results above 2^-14, where float16 has all its
// digits. Sums are of floats for 64 numbers of a lane, 2^-20, then of doubles. So a result is off by 2^-18.9 before it is
// rounded, 2^-7.9 of an ULP: largest error 0.505. The 2^60 keeps what bfloat16 can hold away from the subnormal floats. What
// rows need besides is in doubles, by the program itself, and so is a logsumexp whose terms cancel. Class j adds to virtual
// lane j mod 16, and lanes fold as those of `fold` do, whatever the layout.
#pragma once

#include "engine.h"

namespace sigmax {
namespace {

typedef float Floats __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));
typedef std::uint32_t FloatBits __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));
typedef std::int32_t FloatMask __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));
constexpr std::ptrdiff_t kFloatLanes = SIGMAX_VECTOR_BYTES / sizeof(float);

SIGMAX_INLINE Floats mul_add(Floats a, Floats b, Floats c) {
#if !SIGMAX_HAS_FMA
  return a * b + c;
#elif defined(__clang__) && __has_builtin(__builtin_elementwise_fma)
  return __builtin_elementwise_fma(a, b, c);
#elif defined(__AVX512F__) && !defined(__clang__)
  return __builtin_ia32_vfmaddps512_mask(a, b, c, -1, kCurrentRounding);
#elif defined(__AVX2__) && !defined(__clang__)
  return __builtin_ia32_vfmaddps256(a, b, c);
#else
  Floats r;
  for (std::ptrdiff_t lane = 0; lane < kFloatLanes; ++lane) r[lane] = __builtin_fmaf(a[lane], b[lane], c[lane]);
  return r;
#endif
}
SIGMAX_INLINE Floats splat_float(float x) { return x - Floats{}; }

// Energies of a row, in every lane, or of a row per lane. d is (m·unit - x·unit)·more, so that no T leaves the floats.
struct FloatEnergy {
  static constexpr double kUnit = 0x1p-60;
  static constexpr float kRoundToInteger = 0x1.8p23f, kScale = 60.0f;  // and 60 more, of the exponent
  Floats minus_unit, max, more, minus_rate, farthest;

  SIGMAX_INLINE Floats distance(Floats x) const { return mul_add(x, minus_unit, max) * more; }
  SIGMAX_INLINE Floats factor(Floats d) const {
    const Floats round = splat_float(kRoundToInteger + kScale), t = mul_add(d, minus_rate, round), f = mul_add(d, minus_rate, round - t);
    Floats power = splat_float(kExp2Half[5]);
    SIGMAX_UNROLL_ALL for (int k = 4; k >= 0; --k) power = mul_add(power, f, splat_float(kExp2Half[k]));
    const Floats e = bit_cast<Floats>(bit_cast<FloatBits>(power) + (bit_cast<FloatBits>(t) << 23));
    return d > farthest ? Floats{} : e;  // NaN passes
  }
};

template <class P>
class HalfRows {
  typedef typename P::Row Row;
  typedef typename P::Sums Sums;
  static constexpr bool is_logarithm = P::is_apart;
  static constexpr int kVirtualLanes = 16, kParts = kVirtualLanes / kFloatLanes;
  static constexpr std::ptrdiff_t kTogether = 64 * kVirtualLanes;  // classes whose sums are floats
  static constexpr std::ptrdiff_t kSize = sizeof(std::uint16_t);
  static constexpr double kBack = 0x1p-60;
  static constexpr float infinity = static_cast<float>(kInfinity);
  static constexpr Traits kTraits = {Second::kNone, true, false, false, false, false, 0, 0, P::absent};

  RowBlock<float> block_;
  Row row_[kGroups];
  alignas(64) float minus_unit_[kMostRows], max_[kMostRows], more_[kMostRows], minus_rate_[kMostRows], farthest_[kMostRows], factor_[kMostRows], minus_slope_[kMostRows];
  alignas(64) double ties_[kMostRows], others_[kMostRows];  // times 2^60
  bool has_scales_ = false;
  Mask cancels_[kGroups];  // m/T + log Σ e, the terms of both signs
  static constexpr double kLeast = 0.25;  // of a result that floats can tell

  HalfRows(const RowsCall& call, char* scratch) : block_(call, kTraits, scratch) {}

  void run() {
    block_.take_numbers();
    block_.find_largest();
    block_.take_options();
    begin();
    const Tile<float> out = P::per_class ? block_.template new_tile<float>() : Tile<float>{};
    add_up(out);
    finish(out, [this](std::ptrdiff_t g) SIGMAX_ALWAYS { return sums(g); });
  }
  void begin() {
    for (std::ptrdiff_t g = 0; g < block_.groups; ++g) {
      row_[g] = P::begin(block_.options[g]);
      if (!has_scales_ || block_.call[kTemperature].row_stride != 0) set_scales(g);
      write(max_, g, block_.options[g].largest * -load(minus_unit_ + g * kLanes));
    }
  }
  template <class SumsOf>
  SIGMAX_INLINE void finish(Tile<float> out, SumsOf sums_of) {
    Mask sick = {};
    for (std::ptrdiff_t g = 0; g < block_.groups; ++g) {
      P::finish(row_[g], sums_of(g), block_.options[g]);
      const Vec factor = factor_of(row_[g]);
      write(factor_, g, factor);
      sick |= ~(abs(factor) < kInfinity);
    }
    if constexpr (P::per_class) {
      write_outputs(out);
      if (block_.needs_mending()) block_.mend_outputs(out, static_cast<float>(P::empty));
      if (any(sick)) block_.mend_nans(out);
      block_.scatter(out);
    }
    if constexpr (P::has_result)
      for (std::ptrdiff_t g = 0; g < block_.groups; ++g) {
        const Vec result = P::result(row_[g]);
        block_.write_results(g, one_nan(result), P::empty);
        cancels_[g] = (block_.options[g].largest < 0.0) & (abs(result) < kLeast);
      }
  }
  static SIGMAX_INLINE Vec factor_of(const Row& row) {
    if constexpr (!P::per_class) return Vec{};
    else if constexpr (is_logarithm) return row.minus_log;
    else return row.inverse * kBack;
  }
  SIGMAX_INLINE Sums sums(std::ptrdiff_t g) const {
    const Vec ties = load(ties_ + g * kLanes) * kBack, others = load(others_ + g * kLanes) * kBack;
    if constexpr (is_logarithm) return {{ties + others}, {{ties, others}}};
    else return {others};
  }

  // Those of all rows where they share a temperature.
  SIGMAX_NOINLINE void set_scales(std::ptrdiff_t of) {
    constexpr double largest = 0x1p126;
    const double far = block_.call.type == kFloat16 ? 40.0 : 104.0;  // what is below rounds to 0
    const bool all = block_.call[kTemperature].row_stride == 0;
    const Vec beta = block_.options[of].beta;
    const Mask hot = beta < FloatEnergy::kUnit, cold = beta > 1.0 / FloatEnergy::kUnit;
    const Vec unit = select(hot, splat(FloatEnergy::kUnit), splat(1.0)), more = select(cold, splat(1.0 / FloatEnergy::kUnit), splat(1.0));
    const Vec slope = max(opaque(1.0 / largest), min(opaque(largest), beta / unit / more)), farthest = min(opaque(largest), far / slope);
    for (std::ptrdiff_t g = all ? 0 : of; g < (all ? kGroups : of + 1); ++g) {
      write(minus_unit_, g, -unit);
      write(more_, g, more);
      write(minus_slope_, g, -slope);
      write(minus_rate_, g, slope * -kLog2e);
      write(farthest_, g, farthest);
    }
    has_scales_ = true;
  }
  static void write(float* to, std::ptrdiff_t g, Vec x) { store(to + g * kLanes, x); }

  // Of the rows from `row` on, one per lane; or of one, in every lane.
  SIGMAX_INLINE FloatEnergy energies(std::ptrdiff_t row) const {
    return {lanes(minus_unit_ + row), lanes(max_ + row), lanes(more_ + row), lanes(minus_rate_ + row), lanes(farthest_ + row)};
  }
  SIGMAX_INLINE FloatEnergy energy(std::ptrdiff_t row) const {
    return {splat_float(minus_unit_[row]), splat_float(max_[row]), splat_float(more_[row]), splat_float(minus_rate_[row]), splat_float(farthest_[row])};
  }
  static SIGMAX_INLINE Floats lanes(const float* from) { return load_vector<Floats>(from); }
  // The lanes of so many classes; numbers beyond those of a tile are there to be read.
  static SIGMAX_INLINE FloatMask first(std::ptrdiff_t count) {
    FloatMask lane;
    for (int k = 0; k < kFloatLanes; ++k) lane[k] = k;
    return lane < static_cast<std::int32_t>(count);
  }

  // Sums of floats: of all factors, or of those of the ties and of the others apart.
  struct Lanes {
    Floats ties, others;

    SIGMAX_INLINE void add(Floats d, Floats e) {
      if constexpr (is_logarithm) {
        const FloatMask tie = d == 0.0f;
        ties += tie ? e : Floats{};
        others += tie ? Floats{} : e;
      } else {
        others += e;
      }
    }
  };

  void add_up(Tile<float> out) {
    if (block_.columns) return add_up_columns(out);
    for (std::ptrdiff_t i = 0; i < block_.count; ++i) add_up_row(i, block_.x.at(i, 0), out.at(i, 0));
    for (std::ptrdiff_t i = block_.count; i < block_.groups * kLanes; ++i) ties_[i] = others_[i] = 1.0;
  }
  SIGMAX_NOINLINE void add_up_row(std::ptrdiff_t i, const float* x, float* out) {
    const FloatEnergy row = energy(i);
    const std::ptrdiff_t n = block_.n;
    const char* next = block_.next_row(block_.call[kX], i);
    double ties = 0.0, others = 0.0;
    for (std::ptrdiff_t begin = 0; begin < n; begin += kTogether) {
      Lanes sums[kParts] = {};
      const auto add = [&](std::ptrdiff_t j, int k, Floats numbers) SIGMAX_ALWAYS {
        const Floats d = row.distance(numbers), e = row.factor(d);
        if constexpr (!is_logarithm) store_vector(out + j, e);
        sums[k].add(d, e);
      };
      const std::ptrdiff_t end = smaller(n, begin + kTogether), whole = begin + (end - begin) / kVirtualLanes * kVirtualLanes;
      for (std::ptrdiff_t j = begin; j < whole; j += kVirtualLanes) {
        __builtin_prefetch(next + j * kSize);
        SIGMAX_UNROLL_ALL for (int k = 0; k < kParts; ++k) add(j + k * kFloatLanes, k, lanes(x + j + k * kFloatLanes));
      }
      for (std::ptrdiff_t j = whole, k = 0; j < end; j += kFloatLanes, ++k) add(j, k, first(end - j) ? lanes(x + j) : splat_float(-infinity));
      if constexpr (is_logarithm) ties += folded(sums, &Lanes::ties);
      others += folded(sums, &Lanes::others);
    }
    ties_[i] = ties;
    others_[i] = others;
  }
  static SIGMAX_INLINE double folded(const Lanes* sums, Floats Lanes::*member) {
    float all[kVirtualLanes];
    for (int k = 0; k < kParts; ++k) store_vector(all + k * kFloatLanes, sums[k].*member);
    Vec octet[kVectors];
    for (int k = 0; k < kVectors; ++k) octet[k] = load(all + k * kLanes) + load(all + kOctet + k * kLanes);
    return fold<kVectors>(octet, [](Vec a, Vec b) SIGMAX_ALWAYS { return a + b; })[0];
  }

  SIGMAX_NOINLINE void add_up_columns(Tile<float> out) {
    const std::ptrdiff_t n = block_.n, rows = rounded_up(block_.count, kFloatLanes), step = block_.x.class_step;
    for (std::ptrdiff_t i = 0; i < rows; ++i) ties_[i] = others_[i] = 0.0;
    for (std::ptrdiff_t row = 0; row < rows; row += kFloatLanes) {
      const FloatEnergy of_rows = energies(row);
      const float* x = block_.x.data + row;
      for (std::ptrdiff_t begin = 0; begin < n; begin += kTogether) {
        Lanes sums[kVirtualLanes];
        const std::ptrdiff_t end = smaller(n, begin + kTogether), used = smaller(n - begin, kVirtualLanes);
        const auto add = [&](std::ptrdiff_t j, Lanes& to, bool is_first) SIGMAX_ALWAYS {
          const Floats d = of_rows.distance(lanes(x + j * step)), e = of_rows.factor(d);
          if constexpr (!is_logarithm) store_vector(out.data + row + j * step, e);
          if (is_first) to = Lanes{};
          to.add(d, e);
        };
        for (std::ptrdiff_t j = begin; j < begin + used; ++j) add(j, sums[j - begin], true);
        for (std::ptrdiff_t j = begin + used; j < end; ++j) add(j, sums[j % kVirtualLanes], false);
        if constexpr (is_logarithm) add_folded(ties_ + row, sums, &Lanes::ties, used);
        add_folded(others_ + row, sums, &Lanes::others, used);
      }
    }
  }
  // The other lanes are 0.
  static SIGMAX_INLINE void add_folded(double* to, const Lanes* sums, Floats Lanes::*member, std::ptrdiff_t used) {
    for (std::ptrdiff_t at = 0; at < kFloatLanes; at += kLanes) {
      Vec lane[kVirtualLanes];
      for (std::ptrdiff_t k = 0; k < used; ++k) lane[k] = load(reinterpret_cast<const float*>(&(sums[k].*member)) + at);
      for (std::ptrdiff_t step = kVirtualLanes / 2; step > 0; step /= 2)
        for (std::ptrdiff_t k = 0; k < smaller(step, used - step); ++k) lane[k] = lane[k] + lane[k + step];
      store(to + at, load(to + at) + lane[0]);
    }
  }

  void write_outputs(Tile<float> out) const {
    const RowBlock<float>& b = block_;
    if (b.columns) {
      const std::ptrdiff_t rows = rounded_up(b.count, kFloatLanes);
      for (std::ptrdiff_t row = 0; row < rows; row += kFloatLanes) {
        const Output output = {energies(row), lanes(factor_ + row), lanes(minus_slope_ + row)};
        for (std::ptrdiff_t j = 0; j < b.n; ++j) store_vector(out.at(row, j), output.of(b.x.at(row, j), out.at(row, j)));
      }
    } else {
      for (std::ptrdiff_t i = 0; i < b.count; ++i) {
        const Output output = {energy(i), splat_float(factor_[i]), splat_float(minus_slope_[i])};
        std::ptrdiff_t j = 0;
        for (; j + kFloatLanes <= b.n; j += kFloatLanes) store_vector(out.at(i, j), output.of(b.x.at(i, j), out.at(i, j)));
        const Floats beyond = lanes(out.at(i, j));  // those of the next row
        store_vector(out.at(i, j), first(b.n - j) ? output.of(b.x.at(i, j), out.at(i, j)) : beyond);
      }
    }
  }
  struct Output {
    FloatEnergy energy;
    Floats factor, minus_slope;

    SIGMAX_INLINE Floats of(const float* x, const float* e) const {
      if constexpr (is_logarithm) return mul_add(energy.distance(lanes(x)), minus_slope, factor);
      else return lanes(e) * factor;
    }
  };

  static void rows(const RowsCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, char* scratch) {
    HalfRows halves(call, scratch);
    for (std::ptrdiff_t row = begin; row < end; row += halves.block_.count) {
      halves.block_.place(row, end);
      halves.run();
      if constexpr (P::has_result) halves.mend_cancelled(scratch);
    }
  }
  // What floats cannot tell, rows of their own in doubles do.
  void mend_cancelled(char* scratch) const {
    for (std::ptrdiff_t i = 0; i < block_.count; ++i) {
      const std::ptrdiff_t row = block_.first + i;
      if (cancels_[i / kLanes][i % kLanes] != 0) kGeneral.rows(block_.call, row, row + 1, scratch);
    }
  }

  // ---------------------------------------------------------------- long rows, chunk by chunk

  SIGMAX_COLD static void chunk_sums(const RowsCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, Partial* partials, const Partial& whole, char* scratch) {
    HalfRows halves(call, scratch);
    halves.add_up_chunk(row, chunk, whole);
    const Sums sums = halves.sums(0);
    for (int k = 0; k < kMembers<Sums>; ++k) partials[chunk].sums[k] = members_of(sums)[k][0];
  }
  // The terms once more.
  SIGMAX_COLD static void chunk_outputs(const RowsCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, const Partial& whole, char* scratch) {
    HalfRows halves(call, scratch);
    const Tile<float> out = halves.add_up_chunk(row, chunk, whole);
    halves.finish(out, [&](std::ptrdiff_t) SIGMAX_ALWAYS {
      Sums sums;
      for (int k = 0; k < kMembers<Sums>; ++k) members_of(sums)[k] = splat(whole.sums[k]);
      return sums;
    });
  }
  SIGMAX_COLD Tile<float> add_up_chunk(std::ptrdiff_t row, std::ptrdiff_t chunk, const Partial& whole) {
    block_.place_chunk(row, chunk);
    block_.take_numbers();
    block_.set_largest(whole);
    block_.take_options();
    begin();
    const Tile<float> out = block_.template new_tile<float>();
    add_up(out);
    return out;
  }

  SIGMAX_COLD static std::size_t scratch_bytes(std::ptrdiff_t n) {
    const std::size_t own = RowBlock<float>::scratch_bytes(kTraits, n <= kLongestWholeRow ? n : 2 * kChunk), general = kGeneral.scratch_bytes(n);
    return own > general ? own : general;
  }
  static constexpr RowsKernel kGeneral = Engine<P, float>::kernel;

 public:
  static constexpr RowsKernel kernel = {rows,
                                        scratch_bytes,
                                        kGeneral.chunk_largest,
                                        P::has_result ? kGeneral.chunk_sums : chunk_sums,
                                        P::has_result ? kGeneral.chunk_outputs : chunk_outputs,
                                        kGeneral.merge_largest,
                                        kGeneral.merge_sums};
};

}  // namespace
}  // namespace sigmax
