"""What is public is complete: docstrings, examples that run, a definition and a test for each."""

import doctest
import importlib
import importlib.util
import inspect
import re
from pathlib import Path

import numpy as np
import public_names
import pytest
import reference

import sigmax

ROOT = Path(__file__).parent.parent
MODULES = sorted(path.stem for path in (ROOT / "src" / "sigmax").glob("[a-z]*.py"))
PAGES = [p for p in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")] if ">>>" in p.read_text()]
RUN_TIME = {name for name in sigmax.__all__ if hasattr(sigmax._config, name)}
RESULTS = {name for name in sigmax.__all__ if inspect.isclass(getattr(sigmax, name))}
FUNCTIONS = sorted(set(sigmax.__all__) - RESULTS)
FILES = {"read_soft_labels", "write_soft_labels"}
MATHEMATICAL = sorted(set(FUNCTIONS) - RUN_TIME - FILES)
STATISTICAL = {
    *sigmax.binary_evaluation.__all__,
    *sigmax.binary_fits.__all__,
    *sigmax.calibration.__all__,
    *sigmax.comparison.__all__,
    *sigmax.conformal.__all__,
    *sigmax.decisions.__all__,
    *sigmax.decomposition.__all__,
    *sigmax.evaluation.__all__,
    *sigmax.group_temperatures.__all__,
    *sigmax.prior_shift.__all__,
    *sigmax.reliability.__all__,
    *sigmax.slices.__all__,
    *sigmax.sampling.__all__,
    *sigmax.linear.__all__,
    *sigmax.soft_labels.__all__,
}  # their definitions are in their tests

every_name = pytest.mark.parametrize("name", FUNCTIONS)
every_mathematical_name = pytest.mark.parametrize("name", MATHEMATICAL)


def documentation(name: str) -> str:
    """The docstring; a ufunc's without the signature that NumPy puts in front."""
    thing = getattr(sigmax, name)
    text = inspect.cleandoc(thing.__doc__)
    return text.split("\n\n", 1)[1] if isinstance(thing, np.ufunc) else text


def section(name: str, title: str) -> str:
    pattern = rf"(?m)^{title}\n-{{{len(title)}}}\n((?:.*\n?)*?)(?=^[A-Z][A-Za-z ]+\n---|\Z)"
    found = re.search(pattern, documentation(name))
    assert found, f"{name} has no section {title}"
    return found[1].strip()


# ---------------------------------------------------------------- names


def test_all_is_sorted_and_complete():
    public = {
        name
        for name, value in vars(sigmax).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert sorted(sigmax.__all__) == sigmax.__all__
    assert set(sigmax.__all__) == public


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_of_a_module_is_exported(module):
    names = importlib.import_module(f"sigmax.{module}").__all__
    assert names == sorted(names)
    assert set(names) <= set(sigmax.__all__)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_tests(module):
    assert (ROOT / "tests" / f"test_{module}.py").exists()


@every_mathematical_name
def test_every_function_has_a_definition(name):
    if name in ("vjp", "value_and_grad") or name in STATISTICAL:
        return
    assert callable(getattr(reference, name))
    if name not in ("one_hot", "smooth_labels"):
        assert any(hasattr(reference, f"{name}_{kind}") for kind in ("vjp", "grad"))


def test_names_and_parameters_are_those_that_were_written_down():
    """After a change that is meant: python tests/support/public_names.py > tests/public_api.txt, torch installed."""
    found = public_names.public_names()
    modules = "|".join(re.escape(name) for name in found if name != "sigmax.cli")
    pattern = re.compile(rf"\$ |(?:{modules})\.(?!(?:dask|sklearn|torch)\.)")
    lines = (ROOT / "tests/public_api.txt").read_text().splitlines()
    before = {line for line in lines if pattern.match(line)}
    now = {line for lines in found.values() for line in lines}
    assert sorted(now - before) == [], "added or changed"
    assert sorted(before - now) == [], "removed or changed"


def test_the_site_has_a_page_for_every_name():
    pages = (ROOT / "docs/api/index.md").read_text().split(".. currentmodule:: ")[1:]
    listed = {page.split("\n")[0]: re.findall(r"(?m)^   (\w+)$", page) for page in pages}
    for module in ("sigmax", "sigmax.dask", "sigmax.sklearn"):
        assert set(listed[module]) == set(importlib.import_module(module).__all__)


def test_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", sigmax.__version__)
    assert sigmax.show_config(mode="dicts")["version"] == sigmax.__version__


# ---------------------------------------------------------------- docstrings


@every_name
def test_summary_and_example(name):
    first, rest = documentation(name).split("\n", 1)
    assert re.fullmatch(r"[A-Z].*[.:]?.*\.", first)
    assert rest.startswith("\n")
    assert ">>> import sigmax" in section(name, "Examples")
    assert f"sigmax.{name}(" in section(name, "Examples")


@every_mathematical_name
def test_formula_error_and_references(name):
    assert "\n.. math:: " in documentation(name)
    assert re.search(r"ULP", documentation(name))
    assert re.search(r"[Ll]argest error", documentation(name))
    for title in ("Parameters", "Returns", "Raises"):
        assert section(name, title)
    assert re.search(r"\((1[89]|20)\d\d\)\.", section(name, "References"))


@every_name
def test_every_parameter_is_described(name):
    thing = getattr(sigmax, name)
    if isinstance(thing, np.ufunc):
        expected = {"out", "where", "dtype", "casting", "order", "subok"}
    else:
        expected = set(inspect.signature(thing).parameters)
    if not expected:
        return
    described = re.findall(r"(?m)^(?! )(.+?)(?: : .*)?$", section(name, "Parameters"))
    names = {part.strip("* ") for line in described for part in line.split(",")}
    assert expected <= names
    if not isinstance(thing, np.ufunc):
        assert names <= expected


@every_name
def test_types_are_annotated(name):
    thing = getattr(sigmax, name)
    if isinstance(thing, np.ufunc):
        return
    signature = inspect.signature(thing)
    for value in (*signature.parameters.values(), signature):
        note = getattr(value, "annotation", getattr(value, "return_annotation", None))
        assert note is not inspect.Signature.empty, value


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_every_attribute_of_a_result_is_described(name):
    described = re.findall(r"(?m)^(?! )(.+?) : .*$", section(name, "Attributes"))
    names = {part.strip() for line in described for part in line.split(",")}
    assert names == set(inspect.get_annotations(getattr(sigmax, name)))


# ---------------------------------------------------------------- examples


def failures(text: str, name: str) -> str:
    report: list[str] = []
    test = doctest.DocTestParser().get_doctest(text, {}, name, name, 0)
    assert test.examples
    doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    return "".join(report)


@every_name
def test_examples_run(name):
    assert failures(documentation(name), name) == ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
@pytest.mark.filterwarnings("default")
def test_examples_of_the_pages_run(page):
    text = re.sub(r"(?m)^```.*", "", page.read_text())
    for package in ("jax", "scipy", "torch", "xarray"):
        imported = re.search(rf">>> import .*\b{package}\b", text)
        if imported and not importlib.util.find_spec(package):
            pytest.skip(f"needs {package}")
    assert failures(text, page.name) == ""
