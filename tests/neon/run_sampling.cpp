// Runs the NEON kernels of sampling on calls from standard input, results to standard output; see test_isa.py.
// A call: type, rows, classes, draws, whether with replacement, and the number of steps as 64-bit integers; for each step its
// code and its number, as 64 bits each; the logits; and 64 random bits for each draw, or for each class without replacement.
// The answer: for each row what became of it, a byte; the logits that are kept; their softmax; log-masses; the classes drawn;
// log-probabilities.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "../../src/core/sampling/sampling.h"

extern "C" {
extern const sigmax::SamplingKernels sigmax_sampling_kernels_neon;
}

namespace {

typedef std::vector<char> Bytes;

bool read(void* to, std::size_t size) { return std::fread(to, 1, size, stdin) == size; }

Bytes taken(std::size_t size) {
  Bytes bytes(size);
  if (!read(bytes.data(), size)) std::exit(1);
  return bytes;
}

struct Request {
  std::int64_t type, rows, classes, draws, replace, steps;
};
struct GivenStep {
  std::int64_t code;
  double number;
};

void run(const Request& request) {
  const std::size_t rows = static_cast<std::size_t>(request.rows), classes = static_cast<std::size_t>(request.classes);
  const std::size_t draws = static_cast<std::size_t>(request.draws), size = request.type == 3 ? 8 : request.type == 2 ? 4 : 2;
  std::vector<GivenStep> steps(static_cast<std::size_t>(request.steps));
  if (!steps.empty() && !read(steps.data(), steps.size() * sizeof(GivenStep))) std::exit(1);
  Bytes x = taken(rows * classes * size), bits = taken(8 * rows * (request.replace ? draws : classes));

  Bytes outcome(rows), kept(x.size()), log_mass(8 * rows), drawn(8 * rows * draws), log_prob(8 * rows * draws), possible(8 * rows);
  sigmax::SamplingCall call = {};
  call.type = static_cast<int>(request.type);
  call.x = x.data();
  call.rows = request.rows;
  call.classes = request.classes;
  for (const GivenStep& step : steps) {
    call.step[call.steps] = static_cast<sigmax::Step>(step.code);
    call.parameter[call.steps++] = {&step.number, 0};
  }
  call.outcome = reinterpret_cast<std::uint8_t*>(outcome.data());
  std::vector<double> scratch(static_cast<std::size_t>(sigmax_sampling_kernels_neon.scratch(request.classes)));
  const auto sample = [&] { sigmax_sampling_kernels_neon.sample(call, 0, call.rows, scratch.data()); };
  const auto write = [](const Bytes& bytes) { std::fwrite(bytes.data(), 1, bytes.size(), stdout); };

  call.replace = true;
  call.kept = kept.data();
  call.log_mass = reinterpret_cast<double*>(log_mass.data());
  sample();
  write(outcome);
  write(kept);
  call.as_probabilities = true;
  sample();
  write(kept);
  write(log_mass);
  call.kept = nullptr;
  call.log_mass = nullptr;
  call.replace = request.replace != 0;
  call.draws = request.draws;
  call.bits = reinterpret_cast<std::uint64_t*>(bits.data());
  call.drawn = reinterpret_cast<std::int64_t*>(drawn.data());
  call.log_prob = reinterpret_cast<double*>(log_prob.data());
  call.possible = reinterpret_cast<std::int64_t*>(possible.data());
  sample();
  write(drawn);
  write(log_prob);
}

}  // namespace

int main() {
  Request request;
  while (read(&request, sizeof(request))) run(request);
}
