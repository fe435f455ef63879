"""The build back end asks for Zig exactly where there is no compiler, and calls it safely."""

import importlib.util
import os
import subprocess
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

PATH = Path(__file__).parent.parent / "tools/build_backend.py"


@pytest.fixture
def backend() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_backend", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("CXX", "AR"):
        monkeypatch.setenv(variable, "")  # so that what the test sets is undone
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PATH", str(tmp_path))


def asks_for_zig(backend: ModuleType) -> bool:
    return any(name.startswith("ziglang") for name in backend.get_requires_for_build_wheel())


@pytest.mark.usefixtures("no_compiler")
def test_zig_without_a_compiler(backend):
    assert asks_for_zig(backend)
    assert any(name.startswith("ziglang") for name in backend.get_requires_for_build_editable())


@pytest.mark.usefixtures("no_compiler")
def test_no_zig_beside_a_compiler(backend, monkeypatch, tmp_path):
    (tmp_path / "c++").touch(mode=0o755)
    assert not asks_for_zig(backend)
    (tmp_path / "c++").unlink()
    monkeypatch.setenv("CXX", "some-compiler")
    assert not asks_for_zig(backend)


@pytest.mark.usefixtures("no_compiler")
@pytest.mark.skipif(os.name != "posix", reason="the stand-in for Zig is a shell script")
def test_zig_compiles_for_every_cpu(backend, monkeypatch, tmp_path):
    zig = tmp_path / "some where" / "zig"
    zig.parent.mkdir()
    zig.write_text('#!/bin/sh\necho "$@"\n')
    zig.chmod(0o755)
    package = SimpleNamespace(origin=str(zig.with_name("__init__.py")))
    monkeypatch.setattr(importlib.util, "find_spec", {"ziglang": package}.get)
    backend.use_zig_if_needed()

    def called(variable: str) -> str:
        command = [os.environ[variable], "-o", "a b"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert called("CXX") == "c++ -mcpu=baseline -s -o a b"
    assert called("AR") == "ar -o a b"
