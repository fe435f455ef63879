"""Which rows to answer and from which probability on: definitions row by row, jackknife, the two halves, costs."""

import math

import numpy as np
import pytest

import sigmax

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(600, 5)) * 2
LABELS = (0.7 * LOGITS + RNG.gumbel(size=LOGITS.shape)).argmax(axis=1)
WEIGHT = RNG.random(600)


def area(sure, right, weight):
    """Σ s·(error rate of the rows that are at least as sure) / Σ s."""
    down_to = sure[None, :] >= sure[:, None]
    return weight @ ((down_to @ (weight * (1 - right))) / (down_to @ weight)) / weight.sum()


def answers(logits=LOGITS, labels=LABELS):
    p = sigmax.softmax(logits)
    return p.max(axis=1), (p.argmax(axis=1) == labels) * 1.0


def test_curve_and_areas_by_the_definition():
    curve = sigmax.risk_coverage(LOGITS, LABELS, sample_weight=WEIGHT)
    sure, right = answers()
    assert curve.aurc == pytest.approx(area(sure, right, WEIGHT), rel=1e-12)
    best = area(right - np.argsort(np.argsort(WEIGHT)) * (right == 0), right, WEIGHT)
    assert curve.excess == pytest.approx(curve.aurc - best, rel=1e-10)
    order = np.argsort(-sure)
    np.testing.assert_allclose(curve.coverage, np.cumsum(WEIGHT[order]) / WEIGHT.sum())
    accuracy = np.cumsum((WEIGHT * right)[order]) / np.cumsum(WEIGHT[order])
    np.testing.assert_allclose(curve.accuracy, accuracy)
    pairs = (sure[:, None] > sure)[right == 1][:, right == 0]
    expected = WEIGHT[right == 1] @ pairs @ WEIGHT[right == 0]
    expected /= WEIGHT[right == 1].sum() * WEIGHT[right == 0].sum()
    assert curve.auroc == pytest.approx(expected, rel=1e-12)
    half = np.searchsorted(curve.coverage, 0.5)
    assert curve.accuracy_at(0.5) == pytest.approx(accuracy[half])
    assert curve.coverage_at(0.75) == curve.coverage[accuracy >= 0.75][-1]
    assert curve.coverage_at(1.0) == (curve.coverage[accuracy == 1.0].max(initial=0.0))


def test_rows_of_one_confidence_are_answered_together():
    p = [[0.9, 0.1], [0.6, 0.4], [0.6, 0.4], [0.4, 0.6]]
    curve = sigmax.risk_coverage(p, [0, 1, 0, 1], from_logits=False)
    np.testing.assert_allclose(curve.coverage, [0.25, 1.0])
    np.testing.assert_allclose(curve.accuracy, [1.0, 0.75])
    np.testing.assert_allclose(curve.confidence, [0.9, 0.6])


def test_error_of_the_area_is_that_of_leaving_rows_out():
    z, y = LOGITS[:150], LABELS[:150]
    curve = sigmax.risk_coverage(z, y)
    without = [
        float(sigmax.risk_coverage(np.delete(z, k, 0), np.delete(y, k)).aurc) for k in range(150)
    ]
    error = np.sqrt(149 / 150 * ((np.array(without) - np.mean(without)) ** 2).sum())
    low, high = curve.aurc.interval
    width = math.log(high / (1 - high)) - math.log(low / (1 - low))
    assert width == pytest.approx(2 * 1.96 * error / (curve.aurc * (1 - curve.aurc)), rel=0.03)


@pytest.mark.parametrize("name", ["aurc", "auroc", "accuracy_at", "coverage_at"])
def test_intervals_hold_the_truth(name):
    rng = np.random.default_rng(1)

    def curve(count):
        z = rng.normal(size=(count, 4)) * 2
        return sigmax.risk_coverage(z, (0.7 * z + rng.gumbel(size=z.shape)).argmax(axis=1))

    def number(of):
        return getattr(of, name) if name.startswith("au") else getattr(of, name)(0.7)

    truth = float(number(curve(30_000)))
    held = [low <= truth <= high for low, high in (number(curve(300)).interval for _ in range(120))]
    assert np.mean(held) >= 0.88  # 0.95, less three and a half standard errors


# ---------------------------------------------------------------- thresholds


Z = RNG.normal(size=1000) * 2 - 1
Y = (RNG.random(1000) < 1 / (1 + np.exp(-Z))).astype(int)


def scores(threshold, p, y, costs):
    yes = p >= threshold
    tp, fp, fn = (yes & (y == 1)).sum(), (yes & (y == 0)).sum(), (~yes & (y == 1)).sum()
    return {
        "precision": tp / max(yes.sum(), 1),
        "recall": tp / (y == 1).sum(),
        "f1": 2 * tp / (2 * tp + fp + fn),
        "cost": (costs[0] * fp + costs[1] * fn) / len(y),
    }


@pytest.mark.parametrize(
    ("goal", "value"), [("cost", None), ("f1", None), ("precision", 0.75), ("recall", 0.9)]
)
def test_threshold_is_the_best_of_one_half_scored_on_the_other(goal, value):
    costs = (1.0, 4.0)
    chosen = sigmax.choose_threshold(Z, Y, goal=goal, value=value, costs=costs)
    p = sigmax.sigmoid(Z)
    rng = np.random.default_rng([0, 3])
    first = np.zeros(1000, bool)
    first[rng.permutation(1000)[:500]] = True
    all_scores = [scores(t, p[first], Y[first], costs) for t in p[first]]
    by_goal = {
        "cost": lambda s: -s["cost"],
        "f1": lambda s: s["f1"],
        "precision": lambda s: s["recall"] if s["precision"] >= 0.75 else -1,
        "recall": lambda s: s["precision"] if s["recall"] >= 0.9 else -1,
    }[goal]
    found = scores(chosen.threshold, p[first], Y[first], costs)
    assert by_goal(found) == pytest.approx(max(map(by_goal, all_scores)))
    expected = scores(chosen.threshold, p[~first], Y[~first], costs)
    for name, number in expected.items():
        assert chosen.scores[name] == pytest.approx(number)
        low, high = chosen.scores[name].interval
        assert low <= number <= high
    assert (chosen.chosen_from, chosen.scored_on) == (500, 500)


def test_threshold_to_answer_with_an_accuracy():
    chosen = sigmax.choose_threshold(LOGITS, LABELS, goal="accuracy", value=0.7)
    assert 0 < chosen.scores["coverage"] < 1
    assert chosen.scores["accuracy"].interval[0] < 0.7 < chosen.scores["accuracy"].interval[1]
    never = sigmax.choose_threshold([0.0] * 60, [0, 1] * 30, goal="accuracy", value=0.99)
    assert never.threshold == math.inf
    assert math.isnan(never.scores["accuracy"])


def test_groups_are_in_one_half():
    same = np.arange(1000) // 100
    chosen = sigmax.choose_threshold(Z, Y, goal="f1", groups=same)
    assert chosen.chosen_from % 100 == 0


def test_errors():
    with pytest.raises(
        ValueError, match="a threshold needs 50 rows to choose from and score, got 49"
    ):
        sigmax.choose_threshold(Z[:49], Y[:49], goal="f1")
    with pytest.raises(ValueError, match="value must be given for goal='recall'"):
        sigmax.choose_threshold(Z, Y, goal="recall")
    with pytest.raises(ValueError, match="value must be left out for goal='f1'"):
        sigmax.choose_threshold(Z, Y, goal="f1", value=0.5)
    with pytest.raises(ValueError, match="two at least"):
        sigmax.choose_threshold(Z, Y, goal="f1", groups=np.zeros(1000, int))


# ---------------------------------------------------------------- costs


@pytest.mark.parametrize("axis", [0, 1])
def test_decisions_cost_least(axis):
    costs = RNG.random((5, 7))
    p = sigmax.softmax(LOGITS, temperature=2.0)
    expected = [
        min(range(7), key=lambda a, q=q: sum(q[k] * costs[k, a] for k in range(5))) for q in p
    ]
    x = LOGITS.T if axis == 0 else LOGITS
    np.testing.assert_array_equal(sigmax.decide(x, costs, axis, temperature=2.0), expected)
    np.testing.assert_array_equal(sigmax.decide(p, costs, from_logits=False), expected)
    np.testing.assert_array_equal(
        sigmax.decide(p, 1 - np.eye(5), from_logits=False), p.argmax(axis=1)
    )
    with pytest.raises(ValueError, match=r"costs must have the shape \(5, answers\), got \(4, 5\)"):
        sigmax.decide(LOGITS, np.ones((4, 5)))
