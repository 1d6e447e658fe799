"""A user's own table, read and checked once: numbers in its units, targets as errors, what was left out and why."""

from pathlib import Path

import numpy as np
import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.laws.formula import DATA
from vlmfrontier.laws.table import LABELS, ResultsTable, rows_alike
from vlmfrontier.records import LARGEST_ERROR, Measure, Runs, Variable
from vlmfrontier.study.table import TableConfig, TargetConfig
from vlmfrontier.tables.columns import (
    NOTES,
    condition,
    factor_column,
    find,
    numbers,
    positive,
    read_csv,
    refuse,
    same_factors,
    what_it_reads,
)
from vlmfrontier.tables.values import MISSING


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
            f"table.split: {config.split!r} is true for {split.sum()} of {len(split)} rows, and must be true for "
            f"some only; {what_it_reads(config.split, frame, 'table.split')}"
        )
    _refuse_copies(frame, path)
    columns = config.factors | ({DATA: config.data} if config.data else {})
    values = {name: factor_column(frame, column.column, path, _key(name)) for name, column in columns.items()}
    targets = {name: target_error(frame, target, path, name) for name, target in config.targets.items()}
    se = {name: standard_error(frame, target, path, name) for name, target in config.targets.items()}
    notes += [
        note for name, target in config.targets.items() for note in unused_standard_errors(target, name, se[name])
    ]
    trained = {
        name: factor_column(frame, column.trained, path, f"table.factors.{name}.trained")
        for name, column in config.factors.items()
        if column.trained is not None
    }
    alike = rows_alike(values, trained)
    if config.seed is not None:
        notes += _same_seed(find(frame, config.seed, path, "table.seed"), alike["configuration"])
    return ResultsTable(
        name=str(path),
        factors={name: values[name] for name in config.factors},
        data=values.get(DATA),
        targets=targets,
        se=se,
        units={name: column.unit for name, column in config.factors.items()},
        data_unit=config.data.unit if config.data else None,
        **alike,
        split=split,
        frame=frame,
        has_seeds=config.seed is not None,
        largest={name: LARGEST_ERROR for name, target in config.targets.items() if target.kind != "error"},
        missing={name: [int(at) for at in frame.index[np.isnan(error)]] for name, error in targets.items()},
        notes=notes,
    )


def as_runs(table: ResultsTable, config: TableConfig) -> tuple[pd.DataFrame, Runs]:
    """Return a user's own table as it stands in `runs.csv`, and what `runs.json` says of it."""
    plain = table.plain()
    labels = [name for name in LABELS if name in table.frame and name not in plain]
    file = Path(config.path)
    record = Runs(
        source=f"the table {file.name}",
        about=[f"The laws start at the table `{file.name}`; nothing was trained."],
        file=table.name,
        factors={name: Variable(unit=column.unit, name=column.column) for name, column in config.factors.items()},
        data=Variable(unit=config.data.unit, name=config.data.column) if config.data else None,
        targets={
            name: Measure(largest=None if target.kind == "error" else LARGEST_ERROR, missing=table.missing[name])
            for name, target in config.targets.items()
        },
        split=None if table.split is None else table.split.tolist(),
        seeds=table.has_seeds,
        keyed=False,
        trained={name: f"{name}_train" for name in table.trained},
        lines=table.frame.index.tolist(),
        notes=table.notes,
    )
    return pd.concat([table.frame[labels].reset_index(drop=True), plain], axis=1), record


def _kept(exclude: str, frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the rows that `table.exclude` leaves. Raises `UserError` if it leaves out none, or all."""
    out = condition(exclude, frame, "table.exclude")
    if not out.any():
        raise UserError(
            f"table.exclude: {exclude!r} is true for no row of {path}: "
            f"{what_it_reads(exclude, frame, 'table.exclude')}; correct it, or take it out"
        )
    if out.all():
        raise UserError(f"table.exclude: {exclude!r} leaves no row of {path}; exclude fewer rows")
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


def target_error(frame: pd.DataFrame, target: TargetConfig, path: Path, name: str) -> np.ndarray:
    """Return the target as error: as it is, or 100·(1 − v/max); NaN where the cell is empty."""
    values = numbers(frame, target.column, path, f"table.targets.{name}", may_miss=True)
    if np.isnan(values).all():
        raise UserError(f"{path}: column {target.column!r} is empty in every row; take the target {name} out")
    if target.kind == "error":
        hint = "an error of 0 has no logarithm; leave such rows out with table.exclude"
        positive(values, frame, target.column, path, hint)
        return values
    _refuse_other_scale(values, frame, target, path, name)
    error = 100.0 * (1.0 - values / target.best)
    bad = [(line, v) for line, v, e in zip(frame.index, values, error, strict=True) if e <= 0 or e > 100]
    if bad:
        line, value = bad[0]
        raise UserError(
            f"{path}: line {line}, column {target.column!r} has {value:g}, and {_a(target.kind)} must lie from 0 to "
            f"below {target.best:g}; set table.targets.{name}.max, say `kind: error`, or leave the row out"
        )
    return error


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _refuse_other_scale(values: np.ndarray, frame: pd.DataFrame, target: TargetConfig, path: Path, name: str) -> None:
    """Raise `UserError` for values that look like fractions, or a short scale, where none but per cent is meant."""
    known = values[~np.isnan(values)]
    key, column = f"table.targets.{name}.max", f"{path}: column {target.column!r}"
    highest, short = known.max(), 10.0 if target.kind == "score" else 1.0
    if target.max is not None:
        return
    if highest <= short:
        scale = "1" if highest <= 1 else "the best possible score"
        raise UserError(
            f"{column} has {known.min():g} to {highest:g}, and {_a(target.kind)} is taken as per cent; write {key}: "
            f"{scale}, or {key}: 100 if these are per cent"
        )
    small = (values > 0) & (values <= 1)
    if small.any() and np.median(known) > 10:
        line, value = int(frame.index[small][0]), values[small][0]
        raise UserError(
            f"{column} has {value:g} in line {line} among per cents up to {highest:g}, which may be a fraction; "
            f"correct the cell, or write {key}: 100 if it is per cent too"
        )


def standard_error(frame: pd.DataFrame, target: TargetConfig, path: Path, name: str) -> np.ndarray | None:
    """Return the standard errors on the scale of the error, or None where the table has none for every row."""
    if target.se is None:
        return None
    values = numbers(frame, target.se, path, f"table.targets.{name}.se", may_miss=True)
    below = [
        f"line {line}, column {target.se!r} has {v:g}" for line, v in zip(frame.index, values, strict=True) if v < 0
    ]
    refuse(below, path, "a standard error cannot be negative")
    empty = np.array([cell in MISSING for cell in find(frame, target.column, path, "")])
    if np.isnan(values[~empty]).any():
        return None
    return values if target.kind == "error" else values * 100.0 / target.best


def unused_standard_errors(target: TargetConfig, name: str, se: np.ndarray | None) -> list[str]:
    """Return a warning if a target's column of standard errors is not filled in every row, and so not used."""
    if target.se is None or se is not None:
        return []
    return [f"no_standard_errors: column {target.se!r} is empty in some rows of {name}, and is not used"]
