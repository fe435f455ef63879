"""Instruction-set levels: those with fused multiply-add agree in every bit, the baseline meets the contract."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kernel_inputs import BINARY_LOSSES, KERNELS, TYPES, Array, core_operands, operands

import sigmax

HERE = Path(__file__).parent
LEVELS = sigmax.show_config(mode="dicts")["isa_available"]
FUSED = [level for level in LEVELS if level != "baseline"]
NEON_CLASSES = (3, 16, 33, 100, 70_001)
NEON_TYPES = ("float16", "bfloat16", "float32", "float64")  # the order of `Type` in calls.h


def python(*arguments: str | Path, level: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env=os.environ | {"SIGMAX_ISA": level},
        capture_output=True,
        text=True,
        check=False,
    )


def digests(level: str) -> dict[str, str]:
    done = python(HERE / "kernel_inputs.py", level=level)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_levels_are_what_can_be_forced() -> None:
    assert LEVELS
    for level in LEVELS:
        done = python("-c", "import sigmax; print(sigmax.show_config('dicts')['isa'])", level=level)
        assert done.stdout.strip() == level, done.stderr


@pytest.mark.parametrize("level", ["sse9", "AVX2", "avx2,avx512", " avx2"])
def test_unknown_level(level: str) -> None:
    done = python("-c", "import sigmax", level=level)
    assert done.returncode == 1
    assert "ImportError" in done.stderr
    assert repr(level) in done.stderr
    assert all(legal in done.stderr for legal in ["SIGMAX_ISA", *LEVELS])


def test_empty_means_the_best() -> None:
    done = python("-c", "import sigmax; print(sigmax.show_config('dicts')['isa'])", level="")
    assert done.stdout.strip() == LEVELS[-1], done.stderr


@pytest.mark.slow
@pytest.mark.skipif(len(FUSED) < 2, reason="this CPU runs one level with fused multiply-add")
def test_same_bits_on_every_fused_level() -> None:
    expected = digests(FUSED[0])
    assert len(expected) > 1000
    for level in FUSED[1:]:
        assert {key for key, value in digests(level).items() if value != expected[key]} == set()


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS[:-1])
def test_accuracy_of_the_other_levels(level: str) -> None:
    chosen = "elementwise or (axis and ([10- or -10] or -10- or [100- or -100] or -100-))"
    pytest_arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / "test_accuracy.py"]
    done = python(*pytest_arguments, "-k", chosen, level=level)
    assert done.returncode == 0, done.stdout


# ---------------------------------------------------------------- NEON, in an emulator


@pytest.fixture(scope="module")
def neon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of tests/neon with the kernels of meson.build, for aarch64."""
    for tool in ("aarch64-linux-gnu-g++", "qemu-aarch64"):
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}")
    build = tmp_path_factory.mktemp("neon")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where pip put ninja

    def meson(*arguments: str | Path) -> str:
        command = [sys.executable, "-m", "mesonbuild.mesonmain", *arguments]
        environment = os.environ | {"PATH": path}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    meson("setup", build, HERE.parent, "--cross-file", HERE / "neon" / "aarch64.ini")
    meson("compile", "-C", build, "kernels_neon")
    targets = json.loads(meson("introspect", "--targets", build))
    (library,) = (t["filename"][0] for t in targets if t["name"] == "kernels_neon")
    program = build / "run_kernels"
    runtime = HERE.parent / "src" / "core" / "runtime"
    sources = [HERE / "neon" / "run_kernels.cpp", runtime / "run.cpp", runtime / "threads.cpp"]
    compile_it = ["aarch64-linux-gnu-g++", "-std=c++17", "-O1", "-static", "-pthread"]
    subprocess.run([*compile_it, *sources, library, "-o", program], check=True)
    return program


def request(name: str, dtype: str, arrays: list[Array]) -> bytes:
    """A call as tests/neon/run_kernels.cpp reads it: each operand with its strides."""
    rows, classes = arrays[0].shape
    given = core_operands(name, arrays)
    if name in BINARY_LOSSES:
        given = (*arrays[:2], *np.broadcast_arrays(arrays[0], *arrays[2:])[1:])
    header = np.array([NEON_TYPES.index(dtype), rows, classes, len(given)], np.int64)
    parts = [name.removeprefix("masked_").encode().ljust(64, b"\0"), header.tobytes()]
    for operand in given:
        array = np.ascontiguousarray(operand)
        if array.dtype.kind == "f" and array.ndim == 0:
            array = array.astype(np.float64)
        size = array.itemsize
        has_rows = array.ndim == 2 or array.shape == (rows,) != (classes,)
        has_classes = array.ndim == 2 or (array.shape == (classes,) and not has_rows)
        strides = size * (classes if array.ndim == 2 else 1) * has_rows, size * has_classes
        parts += [np.array([array.nbytes, *strides], np.int64).tobytes(), array.tobytes()]
    return b"".join(parts)


@pytest.mark.slow
@pytest.mark.skipif(not FUSED, reason="needs a CPU with fused multiply-add to compare with")
@pytest.mark.parametrize("dtype", TYPES)
def test_neon_has_the_same_bits(neon: Path, dtype: str) -> None:
    calls = []
    for name in KERNELS:
        for classes in NEON_CLASSES:
            rows = slice(None, None, 1 if classes < 1000 else 8)  # emulation is slow
            calls.append((name, classes, [a[rows] for a in operands(name, dtype, classes)]))
    requests = b"".join(request(name, dtype, arrays) for name, _, arrays in calls)
    answer = subprocess.run(["qemu-aarch64", neon], input=requests, capture_output=True, check=True)
    different, at = [], 0
    for name, classes, arrays in calls:
        result = KERNELS[name](*arrays)
        expected = (result.T if name == "logit_moments" else result).tobytes()
        if answer.stdout[at : at + len(expected)] != expected:
            different.append(f"{name} of {classes} classes")
        at += len(expected)
    assert at == len(answer.stdout)
    assert different == []
