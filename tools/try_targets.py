"""What zig makes of the core for systems that nobody here has: python tools/try_targets.py

Compiles, without linking or running, every file that knows neither Python nor NumPy. The first time, zig builds the C++
library of each target, which takes minutes.
"""

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

CORE = Path(__file__).resolve().parent.parent / "src/core"
OPTIONS = ["-std=c++17", "-O1", "-ffp-contract=off", "-I", str(CORE)]
TARGETS = {
    "x86_64-windows-gnu": "baseline",
    "aarch64-macos": "neon",
    "x86_64-linux-musl": "baseline",
}


def files() -> list[Path]:
    return [*sorted((CORE / "runtime").glob("*.cpp")), CORE / "kernels/elements.cpp"]


def errors(zig: Path, target: str, file: Path, place: Path) -> str:
    level = f"-DSIGMAX_LEVEL={TARGETS[target]}"
    command = [zig, "c++", "-target", target, level, *OPTIONS, "-c", file, "-o", place / "object"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    found = [line for line in done.stderr.splitlines() if "error:" in line]
    return "\n".join(found) if done.returncode else ""


def main() -> None:
    zig = Path(importlib.util.find_spec("ziglang").origin).with_name("zig")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for target in TARGETS:
            for file in files():
                said = errors(zig, target, file, Path(folder))
                print(f"{target} {file.relative_to(CORE)}: {said or 'compiles'}", flush=True)
                failed |= bool(said)
    sys.exit(failed)


if __name__ == "__main__":
    main()
