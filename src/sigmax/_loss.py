"""What all losses have in common.

The definition of a loss checks its arguments and returns a `Problem`; the decorator `loss` makes of it the public
function, which returns the value, and `value_and_grad` the one that returns the gradient too. Arrays and options that
are plain never come here: the core has the whole call of those.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, Protocol

import numpy as np

from . import _arguments, _core
from ._arguments import ONE, Reduction, classes_last, exact_arithmetic
from ._reduction import (
    REACH,
    REACH_NARROW,
    REACH_OF_PARTS,
    Extended,
    divisor,
    exponents,
    is_ordinary,
    product,
    reduced,
)

P = ParamSpec("P")


class Problem(Protocol):
    """A loss with its arguments, checked."""

    def value(self) -> Any: ...

    def value_and_gradient(self, out: Any) -> tuple[Any, Any]:
        """Return both; the gradient goes to `out` where that is given."""


definitions: dict[Any, Callable[..., Problem]] = {}  # of the public functions


def loss(definition: Callable[P, Problem]) -> Callable[P, Any]:
    """Turn the definition of a loss into the function that returns its value."""
    name = definition.__name__

    @functools.wraps(definition)
    def value(*arguments: P.args, **options: P.kwargs) -> Any:
        result = _core.loss(name, arguments, options)
        return general_value(definition, *arguments, **options) if result is None else result

    definitions[value] = definition
    return value


def general_value(definition: Callable[P, Problem], *arguments: P.args, **options: P.kwargs) -> Any:
    """Return the value of a loss whatever it is called with: what `_core.loss` leaves, it leaves to this."""
    with exact_arithmetic():
        return definition(*arguments, **options).value()


def general_value_and_gradient(
    definition: Callable[P, Problem], out: Any, *arguments: P.args, **options: P.kwargs
) -> Any:
    """As `general_value`, for `_core.loss_and_gradient`."""
    with exact_arithmetic():
        return definition(*arguments, **options).value_and_gradient(out)


class Rows:
    """Rows of logits (or probabilities) with labels and options, checked, classes last: a loss of classes.

    What a method is not called for is not there.
    """

    labels: Any = None  # class indices as given
    index: Any = None  # the same as int64, -1 for a row that does not count; None: all rows count
    soft: Any = None  # distributions, or logits of such
    soft_type: Any = None  # as given
    soft_sums: Any = None
    kept: Any = None  # which rows count; None: all
    not_ignored: Any = None  # which rows have not the label that is ignored; None: all
    weight: Any = None
    temperature: Any = 1.0
    class_weight: Any = None
    smoothing = 0.0
    prior: Any = None
    mask: Any = None
    z_loss: Any = 0.0  # of a distillation the weights of the labels
    kernel = ""
    over: Any = 1.0  # what the sum of the losses is divided by
    reduction: Reduction = "mean"
    scale: Any = 1.0  # of the gradient
    exponent: Any = 0  # losses are to be multiplied by 2^exponent
    added: bool = False  # whether the gradient is part of a sum, in float64
    far: Any = None  # rows of probabilities whose gradient has products of any size

    def __init__(
        self, logits: Any, axis: Any, name: str = "logits", *, from_logits: Any = True
    ) -> None:
        self.name, self.argument = name, logits
        self.from_logits = _arguments.flag(from_logits, "from_logits")
        self.given = x = _arguments.real(logits, name)
        self.axis = _arguments.class_axis(axis, x.ndim, name)
        _arguments.one_block(x, name, (self.axis,))
        self.x = x = classes_last(x, self.axis)
        self.batch, self.classes = x.shape[:-1], x.shape[-1]

    # ------------------------------------------------------------ arguments

    def take_labels(self, labels: Any) -> None:
        """Take class indices or distributions; `settle` checks their values."""
        labels = _arguments.labels(_arguments.same_library(labels, self.given))
        if _arguments.are_class_indices(labels, self.given, self.axis):
            self.labels = labels
        else:
            self._take_soft(labels)
        kernel = "cross_entropy" if self.soft is None else "soft_cross_entropy"
        self.kernel = kernel if self.from_logits else kernel + "_of_probabilities"

    def take_second_rows(self, rows: Any, name: str) -> None:
        """Take distributions or logits for each row; never class indices."""
        rows = _arguments.real(_arguments.same_library(rows, self.given), name)
        _arguments.require_shape(rows, name, self.given, self.name)
        self._take_soft(rows)

    def _take_soft(self, labels: Any) -> None:
        self.soft_type = labels.dtype
        if labels.dtype.kind not in "biu":
            labels = _arguments.real(labels, "labels")
        self.x, self.soft = _in_one_type(self.x, classes_last(labels, self.axis))

    def take_temperature(self, temperature: Any) -> None:
        if self.from_logits:
            temperature = _arguments.same_library(temperature, self.given)
            self.temperature = _arguments.temperatures(temperature, self.batch)
        else:
            _arguments.no_temperature(temperature)

    def take_mask(self, where: Any) -> None:
        """Take a mask; a masked class has probability 0."""
        if where is None:
            return
        where = _arguments.same_library(where, self.given)
        mask = _arguments.mask(where, self.given.shape)
        self.mask = classes_last(mask, self.axis)
        if not _arguments.is_foreign(mask):
            # Whether the core goes the way without a mask depends on values, never on layouts.
            self.mask = None if mask.all() else np.ascontiguousarray(self.mask)
        if self.mask is not None and not self.from_logits:
            self.x = np.where(self.mask, self.x, self.x.dtype.type(0))

    def take_sample_weight(self, weight: Any) -> None:
        if weight is not None:
            weight = _arguments.same_library(weight, self.given)
            self.weight = _arguments.finite_weights(
                weight, "sample_weight", self.batch, negative=True
            )

    def take_class_options(
        self, class_weight: Any, label_smoothing: Any, smoothing_prior: Any, z_loss: Any
    ) -> None:
        if class_weight is not None:
            self.class_weight = _arguments.class_weights(class_weight, "class_weight", self.classes)
        self.smoothing = _arguments.smoothing(label_smoothing)
        if smoothing_prior is not None:
            self.prior = _arguments.prior(smoothing_prior, "smoothing_prior", self.classes)
        self.z_loss = _arguments.number(z_loss, "z_loss", 0.0, _arguments.LARGEST)
        if self.z_loss and not self.from_logits:
            raise ValueError(f"z_loss needs from_logits=True, got z_loss={z_loss!r}")

    def settle(self, ignore_index: Any = None, *, are_distributions: bool = True) -> None:
        """Find out which rows count, and check the values of those."""
        if ignore_index is not None:
            k = _arguments.ignored_class(ignore_index, self.classes, self.soft is None)
            self._keep(self.labels != k if self.soft is None else self.soft[..., k] != 1)
            self.not_ignored = self.kept
        if self.weight is not None and not np.any(self.z_loss) and not self.weight.all():
            self._keep(np.broadcast_to(self.weight != 0, self.batch))
        if self.labels is not None:
            self.index = _arguments.class_indices(self.labels, self.classes, self.kept)
        elif are_distributions:
            self.soft, self.soft_sums = _arguments.distributions(
                self.soft, "labels", self.kept, self.given.dtype, self.soft_type
            )
        if self.class_weight is not None and not (self.smoothing or self.z_loss):
            self._leave_out_labels_of_weight_0()
        if not self.from_logits:
            self.x, _ = _arguments.distributions(self.x, self.name, self.kept, self.given.dtype)
        if self.kept is not None:
            self._leave_out()

    def _leave_out(self) -> None:
        """Tell the core which rows do not count: their label is -1, and their logits are passed over."""
        index = np.int64(0) if self.index is None else self.index
        self.index = np.where(self.kept, index, np.int64(-1))
        kept = self.kept[..., None]
        if self.soft is not None:
            self.soft = np.where(kept, self.soft, self.soft.dtype.type(0))
        if self.soft_sums is not None:
            self.soft_sums = np.where(self.kept, self.soft_sums, 0.0)
        if not self.from_logits:
            self.x = np.where(kept, self.x, self.x.dtype.type(0))

    def _leave_out_labels_of_weight_0(self) -> None:
        if self.class_weight.all():
            return
        if self.soft is None:
            self._keep(self.class_weight[self.index] != 0)
        else:
            counts = (self.class_weight != 0).astype(np.float64)  # products may round to 0
            self._keep(_core.mass(self.soft, counts) != 0)

    def _keep(self, kept: Any) -> None:
        if not kept.all():
            self.kept = kept if self.kept is None else self.kept & kept

    # ------------------------------------------------------------ the mean

    def count(self) -> int:
        return math.prod(self.batch) if self.kept is None else int(np.count_nonzero(self.kept))

    def masses(self) -> Any:
        """Return s·Σ w·q of every row, 0 for those that do not count; None where all others have 1."""
        if self.class_weight is None:
            mass = self.soft_sums
        elif self.soft is None:
            mass = self.class_weight[self.index]
        elif is_ordinary(self.class_weight):
            mass = _core.mass(self.soft, self.class_weight)
        else:  # sums of large ones may overflow, products of tiny ones have few digits
            power = min(60, int(np.frexp(self.class_weight.max())[1]))
            mass = _core.mass(self.soft, np.ldexp(self.class_weight, -power))
            mass = Extended.of(mass) * Extended(1.0, power)
        if self.weight is not None:
            mass = product(np.broadcast_to(self.weight, self.batch), mass)
        if mass is None or self.kept is None:
            return mass
        if isinstance(mass, Extended):
            return mass._replace(m=np.where(self.kept, mass.m, 0.0))
        return np.where(self.kept, mass, 0.0)

    def reduce(self, reduction: Any, normalizer: Any) -> "Rows":
        """Take the reduction and find its divisor: the last step of a definition."""
        self.reduction, normalizer = _arguments.reduction(reduction, normalizer)
        needed = self.reduction == "mean" and normalizer is None
        masses = self.masses() if needed else None
        self.over = divisor(masses, self.count(), self.reduction, normalizer)
        return self

    def cool(self, squared: bool) -> None:
        """Lower the temperatures of divergences of logits to where rows are as good as uniform: digits are left there.

        T² times the divergence, and times its gradient, is the same but for 2^-60: both are of second order in 1/T.
        With `squared` the weights have that factor, else they get what it changes by.
        """
        if type(self.x) is not np.ndarray or np.max(self.temperature, initial=0.0) <= 2.0**30:
            return
        enough = np.maximum(*(_exponent_of_range(x, self.mask) for x in (self.x, self.soft))) + 60
        powers = np.maximum(0, np.frexp(self.temperature)[1] - np.maximum(enough, -1000))
        if not powers.any():
            return
        self.temperature = np.broadcast_to(np.ldexp(self.temperature, -powers), self.batch)
        if not squared:
            self.weight = Extended.of(self._row_weight()) * Extended(0.5, 1 - 2 * powers)

    def scaled(self) -> "Rows":
        """Return the rows with the gradient's scale, and weights that kernels can multiply."""
        nothing = type(self.over) is float and self.over == np.inf
        over = 1.0 if nothing else self.over
        ordinary = is_ordinary(over, self.weight, self.z_loss, self.class_weight, self.smoothing)
        if ordinary and not (self._has_tiny_labels() or self._has_tiny_probabilities()):
            self.scale = 1.0 / self.over
            return self
        if nothing:
            return self.changed(weight=0.0, z_loss=0.0, class_weight=None, scale=0.0)
        scaled = self._with_exponents(Extended.of(over))
        return scaled if self.from_logits else scaled.changed(far=self)

    def _with_exponents(self, over: Extended) -> "Rows":
        """Take a power of two out of the weights of rows and classes and of z where they are not ordinary."""
        weight, class_weight, power = Extended.of(self._row_weight()), self.class_weight, 0
        if class_weight is not None and self.soft is None and not self.smoothing:
            weight, class_weight = weight * Extended.of(class_weight[self.index]), None
        elif self._needs_room() or not is_ordinary(class_weight):
            power, class_weight = self._scaled_class_weight()
        weight, z_loss = weight * Extended(1.0, power), Extended.of(self.z_loss)
        if self.x.shape[-1] == 1 and z_loss.m.any():  # all of the loss of a single class
            weight = Extended.of(0.0)
        mass = 0 if class_weight is None else max(0, int(np.frexp(class_weight.max())[1]))
        temperature = 1.0 if self.kernel == "distillation" else self.temperature  # labels have 1
        exponent, of_scale = exponents((weight, z_loss), over, temperature, self._reach(), mass)
        exponent, of_scale = (np.broadcast_to(e, self.batch) for e in (exponent, of_scale))
        return self.changed(
            weight=weight.to(power=-exponent),
            z_loss=z_loss.to(power=-exponent),
            class_weight=class_weight,
            scale=np.ldexp(1.0 / over.m, of_scale),
            exponent=exponent,
        )

    def _reach(self) -> int:
        if self.added:
            return REACH_OF_PARTS
        return REACH if self.x.dtype == np.float64 else REACH_NARROW

    def _has_tiny_labels(self) -> bool:
        """Whether a class's part of a label is so small that it needs room to keep its digits."""
        parts = (self.smoothing, self.class_weight, self.prior)
        return any(_least(part) < _TINY for part in parts if part is not None)

    def _has_tiny_probabilities(self) -> bool:
        """Whether quotients of labels and probabilities may leave the range of float64."""
        if self.from_logits or type(self.x) is not np.ndarray or self.x.dtype != np.float64:
            return False
        return any(_least(part) < 2.0**-700 for part in (self.x, self.soft) if part is not None)

    def _needs_room(self) -> bool:
        relative = "relative" in self.kernel  # Σ q·log q needs the weights as they are
        return not relative and (not self.from_logits or self._has_tiny_labels())

    def _scaled_class_weight(self) -> tuple[int, Any]:
        """Return a power of two and the class weights without it, with room for those that are much smaller."""
        given = 1.0 if self.class_weight is None else self.class_weight
        weights = np.broadcast_to(given, (self.classes,))
        power = int(np.frexp(weights.max())[1])
        room = _ROOM_OF_CLASSES
        if self.x.dtype == np.float64:  # beside the logarithms of probabilities, 745
            room = (1020 if self.from_logits else 1010) - self.classes.bit_length()
        power -= min(room, max(100 if self._needs_room() else 0, power))
        if self.class_weight is None:
            return power, np.broadcast_to(2.0**-power, weights.shape)
        return power, np.ldexp(weights, -power)

    def changed(self, **attributes: Any) -> "Rows":
        other: Rows = object.__new__(Rows)
        vars(other).update(vars(self), **attributes)
        return other

    # ------------------------------------------------------------ the core

    def losses(self, place: Any) -> Any:
        """Return the losses; with a place, the gradient times `scale` is written there."""
        losses = self.run(place)
        if type(losses) is not np.ndarray or np.isfinite(losses).all():
            return self.with_exponents(losses)
        if place is not None and np.may_share_memory(place, self.x):
            return self.with_exponents(losses)  # no loss of such logits is beyond float64
        small, power = self.beyond(losses)
        m, e = np.frexp(small)
        return Extended(m, e + power + self.exponent)

    def with_exponents(self, losses: Any) -> Any:
        if type(self.exponent) is int:
            return losses
        m, e = np.frexp(losses)
        return Extended(m, e + self.exponent)

    def beyond(self, losses: Any) -> tuple[Any, Any]:
        """Return losses of which some are too large for float64 times a power of two, and what gives it back."""
        weights = (self._row_weight(), self.z_loss)
        sizes = [np.where(w == 0, np.inf, np.abs(w)) for w in weights]
        least = np.minimum(*sizes)
        power = _MOST + np.where(np.isfinite(least), np.frexp(least)[1], 0)
        weight, z_loss = (np.ldexp(w, -power) for w in weights)
        small = self.changed(weight=weight, z_loss=z_loss).run(None)
        finite = np.isfinite(losses)
        return np.where(finite, losses, small), np.where(finite, 0, power)

    def run(self, place: Any) -> Any:
        """Return the losses but for `exponent`, as float64."""
        if self.far is not None and place is not None:
            losses = self.run(None)  # the gradient may take the place of the probabilities
            np.copyto(place, _arguments.cast(self.far.slopes_of_probabilities(), place.dtype))
            return losses
        kernel = self.kernel if place is None else self.kernel + "_gradient"
        losses = None
        if type(self.x) is np.ndarray:
            losses = self._run_direct(_core.rows_functions[kernel], place)
        if losses is None:
            losses = self._run_ufunc(getattr(_core, kernel), place)
        if not self.from_logits and (self.mask is not None or self.far is not None):
            infinite = np.copysign(np.inf, self._row_weight())
            losses = np.where(self._refuted(), infinite, losses)[()]
        if "relative_entropy" in kernel:
            losses = np.where(self._are_rounding(losses), 0.0, losses)[()]
        return losses

    def _are_rounding(self, losses: Any) -> Any:
        """Return which divergences are negative only because their labels are rounded: they are 0."""
        weight = self._row_weight()
        least = abs(weight) * _arguments.tolerance(self.soft_type) ** 2
        return np.where(weight < 0, losses > 0, losses < 0) & (abs(losses) <= least)

    def _run_ufunc(self, ufunc: Any, place: Any) -> Any:
        operands = (
            self.x,
            np.int64(0) if self.index is None else self.index,
            *(() if self.soft is None else (self.soft,)),
            self._row_weight(),
            self.temperature,
            ONE if self.class_weight is None else self.class_weight,
            self.smoothing,
            ONE if self.prior is None else self.prior,
            self._prior_total(),
            _UNMASKED if self.mask is None else self.mask,
            self.z_loss,
            self.scale,
        )
        operands = tuple(_arguments.in_blocks(operand, self.x) for operand in operands)
        return ufunc(*operands) if place is None else ufunc(*operands, out=(None, place))[0]

    def _run_direct(self, function: int, place: Any) -> Any:
        """Do without NumPy's machinery; None where that is not possible."""
        result = _core.direct(
            function,
            -1,
            self.x,
            self.index,
            *(() if self.soft is None else (self.soft,)),
            self._per_row(self._row_weight()),
            self._per_row(self.temperature),
            ONE if self.class_weight is None else self.class_weight,
            self.smoothing,
            ONE if self.prior is None else self.prior,
            self._per_row(self._prior_total()),
            self.mask,
            self._per_row(self.z_loss),
            self._per_row(self.scale),
            None,
            *(() if place is None else (place,)),
        )
        return result if place is None or result is None else result[0]

    def _per_row(self, numbers: Any) -> Any:
        """Return a float, or one number for each row."""
        if type(numbers) is float:
            return numbers
        return float(numbers) if np.ndim(numbers) == 0 else np.broadcast_to(numbers, self.batch)

    def _row_weight(self) -> Any:
        return 1.0 if self.weight is None else self.weight

    def _prior_total(self) -> Any:
        """Return the sum of the prior over the classes of each row."""
        if self.smoothing == 0.0:
            return 1.0
        if self.mask is None:
            return float(self.classes) if self.prior is None else 1.0
        return _arguments.row_sums(self._priors())

    def _refuted(self) -> Any:
        """Return which rows have a label of a class of probability 0.

        The core sees to masks for logits alone, and may take a tiny weight for 0.
        """
        impossible = self.x == 0
        if self.class_weight is not None:
            impossible &= self.class_weight > 0
        wrong = np.zeros(self.batch, np.bool_)
        if self.smoothing < 1.0:
            wrong |= self._of_label(impossible)
        if self.smoothing > 0.0:
            wrong |= (impossible & (self._priors() > 0)).any(-1)
        return wrong if self.kept is None else wrong & self.kept

    def _of_label(self, classes: Any) -> Any:
        """Return which rows have a label of one of these classes."""
        if self.soft is not None:
            return (classes & (self.soft > 0)).any(-1)
        index = np.maximum(self.index, 0)
        return np.take_along_axis(classes, index[..., None], axis=-1)[..., 0]

    def _priors(self) -> Any:
        """Return the prior of each class, 0 where masked."""
        prior = 1.0 if self.prior is None else self.prior
        return prior if self.mask is None else np.where(self.mask, prior, 0.0)

    @np.errstate(all="ignore")
    def slopes_of_probabilities(self) -> Any:
        """Return the gradient -s·a/(p·D) with weights a of classes; no product leaves the range of float64."""
        p = self.x.astype(np.float64)
        weight, over = Extended.of(self._row_weight()), Extended.of(self.over)
        weight = Extended(*(np.broadcast_to(v, self.batch)[..., None] for v in weight))
        factor = self._label_weights() * weight / over
        infinite = np.where(factor.m == 0, 0.0, np.copysign(np.inf, -factor.m))
        return np.where(p == 0, infinite, -(factor / Extended.of(p)).to())

    def _label_weights(self) -> Extended:
        """Return the weights of classes in each label, 0 of rows that do not count."""
        counts = np.True_ if self.mask is None else self.mask
        if self.kept is not None:
            counts = counts & self.kept[..., None]
        labels = self.soft
        if labels is None:
            labels = np.arange(self.classes) == np.expand_dims(self.index, -1)
        weights = Extended.of(labels.astype(np.float64))
        if self.smoothing:
            total = np.expand_dims(self._prior_total(), -1)
            spread = Extended.of(self.smoothing) * Extended.of(self._priors()) / Extended.of(total)
            weights = Extended.of(1.0 - self.smoothing) * weights + spread
        if self.class_weight is not None:
            weights = Extended.of(self.class_weight) * weights
        return weights._replace(m=np.where(counts, weights.m, 0.0))

    # ------------------------------------------------------------ value and gradient

    def value(self) -> Any:
        return self.reduced(self.scaled().losses(None))

    def reduced(self, losses: Any) -> Any:
        return reduced(losses, self.reduction, self.over, self.given.dtype)

    def value_and_gradient(self, out: Any) -> tuple[Any, Any]:
        self.require_place(out)
        direct = out is not None and out.dtype == self.x.dtype and self._is_apart(out)
        direct = direct and not (np.may_share_memory(out, self.x) and self._may_be_needed_twice())
        place = out if direct else self.new_place(self.x.dtype)
        value = self.reduced(self.scaled().losses(classes_last(place, self.axis)))
        return value, place if direct else self.put(place, out)

    def _may_be_needed_twice(self) -> bool:
        """Whether a loss may be too large for float64, and not the mean."""
        x = self.x
        is_narrow = x.dtype != np.float64 and np.min(self.temperature, initial=1.0) > 2.0**-500
        if is_narrow or x.size == 0:
            return False
        most = max(float(np.max(x)), -float(np.min(x, where=x > -np.inf, initial=0.0)))
        return not most < 2.0**700 * float(np.min(self.temperature)) or not is_ordinary(self.z_loss)

    def require_place(self, out: Any) -> None:
        """Check where a gradient goes."""
        _arguments.numpy_array(self.given, self.name)
        if out is not None:
            _arguments.gradient_place(out, self.given)

    def new_place(self, dtype: Any) -> Any:
        like = self.given
        return _core.empty_like(like) if like.dtype == dtype else np.empty_like(like, dtype)

    def put(self, slopes: Any, out: Any) -> Any:
        """Return the gradient where it was asked for, and in the type of the logits."""
        slopes = _arguments.cast(slopes, self.given.dtype)
        if out is None:
            return _arguments.as_given(slopes, self.argument)
        np.copyto(out, slopes)
        return out

    def _is_apart(self, out: Any) -> bool:
        """Whether writing the gradient to `out` cannot change an operand: it may be the logits themselves, in full."""
        x = self.given
        same = out is x or (out.ctypes.data == x.ctypes.data and out.strides == x.strides)
        return (same or not np.may_share_memory(out, self.x)) and not any(
            isinstance(other, np.ndarray) and np.may_share_memory(out, other)
            for other in self.operands()
        )

    def operands(self) -> tuple[Any, ...]:
        """Return all that the core reads besides the logits."""
        options = (self.temperature, self.class_weight, self.prior, self.z_loss)
        return (self.soft, self.mask, self.index, self.weight, *options)

    # ------------------------------------------------------------ groups of rows

    def groups(self, step: int) -> Iterator["Rows"]:
        """Yield the rows by groups of `step`, with one batch dimension."""
        rows = math.prod(self.batch)

        def per_row(numbers: Any, part: slice) -> Any:
            if numbers is None or np.ndim(numbers) == 0:
                return numbers
            return np.broadcast_to(numbers, self.batch).reshape(-1)[part]

        def per_class(numbers: Any, part: slice) -> Any:
            return None if numbers is None else numbers.reshape(rows, self.classes)[part]

        for begin in range(0, rows, step):
            part = slice(begin, begin + step)
            of_classes = ("x", "soft", "mask")
            of_rows = ("index", "kept", "weight", "temperature", "z_loss", "scale", "exponent")
            group = self.changed(
                **{name: per_class(getattr(self, name), part) for name in of_classes},
                **{name: per_row(getattr(self, name), part) for name in of_rows},
            )
            group.batch = group.x.shape[:-1]
            yield group


_UNMASKED = np.ones(1, np.bool_)
_ROOM_OF_CLASSES = 400
_TINY, _MOST = 2.0**-800, 1000


def _least(numbers: Any) -> float:
    """Return the smallest number that is not 0."""
    least = float(np.min(numbers))
    return least if least > 0.0 else float(np.min(numbers, where=numbers > 0.0, initial=np.inf))


def _exponent_of_range(x: Any, mask: Any) -> Any:
    """Return the exponents of the distances between the largest and the smallest finite number of each row."""
    half = np.multiply(x, 0.5, dtype=np.float64)
    counts = np.isfinite(half) if mask is None else np.isfinite(half) & mask
    largest = np.max(half, axis=-1, where=counts, initial=-np.inf)
    smallest = np.min(half, axis=-1, where=counts, initial=np.inf)
    return np.frexp(np.where(largest > smallest, largest - smallest, 0.0))[1] + 1


def _in_one_type(x: Any, labels: Any) -> tuple[Any, Any]:
    """Return logits and soft labels in one type: that of x if it holds the labels, else one that holds both."""
    if labels.dtype == x.dtype:
        return x, labels
    narrow = _arguments.cast(labels, x.dtype)
    if labels.dtype.kind in "biu" or labels.dtype.itemsize < x.dtype.itemsize:
        return x, narrow
    wide = _arguments.common_type(x.dtype, labels.dtype)
    if wide == x.dtype or bool((narrow == labels).all()):
        return x, narrow
    return x.astype(wide), _arguments.cast(labels, wide)
