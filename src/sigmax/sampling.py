"""From probabilities to actions: truncation, draws that are the same everywhere, speculative decoding."""

import functools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments, _core, _sampling
from ._arguments import Axis, in_exact_arithmetic
from ._axis import join_axes, split_axes

__all__ = [
    "Accepted",
    "Filtered",
    "filter_probabilities",
    "sample",
    "speculative_accept",
]

_sampling.use_level(_core.level())

# The options of a truncation beside the temperature.
TRUNCATION = ("top_k", "top_p", "min_p", "typical_p", "top_n_sigma", "epsilon", "order", "preset")
_ORDER = ("temperature", "top_k", "typical_p", "top_p", "min_p", "epsilon", "top_n_sigma")
_PRESETS = {
    "llama.cpp": ("top_n_sigma", "top_k", "typical_p", "top_p", "min_p", "temperature"),
    "transformers": ("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon"),
    "vllm": ("temperature", "min_p", "top_k", "top_p"),
}
Preset = Literal["llama.cpp", "transformers", "vllm"]


class Filtered(NamedTuple):
    """A distribution after truncation: see :func:`filter_probabilities`.

    Attributes
    ----------
    probabilities : ndarray, shape of the logits
        0 for the classes that are not kept; the others sum to 1.
    log_mass : ndarray or scalar, one per row
        Logarithm of the probability that what is kept had before.
    """

    probabilities: Any
    log_mass: Any


class Accepted(NamedTuple):
    """How many tokens of a draft stand, and the token that follows: see :func:`speculative_accept`.

    Attributes
    ----------
    count : ndarray of int64 or scalar, one per sequence
        How many tokens of the draft stand, from the first on.
    token : ndarray of int64 or scalar, one per sequence
        What comes after them: drawn where a token was refused, or from the target's row behind the draft; -1 where all
        stand and there is no such row.
    """

    count: Any
    token: Any


@in_exact_arithmetic
def filter_probabilities(
    logits: ArrayLike,
    /,
    axis: Axis = -1,
    *,
    temperature: ArrayLike = 1.0,
    top_k: ArrayLike | None = None,
    top_p: ArrayLike | None = None,
    min_p: ArrayLike | None = None,
    typical_p: ArrayLike | None = None,
    top_n_sigma: ArrayLike | None = None,
    epsilon: ArrayLike | None = None,
    where: ArrayLike | None = None,
    order: Sequence[str] = _ORDER,
    preset: Preset | None = None,
) -> Filtered:
    r"""Keep the likely classes: the distribution after truncation, and the logarithm of the mass that survives.

    .. math:: p'_i = \frac{p_i \, [i \in K]}{\sum_{j \in K} p_j}, \qquad
              \log p'_i = \log p_i - \log \sum_{j \in K} p_j, \qquad p = \operatorname{softmax}(x / T)

    Each option narrows K, the set of classes that are kept, in the order of ``order``; it sees the distribution that
    those before it have left, renormalised. Classes with equal logits are kept or dropped together, so that nothing
    depends on their positions. K is that of exact arithmetic on the given numbers, in every type.

    Parameters
    ----------
    logits : array_like of real numbers, shape (..., C, ...)
        As for :func:`softmax`.
    axis, where
        As for :func:`softmax`.
    temperature : float or array_like
        As for :func:`softmax`: the T of the result, and of the options behind it in the order; for those before it T
        is 1. This option and the following are numbers, or arrays that broadcast against the batch dimensions: one
        number per row.
    top_k : int or array_like of int, optional
        Keep the k largest logits and all that equal the last of them. At least 1; C or more keeps all.
    top_p : float or array_like, optional
        Keep the most likely classes until they have this probability together. In [0, 1]; 1 keeps all, 0 the winner.
    min_p : float or array_like, optional
        Keep classes with at least this share of the winner's probability. In [0, 1].
    typical_p : float or array_like, optional
        Keep the classes whose surprise -log p is closest to the entropy until they have this probability together. In
        [0, 1]. The winner may go where it is far less surprising than that: this is the purpose.
    top_n_sigma : float or array_like, optional
        Keep logits of at least the largest less n standard deviations: of the logits that are kept so far and not
        -inf, the population's. Not negative; inf keeps all.
    epsilon : float or array_like, optional
        Keep classes of at least this probability, and the winner. In [0, 1].
    order : sequence of str
        Names of options, each at most once, the first to be applied first. An option that is given must be among them.
    preset : {"llama.cpp", "transformers", "vllm"}, optional
        The order of llama.cpp, Transformers or vLLM, in place of ``order``.

    Returns
    -------
    Filtered
        ``probabilities``, of the shape and type of the logits, bit for bit ``softmax(logits, where=kept)`` with its
        largest error: float16 and bfloat16 0.51 ULP, float32 0.8 ULP, float64 1 ULP. ``log_mass`` in [-inf, 0], one
        per row, of the type of the logits, largest error 1 ULP in the narrow types and 2^-46 of itself in float64;
        0 where all is kept. A row with NaN is NaN in both; a row that is masked throughout has probabilities 0.

    Raises
    ------
    TypeError
        If ``logits`` is complex, longdouble, not numeric, or a masked array, or an option is not real.
    ValueError
        If an option is out of its range, has no place in the order, or does not broadcast.
    AxisError
        If ``axis`` is out of bounds.

    See Also
    --------
    sample, softmax

    References
    ----------
    Fan, A., Lewis, M., Dauphin, Y. (2018). Hierarchical neural story generation (top_k). arXiv:1805.04833.
    Holtzman, A., Buys, J., Du, L., Forbes, M., Choi, Y. (2020). The curious case of neural text degeneration (top_p).
    arXiv:1904.09751.
    Meister, C., Pimentel, T., Wiher, G., Cotterell, R. (2023). Locally typical sampling. arXiv:2202.00666.
    Hewitt, J., Manning, C., Liang, P. (2022). Truncation sampling as language model desmoothing (epsilon).
    arXiv:2210.15191.
    Nguyen, M. et al. (2025). Turning up the heat: min-p sampling. arXiv:2407.01082.
    Tang, C. et al. (2025). Top-nσ: not all logits are you need. arXiv:2411.07641.

    Examples
    --------
    >>> import sigmax
    >>> p, log_mass = sigmax.filter_probabilities([4.0, 2.0, 1.0, -1.0], top_p=0.9)
    >>> p
    array([0.88079708, 0.11920292, 0.        , 0.        ])
    >>> print(log_mass)  # what is kept had 95.3 % of the probability
    -0.04858735157374204
    >>> sigmax.filter_probabilities([2.0, 1.0, 1.0, 0.0], top_k=2).probabilities  # a tie stays together
    array([0.57611688, 0.21194156, 0.21194156, 0.        ])
    """
    options = _Options(
        temperature, top_k, top_p, min_p, typical_p, top_n_sigma, epsilon, order, preset
    )
    rows = _Rows(logits, axis, where, options)
    probabilities, log_mass = _core.empty_like(rows.x), np.empty(len(rows.x))
    rows.run(kept=probabilities, as_probabilities=True, log_mass=log_mass)
    return Filtered(
        rows.per_class(probabilities), rows.per_row(_arguments.cast(log_mass, rows.x.dtype))
    )


@in_exact_arithmetic
def sample(
    logits: ArrayLike,
    /,
    axis: Axis = -1,
    *,
    shape: int | tuple[int, ...] | None = None,
    temperature: ArrayLike = 1.0,
    top_k: ArrayLike | None = None,
    top_p: ArrayLike | None = None,
    min_p: ArrayLike | None = None,
    typical_p: ArrayLike | None = None,
    top_n_sigma: ArrayLike | None = None,
    epsilon: ArrayLike | None = None,
    where: ArrayLike | None = None,
    order: Sequence[str] = _ORDER,
    preset: Preset | None = None,
    replace: bool = True,
    seed: int | None = None,
    rows: ArrayLike | None = None,
    draw: int = 0,
    rng: "np.random.Generator | None" = None,
    return_log_prob: bool = False,
) -> Any:
    r"""Draw classes: the same from the same seed and row, whatever stands around it.

    .. math:: P(\text{class } i) = p'_i

    with p' of :func:`filter_probabilities`, whose options it takes. A draw depends on the seed, the number of the row,
    the number of the draw, the row's numbers and the options; not on the batch, the layout, the number of threads or
    the instruction set. A class of probability 0 is never drawn.

    Draw d of row r takes number r of the stream ``numpy.random.Philox(key=seed, counter=[0, d, 0, 0])``: 64 bits, and
    u is that number divided by 2^64. The classes stand in their order, but for the winner (the first of the largest
    logits that are kept), which stands last; the class is that of the row in which the share u of all probability
    falls.

    Parameters
    ----------
    logits, axis, temperature, top_k, top_p, min_p, typical_p, top_n_sigma, epsilon, where, order, preset
        As for :func:`filter_probabilities`.
    shape : int or tuple of int, optional
        How many draws of each row; one, without a dimension of its own, unless given.
    replace : bool
        Whether a class can be drawn again. If not, the draws of a row are different classes, in the order in which
        draws without replacement would bring them: the largest logits with Gumbel noise, for class c from number c
        of the stream with the counter ``[0, r, draw, 2]``.
    seed : int, optional
        In [0, 2^128). Without one the draws cannot be repeated.
    rows : int or array_like of int, optional
        Numbers of the rows, broadcast to the batch; 0, 1, … unless given. Rows of one number and equal logits are drawn
        alike.
    draw : int
        Number of the first draw. A program that draws again from the same row and seed, as a decoder does for each
        token, must count it up.
    rng : numpy.random.Generator, optional
        Where the 64 bits of each draw come from in place of a seed, row by row: ``rng.integers(0, 2**64, …)``.
    return_log_prob : bool
        Whether to return log p' as well.

    Returns
    -------
    ndarray of int64 or scalar, or a tuple of it and the logarithms
        The classes, of the shape of the batch and ``shape`` behind it, as indices along ``axis``; of several axes, as
        indices of them joined in the order given. Each is drawn with its probability p' to within 2^-46 of 1.
        Logarithms of the type of the logits: largest error 1 ULP in the narrow types, 4 ULP in float64.

    Raises
    ------
    TypeError, ValueError, AxisError
        As for :func:`filter_probabilities`; also for a row with NaN or without a possible class, for ``shape`` larger
        than the number of possible classes without replacement, for negative numbers, and for ``rng`` beside a seed.

    See Also
    --------
    filter_probabilities, speculative_accept

    References
    ----------
    Salmon, J. K., Moraes, M. A., Dror, R. O., Shaw, D. E. (2011). Parallel random numbers: as easy as 1, 2, 3.
    doi:10.1145/2063384.2063405.
    Kool, W., van Hoof, H., Welling, M. (2019). Stochastic beams and where to find them: the Gumbel-top-k trick.
    arXiv:1903.06059.

    Examples
    --------
    >>> import sigmax
    >>> import numpy as np
    >>> logits = np.array([[4.0, 2.0, 1.0, -1.0], [0.0, 0.0, 0.0, 0.0]])
    >>> sigmax.sample(logits, seed=5)
    array([0, 3])
    >>> sigmax.sample(logits[1], seed=5, rows=1)  # alone, the row brings the same
    np.int64(3)
    >>> sigmax.sample(logits, seed=5, shape=8, temperature=2.0, top_k=2)
    array([[0, 0, 1, 0, 0, 0, 1, 0],
           [3, 1, 1, 3, 0, 3, 1, 1]])
    >>> sigmax.sample(logits, seed=5, shape=4, replace=False)
    array([[0, 2, 1, 3],
           [3, 0, 2, 1]])
    """
    options = _Options(
        temperature, top_k, top_p, min_p, typical_p, top_n_sigma, epsilon, order, preset
    )
    many = _shape(shape)
    bits = _Bits(seed, rng, rows, draw)
    batch = _Rows(logits, axis, where, options)
    count, draws = len(batch.x), math.prod(many)
    drawn = np.empty((count, draws), np.int64)
    log_prob = np.empty((count, draws)) if return_log_prob else None
    if replace:
        batch.run(drawn=drawn, log_prob=log_prob, bits=bits.per_draw(batch.shape, draws, _DRAWS))
        batch.require_a_class()
    else:
        possible = np.zeros(count, np.int64)
        numbers = bits.per_class(batch.shape, batch.x.shape[1])
        batch.run(drawn=drawn, log_prob=log_prob, bits=numbers, possible=possible)
        batch.require_a_class()
        batch.require_classes(possible, draws)
    tokens = batch.per_row(drawn, many)
    if log_prob is None:
        return tokens
    return tokens, batch.per_row(_arguments.cast(log_prob, batch.x.dtype), many)


@in_exact_arithmetic
def speculative_accept(
    draft_logits: ArrayLike,
    target_logits: ArrayLike,
    draft_tokens: ArrayLike,
    /,
    axis: int = -1,
    *,
    temperature: ArrayLike = 1.0,
    top_k: ArrayLike | None = None,
    top_p: ArrayLike | None = None,
    min_p: ArrayLike | None = None,
    typical_p: ArrayLike | None = None,
    top_n_sigma: ArrayLike | None = None,
    epsilon: ArrayLike | None = None,
    order: Sequence[str] = _ORDER,
    preset: Preset | None = None,
    draft: Mapping[str, Any] | None = None,
    seed: int | None = None,
    rows: ArrayLike | None = None,
    draw: int = 0,
    rng: "np.random.Generator | None" = None,
) -> Accepted:
    r"""Accept the tokens of a draft so that what comes out is distributed as the target alone would have it.

    .. math:: P(\text{token stands}) = \min\left(1, \frac{q_i}{p_i}\right), \qquad
              P(\text{next} = j \mid \text{refused}) = \frac{\max(0, q_j - p_j)}{\sum_k \max(0, q_k - p_k)}

    with p the distribution of the draft and q that of the target, both after their truncation. The tokens stand up to
    the first one that is refused. Where q is close to p, their differences keep their digits.

    Parameters
    ----------
    draft_logits : array_like of real numbers, shape (..., K, C)
        Of the model that has drawn the tokens, for each of K positions.
    target_logits : array_like of real numbers, shape (..., K, C) or (..., K + 1, C)
        Of the model that is to be followed, with the same tokens before each position; one row more is for the token
        behind a draft that stands whole.
    draft_tokens : array_like of int, shape (..., K)
        Drawn from the draft's distribution, by any means that is independent of these draws; those of :func:`sample`
        with the same seed are.
    axis : int
        The class axis. The positions are the last of the others.
    temperature, top_k, top_p, min_p, typical_p, top_n_sigma, epsilon, order, preset
        As for :func:`filter_probabilities`, for both. Arrays broadcast against (..., K) and the target's (..., K + 1).
    draft : mapping of options, optional
        Those of them in which the draft differs from the target, as ``draft={"temperature": 0.5}``.
    seed, rows, draw, rng
        As for :func:`sample`; a row is a sequence here, and ``draw`` the number of the first position. Position d takes
        the numbers of the streams with the counters ``[0, 2d, 0, 1]``, to accept, and ``[0, 2d + 1, 0, 1]``, to draw.

    Returns
    -------
    Accepted
        ``count`` of the tokens that stand, and the ``token`` behind them, -1 where there is none. Largest error of a
        probability: 2^-44 of q and of the larger of \|log q - log p\| and 1, in ULP of double precision some hundreds.

    Raises
    ------
    TypeError, ValueError, AxisError
        As for :func:`sample`; also if a token is impossible in the draft, or shapes do not match.

    References
    ----------
    Leviathan, Y., Kalman, M., Matias, Y. (2023). Fast inference from transformers via speculative decoding.
    arXiv:2211.17192.
    Chen, C. et al. (2023). Accelerating large language model decoding with speculative sampling. arXiv:2302.01318.

    Examples
    --------
    >>> import sigmax
    >>> import numpy as np
    >>> draft = np.log([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]])
    >>> target = np.log([[0.6, 0.2, 0.2], [0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
    >>> tokens = sigmax.sample(draft, seed=2)
    >>> sigmax.speculative_accept(draft, target, tokens, seed=2)
    Accepted(count=np.int64(1), token=np.int64(0))
    """
    options = _Options(
        temperature, top_k, top_p, min_p, typical_p, top_n_sigma, epsilon, order, preset
    )
    bits = _Bits(seed, rng, rows, draw)
    axis = _class_axis(axis)
    drafts = _Rows(draft_logits, axis, None, options.changed(draft), "draft_logits")
    targets = _Rows(target_logits, axis, None, options, "target_logits")
    tokens = _draft_tokens(draft_tokens, drafts, targets)
    *sequences, length = tokens.shape
    count, positions = math.prod(sequences), targets.shape[-1]
    classes = drafts.x.shape[1]

    p, q = _in_one_type(drafts.kept_logits(), targets.kept_logits())
    chosen = np.take_along_axis(p, tokens.reshape(-1, 1), 1).reshape(tokens.shape)
    _arguments.require(chosen > -np.inf, tokens, "draft_tokens", "possible in the draft")
    q = q.reshape(count, positions, classes)
    temperatures = targets.temperatures().reshape(count, positions)
    numbers = bits.per_draw(tuple(sequences), 2 * (length + 1), _SPECULATION, 2)

    accepted = np.empty((count, length), np.uint8)
    refused = np.empty((count, length), np.int64)  # what is drawn where a token is refused
    _sampling.speculate(
        _core.get_num_threads(),
        _type(p.dtype),
        p,
        np.ascontiguousarray(q[:, :length]).reshape(-1, classes),
        drafts.temperatures(),
        np.ascontiguousarray(temperatures[:, :length]).reshape(-1),
        tokens,
        np.ascontiguousarray(numbers[:, : 2 * length]),
        accepted,
        refused,
    )
    after = np.full((count, 1), -1, np.int64)
    if positions > length:
        last = _Rows(q[:, length], -1, None, _Options(temperatures[:, length]), "target_logits")
        last.run(drawn=after, bits=np.ascontiguousarray(numbers[:, 2 * length + 1]))
    stands = np.cumprod(accepted, 1, dtype=np.int64).sum(1)
    token = np.take_along_axis(np.concatenate([refused, after], 1), stands[:, None], 1)
    return Accepted(stands.reshape(sequences)[()], token.reshape(sequences)[()])


def _class_axis(axis: Any) -> int:
    if isinstance(axis, bool) or not hasattr(axis, "__index__"):
        raise TypeError(f"axis must be an int, got {axis!r}")
    return int(axis)


def _draft_tokens(tokens: Any, drafts: "_Rows", targets: "_Rows") -> Any:
    """Return the tokens of a draft as int64, checked beside the logits of draft and target."""
    if not drafts.shape:
        raise ValueError("draft_logits must have an axis of positions beside the classes")
    *sequences, length = drafts.shape
    classes = drafts.x.shape[1]
    if targets.x.shape[1] != classes:
        raise ValueError(f"target_logits must have {classes} classes, got {targets.x.shape[1]}")
    if targets.shape not in ((*sequences, length), (*sequences, length + 1)):
        raise ValueError(
            f"target_logits must have rows for {length} positions, or one more, got the batch shape "
            f"{targets.shape} beside {drafts.shape}"
        )
    tokens = np.asarray(_arguments.positions(tokens, "draft_tokens"))
    if tokens.dtype.kind not in "iu" and tokens.size:
        raise TypeError(f"draft_tokens must be integers, got dtype {tokens.dtype}")
    if tokens.shape != drafts.shape:
        raise ValueError(f"draft_tokens must have the shape {drafts.shape}, got {tokens.shape}")
    _arguments.require(
        (tokens >= 0) & (tokens < classes), tokens, "draft_tokens", f"in [0, {classes})"
    )
    return np.ascontiguousarray(tokens, np.int64)


def _in_one_type(p: Any, q: Any) -> tuple[Any, Any]:
    """Return two arrays of logits in a type that holds both exactly."""
    return (p, q) if p.dtype == q.dtype else (p.astype(np.float64), q.astype(np.float64))


# ---------------------------------------------------------------- options


_UNIT = (0.0, 1.0, "in [0, 1]")
_RANGES = {
    "top_k": (1.0, np.inf, "at least 1"),
    "top_p": _UNIT,
    "min_p": _UNIT,
    "typical_p": _UNIT,
    "epsilon": _UNIT,
    "top_n_sigma": (0.0, np.inf, "not negative"),
}
# The numbers of `Step` in core/sampling.h.
_CODES = {
    "temperature": 0,
    "top_k": 1,
    "top_p": 2,
    "min_p": 3,
    "typical_p": 4,
    "top_n_sigma": 5,
    "epsilon": 6,
}
_LOWEST, _HIGHEST = 7, 8
_DOUBTFUL, _NAN, _NOTHING = 1, 2, 3  # of `Outcome`


@dataclass
class _Options:
    """The options of a truncation, as given."""

    temperature: Any
    top_k: Any = None
    top_p: Any = None
    min_p: Any = None
    typical_p: Any = None
    top_n_sigma: Any = None
    epsilon: Any = None
    order: Any = _ORDER
    preset: Any = None

    def changed(self, options: Any) -> "_Options":
        """Return the options with some of them changed."""
        if options is not None and not isinstance(options, Mapping):
            raise TypeError(f"draft must be a mapping of options, got {options!r}")
        names = [field.name for field in fields(self)]
        for name in options or ():
            if name not in names:
                raise TypeError(f"draft must have options out of {names}, got {name!r}")
        return replace(self, **(options or {}))

    def steps(self) -> dict[str, Any]:
        """Return the checked options that are given, in their order."""
        usual = self.order is _ORDER and self.preset is None
        order = _ORDER if usual else self._order()
        given = {name: getattr(self, name) for name in _RANGES if getattr(self, name) is not None}
        checked = {name: _option(value, name) for name, value in given.items()}
        temperature = _arguments.temperatures(self.temperature)
        if type(temperature) is not float or temperature != 1.0:
            checked["temperature"] = np.asarray(temperature, np.float64)
        if missing := sorted(checked.keys() - set(order)):
            where = f"the preset {self.preset!r} has" if self.preset is not None else "order has"
            raise ValueError(f"{where} no place for {missing[0]}: it is {order}")
        return {name: checked[name] for name in order if name in checked}

    def _order(self) -> tuple[str, ...]:
        order = tuple(self.order) if isinstance(self.order, Sequence) else ()
        if isinstance(self.order, str) or not order or not all(isinstance(n, str) for n in order):
            raise TypeError(f"order must be a sequence of names of options, got {self.order!r}")
        for k, name in enumerate(order):
            if name not in _CODES:
                raise ValueError(f"order must name options out of {_ORDER}, got {name!r}")
            if name in order[:k]:
                raise ValueError(f"order must name each option once, got {name!r} twice")
        if self.preset is None:
            return order
        if self.preset not in _PRESETS:
            names = ", ".join(map(repr, _PRESETS))
            raise ValueError(f"preset must be one of {names}, got {self.preset!r}")
        if order != _ORDER:
            raise ValueError(f"preset must be without order, got both: {self.preset!r}, {order}")
        return _PRESETS[self.preset]


def _option(value: Any, name: str) -> Any:
    """Return an option as float64 numbers, checked."""
    least, most, what = _RANGES[name]
    if type(value) in ((int,) if name == "top_k" else (int, float)) and least <= value <= most:
        return np.asarray(value, np.float64)
    numbers = np.asarray(_arguments.positions(value, name))
    kinds = "iu" if name == "top_k" else "fiu"
    if numbers.dtype.kind not in kinds:
        kind = "integers" if name == "top_k" else "real numbers"
        raise TypeError(f"{name} must be {kind}, got {value!r}")
    numbers = numbers.astype(np.float64)
    _arguments.require((numbers >= least) & (numbers <= most), numbers, name, what)
    return numbers


def _shape(shape: Any) -> tuple[int, ...]:
    """Return how many draws of a row, as a shape."""
    if shape is None:
        return ()
    numbers = shape if isinstance(shape, tuple | list) else (shape,)
    if not all(hasattr(n, "__index__") and not isinstance(n, bool) for n in numbers):
        raise TypeError(f"shape must be an integer or a tuple of integers, got {shape!r}")
    result = tuple(int(n) for n in numbers)
    if any(n < 0 for n in result):
        raise ValueError(f"shape must not be negative, got {shape!r}")
    return result


# ---------------------------------------------------------------- rows


@functools.cache
def _type(dtype: Any) -> int:
    """Return the number of `Type` in core/calls.h."""
    return ("float16", "bfloat16", "float32", "float64").index(dtype.name)


class _Rows:
    """Rows of logits, classes last, and the chain that truncates them."""

    def __init__(
        self, logits: Any, axis: Axis, where: Any, options: _Options, name: str = "logits"
    ) -> None:
        x = _arguments.masked(_arguments.numpy_array(logits, name), where, -np.inf)
        self.axes, self.given, self.name = _arguments.axes(axis, x.ndim), x.shape, name
        x = join_axes(x, self.axes)
        *batch, classes = x.shape
        steps = options.steps()
        self.shape = _batch_shape(tuple(batch), steps)
        if x.shape[:-1] != self.shape:
            x = np.broadcast_to(x, (*self.shape, classes))
        if not (x.flags.c_contiguous and x.flags.aligned):
            x = np.require(x, requirements=("C", "A"))
        self.x = x.reshape(math.prod(self.shape), classes)
        self.steps = {
            option: values if values.ndim == 0 else self._flat(values)
            for option, values in steps.items()
        }
        self.outcome = np.empty(len(self.x), np.uint8)

    def _flat(self, values: Any) -> Any:
        return np.ascontiguousarray(np.broadcast_to(values, self.shape)).reshape(-1)

    @property
    def temperature(self) -> Any:
        """Return one number, or one per row."""
        temperature = self.steps.get("temperature", 1.0)
        return temperature if np.ndim(temperature) else float(temperature)

    def temperatures(self) -> Any:
        return np.ascontiguousarray(np.broadcast_to(self.temperature, len(self.x)), np.float64)

    def kept_logits(self) -> Any:
        """Return the logits, -inf where they are not kept; there must be one in each row."""
        kept = _core.empty_like(self.x)
        self.run(kept=kept)
        self.require_a_class()
        return kept

    def run(
        self,
        *,
        kept: Any = None,
        as_probabilities: bool = False,
        log_mass: Any = None,
        drawn: Any = None,
        log_prob: Any = None,
        bits: Any = None,
        possible: Any = None,
    ) -> None:
        """Truncate, and fill what is given; `possible` is for draws without replacement."""
        results = (as_probabilities, kept, log_mass, drawn, log_prob, bits, possible)
        steps = [(_CODES[option], values) for option, values in self.steps.items()]
        self._run(slice(None), steps, results)
        for row in (self.outcome == _DOUBTFUL).nonzero()[0]:
            self._settle(int(row), results)

    def _settle(self, row: int, results: tuple[Any, ...]) -> None:
        from ._exact import window  # which is slow to import, and rarely needed

        numbers = {
            option: float(values if values.ndim == 0 else values[row])
            for option, values in self.steps.items()
        }
        lowest, highest = window(self.x[row], list(numbers.items()))
        steps = [(_LOWEST, lowest), (_HIGHEST, highest)]
        steps.append((_CODES["temperature"], numbers.get("temperature", 1.0)))
        one = [(code, np.asarray(number)) for code, number in steps]
        self._run(slice(row, row + 1), one, results)

    def _run(self, part: slice, steps: list[Any], results: tuple[Any, ...]) -> None:
        as_probabilities, *arrays = results
        kept, log_mass, drawn, log_prob, bits, possible = (
            None if array is None else array[part] for array in arrays
        )
        _sampling.sample(
            _core.get_num_threads(),
            _type(self.x.dtype),
            self.x[part],
            tuple(steps),
            self.outcome[part],
            kept,
            as_probabilities,
            log_mass,
            drawn,
            log_prob,
            0 if drawn is None else drawn.shape[1],
            bits,
            possible is None,
            possible,
        )

    def require_a_class(self) -> None:
        """Refuse rows from which nothing can be drawn."""
        for outcome, what in ((_NAN, "have no NaN"), (_NOTHING, "have a possible class")):
            bad = np.flatnonzero(self.outcome == outcome)
            if len(bad):
                raise ValueError(f"{self.name} must {what}{self._place(bad[0])}")

    def require_classes(self, possible: Any, draws: int) -> None:
        """Refuse rows with fewer possible classes than draws without replacement."""
        few = np.flatnonzero(possible < draws)
        if len(few):
            raise ValueError(
                f"shape must be at most the number of possible classes without replacement, {possible[few[0]]}"
                f"{self._place(few[0])}, got {draws}"
            )

    def _place(self, row: Any) -> str:
        index = tuple(int(i) for i in np.unravel_index(row, self.shape))
        return f" in the row at index {index}" if index else ""

    def per_class(self, result: Any) -> Any:
        """Return a result of rows and classes in the shape of the logits."""
        return split_axes(result.reshape(*self.shape, result.shape[1]), self.given, self.axes)

    def per_row(self, result: Any, more: tuple[int, ...] = ()) -> Any:
        return result.reshape(self.shape + more)[()]


def _batch_shape(batch: tuple[int, ...], steps: dict[str, Any]) -> tuple[int, ...]:
    shape = batch
    for option, values in steps.items():
        if values.ndim == 0:
            continue
        try:
            shape = np.broadcast_shapes(shape, values.shape)
        except ValueError:
            raise ValueError(
                f"{option} of shape {values.shape} does not broadcast against the batch shape {batch}"
            ) from None
    return shape


# ---------------------------------------------------------------- random bits

# What numbers are drawn for: no two functions share a stream.
_DRAWS, _SPECULATION, _DISTINCT = 0, 1, 2


class _Bits:
    """The source of 64-bit random numbers: a seed with the numbers of rows and draws, or a Generator."""

    def __init__(self, seed: Any, rng: Any, rows: Any, draw: Any) -> None:
        if rng is not None and not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng must be a numpy.random.Generator, got {type(rng).__name__}")
        if rng is not None and (seed is not None or rows is not None or draw != 0):
            raise ValueError("rng must be alone: seed, rows and draw number the draws of a seed")
        if seed is None:
            seed = int.from_bytes(os.urandom(16))
        self.seed = _natural(seed, "seed", 128)
        self.draw = _natural(draw, "draw", 62)
        self.rows, self.rng = rows, rng

    def per_draw(self, batch: tuple[int, ...], draws: int, purpose: int, each: int = 1) -> Any:
        """Return a number for each row and draw; one draw of the caller's may take several."""
        return self._numbers(_sampling.row_bits, batch, draws, purpose, self.draw * each)

    def per_class(self, batch: tuple[int, ...], classes: int) -> Any:
        """Return a number for each row and class."""
        return self._numbers(_sampling.class_bits, batch, classes, _DISTINCT, self.draw)

    def _numbers(
        self, function: Any, batch: tuple[int, ...], width: int, purpose: int, draw: int
    ) -> Any:
        shape = (math.prod(batch), width)
        if self.rng is not None:
            return self.rng.integers(0, 2**64, shape, np.uint64)
        bits = np.empty(shape, np.uint64)
        low, high = self.seed % 2**64, self.seed >> 64
        function(low, high, self._row_numbers(batch), draw, purpose, bits)
        return bits

    def _row_numbers(self, batch: tuple[int, ...]) -> Any:
        if self.rows is None:
            return np.arange(math.prod(batch), dtype=np.uint64)
        rows = np.asarray(self.rows)
        if rows.dtype.kind not in "iu":
            raise TypeError(f"rows must be integers, got {self.rows!r}")
        _arguments.require(rows >= 0, rows, "rows", "not negative")
        if not _arguments.broadcasts(rows.shape, batch):
            raise ValueError(f"rows must broadcast to the shape {batch}, got shape {rows.shape}")
        return np.ascontiguousarray(np.broadcast_to(rows.astype(np.uint64), batch)).reshape(-1)


def _natural(value: Any, name: str, digits: int) -> int:
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    number = int(value.__index__())
    if not 0 <= number < 2**digits:
        raise ValueError(f"{name} must be in [0, 2^{digits}), got {number}")
    return number
