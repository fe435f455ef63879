"""Compile the lesson's kernels to WebAssembly: python tools/build_wasm.py [FILE]; needs ziglang (see VERSION)."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULE = ROOT / "src" / "sigmax" / "lesson" / "static" / "sigmax.wasm"
VERSION = "0.17.1"  # of ziglang: another compiler makes other bytes
ARGUMENTS = [
    *(
        "-target",
        "wasm32-wasi",
        "-mexec-model=reactor",
        "-msimd128",
        "-std=c++17",
        "-Oz",
        "-DSIGMAX_ONLY_COLUMNS",
    ),
    # Results must not depend on what the optimiser may fuse: as in meson.build.
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
    *("-fno-exceptions", "-fno-rtti", "-fvisibility=hidden", "-g0"),
    *("-Wl,--strip-all", "-Wl,--gc-sections"),
]


def build(module: Path) -> None:
    """Write the module; with the version above always the same bytes."""
    if version("ziglang") != VERSION:
        raise SystemExit(f"ziglang must be {VERSION}, got {version('ziglang')}")
    # A relative path, so that no folder's name gets into the module.
    source = Path("src") / "lesson_wasm" / "module.cpp"
    command = [sys.executable, "-m", "ziglang", "c++", *ARGUMENTS, "-o", str(module), str(source)]
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else MODULE)
