// Chooses the kernels for the CPU at hand.
#pragma once

#include "../calls.h"

namespace sigmax {

// The levels this CPU can run, the best one last.
class Levels {
 public:
  static constexpr int kMost = 3;
  void add(const Kernels* level) { levels_[count_++] = level; }
  const Kernels* const* begin() const { return levels_; }
  const Kernels* const* end() const { return levels_ + count_; }

 private:
  const Kernels* levels_[kMost];
  int count_ = 0;
};
const Levels& available_kernels();

// The kernels of the level named `wanted`, null where there is no such level here; the best ones where `wanted` is null.
const Kernels* select_kernels(const char* wanted);

}  // namespace sigmax
