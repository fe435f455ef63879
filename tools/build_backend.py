"""meson-python, with Zig as the C++ compiler of machines that have none (a PEP 517 back end)."""

import importlib.util
import os
import shlex
import shutil
import sys
from pathlib import Path

import mesonpy
from mesonpy import build_sdist, get_requires_for_build_sdist

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

COMPILERS = ["c++", "g++", "clang++", "clang-cl"]


def has_compiler():
    return bool(os.environ.get("CXX")) or any(map(shutil.which, COMPILERS))


def zig_requirement():
    return [] if has_compiler() else ["ziglang>=0.16"]


def get_requires_for_build_wheel(config_settings=None):
    return [*mesonpy.get_requires_for_build_wheel(config_settings), *zig_requirement()]


def get_requires_for_build_editable(config_settings=None):
    return [*mesonpy.get_requires_for_build_editable(config_settings), *zig_requirement()]


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    use_zig_if_needed()
    return mesonpy.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    use_zig_if_needed()
    return mesonpy.build_editable(wheel_directory, config_settings, metadata_directory)


def use_zig_if_needed():
    if has_compiler():
        return
    # The program itself: the entry point of the package would start a Python for every call.
    zig = Path(importlib.util.find_spec("ziglang").origin).with_name("zig")
    # Zig compiles for the CPU it runs on unless told otherwise, and such a wheel crashes on others;
    # -s leaves out the debugging information that Zig adds, which is most of the file.
    os.environ["CXX"] = wrapper(zig, "c++", "-mcpu=baseline", "-s")
    os.environ["AR"] = wrapper(zig, "ar")


def wrapper(zig, tool, *options):
    """Write a command beside Zig that runs `zig <tool> <options>`: Meson wants one word."""
    if sys.platform == "win32":
        path = zig.with_name(f"zig-{tool}.cmd")
        path.write_text(f'@"{zig}.exe" {" ".join([tool, *options])} %*\n')
    else:
        path = zig.with_name(f"zig-{tool}")
        path.write_text(f'#!/bin/sh\nexec {shlex.join([str(zig), tool, *options])} "$@"\n')
        path.chmod(0o755)
    return str(path)
