"""The commands: what they write, print and refuse, in this process and in others of their own."""

import json
import math
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from commands import BAD_DATA, FAILED, USAGE, run
from plain import softmax

import sigmax
from sigmax.files import blocks, opening

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "command-line.md"


@pytest.fixture(autouse=True)
def here(here):
    """A directory of its own with logits that are 2.5 times too large, and their labels."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3000, 4)) * 2
    gumbel = logits - np.log(-np.log(rng.random(logits.shape)))
    np.save("logits.npy", 2.5 * logits)
    np.save("labels.npy", gumbel.argmax(axis=1))
    np.save("groups.npy", rng.integers(0, 50, 3000))
    return here


def start(*words, **more):
    """Start a command in a process of its own."""
    command = [sys.executable, "-m", "sigmax", *map(str, words)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **streams, **more)


def names(directory):
    return sorted(path.name for path in directory.iterdir())


# ---------------------------------------------------------------- report


def test_report():
    printed = run("report", "logits.npy", "labels.npy", "--resamples", 100)
    assert "Better with temperature 2." in printed
    assert "Report: report.html" in printed
    html, numbers = Path("report.html").read_text(), json.loads(Path("report.json").read_text())
    assert html.startswith("<!doctype html>")
    assert numbers["verdict"]["key"] == "better"
    assert numbers["command"] == "sigmax report logits.npy labels.npy --resamples 100"
    assert numbers["apply_commands"] == (
        "sigmax calibrate logits.npy labels.npy -o calibration.json\n"
        "sigmax apply logits.npy calibration.json -o probabilities.npy"
    )
    assert [file["name"] for file in numbers["files"]] == ["logits.npy", "labels.npy"]
    assert numbers["files"][0]["bytes"] == Path("logits.npy").stat().st_size
    digest = subprocess.run(["sha256sum", "logits.npy"], capture_output=True, text=True, check=True)
    assert numbers["files"][0]["sha256"] == digest.stdout.split()[0]


def test_the_json_has_this_form():
    run("report", "logits.npy", "labels.npy", "--resamples", 100)
    numbers = json.loads(Path("report.json").read_text(), parse_constant=pytest.fail)
    assert numbers["schema"] == 1
    estimate = {"value": float, "interval": [float, float]}
    side = dict.fromkeys(
        (
            "accuracy",
            "nll",
            "brier",
            "ece",
            "adaptive_ece",
            "classwise_ece",
            "mce",
            "debiased_ece",
            "null_ece",
        ),
        estimate,
    )
    curve = dict.fromkeys(("lower", "upper", "count", "confidence", "accuracy", "interval"), list)
    form = {
        "schema": int,
        "sigmax": str,
        "created": str,
        "command": str,
        "title": str,
        "files": [{"name": str, "bytes": int, "sha256": str}] * 2,
        "reading": {
            "rows": int,
            "values": str,
            "why": str,
            "labels": str,
            "label_form": str,
            "lines": list,
        },
        "data": {
            "rows": int,
            "ignored": int,
            "impossible": int,
            "weighted": bool,
            "classes": int,
            "class_names": list,
            "labels": str,
        },
        "split": {"fit": int, "test": int, "groups": None},
        "options": {"method": str, "seed": int, "bins": int, "confidence": float, "resamples": int},
        "fit": {
            "method": str,
            "temperature": float,
            "interval": [float, float],
            "nll_before": float,
            "nll_after": float,
            "status": str,
            "message": str,
            "iterations": int,
            "rows": int,
        },
        "before": {"rows": int, "classes": int, "mean_confidence": float, "rules": dict, **side},
        "after": {"rows": int, "classes": int, "mean_confidence": float, "rules": dict, **side},
        "difference": side,
        "reliability": {"before": curve, "after": curve},
        "temperature_curve": {"rows": int, "temperature": list, "nll": list, "ece": list},
        "per_class": list,
        "parts": {
            "rows": int,
            "smooth_ece": {"before": float, "after": float},
            "decomposition": dict,
            "corp": dict,
            "decisions": dict,
            "sets": list,
            "binary": None,
            "thresholds": None,
            "slices": None,
        },
        "labels": None,
        "verdict": {"key": str, "headline": str, "text": str, "advice": str},
        "conditions": list,
        "apply_commands": str,
    }
    check_form(numbers, form, "report.json")
    assert set(numbers) == set(form)


def check_form(value, form, place):
    if isinstance(form, dict):
        for key, part in form.items():
            assert key in value, f"{place} has no {key}"
            check_form(value[key], part, f"{place}.{key}")
    elif isinstance(form, list):
        assert len(value) == len(form), place
        for item, part in zip(value, form, strict=True):
            check_form(item, part, place)
    elif form is None:
        assert value is None, place
    else:
        assert isinstance(value, (int, float) if form is float else form), place


def test_the_command_of_a_report_makes_it_again():
    options = ("--groups", "groups.npy", "--seed", "3", "--bins", "10", "--confidence", "0.9")
    more = ("--label-smoothing", "laplace", "--title", "a b", "--ignore-index", "3")
    run("report", "logits.npy", "labels.npy", *options, *more, "--resamples", "50")
    first = json.loads(Path("report.json").read_text())
    assert first["split"]["groups"]["fit"] + first["split"]["groups"]["test"] == 50
    assert first["data"]["ignored"] > 0
    assert first["options"]["label_smoothing"] == "laplace"
    run(*shlex.split(first["command"])[1:])
    second = json.loads(Path("report.json").read_text())
    for numbers in (first, second):
        del numbers["created"]
    assert first == second


def test_report_of_a_fit_that_is_none():
    np.save("labels.npy", np.load("logits.npy").argmax(axis=1))
    printed = run("report", "logits.npy", "labels.npy", "--resamples", 50)
    assert "No calibration: every row of the fit is right" in printed
    assert "always certain" in printed
    assert json.loads(Path("report.json").read_text())["after"] is None


@pytest.mark.parametrize("method", ["none", "vector"])
def test_methods(method):
    printed = run("report", "logits.npy", "labels.npy", "--method", method, "--resamples", 50)
    assert ("Overconfident" if method == "none" else "Better with vector scaling") in printed


def test_conditions_on_a_report():
    words = ["report", "logits.npy", "labels.npy", "--resamples", 50]
    listed = run(*words, "--fail-if", "x > 1", code=BAD_DATA).split("there are ")[1].strip()
    every = [w for name in listed.split(", ") for w in ("--fail-if", f"{name.strip()} > 1e9")]
    assert "Failed" not in run(*words, *every)
    numbers = json.loads(Path("report.json").read_text())
    values = {c["condition"].split()[0]: c["value"] for c in numbers["conditions"]}
    assert values["ece"] == numbers["before"]["ece"]["value"]
    assert values["after_ece"] == numbers["after"]["ece"]["value"]
    assert values["change_nll"] == numbers["difference"]["nll"]["value"]
    assert values["smooth_ece"] == numbers["parts"]["smooth_ece"]["before"]
    assert values["after_auroc"] == numbers["parts"]["decisions"]["after"]["auroc"]["value"]
    assert values["temperature"] == numbers["fit"]["temperature"]
    fails = [*words, "--fail-if", "ece > 5%", "--fail-if", "after_ece > 0.5"]
    printed = run(*fails, code=FAILED)
    assert f"sigmax: failed: ece is {values['ece']:.6g} (" in printed
    assert "and --fail-if says ece > 0.05" in printed
    assert "failed: after_ece" not in printed
    html = Path("report.html").read_text()
    assert "Failed: ece is" in html
    assert "Kept: after_ece is" in html
    assert 'href="#kept"' in html


def test_a_condition_on_what_is_not_there():
    np.save("labels.npy", np.load("logits.npy").argmax(axis=1))  # separable: no temperature
    words = ["report", "logits.npy", "labels.npy", "--resamples", 50]
    assert "after_ece is nan" in run(*words, "--fail-if", "after_ece > 0.5", code=FAILED)
    condition = ["--fail-if", "after_ece > 0.5"]
    assert "no number 'after_ece'" in run(*words, "--method", "none", *condition, code=BAD_DATA)
    np.save("p.npy", np.eye(4)[np.arange(3000) % 4])  # labels of probability 0
    words = ["report", "p.npy", "labels.npy", "--probabilities", "--resamples", 50]
    assert "nll is inf" in run(*words, "--fail-if", "nll > 5", code=FAILED)


def test_report_of_slices_and_of_many_labels():
    Path("by.csv").write_text("by\n" + "a\nb\nc\n" * 1000)
    run("report", "logits.npy", "labels.npy", "--by", "by.csv", "--resamples", 50)
    parts = json.loads(Path("report.json").read_text())["parts"]
    assert sorted(row["name"] for row in parts["slices"]) == ["a", "b", "c"]
    np.save("one_hot.npy", np.eye(4, dtype=int)[np.load("labels.npy")])
    words = [
        "--multilabel",
        "--method",
        "platt",
        "--per-label",
        "--resamples",
        "50",
        "--classes",
        "a,b,c,d",
    ]
    printed = run("report", "logits.npy", "one_hot.npy", *words, "-o", "many.html")
    assert "1,500 samples with 4 labels each" in printed
    numbers = json.loads(Path("many.json").read_text())
    assert sorted(row["name"] for row in numbers["labels"]["rows"]) == ["a", "b", "c", "d"]
    assert len(numbers["fit"]["labels"]) == 4


def test_a_column_of_slices_is_no_class():
    rows = "".join(f"{k % 7},{k % 3},{'uv'[k % 2]},{k % 2}\n" for k in range(200))
    Path("x.csv").write_text("a,b,kind,label\n" + rows)
    run("report", "x.csv", "--by", "kind", "--resamples", 20)
    numbers = json.loads(Path("report.json").read_text())
    assert numbers["data"]["class_names"] == ["a", "b"]
    assert sorted(row["name"] for row in numbers["parts"]["slices"]) == ["u", "v"]


def test_demo(here):
    printed = run("demo")
    assert "Better with temperature" in printed
    assert "Report: sigmax-demo.html" in printed
    assert {"sigmax-demo.html", "sigmax-demo.json"} <= set(names(here))
    numbers = json.loads(Path("sigmax-demo.json").read_text())
    assert numbers["verdict"]["key"] == "better"
    assert numbers["data"]["classes"] == 10


# ---------------------------------------------------------------- calibrate, apply, softmax, info


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("suffix", [".npy", ".csv", ".parquet"])
@pytest.mark.parametrize("method", ["temperature", "vector"])
@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.slow)])
def test_calibrate_and_apply(suffix, method, dtype):
    logits, labels = np.load("logits.npy").astype(dtype), np.load("labels.npy")
    np.save("logits.npy", logits)
    printed = run(
        "calibrate", "logits.npy", "labels.npy", "--method", method, "--classes", "a,b,c,d"
    )
    assert "NLL" in printed
    calibration = json.loads(Path("calibration.json").read_text())
    assert calibration["classes"] == ["a", "b", "c", "d"]
    assert calibration["rows"] == 3000
    if method == "temperature":
        fit = sigmax.fit_temperature(logits, labels)
        assert calibration["temperature"] == fit.temperature
        expected = softmax(logits.astype(float) / fit.temperature)
    else:
        fit = sigmax.fit_vector_scaling(logits, labels)
        expected = softmax(logits * fit.scale + fit.bias)
    output = f"p{suffix}"
    run("apply", "logits.npy", "calibration.json", "-o", output)
    if suffix == ".npy":
        p = np.load(output)
    else:
        table = pa.csv.read_csv(output) if suffix == ".csv" else pa.parquet.read_table(output)
        assert table.column_names == ["a", "b", "c", "d"]
        p = np.stack(list(map(np.asarray, table.columns)), axis=1)
    if suffix != ".csv":
        assert p.dtype == dtype
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(p, expected, rtol=tolerance, atol=1e-30)
    again = run("report", output, "labels.npy", "--probabilities", "--resamples", 50)
    assert "No significant gain" in again


@pytest.mark.parametrize("method", ["platt", "beta", "isotonic"])
def test_calibrations_of_two_classes(method):
    x, y = np.load("logits.npy")[:, 0], (np.load("labels.npy") == 0).astype(int)
    np.save("x.npy", x)
    np.save("y.npy", y)
    run("calibrate", "x.npy", "y.npy", "--method", method)
    run("apply", "x.npy", "calibration.json", "-o", "p.npy")
    expected = getattr(sigmax, f"fit_{method}")(x, y).apply(x)
    np.testing.assert_allclose(np.load("p.npy"), np.stack([1 - expected, expected], 1), rtol=1e-12)
    run("calibrate", "x.npy", "y.npy", "--method", method)  # replaces a calibration


def test_conformal_sets():
    run("calibrate", "logits.npy", "labels.npy", "--sets", "aps", "--coverage", 0.8, "--seed", 3)
    run("apply", "logits.npy", "calibration.json", "-o", "p.npy", "--sets", "sets.npy")
    logits, labels = np.load("logits.npy"), np.load("labels.npy")
    first = np.random.default_rng(3).permutation(3000) % 2 == 0
    t = sigmax.fit_temperature(logits[first], labels[first]).temperature
    made = sigmax.conformal_sets(
        logits[~first], labels[~first], method="aps", coverage=0.8, temperature=t, seed=3
    )
    sets = np.load("sets.npy")
    assert sets.dtype == bool
    assert (sets != made.apply(logits)).mean() < 1e-3  # but for the rounding of probabilities
    printed = run("apply", "logits.npy", "calibration.json", "-o", "p.npy", "--prior", "1,1,1,1")
    assert "p.npy" in printed
    run("calibrate", "logits.npy", "labels.npy")
    words = ("apply", "logits.npy", "calibration.json", "-o", "p.npy", "--sets", "s.npy")
    assert "calibrate with --sets" in run(*words, code=BAD_DATA)


def test_prior():
    run("calibrate", "logits.npy", "labels.npy")
    fit = sigmax.fit_temperature(np.load("logits.npy"), np.load("labels.npy"))
    shares = np.bincount(np.load("labels.npy")) / 3000
    p = fit.apply(np.load("logits.npy"))
    for given, prior in (
        ("7,1,1,1", np.array([0.7, 0.1, 0.1, 0.1])),
        ("auto", sigmax.fit_prior_shift(p, shares, from_logits=False).prior),
    ):
        run("apply", "logits.npy", "calibration.json", "-o", "p.npy", "--prior", given)
        expected = p * prior / shares
        expected /= expected.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(np.load("p.npy"), expected, rtol=1e-9)
    words = ("apply", "logits.npy", "calibration.json", "-o", "p.npy", "--prior", "1,2")
    assert "--prior must be auto or 4 shares" in run(*words, code=BAD_DATA)


def test_apply_streams_what_is_larger_than_a_block(monkeypatch):
    run("calibrate", "logits.npy", "labels.npy")
    run("apply", "logits.npy", "calibration.json", "-o", "whole.npy")
    monkeypatch.setattr(blocks, "_BLOCK", 64)
    run("apply", "logits.npy", "calibration.json", "-o", "blocks.npy")
    assert Path("whole.npy").read_bytes() == Path("blocks.npy").read_bytes()


def test_apply_keeps_the_shape():
    run("calibrate", "logits.npy", "labels.npy")
    np.save("cube.npy", np.load("logits.npy").reshape(30, 100, 4))
    run("apply", "cube.npy", "calibration.json", "-o", "p.npy")
    assert np.load("p.npy").shape == (30, 100, 4)
    assert "a table has rows" in run(
        "apply", "cube.npy", "calibration.json", "-o", "p.csv", code=BAD_DATA
    )


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz", ".npy"])
def test_the_commands_that_a_report_advises_run(suffix):
    logits, labels = np.load("logits.npy"), np.load("labels.npy")
    names = np.array(["cat", "dog", "eel", "fox"])
    table = pa.table({**{n: logits[:, k] for k, n in enumerate(names)}, "kind": names[labels]})
    words = [f"x{suffix}", "--labels-key", "kind"]
    if suffix == ".csv":
        pa.csv.write_csv(table, "x.csv")
    elif suffix == ".parquet":
        pa.parquet.write_table(table, "x.parquet")
    elif suffix == ".npz":
        np.savez("x.npz", logits=logits, kind=labels)
    else:
        np.save("x.npy", logits)
        words = ["x.npy", "labels.npy"]
    run("report", *words, "--resamples", 50)
    for line in json.loads(Path("report.json").read_text())["apply_commands"].split("\n"):
        run(*shlex.split(line)[1:])
    temperature = json.loads(Path("calibration.json").read_text())["temperature"]
    np.testing.assert_allclose(
        np.load("probabilities.npy"), softmax(logits / temperature), rtol=1e-12
    )


def test_names_of_files_are_not_markup():
    Path("p[b]").mkdir()
    assert "p[b]/p.npy: shape (3000, 4)" in run("softmax", "logits.npy", "-o", "p[b]/p.npy")


def test_apply_to_no_rows():
    run("calibrate", "logits.npy", "labels.npy")
    np.save("none.npy", np.zeros((0, 4)))
    run("apply", "none.npy", "calibration.json", "-o", "p.npy")
    assert np.load("p.npy").shape == (0, 4)


def test_a_binary_model_in_one_column():
    rng = np.random.default_rng(0)
    x = rng.normal(size=2000) * 2
    y = rng.random(2000) < 1 / (1 + np.exp(-x))
    np.savez("x.npz", logits=3 * x, labels=y)
    run("calibrate", "x.npz")
    temperature = json.loads(Path("calibration.json").read_text())["temperature"]
    assert temperature == pytest.approx(3, rel=0.1)
    run("apply", "x.npz", "calibration.json", "-o", "p.npy", "--logits-key", "logits")
    np.testing.assert_allclose(np.load("p.npy")[:, 1], 1 / (1 + np.exp(-3 * x / temperature)))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("block", [2**20, 16])
def test_softmax_along_an_axis(axis, block, monkeypatch):
    monkeypatch.setattr(blocks, "_BLOCK", block)
    x = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    np.save("x.npy", x)
    run("softmax", "x.npy", "-o", "p.npy", "--axis", axis, "--temperature", 2)
    p = np.load("p.npy")
    assert p.dtype == np.float32
    np.testing.assert_array_equal(p, sigmax.softmax(x, axis, temperature=2.0))


def test_softmax_of_one_row_of_integers_and_of_a_table():
    np.save("x.npy", np.array([1, 2, 3], np.int8))
    run("softmax", "x.npy", "-o", "p.npy")
    np.testing.assert_allclose(np.load("p.npy"), softmax(np.array([1.0, 2, 3])))
    Path("x.csv").write_text("cat,dog\n1,2\n3,1\n")
    run("softmax", "x.csv", "-o", "p.csv")
    assert Path("p.csv").read_text().startswith('"cat","dog"\n0.268941')


TRUNCATION = ("--top-k", 3, "--top-p", 0.9, "--min-p", 0.01, "--typical-p", 0.95, "--epsilon", 0.01)
KEPT = {"top_k": 3, "top_p": 0.9, "min_p": 0.01, "typical_p": 0.95, "epsilon": 0.01}


def test_softmax_of_the_likely_classes():
    x = np.load("logits.npy")
    run("softmax", "logits.npy", "-o", "p.npy", *TRUNCATION, "--top-n-sigma", 2)
    expected = sigmax.filter_probabilities(x, **KEPT, top_n_sigma=2).probabilities
    np.testing.assert_array_equal(np.load("p.npy"), expected)
    run(
        "softmax",
        "logits.npy",
        "-o",
        "p.npy",
        "--top-p",
        0.8,
        "--temperature",
        3,
        "--preset",
        "llama.cpp",
    )
    expected = sigmax.filter_probabilities(x, top_p=0.8, temperature=3.0, preset="llama.cpp")
    np.testing.assert_array_equal(np.load("p.npy"), expected.probabilities)
    run(
        "softmax",
        "logits.npy",
        "-o",
        "p.npy",
        "--top-p",
        0.8,
        "--top-k",
        2,
        "--order",
        "top-p, top_k",
    )
    expected = sigmax.filter_probabilities(x, top_p=0.8, top_k=2, order=("top_p", "top_k"))
    np.testing.assert_array_equal(np.load("p.npy"), expected.probabilities)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("block", [2**20, 16])
def test_sample(axis, block, monkeypatch):
    monkeypatch.setattr(blocks, "_BLOCK", block)
    x = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    np.save("x.npy", x)
    printed = run("sample", "x.npy", "-o", "t.npy", "--axis", axis, "--seed", 4, *TRUNCATION)
    np.testing.assert_array_equal(np.load("t.npy"), sigmax.sample(x, axis, seed=4, **KEPT))
    assert "drawn with seed 4" in printed
    run("sample", "x.npy", "-o", "t.npy", "--axis", axis, "--seed", 4, "--draws", 3, "--no-replace")
    expected = sigmax.sample(x, axis, seed=4, shape=3, replace=False)
    np.testing.assert_array_equal(np.load("t.npy"), expected)


def test_sample_of_one_row_and_with_a_seed_of_its_own():
    np.save("x.npy", np.array([0.0, 1.0, 2.0]))
    printed = run("sample", "x.npy", "-o", "t.npy", "--draws", 20)
    seed = int(printed.split()[-1])
    expected = sigmax.sample([0.0, 1.0, 2.0], shape=20, seed=seed)
    np.testing.assert_array_equal(np.load("t.npy"), expected)
    np.save("x.npy", np.array([[0.0, 1.0], [np.nan, 2.0]]))
    assert "x.npy: row 1 has NaN" in run("sample", "x.npy", "-o", "t.npy", code=BAD_DATA)


def test_info():
    assert "isa_available" in run("info")
    x = np.load("logits.npy")
    x[3, 1], x[4, 2], x[5, 2] = np.nan, np.inf, -np.inf
    np.savez("x.npz", logits=x, p=softmax(np.load("logits.npy")), names=np.array(["b", "a", "b"]))
    printed = run("info", "x.npz")
    assert re.search(r"logits\n +shape +\(3000, 4\)\n +type +float64\n", printed)
    assert re.search(r"NaN +1\n +infinite +2\n +probabilities +no", printed)
    assert re.search(r"p\n(.*\n)+ +probabilities +yes", printed)
    assert re.search(r"values +2: a, b", printed)
    Path("x.csv").write_text("cat,dog,label\n1,2,cat\n3,1,dog\n")
    printed = run("info", "x.csv")
    assert "cat, dog, label" in printed
    assert re.search(
        r"cat\n +shape +\(2,\)\n +type +float64\n +range +1 to 3",
        printed.replace("int64", "float64"),
    )


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("report",), USAGE, "Missing argument"),
        (("report", "none.npy"), USAGE, "does not exist"),
        (("report", "logits.npy", "labels.npy", "--method", "plat"), USAGE, "plat"),
        (("report", "logits.npy", "labels.npy", "--method", "platt"), BAD_DATA, "for two classes"),
        (("calibrate", "logits.npy", "labels.npy", "--method", "beta"), BAD_DATA, "two classes"),
        (("report", "logits.npy", "labels.npy", "--costs", "1"), USAGE, "--costs must be two"),
        (("report", "logits.npy", "labels.npy", "--coverage", "1"), USAGE, "must be in (0, 1)"),
        (("report", "logits.npy", "labels.npy", "--by", "none"), BAD_DATA, "--by must be a file"),
        (("report", "logits.npy", "labels.npy", "--multilabel"), BAD_DATA, "a label for each of"),
        (
            ("report", "logits.npy", "labels.npy", "--label-smoothing", "2"),
            USAGE,
            "2 is not in [0, 1]",
        ),
        (("report", "logits.npy", "labels.npy", "--bins", "0"), USAGE, "'--bins'"),
        (
            ("report", "logits.npy", "labels.npy", "-o", "report.pdf"),
            BAD_DATA,
            "must be .html or .htm, got .pdf",
        ),
        (
            ("report", "logits.npy", "labels.npy", "-o", "no/report.html"),
            BAD_DATA,
            "directory no does not exist",
        ),
        (("report", "logits.npy"), BAD_DATA, "name the file of the labels too"),
        (("report", "labels.npy", "logits.npy"), BAD_DATA, "must have 3000 labels"),
        (("report", "logits.npy", "labels.npy", "--probabilities"), BAD_DATA, "row 0, class"),
        (
            ("report", "logits.npy", "labels.npy", "--groups", "none"),
            BAD_DATA,
            "--groups must be a file",
        ),
        (("apply", "logits.npy", "labels.npy", "-o", "p.npy"), BAD_DATA, "not a calibration"),
        (
            ("softmax", "logits.npy", "-o", "p.txt"),
            BAD_DATA,
            "must be .npy or .csv or .parquet, got .txt",
        ),
        (
            ("softmax", "logits.npy", "-o", "p.npy", "--axis", "2"),
            BAD_DATA,
            "must be in [-2, 2), got 2",
        ),
        (("softmax", "logits.npy", "-o", "p.npy", "--temperature", "0"), BAD_DATA, "temperature"),
        (("softmax", "logits.npy", "-o", "p.npy", "--top-p", "2"), BAD_DATA, "top_p must be in"),
        (("sample", "logits.npy", "-o", "t.npy", "--top-k", "0"), BAD_DATA, "top_k must be at"),
        (("sample", "logits.npy", "-o", "t.csv"), BAD_DATA, "must be .npy, got .csv"),
        (
            ("sample", "logits.npy", "-o", "t.npy", "--no-replace", "--draws", "9"),
            BAD_DATA,
            "from row 0 on: shape must be at most the number of possible classes",
        ),
        (("sample", "logits.npy", "-o", "logits.npy"), BAD_DATA, "would be overwritten"),
        (("sample", "logits.npy", "-o", "t.npy", "--axis", "2"), BAD_DATA, "[-2, 2), got 2"),
        (
            ("sample", "logits.npy", "-o", "t.npy", "--preset", "vllm", "--typical-p", "0.5"),
            BAD_DATA,
            "has no place for typical_p",
        ),
        (
            ("report", "logits.npy", "labels.npy", "--scheduler", "tcp://127.0.0.1:1"),
            BAD_DATA,
            "127.0.0.1:1",
        ),
        (("frobnicate",), USAGE, "No such command"),
    ],
)
def test_errors_are_sentences(words, code, expected, here):
    before = names(here)
    printed = run(*words, code=code)
    assert expected in printed
    assert "Traceback" not in printed
    assert names(here) == before


def test_a_calibration_for_other_classes():
    run("calibrate", "logits.npy", "labels.npy")
    np.save("three.npy", np.zeros((5, 3)))
    printed = run("apply", "three.npy", "calibration.json", "-o", "p.npy", code=BAD_DATA)
    assert "has 3 classes, calibration.json is for 4" in printed


def test_softmax_of_logits_by_name():
    rows = '{"logits": {"cat": 1.0, "dog": 2.0}}\n{"logits": {"dog": 0.5, "cat": 1.0}}\n'
    Path("named.jsonl").write_text(rows)
    run("softmax", "named.jsonl", "-o", "p.npy")
    right = [1 / (1 + math.exp(1.0)), 1 / (1 + math.exp(-0.5))]
    np.testing.assert_allclose(np.load("p.npy")[:, 0], right, rtol=1e-15)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("[]", "not a calibration"),
        ('{"classes": ["a"]}', "'method' is missing"),
        ('{"classes": ["a"], "method": "plat"}', "got 'plat'"),
        ('{"classes": ["a"], "method": "platt"}', "for two classes, got 1"),
        (
            '{"classes": ["a", "b"], "method": "isotonic", "points": [1, 0], "values": [0, 1]}',
            "must rise",
        ),
        ('{"classes": ["a"], "method": "temperature", "sets": 3}', "sets must be an object"),
        ('{"classes": ["a"], "method": "temperature", "temperature": -1}', "2^1000], got -1.0"),
        (
            '{"classes": ["a"], "method": "vector", "scale": [1], "bias": [1, 2]}',
            "1 finite numbers",
        ),
        ("nonsense", "not a calibration"),
    ],
)
def test_what_is_no_calibration(value, expected):
    Path("calibration.json").write_text(value)
    printed = run("apply", "logits.npy", "calibration.json", "-o", "p.npy", code=BAD_DATA)
    assert expected in printed


def test_calibrate_writes_nothing_where_there_is_no_fit():
    np.save("labels.npy", np.load("logits.npy").argmax(axis=1))
    printed = run("calibrate", "logits.npy", "labels.npy", code=BAD_DATA)
    assert "no calibration: The label has the largest logit in all 3000 rows" in printed
    assert not Path("calibration.json").exists()


# ---------------------------------------------------------------- processes of their own


def test_without_a_terminal_there_is_no_bar_and_no_colour():
    process = start("report", "logits.npy", "labels.npy", "--resamples", 50)
    printed, errors = process.communicate()
    assert process.returncode == 0
    assert errors == ""
    assert "\x1b" not in printed
    assert "Better with temperature" in printed


def test_an_error_of_a_process_has_no_traceback():
    np.save("labels.npy", np.full(3000, 7))
    process = start("report", "logits.npy", "labels.npy")
    printed, errors = process.communicate()
    assert process.returncode == BAD_DATA
    assert printed == ""
    assert errors == "sigmax: labels.npy, row 0: labels must be in [0, 4), got 7\n"


def test_without_its_libraries_the_command_says_what_to_install():
    hide = "import sys; sys.modules['typer'] = None; import sigmax.cli; sigmax.cli.main()"
    result = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == "sigmax: needs typer: pip install 'sigmax[cli]'\n"


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.slow
def test_an_interrupted_run_leaves_nothing_half_written(by, suffix, here):
    """The input is large enough that the output grows for a while: it is interrupted when a part is there."""
    with Path("large.npy").open("wb") as file:
        shape = (20_000_000, 10)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 4 * shape[0] * shape[1])
    output = Path(f"p{suffix}")
    output.write_text("old")
    process = start("softmax", "large.npy", "-o", output)
    while not any(path.stat().st_size > 1000 for path in here.glob(f".p{suffix}.*.part*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    process.send_signal(by)
    _, errors = process.communicate()
    assert output.read_text() == "old"
    if by != signal.SIGKILL:  # which nobody can clean up after
        assert process.returncode == 130
        assert errors == "sigmax: interrupted, nothing was written\n"
        assert list(here.glob(".p*")) == []


# ---------------------------------------------------------------- a cluster


@pytest.fixture
def scheduler(cluster):
    return cluster.scheduler_address


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [".npy", ".parquet", ".arrow", ".pt", "soft labels", "probabilities"]
)
def test_a_cluster_gives_the_same(kind, scheduler, monkeypatch):
    monkeypatch.setattr(opening, "_PART", 4 * 700)
    logits, labels = np.load("logits.npy"), np.load("labels.npy")
    words = ["logits.npy", "labels.npy"]
    if kind == ".parquet":
        table = pa.table({**{name: logits[:, k] for k, name in enumerate("abcd")}, "label": labels})
        pa.parquet.write_table(table, "x.parquet", row_group_size=700)
        words = ["x.parquet"]
    elif kind == ".arrow":
        table = pa.table({**{name: logits[:, k] for k, name in enumerate("abcd")}, "label": labels})
        with pa.ipc.new_file("x.arrow", table.schema) as writer:
            writer.write_table(table, max_chunksize=700)
        words = ["x.arrow"]
    elif kind == ".pt":
        torch = pytest.importorskip("torch")
        torch.save({"logits": torch.from_numpy(logits), "labels": torch.from_numpy(labels)}, "x.pt")
        words = ["x.pt"]
    elif kind == "soft labels":
        np.save("labels.npy", 0.1 + 0.6 * np.eye(4)[labels])
    elif kind == "probabilities":
        np.save("logits.npy", softmax(logits))
        words.append("--probabilities")
    run("report", *words, "--resamples", 50, "-o", "here.html")
    run("report", *words, "--resamples", 50, "-o", "there.html", "--scheduler", scheduler)
    one, other = (json.loads(Path(name).read_text()) for name in ("here.json", "there.json"))
    assert one["fit"]["temperature"] == pytest.approx(other["fit"]["temperature"], rel=1e-10)
    assert one["verdict"]["key"] == other["verdict"]["key"] == "better"
    for name in ("accuracy", "nll", "brier", "ece", "adaptive_ece", "classwise_ece"):
        for side in ("before", "after", "difference"):
            expected = one[side][name]
            assert other[side][name]["value"] == pytest.approx(
                expected["value"], rel=1e-8, abs=1e-12
            )
            assert other[side][name]["interval"] == pytest.approx(
                expected["interval"], rel=1e-8, abs=1e-12
            )
    per_class = [{row["name"]: row["ece_after"] for row in x["per_class"]} for x in (one, other)]
    assert per_class[0] == pytest.approx(per_class[1], rel=1e-8)
    run("calibrate", *words, "--scheduler", scheduler)
    options = words[1 if len(words) == 1 else 2 :]
    if kind in (".parquet", ".arrow"):
        options = ["--logits-key", "a,b,c,d"]
    run("apply", words[0], "calibration.json", "-o", "here.npy", *options)
    run(
        "apply", words[0], "calibration.json", "-o", "there.npy", "--scheduler", scheduler, *options
    )
    assert Path("here.npy").read_bytes() == Path("there.npy").read_bytes()


@pytest.mark.slow
def test_a_cluster_refuses_what_it_cannot_read_in_parts(scheduler):
    np.savez("x.npz", logits=np.load("logits.npy"), labels=np.load("labels.npy"))
    printed = run("report", "x.npz", "--scheduler", scheduler, code=BAD_DATA)
    assert "x.npz" in printed
    assert "--scheduler takes .npy, .safetensors, .pt, .parquet and .arrow" in printed
    pa.parquet.write_table(pa.table({"a": [1.0], "b": [2.0]}).slice(1), "empty.parquet")
    printed = run("report", "empty.parquet", "labels.npy", "--scheduler", scheduler, code=BAD_DATA)
    assert "empty.parquet: has no rows" in printed
    run("calibrate", "logits.npy", "labels.npy")
    words = ("apply", "logits.npy", "calibration.json", "-o", "p.csv", "--scheduler", scheduler)
    assert "workers write .npy files" in run(*words, code=BAD_DATA)


@pytest.mark.slow
def test_a_worker_says_which_row_is_wrong(scheduler):
    logits = np.load("logits.npy")
    logits[2017, 3] = np.nan
    np.save("logits.npy", logits)
    printed = run("report", "logits.npy", "labels.npy", "--scheduler", scheduler, code=BAD_DATA)
    assert "logits.npy, row 2017, class 3" in printed
    assert not Path("report.html").exists()


# ---------------------------------------------------------------- its page


def examples():
    """The commands of the page, by section."""
    if not PAGE.exists():
        return []
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [block.removeprefix("$ ").strip().split("\n$ ") for block in blocks]


def test_the_examples_of_the_page_run():
    Path("scores.csv").write_text(
        "cat,dog,animal\n2.5,1,cat\n0,3,dog\n1.5,2,cat\n1,0,dog\n0,2.0,dog\n3,2,cat\n"
    )
    np.save("quantised.npy", np.round(np.load("logits.npy") * 4) / 4)
    np.save("one_hot.npy", np.eye(4, dtype=int)[np.load("labels.npy")])
    np.save("features.npy", np.random.default_rng(0).normal(size=(20, 5)))
    np.savez("head.npz", weight=np.ones((3, 5)), bias=np.arange(3.0))
    commands = [line for block in examples() for line in block if line.startswith("sigmax ")]
    assert {line.split()[1] for line in commands} == {
        "report", "compare", "calibrate", "apply", "softmax", "sample", "soften", "predict", "info", "demo"
    }  # fmt: skip
    for line in commands:
        if "--scheduler" not in line:
            run(*shlex.split(line.split("\n")[0])[1:])


def test_every_option_is_on_the_page():
    page = PAGE.read_text()
    for name in (
        "report",
        "compare",
        "calibrate",
        "apply",
        "softmax",
        "sample",
        "soften",
        "predict",
        "info",
        "demo",
    ):
        assert f"`sigmax {name}" in page
        for option in set(re.findall(r"(--[a-z-]+)", run(name, "--help"))) - {"--help"}:
            assert option in page, f"{option} of {name}"
