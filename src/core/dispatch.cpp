#include "dispatch.h"

#include <cstdint>

#ifdef SIGMAX_ONLY_LEVEL
#define SIGMAX_TABLE_OF(level) sigmax_kernels_##level
#define SIGMAX_TABLE(level) SIGMAX_TABLE_OF(level)
extern "C" const sigmax::KernelTable SIGMAX_TABLE(SIGMAX_ONLY_LEVEL);
#elif defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>

extern "C" {
extern const sigmax::KernelTable sigmax_kernels_baseline, sigmax_kernels_avx2, sigmax_kernels_avx512;
}
#elif defined(__aarch64__)
extern "C" const sigmax::KernelTable sigmax_kernels_neon;
#else
extern "C" const sigmax::KernelTable sigmax_kernels_baseline;
#endif

namespace sigmax {
namespace {

#ifdef SIGMAX_ONLY_LEVEL
std::vector<const KernelTable*> detect() { return {&SIGMAX_TABLE(SIGMAX_ONLY_LEVEL)}; }

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

std::vector<const KernelTable*> detect() {
  std::vector<const KernelTable*> found{&sigmax_kernels_baseline};
  if (has_avx2()) found.push_back(&sigmax_kernels_avx2);
  if (has_avx512()) found.push_back(&sigmax_kernels_avx512);
  return found;
}

#elif defined(__aarch64__)
std::vector<const KernelTable*> detect() { return {&sigmax_kernels_neon}; }
#else
std::vector<const KernelTable*> detect() { return {&sigmax_kernels_baseline}; }
#endif

}  // namespace

const std::vector<const KernelTable*>& available_kernels() {
  static const auto& found = *new std::vector<const KernelTable*>(detect());
  return found;
}

const KernelTable* select_kernels(const char* wanted, std::string* error) {
  if (!wanted) return available_kernels().back();
  std::string names;
  for (const KernelTable* kernels : available_kernels()) {
    if (kernels->name == std::string(wanted)) return kernels;
    names += (names.empty() ? "" : ", ") + std::string(kernels->name);
  }
  *error = "SIGMAX_ISA must be one of the levels this CPU runs (" + names + "), got '" + wanted + "'";
  return nullptr;
}

}  // namespace sigmax
