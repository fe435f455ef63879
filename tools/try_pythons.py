"""Build and test the package with every other CPython of this machine: python tools/try_pythons.py [PYTHON ...]

Kernels do not know Python: one instruction-set level is enough, quickly compiled. Without arguments, every python3.x of
the PATH and of pyenv that is at least 3.11 and not of the version that runs this.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEVEL = "baseline"
TESTS = ["tests/test_public_api.py", "tests/test_threads.py", "tests/test_rows.py"]
NEEDED = ["pytest", "hypothesis", "mpmath", "python-flint", "ml_dtypes"]
ABOUT = """
import json, sys, sysconfig
free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
print(json.dumps([sys.implementation.name, sys.version_info[:2], free, sys.version.split()[0]]))
"""


def about(python: str) -> list:
    done = subprocess.run([python, "-c", ABOUT], capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else ["unknown", [0, 0], False, ""]


def others() -> list[str]:
    """One interpreter for each version but ours."""
    names = [f"python3.{minor}{kind}" for minor in range(11, 20) for kind in ("", "t")]
    found = [path for name in names if (path := shutil.which(name))]
    found += map(str, sorted(Path("~/.pyenv/versions").expanduser().glob("3.*/bin/python")))
    kinds = {str(about(sys.executable)[:3]): ""}
    for python in found:
        name, version, free, _ = about(python)
        if name == "cpython" and version >= [3, 11]:
            kinds.setdefault(str([name, version, free]), python)
    return [python for python in kinds.values() if python]


def try_python(python: str, place: Path) -> None:
    subprocess.run([python, "-m", "venv", str(place / "venv")], check=True)
    inside = str(place / "venv/bin/python")
    install = [inside, "-m", "pip", "install", "-q"]
    options = ["-Csetup-args=-Dlevel=" + LEVEL]
    environment = os.environ | {"CXXFLAGS": "-O1"}
    subprocess.run([*install, f"{ROOT}[cli]", *options], check=True, env=environment)
    subprocess.run([*install, "--only-binary", ":all:", *NEEDED], check=True)
    command = [inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS, "-k", "not pages"]
    environment = os.environ | {
        "SIGMAX_ISA": LEVEL,
        "PATH": f"{place}/venv/bin:{os.environ['PATH']}",
    }
    subprocess.run(command, check=True, cwd=ROOT, env=environment)


def main() -> None:
    for python in sys.argv[1:] or others():
        _, _, free, version = about(python)
        print(f"CPython {version}{', free-threaded' if free else ''}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            try_python(python, Path(folder))


if __name__ == "__main__":
    main()
