"""What the commands do. Arguments come from the context, by the names they have in `commands`."""

import math
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import typer

from sigmax import (
    conformal_sets,
    filter_probabilities,
    fit_prior_shift,
    sample,
    show_config,
    softmax,
)
from sigmax.files.blocks import row_blocks, spill
from sigmax.files.cluster import cluster, write_remotely
from sigmax.files.errors import DataError
from sigmax.files.find import Options, Where, beside_logits, find_beside, has_labels
from sigmax.files.inputs import Inputs, read_inputs, read_logits, require_classes
from sigmax.files.opening import ARRAYS, kind, open_file
from sigmax.files.outputs import (
    KINDS,
    check_place,
    check_report_place,
    check_shape,
    check_text_place,
    write_json,
    write_report,
    write_rows,
)
from sigmax.files.progress import progress, tracked
from sigmax.files.questions import read_questions, read_samples, two_columns
from sigmax.files.standard_input import from_standard_input_of
from sigmax.sampling import TRUNCATION

from . import calibration_file, summary
from .conditions import FAILED, Condition, condition, judged
from .console import out, plain_errors, refusals
from .provenance import command_line, provenance

_READING = (
    "logits_key", "labels_key", "drop", "classes", "probabilities", "normalize", "labels_as", "axis", "header",
    "only", "weights",
)  # fmt: skip


def reading_options(given: dict[str, Any]) -> Options:
    """Return how the files are to be read."""
    _require_use(given)
    names = {field.name for field in fields(Options)} & set(given)
    return Options(**{name: given[name] for name in names}, remote=bool(given.get("scheduler")))


def _require_use(given: dict[str, Any]) -> None:
    """Refuse options that none of the files has a use for."""
    beside = (given.get("groups"), given.get("weights"), given.get("by"))
    read = [given.get(name) for name in ("logits", "labels", "file", "features", "base", "other")]
    names = [str(name).lower().removesuffix(".gz") for name in (*read, *beside)]
    for option, suffixes in (("only", (".jsonl",)), ("header", (".csv", ".tsv"))):
        if given.get(option) is None or "-" in names:
            continue
        if not any(name.endswith(suffixes) for name in names):
            raise DataError(f"--{option} is for files that are {' or '.join(suffixes)}")


def _paths(given: dict[str, Any]) -> list[Path | None]:
    """Return all files that are read."""
    named = [given.get("logits"), given.get("labels"), given.get("calibration")]
    words = [given.get(name) for name in ("groups", "weights", "classes")]
    return [*named, *(Path(word) for word in words if word is not None and len(word) < 1000)]


def say(inputs: Inputs) -> None:
    """Print how the files were read, before anything is made of it."""
    if inputs.reading is not None:
        for line in inputs.reading.lines():
            out.print(line, style="dim")


# ---------------------------------------------------------------- report


def report(context: typer.Context) -> None:
    from sigmax.report.study import Choices

    given = context.params
    with plain_errors():
        wanted = [condition(text) for text in given["fail_if"]]
    choices = Choices(**{field.name: given[field.name] for field in fields(Choices)})
    choices = replace(choices, method=str(choices.method), costs=_costs(given["costs"]))
    if not 0 < choices.coverage < 1:
        raise typer.BadParameter(f"--coverage must be in (0, 1), got {choices.coverage:g}")
    with plain_errors(), cluster(given["scheduler"]):
        check_report_place(given["output"], _paths(given))
        logits, labels = from_standard_input_of(given["logits"], given["labels"])
        options = reading_options(given)
        where = find_beside(logits, labels or logits, given["by"], "--by", options)
        if where is not None and where.path == logits and kind(logits) not in ARRAYS:
            options = replace(
                options, drop=",".join([*(where.names or ()), *filter(None, [options.drop])])
            )
        inputs, of_labels = _rows(logits, labels, options, given)
        each = 1 if of_labels is None else len(of_labels.names)
        by = None if where is None else np.repeat(slices_of(where, inputs, options, each), each)
        say(inputs)
        title = given["title"] or given["logits"].name
        result = _report(context, inputs, given["output"], choices, title, wanted, by, of_labels)
        summary.print_report(result, given["output"])
    _end_if_failed(result)


def _end_if_failed(result: dict[str, Any]) -> None:
    """Say which conditions have failed, and end with the exit code for it."""
    failed = [each["sentence"] for each in result["conditions"] if each["failed"]]
    for sentence in failed:
        print(f"sigmax: failed: {sentence}", file=sys.stderr)
    if failed:
        raise typer.Exit(FAILED)


def _costs(text: str) -> tuple[float, float]:
    """Return the two costs of an option like 1,5."""
    try:
        false_yes, false_no = (float(x) for x in text.split(","))
    except ValueError:
        false_yes = math.nan
    if not (0 <= false_yes < math.inf and 0 <= false_no < math.inf):
        raise typer.BadParameter(f"--costs must be two numbers, not negative, as 1,5; got {text!r}")
    return false_yes, false_no


def _rows(
    logits: Path, labels: Path | None, options: Options, given: dict[str, Any]
) -> tuple[Inputs, Any]:
    """Open logits and labels; return their rows, and of many labels which one each row is about."""
    from sigmax.report.labels import Labels

    if not given["multilabel"]:
        if given["per_label"]:
            raise DataError("--per-label needs --multilabel")
        return read_inputs(logits, labels, options), None
    inputs, names = read_questions(logits, labels, options)
    return inputs, Labels.of_questions(len(inputs.logits), names)


def slices_of(where: Where, inputs: Inputs, options: Options, each: int) -> Any:
    """Return the name of the slice of each row, of which `each` are about one sample."""
    opened = open_file(where.path, where.names, text=True, how=options.how)
    names = np.asarray(opened.array).reshape(-1)
    if len(names) * each != len(inputs.logits):
        count = len(inputs.logits) // each
        raise DataError(
            f"{where}: must have {count} names of slices, one for each row, got {len(names)}"
        )
    return names if not opened.texts else np.asarray(opened.texts)[names]


def _report(
    context: typer.Context,
    inputs: Inputs,
    output: Path,
    choices: Any,
    title: str,
    wanted: Sequence[Condition] = (),
    by: Any = None,
    labels: Any = None,
) -> Any:
    """Make the report, write it, and return its numbers."""
    from sigmax.report.page import page
    from sigmax.report.study import jsonable, named_numbers, study

    result: Any = {
        "schema": 1,
        **provenance(context, inputs.paths),
        "title": title,
        **study(inputs, choices, by, labels),
    }
    result["conditions"] = jsonable(judged(wanted, named_numbers(result)))
    result["apply_commands"] = _apply_commands(context, result)
    write_report(output, page(result), result)
    return result


def _apply_commands(context: typer.Context, result: dict[str, Any]) -> str | None:
    """Return the commands that put a calibration to use, where it is worth it."""
    if result["verdict"]["key"] != "better":
        return None
    if context.info_name == "demo":
        return _OF_A_DEMO
    of_fit = ("method", "label_smoothing", "ignore_index", "multilabel", "per_label")
    chosen = ("logits", "labels", *of_fit, *_READING)
    calibrate_it = command_line(context, "calibrate", chosen) + " -o calibration.json"
    of_logits = (
        "logits",
        "logits_key",
        "drop",
        "probabilities",
        "normalize",
        "axis",
        "header",
        "only",
    )
    apply_it = command_line(context, "apply", of_logits)
    return f"{calibrate_it}\n{apply_it} calibration.json -o probabilities.npy"


_OF_A_DEMO = (
    "sigmax report logits.npy labels.npy\n"
    "sigmax calibrate logits.npy labels.npy -o calibration.json\n"
    "sigmax apply logits.npy calibration.json -o probabilities.npy"
)


def demo(context: typer.Context) -> None:
    from sigmax.report.study import Choices

    output = context.params["output"]
    with plain_errors(), as_file(files("sigmax.report") / "demo.npz") as logits:
        check_report_place(output, [logits])
        inputs = read_inputs(logits, None, Options())
        say(inputs)
        title = "a network that reads handwritten digits"
        summary.print_report(_report(context, inputs, output, Choices(), title), output)
        out.print("Next, with files of yours: sigmax report logits.npy labels.npy")


# ---------------------------------------------------------------- compare


def compare(context: typer.Context) -> None:
    from sigmax.report.comparison import Choices, named_numbers, study_two
    from sigmax.report.comparison_page import page
    from sigmax.report.study import jsonable

    given = context.params
    choices = Choices(**{field.name: given[field.name] for field in fields(Choices)})
    with plain_errors(), cluster(given["scheduler"]):
        wanted = [condition(text) for text in given["fail_if"]]
        if given["max_kl"] is not None:
            wanted.append(Condition("kl", ">", given["max_kl"]))
        check_report_place(given["output"], [given["base"], given["other"], *_paths(given)])
        base, other = _pair(given)
        result: dict[str, Any] = {
            "schema": 1,
            **provenance(
                context, tuple(dict.fromkeys((*base.paths[:1], *other.paths, *base.paths)))
            ),
            "title": given["title"] or f"{given['base'].name} and {given['other'].name}",
            "models": {name: given[name].name for name in ("base", "other")},
            **study_two(base, other, choices),
        }
        result["conditions"] = jsonable(judged(wanted, named_numbers(result)))
        write_report(given["output"], page(result), result)
        summary.print_comparison(result, given["output"])
    _end_if_failed(result)


def _pair(given: dict[str, Any]) -> tuple[Inputs, Inputs]:
    """Return the rows of both models, read as is said."""
    options = reading_options(given)
    one, two, labels = from_standard_input_of(given["base"], given["other"], given["labels"])
    base = read_inputs(one, labels, options, labelled=has_labels(one, labels, options))
    say(base)
    of_other = replace(options, logits_key=given["other_logits_key"] or options.logits_key)
    other = read_logits(two, of_other, base.classes, beside=beside_logits(one, options))
    say(other)
    return base, other


# ---------------------------------------------------------------- calibrate and apply


def calibrate(context: typer.Context) -> None:
    from sigmax.report.fits import fitted

    given = context.params
    with plain_errors(), cluster(given["scheduler"]):
        paths = _paths(given)
        check_text_place(given["output"], (".json",), "calibration", calibration_file.MARKS, paths)
        logits, labels = from_standard_input_of(given["logits"], given["labels"])
        inputs, of_labels = _rows(logits, labels, reading_options(given), given)
        say(inputs)
        if of_labels is not None and given["sets"] is not None:
            raise DataError("--sets cannot be combined with --multilabel")
        inputs, others = _halves(inputs, given)
        options = {name: given[name] for name in ("label_smoothing", "ignore_index")}
        each = of_labels if given["per_label"] else None
        with progress("Fitting"):
            fit = fitted(str(given["method"]), inputs, each, **options)
        if fit.status != "ok":
            raise DataError(f"no calibration: {fit.message}")
        value = {
            **calibration_file.described(fit),
            "multilabel": of_labels is not None,
            "shares": _shares(inputs, given["ignore_index"]) if of_labels is None else None,
            "sets": _sets_of(others, fit, given),
            "classes": list(inputs.classes if of_labels is None else of_labels.names),
            "input": "probabilities" if inputs.probabilities else "logits",
            "normalize": given["normalize"],
            "reading": inputs.reading and inputs.reading.to_dict(),
            **provenance(context, inputs.paths),
        }
        write_json(given["output"], value)
        summary.print_fit(value, given["output"])


def _halves(inputs: Inputs, given: dict[str, Any]) -> tuple[Inputs, Inputs | None]:
    """Return the rows to fit, and those that rank: of conformal sets a random half each."""
    if given["sets"] is None:
        return inputs, None
    if not 0 < given["coverage"] < 1:
        raise DataError(f"--coverage must be in (0, 1), got {given['coverage']:g}")
    if not inputs.hard or inputs.weights is not None:
        raise DataError("--sets needs labels that are class indices, and no weights")
    first = np.random.default_rng(given["seed"]).permutation(len(inputs.logits)) % 2 == 0
    return inputs.selected(first), inputs.selected(~first)


def _shares(inputs: Inputs, ignore_index: int | None) -> Any:
    """Return how frequent the classes are among the labels."""
    count = len(inputs.classes)
    weights = np.ones(len(inputs.logits)) if inputs.weights is None else inputs.weights
    if not inputs.hard:
        total = np.asarray(inputs.labels).T @ weights
    else:
        kept = (
            np.ones(len(weights), bool) if ignore_index is None else inputs.labels != ignore_index
        )
        total = np.bincount(np.asarray(inputs.labels)[kept], weights[kept], count)
    return (total / total.sum()).tolist()


def _sets_of(rows: Inputs | None, fit: Any, given: dict[str, Any]) -> dict[str, Any] | None:
    """Return the threshold of conformal sets, from rows that the fit has not seen."""
    if rows is None:
        return None
    described = {**calibration_file.described(fit), "classes": list(rows.classes)}
    calibration = calibration_file.read(described)
    p = np.concatenate([calibration.apply(rows.logits[k]) for k in row_blocks(rows.logits)])
    made = conformal_sets(
        p.astype(np.float64) / p.sum(axis=1, keepdims=True, dtype=np.float64),
        rows.labels,
        from_logits=False,
        method=given["sets"].value,
        coverage=given["coverage"],
        never_empty=given["never_empty"],
        ignore_index=given["ignore_index"],
        seed=given["seed"],
    )
    names = ("method", "coverage", "randomized", "never_empty", "penalty", "free", "seed", "rows")
    threshold = made.threshold if math.isfinite(made.threshold) else None
    return {"threshold": threshold, **{name: getattr(made, name) for name in names}}


def apply(context: typer.Context) -> None:
    given = context.params
    path, output = given["calibration"], given["output"]
    with plain_errors(), cluster(given["scheduler"]):
        check_place(output, *KINDS, inputs=_paths(given))
        fitted = calibration_file.load(path)
        if given["sets"] is not None:
            check_place(given["sets"], ".npy", inputs=[*_paths(given), output])
            if fitted.sets is None:
                raise DataError(f"{path}: has no conformal sets: calibrate with --sets")
        options = reading_options(given)
        options = replace(
            options,
            probabilities=fitted.probabilities(path, options.probabilities),
            normalize=options.normalize or fitted.normalize,
        )
        (logits,) = from_standard_input_of(given["logits"])
        reads = read_logits if fitted.labels is None else read_samples
        inputs = reads(logits, options, fitted.classes)
        count = inputs.logits.shape[1]
        if count != len(fitted.classes):
            raise DataError(f"{logits}: has {count} classes, {path} is for {len(fitted.classes)}")
        if options.logits_key is None:
            require_classes(logits, inputs.classes, fitted.classes)
        say(inputs)
        if fitted.labels is not None and given["prior"] is not None:
            raise DataError(f"{path}: is of many labels, which --prior is not for")
        prior = _prior(given["prior"], fitted, inputs, path)
        if given["scheduler"] and (prior is not None or given["sets"] is not None):
            raise DataError("--prior and --sets cannot be combined with --scheduler")
        shape = (*inputs.batch, count)
        check_shape(output, shape)
        dtype = softmax(np.zeros(1, inputs.logits.dtype)).dtype
        if given["scheduler"]:
            write_remotely(output, inputs.logits, fitted.apply, shape, dtype)
        else:
            applied = (_applied(fitted, inputs, rows, prior) for rows in row_blocks(inputs.logits))
            blocks = tracked(applied, "Writing", len(inputs.logits))
            write_rows(output, blocks, shape, dtype, fitted.classes)
        out.print(f"{output}: {len(inputs.logits):,} rows of {count:,} probabilities")
        if given["sets"] is not None:
            _write_sets(given["sets"], fitted, inputs, prior, shape)


def _applied(fitted: Any, inputs: Inputs, rows: slice, prior: Any) -> Any:
    x = np.asarray(inputs.logits[rows])
    if fitted.labels is None:
        return fitted.apply(x, prior)
    return fitted.apply_to_labels(two_columns(x, inputs.probabilities))


def _prior(text: str | None, fitted: Any, inputs: Inputs, path: Path) -> Any:
    """Return the shares of the classes here: as given, or found from the rows."""
    if text is None:
        return None
    count = len(fitted.classes)
    if fitted.shares is None or not (fitted.shares > 0).all():
        raise DataError(f"{path}: --prior needs the shares of all classes where it was fitted")
    if text != "auto":
        try:
            prior = np.array([float(x) for x in text.split(",")])
        except ValueError:
            prior = np.zeros(0)
        if (
            prior.shape != (count,)
            or not ((prior >= 0) & (prior < math.inf)).all()
            or not prior.any()
        ):
            raise DataError(
                f"--prior must be auto or {count} shares, not negative, got {text[:60]!r}"
            )
        prior = prior / prior.max()  # the sum of the largest numbers is infinite
        return prior / prior.sum()
    blocks = [fitted.apply(inputs.logits[rows]) for rows in row_blocks(inputs.logits)]
    p = spill(b.astype(np.float64) / b.sum(axis=1, keepdims=True, dtype=np.float64) for b in blocks)
    found = fit_prior_shift(p, fitted.shares / fitted.shares.sum(), from_logits=False)
    shown = ", ".join(f"{x:.3g}" for x in found.prior[:20])
    out.print(f"Shares of the classes here: {shown}{', …' if count > 20 else ''}")
    return found.prior


def _write_sets(
    path: Path, fitted: Any, inputs: Inputs, prior: Any, shape: tuple[int, ...]
) -> None:
    def blocks() -> Iterator[Any]:
        for rows in row_blocks(inputs.logits):
            p = fitted.apply(inputs.logits[rows], prior).astype(np.float64)
            yield fitted.sets.apply(p, from_logits=False, first=rows.start)

    write_rows(
        path, tracked(blocks(), "Writing sets", len(inputs.logits)), shape, np.dtype(bool), []
    )
    promised = f"{100 * fitted.sets.coverage:g} %"
    out.print(f"{path}: sets that hold the label in {promised} of rows like those that ranked")


# ---------------------------------------------------------------- softmax and sample


def softmax_of_file(context: typer.Context) -> None:
    given = context.params
    output, axis = given["output"], given["axis"]
    truncation = _truncation(given)

    def function(x: Any, axis: int = -1) -> Any:
        if not truncation:
            return softmax(x, axis, temperature=given["temperature"])
        likely = filter_probabilities(x, axis, temperature=given["temperature"], **truncation)
        return likely.probabilities

    with plain_errors():
        with refusals():
            function(np.zeros(1))
        check_place(output, *KINDS, inputs=_paths(given))
        (logits,) = from_standard_input_of(given["logits"])
        x, names, at = read_array(logits, reading_options(given))
        check_shape(output, x.shape)
        dtype = function(np.zeros(1, x.dtype)).dtype
        blocks = class_blocks(function, x, at)
        names = names or [str(k) for k in range(x.shape[-1])]
        write_rows(output, tracked(blocks, "Writing", len(x)), x.shape, dtype, names)
        out.print(f"{output}: shape {x.shape}, {dtype}, softmax along axis {axis}")


def sample_of_file(context: typer.Context) -> None:
    given = context.params
    output, draws = given["output"], given["draws"]
    seed = secrets.randbits(64) if given["seed"] is None else given["seed"]
    how = {"temperature": given["temperature"], "seed": seed, **_truncation(given)}
    with plain_errors():
        with refusals():
            sample(np.zeros(1), **how)
        check_place(output, ".npy", inputs=_paths(given))
        (logits,) = from_standard_input_of(given["logits"])
        x, _, at = read_array(logits, reading_options(given))
        rows = np.moveaxis(x, at, -1)
        shape = rows.shape[:-1] + (() if draws is None else (draws,))
        rows = rows if rows.ndim > 1 else rows[None]
        numbers = np.arange(math.prod(rows.shape[:-1])).reshape(rows.shape[:-1])

        def drawn(part: slice) -> Any:
            _check_classes(logits, rows[part], numbers[part])
            try:
                return sample(
                    rows[part], shape=draws, replace=given["replace"], rows=numbers[part], **how
                )
            except ValueError as error:  # fewer classes than draws without replacement
                first = numbers[part].flat[0]
                raise DataError(f"{logits}: from row {first} on: {error}") from error

        blocks = tracked((drawn(part) for part in row_blocks(rows)), "Drawing", len(rows))
        write_rows(output, blocks, shape, np.dtype(np.int64), [])
        out.print(f"{output}: shape {shape}, classes drawn with seed {seed}")


def _truncation(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of `filter_probabilities` that are given."""
    chosen = {name: given[name] for name in TRUNCATION if given[name] is not None}
    if "order" in chosen:
        names = chosen["order"].split(",")
        chosen["order"] = tuple(name.strip().replace("-", "_") for name in names)
    return chosen


def _check_classes(path: Path, rows: Any, numbers: Any) -> None:
    """Refuse rows from which nothing can be drawn."""
    bad = np.isnan(rows).any(axis=-1) | ~(rows > -np.inf).any(axis=-1)
    if bad.any():
        raise DataError(f"{path}: row {numbers[bad][0]} has NaN, or no class that is possible")


def read_array(path: Path, options: Options) -> tuple[Any, list[str] | None, int]:
    """Return an array of any shape, which does not look like probabilities, its names, and the class axis."""
    from sigmax.files.find import find_rows
    from sigmax.files.inputs import opened_array
    from sigmax.files.look import doubts_about_columns, doubts_about_values, look_at, together

    where = find_rows(path, options, set())
    x, names = opened_array(where, options)
    if x.ndim == 0:
        raise DataError(f"{where}: must have a class axis, got a single number")
    if not -x.ndim <= options.axis < x.ndim:
        raise DataError(f"{where}: --axis must be in [{-x.ndim}, {x.ndim}), got {options.axis}")
    axis = options.axis % x.ndim
    if x.size and x.ndim > 1 and options.probabilities is None:
        rows = np.moveaxis(x, axis, -1)
        looks = [look_at(np.asarray(rows[k]).reshape(-1, x.shape[axis])) for k in row_blocks(rows)]
        look = together(looks)
        doubts = [] if where.named else doubts_about_columns(look, names, str(where))
        settle = "say --logits to take them for logits all the same"
        doubts = doubts or doubts_about_values(look, str(where), None, settle)
        if doubts:
            raise DataError("\n        ".join(doubts))
    return x, names, axis


def class_blocks(function: Any, x: Any, axis: int) -> Iterator[Any]:
    """Yield function(x, axis) in blocks of the first axis; where that is the class axis, in blocks of the second."""
    if axis > 0:
        for rows in row_blocks(x):
            yield function(x[rows], axis)
    elif x.ndim == 1:
        yield function(x)
    else:
        columns = np.moveaxis(x, 0, -1)
        whole = spill(function(columns[part]) for part in row_blocks(columns))
        result = np.moveaxis(whole, -1, 0)
        for rows in row_blocks(result):
            yield result[rows]


# ---------------------------------------------------------------- info and the lesson


def info(context: typer.Context) -> None:
    given = context.params
    with plain_errors():
        if given["file"] is None:
            show_config()
            return
        path, labels = from_standard_input_of(given["file"], given["labels"])
        options = reading_options(given)
        summary.print_file(path, options)
        summary.print_reading(path, labels, options)


def lesson(*chosen: Any) -> None:
    from sigmax.lesson import lesson as start

    with plain_errors(), refusals():
        start(*chosen)
