"""Results that are read back: every file is checked where it is read, once, and a damaged one is named.

A file that was cut off, emptied, edited by hand or is another kind of file ends in one message with the command that
makes it again, never in a traceback, and never in a number.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from vlmfrontier.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[Finite, Field(gt=0)]
Count = Annotated[int, Field(strict=True, ge=0)]


def _no_negative(value: float | None) -> float | None:
    if value is not None and (value < 0 or value == float("inf")):
        raise ValueError("a standard error is not negative and not infinite")
    return value


# NaN: of a single video there is none.
StandardError = Annotated[float | None, Field(strict=True), AfterValidator(_no_negative)]


class _Record(BaseModel):
    """A record of which these fields are read; others may stand beside them."""

    model_config = ConfigDict(extra="allow", strict=True, defer_build=True)


class Measured(_Record):
    """What a task measured."""

    error: Annotated[Finite, Field(ge=-1e-9, le=100 + 1e-9)]
    standard_error: StandardError


class Training(_Record):
    """The report of a training: `finetuned.json`, `report.json` of a starting model."""

    recipe: dict[str, Any]
    weights: str
    seconds: Annotated[Finite, Field(ge=0)] = 0.0
    processes: Annotated[int, Field(ge=1)] = 1
    provenance: dict[str, Any] = {}


class Seconds(_Record):
    """How long a run took."""

    finetune: Annotated[Finite, Field(ge=0)] | None = None
    evaluate: Annotated[Finite, Field(ge=0)] | None = None


class Result(_Record):
    """`result.json`."""

    errors: Annotated[dict[str, Measured], Field(min_length=1)]
    wrong_video: dict[str, Measured] | None = None
    training: Training | None = None
    recipe: dict[str, Any] | None = None
    seconds: Seconds = Seconds()
    provenance: dict[str, Any] = {}
    test: dict[str, Any] = {}
    counted_flops: dict[str, Finite] = {}


class Answered(_Record):
    """`answered.json`."""

    weights: str
    visual_tokens: Count
    questions: dict[str, Count]
    unreadable: dict[str, str]
    seconds: Finite
    provenance: dict[str, Any]
    recipe: dict[str, Any] | None = None


class Manifest(_Record):
    """`manifest.json` of a split."""

    hash_videos: str
    hash_conversations: str
    videos: Count | None = None
    questions: Count | None = None
    settings: dict[str, Any] | None = None


LARGEST_ERROR = 100.0
"""All answers wrong. A law does not know that, and may predict more."""
LAWS_SPLIT = "laws.split"
"""In `runs.json`: the condition of that name divides the rows."""


class Variable(_Record):
    """A factor, or n."""

    unit: Positive = 1.0
    """What one unit of it is in a fit."""
    name: str
    """What it is called: `frames per video`, or the column of a user's own table."""
    counts: str | None = None
    """What a value counts, such as `frames`; None where nobody has said so."""

    def label(self, symbol: str) -> str:
        """Return the name with the symbol of formulas: `frames per video T`, or of a column `params (N)`."""
        if self.counts is None:
            return symbol if self.name == symbol else f"{self.name} ({symbol})"
        return f"{self.name} {symbol}"

    def axis(self, symbol: str) -> str:
        """Return the label with what a value counts, unless it says so itself: `LM size N (parameters)`."""
        counted = self.counts is None or self.counts in self.name
        return self.label(symbol) if counted else f"{self.label(symbol)} ({self.counts})"


class Measure(_Record):
    """A target: an error, lower is better."""

    largest: Positive | None
    """The largest error that there can be; None for an error without end, such as a loss."""
    chance: Positive | None = None
    """The error of guessing among a task's options; None where there are none, or nobody knows."""
    control: Positive | None = None
    """The mean error of the runs when they are shown the wrong video; None where that was not measured."""
    least: Positive | None = None
    """What a measured 0 counts as, which has no logarithm; None where no 0 can be."""
    missing: list[Count] = []
    """Lines without a value."""


class Runs(_Record):
    """`runs.json`: what the analysis must know of the rows of `runs.csv`."""

    source: str
    """What the rows are, in words: `the runs of the study digits`."""
    about: list[str]
    """What a report says of them."""
    file: str | None
    """The file that `lines` count in, for messages; None for `runs.csv` itself."""
    factors: Annotated[dict[str, Variable], Field(min_length=1)]
    data: Variable | None
    """n; None where there is no data size."""
    targets: Annotated[dict[str, Measure], Field(min_length=1)]
    split: list[bool] | Literal["laws.split"] | None
    """Whether laws are fitted to each row when extrapolation is judged: by row, or by the condition `laws.split`."""
    seeds: bool
    """Whether repeats of a configuration are meant as such."""
    keyed: bool
    """Whether the column `run` names every training, of which each row is a test."""
    trained: dict[str, str] = {}
    """Column with the level that a row's model was trained at, by factor, where models are tested elsewhere, too."""
    elastic: bool = False
    """Whether the column `elastic` says which models were trained at levels drawn batch by batch."""
    lines: list[Count]
    """The line of each row."""
    notes: list[str]
    """Named warnings about how the rows were read."""

    @property
    def variables(self) -> dict[str, Variable]:
        """The factors and, where there is one, n, by their symbols."""
        return self.factors | ({"n": self.data} if self.data else {})

    def error_label(self, target: str) -> str:
        """Return what the axis of a target is called: `avg: error (0–100)`, or `loss`, which has no range."""
        largest = self.targets[target].largest
        return target if largest is None else f"{target}: error (0–{largest:g})"

    def error_name(self, target: str) -> str:
        """Return what is predicted: the error of a task, or a target that is itself an error, such as `loss`."""
        return target if self.targets[target].largest is None else f"error of {target}"


class _Unit(_Record):
    unit: Positive


class _Ceiling(_Record):
    value: Positive
    s: Positive
    known: bool


class Law(_Record):
    """`laws/<target>/<form>.json`."""

    form: str
    formula: str | None = None
    """Of a form by formula its text."""
    target: str
    factors: Annotated[dict[str, _Unit], Field(min_length=1)]
    data_unit: Positive | None
    loss: str
    objective: Finite
    parameters: Annotated[dict[str, Finite], Field(min_length=1)]
    ceiling: _Ceiling | None = None
    """C with its sharpness; None where the law has none."""
    metrics: dict[str, Finite | None]
    standard_errors: dict[str, Finite | None]
    correlations: dict[str, Finite | None]
    diagnostics: dict[str, Any]
    warnings: list[str]
    degrees_of_freedom: int
    covariance: list[list[Finite]] | None


Weights = Annotated[dict[str, Annotated[Finite, Field(ge=0, le=1 + 1e-9)]], Field(min_length=1)]
"""`laws/<target>/weights.json`: a share for every form."""


def again(what: str) -> str:
    """Return how a damaged file is made again: by `snakemake`, once it is gone."""
    return f"delete it and run `snakemake {what}` again".replace("  ", " ")


@contextmanager
def _opening(path: Path, hint: str) -> Iterator[None]:
    """Raise `UserError` where the block finds no file in `path`, or may not read it."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {hint}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def read_checked(path: Path, kind: Any, hint: str, as_model: bool = False) -> Any:
    """Return the JSON in `path`, checked to be of `kind`; as a model of that kind if asked.

    Raises `UserError` naming file, key and `hint`.
    """
    try:
        with _opening(path, hint):
            content = json.loads(path.read_text(encoding="utf-8"))
        model = TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        raise UserError(f"{path}: damaged: {_first(error)}; {hint}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged: not JSON ({error}); {hint}") from None
    return model if as_model else content


def _first(error: ValidationError) -> str:
    """Return the first thing that is wrong with a record, in words."""
    found = error.errors()[0]
    place = ".".join(map(str, found["loc"]))
    value = "" if found["type"] == "missing" else f", and is {_short(found['input'])}"
    said = found["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{place + ' ' if place else ''}{said[:1].lower() + said[1:]}{value}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def read_frame(
    path: Path,
    hint: str,
    numbers: Sequence[str] = (),
    others: Sequence[str] = (),
    empty: bool = False,
    may_lack: Sequence[str] = (),
) -> "pd.DataFrame":
    """Return the CSV in `path`, in which the columns `numbers` hold finite numbers and `others` some text everywhere.

    Columns that `may_lack` hold finite numbers where they hold something.

    Raises `UserError` naming file, line, column and `hint`; also if there is no row, unless `empty`.
    """
    import pandas as pd  # noqa: PLC0415 — slow, and the Snakefile, which reads other records, has no need of it

    try:
        with _opening(path, hint):
            frame = pd.read_csv(path)
    except ValueError as error:  # pandas' parser errors, wrong bytes, an empty file
        raise UserError(f"{path}: damaged: not a CSV ({str(error).strip()}); {hint}") from None
    missing = [column for column in (*numbers, *may_lack, *others) if column not in frame]
    if missing:
        raise UserError(f"{path}: damaged: no column {missing[0]!r}; {hint}")
    if frame.empty and not empty:
        raise UserError(f"{path}: damaged: a header without rows; {hint}")
    for column in numbers:
        frame[column] = _numbers(path, frame[column], hint)
    for column in may_lack:
        there = frame[column].notna()
        frame[column] = _numbers(path, frame[column].where(there, 0), hint).where(there)
    for column in others:
        if frame[column].isna().any():
            raise UserError(f"{path}: damaged: line {_line(frame[column].isna())}, column {column!r} is empty; {hint}")
    return frame


def _numbers(path: Path, column: "pd.Series", hint: str) -> "pd.Series":
    import pandas as pd  # noqa: PLC0415 — as above

    values = pd.to_numeric(column, errors="coerce")
    bad = ~np.isfinite(values.to_numpy(float))
    if bad.any():
        cell = column[bad].iloc[0]
        raise UserError(
            f"{path}: damaged: line {_line(bad)}, column {column.name!r} has {_short(cell)}, which is no finite "
            f"number; {hint}"
        )
    return values


def _line(bad: Any) -> int:
    return int(np.flatnonzero(np.asarray(bad))[0]) + 2


def read_manifest(split: Path) -> dict[str, Any]:
    """Return the manifest of a split. Raises `UserError` if it is missing or damaged."""
    return read_checked(split / "manifest.json", Manifest, again("data"))


def read_finetuned(path: Path) -> dict[str, Any]:
    """Return the report of a run's training. Raises `UserError` if it is missing or damaged."""
    return read_checked(path, Training, again("finetune") + "; a training that has finished is not repeated")


def read_training(path: Path) -> dict[str, Any]:
    """Return the report of a starting model's training. Raises `UserError` if it is missing or damaged."""
    return read_checked(path, Training, again("pretrain"))


def read_result(path: Path) -> dict[str, Any]:
    """Return the result of a run. Raises `UserError` if it is missing or damaged."""
    return read_checked(path, Result, again("evaluate"))


def read_answered(path: Path) -> dict[str, Any]:
    """Return the summary of a run's answers to benchmarks. Raises `UserError` if it is missing or damaged."""
    return read_checked(path, Answered, again("evaluate"))
