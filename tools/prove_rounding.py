"""Prove the errors that the rounding tests of the elementwise functions rely on (docs/numerics/rounding.md).

    python tools/prove_rounding.py               derive the bounds and compare them with kError in src/core
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

    def number(self, name: str) -> arb:
        (found,) = re.findall(rf"constexpr double {name} = ([^;]+);", self.wide)
        return arb(float.fromhex(found))

    def polynomial(self, name: str) -> list[arb]:
        (found,) = re.findall(rf"constexpr double {name}\[\] = {{([^}}]+)}};", self.wide)
        return [arb(float.fromhex(c)) for c in found.split(",")]

    def error(self, function: str) -> arb:
        body = self.elementwise.split(f"struct {function} {{")[1]
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


def horner(polynomial: list[arb], x: arb) -> tuple[arb, arb]:
    """The values that P takes for x in a ball, and what its roundings come to."""
    value, error = polynomial[-1], arb(0)
    for c in polynomial[-2::-1]:
        product = value * x
        value, error = product + c, above(error * x) + U * above(product)
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


PROOFS = {"Sigmoid": sigmoid, "Softplus": softplus, "Logit": logit, "Log1mexp": log1mexp}


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
    for function, proof in PROOFS.items():
        proved, claimed = proof(core), core.error(function)
        holds = proved * (1 + arb(2) ** -30) < claimed  # room for products of two errors
        failed |= not holds
        exponents = [float((e.log() / LN2).mid()) for e in (proved, claimed)]
        print(f"{function:9} proved 2^{exponents[0]:.3f}, kError 2^{exponents[1]:.3f}: {holds}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
