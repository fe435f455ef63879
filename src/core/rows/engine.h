// Runs a program (program.h) over blocks of rows that stay in the first caches.
//
// With rows in lanes class j adds to virtual lane j mod 8, one class after the other; with classes in lanes the lanes are
// vectors, and are folded at the end: one order of additions, so that a row has the same bits in either form. The classes
// after the last eight: with classes in lanes the last eight of the row are read again, and those that counted before add
// nothing; so class j there belongs to lane j - (n - 8).
#pragma once

#include <type_traits>

#include "block.h"

namespace sigmax {
namespace {

// The members of a struct of vectors, one after the other, where they are: a copy of them all would go through memory, and
// those that nobody uses cost nothing.
typedef Vec Member __attribute__((may_alias));
template <class Struct>
constexpr int kMembers = sizeof(Struct) / sizeof(Vec);
template <class Struct>
SIGMAX_INLINE Member* members_of(Struct& of) {
  static_assert(sizeof(Struct) % sizeof(Vec) == 0 && std::is_trivially_copyable<Struct>::value, "members are vectors");
  return reinterpret_cast<Member*>(&of);
}
template <class Struct>
SIGMAX_INLINE const Member* members_of(const Struct& of) {
  return members_of(const_cast<Struct&>(of));
}
// Number k of type W among them.
template <class W>
SIGMAX_INLINE W wide_of(const Member* members, int k);
template <>
SIGMAX_INLINE Vec wide_of<Vec>(const Member* members, int k) { return members[k]; }
template <>
SIGMAX_INLINE Pair wide_of<Pair>(const Member* members, int k) { return {members[2 * k], members[2 * k + 1]}; }
SIGMAX_INLINE void set_wide(Member* members, int k, Vec x) { members[k] = x; }
SIGMAX_INLINE void set_wide(Member* members, int k, Pair x) {
  members[2 * k] = x.hi;
  members[2 * k + 1] = x.lo;
}

// Every lane as the given one is.
template <class Struct>
SIGMAX_INLINE Struct all_lanes(const Struct& from, std::ptrdiff_t lane) {
  const char* at = reinterpret_cast<const char*>(&from) + lane * sizeof(double);
  Struct to;
  SIGMAX_UNROLL_ALL for (int k = 0; k < kMembers<Struct>; ++k) {
    double number;
    std::memcpy(&number, at + k * sizeof(Vec), sizeof(number));
    members_of(to)[k] = splat(number);
  }
  return to;
}

// The sums of the first pass over the classes, and of the second one where a program has two.
template <class P, bool is_apart>
struct SumsOfPasses {
  typedef typename P::Sums First, Apart;
};
template <class P>
struct SumsOfPasses<P, true> {
  typedef typename P::First First;
  typedef typename P::Apart Apart;
};

template <class P, class T>
class Engine {
  typedef typename P::Wide W;
  typedef typename P::Row Row;
  typedef typename P::Sums Sums;
  typedef typename SumsOfPasses<P, P::is_apart>::First First;
  typedef typename SumsOfPasses<P, P::is_apart>::Apart Apart;
  typedef typename P::Term Term;
  typedef typename std::conditional<P::second == Second::kLabelWeights, W, Vec>::type C;

  static constexpr bool kHasSecond = P::second == Second::kNumbers || P::second == Second::kLogits || P::second == Second::kWeights;
  static constexpr bool kHasLabelWeights = P::second == Second::kLabelWeights;
  static constexpr int kWide = sizeof(W) / sizeof(Vec);
  template <bool apart>
  static constexpr int kTogether = kWide == 2 && apart ? 1 : kVectors;  // vectors of an octet in one go; confident rows of pairs are rare
  static constexpr int kPlanes = P::kept * kWide;  // of doubles per class that are kept
  static constexpr int kWeightPlanes = kHasLabelWeights ? kWide : 0;
  static_assert(sizeof(Sums) <= 22 * sizeof(Vec), "a Partial holds them");

  // Second numbers: in a tile or in place, or planes of wide label weights with the same steps.
  struct Seconds {
    const T* numbers;
    const double* planes;
    std::ptrdiff_t plane;

    SIGMAX_INLINE C load(std::ptrdiff_t at) const {
      if constexpr (kHasLabelWeights) {
        return load_planes<W>(planes + at, plane);
      } else if constexpr (kHasSecond) {
        return sigmax::load(numbers + at);
      } else {
        return Vec{};
      }
    }
    SIGMAX_INLINE Seconds from(std::ptrdiff_t at) const { return {numbers + at, planes + at, plane}; }
  };

  template <class V>
  static SIGMAX_INLINE V load_planes(const double* from, std::ptrdiff_t plane) {
    constexpr int count = sizeof(V) / sizeof(Vec);
    Vec parts[count];
    SIGMAX_UNROLL_ALL for (int k = 0; k < count; ++k) parts[k] = sigmax::load(from + k * plane);
    V v;
    std::memcpy(&v, parts, sizeof(v));
    return v;
  }

  // Terms that are kept, plane by plane; null where they are not.
  struct Kept {
    double* planes;
    std::ptrdiff_t plane;

    SIGMAX_INLINE void store(std::ptrdiff_t at, const Term& term) const {
      SIGMAX_UNROLL_ALL for (int k = 0; k < kPlanes; ++k) sigmax::store(planes + at + k * plane, members_of(term)[k]);
    }
    SIGMAX_INLINE Term load(std::ptrdiff_t at) const {
      Term term;
      SIGMAX_UNROLL_ALL for (int k = 0; k < kMembers<Term>; ++k) members_of(term)[k] = k < kPlanes ? sigmax::load(planes + at + k * plane) : Vec{};
      return term;
    }
    SIGMAX_INLINE Kept from(std::ptrdiff_t at) const { return {planes ? planes + at : nullptr, plane}; }
  };

  // ---------------------------------------------------------------- classes in lanes

  // The lanes of a last octet that did not count before, vector k of it.
  static SIGMAX_INLINE Mask fresh(std::ptrdiff_t n, int k) {
    return first_integers() >= static_cast<double>(kOctet - n % kOctet - k * kLanes);
  }

  template <class S>
  static SIGMAX_INLINE void add_fresh(Mask mask, S& sums, Vec x, C c, const Term& term, const Row& row) {
    const S before = sums;
    P::collect(sums, x, c, term, row);
    sums = selected(mask, sums, before);
  }
  template <class S>
  static SIGMAX_INLINE S selected(Mask mask, const S& yes, const S& no) {
    S chosen;
    SIGMAX_UNROLL_ALL for (int k = 0; k < kMembers<S>; ++k) members_of(chosen)[k] = select(mask, members_of(yes)[k], members_of(no)[k]);
    return chosen;
  }

  // Calls body(j) for the octets from class j on, or instead of it absent(j) where a sparse program has no class in a whole one.
  // Which ones these are is written down first, some octets at a time: a branch for each would be guessed wrong.
  template <class Body, class Absent>
  static SIGMAX_INLINE void for_octets(const T* x, std::ptrdiff_t n, Body body, Absent absent) {
    if constexpr (P::is_sparse) {
      constexpr std::ptrdiff_t some = 128;
      for (std::ptrdiff_t start = 0; start + kOctet <= n; start += some * kOctet) {
        std::ptrdiff_t there[some], elsewhere[some], count[2] = {};
        const std::ptrdiff_t end = smaller(n, start + some * kOctet);
        for (std::ptrdiff_t j = start; j + kOctet <= end; j += kOctet) {
          Mask present = {};
          SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) present |= sigmax::load(x + j + k * kLanes) != splat(-kInfinity);
          const bool is_there = any(present);
          there[count[0]] = elsewhere[count[1]] = j;
          count[0] += is_there;
          count[1] += !is_there;
        }
        for (std::ptrdiff_t k = 0; k < count[0]; ++k) body(there[k]);
        for (std::ptrdiff_t k = 0; k < count[1]; ++k) absent(elsewhere[k]);
      }
      if (n % kOctet != 0) body(n - n % kOctet);
    } else {
      for (std::ptrdiff_t j = 0; j < n; j += kOctet) body(j);
    }
  }

  // The terms of some vectors of classes: from here on, or from the first pass, they are kept where there is a place.
  template <class S, int count>
  static SIGMAX_INLINE void take_terms(Term* term, Kept kept, std::ptrdiff_t at, const Vec* x, const C* c, const Row& row) {
    if constexpr (P::is_apart && std::is_same<S, Apart>::value)
      if (kept.planes != nullptr) {
        SIGMAX_UNROLL for (int k = 0; k < count; ++k) term[k] = kept.load(at + k * kLanes);
        return;
      }
    SIGMAX_UNROLL for (int k = 0; k < count; ++k) term[k] = P::term(x[k], c[k], row);
    if constexpr (P::kept > 0 && !(P::is_apart && std::is_same<S, Apart>::value))
      if (kept.planes != nullptr)
        SIGMAX_UNROLL for (int k = 0; k < count; ++k) kept.store(at + k * kLanes, term[k]);
  }

  // The vectors of an octet, some together.
  template <int together, class Body>
  static SIGMAX_INLINE void for_vectors(Body body) {
    if constexpr (together == kVectors) body(0);
    else for (int first = 0; first < kVectors; first += together) body(first);
  }

  // The numbers that are read next, and their size.
  struct Next {
    const char *x, *second;
    std::ptrdiff_t size;
  };

  // The sums of a row's classes [0, n), n >= 8, in all lanes.
  template <class S>
  SIGMAX_NOINLINE static S sums_of_row(const Row& rows, std::ptrdiff_t lane, const T* x, Seconds c, std::ptrdiff_t n, Kept kept, Next next) {
    constexpr int together = kTogether<P::is_apart && std::is_same<S, Apart>::value>;
    const Row row = all_lanes(rows, lane);
    S sums[kVectors] = {};
    const auto add_octet = [&](std::ptrdiff_t j) SIGMAX_ALWAYS {
      const bool whole = j + kOctet <= n;
      const std::ptrdiff_t begin = whole ? j : n - kOctet;
      __builtin_prefetch(next.x + begin * next.size);
      if constexpr (kHasSecond) __builtin_prefetch(next.second + begin * next.size);
      for_vectors<together>([&](int first) SIGMAX_ALWAYS {
        Vec v[together];
        C second[together];
        Term term[together];
        SIGMAX_UNROLL for (int k = 0; k < together; ++k) {
          const std::ptrdiff_t at = begin + (first + k) * kLanes;
          v[k] = sigmax::load(x + at);
          second[k] = c.load(at);
        }
        take_terms<S, together>(term, kept, begin + first * kLanes, v, second, row);
        if constexpr (kWide == 1) {
          SIGMAX_UNROLL for (int k = 0; k < together; ++k)
            whole ? P::collect(sums[k], v[k], second[k], term[k], row) : add_fresh(fresh(n, k), sums[k], v[k], second[k], term[k], row);
        } else {  // the code of a pair is there once
          S before[together];
          if (!whole)
            for (int k = 0; k < together; ++k) before[k] = sums[first + k];
          SIGMAX_UNROLL for (int k = 0; k < together; ++k) P::collect(sums[first + k], v[k], second[k], term[k], row);
          if (!whole)
            for (int k = 0; k < together; ++k) sums[first + k] = selected(fresh(n, first + k), sums[first + k], before[k]);
        }
      });
    };
    for_octets(x, n, add_octet, [](std::ptrdiff_t) SIGMAX_ALWAYS {});
    return folded(sums);
  }

  template <class S>
  static SIGMAX_INLINE S folded(S* lanes) {
    S sum;
    SIGMAX_UNROLL_ALL for (int s = 0; s < kMembers<S> / kWide; ++s) {
      W part[kVectors];
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) part[k] = wide_of<W>(members_of(lanes[k]), s);
      set_wide(members_of(sum), s, fold<kVectors>(part, [](W a, W b) SIGMAX_ALWAYS { return add(a, b); }));
    }
    return sum;
  }

  // The outputs of some vectors of classes. That terms are kept is known beforehand in doubles, where a branch shows.
  template <bool keep, bool apart, int count>
  static SIGMAX_INLINE void outputs_at(Vec* to, const Row& row, const T* x, Seconds c, Kept kept, std::ptrdiff_t kept_at, Mask& in_doubt) {
    Vec v[count];
    C second[count];
    Term term[count];
    SIGMAX_UNROLL for (int k = 0; k < count; ++k) {
      v[k] = sigmax::load(x + k * kLanes);
      second[k] = c.load(k * kLanes);
    }
    if constexpr (P::kept > 0) {
      if (kWide == 1 ? keep : kept.planes != nullptr)
        SIGMAX_UNROLL for (int k = 0; k < count; ++k) term[k] = kept.load(kept_at + k * kLanes);
      else
        SIGMAX_UNROLL for (int k = 0; k < count; ++k) term[k] = P::term(v[k], second[k], row);
    }
    SIGMAX_UNROLL for (int k = 0; k < count; ++k) {
      if constexpr (apart) to[k] = number_of(P::output_apart(v[k], second[k], term[k], row), in_doubt);
      else to[k] = P::output(v[k], second[k], term[k], row);
      if constexpr (P::is_tested && !apart) in_doubt = row.sieve.watched(in_doubt, to[k]);
    }
  }

  // `out` may be x: the numbers of the last octet, which overlaps the one before, are read beforehand.
  template <bool keep, bool apart>
  SIGMAX_NOINLINE static void outputs_of_row(const Row& rows, std::ptrdiff_t lane, const T* x, Seconds c, std::ptrdiff_t n, Kept kept, T* out, Mask* in_doubt) {
    const Row row = all_lanes(rows, lane);
    Mask doubts = first_doubts<apart>();
    constexpr int together = kTogether<apart>;
    T tail[kOctet];
    if (n % kOctet != 0) std::memcpy(tail, x + n - kOctet, sizeof(tail));
    const auto write = [&](std::ptrdiff_t begin, const T* from) SIGMAX_ALWAYS {
      for_vectors<together>([&](int first) SIGMAX_ALWAYS {
        const std::ptrdiff_t at = begin + first * kLanes;
        Vec outputs[together];
        outputs_at<keep, apart, together>(outputs, row, from + first * kLanes, c.from(at), kept, at, doubts);
        SIGMAX_UNROLL for (int k = 0; k < together; ++k) store(out + at + k * kLanes, outputs[k]);
      });
    };
    const auto write_zeros = [&](std::ptrdiff_t j) SIGMAX_ALWAYS { std::memset(out + j, 0, kOctet * sizeof(T)); };
    if constexpr (kWide == 1) {
      for_octets(x, n - n % kOctet, [&](std::ptrdiff_t j) SIGMAX_ALWAYS { write(j, x + j); }, write_zeros);
      if (n % kOctet != 0) write(n - kOctet, tail);
    } else {
      const auto write_octet = [&](std::ptrdiff_t j) SIGMAX_ALWAYS { write(smaller(j, n - kOctet), j + kOctet <= n ? x + j : tail); };
      for_octets(x, n, write_octet, write_zeros);
    }
    if constexpr (P::is_tested) *in_doubt = all_doubts<apart>(doubts, row);
  }
  // Of a program that is tested, outputs are watched first, and tested one by one where that is not enough to know.
  template <bool apart>
  static SIGMAX_INLINE Mask first_doubts() {
    return P::is_tested && !apart ? ~Mask{} : Mask{};
  }
  template <bool apart>
  static SIGMAX_INLINE Mask all_doubts(Mask doubts, const Row& row) {
    if constexpr (P::is_tested && !apart) return row.sieve.suspects(doubts);
    else return doubts;
  }

  // ---------------------------------------------------------------- rows in lanes

  static SIGMAX_INLINE std::ptrdiff_t lane_of_class(std::ptrdiff_t j, std::ptrdiff_t n) {
    return n < kOctet || j < n / kOctet * kOctet ? j % kOctet : j - (n - kOctet);
  }

  template <class S>
  SIGMAX_NOINLINE static void sums_of_columns(const Row* rows, const T* x, std::ptrdiff_t step, Seconds c, std::ptrdiff_t c_step,
                                              std::ptrdiff_t n, std::ptrdiff_t groups, Kept kept, std::ptrdiff_t begin, std::ptrdiff_t end,
                                              std::ptrdiff_t ahead, S* totals) {
    S lanes[kGroups][kOctet];
    const std::ptrdiff_t used = larger(1, smaller(n, kOctet));
    const Vec zero = hidden(Vec{});  // else GCC calls memset, some times as slow for so little
    for (std::ptrdiff_t g = begin; g < end; ++g)
      for (std::ptrdiff_t k = 0; k < used; ++k)
        for (int m = 0; m < kMembers<S>; ++m) members_of(lanes[g][k])[m] = zero;
    for (std::ptrdiff_t j = 0; j < n; ++j) {
      const std::ptrdiff_t lane = lane_of_class(j, n);
      RowBlock<T>::prefetch_class(x + j * step, ahead, (end - begin) * kLanes);
      if constexpr (kHasSecond) RowBlock<T>::prefetch_class(c.numbers + j * c_step, ahead, (end - begin) * kLanes);
      for (std::ptrdiff_t g = begin; g < end; ++g) {
        const Vec v = sigmax::load(x + j * step + g * kLanes);
        const C second = c.load(j * c_step + g * kLanes);
        Term term;
        take_terms<S, 1>(&term, kept, (j * groups + g) * kLanes, &v, &second, rows[g]);
        P::collect(lanes[g][lane], v, second, term, rows[g]);
      }
    }
    for (std::ptrdiff_t g = begin; g < end; ++g) totals[g] = folded_columns(lanes[g], used);
  }

  // In the order of `fold`, of the lanes that are used.
  template <class S>
  static SIGMAX_INLINE S folded_columns(S* lanes, std::ptrdiff_t used) {
    for (std::ptrdiff_t step = kOctet / 2; step > 0; step /= 2)
      for (std::ptrdiff_t k = 0; k < smaller(step, used - step); ++k) lanes[k] = sum_of(lanes[k], lanes[k + step]);
    return lanes[0];
  }

  template <bool keep, bool apart>
  SIGMAX_NOINLINE static void outputs_of_columns(const Row* rows, const T* x, std::ptrdiff_t step, Seconds c, std::ptrdiff_t c_step,
                                                 std::ptrdiff_t n, std::ptrdiff_t groups, Kept kept, T* out, std::ptrdiff_t out_step, std::ptrdiff_t ahead,
                                                 Mask* in_doubt) {
    for (std::ptrdiff_t g = 0; P::is_tested && g < groups; ++g) in_doubt[g] = first_doubts<apart>();
    for (std::ptrdiff_t j = 0; j < n; ++j) {
      RowBlock<T>::prefetch_class(out + j * out_step, ahead, groups * kLanes);
      if constexpr (!keep) RowBlock<T>::prefetch_class(x + j * step, ahead, groups * kLanes);
      if constexpr (!keep && kHasSecond) RowBlock<T>::prefetch_class(c.numbers + j * c_step, ahead, groups * kLanes);
      for (std::ptrdiff_t g = 0; g < groups; ++g) {
        Vec output;
        outputs_at<keep, apart, 1>(&output, rows[g], x + j * step + g * kLanes, c.from(j * c_step + g * kLanes), kept, (j * groups + g) * kLanes,
                                   in_doubt[P::is_tested ? g : 0]);
        store(out + j * out_step + g * kLanes, output);
      }
    }
    for (std::ptrdiff_t g = 0; P::is_tested && g < groups; ++g) in_doubt[g] = all_doubts<apart>(in_doubt[g], rows[g]);
  }

  // ---------------------------------------------------------------- blocks

  static constexpr Traits kTraits = {P::second,   P::needs_largest, P::needs_pivot, P::needs_magnitude && kWide == 2,  // doubles have room for narrow ones
                                     P::has_label, P::has_mask,     kPlanes,        kWeightPlanes, P::absent};

  // A row that is begun where it lies. The library's placement new would be a symbol that levels share.
  struct BegunRow {
    Row row;
    explicit SIGMAX_INLINE BegunRow(const Options& options) : row(P::begin(options)) {}
    static SIGMAX_INLINE void* operator new(std::size_t, void* place) { return place; }
  };

  RowBlock<T> block_;
  Row row_[kGroups];
  First first_[kGroups];
  Apart apart_[P::is_apart ? kGroups : 1];

  Engine(const RowsCall& call, char* scratch) : block_(call, kTraits, scratch) {}

  void run() {
    block_.take_numbers();
    block_.find_largest();
    block_.take_options();
    begin();
    if constexpr (P::has_sums) add_up();
    finish();
  }
  // In place: a row is too large to be copied.
  void begin() {
    for (std::ptrdiff_t g = 0; g < block_.groups; ++g) new (row_ + g) BegunRow(block_.options[g]);
  }
  SIGMAX_NOINLINE void finish() {
    for (std::ptrdiff_t g = 0; g < block_.groups; ++g) P::finish(row_[g], sums(g), block_.options[g]);
    if constexpr (P::per_class)
      if (block_.call[kOut].data != nullptr) write_outputs();
    if (block_.first_class == 0) write_results();
  }

  Seconds seconds(std::ptrdiff_t row) const {
    return {kHasSecond ? block_.second.at(row, 0) : nullptr, kHasLabelWeights ? block_.weights.at(row, 0) : nullptr, block_.plane};
  }
  Kept kept(std::ptrdiff_t row) const { return Kept{block_.kept, block_.plane}.from(row * rounded_up(block_.n, kOctet)); }

  void add_up() {
    add_up(0, block_.groups, first_);
    if constexpr (P::is_apart)
      for (std::ptrdiff_t g = 0; g < block_.groups; ++g) {
        const Mask confident = P::is_confident(first_[g]);
        if (any(confident)) add_up_apart(g);
        P::settle(confident, first_[g], apart_[g]);
      }
  }
  SIGMAX_NOINLINE void add_up_apart(std::ptrdiff_t g) {
    add_up(g, g + 1, apart_);
  }
  // Of the groups [begin, end) of rows.
  template <class S>
  SIGMAX_INLINE void add_up(std::ptrdiff_t begin, std::ptrdiff_t end, S* to) {
    const RowBlock<T>& b = block_;
    if (kOnlyColumns || b.columns)
      return sums_of_columns(row_, b.x.data, b.x.class_step, seconds(0), b.second_step(), b.n, b.groups, kept(0), begin, end, b.ahead(b.x.class_step), to);
    for (std::ptrdiff_t i = begin * kLanes; i < end * kLanes; ++i) {  // lanes without a row have the last one's
      const Next next = {b.next_row(b.call[kX], i), b.next_row(b.call[kSecond], i), b.storage.size};
      if (i < b.count) set_lane(to, i, sums_of_row<S>(row_[i / kLanes], i % kLanes, b.x.at(i, 0), seconds(i), b.n, kept(i), next));
      else set_lane(to, i, all_lanes(to[(b.count - 1) / kLanes], (b.count - 1) % kLanes));
    }
  }
  SIGMAX_INLINE Sums sums(std::ptrdiff_t g) const {
    if constexpr (P::is_apart) return {first_[g], apart_[g]};
    else return first_[g];
  }
  template <class S>
  static SIGMAX_INLINE S sum_of(const S& a, const S& b) {
    S sum;
    SIGMAX_UNROLL_ALL for (int s = 0; s < kMembers<S> / kWide; ++s)
      set_wide(members_of(sum), s, add(wide_of<W>(members_of(a), s), wide_of<W>(members_of(b), s)));
    return sum;
  }
  template <class S>
  static void set_lane(S* of_rows, std::ptrdiff_t row, const S& sums) {
    char* to = reinterpret_cast<char*>(&of_rows[row / kLanes]) + row % kLanes * sizeof(double);
    for (int k = 0; k < kMembers<S>; ++k) std::memcpy(to + k * sizeof(Vec), &members_of(sums)[k], sizeof(double));
  }

  void write_outputs() {
    RowBlock<T>& b = block_;
    const bool direct = b.is_in_place(b.call[kOut]) && !b.masked;
    const Tile<T> out = direct ? b.in_place(b.call[kOut]) : b.template new_tile<T>();
    write_outputs(out);
    if constexpr (P::has_label && !P::is_tested) write_targets(out);
    if (b.needs_mending()) b.mend_outputs(out, static_cast<T>(P::empty));
    if (has_sick_rows()) b.mend_nans(out);
    if (!direct) b.scatter(out);
  }
  bool has_sick_rows() const {
    Mask sick = {};
    for (std::ptrdiff_t g = 0; g < block_.groups; ++g) sick = sick | ~(abs(P::health(row_[g])) < kInfinity);
    return any(sick);
  }
  void write_outputs(Tile<T> out) const {
    if constexpr (P::kept > 0 && kWide == 1)
      if (block_.kept != nullptr) return write_outputs<true>(out);
    write_outputs<false>(out);
  }
  template <bool keep>
  void write_outputs(Tile<T> out) const {
    if (!kOnlyColumns && !block_.columns) {
      for (std::ptrdiff_t i = 0; i < block_.count; ++i) {
        const bool apart = needs_apart(row_[i / kLanes]);
        apart ? write_row<keep, P::has_apart_outputs>(i, out) : write_row<keep, false>(i, out);
      }
    } else {
      bool apart = false;
      for (std::ptrdiff_t g = 0; g < block_.groups; ++g) apart |= needs_apart(row_[g]);
      apart ? write_columns<keep, P::has_apart_outputs>(out) : write_columns<keep, false>(out);
    }
  }
  template <bool keep, bool apart>
  SIGMAX_INLINE void write_row(std::ptrdiff_t i, Tile<T> out) const {
    Mask doubts;
    outputs_of_row<keep, apart>(row_[i / kLanes], i % kLanes, block_.x.at(i, 0), seconds(i), block_.n, kept(i), out.at(i, 0), &doubts);
    if constexpr (P::is_tested) {
      if (!any(doubts)) return;
      if constexpr (apart) block_.call.in_doubt[block_.first + i] = true;
      else write_row<keep, true>(i, out);
    }
  }
  template <bool keep, bool apart>
  SIGMAX_INLINE void write_columns(Tile<T> out) const {
    const RowBlock<T>& b = block_;
    Mask doubts[P::is_tested ? kGroups : 1] = {};
    outputs_of_columns<keep, apart>(row_, b.x.data, b.x.class_step, seconds(0), b.second_step(), b.n, b.groups, kept(0), out.data, out.class_step,
                                     b.ahead(out.class_step), doubts);
    if constexpr (P::is_tested && apart)
      for (std::ptrdiff_t g = 0; g < b.groups; ++g) take_note(g, doubts[g]);
    if constexpr (P::is_tested && !apart) {
      Mask suspects = {};
      for (std::ptrdiff_t g = 0; g < b.groups; ++g) suspects |= doubts[g];
      if (any(suspects)) write_columns<keep, true>(out);
    }
  }
  static SIGMAX_INLINE bool needs_apart(const Row& row) {
    if constexpr (P::is_tested) return !row.sieve.is_of_use();
    else if constexpr (P::has_apart_outputs) return any(row.apart);
    else return false;
  }
  void write_targets(Tile<T> out) const {
    if constexpr (P::has_label)
      for (std::ptrdiff_t g = 0; g < block_.groups; ++g) {
        const Vec target = P::target(row_[g]);
        for (std::ptrdiff_t i = g * kLanes; i < smaller(block_.count, (g + 1) * kLanes); ++i) {
          const std::int64_t c = block_.labels[i] - block_.first_class;
          if (block_.labels[i] >= 0 && c >= 0 && c < block_.n) *out.at(i, c) = static_cast<T>(target[i % kLanes]);
        }
      }
  }

  // Of the rows of a group, the ones in doubt.
  void take_note(std::ptrdiff_t g, Mask in_doubt) const {
    if (!any(in_doubt)) return;
    for (std::ptrdiff_t i = g * kLanes; i < smaller(block_.count, (g + 1) * kLanes); ++i)
      if (in_doubt[i % kLanes] != 0) block_.call.in_doubt[block_.first + i] = true;
  }

  void write_results() const {
    for (std::ptrdiff_t g = 0; g < block_.groups; ++g) {
      Mask in_doubt = {};
      if constexpr (P::has_result)
        if (block_.call[kResult].data != nullptr) block_.write_results(g, one_nan(number_of(P::result(row_[g]), in_doubt)), P::empty);
      if constexpr (P::has_value)
        if (block_.call[kValue].data != nullptr) block_.write_doubles(block_.call[kValue], g, one_nan(number_of(P::value(row_[g]), in_doubt)));
      if constexpr (P::is_tested) take_note(g, in_doubt);
      if constexpr (P::has_second_value) block_.write_doubles(block_.call[kSecondValue], g, one_nan(P::second_value(row_[g])));
    }
  }

  static void rows(const RowsCall& call, std::ptrdiff_t begin, std::ptrdiff_t end, char* scratch) {
    Engine engine(call, scratch);
    for (std::ptrdiff_t row = begin; row < end; row += engine.block_.count) {
      engine.block_.place(row, end);
      engine.run();
    }
  }

  // ---------------------------------------------------------------- long rows, chunk by chunk

  SIGMAX_COLD static void chunk_largest(const RowsCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, Partial* partials, char* scratch) {
    RowBlock<T> block(call, kTraits, scratch);
    block.place_chunk(row, chunk);
    block.find_partial(partials[chunk]);
  }
  SIGMAX_COLD static void chunk_sums(const RowsCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, Partial* partials, const Partial& whole, char* scratch) {
    Engine engine(call, scratch);
    engine.begin_chunk(row, chunk, whole);
    engine.add_up(0, 1, engine.first_);
    if constexpr (P::is_apart) engine.add_up_apart(0);
    std::memcpy(partials[chunk].sums, Lanes(engine.sums(0)).first, sizeof(Lanes));
  }
  SIGMAX_COLD static void chunk_outputs(const RowsCall& call, std::ptrdiff_t row, std::ptrdiff_t chunk, const Partial& whole, char* scratch) {
    Engine engine(call, scratch);
    engine.begin_chunk(row, chunk, whole);
    engine.set_sums(from_lanes(whole.sums));
    engine.finish();
  }
  void set_sums(const Sums& sums) {
    if constexpr (P::is_apart) {
      first_[0] = sums.first;
      apart_[0] = sums.apart;
    } else {
      first_[0] = sums;
    }
  }
  SIGMAX_COLD void begin_chunk(std::ptrdiff_t row, std::ptrdiff_t chunk, const Partial& whole) {
    block_.place_chunk(row, chunk);
    block_.take_numbers();
    block_.set_largest(whole);
    block_.take_options();
    begin();
  }
  SIGMAX_COLD static void merge_sums(const Partial* partials, std::ptrdiff_t chunks, Partial* whole) {
    Sums sum = from_lanes(partials[0].sums);
    for (std::ptrdiff_t k = 1; k < chunks; ++k) sum = sum_of(sum, from_lanes(partials[k].sums));
    std::memcpy(whole->sums, Lanes(sum).first, sizeof(Lanes));
  }
  // Sums as a double each.
  struct Lanes {
    double first[sizeof(Sums) / sizeof(Vec)];
    explicit Lanes(const Sums& sums) {
      for (int k = 0; k < kMembers<Sums>; ++k) first[k] = members_of(sums)[k][0];
    }
  };
  static Sums from_lanes(const double* numbers) {
    Sums sums;
    for (int k = 0; k < kMembers<Sums>; ++k) members_of(sums)[k] = splat(numbers[k]);
    return sums;
  }

  SIGMAX_COLD static std::size_t scratch_bytes(std::ptrdiff_t n) { return RowBlock<T>::scratch_bytes(kTraits, n <= kLongestWholeRow ? n : 2 * kChunk); }

 public:
  static constexpr RowsKernel kernel = {rows, scratch_bytes, chunk_largest, chunk_sums, chunk_outputs, RowBlock<T>::merge_largest, merge_sums};
};

}  // namespace
}  // namespace sigmax
