"""Instruction-set levels: those with fused multiply-add agree in every bit, the baseline where rounding is correct."""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from kernel_inputs import (
    BINARY_LOSSES,
    CLASSES,
    KERNELS,
    TYPES,
    Array,
    Gradient,
    core_operands,
    operands,
)

import sigmax
from sigmax import _sampling, sampling

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


@functools.cache
def digests(level: str) -> dict[str, str]:
    done = python(HERE / "support/kernel_inputs.py", level=level)
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


EVALUATION = """
import numpy as np, sigmax
rng = np.random.default_rng(0)
for classes in (2, 7, 40, 333):
    x = rng.normal(0, 4, (3000, classes)).astype(np.float32)
    labels, names = rng.integers(0, classes, len(x)), rng.integers(0, 900, len(x))
    for groups in (None, names):
        found = sigmax.evaluate(x, labels, groups=groups, resamples=50)
        print(found.to_dict(), found.classwise_ece.resamples.tolist(), found.ece.resamples.tolist())
    print(sigmax.fit_temperature(x, labels))
"""


@pytest.mark.skipif(len(FUSED) < 2, reason="this CPU runs one level with fused multiply-add")
def test_an_evaluation_has_the_same_bits_on_every_fused_level() -> None:
    done = [python("-c", EVALUATION, level=level) for level in FUSED]
    assert all(d.returncode == 0 for d in done), done[0].stderr
    assert len({d.stdout for d in done}) == 1


@pytest.mark.slow
@pytest.mark.skipif(len(FUSED) < 2, reason="this CPU runs one level with fused multiply-add")
def test_same_bits_on_every_fused_level() -> None:
    expected = digests(FUSED[0])
    assert len(expected) > 1000
    for level in FUSED[1:]:
        assert {key for key, value in digests(level).items() if value != expected[key]} == set()


@pytest.mark.slow
@pytest.mark.skipif("baseline" not in LEVELS[:-1], reason="this CPU has no other level")
def test_correctly_rounded_results_are_those_of_the_baseline_too() -> None:
    names = ("sigmoid", "log_sigmoid", "softplus", "logit", "log1mexp")
    narrow = tuple(f"{name} {dtype} " for name in names for dtype in TYPES if dtype != "float64")
    baseline, best = digests("baseline"), digests(LEVELS[-1])
    rounded = [key for key in baseline if key.startswith(narrow)]
    assert len(rounded) == len(narrow) * len(CLASSES)
    assert [key for key in rounded if baseline[key] != best[key]] == []


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS[:-1])
def test_accuracy_of_the_other_levels(level: str) -> None:
    chosen = "elementwise or (axis and ([10- or -10] or -10- or [100- or -100] or -100-))"
    pytest_arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / "test_accuracy.py"]
    done = python(*pytest_arguments, "-k", chosen, level=level)
    assert done.returncode == 0, done.stdout


# ---------------------------------------------------------------- NEON, in an emulator


@pytest.fixture(scope="module")
def neon_program(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile a program of tests/neon with a library of meson.build, for aarch64."""
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

    def program(name: str, library: str, *sources: Path) -> Path:
        meson("compile", "-C", build, library)
        targets = json.loads(meson("introspect", "--targets", build))
        (archive,) = (t["filename"][0] for t in targets if t["name"] == library)
        compile_it = ["aarch64-linux-gnu-g++", "-std=c++17", "-O1", "-static", "-pthread"]
        files = [HERE / "neon" / f"{name}.cpp", *sources, archive]
        subprocess.run([*compile_it, *files, "-o", build / name], check=True)
        return build / name

    meson("setup", build, HERE.parent, "--cross-file", HERE / "neon" / "aarch64.ini")
    return program


def answer_of(program: Path, requests: list[bytes]) -> bytes:
    command = ["qemu-aarch64", program]
    return subprocess.run(command, input=b"".join(requests), capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def neon(neon_program: Callable[..., Path]) -> Path:
    run = HERE.parent / "src" / "core" / "runtime" / "run.cpp"
    return neon_program("run_kernels", "kernels_neon", run)


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


def results(name: str, arrays: list[Array]) -> bytes:
    """All that a kernel writes, one result after the other."""
    kernel = KERNELS[name]
    if isinstance(kernel, Gradient) and kernel.signature is not None:
        return b"".join(result.tobytes() for result in kernel.both(*arrays, out=(None, None)))
    result = kernel(*arrays)
    return (result.T if name == "logit_moments" else result).tobytes()


@pytest.mark.slow
@pytest.mark.skipif(not FUSED, reason="needs a CPU with fused multiply-add to compare with")
@pytest.mark.parametrize("dtype", TYPES)
def test_neon_has_the_same_bits(neon: Path, dtype: str) -> None:
    calls = []
    for name in KERNELS:
        for classes in NEON_CLASSES:
            rows = slice(None, None, 1 if classes < 1000 else 8)  # emulation is slow
            calls.append((name, classes, [a[rows] for a in operands(name, dtype, classes)]))
    answer = answer_of(neon, [request(name, dtype, arrays) for name, _, arrays in calls])
    different, at = [], 0
    for name, classes, arrays in calls:
        expected = results(name, arrays)
        if answer[at : at + len(expected)] != expected:
            different.append(f"{name} of {classes} classes")
        at += len(expected)
    assert at == len(answer)
    assert different == []


class Draws:
    """A call of the sampling kernels: as tests/neon/run_sampling.cpp reads it, and what it must answer."""

    def __init__(self, dtype: str, classes: int, options: dict[str, float], replace: bool) -> None:
        seeded = np.random.default_rng(classes)
        self.code, self.replace = NEON_TYPES.index(dtype), replace
        self.x = (3 * seeded.normal(0, 1, (9, classes))).astype(TYPES[dtype])
        self.x[1, : classes // 2] = -np.inf
        self.x[2, classes // 3] = np.inf
        self.x[3] = np.nan
        self.x[4] = -np.inf
        self.steps = [(sampling._CODES[name], float(value)) for name, value in options.items()]
        self.draws = 3 if replace else 1
        width = self.draws if replace else classes
        self.bits = seeded.integers(0, 2**64, (len(self.x), width), np.uint64)

    def request(self) -> bytes:
        numbers = [self.code, *self.x.shape, self.draws, self.replace, len(self.steps)]
        steps = np.array(self.steps, "i8,f8").tobytes()
        return (
            np.array(numbers, np.int64).tobytes() + steps + self.x.tobytes() + self.bits.tobytes()
        )

    def answer(self) -> dict[str, Array]:
        rows = len(self.x)
        outcome, possible = np.zeros(rows, np.uint8), np.zeros(rows, np.int64)
        kept, p, log_mass = np.empty_like(self.x), np.empty_like(self.x), np.zeros(rows)
        drawn = np.zeros((rows, self.draws), np.int64)
        log_prob = np.zeros(drawn.shape)
        steps = tuple((code, np.asarray(value)) for code, value in self.steps)
        call = functools.partial(_sampling.sample, 1, self.code, self.x, steps, outcome)
        call(kept, False, log_mass, None, None, 0, None, True, None)
        call(p, True, log_mass, None, None, 0, None, True, None)
        call(None, False, None, drawn, log_prob, self.draws, self.bits, self.replace, possible)
        return {
            "outcome": outcome,
            "kept": kept,
            "p": p,
            "log_mass": log_mass,
            "drawn": drawn,
            "log_prob": log_prob,
        }


SAMPLED: list[dict[str, float]] = [
    {},
    {"temperature": 0.7, "top_k": 4, "top_p": 0.9, "min_p": 0.05},
    {"top_p": 0.3},
    {"typical_p": 0.8},
    {"typical_p": 0.3, "temperature": 2.0, "epsilon": 1e-3},
    {"top_n_sigma": 1.0},
]


@pytest.mark.slow
@pytest.mark.skipif(not FUSED, reason="needs a CPU with fused multiply-add to compare with")
@pytest.mark.parametrize("dtype", TYPES)
def test_neon_keeps_and_draws_the_same(neon_program: Callable[..., Path], dtype: str) -> None:
    calls = [
        (Draws(dtype, classes, options, replace), f"{options} of {classes} classes, {replace}")
        for classes in (1, 3, 10, 32, 33, 300, 5000, 70_001)
        for options in SAMPLED
        for replace in (True, False)
        if classes < 1000 or replace
    ]
    program = neon_program("run_sampling", "sampling_neon")
    answer = answer_of(program, [call.request() for call, _ in calls])
    different, at = [], 0
    for call, what in calls:
        for name, array in call.answer().items():
            if answer[at : at + array.nbytes] != array.tobytes():
                different.append(f"{name} of {what}")
            at += array.nbytes
    assert at == len(answer)
    assert different == []
