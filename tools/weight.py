"""Print what the package weighs: python tools/weight.py builds it once in a folder of its own, in two minutes or so."""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent


def lines(folder: str, *endings: str) -> int:
    files = (path for path in (ROOT / folder).rglob("*") if path.suffix in endings)
    return sum(path.read_text().count("\n") for path in files)


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", place]
        start = time.perf_counter()
        subprocess.run([*command, str(ROOT)], check=True)
        wall = time.perf_counter() - start
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        sizes = {path.name.split(".")[0]: path for path in (Path(place) / "sigmax").glob("*.so")}
        for path in sizes.values():
            subprocess.run(["strip", path], check=True)
        print(f"| pip install, on the wall | {wall:.0f} s |")
        print(f"| processor time | {used.ru_utime + used.ru_stime:.0f} s |")
        print(f"| largest compiler process | {used.ru_maxrss / 1024:.0f} MB |")
        for name, path in sorted(sizes.items()):
            print(f"| `{name}`, stripped | {path.stat().st_size / 1e6:.2f} MB |")
    print(f"| lines of C++ in src/core | {lines('src/core', '.h', '.cpp'):,} |")
    print(f"| lines of Python in src/sigmax | {lines('src/sigmax', '.py'):,} |")
    print(f"| lines of tests | {lines('tests', '.py'):,} |")


if __name__ == "__main__":
    main()
