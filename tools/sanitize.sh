#!/usr/bin/env bash
# The kernel tests under AddressSanitizer and UndefinedBehaviorSanitizer: tools/sanitize.sh [pytest arguments]
# Needs GCC or Clang, and an environment with the packages of `pip install '.[test]'`; leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
compiler=${CXX:-c++}

site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
PATH=$("$python" -c 'import sys, pathlib; print(pathlib.Path(sys.executable).parent)'):$PATH

# -O0 comes after Meson's own -O3, which would take minutes; leaks are not looked for: Python has its own.
CXXFLAGS="-O0 -g1 -fno-omit-frame-pointer -fno-sanitize-recover=all ${CXXFLAGS:-}" \
  "$python" -m pip install -q --no-build-isolation --no-deps --target "$site" . \
  -Csetup-args=-Db_sanitize=address,undefined -Csetup-args=-Db_lundef=false

library() { "$compiler" -print-file-name="$1"; }
export LD_PRELOAD="$(library libasan.so) $(library libubsan.so) $(library libstdc++.so)"
export ASAN_OPTIONS=detect_leaks=0:halt_on_error=1:detect_stack_use_after_return=0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export PYTHONPATH=$site PYTHONDONTWRITEBYTECODE=1
"$python" -c 'import sigmax, sys; assert sigmax.__file__.startswith(sys.argv[1]), sigmax.__file__' "$site"

if (($# == 0)); then
  set -- tests/test_elementwise.py tests/test_normalization.py tests/test_gradients.py tests/test_same_bits.py
fi
for level in $("$python" -c 'import sigmax; print(*sigmax.show_config(mode="dicts")["isa_available"])'); do
  echo "level $level"
  SIGMAX_ISA=$level "$python" -m pytest -q -p no:cacheprovider "$@"
done
