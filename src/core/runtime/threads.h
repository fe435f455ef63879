// A persistent pool of worker threads shared by all kernels.
#pragma once

#include <cstddef>

namespace sigmax {

// How many threads one call may use; at first as many as there are CPUs this process may run on.
int get_num_threads();

// Takes effect from the next call on. `count` must be at least 1.
void set_num_threads(int count);

// Runs body(context, 0), ..., body(context, tasks - 1), in any order, on this thread and on workers; returns when
// all are done. It runs them here alone when the pool serves another call, this one's outer call included.
// `body` must not throw. Workers run it in the default floating-point environment; the caller brings its own.
void parallel_for(std::ptrdiff_t tasks, void (*body)(void* context, std::ptrdiff_t task), void* context);

}  // namespace sigmax
