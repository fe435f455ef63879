// The floating-point environment kernels run in: round to nearest, keep subnormals, trap nothing.
#pragma once

#include <cfenv>
#include <cstdint>

namespace sigmax {

// Sets the default environment while it lives, then restores the caller's, exception flags included:
// another library's flush-to-zero mode cannot change a result, and lanes nobody asked for raise no warning.
class FloatEnvironment {
 public:
#if defined(__x86_64__) || defined(_M_X64)
  FloatEnvironment() : saved_(__builtin_ia32_stmxcsr()) { __builtin_ia32_ldmxcsr(0x1F80); }
  ~FloatEnvironment() { __builtin_ia32_ldmxcsr(saved_); }

 private:
  std::uint32_t saved_;
#elif defined(__aarch64__)
  FloatEnvironment() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(control_));
    __asm__ volatile("mrs %0, fpsr" : "=r"(flags_));
    set(0, 0);
  }
  ~FloatEnvironment() { set(control_, flags_); }

 private:
  static void set(std::uint64_t control, std::uint64_t flags) {
    __asm__ volatile("msr fpcr, %0\n\tmsr fpsr, %1" : : "r"(control), "r"(flags) : "memory");
  }
  std::uint64_t control_, flags_;
#else
  FloatEnvironment() {
    std::fegetenv(&saved_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~FloatEnvironment() { std::fesetenv(&saved_); }

 private:
  std::fenv_t saved_;
#endif

 public:
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;
};

// The same for arithmetic outside the kernels: sets the control word and returns the one before. Where the processor has
// no such word nothing changes.
#if defined(__x86_64__) || defined(_M_X64)
constexpr std::uint32_t kDefaultFloatEnvironment = 0x1F80;
inline std::uint64_t set_float_environment(std::uint64_t control) {
  const std::uint32_t before = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(static_cast<std::uint32_t>(control) & 0xFFFF);  // a reserved bit would fault
  return before;
}
#elif defined(__aarch64__)
constexpr std::uint32_t kDefaultFloatEnvironment = 0;
inline std::uint64_t set_float_environment(std::uint64_t control) {
  std::uint64_t before;
  __asm__ volatile("mrs %0, fpcr" : "=r"(before));
  __asm__ volatile("msr fpcr, %0" : : "r"(control) : "memory");
  return before;
}
#else
constexpr std::uint32_t kDefaultFloatEnvironment = 0;
inline std::uint64_t set_float_environment(std::uint64_t control) { return control; }
#endif

}  // namespace sigmax
