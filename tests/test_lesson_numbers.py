"""The lesson's numbers: those on the page are the Python library's, and every check of a claim can fail."""

import json
import math
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from lesson_pages import (
    CHAPTERS,
    needs_browser,
    numbers_in,
    open_all,
    run,
    visit,
)

from sigmax.lesson.site import STATIC

pytestmark = needs_browser

EXECUTE = """
import contextlib, io, json, sys
out = []
for code in json.load(sys.stdin):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    out.append(printed.getvalue())
json.dump(out, sys.stdout)
"""


def anywhere(control, random):
    match control["kind"]:
        case "number":
            steps = round((control["high"] - control["low"]) / control["step"])
            return round(control["low"] + control["step"] * int(random.integers(0, steps + 1)), 10)
        case "numbers":
            return [anywhere(control | {"kind": "number"}, random) for _ in control["start"]]
        case "choice":
            return str(random.choice(control["options"]))
        case "switch":
            return bool(random.integers(2))


def situations(figures):
    """The start, the presets, and some situations made at random."""
    random = np.random.default_rng(0)
    for name, figure in figures.items():
        yield name, None, {}
        for preset in figure["presets"]:
            yield name, preset, {}
        for _ in range(4 if name == "plane" else 8 if figure.get("about") else 20):
            shown = {
                key: control
                for key, control in figure["controls"].items()
                if control.get("sliders", True)
            }
            yield name, None, {key: anywhere(control, random) for key, control in shown.items()}


def python_prints(codes):
    """What the code prints, with the kernels that the module is made of."""
    environment = os.environ | {"SIGMAX_ISA": "baseline", "SIGMAX_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", EXECUTE]
    ran = subprocess.run(
        command, input=json.dumps(codes), capture_output=True, text=True, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def special(value):
    return float(value.replace("Infinity", "inf") if isinstance(value, str) else value)


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="needs the baseline level"
)
def test_the_numbers_on_the_page_are_those_of_the_library(new_page, address, described):
    shown = []
    for chapter, parts in described.items():
        page = new_page()
        visit(page, address, chapter)
        open_all(page)
        wanted = [list(each) for each in situations(parts["figures"])]
        shown += [(chapter, json.loads(each)) for each in run(page, "show", [chapter, wanted])]
        page.close()
    compared = exact = 0
    for (chapter, each), printed in zip(
        shown, python_prints([each["python"] for _, each in shown]), strict=True
    ):
        where = f"{chapter}.{each['name']} {each['state']}"
        assert "import sigmax" in each["python"] or ", sigmax" in each["python"]
        assert max(map(len, each["python"].splitlines())) <= 100, where
        ours, theirs = (
            np.array([special(each_) for each_ in each["printed"]]),
            np.array(numbers_in(printed)),
        )
        assert ours.shape == theirs.shape, where
        # A narrow number is printed with as few digits as tell it from its neighbours.
        if not np.array_equal(ours, theirs, equal_nan=True):
            theirs = theirs.astype(each["state"].get("dtype", "float64")).astype(float)
        if each["about"]:
            np.testing.assert_allclose(
                ours, theirs, rtol=each["about"], atol=each["about"], err_msg=where
            )
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=where)
            exact += len(ours)
        compared += len(ours)
        for name, value, text, result in each["readouts"]:
            number = special(result)
            assert math.isclose(float(value), number, rel_tol=0) or math.isnan(number), (
                where,
                name,
            )
            assert math.isclose(float(text.replace("−", "-")), number, rel_tol=6e-6) or math.isnan(
                number
            )
            compared += 1
    assert exact >= 1000
    assert compared >= 3000


def checks(page, address):
    page.goto(f"{address}en/glossary.html")
    page.wait_for_selector("body[data-ready=glossary]")
    return run(page, "checks", list(CHAPTERS))


def test_every_check_holds(page, address):
    found = checks(page, address)
    assert len(found) > 70
    for name, lines in found.items():
        assert lines, name
        assert all(line[-1] for line in lines), (name, lines)


def test_every_check_can_fail(new_page, address):
    """With a library that is wrong by a factor each check fails, for one factor at least."""
    source = (STATIC / "sigmax.js").read_text(encoding="utf-8")
    right = "const taken = (pointer, count) => Array.from(view(pointer, count));"
    assert source.count(right) == 1
    survived: set[str] | None = None
    for factor in (1.001, 0.999, 1.1, 0):
        page = new_page()

        wrong = source.replace(right, right[:-2] + f", (value) => {factor} * value);")
        page.route(
            "**/sigmax.js",
            lambda route, *, wrong=wrong: route.fulfill(body=wrong, content_type="text/javascript"),
        )
        passed = {
            name for name, lines in checks(page, address).items() if all(line[-1] for line in lines)
        }
        survived = passed if survived is None else survived & passed
        page.close()
    assert survived == set()


@pytest.mark.slow
def test_the_module_is_what_the_script_builds(tmp_path):
    import importlib.util
    from pathlib import Path

    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("needs ziglang")
    root = Path(__file__).parent.parent
    built = tmp_path / "sigmax.wasm"
    subprocess.run([sys.executable, root / "tools" / "build_wasm.py", built], check=True)
    assert built.read_bytes() == (root / "src/sigmax/lesson/static/sigmax.wasm").read_bytes()
