"""The parts of a report: their numbers are those of the functions, of each kind of classifier, and on the page."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

import sigmax
from sigmax import _intervals
from sigmax.files.find import Options
from sigmax.files.inputs import Inputs
from sigmax.files.questions import read_questions
from sigmax.report.labels import Labels
from sigmax.report.page import page
from sigmax.report.parts import _worst
from sigmax.report.study import Choices, study
from sigmax.report.verdict import _finer

ROWS = 1200


def inputs(logits, labels, **options):
    names = tuple(f"class {k}" for k in range(logits.shape[1]))
    return Inputs(logits, labels, None, names, (), (len(logits),), **options)


def many(classes=4, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(ROWS, classes)) * 3
    return z, (0.6 * z + rng.gumbel(size=z.shape)).argmax(axis=1)


def halves(rows, seed=0):
    order = np.random.default_rng(seed).permutation(rows)
    first = np.zeros(rows, bool)
    first[order[: rows // 2]] = True
    return first, ~first


def shown(result):
    beside = {
        "schema": 1, "sigmax": "0", "created": "2026-01-01T00:00:00", "command": "", "files": [], "title": "t",
        "conditions": [], "apply_commands": None,
    }  # fmt: skip
    return page({**beside, **json.loads(json.dumps(result))})


def test_parts_of_many_classes_are_those_of_the_functions():
    z, y = many()
    by = np.array(["a", "b", "c"])[np.arange(ROWS) % 3]
    result = study(inputs(z, y), Choices(coverage=0.8), by)
    parts, (fit, test) = result["parts"], halves(ROWS)
    t = result["fit"]["temperature"]
    curve = sigmax.risk_coverage(z[test], y[test], temperature=t)
    assert parts["decisions"]["after"]["aurc"]["value"] == pytest.approx(curve.aurc)
    assert parts["decisions"]["after"]["coverage_at"][0]["value"] == curve.coverage_at(0.9)
    split = sigmax.decompose(z[test], y[test], temperature=t, loss="brier")
    assert parts["decomposition"]["after"]["brier"]["miscalibration"] == pytest.approx(
        split.miscalibration
    )
    smooth = sigmax.calibration_error(z[test], y[test], kind="smooth")
    assert parts["smooth_ece"]["before"] == pytest.approx(smooth)
    sets = sigmax.conformal_sets(z[fit], y[fit], method="aps", coverage=0.8, temperature=t)
    of_aps = parts["sets"][1]
    assert (of_aps["method"], of_aps["threshold"]) == ("aps", sets.threshold)
    assert of_aps["size"]["value"] == pytest.approx(sets.measure(z[test], y[test]).size)
    slices = {s.name: s for s in sigmax.evaluate_by(z[test], y[test], by[test], temperature=t)}
    for row in parts["slices"]:
        assert row["after"]["gap"]["value"] == pytest.approx(slices[row["name"]].gap)
    assert parts["binary"] is None
    text = shown(result)
    assert [a for a in re.findall(r'<a href="#([\w-]+)"', text) if f'id="{a}"' not in text] == []
    assert text.count("<title>") > 10  # what bins say under the mouse


@pytest.mark.parametrize("method", ["temperature", "platt", "beta", "isotonic", "none"])
def test_two_classes(method):
    rng = np.random.default_rng(1)
    x = rng.normal(size=ROWS) * 2
    y = (rng.random(ROWS) < sigmax.sigmoid(0.5 * x - 0.5)).astype(int)
    result = study(inputs(np.stack([0 * x, x], axis=1), y), Choices(method=method, threshold=0.3))
    fit, test = halves(ROWS) if method != "none" else (None, np.ones(ROWS, bool))
    found = sigmax.evaluate_binary(x[test], y[test], threshold=0.3)
    binary = result["parts"]["binary"]
    assert binary["before"]["roc_auc"]["value"] == pytest.approx(found.roc_auc)
    assert binary["before"]["confusion"] == found.confusion
    if method in ("platt", "beta", "isotonic"):
        made = getattr(sigmax, f"fit_{method}")(x[fit], y[fit])
        p = made.apply(x[test])
        after = sigmax.brier_score(p, y[test], from_logits=False)
        assert result["after"]["brier"]["value"] == pytest.approx(after, rel=1e-9)
    thresholds = result["parts"]["thresholds"]
    assert [t["goal"] for t in thresholds] == ["f1", "cost"]
    assert thresholds[0]["chosen_from"] + thresholds[0]["scored_on"] == test.sum()
    assert "Yes or no" in shown(result)


def test_a_class_that_is_never_said_is_said_first():
    rng = np.random.default_rng(2)
    x = rng.normal(size=400) * 0.5 - 2.5
    y = (rng.random(400) < sigmax.sigmoid(x)).astype(int)
    text = shown(study(inputs(np.stack([0 * x, x], axis=1), y), Choices()))
    assert "The model never says &#39;class 1&#39;" in text
    assert text.index("never says") < text.index("How good?")


@pytest.mark.parametrize(
    ("method", "per_label"), [("temperature", False), ("platt", True), ("isotonic", True)]
)
def test_many_labels(method, per_label, tmp_path):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(500, 4)) * 2
    y = (rng.random(x.shape) < sigmax.sigmoid(x * [0.3, 0.5, 0.8, 1.0])).astype(int)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    rows, names = read_questions(tmp_path / "x.npy", tmp_path / "y.npy", Options())
    labels = Labels.of_questions(len(rows.logits), names)
    choices = Choices(method=method, per_label=per_label)
    result = study(rows, choices, labels=labels)
    fit, test = halves(500)
    joint = sigmax.evaluate(x[test], y[test], multilabel=True)
    assert result["before"]["nll"]["value"] == pytest.approx(joint.nll, rel=1e-12)
    assert result["before"]["nll"]["interval"] == pytest.approx(list(joint.nll.interval), rel=1e-9)
    if per_label:
        made = sigmax.fit_per_label(getattr(sigmax, f"fit_{method}"), x[fit], y[fit])
        p = made.apply(x[test])
    else:
        made = sigmax.fit_temperature(x[fit], y[fit], multilabel=True)
        p = made.apply(x[test])
        assert result["fit"]["temperature"] == made.temperature
    after = sigmax.brier_score(p, y[test], multilabel=True, from_logits=False)
    assert result["after"]["brier"]["value"] == pytest.approx(after, rel=1e-9)
    for row in result["labels"]["rows"]:
        k = row["index"]
        alone = sigmax.evaluate_binary(x[test][:, k], y[test][:, k])
        assert row["before"]["roc_auc"]["value"] == pytest.approx(alone.roc_auc)
    right = ((x[test] >= 0) == y[test]).all(axis=1).mean()
    assert result["labels"]["jointly"]["before"]["all_right"]["value"] == pytest.approx(right)
    assert 'id="labels"' in shown(result)


@pytest.mark.parametrize("rows", [2, 5, 30])
@pytest.mark.parametrize("classes", [2, 3])
def test_tiny_reports(rows, classes):
    rng = np.random.default_rng(4)
    z = rng.normal(size=(rows, classes))
    result = study(inputs(z, rng.integers(0, classes, rows)), Choices(resamples=20))
    assert "Decisions" in shown(result)


def test_groups_weights_and_distributions():
    z, y = many(3)
    rng = np.random.default_rng(5)
    options = {"groups": np.arange(ROWS) // 4, "weights": rng.random(ROWS)}
    result = study(
        Inputs(z, np.eye(3)[y], classes=("a", "b", "c"), batch=(ROWS,), **options),
        Choices(resamples=20),
    )
    assert result["parts"]["sets"] is None  # which need class indices
    assert result["parts"]["decisions"]["before"]["aurc"]["value"] is not None
    shown(result)


def test_the_worst_class_is_not_one_of_a_single_row():
    held, count = np.array([0.0, 0.6, 0.95, np.nan]), np.array([1, 100, 100, 0])
    found = SimpleNamespace(
        coverage_of_class=held,
        interval_of_class=_intervals.wilson(np.nan_to_num(held), count, 1.96),
    )
    assert _worst(found, "abcd") == {"name": "b", "coverage": 0.6}


def test_the_advice_for_yes_or_no_questions_is_a_method_that_they_have():
    of_two = {"labels": None, "data": {"classes": 2}}
    assert "platt" in _finer(of_two)
    assert "--per-label" in _finer({"labels": {}, "data": {"classes": 2}})
    assert "vector" in _finer({"labels": None, "data": {"classes": 3}})
