"""Chapter 8: cross-entropy: the length of a code, the loss of two classes and of many, and where its gradient goes."""

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np

import sigmax
from sigmax.lesson.model import DTYPE, Chapter, Choice, Measured, Number, Numbers

chapter = Chapter(__name__, number=8)

LETTERS = "ABCD"
LN_2 = np.log(2)

# ---------------------------------------------------------------- codes


def _code(counts: Sequence[float]) -> list[str]:
    """The shortest prefix code for letters of these counts: Huffman's lengths, words in order of length."""
    lengths = [0] * len(counts)
    heap = [(count, [letter]) for letter, count in enumerate(counts)]
    heapq.heapify(heap)
    while len(heap) > 1:
        (first, left), (second, right) = heapq.heappop(heap), heapq.heappop(heap)
        for letter in left + right:
            lengths[letter] += 1
        heapq.heappush(heap, (first + second, left + right))
    words, word, before = [""] * len(counts), 0, 0
    for length, letter in sorted((length, letter) for letter, length in enumerate(lengths)):
        word <<= length - before
        words[letter] = f"{word:0{length}b}"
        word, before = word + 1, length
    return words


def _message(counts: Sequence[float]) -> list[int]:
    """That many of each letter, evenly mixed."""
    places = [((i + 0.5) / n, letter) for letter, n in enumerate(counts) for i in range(int(n))]
    return [letter for _, letter in sorted(places)]


def _decoded(bits: str, code: Sequence[str]) -> list[int]:
    """The letters of a message in bits: a prefix code needs no gaps between its words."""
    letters = {word: letter for letter, word in enumerate(code)}
    found, word = [], ""
    for bit in bits:
        word += bit
        if word in letters:
            found.append(letters[word])
            word = ""
    return found


@chapter.figure(
    prints="crossing",
    presets={
        "reversed": {"p": [4.0, 2.0, 1.0, 1.0], "q": [1.0, 1.0, 2.0, 4.0]},
        "right": {"p": [4.0, 2.0, 1.0, 1.0], "q": [4.0, 2.0, 1.0, 1.0]},
        "equal": {"p": [4.0, 2.0, 1.0, 1.0], "q": [1.0, 1.0, 1.0, 1.0]},
        "swapped": {"p": [1.0, 1.0, 1.0, 1.0], "q": [4.0, 2.0, 1.0, 1.0]},
        "whole": {"p": [4.0, 1.0, 1.0, 1.0], "q": [4.0, 1.0, 1.0, 1.0]},
    },
    p=Numbers(1.0, 4.0, 1.0, [4.0, 2.0, 1.0, 1.0]),
    q=Numbers(1.0, 4.0, 1.0, [1.0, 1.0, 2.0, 4.0]),
)
def codes(p: list[float], q: list[float]) -> dict[str, Any]:
    """A message with p[i] of letter i, in the code made for it and in the code made for the counts q."""
    message = _message(p)
    made_for_p, made_for_q = _code(p), _code(q)
    truth, expected = np.array(p) / sum(p), np.array(q) / sum(q)
    crossing = sigmax.cross_entropy(expected, truth, from_logits=False) / LN_2
    bits_p, bits_q = (sum(len(code[i]) for i in message) for code in (made_for_p, made_for_q))
    return {
        "message": [LETTERS[i] for i in message],
        "words_p": [made_for_p[i] for i in message],
        "words_q": [made_for_q[i] for i in message],
        "bits_p": bits_p,
        "bits_q": bits_q,
        "count": len(message),
        "counted": bits_q / len(message),
        "counted_right": bits_p / len(message),
        "least": sigmax.entropy(truth, from_logits=False) / LN_2,
        "crossing": crossing,
        "excess": sigmax.kl_divergence(expected, truth, from_logits=False) / LN_2,
        "python": "import numpy as np, sigmax\n"
        f"p, q = np.array({p}) / {sum(p)}, np.array({q}) / {sum(q)}\n"
        "print(sigmax.cross_entropy(q, p, from_logits=False) / np.log(2))",
    }


EIGHTHS = np.array([4.0, 2.0, 1.0, 1.0]) / 8


def _bits(q: Any, p: Any) -> float:
    return float(sigmax.cross_entropy(q, p, from_logits=False) / LN_2)


@chapter.prediction(low=0.0, high=4.0, step=0.125)
def wrong_code() -> float:
    """Bits per letter of p in a code made for p backwards."""
    return _bits(EIGHTHS[::-1], EIGHTHS)


# ---------------------------------------------------------------- two classes


@chapter.figure(
    prints="binary",
    presets={
        "sure": {"x": 6.0, "y": 1.0},
        "wrong": {"x": -6.0, "y": 1.0},
        "soft": {"x": 3.0, "y": 0.3},
        "bottom": {"x": -0.85, "y": 0.3},
    },
    x=Number(-8.0, 8.0, 0.05, 2.0),
    y=Number(0.0, 1.0, 0.05, 1.0),
)
def two(x: float, y: float) -> dict[str, Any]:
    """The loss of two classes against the logit, for a label that may be soft."""
    xs = np.linspace(-8, 8, 161)
    some = xs[::16]
    pairs = np.stack([some, np.zeros_like(some)], axis=-1)
    label = [y, 1 - y]
    return {
        "xs": xs,
        "losses": sigmax.binary_cross_entropy(xs, np.full_like(xs, y), reduction="none"),
        "some": some,
        "pairs": sigmax.cross_entropy(pairs, np.tile(label, (len(some), 1)), reduction="none"),
        "q": sigmax.sigmoid(x),
        "rest": sigmax.sigmoid(-x),
        "binary": sigmax.binary_cross_entropy(x, y),
        "categorical": sigmax.cross_entropy([x, 0.0], label),
        "least": sigmax.entropy(label, from_logits=False),
        "slope": sigmax.value_and_grad(sigmax.binary_cross_entropy)(x, y)[1],
        "python": f"import sigmax\nx, y = {x}, {y}\nprint(sigmax.binary_cross_entropy(x, y))",
    }


# ---------------------------------------------------------------- gradients

LABELS: dict[str, Any] = {
    "index": 1,
    "one_hot": [0.0, 1.0, 0.0, 0.0],
    "soft": [0.1, 0.6, 0.1, 0.2],
}
CLASSES = 4

# Of the logits x and the label y: q that the bars show, the loss, and its gradient.
_PYTHON = {
    "softmax": "print(sigmax.cross_entropy(x, y))",
    "probabilities": "q = sigmax.softmax(x)\nprint(sigmax.cross_entropy(q, y, from_logits=False))",
    "positive": "print(-(y * sigmax.log_sigmoid(x)).sum())",
    "both": 'print(sigmax.binary_cross_entropy(x, y, reduction="sum"))',
}


def _loss(mode: str, x: Any, y: Any) -> tuple[Any, Any, Any]:
    if mode == "softmax":
        return sigmax.softmax(x), *sigmax.value_and_grad(sigmax.cross_entropy)(x, y)
    if mode == "probabilities":
        q = sigmax.softmax(x)
        return q, *sigmax.value_and_grad(sigmax.cross_entropy)(q, y, from_logits=False)
    q = sigmax.sigmoid(x)
    if mode == "positive":
        return q, -(y * sigmax.log_sigmoid(x)).sum(), sigmax.vjp(sigmax.log_sigmoid, x, -y)
    return q, *sigmax.value_and_grad(sigmax.binary_cross_entropy)(x, y, reduction="sum")


SCORES = [2.0, 1.0, -1.0, 0.5]


@chapter.figure(
    prints="loss",
    presets={
        "hard": {"x": SCORES, "mode": "softmax", "label": "index"},
        "soft": {"mode": "softmax", "label": "soft"},
        "probabilities": {"mode": "probabilities", "label": "index"},
        "positive": {"mode": "positive", "label": "index"},
        "both": {"mode": "both", "label": "index"},
        "underflow": {"x": [9.0, 9.0, -9.0, 0.5], "dtype": "float16"},
    },
    x=Numbers(-10.0, 10.0, 0.1, SCORES),
    label=Choice(("index", "one_hot", "soft"), "index"),
    mode=Choice(("softmax", "probabilities", "positive", "both"), "softmax"),
    dtype=DTYPE,
)
def arrows(x: list[float], label: str, mode: str, dtype: str) -> dict[str, Any]:
    """What the model says, what the label says, and the gradient of the loss at each class."""
    given = LABELS[label]
    target = sigmax.one_hot(given, CLASSES) if label == "index" else np.array(given)
    scores, y = np.array(x, dtype), target.astype(dtype)
    indexed = mode in ("softmax", "probabilities") and label == "index"
    q, loss, gradient = _loss(mode, scores, given if indexed else y)
    named = f"y = {given}" if indexed else f"y = np.array({target.tolist()}, np.{dtype})"
    return {
        "q": q,
        "y": target,
        "gradient": gradient,
        "g_1": gradient[0],
        "loss": loss,
        "python": f"import numpy as np, sigmax\nx = np.array({x}, np.{dtype})\n{named}\n{_PYTHON[mode]}",
    }


@chapter.prediction(low=-1.0, high=1.0, step=0.01)
def wrong_class() -> float:
    """The derivative of the loss to the logit of a wrong class."""
    return float(_loss("softmax", np.array(SCORES), 1)[2][0])


# ---------------------------------------------------------------- claims


def _distributions() -> tuple[Any, Any]:
    """Pairs of distributions over four letters."""
    random = np.random.default_rng(8)
    pairs = sigmax.softmax(random.normal(0, 1.5, (2, 20_000, 4)))
    return pairs[0], pairs[1]


@chapter.claim("F", figure="codes", preset="reversed")
def agreement() -> list[Measured]:
    """A real message in two real codes: both are read without an error, one is longer."""
    message = np.random.default_rng(8).permutation(
        np.repeat(np.arange(4), [4000, 2000, 1000, 1000])
    )
    right, wrong = _code([4, 2, 1, 1]), _code([1, 1, 2, 4])
    texts = ["".join(code[i] for i in message) for code in (right, wrong)]
    misread = int(np.count_nonzero(message != _decoded(texts[1], wrong)))
    return [
        Measured('"right"', len(texts[0]) / len(message), "=", 1.75),
        Measured('"wrong"', len(texts[1]) / len(message), "=", 2.625),
        Measured("|2.625 − H(p, q)|", abs(2.625 - _bits(EIGHTHS[::-1], EIGHTHS)), "≤", 1e-15),
        Measured('"misread"', misread, "=", 0),
    ]


@chapter.claim("T", figure="codes", preset="right")
def mismatch() -> list[Measured]:
    """Cross-entropy is the entropy of p and the divergence of q from it."""
    p, q = _distributions()
    crossing = sigmax.cross_entropy(q, p, from_logits=False, reduction="none")
    apart = sigmax.kl_divergence(q, p, from_logits=False, reduction="none")
    own = sigmax.entropy(p, from_logits=False)
    return [
        Measured(
            "max |H(p, q) − H(p) − KL(p ∥ q)|", np.abs(crossing - own - apart).max(), "≤", 1e-14
        ),
        Measured("min KL(p ∥ q)", apart.min(), "≥", 0),
        Measured("KL(p ∥ p)", float(sigmax.kl_divergence(p, p, from_logits=False)), "=", 0),
    ]


@chapter.claim("F", figure="codes", preset="swapped")
def symmetric() -> list[Measured]:
    """p in the code of equal shares, and equal shares in the code of p."""
    equal = np.full(4, 0.25)
    return [
        Measured("H(p, q)", _bits(equal, EIGHTHS), "=", 2),
        Measured("H(q, p)", _bits(EIGHTHS, equal), "=", 2.25),
    ]


@chapter.claim("T", figure="two", preset="wrong")
def binary_is_categorical() -> list[Measured]:
    """One logit x, or two with the other at 0."""
    x, y = np.linspace(-40, 40, 2001), np.tile(np.linspace(0, 1, 3), 667)
    one = sigmax.binary_cross_entropy(x, y, reduction="none")
    pair = np.stack([x, np.zeros_like(x)], axis=-1)
    two = sigmax.cross_entropy(pair, np.stack([y, 1 - y], axis=-1), reduction="none")
    hard = sigmax.binary_cross_entropy(x, np.ones_like(x), reduction="none")
    return [
        Measured("max |L_2/L_1 − 1|", np.abs(two / one - 1).max(), "≤", 1e-15),
        Measured(
            "y = 1: max |L − softplus(−x)|", np.abs(hard - sigmax.softplus(-x)).max(), "≤", 1e-14
        ),
    ]


def _batch() -> tuple[Any, Any]:
    random = np.random.default_rng(4)
    return random.normal(0, 3, (5000, CLASSES)), random.integers(0, CLASSES, 5000)


@chapter.claim("T", figure="arrows", preset="hard")
def only_true_class() -> list[Measured]:
    """The sum over the classes has one term."""
    x, index = _batch()
    logs = -sigmax.log_softmax(x)[np.arange(len(x)), index]
    loss = sigmax.cross_entropy(x, index, reduction="none")
    return [
        Measured("max |L − (−ln q_k)|", np.abs(loss - logs).max(), "≤", 1e-14),
        Measured("L", float(sigmax.cross_entropy(SCORES, 1)), ">", 0),
    ]


@chapter.claim("F", figure="arrows", preset="hard")
def others_not_updated() -> list[Measured]:
    """The gradient is q − y: found from differences too, and seen in the last layer."""
    x, index = _batch()
    both = sigmax.value_and_grad(sigmax.cross_entropy)
    gradient = both(x, index, reduction="sum")[1]
    difference = sigmax.softmax(x) - sigmax.one_hot(index, CLASSES)
    wrong = gradient[difference > 0]
    h, base = 1e-5, np.array(SCORES)
    slopes = [
        (sigmax.cross_entropy(base + step, 1) - sigmax.cross_entropy(base - step, 1)) / (2 * h)
        for step in h * np.eye(CLASSES)
    ]
    features = np.random.default_rng(0).normal(size=(1, 5))
    layer = sigmax.value_and_grad(sigmax.linear_cross_entropy)
    rows = layer(features, np.zeros((CLASSES, 5)), np.array([1]))[1][1]
    return [
        Measured("max |∂L/∂x_j − (q_j − y_j)|", np.abs(gradient - difference).max(), "≤", 1e-15),
        Measured('"differences"', np.abs(slopes - both(base, 1)[1]).max(), "≤", 1e-9),
        Measured('"wrong"', wrong.min(), ">", 0),
        Measured('"sum"', np.abs(gradient.sum(-1)).max(), "≤", 1e-15),
        Measured('"rows"', int(np.count_nonzero(np.abs(rows).max(-1))), "=", CLASSES),
    ]


@chapter.claim("T*", figure="arrows", preset="probabilities")
def fear_is_right() -> list[Measured]:
    """Three ways in which the wrong classes get nothing, and the remedy of the second."""
    x, y = np.array(SCORES), np.array(LABELS["one_hot"])
    wrong = y == 0
    far = np.array([2, 1, -300, 0.5], np.float32)
    return [
        Measured('"probabilities"', np.abs(_loss("probabilities", x, 1)[2][wrong]).max(), "=", 0),
        Measured('"positive"', np.abs(_loss("positive", x, y)[2][wrong]).max(), "=", 0),
        Measured('"both"', _loss("both", x, y)[2][wrong].min(), ">", 0),
        Measured('"underflow"', float(_loss("softmax", far, 1)[2][2]), "=", 0),
    ]


@chapter.claim("F", figure="arrows", preset="soft")
def sparse_is_soft() -> list[Measured]:
    """An index is a hard label written short; a soft label is a distribution, never an index."""
    x, index = _batch()
    short = sigmax.cross_entropy(x, index, reduction="none")
    long = sigmax.cross_entropy(x, sigmax.one_hot(index, CLASSES), reduction="none")
    try:
        sigmax.cross_entropy(SCORES, 0.7)
        refused = 0
    except TypeError:
        refused = 1
    return [
        Measured('"same"', np.abs(short - long).max(), "≤", 1e-15),
        Measured('"soft"', float(sigmax.cross_entropy(SCORES, LABELS["soft"])), ">", 0),
        Measured('"refused"', refused, "=", 1),
    ]


@chapter.claim("F", figure="two", preset="bottom")
def minimum_zero() -> list[Measured]:
    """At q = p the loss is the entropy of p and the gradient is 0; elsewhere it is more."""
    p = np.array(LABELS["soft"])
    _, q = _distributions()
    at, gradient = sigmax.value_and_grad(sigmax.cross_entropy)(np.log(p), p)
    elsewhere = sigmax.cross_entropy(
        q, np.tile(p, (len(q), 1)), from_logits=False, reduction="none"
    )
    return [
        Measured("H(p, p)", float(at), ">", 0),
        Measured("|H(p, p) − H(p)|", abs(at - sigmax.entropy(p, from_logits=False)), "≤", 1e-15),
        Measured('"gradient"', np.abs(gradient).max(), "≤", 1e-15),
        Measured("min H(p, q) − H(p)", (elsewhere - at).min(), "≥", 0),
    ]
