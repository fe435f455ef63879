#!/usr/bin/env bash
# The core under AddressSanitizer and UndefinedBehaviorSanitizer: functions, losses, gradients, calibration and sampling, with
# operands in every layout and numbers of every exponent:
#   tools/sanitize.sh [pytest arguments]
# Builds one instruction-set level, the one named by SIGMAX_ISA or AVX2 where the CPU has it. Needs GCC, and the packages of
# `pip install '.[test]'` in the environment of $PYTHON; some minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
compiler=${CXX:-c++}

level=${SIGMAX_ISA:-}
if [[ -z $level ]]; then
  case $(uname -m) in
    x86_64) level=$(grep -qw avx2 /proc/cpuinfo && echo avx2 || echo baseline) ;;
    aarch64) level=neon ;;
    *) level=baseline ;;
  esac
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PATH=$("$python" -c 'import pathlib, sys; print(pathlib.Path(sys.executable).parent)'):$PATH

# -O0 comes after Meson's own -O3, which would take many minutes; -O1 takes longer to build than it saves in the tests.
CXXFLAGS="-O0 -g1 -fno-sanitize-recover=all" \
  "$python" -m pip install -q --no-build-isolation --no-deps --target "$work/site" . \
  -Csetup-args=-Db_sanitize=address,undefined -Csetup-args=-Db_lundef=false -Csetup-args=-Dlevel="$level"

libraries=
for name in libasan.so libubsan.so libstdc++.so; do libraries+="$("$compiler" -print-file-name=$name) "; done
export LD_PRELOAD=$libraries PYTHONPATH=$work/site PYTHONDONTWRITEBYTECODE=1 SIGMAX_ISA=$level
export ASAN_OPTIONS=halt_on_error=1:detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

"$python" -c "import sigmax; assert sigmax.__file__.startswith('$work'), sigmax.__file__"

# Two halves side by side. Captured by file descriptor, the report of a sanitizer would be lost.
run() { "$python" -m pytest -q -m "" --capture=sys -p no:cacheprovider "$@"; }
if (($#)); then
  run "$@"
  exit
fi
run tests/test_elementwise.py tests/test_normalization.py tests/test_far_rows.py tests/test_gradients.py tests/test_same_bits.py \
  tests/test_sampling.py \
  -k 'not (no_warnings or same_bits) or (in_the_middle and float32)' >"$work/functions" 2>&1 &
functions=$!
run tests/test_exponents.py tests/test_fuzz.py tests/test_losses.py tests/test_binary_cross_entropy.py tests/test_distillation.py \
  tests/test_plain_losses.py tests/test_linear_cross_entropy.py tests/test_logit_moments.py tests/test_calibration.py \
  tests/test_evaluation.py tests/test_evaluation_steps.py \
  -k 'not (covers or bisection or memory)' >"$work/losses" 2>&1 &
losses=$!
failed=0
wait "$functions" || failed=1
wait "$losses" || failed=1
cat "$work/functions" "$work/losses"
exit $failed
