#include "dispatch.h"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>

#endif

// The symbols that the kernel files of a level export.
#define SIGMAX_LEVEL(level)                                                                                             \
  extern "C" {                                                                                                          \
  extern const sigmax::ElementFunctions sigmax_elements_##level;                                                        \
  extern const sigmax::RowsFunctions sigmax_normalization_##level, sigmax_products_##level, sigmax_cross_entropy_##level, \
      sigmax_divergence_##level;                                                                                        \
  extern const sigmax::EvaluationFunctions sigmax_evaluation_##level;                                                   \
  }                                                                                                                     \
  static const sigmax::Kernels kernels_##level = {                                                                      \
      &sigmax_elements_##level,                                                                                         \
      {&sigmax_normalization_##level, &sigmax_products_##level, &sigmax_cross_entropy_##level, &sigmax_divergence_##level}, \
      &sigmax_evaluation_##level};

#ifdef SIGMAX_ONLY_LEVEL  // as tools/sanitize.sh builds it
#define SIGMAX_NAMED(level) SIGMAX_LEVEL(level)
#define SIGMAX_KERNELS_OF(level) kernels_##level
#define SIGMAX_KERNELS(level) SIGMAX_KERNELS_OF(level)
SIGMAX_NAMED(SIGMAX_ONLY_LEVEL)
#elif defined(__x86_64__) || defined(_M_X64)
SIGMAX_LEVEL(baseline)
SIGMAX_LEVEL(avx2)
SIGMAX_LEVEL(avx512)
#elif defined(__aarch64__)
SIGMAX_LEVEL(neon)
#else
SIGMAX_LEVEL(baseline)
#endif

namespace sigmax {
namespace {

#ifdef SIGMAX_ONLY_LEVEL
Levels detect() {
  Levels found;
  found.add(&SIGMAX_KERNELS(SIGMAX_ONLY_LEVEL));
  return found;
}

#elif defined(__x86_64__) || defined(_M_X64)

// Asked by hand: __builtin_cpu_supports links but always says no when zig compiles.
struct Cpuid {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  explicit Cpuid(unsigned leaf) { __get_cpuid_count(leaf, 0, &eax, &ebx, &ecx, &edx); }
};

bool has_bits(std::uint64_t value, std::uint64_t bits) { return (value & bits) == bits; }

// Which register files the operating system saves (XCR0).
std::uint64_t saved_registers() {
  const unsigned osxsave = 1u << 27;
  if (!has_bits(Cpuid(1).ecx, osxsave)) return 0;
  std::uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (std::uint64_t{high} << 32) | low;
}

bool has_avx2() {
  const unsigned fma = 1u << 12, f16c = 1u << 29, avx2 = 1u << 5;
  const std::uint64_t xmm_ymm = 0x06;
  return has_bits(Cpuid(1).ecx, fma | f16c) && has_bits(Cpuid(7).ebx, avx2) && has_bits(saved_registers(), xmm_ymm);
}

bool has_avx512() {
  const unsigned f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;
  const std::uint64_t xmm_ymm_opmask_zmm = 0xE6;
  return has_avx2() && has_bits(Cpuid(7).ebx, f | dq | bw | vl) && has_bits(saved_registers(), xmm_ymm_opmask_zmm);
}

Levels detect() {
  Levels found;
  found.add(&kernels_baseline);
  if (has_avx2()) found.add(&kernels_avx2);
  if (has_avx512()) found.add(&kernels_avx512);
  return found;
}

#elif defined(__aarch64__)
Levels detect() {
  Levels found;
  found.add(&kernels_neon);
  return found;
}
#else
Levels detect() {
  Levels found;
  found.add(&kernels_baseline);
  return found;
}
#endif

}  // namespace

const Levels& available_kernels() {
  static const Levels found = detect();
  return found;
}

const Kernels* select_kernels(const char* wanted) {
  const Kernels* chosen = nullptr;
  for (const Kernels* level : available_kernels())
    if (wanted == nullptr || std::strcmp(level->elements->level, wanted) == 0) chosen = level;
  return chosen;
}

}  // namespace sigmax
