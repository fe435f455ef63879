"""What is kept of a row where rounding could decide: in exact arithmetic, with as many digits as that takes.

What is compared are sums of e^(x/T) with rational x/T and rational factors. They are equal only if they are the same
term by term (Lindemann and Weierstrass), which leaves the ties of equal logits; every other comparison is decided
after some number of digits.
"""

from collections.abc import Callable, Iterator, Sequence
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np


def window(row: Any, steps: Sequence[tuple[str, float]]) -> tuple[float, float]:
    """Return the smallest and the largest logit that a chain of (option, number) keeps."""
    numbers, counts = np.unique(row[row > -np.inf].astype(np.float64), return_counts=True)
    if numbers[-1] == np.inf:
        return 0.0, 0.0  # infinite logits share the probability: the kernels hold zeros for them
    kept = _Kept([Fraction(x) for x in numbers.tolist()], counts.tolist())
    for name, number in steps:
        getattr(kept, name)(number)
    return float(kept.logits[0]), float(kept.logits[-1])


class _Kept:
    """The different logits that are kept, ascending, and how many classes have each."""

    def __init__(self, logits: list[Fraction], counts: list[int]) -> None:
        self.logits, self.counts, self.inverse = logits, counts, Fraction(1)

    def keep(self, kept: Sequence[bool]) -> None:
        chosen = [k for k, is_kept in enumerate(kept) if is_kept]
        self.logits = [self.logits[k] for k in chosen]
        self.counts = [self.counts[k] for k in chosen]

    def temperature(self, number: float) -> None:
        self.inverse = 1 / Fraction(number)

    def top_k(self, number: float) -> None:
        above, kept = sum(self.counts), []
        for count in self.counts:
            above -= count
            kept.append(above < number)
        self.keep(kept)

    def min_p(self, number: float) -> None:
        self._keep_from(number, lambda _, rate: rate)

    def epsilon(self, number: float) -> None:
        self._keep_from(number, lambda digits, rate: rate * digits.mass)

    def top_n_sigma(self, number: float) -> None:
        if number == np.inf:
            return
        count = sum(self.counts)
        depths = [self.logits[-1] - x for x in self.logits]
        mean = sum(n * d for n, d in zip(self.counts, depths, strict=True)) / Fraction(count)
        squares = sum(n * (d - mean) ** 2 for n, d in zip(self.counts, depths, strict=True))
        self.keep([d * d * count <= Fraction(number) ** 2 * squares for d in depths])

    def top_p(self, number: float) -> None:
        downwards = list(range(len(self.logits)))[::-1]
        self._keep_mass(number, lambda _: downwards)

    def typical_p(self, number: float) -> None:
        self._keep_mass(number, self._by_distance)

    def _keep_from(self, number: float, threshold: Callable[["_Digits", Decimal], Decimal]) -> None:
        """Keep the winner and the logits whose term reaches a threshold."""
        if number == 0 or len(self.logits) == 1:
            return
        for digits in self._digits():
            with localcontext(digits.context):
                least = threshold(digits, digits.number(Fraction(number)))
                excess = [term - least for term in digits.terms[:-1]]
                if all(digits.is_certain(difference) for difference in excess):
                    self.keep([difference > 0 for difference in excess] + [True])
                    return

    def _keep_mass(self, number: float, order: Callable[["_Digits"], list[int]]) -> None:
        """Keep the first logits of an order until they have a share of the mass."""
        if number >= 1 or len(self.logits) == 1:
            return
        for digits in self._digits():
            with localcontext(digits.context):
                target = digits.number(Fraction(number)) * digits.mass
                reached, kept = Decimal(0), set()
                for k in order(digits):
                    kept.add(k)
                    reached += digits.weights[k]
                    certain = number == 0 or digits.is_certain(reached - target)
                    if not certain or reached > target:
                        break
                else:
                    certain = False
                if certain:
                    self.keep([k in kept for k in range(len(self.logits))])
                    return

    def _by_distance(self, digits: "_Digits") -> list[int]:
        """Return the order of the distances from the mean logit; nothing if that takes more digits."""
        logits = [digits.number(x - self.logits[-1]) for x in self.logits]
        mean = sum(w * x for w, x in zip(digits.weights, logits, strict=True)) / digits.mass
        distances = [abs(x - mean) for x in logits]
        order = sorted(range(len(logits)), key=distances.__getitem__)
        least = min(distances[b] - distances[a] for a, b in pairwise(order))
        return order if least > -logits[0] * digits.error else []

    def _digits(self) -> Iterator["_Digits"]:
        count = 40
        while True:
            yield _Digits(self, count)
            count *= 2


class _Digits:
    """The terms e^((x - largest)/T) to a number of digits."""

    def __init__(self, kept: _Kept, count: int) -> None:
        self.context = Context(prec=count, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])
        self.error = Decimal(f"1e{10 - count}")  # more than the roundings of 10^8 terms
        with localcontext(self.context):
            self.terms = [
                self.number((x - kept.logits[-1]) * kept.inverse).exp() for x in kept.logits
            ]
            self.weights = [e * n for e, n in zip(self.terms, kept.counts, strict=True)]
            self.mass = sum(self.weights, Decimal(0))

    def number(self, x: Fraction) -> Decimal:
        return self.context.divide(Decimal(x.numerator), Decimal(x.denominator))

    def is_certain(self, difference: Decimal) -> bool:
        """Whether a difference of sums is too large to be a rounding error."""
        return abs(difference) > self.mass * self.error
