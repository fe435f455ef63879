#!/usr/bin/env bash
# Kernel tests under AddressSanitizer and UndefinedBehaviorSanitizer, on every instruction-set level of this CPU:
#   tools/sanitize.sh [pytest arguments]
# Needs GCC, and the packages of `pip install '.[test]'` in the environment of $PYTHON; a minute and a half on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
compiler=${CXX:-c++}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PATH=$("$python" -c 'import pathlib, sys; print(pathlib.Path(sys.executable).parent)'):$PATH

# -O0 comes after Meson's own -O3, which would take many minutes.
CXXFLAGS="-O0 -g1 -fno-sanitize-recover=all" \
  "$python" -m pip install -q --no-build-isolation --no-deps --target "$work/site" . \
  -Csetup-args=-Db_sanitize=address,undefined -Csetup-args=-Db_lundef=false

libraries=
for name in libasan.so libubsan.so libstdc++.so; do libraries+="$("$compiler" -print-file-name=$name) "; done
export LD_PRELOAD=$libraries PYTHONPATH=$work/site PYTHONDONTWRITEBYTECODE=1
export ASAN_OPTIONS=halt_on_error=1:detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

"$python" -c "import sigmax; assert sigmax.__file__.startswith('$work'), sigmax.__file__"
levels=$("$python" -c 'import sigmax; print(*sigmax.show_config(mode="dicts")["isa_available"])')
if (($# == 0)); then
  set -- tests/test_elementwise.py tests/test_normalization.py tests/test_moderate.py tests/test_gradients.py tests/test_same_bits.py tests/test_fuzz.py \
    -k 'not (no_warnings or same_bits) or (in_the_middle and float32)'
fi

# Captured by file descriptor, the report of a sanitizer would be lost.
declare -A running
for level in $levels; do
  SIGMAX_ISA=$level "$python" -m pytest -q --capture=sys -p no:cacheprovider "$@" >"$work/$level" 2>&1 &
  running[$level]=$!
done
failed=0
for level in $levels; do
  wait "${running[$level]}" || failed=1
  echo "== $level"
  cat "$work/$level"
done
exit $failed
