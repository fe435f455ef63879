"""Prove the errors that tests of a rounding rely on: elementwise functions and rows (docs/numerics/rounding.md).

    python tools/prove_rounding.py               derive the bounds and compare them with those in src/core
    python tools/prove_rounding.py --core FOLDER the same for another copy of src/core

Every step of `start` and `finish` (src/core/functions/elementwise.h) is bounded in ball arithmetic: polynomials by
Taylor expansions on small pieces with the remainder of their series, roundings one by one. A multiply-add counts as two
roundings, as the baseline does it; a reciprocal as the worse of a division and AVX-512's estimate. Takes a few seconds.
"""

import argparse
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from flint import arb, arb_poly, ctx

ctx.prec = 200
CORE = Path(__file__).resolve().parent.parent / "src/core"
U = arb(2) ** -53  # of one rounding, relative
LN2 = arb.const_log2()
# 1/a: the estimate q is good to 2^-14, q(1 + e + e²) leaves e³, and is three operations.
RECIPROCAL = arb(2) ** -42 * (1 + arb(2) ** -10) + 4 * U
QUOTIENT = RECIPROCAL + U
FARTHEST = arb(104)  # |x| beyond is cut off
PIECES = 256
MARGIN = arb(2) ** -40  # by which an argument's rounding takes it out of its interval


def above(x: arb) -> arb:
    return abs(x).upper()


def below(x: arb) -> arb:
    return abs(x).lower()


def pieces(low: arb, high: arb, count: int = PIECES) -> Iterator[arb]:
    step = (high - low) / count
    for i in range(count):
        yield (low + i * step).union(low + (i + 1) * step)


# --- the header ------------------------------------------------------------------------------------------------------


class Core:
    """Constants as src/core has them."""

    def __init__(self, folder: Path) -> None:
        self.wide = (folder / "simd/wide.h").read_text()
        self.elementwise = (folder / "functions/elementwise.h").read_text()
        self.rows = (folder / "functions/correct.h").read_text()
        self.losses = (folder / "functions/binary_cross_entropy.h").read_text()

    def number(self, name: str) -> arb:
        (found,) = re.findall(rf"constexpr double {name} = ([^;]+);", self.wide)
        return arb(float.fromhex(found))

    def polynomial(self, name: str) -> list[arb]:
        (found,) = re.findall(rf"constexpr double {name}\[\] = {{([^}}]+)}};", self.wide)
        return [arb(float.fromhex(c)) for c in found.split(",")]

    def row_error(self, name: str) -> arb:
        (found,) = re.findall(rf"\b{name} = ([^,;]+)[,;]", self.rows)
        return arb(float.fromhex(found))

    def error(self, function: str) -> arb:
        body = (self.elementwise + self.losses).split(f"struct {function} {{")[1]
        found = re.search(r"kError = ([^;]+);", body)
        assert found
        return arb(float.fromhex(found[1]))


# --- polynomials ------------------------------------------------------------------------------------------------------


def difference(polynomial: list[arb], series: list[arb], tail: arb, piece: arb) -> arb:
    """The largest |P - S| on a piece, where S is a series and `tail` what its other terms come to."""
    error = arb_poly(polynomial) - arb_poly(series)
    centre = piece.mid()
    around = error(arb_poly([centre, 1]))
    radius = above(piece - centre)
    return sum((above(c) * radius**k for k, c in enumerate(around.coeffs())), tail)


def horner(polynomial: list[arb], x: arb, roundings: int = 1) -> tuple[arb, arb]:
    """The values that P takes for x in a ball, and what its roundings come to; those of a product and of x itself."""
    value, error = polynomial[-1], arb(0)
    for c in polynomial[-2::-1]:
        product = value * x
        value, error = product + c, above(error * x) + roundings * U * above(product)
        error = above(error + U * (above(value) + error))
    return value, error


def exponential(core: Core, f: arb) -> tuple[arb, arb]:
    """2^f - 1 = f·P(f) for f in a ball, and its relative error as it is computed."""
    p = core.polynomial("kExp2Short")
    terms = 40
    series = [LN2 ** (k + 1) / math.factorial(k + 1) for k in range(terms)]
    tail = LN2 ** (terms + 1) / math.factorial(terms + 1) * 2
    _, rounding = horner(p, f)
    least = below(arb_poly(series)(f)) - tail
    return ((f * LN2).exp() - 1), above((difference(p, series, tail, f) + rounding) / least + U)


def logarithm(core: Core, name: str, largest_s: arb) -> arb:
    """The error of 2s + s·z·P(z), relative to 2s, |s| <= largest_s."""
    p = core.polynomial(name)
    terms = 100
    series = [arb(2) / (2 * k + 3) for k in range(terms)]
    tail = largest_s ** (2 * terms)
    worst = arb(0)
    for z in pieces(arb(0), above(largest_s**2 * (1 + 3 * U))):
        value, rounding = horner(p, z)
        absolute = difference(p, series, tail, z) + rounding
        of_z = 3 * U * above(value) * above(z)  # s² is rounded, and so is z·P
        error = (absolute * above(z) + of_z + U * (2 + above(z * value))) / 2 + U
        worst = worst.max(above(error))
    return worst


# --- functions: the largest relative error of each --------------------------------------------------------------------


def reduction(core: Core, x: arb) -> arb:
    """The error of f = x·log2(e) - n: the constant, the product's rounding, the difference's."""
    rate = core.number("kLog2e")
    return above(x) * (above(rate - 1 / LN2) + U * rate) + U * (arb(1) / 2 + MARGIN)


def exp_error(core: Core) -> arb:
    """Of e^x for |x| <= 104, relative."""
    worst, half = arb(0), arb(1) / 2 + MARGIN
    for f in pieces(-half, half):
        rest, error = exponential(core, f)
        worst = worst.max(above(rest / (1 + rest)) * error)
    return above(worst + 2 * U + LN2 * reduction(core, FARTHEST) * (1 + MARGIN))


def sigmoid(core: Core) -> arb:
    """1/(1 + E): an error of E counts at most as much."""
    return above(exp_error(core) + U + RECIPROCAL)


def softplus(core: Core) -> arb:
    """max(x, 0) + 2 atanh(s), s = t/(2 + t): both terms are positive."""
    s_error = exp_error(core) + U + QUOTIENT
    third = arb(1) / 3
    growth = third / (1 - third**2) / third.atanh()  # of the error of s in atanh(s), largest at 1/3
    return above(logarithm(core, "kLog1pShort", third * (1 + MARGIN)) + growth * s_error + 3 * U)


def logit(core: Core) -> arb:
    """k·ln2 + 2 atanh(s). A double's bits are its logarithm but for 0.0861, so p/q is 2^k within 2^(1/2 + 0.0861)."""
    bend = 1 / LN2 - 1
    bend = above((1 + bend).log() / LN2 - bend)
    away = (arb(1) / 2 + bend) * LN2
    s = (away / 2).tanh()
    of_log = logarithm(core, "kLogTailShort", s * (1 + MARGIN))
    at_half = of_log + QUOTIENT + 2 * U  # k = 0: p, q and p - q are exact; atanh(s)/s grows with s
    at_half = at_half * s / (1 - s**2) / s.atanh()
    worst = above(at_half + 3 * U)
    for k in range(1, 150):
        least = k * LN2 - away
        of_s = (QUOTIENT + 3 * U) * 2 * s + 4 * U  # q is rounded where p is small
        absolute = of_log * 2 * s + of_s / (1 - s**2)
        absolute += k * above(core.number("kLn2") - LN2) + U * k * LN2
        worst = worst.max(above(absolute / least + 3 * U))
    return worst


def log1mexp(core: Core) -> arb:
    """log v, v = 1 - E = (1 - w) - w·p with w = 2^n, p = 2^f - 1, by v = 2^k·m; where k = 0, by E."""
    root = (arb(2)).sqrt()
    s = (root - 1) / (root + 1) * (1 + MARGIN)
    of_log = logarithm(core, "kLogTailShort", s) + QUOTIENT + 2 * U
    worst, half = arb(0), arb(1) / 2 + MARGIN
    tiny = [(arb(2) ** -i).union(arb(2) ** -(i + 1)) for i in range(8, 152)]
    near = [*pieces(arb(2) ** -8, half), *tiny]
    for n in range(0, -152, -1):
        for f in (-f for f in near) if n == 0 else pieces(-half, half, 64):
            rest, error = exponential(core, f)
            w, x = arb(2) ** n, (n + f) * LN2
            # Where n = 0, f is a product of its own, and all is relative to it.
            of_f = 3 * U * above(f) if n == 0 else reduction(core, x)
            p_error = error * above(rest) + above((1 + rest) * LN2) * of_f * (1 + MARGIN)
            e, v = w * (1 + rest), 1 - w * (1 + rest)
            if n == 0:
                v = -rest
            v_error = w * p_error + U * above(v) + (U if n < -53 else 0)
            e_error = (w * p_error) / below(e) + U
            least = below((v).log() if n >= -8 else e)
            if above(v) > arb("0.707"):  # k = 0; the error of E grows as d log(1 - E)/dE
                growth = 1 / below(1 - e) if n >= -8 else arb("1.01")
                relative = (above(e) * growth / least) * (e_error + of_log + U) + 2 * U
                worst = worst.max(above(relative))
            if below(v) < arb("0.708"):
                k_most = above((v).log() / LN2) + 1
                absolute = v_error / below(v) * (1 + MARGIN) + of_log * 2 * s + 3 * U
                absolute += k_most * (above(core.number("kLn2") - LN2) + U * LN2)
                worst = worst.max(above(absolute / least + 2 * U))
    return worst


def hard_loss(core: Core) -> arb:
    """max(x, 0) + log1p(t), t = e^-|x|, by t·P(t): against the series of the logarithm around a point."""
    p = core.polynomial("kLog1p")
    terms, worst = 60, arb(0)
    for t in pieces(arb(0), arb(1) + MARGIN, 512):
        even, of_even = horner(p[::2], t * t, roundings=2)
        odd, of_odd = horner(p[1::2], t * t, roundings=2)
        rounding = of_even + above(t) * (of_odd + U * above(odd)) + U * above(even + t * odd)
        c = t.mid() if t.mid() > arb("0.02") else arb(0)
        around = [arb((-1) ** (k + 1)) / (k * (1 + c) ** k) for k in range(1, terms)]
        if c == 0:  # log1p(t)/t, relative
            absolute, least = (
                difference(p, around, arb(2) ** -200, t),
                below(t.log1p() / t) if t.mid() > arb("0.01") else arb("0.98"),
            )
        else:
            taylor = arb_poly([0, *p])(arb_poly([c, 1])) - arb_poly([c.log1p(), *around])
            radius = above(t - c)
            absolute = sum(
                (above(a) * radius**k for k, a in enumerate(taylor.coeffs())), arb(2) ** -200
            )
            least, rounding = below(t.log1p()), rounding * above(t)
        worst = worst.max(above((absolute + rounding) / least))
    rate = core.number("kLog2e")
    of_t = term_error(core) + FARTHEST * (2 * U + above(rate * LN2 - 1))
    return above(worst + of_t + 4 * U) * (1 + MARGIN)


PROOFS = {
    "Sigmoid": sigmoid,
    "Softplus": softplus,
    "Logit": logit,
    "Log1mexp": log1mexp,
    "BinaryCrossEntropy": hard_loss,
}


# --- rows: what src/core/functions/correct.h takes for granted --------------------------------------------------------


def per_energy(core: Core) -> arb:
    """Of e^y, for each unit of |y|: x - m, 1/T, the constant and its product, and that with x - m are rounded."""
    rate = core.number("kLog2e")
    return above(4 * U + above(rate * LN2 - 1)) * (1 + MARGIN)


def term_error(core: Core) -> arb:
    """Of e^y, beside that: 2^f by a polynomial in two sums of powers of f², and the rounding of f."""
    p = core.polynomial("kExp2")
    terms, half, worst = 40, arb(1) / 2 + MARGIN, arb(0)
    series = [LN2**k / math.factorial(k) for k in range(terms)]
    tail = LN2**terms / math.factorial(terms) * 2
    for f in pieces(-half, half):
        even, of_even = horner(p[::2], f * f, roundings=2)
        odd, of_odd = horner(p[1::2], f * f, roundings=2)
        rounding = of_even + above(f) * (of_odd + U * above(odd))
        absolute = difference(p, series, tail, f) + rounding + U * above(even + f * odd)
        worst = worst.max(above(absolute / (f * LN2).exp()))
    return above(worst + LN2 * U * half) * (1 + MARGIN)


def sum_error(_: Core) -> arb:
    """Of Σ e: where a term is larger than the sum before it, its rounding; but such terms double the sum, so that
    all of them are less than twice the last one. Then three additions of lanes, that of the rest, and what the rest
    itself loses, which is of second order."""
    return above(2 * U + 3 * U + U) * (1 + MARGIN) + arb(2) ** -60


def log_error(core: Core) -> arb:
    """Of log(1 + others) in one double: f + c, 2 + (f + c) and their quotient, then 2s + s·z·P(z) + k·ln 2."""
    p = core.polynomial("kLogTail")
    root = arb(2).sqrt()
    s = (root - 1) / (root + 1) * (1 + MARGIN)
    of_s = (
        4 * U / (1 - s**2)
    )  # the quotient of sums that are off by U each, and others, which is rounded
    z = arb(0).union(s**2)
    value, rounding = horner(p, z)
    tail = above(z * value) / 2 * 5 * U + above(z) * rounding + arb(2) ** -62
    near = of_s + tail + U  # relative to the logarithm where k = 0
    far = (near * 2 * s * (1 + s) + 3 * U * s * 2) / (root.log()) + U
    return above(near.max(far)) * (1 + MARGIN)


def quotient_error(_: Core) -> arb:
    """Of d/T: m - a, 1/T, their product; and of what it is added to."""
    return above(4 * U) * (1 + MARGIN)


def pair_exponential(core: Core) -> arb:
    """Of e^y in a pair, with and without fused multiply-add: all that is not exact is a small part of it."""
    step = LN2 / 16
    p = core.polynomial("kDecay")
    terms = 30
    series = [arb((-1) ** (k + 1)) / math.factorial(k + 1) for k in range(terms)]
    worst = arb(0)
    for w in pieces(-step * (1 + MARGIN), step * (1 + MARGIN)):
        value, rounding = horner(p, w)
        absolute = above(w) * (difference(p, series, arb(2) ** -200, w) + rounding)
        rest = above(w * value) + arb(2) ** -52
        worst = worst.max(absolute + U * rest)
    # w is a difference of two that are rounded, up to twice as large, times a rounded 1/T: see Energy<Pair>.
    fused = worst + step * (1 + 1 + 2 + 2) * U + arb(2) ** -90
    tail = core.polynomial("kExpTail")
    series = [arb(1) / math.factorial(k + 3) for k in range(terms)]
    plain = arb(0)
    half = LN2 / 2 * (1 + MARGIN)
    for r in pieces(-half, half):
        value, rounding = horner(tail, r)
        absolute = above(r**3) * (difference(tail, series, arb(2) ** -200, r) + rounding)
        inner = above(r * value + arb(1) / 2)
        absolute += above(r**2) * inner * 4 * U + U * above(r**2) * inner
        plain = plain.max(above(absolute / r.exp()))
    return above(fused.max(plain + arb(2) ** -90)) * (1 + MARGIN)


def pair_error(core: Core) -> arb:
    """Of e/Σ e: both are off by as much at most; the quotient itself is good to 2^-98."""
    return above(2 * pair_exponential(core) + arb(2) ** -60)


def pair_log_error(core: Core) -> arb:
    """Of log(1 + others): that of others, and of the terms after the leading one of the logarithm, 2s."""
    p = core.polynomial("kLogTail")
    s = (arb(2).sqrt() - 1) / (arb(2).sqrt() + 1) * (1 + MARGIN)
    z = arb(0).union(s**2)
    value, rounding = horner(p, z)
    series = [arb(2) / (2 * k + 3) for k in range(60)]
    polynomial = max(
        (difference(p, series, s**120, piece) for piece in pieces(arb(0), s**2)), key=float
    )
    tail = above(z * value) / 2 * 6 * U + above(z) * (rounding + polynomial)
    far = tail * 2 * s / arb(2).sqrt().log() + 2 * U * above(z * value)
    return above(pair_exponential(core) + tail.max(far) + arb(2) ** -60)


ROW_PROOFS = {
    "kPerEnergy": per_energy,
    "kTermError": term_error,
    "kSumError": sum_error,
    "kLogError": log_error,
    "kQuotientError": quotient_error,
    "kPairError": pair_error,
    "kPairLogError": pair_log_error,
}


def edges() -> None:
    """Beyond the numbers that `start` is made for, results are what the tests take them for."""
    smallest = arb(0x42AEA8F5 & 0x7FFFFF | 0x800000) / 2**17  # kSmallest
    e = (-smallest).exp()
    assert e / (1 + e) > arb(2) ** -126
    assert e.log1p() > arb(2) ** -126
    assert (-FARTHEST).exp() < arb(2) ** -150
    assert 1 - 1 / (1 + arb(-40).exp()) < arb(2) ** -26


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--core", type=Path, default=CORE, help="the folder src/core")
    core = Core(parser.parse_args().core)
    edges()
    failed = False
    proofs = [(name, proof, core.error(name)) for name, proof in PROOFS.items()]
    proofs += [(name, proof, core.row_error(name)) for name, proof in ROW_PROOFS.items()]
    for name, proof, claimed in proofs:
        proved = proof(core)
        holds = proved * (1 + arb(2) ** -30) < claimed  # room for products of two errors
        failed |= not holds
        exponents = [float((e.log() / LN2).mid()) for e in (proved, claimed)]
        print(f"{name:14} proved 2^{exponents[0]:.3f}, claimed 2^{exponents[1]:.3f}: {holds}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
