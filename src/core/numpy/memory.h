// Reused memory for large results. A fresh block costs page faults, which take as long as the arithmetic does.
#pragma once

#include <Python.h>

#include <cstddef>

namespace sigmax {

// Blocks smaller than this come from malloc.
constexpr std::size_t kSmallestPooled = std::size_t{1} << 20;
// Of freed blocks the pool keeps at most this many, and this much in all.
constexpr int kKeptBlocks = 4;
constexpr std::size_t kKeptSize = std::size_t{256} << 20;

// Creates NumPy's handle on the pool (NEP 49); once, at import, after import_array(). False with an exception set.
bool memory_init();

// That handle, borrowed.
PyObject* memory_handler();

// Gives the kept blocks back to the operating system; returns their size in bytes.
std::size_t memory_release();

// While it lives, arrays NumPy creates in this context take their data from the pool. Needs the interpreter.
class PooledAllocation {
 public:
  PooledAllocation();
  ~PooledAllocation();
  PooledAllocation(const PooledAllocation&) = delete;
  PooledAllocation& operator=(const PooledAllocation&) = delete;

 private:
  PyObject* previous_;  // null when it could not be set: results then come from the handler in place
};

}  // namespace sigmax
