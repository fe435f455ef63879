// Losses of rows whose classes share one weight and prior: a few together, so that what is done once per row is done for a
// row per lane, and no row waits for it.
#pragma once

#include "moderate_row.h"
#include "rows.h"

namespace sigmax {
namespace {

// Of float32: rows that are not converted, and weights that are no pairs.
template <class P, class S>
constexpr bool kTakesLossRows = P::weighs_classes && !(P::of_probabilities && P::needs_largest) && sizeof(S) == sizeof(float);

template <class P, class T>
struct LossRows {
  typedef typename Arithmetic<T>::W W;
  static constexpr int kFields = sizeof(Row<W>) / sizeof(Vec), kSums = sizeof(Sums<W>) / sizeof(Vec);
  static std::ptrdiff_t size(std::ptrdiff_t n) { return n * kLanes <= 4096 ? kLanes : n <= 2048 ? 2 : 1; }

  std::ptrdiff_t row[kLanes], index[kLanes];  // of the call, and of the caller
  const T* x[kLanes];
  const T* soft[kLanes];  // their labels, or null
  T* out[kLanes];
  RowOptions options[kLanes];
  double* terms;
  std::ptrdiff_t n, stride, count;  // stride: from the terms of a row to the next
  bool done[kLanes];                // the others are to be computed the general way
  alignas(64) double max[kLanes], value[kLanes];

  void add(const AxisCall& call, std::ptrdiff_t of_call, std::ptrdiff_t of_caller, const T* logits, const T* labels, T* to) {
    row[count] = of_call, index[count] = of_caller;
    x[count] = logits, soft[count] = labels, out[count] = to;
    options[count++] = options_of<P, T>(call, of_call);
  }

  void run(const AxisCall& call) {
    alignas(64) double sums[kSums][kLanes] = {};
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      max[i] = P::needs_largest ? ModerateRow<T>{x[i], nullptr, nullptr, n}.largest() : 0.0;
      done[i] = !options[i].left_out() && __builtin_fabs(max[i]) < kInfinity;
      if (done[i]) with_weights(call, i, [&](const auto& engine) { done[i] = take_sums(engine, i, sums); });
    }
    Row<W> rows = finished(sums);
    store(value, rows.value);
    if constexpr (!P::reduces)
      for (std::ptrdiff_t i = 0; i < count; ++i)
        if (done[i])
          with_weights(call, i, [&](const auto& engine) {
            engine.template write<P::keeps_terms>(0, n, lane_of(rows, i), terms + i * stride, out[i]);
          });
  }

  // Calls body(engine) with the weights of a row.
  template <class Body>
  SIGMAX_INLINE void with_weights(const AxisCall& call, std::ptrdiff_t i, Body body) const {
    soft[i] ? with_engine<true>(call, i, body) : with_engine<false>(call, i, body);
  }
  template <bool has_soft, class Body>
  SIGMAX_INLINE void with_engine(const AxisCall& call, std::ptrdiff_t i, Body body) const {
    RowEngine<P, T, SharedWeights<T, has_soft>> engine{x[i], {call, row[i], soft[i]}, out[i], {}, {}};
    engine.pad(n);
    body(engine);
  }

  // False where there is a NaN.
  template <class Engine>
  SIGMAX_INLINE bool take_sums(const Engine& engine, std::ptrdiff_t i, double (*sums)[kLanes]) const {
    Partial partial = {};
    partial.max = max[i];
    Sums<W> of_row = engine.template sums<P::keeps_terms>(0, n, row_of<P, W>(partial, options[i]), terms + i * stride);
    if (any(is_nan<P>(of_row))) return false;
    const Vec* fields = reinterpret_cast<const Vec*>(&of_row);  // a Sums has only such members
    for (int field = 0; field < kSums; ++field) sums[field][i] = fields[field][0];
    return true;
  }

  Row<W> finished(const double (*sums)[kLanes]) const {
    alignas(64) double temperature[kLanes], cotangent[kLanes], weight[kLanes], z_loss[kLanes], largest[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      RowOptions none{1.0, 0.0};
      const RowOptions& o = i < count && done[i] ? options[i] : none;
      temperature[i] = o.temperature, cotangent[i] = o.cotangent, weight[i] = o.weight, z_loss[i] = o.z_loss;
      largest[i] = i < count && done[i] ? max[i] : 0.0;
    }
    Row<W> rows;
    rows.max = load(largest);
    rows.weight = load(weight);
    rows.z_loss = load(z_loss);
    set_temperature(rows, load(temperature));
    set_gain(rows, load(cotangent), abs(load(cotangent)));
    Sums<W> together;
    std::memcpy(&together, sums, sizeof(together));
    P::template finish<W>(rows, together);
    return rows;
  }

  static SIGMAX_INLINE Row<W> lane_of(const Row<W>& rows, std::ptrdiff_t i) {
    Row<W> row;
    const Vec* from = reinterpret_cast<const Vec*>(&rows);
    Vec* to = reinterpret_cast<Vec*>(&row);
    for (int field = 0; field < kFields; ++field) to[field] = splat(from[field][i]);
    return row;
  }
};

}  // namespace
}  // namespace sigmax
