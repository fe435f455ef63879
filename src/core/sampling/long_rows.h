// Rows of many classes, one after the other.
#pragma once

#include "draws.h"
#include "softmax_of_kept.h"

namespace sigmax {
namespace {

// Numbers for one row, and what its softmax takes.
template <class V>
Index long_scratch(Index n) {
  return Scratch<V>::doubles(n) + static_cast<Index>(KeptRows<V>::scratch_bytes(n)) / Index{sizeof(double)} + 1;
}

template <class S>
class LongRow {
  typedef typename Arithmetic<S>::T V;

 public:
  LongRow(const SamplingCall& call, Index r, double* memory)
      : call_(call), r_(r), n_(call.classes), scratch_(memory, n_), softmax_scratch_(memory + Scratch<V>::doubles(n_)),
        row_(numbers(), n_, scratch_) {}

  void run() {
    if (row_.is_nan() || row_.is_empty()) return settle_without();
    for (int k = 0; k < call_.steps; ++k) row_.apply(call_.step[k], at(call_.parameter[k]));
    call_.outcome[r_] = row_.is_doubtful() ? kDoubtful : kSettled;
    if (row_.is_doubtful()) return;
    if (call_.log_mass) call_.log_mass[r_] = row_.log_mass();
    if (call_.kept) write_kept();
    if (call_.drawn) draw();
  }

 private:
  static constexpr bool kInPlace = sizeof(S) == sizeof(V);

  double at(const PerRow& numbers) const { return numbers.data[r_ * numbers.step]; }

  Block block(const void* data) const {
    constexpr Index size = sizeof(S);
    return {static_cast<char*>(const_cast<void*>(data)) + r_ * n_ * size, n_ * size, size};
  }
  const V* numbers() const {
    if (kInPlace) return reinterpret_cast<const V*>(block(call_.x).data);
    storage_of<V>(static_cast<Type>(call_.type)).gather({scratch_.row, n_, 1}, block(call_.x), 1, n_);
    return scratch_.row;
  }

  // A row without a distribution.
  void settle_without() {
    call_.outcome[r_] = row_.is_nan() ? kNotANumber : kNothing;
    if (call_.log_mass) call_.log_mass[r_] = row_.is_nan() ? kNaN : 0.0;
    if (!call_.kept) return;
    const double number = row_.is_nan() ? kNaN : call_.as_probabilities ? 0.0 : kMinusInfinity;
    const Block to = block(call_.kept);
    for (Index c = 0; c < n_; ++c) storage_of<V>(static_cast<Type>(call_.type)).store(to.at(0, c), number);
  }

  void write_kept() {
    const Block to = block(call_.kept);
    const Tile<V> tile = {kInPlace ? reinterpret_cast<V*>(to.data) : scratch_.spare, n_, 1};
    row_.write_kept(tile.data);
    if (call_.as_probabilities) KeptRows<V>::replace(call_, tile, r_, 1, softmax_scratch_);
    if (!kInPlace) storage_of<V>(static_cast<Type>(call_.type)).scatter(to, tile, 1, n_);
  }

  void draw() {
    std::int64_t* places = row_.is_narrowed() ? reinterpret_cast<std::int64_t*>(scratch_.keys) : nullptr;
    Draws<V> draws(row_.candidates(places), places, row_.temperature(), call_.log_prob != nullptr, scratch_);
    std::int64_t* drawn = call_.drawn + r_ * call_.draws;
    if (call_.replace) {
      draws.add_up();
      for (Index d = 0; d < call_.draws; ++d) drawn[d] = draws.draw(call_.bits[r_ * call_.draws + d]);
    } else {
      call_.possible[r_] = draws.draw_distinct(call_.bits + r_ * n_, call_.draws, drawn);
      if (call_.possible[r_] < call_.draws) return;
      if (call_.log_prob) draws.add_up();
    }
    for (Index d = 0; d < call_.draws; ++d) {
      const Index i = drawn[d];
      if (call_.log_prob) call_.log_prob[r_ * call_.draws + d] = draws.log_prob(i);
      drawn[d] = draws.place(i);
    }
  }

  const SamplingCall& call_;
  const Index r_, n_;
  const Scratch<V> scratch_;
  double* const softmax_scratch_;
  Row<V> row_;
};

}  // namespace
}  // namespace sigmax
