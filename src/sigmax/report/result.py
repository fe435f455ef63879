"""What a report holds: the types of its numbers, which are those of its JSON. A number that is not finite is None."""

from typing import Any, Literal, NotRequired, TypedDict

Name = Literal[
    "accuracy", "nll", "brier", "ece", "adaptive_ece", "classwise_ece", "mce", "debiased_ece", "null_ece"
]  # fmt: skip


class Number(TypedDict):
    value: float
    interval: list[float]


class Side(TypedDict):
    """The test rows before or after calibration."""

    rows: int
    classes: int
    confidence: float
    resamples: int
    seed: int
    accuracy: Number
    nll: Number
    brier: Number
    ece: Number
    adaptive_ece: Number
    classwise_ece: Number
    mce: Number
    debiased_ece: Number
    null_ece: Number
    rules: dict[str, str]
    mean_confidence: float


class Verdict(TypedDict):
    key: str
    headline: str
    text: str
    advice: str


class Data(TypedDict):
    rows: int
    ignored: int
    impossible: int  # test rows whose label has probability 0
    weighted: bool
    classes: int
    class_names: list[str]
    labels: str


class Groups(TypedDict):
    fit: int
    test: int


class Split(TypedDict):
    fit: int
    test: int
    groups: Groups | None


class Fit(TypedDict):
    method: str
    status: str
    message: str
    rows: int
    iterations: int
    nll_before: float
    nll_after: float
    temperature: NotRequired[float]
    interval: NotRequired[list[float]]
    scale: NotRequired[list[float]]
    bias: NotRequired[list[float]]
    labels: NotRequired[list[dict[str, Any]]]


class Curve(TypedDict):
    lower: list[float]
    upper: list[float]
    count: list[int]
    confidence: list[float]
    accuracy: list[float]
    interval: list[list[float]]


class Reliability(TypedDict):
    before: Curve
    after: Curve | None


class TemperatureCurve(TypedDict):
    rows: int
    temperature: list[float]
    nll: list[float]
    ece: list[float]


class ClassRow(TypedDict):
    name: str
    index: int
    rows: float
    recall: float
    precision: float
    share: float
    probability: float
    ece: float
    probability_after: NotRequired[float]
    ece_after: NotRequired[float]


class Numbers(TypedDict):
    """What `study` finds out."""

    reading: dict[str, Any] | None
    data: Data
    split: Split
    options: dict[str, Any]
    fit: Fit | None
    before: Side
    after: Side | None
    difference: dict[str, Number] | None
    reliability: Reliability
    temperature_curve: TemperatureCurve
    per_class: list[ClassRow]
    parts: dict[str, Any]
    labels: dict[str, Any] | None


class Judged(Numbers):
    verdict: Verdict


class File(TypedDict):
    name: str
    bytes: int
    sha256: str


class Report(Judged):
    """All of a report: what the page shows and the JSON has."""

    schema: int
    sigmax: str
    created: str
    command: str
    files: list[File]
    title: str
    conditions: list[dict[str, Any]]
    apply_commands: str | None
