"""Fits: the temperature against independent root finders, data without a best one, vector scaling on held-out rows."""

import math

import mpmath
import numpy as np
import pytest
from flint import arb, ctx
from reference import of_floats

import sigmax

STATUS = {"separable": 0.0, "chance": math.inf}


def sampled(rng, rows, classes, temperature=1.7, spread=3.0, scale=1.0, bias=0.0):
    """Logits, and labels drawn from their softmax(scale · logits + bias) at a temperature."""
    logits = rng.normal(size=(rows, classes)) * spread
    x = (scale * logits + bias) / temperature
    labels = (x + rng.gumbel(size=x.shape)).argmax(axis=-1)
    return logits, labels


def root(logits, q, weight=None):
    """1/b where Σ s·(Σ p·z − Σ q·z) is 0, by bisection in balls of 57 digits."""
    weight = np.ones(len(logits)) if weight is None else weight
    with ctx.workprec(192):
        rows = [
            (of_floats(z[z > -np.inf]), of_floats(label[z > -np.inf]), arb(float(s)))
            for z, label, s in zip(np.asarray(logits), np.asarray(q), weight, strict=True)
        ]

        def slope(b):
            total = arb(0)
            for z, label, s in rows:
                top = max(z)
                e = [(b * (v - top)).exp() for v in z]
                mean = sum((x * v for x, v in zip(e, z, strict=True)), arb(0)) / sum(e, arb(0))
                own = sum((x * v for x, v in zip(label, z, strict=True)), arb(0))
                total += s * (sum(label, arb(0)) * mean - own)
            return total

        low, high = arb(1) / 1000, arb(1000)
        while high - low > arb(10) ** -25 * high:
            middle = ((low + high) / 2).mid()
            low, high = (middle, high) if slope(middle) < 0 else (low, middle)
        return float(1 / low)


# ---------------------------------------------------------------- the temperature


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("temperature", [0.2, 1.7, 30.0])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_against_bisection(classes, temperature, dtype):
    rng = np.random.default_rng(classes)
    logits, labels = sampled(rng, 60, classes, temperature, spread=temperature)
    logits = logits.astype(dtype)
    fit = sigmax.fit_temperature(logits, labels)
    assert fit.status == "ok"
    assert fit.temperature == pytest.approx(root(logits, np.eye(classes)[labels]), rel=1e-13)


def test_soft_labels_weights_and_masks_against_bisection():
    rng = np.random.default_rng(1)
    logits, labels = sampled(rng, 50, 5)
    masked = (rng.random((50, 5)) < 0.2) & (np.arange(5) != labels[:, None])
    soft = np.where(masked, 0.0, rng.dirichlet(np.ones(5), 50) + 2 * np.eye(5)[labels])
    soft /= soft.sum(axis=-1, keepdims=True)
    weight = rng.random(50)
    fit = sigmax.fit_temperature(logits, soft, sample_weight=weight, where=~masked)
    expected = root(np.where(masked, -np.inf, logits), soft, weight)
    assert fit.temperature == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("smoothing", [0.1, "laplace"])
def test_label_smoothing_is_soft_labels(smoothing):
    rng = np.random.default_rng(2)
    logits, labels = sampled(rng, 80, 4)
    mask = (rng.random((80, 4)) < 0.9) | (np.arange(4) == labels[:, None])
    share = 1 / 81 if smoothing == "laplace" else smoothing
    soft = sigmax.smooth_labels(np.eye(4)[labels], share, where=mask)
    fit = sigmax.fit_temperature(logits, labels, where=mask, label_smoothing=smoothing)
    expected = root(np.where(mask, logits, -np.inf), soft)
    assert fit.temperature == pytest.approx(expected, rel=1e-13)
    assert fit.nll_before == pytest.approx(
        sigmax.cross_entropy(logits, labels, where=mask), rel=1e-14
    )


@pytest.mark.parametrize("shift", [0.0, 560.0, -1e4])
def test_logits_far_from_0(shift):
    logits, labels = sampled(np.random.default_rng(3), 200, 6)
    logits = np.ldexp(np.rint(np.ldexp(logits, 20)), -20)  # so that adding the shift is exact
    expected = sigmax.fit_temperature(logits, labels).temperature
    assert sigmax.fit_temperature(logits + shift, labels).temperature == pytest.approx(
        expected, rel=1e-12
    )


def test_float32_gives_the_temperature_of_float64():
    logits, labels = sampled(np.random.default_rng(4), 5000, 30)
    logits = logits.astype(np.float32)
    single = sigmax.fit_temperature(logits, labels)
    double = sigmax.fit_temperature(logits.astype(np.float64), labels)
    assert single.temperature == pytest.approx(double.temperature, rel=1e-14)
    assert single.interval == pytest.approx(double.interval, rel=1e-13)
    assert single.nll_after == pytest.approx(double.nll_after, rel=1e-8)


@pytest.mark.parametrize("factor", [2.0**-480, 2.0**-80, 2.0**-8, 2.0**8, 2.0**80, 2.0**480])
def test_logits_of_any_size(factor):
    logits, labels = sampled(np.random.default_rng(5), 300, 4)
    expected = sigmax.fit_temperature(logits, labels).temperature
    fit = sigmax.fit_temperature(logits * factor, labels)
    assert fit.temperature == pytest.approx(expected * factor, rel=1e-13)
    assert fit.iterations < 15


def test_logits_too_far_apart_for_squares():
    logits, labels = sampled(np.random.default_rng(5), 300, 4)
    logits[7] = [1e300, 0.0, -np.inf, 5.0]
    with pytest.raises(
        ValueError, match=r"less than 2\^500 apart in a row, got 1e\+300 at index \(7,\)"
    ):
        sigmax.fit_temperature(logits, np.where(np.arange(300) == 7, 1, labels))
    assert sigmax.fit_temperature(logits[:7] * 1e-300, labels[:7]).status == "flat"


def test_few_passes():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        logits, labels = sampled(rng, 1000, 10, rng.uniform(0.5, 4))
        assert sigmax.fit_temperature(logits, labels).iterations <= 9


def test_confident_rows_keep_their_digits():
    """One row in a million is wrong: the slope is a difference of numbers of 1e-6 of the logits."""
    logits = np.array([[40.0, 0.0]] * 3 + [[0.0, 40.0]])
    weight = np.array([1e6, 1e6, 1e6, 1.0])
    fit = sigmax.fit_temperature(logits, [0, 0, 0, 0], sample_weight=weight)
    assert fit.status == "single_class"
    fit = sigmax.fit_temperature(logits, [0, 0, 1, 1], sample_weight=[1e9, 1e9, 1.0, 1e9])
    assert fit.temperature == pytest.approx(40.0 / math.log(3e9), rel=1e-12)


def test_weight_2_is_a_row_twice():
    logits, labels = sampled(np.random.default_rng(6), 300, 5)
    weight = np.where(np.arange(300) % 3, 1.0, 2.0)
    twice = np.repeat(np.arange(300), weight.astype(int))
    weighted = sigmax.fit_temperature(logits, labels, sample_weight=weight)
    repeated = sigmax.fit_temperature(logits[twice], labels[twice])
    assert weighted.temperature == pytest.approx(repeated.temperature, rel=1e-14)
    assert weighted.nll_after == pytest.approx(repeated.nll_after, rel=1e-14)


def test_the_scale_of_weights_changes_nothing():
    rng = np.random.default_rng(7)
    logits, labels = sampled(rng, 300, 5)
    weight = rng.random(300)
    one, other = (
        sigmax.fit_temperature(logits, labels, sample_weight=w) for w in (weight, 1e6 * weight)
    )
    assert one.interval == pytest.approx(other.interval, rel=1e-12)
    assert one.nll_before == pytest.approx(other.nll_before, rel=1e-12)


@pytest.mark.parametrize("scale", [2.0**k for k in (-1074, -1000, -565, 532, 665, 1023)])
@pytest.mark.parametrize("classes", [3, 130])
def test_weights_of_any_scale(scale, classes):
    """Powers of two change no bit; with 130 classes the fit takes other steps."""
    logits, labels = sampled(np.random.default_rng(30), 100, classes)
    logits, labels = np.vstack([logits, logits[:1]]), np.append(labels, -1)
    once = np.append(np.ones(100), 1e300)  # that of a row which is left out: of no account
    for fit in (sigmax.fit_temperature, sigmax.fit_vector_scaling):
        one = fit(logits, labels, sample_weight=once, ignore_index=-1)
        other = fit(logits, labels, sample_weight=np.full(101, scale), ignore_index=-1)
        assert one.status == other.status == "ok"
        for name, value in vars(one).items():
            np.testing.assert_equal(vars(other)[name], value, err_msg=name)
    result = sigmax.evaluate(logits[:100], labels[:100], sample_weight=np.full(100, scale))
    expected = sigmax.evaluate(logits[:100], labels[:100], sample_weight=np.ones(100))
    assert repr(result) == repr(expected)


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1e160, 1e200])
def test_different_weights_of_any_scale(scale):
    logits, labels = sampled(np.random.default_rng(31), 300, 3)
    weight = np.random.default_rng(32).random(300)
    for fit in (sigmax.fit_temperature, sigmax.fit_vector_scaling):
        one, other = (fit(logits, labels, sample_weight=w) for w in (weight, scale * weight))
        assert other.status == one.status == "ok"
        assert other.nll_after == pytest.approx(one.nll_after, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_smallest_number_is_a_mask(dtype, added, smoothing):
    """As padding of models that add finfo.min to logits, or set them to it."""
    logits, labels = sampled(np.random.default_rng(33), 200, 5)
    logits = logits.astype(dtype)
    masked, padded = logits.copy(), logits.copy()
    masked[:, 3:], least = -np.inf, np.finfo(dtype).min
    with np.errstate(over="ignore"):
        padded[:, 3:] = np.maximum(padded[:, 3:] + least, least) if added else least
    labels %= 3
    for fit in (sigmax.fit_temperature, sigmax.fit_vector_scaling):
        one, other = (fit(x, labels, label_smoothing=smoothing) for x in (masked, padded))
        assert one.status == "ok"
        np.testing.assert_equal(vars(other), vars(one))
        assert other.apply(padded).tobytes() == one.apply(masked).tobytes()
        with pytest.raises(ValueError, match=r"labels must not be of a masked class.*index \(0,\)"):
            fit(padded, np.where(np.arange(200) == 0, 4, labels))


def test_losses_before_and_after():
    rng = np.random.default_rng(8)
    logits, labels = sampled(rng, 300, 5)
    weight = rng.random(300)
    fit = sigmax.fit_temperature(logits, labels, sample_weight=weight)
    for temperature, nll in ((1.0, fit.nll_before), (fit.temperature, fit.nll_after)):
        log_p = logits / temperature
        log_p = log_p - np.log(np.exp(log_p).sum(axis=-1, keepdims=True))
        losses = -log_p[np.arange(300), labels]
        assert nll == pytest.approx((weight * losses).sum() / weight.sum(), rel=1e-13)
    assert fit.nll_after < fit.nll_before


def test_probabilities():
    logits, labels = sampled(np.random.default_rng(9), 300, 5)
    p = sigmax.softmax(logits)
    fit = sigmax.fit_temperature(p, labels, from_logits=False)
    expected = sigmax.fit_temperature(logits, labels)
    assert fit.temperature == pytest.approx(expected.temperature, rel=1e-12)
    np.testing.assert_allclose(fit.apply(p, from_logits=False), expected.apply(logits), rtol=1e-10)


def test_apply():
    logits, labels = sampled(np.random.default_rng(10), 300, 5)
    fit = sigmax.fit_temperature(logits, labels)
    expected = sigmax.softmax(logits, temperature=fit.temperature)
    assert np.array_equal(fit.apply(logits), expected)
    assert np.array_equal(fit.apply(logits.T, axis=0), expected.T)
    with pytest.raises(ValueError, match=r"logits must be in \[0, 1\]"):
        fit.apply(logits, from_logits=False)


def test_against_scikit_learn():
    calibration = pytest.importorskip("sklearn.calibration")
    logits, labels = sampled(np.random.default_rng(11), 2000, 6)
    scaling = calibration._TemperatureScaling().fit(logits, labels)
    fit = sigmax.fit_temperature(logits, labels)
    assert fit.temperature == pytest.approx(1 / scaling.beta_, rel=1e-4)


def test_logits_of_a_text_classifier():
    """Naive Bayes counts every word as independent evidence: it is too sure of itself."""
    naive_bayes = pytest.importorskip("sklearn.naive_bayes")
    rng = np.random.default_rng(12)
    topics = rng.dirichlet(np.full(300, 0.05), 6)

    def texts(count):
        labels = rng.integers(0, 6, count)
        mixed = 0.8 * topics[labels] + 0.2 * topics[rng.integers(0, 6, count)]
        words = np.stack([rng.multinomial(3, p) for p in mixed])
        return np.repeat(words, 4, axis=1).reshape(
            count, -1
        ), labels  # every word occurs four times

    model = naive_bayes.MultinomialNB().fit(*texts(2000))
    words, labels = texts(2000)
    logits = model.predict_joint_log_proba(words)
    fit = sigmax.fit_temperature(logits, labels)
    assert fit.temperature > 2
    words, labels = texts(2000)
    logits = model.predict_joint_log_proba(words)
    before = sigmax.evaluate(logits, labels)
    after = sigmax.evaluate(logits, labels, temperature=fit.temperature)
    assert after.accuracy == before.accuracy
    for name in ("nll", "brier", "ece"):
        assert after.difference(before)[name].interval[1] < 0


# ---------------------------------------------------------------- the interval


@pytest.mark.slow
def test_interval_covers_the_temperature():
    """400 samples, 90 %: 360 ± 6 expected."""
    rng = np.random.default_rng(13)
    inside = 0
    for _ in range(400):
        logits, labels = sampled(rng, 200, 4)
        low, high = sigmax.fit_temperature(logits, labels, confidence=0.9).interval
        inside += low < 1.7 < high
    assert 335 <= inside <= 385


@pytest.mark.slow
def test_interval_covers_with_weights():
    """Weights that say which rows matter make the interval wider than that of as many rows."""
    rng = np.random.default_rng(14)
    inside = 0
    for _ in range(400):
        logits, labels = sampled(rng, 300, 4)
        weight = rng.exponential(size=300) ** 2
        fit = sigmax.fit_temperature(logits, labels, sample_weight=weight, confidence=0.9)
        inside += fit.interval[0] < 1.7 < fit.interval[1]
    assert 330 <= inside <= 388


def test_interval_by_confidence():
    logits, labels = sampled(np.random.default_rng(15), 300, 4)
    widths = []
    for confidence in (0.0, 0.5, 0.95, 0.999):
        fit = sigmax.fit_temperature(logits, labels, confidence=confidence)
        widths.append(fit.interval[1] / fit.interval[0])
    assert widths[0] == 1.0
    assert widths == sorted(widths)
    with pytest.raises(ValueError, match=r"confidence must be in \[0, 1\), got 1"):
        sigmax.fit_temperature(logits, labels, confidence=1.0)


def by_definition(logits, labels):
    """Status, T and the standard error of log T of the sandwich, by differences and bisection in 60 digits."""
    rows = [[mpmath.mpf(float(v)) for v in row] for row in logits]

    def loss(b, n):
        return mpmath.log(mpmath.fsum(mpmath.exp(b * (v - rows[n][labels[n]])) for v in rows[n]))

    def slope(b, n):
        step = mpmath.mpf(10) ** -20
        return (loss(b + step, n) - loss(b - step, n)) / (2 * step)

    count = range(len(rows))
    total = lambda b: mpmath.fsum(slope(b, n) for n in count)  # noqa: E731
    if logits.shape[1] == 1 or len(set(labels)) == 1:
        return "single_class", None, None
    if all(len(set(row)) == 1 for row in rows):
        return "flat", None, None
    if total(mpmath.mpf(1000)) < 1e-15:
        return "separable", None, None
    if total(mpmath.mpf(0)) > -1e-15:
        return "chance", None, None
    b = mpmath.findroot(total, (mpmath.mpf(10) ** -9, 1000), solver="anderson", tol=1e-30)
    curvature = (total(b + mpmath.mpf(10) ** -10) - total(b - mpmath.mpf(10) ** -10)) * 10**10 / 2
    squares = mpmath.fsum(slope(b, n) ** 2 for n in count) * len(rows) / (len(rows) - 1)
    return "ok", float(1 / b), float(mpmath.sqrt(squares) / (b * curvature))


@pytest.mark.parametrize("seed", range(120))
def test_tiny_data_against_the_definition(seed):
    """1 to 5 rows of small whole numbers: ties, all right, all wrong, constant rows, labels of one class."""
    rng = np.random.default_rng([34, seed])
    shape = int(rng.integers(1, 6)), int(rng.choice([1, 2, 2, 3, 4]))
    logits = rng.integers(-2, 3, shape).astype(float)
    labels = rng.integers(0, shape[1], shape[0])
    if seed % 4 == 0:
        labels = logits.argmax(axis=1)
    with mpmath.workdps(60):
        status, temperature, error = by_definition(logits, labels)
    fit = sigmax.fit_temperature(logits, labels)
    assert fit.status == status
    if status == "ok":
        assert fit.temperature == pytest.approx(temperature, rel=1e-8)
        low, high = fit.interval
        assert 0 <= low < fit.temperature < high
        if error < 300:
            factor = math.exp(1.959963984540054 * error)
            assert (low, high) == pytest.approx(
                (temperature / factor, temperature * factor), rel=1e-6
            )


def test_the_interval_where_chance_shows_no_variance():
    """Soft labels that the fit meets exactly, and a single row: never of width 0, never NaN."""
    logits = np.array([[1.0, 0.0], [0.0, 1.0]])
    exact = sigmax.fit_temperature(logits, sigmax.softmax(logits, temperature=2.0))
    assert exact.status == "ok"
    assert exact.interval[0] < exact.temperature < exact.interval[1]
    assert exact.interval == pytest.approx((2.0, 2.0), rel=1e-12)
    for confidence in (0.0, 0.5, 0.95):
        one = sigmax.fit_temperature(logits[:1], [[0.6, 0.4]], confidence=confidence)
        assert one.status == "ok"
        expected = (one.temperature,) * 2 if confidence == 0 else (0.0, math.inf)
        assert one.interval == expected


# ---------------------------------------------------------------- data without a best temperature

LOGITS, LABELS = sampled(np.random.default_rng(16), 200, 4)
RIGHT, WRONG = LOGITS.argmax(axis=-1), LOGITS.argmin(axis=-1)
TIED = np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0], [3.0, 0.0, 3.0]])
DEGENERATE = [
    ("separable", LOGITS, RIGHT, {}, "largest logit in all 200 rows.*'laplace'"),
    ("separable", LOGITS, np.eye(4)[RIGHT], {}, "largest logit in all 200 rows"),
    ("separable", TIED, [0, 2, 0], {}, "largest logit in all 3 rows"),
    ("separable", TIED, [[0.3, 0.7, 0], [0, 0.1, 0.9], [1, 0, 0]], {}, "largest logit"),
    ("chance", LOGITS, WRONG, {}, "no higher than the others.*200 rows.*infinite"),
    ("chance", np.vstack([LOGITS, -LOGITS]), np.tile(LABELS, 2), {}, "no higher than the others"),
    ("chance", LOGITS, LABELS, {"label_smoothing": 1.0}, "no higher than the others"),
    ("flat", np.full((5, 3), 7.5), [0, 1, 2, 0, 1], {}, "All 5 rows have equal logits"),
    ("single_class", np.zeros((5, 1)), [0] * 5, {}, "logits have a single class"),
    ("single_class", LOGITS, [2] * 200, {}, "All 200 rows have the label 2"),
    ("single_class", LOGITS, np.eye(4)[[2] * 200], {}, "All 200 rows have the label 2"),
    ("empty", LOGITS[:0], LABELS[:0], {}, "No rows are left"),
    ("empty", LOGITS, [-1] * 200, {"ignore_index": -1}, "No rows are left"),
    ("empty", LOGITS, LABELS, {"sample_weight": 0.0}, "No rows are left"),
]


@pytest.mark.parametrize(("status", "logits", "labels", "options", "message"), DEGENERATE)
def test_data_without_a_best_temperature(status, logits, labels, options, message):
    fit = sigmax.fit_temperature(logits, labels, **options)
    assert fit.status == status
    np.testing.assert_equal(fit.temperature, STATUS.get(status, math.nan))
    assert np.isnan(fit.interval).all()
    assert math.isnan(fit.nll_after)
    assert fit.iterations == 0
    with pytest.raises(ValueError, match=message) as error:
        fit.apply(LOGITS)
    assert str(error.value) == fit.message


@pytest.mark.parametrize(("status", "logits", "labels", "options", "message"), DEGENERATE)
def test_data_without_vector_scaling(status, logits, labels, options, message):
    fit = sigmax.fit_vector_scaling(logits, labels, **options)
    if status == "chance":
        assert fit.status == "ok"
        return
    assert fit.status == status
    assert np.isnan(fit.scale).all()
    with pytest.raises(ValueError, match=message):
        fit.apply(LOGITS)


def test_separable_data_with_smoothing():
    fit = sigmax.fit_temperature(LOGITS, RIGHT, label_smoothing="laplace")
    expected = root(LOGITS, sigmax.smooth_labels(np.eye(4)[RIGHT], 1 / 201))
    assert fit.status == "ok"
    assert fit.temperature == pytest.approx(expected, rel=1e-12)


def test_one_wrong_row_is_not_separable():
    labels = RIGHT.copy()
    labels[17] = WRONG[17]
    assert sigmax.fit_temperature(LOGITS, labels).status == "ok"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_legal(value):
    logits = LOGITS.copy()
    logits[17, 2] = value
    with pytest.raises(ValueError, match=rf"logits .* got {value} for class 2 at index \(17,\)"):
        sigmax.fit_temperature(logits, LABELS)
    with pytest.raises(ValueError, match=rf"logits .* got {value} for class 2 at index \(17,\)"):
        sigmax.fit_vector_scaling(logits, LABELS)


@pytest.mark.parametrize("soft", [False, True])
def test_label_of_a_masked_class(soft):
    logits = LOGITS.copy()
    logits[17, LABELS[17]] = -np.inf
    labels = np.eye(4)[LABELS] if soft else LABELS
    message = rf"labels must not be of a masked class .* got {LABELS[17]} at index \(17,\)"
    with pytest.raises(ValueError, match=message):
        sigmax.fit_temperature(logits, labels)
    where = np.isfinite(logits)
    with pytest.raises(ValueError, match=message):
        sigmax.fit_temperature(LOGITS, labels, where=where)


def test_row_that_is_masked_throughout():
    logits = LOGITS.copy()
    logits[17] = -np.inf
    with pytest.raises(ValueError, match=r"masked class .* at index \(17,\)"):
        sigmax.fit_temperature(logits, LABELS)


def test_options_that_are_not_legal():
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\], got 2"):
        sigmax.fit_temperature(LOGITS, LABELS, label_smoothing=2.0)
    with pytest.raises(ValueError, match=r"label_smoothing must be .* 'laplace', got 'platt'"):
        sigmax.fit_temperature(LOGITS, LABELS, label_smoothing="platt")
    with pytest.raises(ValueError, match=r"regularization must be .* 'auto', got 'none'"):
        sigmax.fit_vector_scaling(LOGITS, LABELS, regularization="none")
    with pytest.raises(ValueError, match=r"regularization must be in \[0, "):
        sigmax.fit_vector_scaling(LOGITS, LABELS, regularization=-1.0)


# ---------------------------------------------------------------- vector scaling


@pytest.mark.parametrize("classes", [3, 10, 130])
def test_vector_scaling_is_the_minimum(classes):
    """SciPy minimises the same objective, written with logsumexp in scales and biases themselves."""
    optimize, special = pytest.importorskip("scipy.optimize"), pytest.importorskip("scipy.special")
    rng = np.random.default_rng(20)
    bias = rng.normal(size=classes)
    logits, labels = sampled(rng, 500, classes, bias=2 * bias)
    fit = sigmax.fit_vector_scaling(logits, labels, regularization=0.7)
    assert fit.status == "ok"
    b = 1 / sigmax.fit_temperature(logits, labels).temperature
    p = special.softmax(b * logits, axis=-1)
    h = p * (1 - p)
    middle = (h * logits).sum(axis=0) / h.sum(axis=0)
    spread = math.sqrt((h * (logits - middle) ** 2).sum() / h.sum())
    q = np.eye(classes)[labels]

    def objective(parameters):
        a, c = parameters.reshape(2, -1)
        x = a * logits + c
        u, v = (a - b) * spread, c + (a - b) * middle
        penalty = 0.35 * (u @ u + v @ v)
        loss = special.logsumexp(x, axis=-1).sum() - (q * x).sum() + penalty
        slopes = special.softmax(x, axis=-1) - q
        of_a = (slopes * logits).sum(axis=0) + 0.7 * (u * spread + v * middle)
        return loss, np.concatenate([of_a, slopes.sum(axis=0) + 0.7 * v])

    start = np.repeat([b, 0.0], classes)
    options = {"maxiter": 10000, "maxfun": 10**5, "ftol": 1e-15, "gtol": 1e-7}
    found = optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    a, c = found.x.reshape(2, -1)
    np.testing.assert_allclose(fit.scale, a, atol=2e-5)
    np.testing.assert_allclose(fit.bias, c - c.mean(), atol=2e-5)


def test_few_classes_and_many_take_different_steps_to_one_minimum(monkeypatch):
    logits, labels = sampled(np.random.default_rng(21), 1000, 20, bias=np.arange(20) / 5)
    newton = sigmax.fit_vector_scaling(logits, labels)
    monkeypatch.setattr(sigmax.calibration, "_FEW_CLASSES", 0)
    other = sigmax.fit_vector_scaling(logits, labels)
    assert newton.iterations < other.iterations
    np.testing.assert_allclose(newton.scale, other.scale, atol=1e-6)
    np.testing.assert_allclose(newton.bias, other.bias, atol=1e-6)


@pytest.mark.parametrize(("classes", "rows"), [(3, 200), (10, 500), (10, 5000), (100, 1000)])
def test_vector_scaling_helps_with_class_bias(classes, rows):
    rng = np.random.default_rng(22)
    bias, scale = 2 * rng.normal(size=classes), np.exp(rng.normal(size=classes) / 4)
    fit_on, test_on = (sampled(rng, n, classes, scale=scale, bias=bias) for n in (rows, 5000))
    temperature = sigmax.fit_temperature(*fit_on).apply(test_on[0])
    vector = sigmax.fit_vector_scaling(*fit_on).apply(test_on[0])
    weak = sigmax.fit_vector_scaling(*fit_on, regularization=1e-3).apply(test_on[0])
    by_temperature, by_vector, by_weak = (
        sigmax.cross_entropy(p, test_on[1], from_logits=False) for p in (temperature, vector, weak)
    )
    assert by_vector < by_temperature - 0.03
    assert by_vector < by_weak + 0.03


@pytest.mark.parametrize(("classes", "rows"), [(3, 200), (10, 500), (10, 5000), (100, 1000)])
def test_vector_scaling_does_not_hurt_without(classes, rows):
    rng = np.random.default_rng(23)
    losses = []
    for _ in range(5):
        fit_on, test_on = (sampled(rng, n, classes) for n in (rows, 5000))
        fits = sigmax.fit_temperature(*fit_on), sigmax.fit_vector_scaling(*fit_on)
        losses.append(
            [sigmax.cross_entropy(f.apply(test_on[0]), test_on[1], from_logits=False) for f in fits]
        )
    by_temperature, by_vector = np.mean(losses, axis=0)
    assert by_vector < by_temperature + 0.006


def test_vector_scaling_applies_scale_and_bias():
    logits, labels = sampled(np.random.default_rng(24), 500, 4, bias=[0.0, 1.0, 2.0, 3.0])
    fit = sigmax.fit_vector_scaling(logits, labels)
    expected = np.exp(fit.scale * logits + fit.bias)
    expected /= expected.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(fit.apply(logits), expected, rtol=1e-12)
    np.testing.assert_allclose(fit.apply(logits.T, axis=0), expected.T, rtol=1e-12)
    assert fit.bias.sum() == pytest.approx(0.0, abs=1e-12)
    assert fit.nll_after == pytest.approx(
        sigmax.cross_entropy(expected, labels, from_logits=False), rel=1e-12
    )
    masked = logits.copy()
    masked[:, 0] = -np.inf
    assert (fit.apply(masked)[:, 0] == 0).all()
    masked[0, 1] = np.nan
    assert np.isnan(fit.apply(masked)[0]).all()
    assert not np.isnan(fit.apply(masked)[1:]).any()
    with pytest.raises(ValueError, match="must have 4 classes"):
        fit.apply(logits[:, :3])


def test_vector_scaling_does_not_depend_on_a_shift_of_all_logits():
    logits, labels = sampled(np.random.default_rng(25), 500, 4, bias=[0.0, 1.0, 2.0, 3.0])
    one, other = (sigmax.fit_vector_scaling(logits + shift, labels) for shift in (0.0, 560.0))
    np.testing.assert_allclose(one.scale, other.scale, rtol=1e-6)
    np.testing.assert_allclose(one.apply(logits), other.apply(logits + 560.0), rtol=1e-6)


def test_vector_scaling_without_a_minimum():
    """A class that is in no label: its bias has no best value but -inf."""
    logits, labels = sampled(np.random.default_rng(26), 300, 4)
    labels = np.where(labels == 3, 0, labels)
    fit = sigmax.fit_vector_scaling(logits, labels, regularization=0.0)
    assert fit.status == "not_converged"
    with pytest.raises(ValueError, match="pass regularization='auto'"):
        fit.apply(logits)
    assert sigmax.fit_vector_scaling(logits, labels).status == "ok"


def test_vector_scaling_of_weights():
    rng = np.random.default_rng(27)
    logits, labels = sampled(rng, 500, 4, bias=[0.0, 1.0, 2.0, 3.0])
    weight = rng.random(500)
    one, other = (
        sigmax.fit_vector_scaling(logits, labels, sample_weight=w) for w in (weight, 1e3 * weight)
    )
    np.testing.assert_allclose(one.scale, other.scale, rtol=1e-6)
