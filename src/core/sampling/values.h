// The numbers of a row, block by block, and numbers of a stored type in their order.
#pragma once

#include "portable.h"

namespace sigmax {
namespace {

// As many numbers as a register holds.
template <class V>
struct ManyOf {
  typedef V Type __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));
  static constexpr Index count = SIGMAX_VECTOR_BYTES / sizeof(V);
};

// n numbers as whole blocks of kBlock: the last one is a copy, filled up with -inf.
template <class V>
class Values {
  typedef typename ManyOf<V>::Type Many;
  static constexpr Index kMany = ManyOf<V>::count;

 public:
  Values(const V* data, Index count) { set(data, count); }

  void set(const V* data, Index count) {
    data_ = data;
    count_ = count;
    const Index whole = count / kBlock * kBlock;
    for (Index i = whole; i < whole + kBlock && whole < count; ++i)
      last_[i - whole] = i < count ? data[i] : static_cast<V>(kMinusInfinity);
  }

  const V* data() const { return data_; }
  Index count() const { return count_; }
  V operator[](Index i) const { return data_[i]; }
  SIGMAX_INLINE const V* block(Index start) const { return start + kBlock <= count_ ? data_ + start : last_; }

  // Calls body(many numbers).
  template <class Body>
  SIGMAX_INLINE void for_many(Body body) const {
    for (Index start = 0; start < count_; start += kBlock) {
      const V* numbers = block(start);
      for (Index i = 0; i < kBlock; i += kMany) body(load_vector<Many>(numbers + i));
    }
  }

  // Whether a number within [low, high] differs from `one`.
  SIGMAX_NOINLINE bool has_within(V low, V high, V one) const {
    auto found = Many{} != Many{};
    for_many([&](Many v) SIGMAX_ALWAYS { found |= (v >= low) & (v <= high) & (v != one); });
    return any(found);
  }

  SIGMAX_NOINLINE bool has_nan() const {
    auto found = Many{} != Many{};
    for_many([&](Many v) SIGMAX_ALWAYS { found |= v != v; });
    return any(found);
  }

  // Copies the numbers within [low, high], and where they stand unless places is null; how many there are. `to` may be
  // the numbers themselves.
  SIGMAX_NOINLINE Index collect(V low, V high, V* to, std::int64_t* places = nullptr) const {
    constexpr Index step = 4 * kMany;
    static_assert(kBlock % step == 0, "steps fill a block");
    Index size = 0;
    for (Index start = 0; start < count_; start += step) {
      const V* numbers = block(start / kBlock * kBlock) + start % kBlock;
      auto found = Many{} != Many{};
      SIGMAX_UNROLL_ALL for (Index k = 0; k < 4; ++k) {
        const Many v = load_vector<Many>(numbers + k * kMany);
        found |= (v >= low) & (v <= high);
      }
      if (!any(found)) continue;
      for (Index i = 0; i < step && start + i < count_; ++i) {
        const V v = numbers[i];
        to[size] = v;
        if (places) places[size] = start + i;
        size += (v >= low) & (v <= high);
      }
    }
    return size;
  }

 private:
  const V* data_;
  Index count_;
  V last_[kBlock];
};

// The sum of term(a vector of numbers).
template <class V, class Term>
SIGMAX_INLINE double sum_over_blocks(const Values<V>& values, Term term) {
  Total total;
  for (Index start = 0; start < values.count(); start += kBlock) {
    const V* numbers = values.block(start);
    Vec sum[kParts] = {};
    for (Index i = 0; i < kBlock; i += kSumLanes)
      SIGMAX_UNROLL for (Index p = 0; p < kParts; ++p) sum[p] += term(load(numbers + i + p * kLanes));
    total.add(sum_of_lanes(sum));
  }
  return total.value();
}

// ---------------------------------------------------------------- numbers in their order

template <class V>
struct OrderOf {
  typedef std::int32_t Type;
};
template <>
struct OrderOf<double> {
  typedef std::int64_t Type;
};

// Integers in the order of the numbers, one apart where these are neighbours; -0 comes before 0.
template <class V>
SIGMAX_INLINE typename OrderOf<V>::Type order_of(V v) {
  typedef typename OrderOf<V>::Type Order;
  const Order bits = bit_cast<Order>(v);
  return bits < 0 ? static_cast<Order>(bits ^ static_cast<Order>(~(Order{1} << (8 * sizeof(V) - 1)))) : bits;
}
template <class V>
SIGMAX_INLINE V with_order(typename OrderOf<V>::Type order) {
  typedef typename OrderOf<V>::Type Order;
  return bit_cast<V>(order < 0 ? static_cast<Order>(order ^ static_cast<Order>(~(Order{1} << (8 * sizeof(V) - 1)))) : order);
}

// The smallest number of type V that is not below x, and the largest not above it.
template <class V>
V not_below(double x) {
  V v = static_cast<V>(x);
  while (static_cast<double>(v) < x) v = with_order<V>(order_of(v) + 1);
  return v;
}
template <class V>
V not_above(double x) {
  return -not_below<V>(-x);
}

// The first number above -inf that has a property which all larger ones have, and inf has; and the last that has it not.
template <class V, class Property>
V first_with(Property property) {
  typename OrderOf<V>::Type low = order_of(static_cast<V>(kMinusInfinity)), high = order_of(static_cast<V>(kInfinity));
  while (high - 1 > low) {  // low has it not
    const auto middle = low / 2 + high / 2 + (low % 2 + high % 2) / 2;
    if (property(with_order<V>(middle))) {
      high = middle;
    } else {
      low = middle;
    }
  }
  return with_order<V>(high);
}
template <class V, class Property>
V last_without(Property property) {
  return with_order<V>(order_of(first_with<V>(property)) - 1);
}

}  // namespace
}  // namespace sigmax
