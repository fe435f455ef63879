"""Check what docs/releasing.md asks of a release: python tools/check_release.py VERSION; silent when all is there."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)


def section(version: str) -> str | None:
    """What the changelog says about a version."""
    pattern = rf"(?ms)^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)"
    found = re.search(pattern, read("CHANGELOG.md"))
    return found[1] if found else None


def versions() -> Iterator[tuple[str, str]]:
    """Each place that names the version, and what it says."""
    yield "meson.build", re.search(r"(?m)^  version: '(.*)',$", read("meson.build"))[1]
    yield "CITATION.cff", re.search(r"(?m)^version: (.*)$", read("CITATION.cff"))[1]


def changes(version: str) -> Iterator[str]:
    text = section(version)
    if text is None:
        yield f"CHANGELOG.md must have a section '## [{version}] - YEAR-MONTH-DAY'"
        return
    if not text.strip():
        yield f"CHANGELOG.md must say what changes for users in {version}"
    for title in re.findall(r"(?m)^### (.*)\n\s*(?=^### |\Z)", text):
        yield f"CHANGELOG.md: section {title!r} of {version} must not be empty"
    if re.search(r"(?ms)^## \[Unreleased\]\n((?!^## ).)*^- ", read("CHANGELOG.md")):
        yield "CHANGELOG.md must have nothing under [Unreleased]"


def measurements() -> Iterator[str]:
    for path in sorted((ROOT / "docs/results").glob("*.json")):
        commit = json.loads(path.read_text(encoding="utf-8"))["commit"]
        if commit.endswith("+") or git("merge-base", "--is-ancestor", commit, "HEAD").returncode:
            yield f"{path.relative_to(ROOT)} must be measured at a commit of this history, got {commit}"
        elif git("diff", "--quiet", commit, "HEAD", "--", "src/core").returncode:
            yield f"{path.relative_to(ROOT)} must be measured on this core, got that of {commit}"


def missing(version: str) -> Iterator[str]:
    for place, found in versions():
        if found != version:
            yield f"{place} must name version {version}, got {found}"
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        yield f"the version must be like 1.2.3, got {version}"
    yield from changes(version)
    yield from measurements()
    if git("status", "--porcelain").stdout.strip():
        yield "the work tree must be clean"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = list(missing(sys.argv[1]))
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
