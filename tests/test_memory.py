"""The pool that large results come from: memory is reused, and never while anyone can see it."""

import gc
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import sigmax

X = np.random.default_rng(0).normal(size=(1000, 1000))
POOLED = pytest.mark.skipif(sys.platform != "linux", reason="results are pooled on Linux only")


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


@POOLED
@pytest.mark.parametrize("function", [sigmax.softmax, sigmax.sigmoid])
def test_freed_results_are_reused(function):
    first = function(X)
    expected, place = first.tobytes(), address(first)
    del first
    second = function(X)
    assert address(second) == place
    assert second.tobytes() == expected


@POOLED
def test_a_loop_needs_no_new_memory():
    result = sigmax.softmax(X)
    places = set()
    for _ in range(10):
        result = sigmax.softmax(X)
        places.add(address(result))
    assert len(places) == 2


def test_living_results_keep_their_memory():
    results = [sigmax.softmax(X + i) for i in range(8)]
    expected = [np.array(result) for result in results]
    for _ in range(8):
        sigmax.softmax(-X)
    assert all(np.array_equal(a, b) for a, b in zip(results, expected, strict=True))
    assert len(set(map(address, results))) == len(results)


def test_a_view_keeps_its_memory():
    view = sigmax.softmax(X)[::2, 3:]
    expected = view.copy()
    gc.collect()
    others = [sigmax.softmax(-X) for _ in range(5)]
    assert np.array_equal(view, expected)
    assert not any(np.shares_memory(view, other) for other in others)


@pytest.mark.parametrize("size", [10, 900_000, 1_100_000, 4_000_000])
def test_resize(size):
    result = sigmax.sigmoid(X.ravel())
    expected = np.resize(result, size)
    expected[result.size :] = 0
    result.resize(size, refcheck=False)
    assert np.array_equal(result, expected)


@POOLED
def test_other_arrays_stay_with_numpy():
    place = address(sigmax.softmax(X))
    assert address(np.empty_like(X)) != place
    with pytest.raises(TypeError):
        sigmax.softmax(X, dtype="complex128")
    assert address(np.empty_like(X)) != place


def test_into_out_allocates_nothing():
    out = np.empty_like(X)
    assert sigmax.softmax(X, out=out) is out


def test_results_freed_by_other_threads():
    expected = sigmax.softmax(X)
    with ThreadPoolExecutor(4) as executor:
        for _ in range(10):
            results = list(executor.map(sigmax.softmax, [X] * 8))
            assert all(np.array_equal(result, expected) for result in results)


@pytest.mark.parametrize("shape", [(0, 5), (1, 0), (3, 4)])
def test_small_results(shape):
    assert sigmax.sigmoid(np.zeros(shape)).shape == shape


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork():
    script = """
import os
import numpy as np
import sigmax

x = np.random.default_rng(0).normal(size=(1000, 1000))
mine = sigmax.softmax(x)
expected = mine.tobytes()
sigmax.softmax(-x)  # leaves a freed block to both processes
child = os.fork()
other = sigmax.softmax(-x if child else x)
ok = mine.tobytes() == expected and (child or other.tobytes() == expected)
if not child:
    os._exit(not ok)
assert os.waitpid(child, 0)[1] == 0
assert ok
"""
    # Threads of NumPy's linear algebra make Python 3.12 and later warn of the fork.
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_kept_memory_is_bounded():
    def resident() -> int:
        pages = Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    x = np.zeros(2_000_000)
    before = resident()
    results = [sigmax.sigmoid(x) for _ in range(20)]
    assert resident() - before > 19 * x.nbytes
    results.clear()
    assert resident() - before < 6 * x.nbytes
