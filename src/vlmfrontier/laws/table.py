"""The table that laws are fitted to: `runs.csv` with what `runs.json` says of it, the one door of every analysis."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.laws.formula import DATA
from vlmfrontier.records import LAWS_SPLIT, Measure, Runs, again
from vlmfrontier.tables.columns import condition, factor_column, find, numbers, refuse

LABELS = ("run", "sweep", "seed")
"""Columns of `runs.csv` that say which run a row is."""
_HINT = f"the file was changed since it was collected; {again('collect')}"


@dataclass(frozen=True)
class ResultsTable:
    """One row per trained and evaluated model, in the units of the table; `units` scale factors for fits."""

    name: str
    """Where it was read from, for messages."""
    factors: dict[str, np.ndarray]
    """Values of every factor, (m,)."""
    data: np.ndarray | None
    """Data size n, (m,)."""
    targets: dict[str, np.ndarray]
    """Error of every target, (m,), NaN where it was not measured; lower is better. On 0–100 where the table says
    accuracies or scores."""
    se: dict[str, np.ndarray | None]
    """Standard errors of the targets."""
    units: dict[str, float]
    """What one unit of each factor is in a fit."""
    data_unit: float | None
    """What one unit of n is in a fit."""
    configuration: np.ndarray
    """(m,) whole numbers, equal for rows that differ in nothing but the seed."""
    split: np.ndarray | None
    """(m,) rows to fit on when extrapolation is judged."""
    frame: pd.DataFrame
    """The columns that say which run a row is, as text, where there are such; indexed by line number."""
    has_seeds: bool = False
    """Whether repeats of a configuration are meant as such."""
    zeros: dict[str, list[int]] = field(default_factory=dict)
    """Lines of each target where no question was answered wrong, counted as half a wrong answer."""
    largest: dict[str, float] = field(default_factory=dict)
    """The largest error that there can be, of the targets that have one."""
    ceilings: dict[str, dict[str, float]] = field(default_factory=dict)
    """What of `chance` and `control` is known of each target."""
    missing: dict[str, list[int]] = field(default_factory=dict)
    """Lines of each target that have no value: NaN here, and no row of what is fitted (`measured`)."""
    notes: list[str] = field(default_factory=list)
    """Named warnings about how the file was read."""

    def __len__(self) -> int:
        return len(self.configuration)

    @property
    def has_data(self) -> bool:
        """Whether there is an n."""
        return self.data is not None

    @property
    def configurations(self) -> int:
        """Number of distinct configurations."""
        return len(np.unique(self.configuration))

    @property
    def names(self) -> list[str]:
        """What each row is called: the run's key, or in an own table its line."""
        frame = self.frame
        return [str(key) for key in frame["run"]] if "run" in frame else [f"line {line}" for line in frame.index]

    def points(self) -> dict[str, np.ndarray]:
        """Return factors and n as columns, the argument of `predict`."""
        return {**self.factors, DATA: self.data} if self.has_data else dict(self.factors)

    def error(self, target: str) -> np.ndarray:
        """Return the error of `target`, (m,). Raises `UserError` if the table has no such target."""
        if target not in self.targets:
            raise UserError(f"{self.name}: there is no target {target!r}; the targets are {', '.join(self.targets)}")
        return self.targets[target]

    def measured(self, target: str) -> "ResultsTable":
        """Return the rows in which `target` was measured: all, in most tables."""
        known = ~np.isnan(self.error(target))
        if known.all() and not any(self.missing.values()):
            return self
        return replace(self.rows(known), missing={target: self.missing.get(target, [])})

    def plain(self) -> pd.DataFrame:
        """Return factors, n, targets and their standard errors as columns named as in `runs.csv`."""
        errors = {f"{name}_se": values for name, values in self.se.items() if values is not None}
        return pd.DataFrame(self.points() | self.targets | errors)

    def rows(self, keep: np.ndarray) -> "ResultsTable":
        """Return the table with these rows only (a mask or indices)."""
        return replace(
            self,
            factors={name: values[keep] for name, values in self.factors.items()},
            data=self.data[keep] if self.has_data else None,
            targets={name: values[keep] for name, values in self.targets.items()},
            se={name: None if values is None else values[keep] for name, values in self.se.items()},
            configuration=self.configuration[keep],
            split=None if self.split is None else self.split[keep],
            frame=self.frame.iloc[keep] if keep.dtype != bool else self.frame[keep],
        )


def read_runs(path: Path, record: Runs, split: str | None = None) -> ResultsTable:
    """Return the rows of `runs.csv`, of which `record` says what they are; `split` is the condition `laws.split`.

    A measured error of 0, which has no logarithm, counts as the record says: half a wrong answer. The lines are kept in
    `zeros`, and every law fitted to them says so.

    Raises `UserError` naming line and column of everything that no run table has.
    """
    frame = _cells(path, record)
    values = {name: factor_column(frame, name, path, f"column {name}") for name in _variables(record)}
    errors = {
        name: numbers(frame, name, path, f"target {name}", may_miss=bool(target.missing))
        for name, target in record.targets.items()
    }
    se = {name: _standard_error(frame, name, path, errors[name]) for name in errors}
    _refuse_damaged(frame, record, errors, se, path)
    inside, notes = _split(frame, record, split)
    frame.index = pd.Index(record.lines)
    return ResultsTable(
        name=record.file or str(path),
        factors={name: values[name] for name in record.factors},
        data=values.get(DATA),
        targets={name: _above_zero(error, record.targets[name].least) for name, error in errors.items()},
        zeros={name: [int(line) for line in frame.index[error == 0]] for name, error in errors.items()},
        missing={name: target.missing for name, target in record.targets.items()},
        largest={name: target.largest for name, target in record.targets.items() if target.largest is not None},
        ceilings={name: _known_ceilings(target) for name, target in record.targets.items()},
        se=se,
        units={name: factor.unit for name, factor in record.factors.items()},
        data_unit=record.data.unit if record.data else None,
        configuration=configurations(values),
        split=inside,
        frame=frame[[name for name in LABELS if name in frame and name not in values]],
        has_seeds=record.seeds,
        notes=[*record.notes, *notes],
    )


def write_runs(rows: pd.DataFrame, record: Runs, path: Path) -> None:
    """Write `runs.csv`, floats with all their digits, and as `runs.json` beside it `record`, a line for each key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.to_csv(path, index=False)
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in record.model_dump(mode="json").items()]
    path.with_suffix(".json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _known_ceilings(target: Measure) -> dict[str, float]:
    known = {"chance": target.chance, "control": target.control}
    return {name: value for name, value in known.items() if value is not None}


def _above_zero(error: np.ndarray, least: float | None) -> np.ndarray:
    """Return the errors with `least` in the place of 0."""
    return error if least is None else np.where(error == 0, least, error)


def _variables(record: Runs) -> list[str]:
    """Return the columns that predict: the factors, and n where there is one."""
    return [*record.factors, *([DATA] if record.data else [])]


def _cells(path: Path, record: Runs) -> pd.DataFrame:
    """Return the file's cells as text, indexed by its own lines."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `snakemake collect` first") from None
    except (OSError, ValueError) as error:  # pandas' parser errors and wrong bytes among them
        raise UserError(f"{path}: damaged: not a CSV ({str(error).strip()}); {again('collect')}") from None
    frame.index = pd.RangeIndex(2, len(frame) + 2)
    if len(frame) != len(record.lines):
        raise UserError(f"{path}: {len(frame)} rows, and runs.json knows {len(record.lines)}; {_HINT}")
    return frame


def _standard_error(frame: pd.DataFrame, target: str, path: Path, error: np.ndarray) -> np.ndarray | None:
    """Return the standard errors of a target, or None where the table has none for every measured row."""
    column = f"{target}_se"
    if column not in frame:
        return None
    se = numbers(frame, column, path, f"target {target}", may_miss=True)
    return None if np.isnan(se[~np.isnan(error)]).any() else se


def _split(frame: pd.DataFrame, record: Runs, split: str | None) -> tuple[np.ndarray | None, list[str]]:
    """Return which rows laws are fitted to when extrapolation is judged, and a warning if that divides nothing: some
    studies have no runs beside those that are fitted."""
    if record.split != LAWS_SPLIT:
        return (None if record.split is None else np.array(record.split)), []
    if split is None:
        return None, []
    inside = condition(split, frame, LAWS_SPLIT)
    if inside.any() and not inside.all():
        return inside, []
    which = "all" if inside.all() else "none"
    said = f"laws.split {split!r} holds for {which} of the {len(inside)} runs, so extrapolation is not judged"
    return None, [f"no_split: {said}"]


def _refuse_damaged(
    frame: pd.DataFrame, record: Runs, errors: Mapping[str, np.ndarray], se: Mapping[str, np.ndarray | None], path: Path
) -> None:
    """Raise `UserError` for what no run table has: a run twice, an error that cannot be, a negative standard error."""
    if record.keyed:
        twice = find(frame, "run", path, "column run").loc[lambda runs: runs.duplicated()]
        refuse([f"line {line}, run {run!r} comes twice" for line, run in twice.items()], path, _HINT)
    for name, values in errors.items():
        target = record.targets[name]
        largest = np.inf if target.largest is None else target.largest + 1e-9
        wrong = (values < 0) | (values > largest) | ((values == 0) & (target.least is None))
        _refuse_cells(frame, name, values, wrong, "no possible error", path)
        if (errors_of := se[name]) is not None:
            wrong = (errors_of < 0) | np.isinf(errors_of)
            _refuse_cells(frame, f"{name}_se", errors_of, wrong, "no standard error", path)


def _refuse_cells(
    frame: pd.DataFrame, column: str, values: np.ndarray, wrong: np.ndarray, what: str, path: Path
) -> None:
    cells = zip(frame.index[wrong], values[wrong], strict=True)
    refuse([f"line {line}, column {column!r} has {value:g}, {what}" for line, value in cells], path, _HINT)


def from_arrays(
    factors: Mapping[str, np.ndarray],
    targets: Mapping[str, np.ndarray],
    data: np.ndarray | None = None,
    units: Mapping[str, float] | None = None,
    data_unit: float = 1.0,
    split: np.ndarray | None = None,
    se: Mapping[str, np.ndarray] | None = None,
    largest: Mapping[str, float] | None = None,
) -> ResultsTable:
    """Return a table from columns at hand, for use from Python: factors and n positive, targets as errors.

    `largest` names the largest possible error of targets that have one, such as 100.
    """
    values = {name: np.asarray(column, float) for name, column in factors.items()}
    data = None if data is None else np.asarray(data, float)
    everything = values | ({} if data is None else {DATA: data})
    errors = {name: np.asarray(column, float) for name, column in targets.items()}
    return ResultsTable(
        name="table",
        factors=values,
        data=data,
        targets=errors,
        se={name: (se or {}).get(name) for name in targets},
        units={name: (units or {}).get(name, 1.0) for name in factors},
        data_unit=None if data is None else data_unit,
        configuration=configurations(everything),
        split=split,
        frame=pd.DataFrame(everything | errors),
        largest=dict(largest or {}),
    )


def configurations(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return a number per row, equal where all of `values` are."""
    return np.unique(np.stack(list(values.values()), axis=1), axis=0, return_inverse=True)[1].reshape(-1)
