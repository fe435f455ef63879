"""Install a wheel where there is no compiler, and do what the README says: python tools/try_wheel.py WHEEL

The wheel must have every file of src/sigmax. The environment is new, its PATH has nothing else in it, and whatever the
wheel needs comes as wheels. Run are the README's commands, on files of logits and labels that are made here, and its
examples in Python.
"""

import argparse
import doctest
import os
import re
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Bytes. Two million are the aim: the core, once per level, is half of it. Without folding it is a tenth more.
LARGEST = 2_650_000
FILES = """
import numpy as np
rng = np.random.default_rng(0)
logits = rng.normal(size=(500, 4)) * 3
np.save("logits.npy", logits)
np.save("labels.npy", (logits / 2 + rng.gumbel(size=logits.shape)).argmax(axis=1))
np.save("full.npy", logits)
np.save("quantised.npy", np.round(logits * 8) / 8)
"""


def commands() -> list[str]:
    """The README's commands but those that install; the lesson is exported instead of served."""
    blocks = "\n".join(re.findall(r"(?ms)^```console\n(.*?)^```", README))
    lines = [part.split("#")[0].strip() for part in re.split(r"\n|&&", blocks)]
    lines = [line for line in lines if line and not line.startswith("pip install")]
    return ["sigmax lesson --export lesson" if line == "sigmax lesson" else line for line in lines]


def examples() -> str:
    """The README's examples, with the imports that its blocks share."""
    return "\n".join(re.findall(r"(?ms)^```python\n(.*?)^```", README))


def left_out(wheel: Path) -> list[str]:
    """Files of the package that git has and the wheel has not."""
    command = ["git", "-C", str(ROOT / "src"), "ls-files", "sigmax"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    with zipfile.ZipFile(wheel) as archive:
        return sorted(set(listed) - set(archive.namelist()))


def timed(what: str, command: list[str], place: Path, path: Path) -> None:
    start = time.perf_counter()
    subprocess.run(command, cwd=place, env=environment(path), check=True, stdout=subprocess.DEVNULL)
    print(f"{time.perf_counter() - start:6.2f} s  {what}", flush=True)


def environment(path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {"PATH": str(path), "CXX": "there-is-none"}


def try_in(place: Path, wheel: Path) -> None:
    venv.create(place / "venv", with_pip=True)
    path = place / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = str(path / "python")
    install = [python, "-m", "pip", "install", "-q", "--only-binary", ":all:"]
    timed("install the wheel and what it needs", [*install, f"{wheel}[cli,lesson]"], place, path)
    timed("make files", [python, "-c", FILES], place, path)
    for command in commands():
        timed(command, ["/bin/sh", "-c", command], place, path)
    (place / "examples.txt").write_text(examples(), encoding="utf-8")
    timed("the examples", [python, "-m", "doctest", "examples.txt"], place, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    wheel = parser.parse_args().wheel.resolve()
    size = wheel.stat().st_size
    print(f"{wheel.name}: {size / 1e6:.2f} MB")
    if size > LARGEST:
        sys.exit(f"the wheel must have at most {LARGEST:,} bytes, got {size:,}")
    if found := left_out(wheel):
        sys.exit(f"the wheel must have {', '.join(found)}")
    assert doctest.DocTestParser().get_examples(examples())
    with tempfile.TemporaryDirectory() as folder:
        try_in(Path(folder), wheel)


if __name__ == "__main__":
    main()
