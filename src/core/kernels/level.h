// A kernel file is compiled once per instruction-set level, with SIGMAX_LEVEL its name, and exports one symbol.
#pragma once

#define SIGMAX_STRING(name) SIGMAX_STRING_OF(name)
#define SIGMAX_STRING_OF(name) #name
#define SIGMAX_LEVEL_NAME SIGMAX_STRING(SIGMAX_LEVEL)
#define SIGMAX_OF_LEVEL(symbol) SIGMAX_JOINED(symbol, SIGMAX_LEVEL)
#define SIGMAX_JOINED(symbol, level) SIGMAX_JOINED_OF(symbol, level)
#define SIGMAX_JOINED_OF(symbol, level) symbol##_##level

// Defines the symbol of a family from its array `functions`; what else it has follows the symbol.
#define SIGMAX_EXPORT(symbol, ...)                                 \
  extern "C" const RowsFunctions SIGMAX_OF_LEVEL(symbol);          \
  const RowsFunctions SIGMAX_OF_LEVEL(symbol) = {functions, sizeof(functions) / sizeof(functions[0]), __VA_ARGS__};
