// Draws from the classes of a row that are kept.
//
// With replacement: the classes stand in their order, but for the winner, the first of the largest, which stands last; the
// class is that in which a share u of the whole falls. The winner is kept apart from the sums, so that what is left for the
// others has all digits. Sums are of quick exponentials; where the share falls closer to an end of the class than these can
// tell, all is added up again by exp_of, which is the same on every level.
//
// Without: the largest of the logits with Gumbel noise, -log(-log u), the largest first (Kool et al. 2019).
#pragma once

#include "row.h"

namespace sigmax {
namespace {

template <class V>
class Draws {
 public:
  // `places`: where the values stand in the row; null: there.
  Draws(const Values<V>& values, const std::int64_t* places, double temperature, bool portable, Scratch<V> scratch)
      : values_(values), places_(places), scratch_(scratch), top_(largest_of(values.data(), values.count())),
        temperature_(temperature), portable_(portable) {}

  // The sums of the exponentials of the others, block by block.
  void add_up() {
    find_winner();
    others_ = 0.0;
    for (Index start = 0; start < values_.count(); start += kBlock) {
      others_ += fill_block(start);
      scratch_.prefix[start / kBlock] = others_;
    }
    filled_ = -1;
    log_total_ = log1p_of(others_);
  }

  Index draw(std::uint64_t bits) {
    double slack;
    const Index quick = draw_within(bits, &slack);
    if (portable_ || slack > kSumError * (others_ + 1.0)) return quick;
    portable_ = true;
    add_up();
    return draw_within(bits, &slack);
  }

  std::int64_t place(Index i) const { return places_ ? places_[i] : i; }
  double log_prob(Index i) const { return (values_[i] - top_) / temperature_ - log_total_; }

  // Without replacement; returns how many classes are possible. If these are fewer than draws, nothing is drawn.
  Index draw_distinct(const std::uint64_t* bits, Index draws, Index* drawn) {
    double* keys = scratch_.weights;
    Index size = 0, possible = 0;
    const auto loses = [&](Index a, Index b) {  // a comes after b
      return keys[a] < keys[b] || (keys[a] == keys[b] && a > b);
    };
    const auto sink = [&](Index i) {
      for (Index child; (child = 2 * i + 1) < size; i = child) {
        if (child + 1 < size && loses(drawn[child + 1], drawn[child])) ++child;
        if (!loses(drawn[child], drawn[i])) break;
        const Index moved = drawn[i];
        drawn[i] = drawn[child];
        drawn[child] = moved;
      }
    };
    for (Index i = 0; i < values_.count(); ++i) {
      if (!(values_[i] > kMinusInfinity)) continue;
      ++possible;
      const double u = (static_cast<double>(bits[place(i)]) + 0.5) * 0x1p-64;
      const double exponential = -log1p_of(-(u < 1.0 ? u : 1.0 - 0x1p-53));
      keys[i] = (values_[i] - top_) / temperature_ - log_of(exponential);
      if (size < draws) {
        drawn[size++] = i;
        if (size == draws)
          for (Index k = size / 2 - 1; k >= 0; --k) sink(k);
      } else if (loses(drawn[0], i)) {
        drawn[0] = i;
        sink(0);
      }
    }
    if (possible < draws) return possible;
    while (size > 1) {
      const Index worst = drawn[0];
      drawn[0] = drawn[--size];
      sink(0);
      drawn[size] = worst;
    }
    return possible;
  }

 private:
  void find_winner() {
    const V top = static_cast<V>(top_);
    winner_ = 0;
    for (int found = 0; !found; winner_ += found ? 0 : kBlock) {
      const V* numbers = values_.block(winner_);
      for (Index i = 0; i < kBlock; ++i) found |= numbers[i] == top;
    }
    while (values_[winner_] != top) ++winner_;
  }

  // The exponentials of a block, 0 for the winner; returns their sum.
  double fill_block(Index start) {
    const double inverse = 1.0 / temperature_;
    const Energy<Vec> energy(splat(top_), splat(temperature_), splat(inverse));
    const V* x = values_.block(start);
    double* e = scratch_.e;
    if (portable_) {
      for (Index i = 0; i < kBlock; i += kLanes) store(e + i, exp_of(energy.at(load(x + i))));
    } else {
      for (Index i = 0; i < kBlock; i += kSumLanes)
        SIGMAX_UNROLL for (Index p = 0; p < kParts; ++p) store(e + i + p * kLanes, energy.precise_factor(load(x + i + p * kLanes)));
    }
    if (winner_ >= start && winner_ < start + kBlock) e[winner_ - start] = 0.0;
    Vec sum[kParts] = {};
    for (Index i = 0; i < kBlock; i += kSumLanes)
      SIGMAX_UNROLL for (Index p = 0; p < kParts; ++p) sum[p] += load(e + i + p * kLanes);
    return sum_of_lanes(sum);
  }

  Index draw_within(std::uint64_t bits, double* slack) {
    const double t = static_cast<double>(bits) * 0x1p-64 * (others_ + 1.0);
    *slack = t - others_;
    if (t >= others_) return winner_;
    Index low = 0, high = (values_.count() - 1) / kBlock;  // the first block whose sum so far exceeds t
    while (low < high) {
      const Index middle = (low + high) / 2;
      if (scratch_.prefix[middle] > t) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    const double rest = t - (low ? scratch_.prefix[low - 1] : 0.0);
    if (filled_ != low) fill_block(low * kBlock);
    filled_ = low;
    double running = 0.0, below = 0.0;
    Index chosen = 0;
    for (Index i = 0; i < kBlock; ++i) {
      if (!(scratch_.e[i] > 0.0)) continue;
      chosen = i;
      below = running;
      running += scratch_.e[i];
      if (running > rest) break;
    }
    *slack = running - rest < rest - below ? running - rest : rest - below;
    return low * kBlock + chosen;
  }

  const Values<V>& values_;
  const std::int64_t* places_;
  Scratch<V> scratch_;
  double top_, temperature_, others_ = 0.0, log_total_ = 0.0;
  Index winner_ = 0, filled_ = -1;  // and the block that scratch_.e holds
  bool portable_;
};

}  // namespace
}  // namespace sigmax
