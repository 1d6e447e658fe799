"""The table that laws are fitted to: `runs.csv` of a trained study, or a CSV of the user's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.laws.columns import (
    NOTES,
    condition,
    find,
    numbers,
    positive,
    read_csv,
    refuse,
    same_factors,
    standard_error,
    target_error,
    unused_standard_errors,
    what_it_reads,
)
from vlmfrontier.laws.forms import DATA
from vlmfrontier.study.table import TableConfig, TargetConfig

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
    """All columns as read, indexed by line number."""
    has_seeds: bool = False
    """Whether repeats of a configuration are meant as such."""
    zeros: dict[str, list[int]] = field(default_factory=dict)
    """Lines of each target where no question was answered wrong, counted as half a wrong answer."""
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
    notes = list(frame.attrs[NOTES])
    if config.exclude:
        frame = _kept(config.exclude, frame, path)
    split = condition(config.split, frame, "table.split") if config.split else None
    if split is not None and (split.all() or not split.any()):
        raise UserError(
            f"table.split: {config.split!r} holds for {split.sum()} of {len(split)} rows, and must divide them; "
            f"{what_it_reads(config.split, frame, 'table.split')}"
        )
    _refuse_copies(frame, path)
    columns = config.factors | ({DATA: config.data} if config.data else {})
    values = {name: _factor(frame, column.column, path, _key(name)) for name, column in columns.items()}
    targets = {name: target_error(frame, target, path, name) for name, target in config.targets.items()}
    se = {name: standard_error(frame, target, path, name) for name, target in config.targets.items()}
    notes += [
        note for name, target in config.targets.items() for note in unused_standard_errors(target, name, se[name])
    ]
    configuration = _configurations(values)
    if config.seed is not None:
        notes += _same_seed(find(frame, config.seed, path, "table.seed"), configuration)
    return ResultsTable(
        name=str(path),
        factors={name: values[name] for name in config.factors},
        data=values.get(DATA),
        targets=targets,
        se=se,
        units={name: column.unit for name, column in config.factors.items()},
        data_unit=config.data.unit if config.data else None,
        configuration=configuration,
        split=split,
        frame=frame,
        has_seeds=config.seed is not None,
        missing={name: [int(at) for at in frame.index[np.isnan(error)]] for name, error in targets.items()},
        notes=notes,
    )


def read_runs(path: Path, study: "Study") -> ResultsTable:
    """Return the run table of a trained study; N and n get a unit of 1, 1e3, 1e6 or 1e9 after their size.

    A measured error of 0, which has no logarithm, counts as half a wrong answer: of q questions, 50/q percent. The
    lines are kept in `zeros`, and every law fitted to them says so.

    Raises `UserError` like `read_table`.
    """
    frame = read_csv(Path(path))
    values = {name: _factor(frame, name, path, f"column {name}") for name in [*study.factors(), DATA]}
    targets = {
        name: TargetConfig(column=name, se=se if (se := f"{name}_se") in frame else None) for name in study.targets()
    }
    errors = {name: numbers(frame, name, path, f"target {name}") for name in targets}
    _refuse_damaged_runs(frame, errors, path)
    least = 50.0 / (study.evaluate.fewest_questions or study.data.digits.test)
    split = condition(study.laws.split, frame, "laws.split") if study.laws.split else None
    return ResultsTable(
        name=str(path),
        factors={name: values[name] for name in study.factors()},
        data=values[DATA],
        targets={name: np.where(error > 0, error, least) for name, error in errors.items()},
        zeros={name: [int(line) for line in frame.index[error == 0]] for name, error in errors.items()},
        se={name: standard_error(frame, target, path, name) for name, target in targets.items()},
        units={name: _natural_unit(values[name]) if name in ("N", "M") else 1.0 for name in study.factors()},
        data_unit=_natural_unit(values[DATA]),
        configuration=_configurations(values),
        split=None if split is None or split.all() or not split.any() else split,
        frame=frame,
        has_seeds=True,
        notes=_undivided(study.laws.split, split),
    )


def _refuse_damaged_runs(frame: pd.DataFrame, errors: Mapping[str, np.ndarray], path: Path) -> None:
    """Raise `UserError` for what no collected run table has: a run twice, an error off 0–100, a negative SE."""
    mend = "the file was changed since it was collected; delete it and run `snakemake collect` again"
    if "run" in frame:
        twice = frame["run"][frame["run"].duplicated()]
        refuse([f"line {line}, run {run!r} comes twice" for line, run in twice.items()], path, mend)
    for name, values in errors.items():
        bad = [(line, value) for line, value in zip(frame.index, values, strict=True) if not 0 <= value <= 100 + 1e-9]
        refuse([f"line {line}, column {name!r} has {value:g}, no error on 0–100" for line, value in bad], path, mend)
        if f"{name}_se" in frame and not (frame[f"{name}_se"] == "").any():
            se = numbers(frame, f"{name}_se", path, f"target {name}")
            bad = [(line, value) for line, value in zip(frame.index, se, strict=True) if not 0 <= value < np.inf]
            refuse(
                [f"line {line}, column '{name}_se' has {value:g}, no standard error" for line, value in bad], path, mend
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


def _undivided(text: str | None, split: np.ndarray | None) -> list[str]:
    """Return a warning about a split that divides nothing: some studies have no runs beside those that are fitted."""
    if split is None or (split.any() and not split.all()):
        return []
    which = "all" if split.all() else "none"
    return [f"no_split: laws.split {text!r} holds for {which} of the {len(split)} runs, so extrapolation is not judged"]


def _kept(exclude: str, frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the rows that `table.exclude` leaves. Raises `UserError` if it leaves out none, or all."""
    out = condition(exclude, frame, "table.exclude")
    if not out.any():
        raise UserError(
            f"table.exclude: {exclude!r} holds for no row of {path}: {what_it_reads(exclude, frame, 'table.exclude')}; "
            "mend it, or take it out"
        )
    if out.all():
        raise UserError(f"table.exclude: {exclude!r} leaves no row of {path}")
    return frame[~out]


def _refuse_copies(frame: pd.DataFrame, path: Path) -> None:
    """Raise `UserError` for rows that are the same in every cell."""
    first: dict[tuple, int] = {}
    copies = []
    for line, cells in zip(frame.index, frame.itertuples(index=False, name=None), strict=True):
        if first.setdefault(cells, line) != line:
            copies.append(f"line {line} is the same as line {first[cells]} in every cell")
    refuse(
        copies, path, "take the copies out, or add a column that tells repeats apart, such as their seed (table.seed)"
    )


def _same_seed(seeds: pd.Series, configuration: np.ndarray) -> list[str]:
    """Return a warning about rows with the same factors and the same seed, which are no repeats."""
    lines: dict[tuple, list[int]] = {}
    for line, seed, which in zip(seeds.index, seeds, configuration, strict=True):
        lines.setdefault((which, seed), []).append(line)
    return [f"duplicates: {told}, and {seeds.name!r} too; they are kept" for told in same_factors(lines.values())]


def _key(name: str) -> str:
    return "table.data" if name == DATA else f"table.factors.{name}"


def _factor(frame: pd.DataFrame, column: str, path: Path, key: str) -> np.ndarray:
    values = numbers(frame, column, path, key)
    mend = "a power law needs positive values; leave such rows out with table.exclude"
    positive(values, frame, column, path, mend if key.startswith("table.") else "a power law needs positive values")
    return values


def _configurations(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return a number per row, equal where all of `values` are."""
    return np.unique(np.stack(list(values.values()), axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def _natural_unit(values: np.ndarray) -> float:
    """Return the power of 1000 that brings the largest value into 1–1000."""
    return float(1000.0 ** np.floor(np.log10(values.max()) / 3 + 1e-12))
