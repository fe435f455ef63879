// What an evaluation does with every probability, at one instruction-set level.
#include "../functions/log_softmax.h"
#include "../rows/block.h"
#include "level.h"

namespace sigmax {
namespace {

// The first class of the largest number.
template <class T>
std::ptrdiff_t winner_of(const T* x, std::ptrdiff_t n, T most) {
  constexpr int lanes = SIGMAX_VECTOR_BYTES / sizeof(T);
  typedef T V __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));
  std::ptrdiff_t j = 0;
  while (j + lanes <= n && !any(load_vector<V>(x + j) == most - V{})) j += lanes;
  while (j < n && !(x[j] == most)) ++j;
  return j < n ? j : 0;
}

// Σ (p - label)². The label's own square is that of 1 - p: a confident row keeps its digits.
template <class T>
double squares_of(const T* p, std::ptrdiff_t n, std::int64_t label) {
  Vec sums[kVectors] = {};
  const auto add_octet = [&](const T* octet, std::ptrdiff_t at) SIGMAX_ALWAYS {
    double rest[kOctet];
    SIGMAX_UNROLL_ALL for (int k = 0; k < kVectors; ++k) store(rest + k * kLanes, load(octet + k * kLanes));
    if (at >= 0 && at < kOctet) rest[at] = 1.0 - rest[at];
    SIGMAX_UNROLL_ALL for (int k = 0; k < kVectors; ++k) {
      const Vec v = load(rest + k * kLanes);
      sums[k] = sums[k] + v * v;
    }
  };
  std::ptrdiff_t j = 0;
  for (; j + kOctet <= n; j += kOctet) {
    if (label >= j && label < j + kOctet) {
      add_octet(p + j, label - j);
      continue;
    }
    SIGMAX_UNROLL_ALL for (int k = 0; k < kVectors; ++k) {
      const Vec v = load(p + j + k * kLanes);
      sums[k] = sums[k] + v * v;
    }
  }
  if (j < n) {
    T rest[kOctet] = {};
    std::memcpy(rest, p + j, (n - j) * sizeof(T));
    add_octet(rest, label - j);
  }
  return fold<kVectors>(sums, [](Vec a, Vec b) SIGMAX_ALWAYS { return a + b; })[0];
}

// Sums are compensated: rows of doubles may be long.
template <class T>
void spans(const void* x, std::ptrdiff_t rows, std::ptrdiff_t n, const Spans& spans) {
  constexpr T infinity = static_cast<T>(kInfinity);
  for (std::ptrdiff_t i = 0; i < rows; ++i) {
    const T* row = static_cast<const T*>(x) + i * n;
    Vec largest[kVectors], smallest[kVectors], sums[kVectors] = {}, rests[kVectors] = {}, absent[kVectors] = {};
    Mask nan = {};
    SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) largest[k] = splat(-kInfinity), smallest[k] = splat(kInfinity);
    const auto add = [&](const T* octet) SIGMAX_ALWAYS {
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) {
        const Vec v = load(octet + k * kLanes);
        const Mask there = v > -kInfinity;
        nan |= v != v;
        largest[k] = larger_of(v, largest[k]);
        smallest[k] = min(select(there, v, splat(kInfinity)), smallest[k]);
        absent[k] = absent[k] + only_where(~there, splat(1.0));
        const Pair sum = two_sum(sums[k], only_where(there, v));
        sums[k] = sum.hi;
        rests[k] = rests[k] + sum.lo;
      }
    };
    std::ptrdiff_t j = 0;
    for (; j + kOctet <= n; j += kOctet) add(row + j);
    T rest[kOctet];
    if (j < n) {
      for (std::ptrdiff_t k = 0; k < kOctet; ++k) rest[k] = k < n - j ? row[j + k] : -infinity;
      add(rest);
    }
    const auto plus = [](Vec a, Vec b) SIGMAX_ALWAYS { return a + b; };
    const double count = static_cast<double>(rounded_up(n, kOctet)) - fold<kVectors>(absent, plus)[0];
    spans.largest[i] = any(nan) ? kNaN : fold<kVectors>(largest, [](Vec a, Vec b) SIGMAX_ALWAYS { return max(a, b); })[0];
    spans.smallest[i] = fold<kVectors>(smallest, [](Vec a, Vec b) SIGMAX_ALWAYS { return min(a, b); })[0];
    const double sum = fold<kVectors>(sums, plus)[0], rest_of_sum = fold<kVectors>(rests, plus)[0];
    spans.mean[i] = (__builtin_fabs(sum) < kInfinity ? sum + rest_of_sum : sum) / count;
  }
}

template <class T>
void winners(const void* x, std::ptrdiff_t rows, std::ptrdiff_t n, std::int64_t* classes) {
  for (std::ptrdiff_t i = 0; i < rows; ++i) {
    const T* row = static_cast<const T*>(x) + i * n;
    classes[i] = winner_of(row, n, static_cast<T>(largest_of(row, n)));
  }
}
template <class T>
void squares(const void* p, std::ptrdiff_t rows, std::ptrdiff_t n, const std::int64_t* labels, double* sums) {
  for (std::ptrdiff_t i = 0; i < rows; ++i) sums[i] = squares_of(static_cast<const T*>(p) + i * n, n, labels[i]);
}

// Additions to a table that is larger than the caches: each waits until its memory has come.
class Waiting {
 public:
  SIGMAX_INLINE void add(double* to, double term) {
    __builtin_prefetch(to, 1);
    to_[count_] = to;
    term_[count_] = term;
    if (++count_ == kMost) finish(kMost / 2);
  }
  // Applies the first ones, and leaves the last ones.
  SIGMAX_NOINLINE void finish(std::ptrdiff_t first) {
    for (std::ptrdiff_t k = 0; k < first; ++k) *to_[k] += term_[k];
    count_ -= first;
    for (std::ptrdiff_t k = 0; k < count_; ++k) to_[k] = to_[first + k], term_[k] = term_[first + k];
  }
  void finish() { finish(count_); }

 private:
  static constexpr std::ptrdiff_t kMost = 64;
  std::ptrdiff_t count_ = 0;
  double* to_[kMost];
  double term_[kMost];
};

// Adds rows to the table. Nearly all p are in the first bin.
class ByClass {
 public:
  explicit ByClass(const Evaluation& call) : call_(call), beyond_(call.edges != nullptr ? call.edges[1] : 0.0) {}
  ~ByClass() { waiting_.finish(); }

  SIGMAX_INLINE void begin(std::ptrdiff_t row) {
    sums_ = call_.table + call_.group[row] * call_.bins * call_.classes;
    weight_ = call_.weight[row];
  }
  // A vector of classes from j on.
  SIGMAX_INLINE void add(std::ptrdiff_t j, Vec p, Vec term) {
    const Mask beyond = p > beyond_;
    const Vec terms = weight_ * term;
    store(sums_ + j, load(sums_ + j) + only_where(~beyond, terms));
    const unsigned bits = bits_of(beyond);
    if (bits != 0) add_beyond(j, bits, p, terms);
  }
  // Apart, or every vector is written to memory for the sake of these lanes.
  SIGMAX_NOINLINE void add_beyond(std::ptrdiff_t j, unsigned bits, Vec p, Vec terms) {
    for (; bits != 0; bits &= bits - 1) {
      const int lane = __builtin_ctz(bits);
      waiting_.add(sums_ + call_.bin_of(p[lane]) * call_.classes + j + lane, terms[lane]);
    }
  }
  // The last classes, of which there are `count`.
  SIGMAX_INLINE void add_some(std::ptrdiff_t j, std::ptrdiff_t count, Vec p, Vec term) {
    for (std::ptrdiff_t lane = 0; lane < count; ++lane) add_one(j + lane, p[lane], weight_ * term[lane]);
  }
  SIGMAX_INLINE void add_label(std::ptrdiff_t label, double p) { add_one(label, p, -weight_); }

 private:
  SIGMAX_INLINE void add_one(std::ptrdiff_t j, double p, double term) {
    if (p > beyond_) waiting_.add(sums_ + call_.bin_of(p) * call_.classes + j, term);
    else sums_[j] += term;
  }

  const Evaluation& call_;
  const double beyond_;  // the end of the first bin
  double* sums_ = nullptr;
  double weight_ = 0.0;
  Waiting waiting_;
};

template <class T>
void add_by_class(const Evaluation& call, const std::ptrdiff_t* order, std::ptrdiff_t count, char*) {
  ByClass sums(call);
  const std::ptrdiff_t n = call.classes;
  for (const std::ptrdiff_t* row = order; row < order + count; ++row) {
    const T *p = static_cast<const T*>(call.numbers) + *row * n, *terms = static_cast<const T*>(call.terms) + *row * n;
    sums.begin(*row);
    std::ptrdiff_t j = 0;
    for (; j + kLanes <= n; j += kLanes) sums.add(j, load(p + j), load(terms + j));
    if (j < n) {
      T rest[2][kLanes] = {};
      std::memcpy(rest[0], p + j, (n - j) * sizeof(T));
      std::memcpy(rest[1], terms + j, (n - j) * sizeof(T));
      sums.add_some(j, n - j, load(rest[0]), load(rest[1]));
    }
    if (call.label != nullptr) sums.add_label(call.label[*row], p[call.label[*row]]);
  }
}
std::size_t no_scratch(std::ptrdiff_t) { return 0; }

// Rows of float logits, some at a time while they are in the first cache: all that an evaluation needs of them. Bits are those
// of softmax and of cross_entropy, whose order of additions this has (rows/engine.h).
class LogitRows {
 public:
  LogitRows(const Evaluation& call, char* scratch)
      : call_(call),
        n_(call.classes),
        size_(rounded_up(call.classes, kOctet)),
        by_class_(call),
        terms_(reinterpret_cast<double*>(scratch)),
        mended_(reinterpret_cast<float*>(terms_ + together(n_) * size_)) {}

  static std::ptrdiff_t together(std::ptrdiff_t n) { return larger(1, smaller(kOctet, kBlockNumbers / n)); }
  static std::size_t scratch_bytes(std::ptrdiff_t n) {
    return static_cast<std::size_t>(together(n) * rounded_up(n, kOctet)) * (sizeof(double) + sizeof(float));
  }

  void run(const std::ptrdiff_t* order, std::ptrdiff_t count) {
    for (std::ptrdiff_t i = 0; i < count; ++i) add_up(i, order[i]);
    for (std::ptrdiff_t i = 0; i < count; i += kLanes) finish(i);
    for (std::ptrdiff_t i = 0; i < count; ++i) write(i, order[i]);
  }
  // Rows in the order of their groups are not one after the other in memory.
  void prefetch(const std::ptrdiff_t* order, std::ptrdiff_t count) const {
    for (std::ptrdiff_t i = 0; i < count; ++i)
      for (std::ptrdiff_t j = 0; j < n_; j += 16) __builtin_prefetch(static_cast<const float*>(call_.numbers) + order[i] * n_ + j);
  }

 private:
  // The largest logit, and the sum of Boltzmann factors, which are kept.
  SIGMAX_INLINE void add_up(std::ptrdiff_t i, std::ptrdiff_t row) {
    const float* x = static_cast<const float*>(call_.numbers) + row * n_;
    largest_[i] = largest_of(x, n_);
    if (n_ < kOctet || __builtin_fabs(largest_[i]) == kInfinity) x = mended(i, x);
    x_[i] = x;
    label_x_[i] = x[call_.label[row]];
    temperature_[i] = call_.temperature[row * call_.temperature_step];
    const Energy<Vec> energy(splat(largest_[i]), splat(temperature_[i]), splat(1.0 / temperature_[i]));
    double* terms = terms_ + i * size_;
    const auto kept_factor = [&](Vec v, double* to) SIGMAX_ALWAYS {
      const Vec e = energy.factor(v);
      store(to, e);
      return e;
    };
    const double total = sum_of(x, kept_factor, terms);
    for (std::ptrdiff_t j = n_; j < size_; ++j) terms[j] = 0.0;
    total_[i] = total;
    ties_[i] = 1.0;
    others_[i] = total - 1.0;
    if (others_[i] < kConfident<Vec> && total > 0.0) add_up_apart(i, x, terms);
  }
  // The sum of what `term` makes of each class, with a place for it.
  template <class Term>
  SIGMAX_INLINE double sum_of(const float* x, Term term, double* to) const {
    Vec sums[kVectors] = {};
    std::ptrdiff_t j = 0;
    for (; j + kOctet <= n_; j += kOctet)
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) sums[k] = sums[k] + term(load(x + j + k * kLanes), to + j + k * kLanes);
    if (n_ < kOctet) {
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) sums[k] = term(load(x + k * kLanes), to + k * kLanes);
    } else if (j < n_) {
      j = n_ - kOctet;
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) {
        const Mask fresh = first_integers() >= static_cast<double>(kOctet - n_ % kOctet - k * kLanes);
        sums[k] = select(fresh, sums[k] + term(load(x + j + k * kLanes), to + j + k * kLanes), sums[k]);
      }
    }
    return fold<kVectors>(sums, [](Vec a, Vec b) SIGMAX_ALWAYS { return a + b; })[0];
  }
  // The row is confident: the sum of all has lost digits of the others.
  SIGMAX_NOINLINE void add_up_apart(std::ptrdiff_t i, const float* x, double* terms) {
    const Vec max = splat(largest_[i]);
    ties_[i] = sum_of(x, [&](Vec v, double*) SIGMAX_ALWAYS { return only_where(v == max, splat(1.0)); }, terms);
    others_[i] = sum_of(x, [&](Vec v, double* e) SIGMAX_ALWAYS { return only_where(~(v == max), load(e)); }, terms);
  }
  // A short row with classes that are not there; one in which +inf takes all; NaN instead of a row with nothing above -inf.
  SIGMAX_COLD const float* mended(std::ptrdiff_t i, const float* x) {
    constexpr float infinity = static_cast<float>(kInfinity);
    float* to = mended_ + i * size_;
    for (std::ptrdiff_t j = 0; j < size_; ++j) to[j] = j < n_ ? x[j] : -infinity;
    for (std::ptrdiff_t j = 0; largest_[i] == kInfinity && j < n_; ++j) to[j] = x[j] != x[j] ? x[j] : x[j] == infinity ? 0 : -infinity;
    if (largest_[i] == -kInfinity) to[0] = static_cast<float>(kNaN);
    if (__builtin_fabs(largest_[i]) == kInfinity) largest_[i] = 0.0;
    return to;
  }

  // The losses of the rows from i on, and 1/Σ e.
  SIGMAX_INLINE void finish(std::ptrdiff_t i) {
    const Vec label_x = load(label_x_ + i), beta = 1.0 / load(temperature_ + i);
    const Vec loss = (load(largest_ + i) - label_x) * beta + log_of_sum(load(ties_ + i), load(others_ + i));
    store(loss_ + i, select(label_x == -kInfinity, splat(kInfinity), loss));
    store(inverse_ + i, narrow_reciprocal(load(total_ + i)));
  }

  SIGMAX_INLINE void write(std::ptrdiff_t i, std::ptrdiff_t row) {
    const double *terms = terms_ + i * size_, inverse = inverse_[i];
    const std::int64_t label = call_.label[row], winner = winner_of(x_[i], n_, static_cast<float>(largest_[i]));
    const auto p_of = [&](std::int64_t j) SIGMAX_ALWAYS { return static_cast<double>(static_cast<float>(terms[j] * inverse)); };
    call_.confidence[row] = p_of(winner);
    call_.right[row] = winner == label;
    call_.loss[row] = loss_[i];
    if (call_.table == nullptr) {
      call_.squares[row] = squares(terms, inverse, label, [](std::ptrdiff_t, Vec) SIGMAX_ALWAYS {});
      return;
    }
    by_class_.begin(row);
    call_.squares[row] = squares(terms, inverse, label, [&](std::ptrdiff_t j, Vec p) SIGMAX_ALWAYS {
      if (j + kLanes <= n_) by_class_.add(j, p, p);
      else if (j < n_) by_class_.add_some(j, n_ - j, p, p);
    });
    by_class_.add_label(label, p_of(label));
  }
  // Σ (p - label)², with each p = e/Σ e handed on.
  template <class Take>
  SIGMAX_INLINE double squares(const double* terms, double inverse, std::int64_t label, Take take) const {
    Vec sums[kVectors] = {};
    for (std::ptrdiff_t j = 0; j < n_; j += kOctet) {
      Vec p[kVectors];
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) {
        p[k] = widen(narrow(load(terms + j + k * kLanes) * inverse));
        take(j + k * kLanes, p[k]);
      }
      if (label >= j && label < j + kOctet)
        SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k)
          p[k] = select(first_integers() == static_cast<double>(label - j - k * kLanes), 1.0 - p[k], p[k]);
      SIGMAX_UNROLL for (int k = 0; k < kVectors; ++k) sums[k] = sums[k] + p[k] * p[k];
    }
    return fold<kVectors>(sums, [](Vec a, Vec b) SIGMAX_ALWAYS { return a + b; })[0];
  }

  const Evaluation& call_;
  const std::ptrdiff_t n_, size_;
  ByClass by_class_;
  double* const terms_;
  float* const mended_;
  const float* x_[kOctet];
  alignas(64) double largest_[kOctet] = {}, total_[kOctet] = {}, ties_[kOctet] = {}, others_[kOctet] = {}, label_x_[kOctet] = {},
                     temperature_[kOctet] = {}, loss_[kOctet], inverse_[kOctet];
};

void of_logits(const Evaluation& call, const std::ptrdiff_t* order, std::ptrdiff_t count, char* scratch) {
  LogitRows rows(call, scratch);
  const std::ptrdiff_t step = LogitRows::together(call.classes);
  for (std::ptrdiff_t k = 0; k < count; k += step) {
    const std::ptrdiff_t end = smaller(k + step, count);
    rows.prefetch(order + end, smaller(step, count - end));
    rows.run(order + k, end - k);
  }
}

// ---------------------------------------------------------------- resamples

// Cells of the table at a time, and groups whose counts the first cache holds beside the sums of these cells.
constexpr std::ptrdiff_t kMostCells = 64, kCellSums = 1 << 16, kGroupsTogether = 64;
std::ptrdiff_t cells_together(std::ptrdiff_t groups) { return larger(kOctet, smaller(kMostCells, kCellSums / groups)); }

// What groups add to each cell, but for the zeros: most cells have few others.
class Column {
 public:
  void begin(char* scratch, std::ptrdiff_t groups) {
    values_ = reinterpret_cast<double*>(scratch);
    groups_ = reinterpret_cast<std::int32_t*>(values_ + groups);
    count_ = 0;
  }
  static std::ptrdiff_t bytes(std::ptrdiff_t groups) { return rounded_up(groups, 2) * std::ptrdiff_t{sizeof(double) + sizeof(std::int32_t)}; }
  SIGMAX_INLINE void append(std::ptrdiff_t group, double value) {
    values_[count_] = value;
    groups_[count_++] = static_cast<std::int32_t>(group);
  }
  void rewind() { at_ = 0; }
  // Adds value·counts of the groups before `end` to the sums of a block of resamples.
  SIGMAX_INLINE void add(double* sums, const double* counts, std::ptrdiff_t end) {
    constexpr int vectors = kResamples / kLanes;
    Vec sum[vectors];
    SIGMAX_UNROLL for (int k = 0; k < vectors; ++k) sum[k] = load(sums + k * kLanes);
    std::ptrdiff_t at = at_;
    for (const std::ptrdiff_t count = count_; at < count && groups_[at] < end; ++at) {
      const double* of_group = counts + groups_[at] * kResamples;
      SIGMAX_UNROLL for (int k = 0; k < vectors; ++k) sum[k] = sum[k] + values_[at] * load(of_group + k * kLanes);
    }
    at_ = at;
    SIGMAX_UNROLL for (int k = 0; k < vectors; ++k) store(sums + k * kLanes, sum[k]);
  }

 private:
  double* values_;
  std::int32_t* groups_;
  std::ptrdiff_t count_, at_;
};

std::size_t resample_bytes(std::ptrdiff_t groups) { return static_cast<std::size_t>(cells_together(groups) * Column::bytes(groups)); }

void resample(const Resamples& call, std::ptrdiff_t begin, std::ptrdiff_t end, double* totals, char* scratch) {
  const std::ptrdiff_t together = cells_together(call.groups), groups = call.groups;
  Column columns[kMostCells];
  alignas(64) double sums[kMostCells * kResamples];
  for (std::ptrdiff_t first = begin; first < end; first += together) {
    const std::ptrdiff_t cells = smaller(together, end - first);
    for (std::ptrdiff_t c = 0; c < cells; ++c) columns[c].begin(scratch + c * Column::bytes(groups), groups);
    for (std::ptrdiff_t g = 0; g < groups; ++g) {
      const double* of_group = call.table + g * call.cells + first;
      std::ptrdiff_t c = 0;
      for (; c + kLanes <= cells; c += kLanes)
        for (unsigned bits = bits_of(load(of_group + c) != Vec{}); bits != 0; bits &= bits - 1) {
          const std::ptrdiff_t at = c + __builtin_ctz(bits);
          columns[at].append(g, of_group[at]);
        }
      for (; c < cells; ++c)
        if (of_group[c] != 0.0) columns[c].append(g, of_group[c]);
    }
    for (std::ptrdiff_t b = 0; b < call.blocks; ++b) {
      std::memset(sums, 0, static_cast<std::size_t>(cells * kResamples) * sizeof(double));
      for (std::ptrdiff_t c = 0; c < cells; ++c) columns[c].rewind();
      for (std::ptrdiff_t g = 0; g < groups; g += kGroupsTogether)
        for (std::ptrdiff_t c = 0; c < cells; ++c) columns[c].add(sums + c * kResamples, call.counts + b * groups * kResamples, g + kGroupsTogether);
      if (call.product != nullptr) {
        double* of_block = call.product + b * kResamples * call.cells + first;
        for (std::ptrdiff_t k = 0; k < kResamples; ++k)
          for (std::ptrdiff_t c = 0; c < cells; ++c) of_block[k * call.cells + c] = sums[c * kResamples + k];
      } else {
        double* of_block = totals + b * kResamples;
        for (std::ptrdiff_t c = 0; c < cells; ++c)
          for (std::ptrdiff_t k = 0; k < kResamples; k += kLanes) store(of_block + k, load(of_block + k) + abs(load(sums + c * kResamples + k)));
      }
    }
  }
}

}  // namespace

extern "C" const EvaluationFunctions SIGMAX_OF_LEVEL(sigmax_evaluation);
const EvaluationFunctions SIGMAX_OF_LEVEL(sigmax_evaluation) = {
    {spans<float>, spans<double>},
    {winners<float>, winners<double>},
    {squares<float>, squares<double>},
    {{add_by_class<float>, no_scratch}, {add_by_class<double>, no_scratch}},
    {of_logits, LogitRows::scratch_bytes},
    resample,
    resample_bytes};

}  // namespace sigmax
