"""Rows under set_rounding("correct") are the nearest numbers: the switch, every layout, hard rows, planted errors."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import nearest_rows
import numpy as np
import pytest
from nearest_rows import FUNCTIONS, Row, hard_rows, results, tally
from test_isa import LEVELS, python

import sigmax
from sigmax import _nearest

every_function = pytest.mark.parametrize("name", FUNCTIONS)


@pytest.fixture(autouse=True)
def _correct():
    with sigmax.set_rounding("correct"):
        yield


def logits(*shape: int, dtype: Any = np.float32) -> Any:
    return (np.random.default_rng(1).normal(size=shape) * 4).astype(dtype)


# ---------------------------------------------------------------- the nearest numbers


def test_rows_of_every_kind() -> None:
    for name, found in nearest_rows.sweep(2e5, 3, (np.float32, np.float16)).items():
        assert found.wrong == 0, (name, found.examples[:3])


def test_hard_rows() -> None:
    for x, t in hard_rows():
        labels = np.arange(len(x)) % x.shape[1]
        for name in FUNCTIONS:
            found = tally(name, x, t, results(name, x, t, labels), labels)
            assert found.wrong == 0, (name, t, found.examples[:3])


@every_function
def test_bfloat16(name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = logits(300, 20, dtype=ml_dtypes.bfloat16)
    labels = np.arange(300) % 20
    assert tally(name, x, 0.9, results(name, x, 0.9, labels), labels).wrong == 0


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_levels(level: str) -> None:
    done = python(Path(nearest_rows.__file__), "--lanes", "1e6", level=level)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": 0 wrong") == len(FUNCTIONS)


def test_levels_agree() -> None:
    """In every bit, the baseline too."""
    script = (
        "import sys, hashlib, numpy as np, sigmax; x = np.random.default_rng(0).normal(size=(900, 70))"
        ".astype(np.float32) * 9; sigmax.set_rounding('correct'); y = np.arange(900) % 70;"
        "r = [f(x, temperature=0.7) for f in (sigmax.softmax, sigmax.log_softmax, sigmax.logsumexp)];"
        "r.append(sigmax.cross_entropy(x, y, reduction='none'));"
        "print(*(hashlib.sha256(a.tobytes()).hexdigest() for a in r))"
    )
    assert len({python("-c", script, level=level).stdout for level in LEVELS}) == 1


@every_function
def test_errors_are_seen(name: str) -> None:
    """A result one unit off; and the ordinary way, of which some results are not the nearest."""
    x = logits(2000, 30)
    labels = np.arange(2000) % 30
    correct = results(name, x, 0.7, labels)
    assert tally(name, x, 0.7, correct, labels).wrong == 0
    correct.ravel()[77] = np.nextafter(correct.ravel()[77], np.float32(1))
    assert tally(name, x, 0.7, correct, labels).wrong == 1


def test_the_ordinary_way_is_seen() -> None:
    x = logits(2000, 100)
    with sigmax.set_rounding("ordinary"):
        assert tally("softmax", x, 1.0, sigmax.softmax(x)).wrong > 0


# ---------------------------------------------------------------- the last step


@pytest.mark.parametrize("function", [1, 2, 3])
@pytest.mark.parametrize(("kind", "dtype"), [(0, "float16"), (1, "bfloat16"), (2, "float32")])
def test_exact_arithmetic(function: int, kind: int, dtype: str) -> None:
    """It has the numbers of ball arithmetic, which asks for what is close to a tie and no more."""
    x = np.random.default_rng(4).normal(size=(30, 4)) * 3
    name = ("softmax", "log_softmax", "logsumexp")[function - 1]
    for row in np.asarray(x, np.float32).astype(np.float64):
        value, a, _ = nearest_rows.values(name, row[None], np.array([[0.7]]), None)
        expected = nearest_rows.rounded(value, dtype)
        for j in range(value.shape[1]):
            assert _nearest.nearest(function, kind, row, 0.7, float(a[0, j])) == expected[0, j]


@pytest.mark.parametrize(
    ("function", "x", "t", "target", "expected"),
    [
        (1, [2.0, 2.0, 2.0, -np.inf], 1.0, 2.0, np.float32(1 / 3)),  # a fraction
        (1, [2.0, 2.0, -np.inf], 1.0, -np.inf, 0.0),
        (3, [3 * 2.0**-149], 2.0, 0.0, 2 * 2.0**-149),  # ties to even
        (3, [5 * 2.0**-149], 2.0, 0.0, 2 * 2.0**-149),
        (3, [-(2.0**-149)], 4.0, 0.0, -0.0),
        (2, [7.0], 1.0, 7.0, -0.0),
        (2, [0.0, -(2.0**24) - 2, -1e9], 1.0, -(2.0**24) - 2, -(2.0**24) - 2),
        (
            2,
            [0.0, -(2.0**24) - 1, -1e9],
            1.0,
            -(2.0**24) - 1,
            -(2.0**24) - 2,
        ),  # a tie and 1e-7286000
    ],
)
def test_exact_arithmetic_of_trivial_cases(
    function: int, x: list[float], t: float, target: float, expected: float
) -> None:
    number = _nearest.nearest(function, 2, np.array(x), t, target)
    assert number == expected
    assert np.signbit(number) == np.signbit(expected)


def test_it_is_asked_where_pairs_are_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(*arguments: Any) -> float:
        asked.append(arguments)
        return exact(*arguments)

    exact = _nearest.nearest
    monkeypatch.setattr(_nearest, "nearest", counted)
    x = np.array([[1, 0], [3, 5], [0, 7]], np.float32) * np.float32(2**-24)
    assert tally("softmax", x, 1.0, sigmax.softmax(x)).wrong == 0
    assert asked
    asked.clear()
    sigmax.softmax(logits(100, 100))
    assert not asked


def test_an_error_of_it_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> float:
        raise RuntimeError("refused")

    monkeypatch.setattr(_nearest, "nearest", refused)
    x = np.array([1, 0], np.float32) * np.float32(2**-24)
    with pytest.raises(RuntimeError, match="refused"):
        sigmax.softmax(x)
    with pytest.raises(RuntimeError, match="refused"):
        sigmax.softmax(x, where=[True, True])


# ---------------------------------------------------------------- layouts and options


@pytest.mark.parametrize("shape", [(40, 7), (700, 30), (90, 1000), (2, 70_001)])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_layouts(name: str, shape: tuple[int, int]) -> None:
    """Class axis first, strided, in place: the bits of contiguous rows, also of rows that are computed again."""
    f = getattr(sigmax, name)
    x = logits(*shape)
    x[::7] = np.rint(x[::7]) * np.float32(2**-24)  # pairs, and for few classes exact arithmetic
    expected = f(x, temperature=0.9)

    def same(result: Any) -> bool:
        return np.ascontiguousarray(result).tobytes() == expected.tobytes()

    assert same(f(x.T.copy(), axis=0, temperature=0.9).T)
    assert same(f(np.repeat(x, 2, axis=1)[:, ::2], temperature=0.9))
    assert same(f(x[::-1], temperature=0.9)[::-1])
    assert same(f(x, temperature=np.full(shape[0], 0.9)))
    for order in "CF":
        out = x.copy(order=order)
        assert same(f(out, temperature=0.9, out=out))
    strided = np.repeat(x, 2, axis=1)[:, ::2]
    assert same(f(strided, temperature=0.9, out=strided))
    sigmax.set_num_threads(1)
    assert same(f(x, temperature=0.9))


@every_function
def test_masks(name: str) -> None:
    x = logits(200, 9)
    mask = np.random.default_rng(2).random((200, 9)) < 0.7
    mask[:, 0] = True
    labels = np.zeros(200, int)
    if name == "cross_entropy":
        result = sigmax.cross_entropy(x, labels, where=mask, reduction="none")
    else:
        result = getattr(sigmax, name)(x, where=mask)
    masked = np.where(mask, x, np.float32(-np.inf))
    assert tally(name, masked, 1.0, result, labels).wrong == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@every_function
def test_extended_numbers_are_as_ever(name: str, dtype: Any) -> None:
    """Infinite logits, NaN, rows with nothing: the bits of the ordinary way."""
    inf, nan = np.inf, np.nan
    x = np.array(
        [
            [inf, 0, inf, -inf, 1],
            [-inf] * 5,
            [nan, 0, 1, 2, 3],
            [inf, nan, 0, 0, 0],
            [0] * 5,
            [-inf, 3, -inf, -inf, -inf],
            [0, -1000, -1000, -1000, -1000],
        ],
        dtype,
    )
    labels = np.array([0, 1, 2, 3, 4, 1, 0])
    correct = results(name, x, 1.0, labels)
    with sigmax.set_rounding("ordinary"):
        expected = results(name, x, 1.0, labels)
    np.testing.assert_array_equal(correct, expected)
    np.testing.assert_array_equal(
        np.signbit(correct)[~np.isnan(correct)], np.signbit(expected)[~np.isnan(expected)]
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_losses(dtype: Any) -> None:
    """Rounded before they are added up; the same beside a gradient, which is as ever; some rows ignored."""
    x = logits(3000, 20, dtype=dtype)
    labels = np.arange(3000) % 20
    each = sigmax.cross_entropy(x, labels, reduction="none")
    total = sigmax.cross_entropy(x, labels, reduction="sum")
    assert total == each.astype(np.float64).sum().astype(dtype)
    again, gradient = sigmax.value_and_grad(sigmax.cross_entropy)(x, labels, reduction="none")
    assert again.tobytes() == each.tobytes()
    ignored = sigmax.cross_entropy(x, labels, ignore_index=3, reduction="none")
    np.testing.assert_array_equal(ignored, np.where(labels == 3, 0, each))
    with sigmax.set_rounding("ordinary"):
        _, expected = sigmax.value_and_grad(sigmax.cross_entropy)(x, labels, reduction="none")
    assert gradient.tobytes() == expected.tobytes()


def test_what_has_weights_is_as_ever() -> None:
    x, labels = logits(300, 20), np.arange(300) % 20
    options: list[dict[str, Any]] = [
        {"label_smoothing": 0.1},
        {"z_loss": 1e-3},
        {"class_weight": np.linspace(1, 2, 20)},
        {"sample_weight": np.linspace(1, 2, 300)},
    ]
    for option in options:
        correct = sigmax.cross_entropy(x, labels, reduction="none", **option)
        with sigmax.set_rounding("ordinary"):
            expected = sigmax.cross_entropy(x, labels, reduction="none", **option)
        assert correct.tobytes() == expected.tobytes()


# ---------------------------------------------------------------- the switch


def test_a_block_restores_what_was_before() -> None:
    sigmax.set_rounding("ordinary")
    with sigmax.set_rounding("correct"):
        assert sigmax.get_rounding() == "correct"
        with sigmax.set_rounding("ordinary"):
            assert sigmax.show_config(mode="dicts")["rounding"] == "ordinary"
        assert sigmax.get_rounding() == "correct"
    with pytest.raises(ZeroDivisionError), sigmax.set_rounding("correct"):
        _ = 1 / 0
    assert sigmax.get_rounding() == "ordinary"


def test_it_is_for_all_threads() -> None:
    seen = []
    thread = threading.Thread(target=lambda: seen.append(sigmax.get_rounding()))
    thread.start()
    thread.join()
    assert seen == ["correct"]


@pytest.mark.parametrize("mode", ["nearest", "", "Correct", None])
def test_unknown_mode(mode: Any) -> None:
    with pytest.raises(ValueError, match="mode must be 'ordinary' or 'correct', got"):
        sigmax.set_rounding(mode)


@pytest.mark.parametrize("value", ["correct", "ordinary", "", "right"])
def test_environment_variable(value: str) -> None:
    script = "import sigmax; print(sigmax.get_rounding())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"SIGMAX_ROUNDING": value},
        capture_output=True,
        text=True,
        check=False,
    )
    if value == "right":
        assert "SIGMAX_ROUNDING must be 'ordinary' or 'correct', got 'right'" in done.stderr
    else:
        assert done.stdout.strip() == (value or "ordinary")


def test_many_threads() -> None:
    x = logits(400, 300)
    x[:5] = np.rint(x[:5]) * np.float32(2**-24)
    expected = sigmax.softmax(x).tobytes()
    seen = []

    def call() -> None:
        seen.extend(sigmax.softmax(x).tobytes() == expected for _ in range(10))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 40


def test_a_row_of_the_reference() -> None:
    """The ball of a result is beside its double."""
    row = Row(np.array([1.0, 2.0, 4.0]), 1.0)
    assert row.is_above("softmax", 1.0, 0.042)
    assert not row.is_above("softmax", 1.0, 0.0421)
