// What an evaluation does with every probability, at one instruction-set level. Additions alone, in one order: all levels agree.
#include "../calls.h"
#include "../simd/fold.h"
#include "level.h"

namespace sigmax {
namespace {

// The class of the largest number, the first of equal ones. NaN is passed over.
template <class T>
std::ptrdiff_t winner_of(const T* x, std::ptrdiff_t n) {
  constexpr int lanes = SIGMAX_VECTOR_BYTES / sizeof(T);
  typedef T V __attribute__((vector_size(SIGMAX_VECTOR_BYTES)));
  const T most = static_cast<T>(largest_of(x, n));
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

template <class T>
void winners(const void* x, std::ptrdiff_t rows, std::ptrdiff_t n, std::int64_t* classes) {
  for (std::ptrdiff_t i = 0; i < rows; ++i) classes[i] = winner_of(static_cast<const T*>(x) + i * n, n);
}
template <class T>
void squares(const void* p, std::ptrdiff_t rows, std::ptrdiff_t n, const std::int64_t* labels, double* sums) {
  for (std::ptrdiff_t i = 0; i < rows; ++i) sums[i] = squares_of(static_cast<const T*>(p) + i * n, n, labels[i]);
}

// Additions to a table that is larger than the caches: each waits until its memory has come.
class Waiting {
 public:
  SIGMAX_INLINE void add(double* to, double term) {
    if (count_ >= kMost) apply(count_ % kMost);
    __builtin_prefetch(to, 1);
    to_[count_ % kMost] = to;
    term_[count_ % kMost] = term;
    ++count_;
  }
  void finish() {
    for (std::ptrdiff_t k = count_ > kMost ? count_ - kMost : 0; k < count_; ++k) apply(k % kMost);
  }

 private:
  static constexpr std::ptrdiff_t kMost = 64;
  SIGMAX_INLINE void apply(std::ptrdiff_t k) { *to_[k] += term_[k]; }
  std::ptrdiff_t count_ = 0;
  double* to_[kMost];
  double term_[kMost];
};

// Nearly all p are in the first bin: a row is added there in whole, and the few others are moved.
template <class T>
void add_by_class(const ByClass& call) {
  const std::ptrdiff_t n = call.classes;
  const Vec first_edge = splat(call.edges[1]);
  Waiting waiting;
  for (std::ptrdiff_t i = 0; i < call.rows; ++i) {
    const T *p = static_cast<const T*>(call.p) + i * n, *terms = static_cast<const T*>(call.terms) + i * n;
    double* sums = call.table + call.groups[i] * call.bins * n;
    const double weight = call.weights[i];
    const auto move = [&](std::ptrdiff_t j) SIGMAX_ALWAYS {
      if (!(static_cast<double>(p[j]) > call.edges[1])) return;
      const double moved = weight * terms[j];
      waiting.add(sums + j, -moved);
      waiting.add(sums + call.bin_of(p[j]) * n + j, moved);
    };
    std::ptrdiff_t j = 0;
    for (; j + kLanes <= n; j += kLanes) {
      store(sums + j, load(sums + j) + weight * load(terms + j));
      if (any(load(p + j) > first_edge))
        for (int lane = 0; lane < kLanes; ++lane) move(j + lane);
    }
    for (; j < n; ++j) {
      sums[j] += weight * terms[j];
      move(j);
    }
    if (call.labels != nullptr) waiting.add(sums + call.bin_of(p[call.labels[i]]) * n + call.labels[i], -weight);
    if (i + 1 < call.rows) {
      const double* next = call.table + call.groups[i + 1] * call.bins * n;
      for (j = 0; j < n; j += 8) __builtin_prefetch(next + j, 1);
    }
  }
  waiting.finish();
}

}  // namespace

extern "C" const EvaluationFunctions SIGMAX_OF_LEVEL(sigmax_evaluation);
const EvaluationFunctions SIGMAX_OF_LEVEL(sigmax_evaluation) = {
    {winners<float>, winners<double>}, {squares<float>, squares<double>}, {add_by_class<float>, add_by_class<double>}};

}  // namespace sigmax
