// Chooses the kernels for the CPU at hand.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace sigmax {

// Kernels of the levels this CPU can run, the best one last.
const std::vector<const KernelTable*>& available_kernels();

// The kernels of the level named `wanted`, or the best ones when it is null.
// Null when there is no such level here; `error` then says which names are legal.
const KernelTable* select_kernels(const char* wanted, std::string* error);

}  // namespace sigmax
