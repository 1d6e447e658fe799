"""The table that laws are fitted to: `runs.csv` of a trained study, or a CSV of the user's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vlmfrontier.cost.safe_expression import SafeExpression
from vlmfrontier.errors import UserError
from vlmfrontier.laws.cells import numbers, positive, read_csv
from vlmfrontier.laws.forms import DATA
from vlmfrontier.study.table import ColumnConfig, TableConfig, TargetConfig

if TYPE_CHECKING:
    from vlmfrontier.study.root import Study


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
    """Error of every target, (m,); lower is better. On 0–100 where the table says accuracies or scores."""
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
    """All columns as read, indexed by line number."""
    has_seeds: bool = False
    """Whether repeats of a configuration are meant as such."""
    zeros: dict[str, list[int]] = field(default_factory=dict)
    """Lines of each target where no question was answered wrong, counted as half a wrong answer."""

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


def load_results(study: "Study", folder: Path) -> ResultsTable:
    """Return the table a study's laws start at: its own CSV, or `runs.csv` in its results folder."""
    return read_table(study.table) if study.table else read_runs(folder / "runs.csv", study)


def read_table(config: TableConfig, base_dir: Path = Path()) -> ResultsTable:
    """Return a user's own table; a relative path starts at `base_dir`.

    Raises `UserError` for a missing file or column, empty cells, text in a number column and values that are not
    positive, each with line and column.
    """
    path = base_dir / config.path
    frame = read_csv(path)
    if config.exclude:
        frame = frame[~_condition(config.exclude, frame, "table.exclude")]
        if frame.empty:
            raise UserError(f"table.exclude: {config.exclude!r} leaves no row of {path}")
    split = _condition(config.split, frame, "table.split") if config.split else None
    if split is not None and (split.all() or not split.any()):
        raise UserError(
            f"table.split: {config.split!r} holds for {split.sum()} of {len(split)} rows, and must divide them"
        )
    columns = config.factors | ({DATA: config.data} if config.data else {})
    values = {name: _factor(frame, column, path, name) for name, column in columns.items()}
    return ResultsTable(
        name=str(path),
        factors={name: values[name] for name in config.factors},
        data=values.get(DATA),
        targets={name: _error(frame, target, path, name) for name, target in config.targets.items()},
        se={name: _standard_error(frame, target, path, name) for name, target in config.targets.items()},
        units={name: column.unit for name, column in config.factors.items()},
        data_unit=config.data.unit if config.data else None,
        configuration=_configurations(values),
        split=split,
        frame=frame,
        has_seeds=config.seed is not None,
    )


def read_runs(path: Path, study: "Study") -> ResultsTable:
    """Return the run table of a trained study; N and n get a unit of 1, 1e3, 1e6 or 1e9 after their size.

    A measured error of 0, which has no logarithm, counts as half a wrong answer: of q questions, 50/q percent. The
    lines are kept in `zeros`, and every law fitted to them says so.

    Raises `UserError` like `read_table`.
    """
    frame = read_csv(Path(path))
    values = {name: _factor(frame, ColumnConfig(column=name), path, name) for name in [*study.factors(), DATA]}
    targets = {name: TargetConfig(column=name, se=f"{name}_se") for name in study.targets()}
    errors = {name: numbers(frame, name, path, f"target {name}") for name in targets}
    least = 50.0 / (study.evaluate.fewest_questions or study.data.digits.test)
    split = _condition(study.laws.split, frame, "laws.split") if study.laws.split else None
    return ResultsTable(
        name=str(path),
        factors={name: values[name] for name in study.factors()},
        data=values[DATA],
        targets={name: np.where(error > 0, error, least) for name, error in errors.items()},
        zeros={name: [int(line) for line in frame.index[error == 0]] for name, error in errors.items()},
        se={name: _standard_error(frame, target, path, name) for name, target in targets.items()},
        units={name: _natural_unit(values[name]) if name in ("N", "M") else 1.0 for name in study.factors()},
        data_unit=_natural_unit(values[DATA]),
        configuration=_configurations(values),
        split=None if split is None or split.all() or not split.any() else split,
        frame=frame,
        has_seeds=True,
    )


def from_arrays(
    factors: Mapping[str, np.ndarray],
    targets: Mapping[str, np.ndarray],
    data: np.ndarray | None = None,
    units: Mapping[str, float] | None = None,
    data_unit: float = 1.0,
    split: np.ndarray | None = None,
    se: Mapping[str, np.ndarray] | None = None,
) -> ResultsTable:
    """Return a table from columns at hand, for use from Python: factors and n positive, targets as errors."""
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
        configuration=_configurations(everything),
        split=split,
        frame=pd.DataFrame(everything | errors),
    )


def _condition(text: str, frame: pd.DataFrame, key: str) -> np.ndarray:
    """Return which rows a condition holds for; columns whose cells are all numbers compare as numbers."""
    columns = {name: _typed(frame[name]) for name in frame.columns}
    held = np.asarray(SafeExpression(text, key)(columns))
    if held.dtype != bool or held.shape != (len(frame),):
        raise UserError(f"{key}: {text!r} is no condition on columns; write for example \"sweep == 'star'\"")
    return held


def _typed(column: pd.Series) -> np.ndarray:
    try:
        return column.to_numpy(dtype=float)
    except ValueError:
        return column.to_numpy(dtype=str)


def _factor(frame: pd.DataFrame, column: ColumnConfig, path: Path, name: str) -> np.ndarray:
    key = "table.data" if name == DATA else f"table.factors.{name}"
    values = numbers(frame, column.column, path, key)
    positive(
        values, frame, column.column, path, "a power law needs positive values; leave such rows out with table.exclude"
    )
    return values


def _error(frame: pd.DataFrame, target: TargetConfig, path: Path, name: str) -> np.ndarray:
    """Return the target as error: as it is, or 100·(1 − v/max)."""
    values = numbers(frame, target.column, path, f"table.targets.{name}")
    if target.kind == "error":
        mend = "an error of 0 has no logarithm; leave such rows out with table.exclude"
        positive(values, frame, target.column, path, mend)
        return values
    error = 100.0 * (1.0 - values / target.max)
    bad = [(line, value) for line, value, e in zip(frame.index, values, error, strict=True) if not 0 < e <= 100]
    if bad:
        line, value = bad[0]
        raise UserError(
            f"{path}: line {line}, column {target.column!r} has {value:g}, and a {target.kind} must lie from 0 to "
            f"below {target.max:g}; set table.targets.{name}.max, say `kind: error`, or leave the row out"
        )
    return error


def _standard_error(frame: pd.DataFrame, target: TargetConfig, path: Path, name: str) -> np.ndarray | None:
    """Return the standard errors on the scale of the error, or None where the table has none for every row."""
    if target.se is None or target.se not in frame or (frame[target.se] == "").any():
        return None
    values = numbers(frame, target.se, path, f"table.targets.{name}.se")
    return values if target.kind == "error" else values * 100.0 / target.max


def _configurations(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return a number per row, equal where all of `values` are."""
    return np.unique(np.stack(list(values.values()), axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def _natural_unit(values: np.ndarray) -> float:
    """Return the power of 1000 that brings the largest value into 1–1000."""
    return float(1000.0 ** np.floor(np.log10(values.max()) / 3 + 1e-12))
