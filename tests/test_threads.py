"""The worker pool: its size never shows in a result, and nothing around it can hang a call."""

import ctypes
import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import sigmax

ROWS = np.random.default_rng(0).normal(0, 5, (20_000, 40))
LONG_ROW = np.random.default_rng(1).normal(0, 5, 1_000_000).astype(np.float32)


def results() -> list[bytes]:
    return [
        sigmax.sigmoid(ROWS).tobytes(),
        sigmax.softmax(ROWS).tobytes(),
        sigmax.softmax(LONG_ROW).tobytes(),
        sigmax.logsumexp(ROWS, axis=0).tobytes(),
    ]


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `script` in a Python of its own, where it may fork, change user and be killed."""
    return subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def succeeds(script: str, **environment: str) -> str:
    done = run(script, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_set_and_get():
    for count in (1, 3, 2):
        sigmax.set_num_threads(count)
        assert sigmax.get_num_threads() == count


@pytest.mark.parametrize("count", [0, -1])
def test_at_least_one_thread(count):
    with pytest.raises(ValueError, match=str(count)):
        sigmax.set_num_threads(count)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs sched_getaffinity")
def test_default_is_every_usable_cpu():
    script = """
import os
one = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {one})
import sigmax
print(sigmax.get_num_threads())
"""
    environment = {"SIGMAX_NUM_THREADS": ""} if "SIGMAX_NUM_THREADS" in os.environ else {}
    assert succeeds(script, **environment) == "1"


def test_environment_variable():
    script = "import sigmax; print(sigmax.get_num_threads())"
    assert succeeds(script, SIGMAX_NUM_THREADS="3") == "3"


@pytest.mark.parametrize("value", ["0", "-2", "many", "1.5"])
def test_wrong_environment_variable(value):
    done = run("import sigmax", SIGMAX_NUM_THREADS=value)
    assert done.returncode != 0
    assert "SIGMAX_NUM_THREADS" in done.stderr
    assert value in done.stderr


def test_same_bytes_with_any_number_of_threads():
    sigmax.set_num_threads(1)
    alone = results()
    for count in (2, 3, 8):
        sigmax.set_num_threads(count)
        assert results() == alone


def test_same_bytes_in_many_python_threads():
    sigmax.set_num_threads(4)
    alone = results()
    with ThreadPoolExecutor(8) as executor:
        together = [executor.submit(results) for _ in range(24)]
    assert all(future.result() == alone for future in together)


@pytest.mark.skipif(sys.platform != "linux", reason="lists threads in /proc")
def test_affinity_of_every_thread_stays():
    succeeds("""
import os, time
import numpy as np
import sigmax

def masks():
    return {int(t): os.sched_getaffinity(int(t)) for t in os.listdir("/proc/self/task")}

sigmax.set_num_threads(4)
x = np.random.default_rng(0).normal(size=200_000)
sigmax.sigmoid(x)
for mask in (os.sched_getaffinity(0), {min(os.sched_getaffinity(0))}):
    for thread in masks():
        os.sched_setaffinity(thread, mask)
    before = masks()
    for _ in range(100):
        sigmax.sigmoid(x)
        time.sleep(1e-3)  # the workers fall asleep
        assert masks() == before
""")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_while_other_threads_compute():
    succeeds("""
import os, threading, warnings
import numpy as np
import sigmax

warnings.simplefilter("ignore")  # Python warns of forks beside threads
sigmax.set_num_threads(4)
x = np.random.default_rng(0).normal(size=(20_000, 20))
expected = sigmax.softmax(x).tobytes()
done = threading.Event()

def compute():
    while not done.is_set():
        sigmax.softmax(x)

others = [threading.Thread(target=compute) for _ in range(3)]
for thread in others:
    thread.start()
statuses = []
for _ in range(20):
    child = os.fork()
    if not child:
        os._exit(sigmax.softmax(x).tobytes() != expected)
    statuses.append(os.waitpid(child, 0)[1])
done.set()
for thread in others:
    thread.join()
assert not any(statuses), statuses
assert sigmax.softmax(x).tobytes() == expected
""")


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_thread_creation_refused():
    succeeds("""
import os, pathlib, resource
import numpy as np
import sigmax

def threads():
    return len(list(pathlib.Path("/proc/self/task").iterdir()))

x = np.random.default_rng(0).normal(size=(20_000, 20))
sigmax.set_num_threads(1)
expected = sigmax.softmax(x).tobytes()
before = threads()
limits = resource.getrlimit(resource.RLIMIT_NPROC)
resource.setrlimit(resource.RLIMIT_NPROC, (0, limits[1]))
root = os.getuid() == 0
if root:
    os.setresuid(65534, 65534, 0)  # the limit does not bind root
sigmax.set_num_threads(4)
assert sigmax.softmax(x).tobytes() == expected
assert threads() == before, "the limit did not hold"

if root:
    os.setresuid(0, 0, 0)
resource.setrlimit(resource.RLIMIT_NPROC, limits)
sigmax.set_num_threads(4)
assert sigmax.softmax(x).tobytes() == expected
assert threads() == before + 3
""")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="sets an x86 register")
def test_flush_to_zero_mode_of_the_caller(tmp_path: Path):
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("needs a C compiler")
    source = tmp_path / "flush.c"
    source.write_text(
        "unsigned get(void) { return __builtin_ia32_stmxcsr(); }\n"
        "void set(unsigned to) { __builtin_ia32_ldmxcsr(to); }\n"
    )
    library = tmp_path / "flush.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    control = ctypes.CDLL(str(library))
    x = np.linspace(-745, -700, 200_001)  # the sigmoid of most of these is subnormal
    expected = sigmax.sigmoid(x)

    before = control.get()
    control.set(before | 0x8040)  # flush to zero, denormals are zero
    try:
        result = sigmax.sigmoid(x)
        after = control.get()
    finally:
        control.set(before)
    assert after == before | 0x8040
    assert result.tobytes() == expected.tobytes()
    assert expected[0] > 0
