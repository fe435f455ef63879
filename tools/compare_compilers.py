"""The kernels as other compilers build them beside those that are installed, bit by bit at each level.

    python tools/compare_compilers.py [--source SDIST] [clang] [zig]

Builds the source once per compiler (side by side, two minutes of processor time each), and compares the digests of
tests/support/kernel_inputs.py. clang is `clang++`; zig is what the build back end takes where there is no compiler.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import sigmax

ROOT = Path(__file__).resolve().parent.parent
LEVELS = sigmax.show_config(mode="dicts")["isa_available"]


def without_compilers(folder: Path) -> str:
    """A PATH with what builds call, and without the compilers that the back end would take."""
    folder.mkdir()
    for name in ("rm", "env", "uname"):
        program = shutil.which(name)
        if program:
            (folder / name).symlink_to(program)
    return f"{Path(sys.executable).parent}{os.pathsep}{folder}"


def environment(compiler: str, folder: Path) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if name != "CXX"}
    if compiler == "zig":
        return others | {"PATH": without_compilers(folder / "programs")}
    return others | {"CXX": "clang++"}


def build(compiler: str, source: Path, place: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps"]
    command += ["--target", str(place), str(source)]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(command, check=True, env=environment(compiler, Path(folder)))
    (core,) = place.glob("sigmax/_core*.so")
    if core.read_bytes() == Path(sigmax._core.__file__).read_bytes():
        sys.exit(f"{compiler} must have built another module than the installed one")


def digests(level: str, place: Path | None) -> dict[str, str]:
    paths = {"PYTHONPATH": str(place)} if place else {}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/kernel_inputs.py")],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | paths | {"SIGMAX_ISA": level, "SIGMAX_NUM_THREADS": "1"},
    )
    return json.loads(done.stdout)


def differing(compiler: str, source: Path, installed: dict[str, dict[str, str]]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        build(compiler, source, Path(folder))
        count = 0
        for level, expected in installed.items():
            found = digests(level, Path(folder))
            wrong = [name for name in expected if found[name] != expected[name]]
            print(
                f"{compiler}, {level}: {len(expected) - len(wrong)} of {len(expected)} as installed"
            )
            print(*wrong, sep="\n", end="\n" if wrong else "", flush=True)
            count += len(wrong)
        return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("compilers", nargs="*", default=["clang", "zig"], metavar="COMPILER")
    parser.add_argument("--source", type=Path, default=ROOT, help="default: this repository")
    options = parser.parse_args()
    with ThreadPoolExecutor() as pool:
        of_levels = pool.map(lambda level: digests(level, None), LEVELS)
        installed = dict(zip(LEVELS, of_levels, strict=True))
        compare = partial(differing, source=options.source, installed=installed)
        counts = list(pool.map(compare, options.compilers))
    sys.exit(any(counts))


if __name__ == "__main__":
    main()
