"""Derive the polynomial coefficients, tables and constants of src/core/simd/wide.h.

    python tools/make_coefficients.py                    print the C++ lines
    python tools/make_coefficients.py --check FILE ...   fail unless these files contain exactly these lines

Each polynomial is the minimax one (Remez exchange), for the error of the function it ends up in, not its own.
Coefficients become doubles or floats one after another, lowest power first; the free ones are fitted anew after each
rounding, so that what rounding took away is given back by the higher powers.
"""

import argparse
import math
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mpmath import mp, mpf

mp.prec = 320  # the fits cancel about 100 bits; this leaves more than 200

Function = Callable[[mpf], mpf]


@dataclass(frozen=True)
class Polynomial:
    """P of the given degree that makes the largest weight(x)·|target(x) − P(x)| on [low, high] smallest."""

    name: str
    meaning: str
    degree: int
    alternatives: tuple[int, ...]
    low: mpf
    high: mpf
    target: Function
    weight: Function
    first: tuple[float, ...] = ()  # coefficients before c0 of P, known exactly: printed in front
    digits: int = 53  # of a coefficient: a double, or a float of 24


def margin(x: mpf) -> mpf:
    """A bound widened by 2^-20: the argument reduction rounds."""
    return x * (1 + mpf(2) ** -20)


def polynomials() -> list[Polynomial]:
    half_ln2 = margin(mp.ln2 / 2)
    s_max = mpf("0.2004")  # of Logit; the logarithm itself needs (√2-1)/(√2+1) = 0.1716
    return [
        Polynomial(
            "kExp2Narrow", "2^f = 1 + f P(f), |f| <= 1/2, relative error",
            6, (5,), mpf(-1) / 2, mpf(1) / 2,
            target=lambda f: (mpf(2) ** f - 1) / f,
            weight=lambda f: abs(f) / mpf(2) ** f,
            first=(1.0,),
        ),
        Polynomial(
            "kExp2Half", "2^f = 1 + f P(f), |f| <= 1/2, relative error",
            4, (3,), mpf(-1) / 2, mpf(1) / 2,
            target=lambda f: (mpf(2) ** f - 1) / f,
            weight=lambda f: abs(f) / mpf(2) ** f,
            first=(1.0,),
            digits=24,
        ),
        Polynomial(
            "kExp2", "2^f = 1 + f P(f), |f| <= 1/2, relative error",
            9, (8,), mpf(-1) / 2, mpf(1) / 2,
            target=lambda f: (mpf(2) ** f - 1) / f,
            weight=lambda f: abs(f) / mpf(2) ** f,
            first=(1.0,),
        ),
        Polynomial(
            "kExp2Short", "2^f = 1 + f P(f), |f| <= 1/2, error relative to 2^f - 1",
            7, (8,), mpf(-1) / 2, mpf(1) / 2,
            target=lambda f: (mpf(2) ** f - 1) / f,
            weight=lambda f: abs(f) / abs(mpf(2) ** f - 1),
        ),
        Polynomial(
            "kExpTail", "q in e^r = 1 + r + r^2(1/2 + r q(r)), |r| <= ln2/2, error relative to e^r",
            9, (8,), -half_ln2, half_ln2,
            target=lambda r: (mp.exp(r) - 1 - r - r * r / 2) / r**3,
            weight=lambda r: abs(r) ** 3 / mp.exp(r),
        ),
        Polynomial(
            "kExcess", "h in e^r = 1 + r + r^2 h(r), |r| <= ln2/2, relative error",
            8, (7,), -half_ln2, half_ln2,
            target=lambda r: (mp.exp(r) - 1 - r) / r**2,
            weight=lambda r: r**2 / (mp.exp(r) - 1 - r),
        ),
        Polynomial(
            "kLogTail", "P in log((1+s)/(1-s)) = 2s + s z P(z), z = s^2, |s| <= 0.2004, error relative to 2s",
            7, (6,), mpf(0), s_max**2,
            target=lambda z: (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z,
            weight=lambda z: z / 2,
        ),
        Polynomial(
            "kLogTailShort", "P in log((1+s)/(1-s)) = 2s + s z P(z), z = s^2, |s| <= 0.2004, error relative to 2s",
            4, (3,), mpf(0), s_max**2,
            target=lambda z: (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z,
            weight=lambda z: z / 2,
        ),
        Polynomial(
            "kLog1pShort", "P in log((1+s)/(1-s)) = 2s + s z P(z), z = s^2, |s| <= 1/3, error relative to 2s",
            5, (6,), mpf(0), margin(mpf(1) / 3) ** 2,
            target=lambda z: (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z,
            weight=lambda z: z / 2,
        ),
        Polynomial(
            "kLog1p", "P in log1p(t) = t P(t), 0 <= t <= 1, relative error",
            13, (11,), mpf(0), mpf(1),
            target=lambda t: mp.log1p(t) / t,
            weight=lambda t: t / mp.log1p(t),
        ),
        Polynomial(
            "kDecay", "Q in e^-v = 1 + v Q(v), Q = -1 + v P(v), |v| <= ln2/16, error relative to e^-v",
            5, (), -margin(mp.ln2 / 16), margin(mp.ln2 / 16),
            target=lambda v: (mp.exp(-v) - 1 + v) / v**2,
            weight=lambda v: v**2 * mp.exp(v),
            first=(-1.0,),
        ),
    ]  # fmt: skip


# --- Remez exchange ----------------------------------------------------------------------------------------------


class Fit:
    """The minimax fit of the coefficients that are not fixed yet, the lowest ones being `fixed`."""

    def __init__(self, problem: Polynomial, degree: int, fixed: list[mpf]):
        self.problem, self.fixed = problem, fixed
        self.powers = range(len(fixed), degree + 1)
        self.coefficients = list(fixed)

    def error(self, x: mpf) -> mpf:
        """Weighted error, with the sign that alternates: x^k (k fixed coefficients) is odd around 0 for odd k."""
        p = mp.polyval(self.coefficients[::-1], x)
        sign = -1 if x < 0 and len(self.fixed) % 2 else 1
        return sign * self.problem.weight(x) * (self.problem.target(x) - p)

    def solve(self, points: list[mpf]) -> None:
        """Coefficients whose error is ±level, alternating over the points."""
        rows, right = [], []
        for i, x in enumerate(points):
            sign = (-1 if x < 0 and len(self.fixed) % 2 else 1) * (-1) ** i
            rows.append([x**j for j in self.powers] + [sign / self.problem.weight(x)])
            right.append(self.problem.target(x) - mp.polyval(self.fixed[::-1], x))
        self.coefficients = self.fixed + list(mp.lu_solve(mp.matrix(rows), mp.matrix(right)))[:-1]

    def extrema(self, grid: list[mpf]) -> list[mpf]:
        """The place of the largest error of each sign, one for every stretch of equal sign."""
        errors = [self.error(x) for x in grid]
        best = [0]
        for i in range(1, len(grid)):
            if errors[i] * errors[best[-1]] < 0:
                best.append(i)
            elif abs(errors[i]) > abs(errors[best[-1]]):
                best[-1] = i
        return [self.climb(grid, i) for i in best]

    def climb(self, grid: list[mpf], i: int) -> mpf:
        """The vertex of the parabola through three grid points around an extremum."""
        if i in (0, len(grid) - 1) or grid[i - 1] < 0 < grid[i + 1]:  # the weight has a kink at 0
            return grid[i]
        a, b, c = grid[i - 1 : i + 2]
        ea, eb, ec = (abs(self.error(x)) for x in (a, b, c))
        low = (b - a) * (eb - ec) - (b - c) * (eb - ea)
        x = b - ((b - a) ** 2 * (eb - ec) - (b - c) ** 2 * (eb - ea)) / (2 * low) if low else b
        return x if a < x < c and abs(self.error(x)) > eb else b


def chebyshev(low: mpf, high: mpf, count: int) -> list[mpf]:
    """Points that crowd towards both ends; the ends are left out by a hair, where a target may be 0/0."""
    angles = (mp.pi * (i + mpf(1) / 1000) / (count - 1 + mpf(2) / 1000) for i in range(count))
    return [(low + high) / 2 - (high - low) / 2 * mp.cos(angle) for angle in angles]


def thin(points: list[mpf], count: int, fit: Fit) -> list[mpf]:
    """Drop the smallest extrema until `count` are left that still alternate."""
    size = {x: abs(fit.error(x)) for x in points}
    while len(points) > count:
        i = min(range(len(points)), key=lambda i: size[points[i]])
        if (
            0 < i < len(points) - 1 and len(points) > count + 1
        ):  # inside: with its smaller neighbour
            j = min(i - 1, i + 1, key=lambda j: size[points[j]])
            points = [x for k, x in enumerate(points) if k not in (i, j)]
        else:
            points = points[1:] if size[points[0]] < size[points[-1]] else points[:-1]
    return points


def remez(problem: Polynomial, degree: int, fixed: list[mpf]) -> list[mpf]:
    fit = Fit(problem, degree, fixed)
    count = len(fit.powers) + 1
    grid = chebyshev(problem.low, problem.high, 32 * count)  # an even number: 0 is not among them
    points = chebyshev(problem.low, problem.high, count + (count % 2))[:count]
    best = mp.inf, fit.coefficients
    for _ in range(30):
        fit.solve(points)
        level = abs(fit.error(points[0]))
        points = thin(fit.extrema(grid), count, fit)
        if len(points) < count:
            raise ArithmeticError(f"{problem.name}: the error alternates only {len(points)} times")
        largest = max(abs(fit.error(x)) for x in points)
        if largest < best[0]:
            best = largest, fit.coefficients
        if largest <= level * (1 + mpf(10) ** -4):
            break
    return best[1]


def largest_error(problem: Polynomial, coefficients: list[mpf]) -> mpf:
    fit = Fit(problem, len(coefficients) - 1, coefficients)
    return max(abs(fit.error(x)) for x in chebyshev(problem.low, problem.high, 2000))


def to_digits(x: mpf, digits: int) -> float:
    """The nearest number of so many binary digits."""
    mantissa, exponent = mp.frexp(x)
    return math.ldexp(float(mp.nint(mp.ldexp(mantissa, digits))), int(exponent) - digits)


def rounded(problem: Polynomial, degree: int) -> tuple[list[float], mpf, mpf]:
    """Coefficients as stored, their largest error, and the largest error of the unrounded minimax polynomial."""
    exact = remez(problem, degree, [])
    fixed: list[mpf] = []
    current = exact
    for k in range(degree + 1):
        fixed.append(mpf(to_digits(current[k], problem.digits)))
        if k < degree:
            current = remez(problem, degree, fixed)
    return [float(c) for c in fixed], largest_error(problem, fixed), largest_error(problem, exact)


# --- C++ lines -----------------------------------------------------------------------------------------------------


def hexadecimal(x: float) -> str:
    mantissa, exponent = x.hex().split("p")
    return f"{mantissa.rstrip('0').rstrip('.')}p{exponent}"


def polynomial_line(problem: Polynomial, degree: int) -> tuple[str, str]:
    coefficients, error, ideal = rounded(problem, degree)
    kind, suffix = ("double", "") if problem.digits == 53 else ("float", "f")
    listed = ", ".join(hexadecimal(c) + suffix for c in (*problem.first, *coefficients))
    bound = f"largest error 2^{float(mp.log(error, 2)):.1f}"
    line = f"constexpr {kind} {problem.name}[] = {{{listed}}};  // c0.. ascending; {bound}"
    return (
        line,
        f"// {problem.meaning}; P of degree {degree}: 2^{float(mp.log(ideal, 2)):.1f} before rounding",
    )


def constant_lines() -> list[str]:
    """log2(e), and ln 2 in two parts: 53 bits hold n·kLn2Hi exactly for |n| < 2^12 when kLn2Hi has 41."""
    high = float(mp.nint(mp.ln2 * 2**41)) / 2**41
    low = float(mp.ln2 - mpf(high))
    left = abs(mp.ln2 - mpf(high) - mpf(low))
    assert math.ldexp(high, 41).is_integer()
    assert (int(math.ldexp(high, 41)) * 4095).bit_length() <= 53
    return [
        f"constexpr double kLog2e = {hexadecimal(float(1 / mp.ln2))};",
        f"constexpr double kLn2 = {hexadecimal(float(mp.ln2))};",
        f"constexpr double kLn2Hi = {hexadecimal(high)};  // 41 bits: n * kLn2Hi is exact for |n| < 2^12",
        f"constexpr double kLn2Lo = {hexadecimal(low)};  // ln2 - kLn2Hi - kLn2Lo = 2^{float(mp.log(left, 2)):.1f}",
    ]


def table_line(name: str, words: list[int]) -> str:
    listed = ", ".join(f"0x{word:016x}" for word in words)
    return f"alignas(64) constexpr std::uint64_t {name}[] = {{{listed}}};"


def bit_patterns(numbers: list[float]) -> list[int]:
    return [int.from_bytes(struct.pack("<d", x), "little") for x in numbers]


def step_lines() -> list[str]:
    """2^(k/8) = root·(1 + rest), the root less the bits that k adds to its fraction; ln 2 / 8 in two parts."""
    exact = [mpf(2) ** (mpf(k) / 8) for k in range(8)]
    roots = [float(root) for root in exact]
    rests = [0.0, *(float(x / r - 1) for x, r in zip(exact[1:], roots[1:], strict=True))]
    step = float(mp.ln2 / 8)
    return [
        table_line("kRoots", [word - (k << 49) for k, word in enumerate(bit_patterns(roots))]),
        table_line("kRootRests", bit_patterns(rests)),
        f"constexpr double kStepsPerUnit = {hexadecimal(float(8 / mp.ln2))};",
        f"constexpr double kStep = {hexadecimal(step)};  // ln 2 / 8, and what it lacks",
        f"constexpr double kStepRest = {hexadecimal(float(mp.ln2 / 8 - mpf(step)))};",
    ]


def lines() -> list[str]:
    """The lines that the headers must contain."""
    return (
        [polynomial_line(p, p.degree)[0] for p in polynomials()] + constant_lines() + step_lines()
    )


def show() -> None:
    for p in polynomials():
        line, comment = polynomial_line(p, p.degree)
        print(comment, line, sep="\n")
        for degree in p.alternatives:
            line, comment = polynomial_line(p, degree)
            print(f"{comment} (alternative)", f"// {line}", sep="\n")
        print()
    print(*constant_lines(), *step_lines(), sep="\n")


def check(paths: list[Path]) -> int:
    present = {line.strip() for path in paths for line in path.read_text().splitlines()}
    missing = [line for line in lines() if line not in present]
    for line in missing:
        print(f"missing: {line}", file=sys.stderr)
    return bool(missing)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check",
        nargs="+",
        metavar="FILE",
        type=Path,
        help="fail unless the files contain exactly the lines printed",
    )
    arguments = parser.parse_args()
    if arguments.check:
        return check(arguments.check)
    show()
    return 0


if __name__ == "__main__":
    sys.exit(main())
