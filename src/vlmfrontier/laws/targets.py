"""Columns of a user's own table that were measured: as errors, as standard errors, on the scale that was meant."""

from pathlib import Path

import numpy as np
import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.laws.cells import find, numbers, positive, refuse
from vlmfrontier.study.table import TargetConfig
from vlmfrontier.tables.numerals import MISSING


def target_error(frame: pd.DataFrame, target: TargetConfig, path: Path, name: str) -> np.ndarray:
    """Return the target as error: as it is, or 100·(1 − v/max); NaN where the cell is empty."""
    values = numbers(frame, target.column, path, f"table.targets.{name}", may_miss=True)
    if np.isnan(values).all():
        raise UserError(f"{path}: column {target.column!r} is empty in every row; take the target {name} out")
    if target.kind == "error":
        mend = "an error of 0 has no logarithm; leave such rows out with table.exclude"
        positive(values, frame, target.column, path, mend)
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
            f"mend the cell, or write {key}: 100 if it is per cent too"
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
