"""The first cases of the fuzz runs; CONTRIBUTING has the commands for more."""

import fuzz
import numpy as np
import pytest


@pytest.mark.parametrize("check", fuzz.CHECKS)
@pytest.mark.parametrize("seed", range(4))
def test_first_cases(check: str, seed: int) -> None:
    cases = 250
    compared = fuzz.run(check, cases, seed)
    assert compared > 0.7 * cases


def test_layouts_are_of_every_kind() -> None:
    """The arrays of the layout cases: repeated, transposed, reversed, apart, unaligned, read-only, swapped."""
    x = np.arange(24.0).reshape(2, 3, 4)
    laid_out = [fuzz.laid_out(fuzz.Draw(0, case), x) for case in range(200)]
    same = [a for a in laid_out if 0 not in a.strides]
    assert all(np.array_equal(a, x) for a in same)
    kinds = {
        "repeated": lambda a: 0 in a.strides,
        "transposed": lambda a: abs(a.strides[0]) < abs(a.strides[2]),
        "reversed": lambda a: min(a.strides) < 0,
        "apart": lambda a: min(map(abs, a.strides)) > 8,
        "unaligned": lambda a: not a.flags.aligned,
        "read-only": lambda a: not a.flags.writeable,
        "swapped": lambda a: not a.dtype.isnative,
    }
    for kind, has in kinds.items():
        assert sum(map(has, laid_out)) > 10, kind


def test_what_changes_is_found() -> None:
    """A sum in the order of memory, and a product with what is masked, do not pass."""
    rng = np.random.default_rng(0)
    x, where = rng.normal(size=(40, 40)), rng.random((40, 40)) < 0.5
    call = fuzz.Call(lambda x: x.sum(axis=None), {"x": x}, 1)
    assert not fuzz.all_same([call.run({"x": x})], [call.run({"x": x.copy("F")})])
    call = fuzz.Call(np.errstate(all="ignore")(np.multiply), {"x": x, "where": where}, 2)
    spoiled = fuzz.spoil(fuzz.Draw(0, 0), call)
    assert not fuzz.all_same(
        *(fuzz.outcome(lambda a=a: call.run(a)) for a in (spoiled, call.arrays))
    )
