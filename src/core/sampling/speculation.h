// The target's distribution q is reached from the draft's p: its token is accepted with probability min(1, q/p), and where
// it is not, a class is drawn from max(q - p, 0) (Leviathan et al. 2023).
//
// Where q is close to p, log(q/p) comes of the differences of logits, not of two logarithms, and q - p = p·(q/p - 1) keeps its
// digits. Logits are those that Row::write_kept has written: none is +inf.
#pragma once

#include "../rows/storage.h"
#include "portable.h"
#include "sampling.h"

namespace sigmax {
namespace {

// Of at most kBlock terms, term(0), ..., in the order of virtual lanes.
template <class Term>
SIGMAX_INLINE double block_sum(Index n, Term term) {
  double lane[kSumLanes] = {};
  Index i = 0;
  for (; i + kSumLanes <= n; i += kSumLanes)
    for (Index l = 0; l < kSumLanes; ++l) lane[l] += term(i + l);
  for (Index l = 0; i + l < n; ++l) lane[l] += term(i + l);
  for (Index width = kSumLanes / 2; width; width /= 2)
    for (Index l = 0; l < width; ++l) lane[l] += lane[l + width];
  return lane[0];
}

template <class Term>
SIGMAX_INLINE double sum_of(Index n, Term term) {
  Total total;
  for (Index start = 0; start < n; start += kBlock) {
    const Index count = n - start < kBlock ? n - start : kBlock;
    total.add(block_sum(count, [&](Index i) SIGMAX_ALWAYS { return term(start + i); }));
  }
  return total.value();
}

template <class V>
class Speculation {
 public:
  Speculation(const V* draft, const V* target, Index n, double draft_temperature, double target_temperature, double* weights)
      : draft_(draft), target_(target), n_(n), weights_(weights), draft_inverse_(1.0 / draft_temperature),
        target_inverse_(1.0 / target_temperature), same_(draft_temperature == target_temperature) {
    Index winner = 0;
    for (Index i = 0; i < n; ++i)
      if (draft[i] > draft[winner]) winner = i;
    double top = kMinusInfinity;
    for (Index i = 0; i < n; ++i) top = target[i] > top ? target[i] : top;
    draft_top_ = draft[winner];
    // The draft's winner is the common origin, unless it is far from likely in the target.
    target_top_ = (top - target[winner]) * target_inverse_ < 1.0 ? static_cast<double>(target[winner]) : top;
    const double mass = sum_of(n, [&](Index i) SIGMAX_ALWAYS { return exp_of(of_draft(i)); });
    const double excess = sum_of(n, [&](Index i) { return difference(i, 0.0, 1.0); });
    growth_ = excess / mass;  // Σ target / Σ draft - 1
    log_growth_ = log1p_of(growth_);
  }

  // Whether a share, uniform in [0, 1), is below q/p of the token.
  bool accepts(Index token, double share) const {
    if (!(target_[token] > kMinusInfinity)) return false;
    const double log_ratio = gap(token) - log_growth_;
    return log_ratio >= 0.0 || share < exp_of(log_ratio);
  }

  Index draw(double share) const {
    double mass = fill(false);
    if (!(mass > 0.0)) mass = fill(true);  // p and q are the same to the last digit: rounding alone leads here
    const double t = share * mass;
    double running = 0.0;
    Index last = 0;
    for (Index start = 0; start < n_; start += kBlock) {
      const Index size = n_ - start < kBlock ? n_ - start : kBlock;
      const double block = block_sum(size, [&](Index i) SIGMAX_ALWAYS { return weights_[start + i]; });
      const bool ends = running + block > t;
      double within = 0.0;
      for (Index i = start; i < start + size && (ends || start + kBlock >= n_); ++i) {
        within += weights_[i];
        if (weights_[i] > 0.0) last = i;
        if (running + within > t) return i;
      }
      if (ends) return last;
      running += block;
    }
    return last_possible();
  }

 private:
  double of_draft(Index i) const { return (draft_[i] - draft_top_) * draft_inverse_; }
  double of_target(Index i) const { return (target_[i] - target_top_) * target_inverse_; }

  // The logarithm of target over draft, of a class that both have, up to log_growth_.
  double gap(Index i) const {
    return same_ ? ((static_cast<double>(target_[i]) - draft_[i]) - (target_top_ - draft_top_)) * target_inverse_
                 : of_target(i) - of_draft(i);
  }

  // e^target·scale - e^draft; scale is e^-shift.
  double difference(Index i, double shift, double scale) const {
    const bool in_draft = draft_[i] > kMinusInfinity, in_target = target_[i] > kMinusInfinity;
    if (in_draft && in_target) {
      const double log_ratio = gap(i) - shift;
      if (__builtin_fabs(log_ratio) <= 0.5) return exp_of(of_draft(i)) * expm1_small(log_ratio);
    }
    return (in_target ? exp_of(of_target(i)) * scale : 0.0) - (in_draft ? exp_of(of_draft(i)) : 0.0);
  }

  double fill(bool with_target) const {
    const double scale = 1.0 / (1.0 + growth_);
    for (Index i = 0; i < n_; ++i) {
      const double weight = with_target ? (target_[i] > kMinusInfinity ? exp_of(of_target(i)) : 0.0)
                                        : difference(i, log_growth_, scale);
      weights_[i] = weight > 0.0 ? weight : 0.0;
    }
    return sum_of(n_, [&](Index i) SIGMAX_ALWAYS { return weights_[i]; });
  }

  Index last_possible() const {
    Index i = n_ - 1;
    while (i > 0 && !(weights_[i] > 0.0)) --i;
    return i;
  }

  const V *draft_, *target_;
  Index n_;
  double* weights_;
  double draft_inverse_, target_inverse_;
  bool same_;
  double draft_top_, target_top_, growth_, log_growth_;
};
template <class S>
void speculate_row(const SpeculationCall& call, Index r, double* memory) {
  typedef typename Arithmetic<S>::T V;
  const Index n = call.classes;
  const auto numbers = [&](const void* from, double* to) {
    if (sizeof(S) == sizeof(V)) return static_cast<const V*>(from) + r * n;
    constexpr Index size = sizeof(S);
    char* data = static_cast<char*>(const_cast<void*>(from)) + r * n * size;
    storage_of<V>(static_cast<Type>(call.type)).gather({reinterpret_cast<V*>(to), n, 1}, {data, n * size, size}, 1, n);
    return static_cast<const V*>(reinterpret_cast<V*>(to));
  };
  const auto of_row = [&](const PerRow& option) { return option.data[r * option.step]; };
  const Speculation<V> speculation(numbers(call.draft, memory), numbers(call.target, memory + n), n,
                                   of_row(call.draft_temperature), of_row(call.target_temperature), memory + 2 * n);
  const double acceptance = static_cast<double>(call.bits[2 * r]) * 0x1p-64;
  const double share = static_cast<double>(call.bits[2 * r + 1]) * 0x1p-64;
  call.accepted[r] = speculation.accepts(call.token[r], acceptance);
  call.residual[r] = call.accepted[r] ? -1 : speculation.draw(share);
}

}  // namespace
}  // namespace sigmax
