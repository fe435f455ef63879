"""Truncation and draws as they are defined, on one row, in ball arithmetic and with NumPy's own Philox."""

import functools
import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from flint import arb, ctx, fmpq

Row = Sequence[float]


def digits(row: Row, temperature: float = 1.0) -> int:
    """Bits that prove every comparison of the tests."""
    exponents = [abs(math.frexp(x / temperature)[1]) for x in row if x - x == 0 and x != 0]
    return 400 + 3 * max(exponents, default=0)


def number(x: float | Fraction) -> arb:
    f = Fraction(x)
    return arb(fmpq(f.numerator, f.denominator))


def at_least(a: arb, b: arb) -> bool:
    """Whether a >= b, which the balls must prove."""
    assert a >= b or a < b, "more digits are needed"
    return bool(a >= b)


def weights(logits: Row, temperature: float = 1.0) -> list[arb]:
    """e^(x/T), up to a factor."""
    return [((number(x) - number(max(logits))) / number(temperature)).exp() for x in logits]


def first_with_mass(groups: list[list[int]], e: list[arb], share: float) -> set[int]:
    """The first groups that have a share of the mass, all of it where the share is 1."""
    if share >= 1:
        return set(range(len(e)))
    kept: set[int] = set()
    mass, target = arb(0), number(share) * sum(e, arb(0))
    for group in groups:
        kept |= set(group)
        mass += sum((e[k] for k in group), arb(0))
        if share == 0 or at_least(mass, target):
            return kept
    raise AssertionError


def ascending(logits: Row, keys: Sequence[arb]) -> list[list[int]]:
    """Classes in the order of their keys; those with equal logits together."""

    def compare(a: int, b: int) -> int:
        return 0 if logits[a] == logits[b] else 1 if at_least(keys[a], keys[b]) else -1

    order = sorted(range(len(logits)), key=functools.cmp_to_key(compare))
    return [list(group) for _, group in itertools.groupby(order, key=lambda k: logits[k])]


def top_k(logits: Row, _: float, k: float) -> set[int]:
    return {i for i, x in enumerate(logits) if sum(y > x for y in logits) < k}


def top_p(logits: Row, temperature: float, p: float) -> set[int]:
    return first_with_mass(
        ascending(logits, [number(-x) for x in logits]), weights(logits, temperature), p
    )


def typical_p(logits: Row, temperature: float, p: float) -> set[int]:
    e = weights(logits, temperature)
    total = sum(e, arb(0))
    log_p = [(w / total).log() for w in e]
    entropy = -sum((w / total * lp for w, lp in zip(e, log_p, strict=True)), arb(0))
    surprise = [abs(-lp - entropy) for lp in log_p]
    return first_with_mass(ascending(logits, surprise), e, p)


def min_p(logits: Row, temperature: float, p: float) -> set[int]:
    top = max(logits)
    e = weights(logits, temperature)
    return {k for k, w in enumerate(e) if logits[k] == top or at_least(w, number(p))}


def epsilon(logits: Row, temperature: float, p: float) -> set[int]:
    top = max(logits)
    e = weights(logits, temperature)
    least = number(p) * sum(e, arb(0))
    return {k for k, w in enumerate(e) if logits[k] == top or at_least(w, least)}


def top_n_sigma(logits: Row, _: float, n: float) -> set[int]:
    if n == np.inf:
        return set(range(len(logits)))
    x = [Fraction(v) for v in logits]
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    return {k for k, v in enumerate(x) if (max(x) - v) ** 2 <= Fraction(n) ** 2 * variance}


STEPS = {
    "top_k": top_k,
    "top_p": top_p,
    "typical_p": typical_p,
    "min_p": min_p,
    "epsilon": epsilon,
    "top_n_sigma": top_n_sigma,
}


def kept(row: Row, chain: Sequence[tuple[str, float]]) -> set[int]:
    """The classes that a chain of options keeps."""
    temperatures = [value for name, value in chain if name == "temperature"]
    with ctx.workprec(digits(row, *temperatures)):
        alive = [k for k, x in enumerate(row) if x > -np.inf]
        temperature = 1.0
        for name, value in chain:
            if name == "temperature":
                temperature = value
            else:
                chosen = STEPS[name]([row[k] for k in alive], temperature, value)
                alive = [alive[k] for k in sorted(chosen)]
        return set(alive)


def drawn(row: Row, classes: set[int], temperature: float, bits: int) -> int:
    """The class in which the share bits/2^64 falls: the others in their order, the first of the largest last."""
    with ctx.workprec(digits(row, temperature)):
        order = sorted(classes)
        winner = max(order, key=lambda k: (row[k], -k))
        order.remove(winner)
        e = weights([row[k] for k in [*order, winner]], temperature)
        target = number(Fraction(bits, 2**64)) * sum(e, arb(0))
        running = arb(0)
        for k, w in zip(order, e, strict=False):
            running += w
            if not at_least(target, running):
                return k
        return winner


def bits(seed: int, row: int, draw: int, purpose: int = 0) -> int:
    stream = np.random.Philox(key=seed, counter=[0, draw, 0, purpose])
    return int(stream.random_raw(row + 1)[row])
