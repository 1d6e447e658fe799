"""`runs.csv` and `runs.json`, the one door of every analysis: written once, and checked where they are read."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.laws.formula import DATA
from vlmfrontier.laws.table import LABELS, ResultsTable, rows_alike
from vlmfrontier.records import LAWS_SPLIT, Measure, Runs, again
from vlmfrontier.tables.columns import condition, factor_column, find, numbers, refuse

_HINT = f"the file was changed since it was collected; {again('collect')}"


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
    factors = {name: values[name] for name in record.factors}
    trained = {name: factor_column(frame, column, path, f"column {column}") for name, column in record.trained.items()}
    elastic = numbers(frame, "elastic", path, "column elastic") > 0 if record.elastic else None
    return ResultsTable(
        name=record.file or str(path),
        factors=factors,
        data=values.get(DATA),
        targets={name: _above_zero(error, record.targets[name].least) for name, error in errors.items()},
        zeros={name: [int(line) for line in frame.index[error == 0]] for name, error in errors.items()},
        missing={name: target.missing for name, target in record.targets.items()},
        largest={name: target.largest for name, target in record.targets.items() if target.largest is not None},
        ceilings={name: _known_ceilings(target) for name, target in record.targets.items()},
        se=se,
        units={name: factor.unit for name, factor in record.factors.items()},
        data_unit=record.data.unit if record.data else None,
        **rows_alike(values, trained, elastic),
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
        raise UserError(f"{path}: {len(frame)} rows, but runs.json lists {len(record.lines)}; {_HINT}")
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
        find(frame, "run", path, "column run")
        twice = frame["run"][frame.duplicated(["run", *record.trained])]
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
