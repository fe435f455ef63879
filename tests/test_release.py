"""The script of the release's checklist: what it finds missing, and that the version stands in one way everywhere."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

import sigmax

ROOT = Path(__file__).parent.parent
CHANGES = """\
# Changelog

## [Unreleased]

## [1.2.0] - 2026-11-30

### Added

- A function.

## [1.1.0] - 2026-01-01

### Added

### Fixed

- A fault.
"""


@pytest.fixture
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_release", ROOT / "tools/check_release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_place_names_the_version(check):
    assert {found for _, found in check.versions()} == {sigmax.__version__}


@pytest.mark.parametrize(
    ("version", "text", "missing"),
    [
        ("1.2.0", CHANGES, []),
        ("1.3.0", CHANGES, ["CHANGELOG.md must have a section '## [1.3.0] - YEAR-MONTH-DAY'"]),
        ("1.1.0", CHANGES, ["CHANGELOG.md: section 'Added' of 1.1.0 must not be empty"]),
        (
            "1.2.0",
            CHANGES.replace("## [Unreleased]\n", "## [Unreleased]\n\n### Added\n\n- More.\n"),
            ["CHANGELOG.md must have nothing under [Unreleased]"],
        ),
    ],
)
def test_the_changelog(check, monkeypatch, version, text, missing):
    monkeypatch.setattr(check, "read", lambda _: text)
    assert list(check.changes(version)) == missing


def test_what_is_missing_is_named_and_fails(check, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["check_release.py", "9.9.9"])
    with pytest.raises(SystemExit) as end:
        check.main()
    assert end.value.code == 1
    assert "meson.build must name version 9.9.9, got " in capsys.readouterr().out


def test_a_version_is_three_numbers(check):
    assert "the version must be like 1.2.3, got 1.2" in list(check.missing("1.2"))
