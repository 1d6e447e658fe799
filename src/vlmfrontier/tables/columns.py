"""Columns of a table as cells of text: conditions and numbers, with every message naming line and column."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vlmfrontier.errors import UserError, did_you_mean
from vlmfrontier.tables.delimited import read_delimited
from vlmfrontier.tables.expressions import SafeExpression
from vlmfrontier.tables.values import MISSING, Column, problem_of, shown
from vlmfrontier.units import parse_number

_SHOWN = 5  # problems named in one message; the rest is counted
NOTES = "notes"
"""In the attributes of a frame: what was left out of the file, or read in another way than it is written."""


def read_csv(path: Path) -> pd.DataFrame:
    """Return the file's cells as text, indexed by line number (the header is line 1 of most files).

    Raises `UserError` for a file that is missing or no table of delimited text.
    """
    table = read_delimited(path)
    frame = pd.DataFrame(table.rows, columns=table.header, index=table.lines, dtype=object)
    frame.attrs[NOTES] = table.notes
    return frame


def condition(text: str, frame: pd.DataFrame, key: str) -> np.ndarray:
    """Return for which rows a condition holds, (m,). Raises `UserError` for a wrong name, kind, or open row."""
    expression = SafeExpression(text, key)
    expression.check_names(frame.columns)
    return expression.holds(_typed(expression, frame), [f"line {line}" for line in frame.index])


def what_it_reads(text: str, frame: pd.DataFrame, key: str) -> str:
    """Return the columns of a condition with their values: `failed has 'no', 'yes'`."""
    columns = _typed(SafeExpression(text, key), frame)
    return "; ".join(f"{name} has {_values(column)}" for name, column in columns.items()) or "it names no column"


def _typed(expression: SafeExpression, frame: pd.DataFrame) -> dict[str, Column]:
    """Return the columns of a condition as it reads them: as numbers, as True and False, or as text."""
    rows = [f"line {line}" for line in frame.index]
    return {name: Column.of_cells(frame[name].tolist(), rows) for name in expression.names}


def _values(column: Column) -> str:
    """Return the values of a column in words, the most frequent of a text first: `numbers from 1 to 32`."""
    if column.kind == "number":
        known = column.data[~np.isnan(column.data)]
        return f"numbers from {known.min():g} to {known.max():g}"
    counts = pd.Series(column.cells).value_counts()
    return ", ".join(shown(str(cell)) for cell in counts.index[:_SHOWN]) + (", …" if len(counts) > _SHOWN else "")


def find(frame: pd.DataFrame, column: str, path: Path, key: str) -> pd.Series:
    """Return the column that the configuration key `key` names. Raises `UserError` with those that there are."""
    name = " ".join(column.split())
    if name in frame:
        return frame[name]
    listed = ", ".join(map(str, frame.columns[:30])) + (", …" if len(frame.columns) > 30 else "")
    alike = [known for known in frame.columns if known.lower() == name.lower()]
    hint = did_you_mean(*alike[:1] or [name], frame.columns)
    hint = f"; {hint}" if hint.startswith("did you mean") else ""
    raise UserError(f"{key}: {path} has no column {column!r}; its columns are {listed}{hint}")


def numbers(frame: pd.DataFrame, column: str, path: Path, key: str, may_miss: bool = False) -> np.ndarray:
    """Return a column as finite numbers; `key` is the configuration key that names it. `16k` and `7.5B` are numbers.

    Where a column `may_miss` values, empty cells are NaN. Raises `UserError` naming line and column of all other cells.
    """
    cells = find(frame, column, path, key)
    problems = {
        line: problem
        for line, cell in cells.items()
        if not (may_miss and cell in MISSING) and (problem := problem_of(cell))
    }
    found = (f"line {line}, column {cells.name!r} {problem}" for line, problem in problems.items())
    refuse(list(found), path, _hint(cells, problems) if key.startswith("table.") else "correct the cell")
    return np.array([np.nan if cell in MISSING else parse_number(cell) for cell in cells], float)


def _hint(cells: pd.Series, problems: Iterable[int]) -> str:
    """Return what to do about cells that are no numbers, with a condition that leaves out the rows of the first."""
    name, cell = str(cells.name), next((cells[line] for line in problems), "")
    example = f': "{name} == {cell!r}"' if name.isidentifier() and len(cell) < 40 else ""
    return f"correct the cell, or leave such rows out with table.exclude{example}"


LARGEST = 1e60
"""Powers of larger numbers are no numbers any more."""


def positive(values: np.ndarray, frame: pd.DataFrame, column: str, path: Path, hint: str) -> None:
    """Raise `UserError` naming line and column of values that are not positive: laws are powers and logs."""
    bad = [(line, value) for line, value in zip(frame.index, values, strict=True) if value <= 0]
    refuse([f"line {line}, column {column!r} has {value:g}, which is not positive" for line, value in bad], path, hint)
    far = [
        (line, value)
        for line, value in zip(frame.index, values, strict=True)
        if value <= 1 / LARGEST or value >= LARGEST
    ]
    said = [f"line {line}, column {column!r} has {value:g}" for line, value in far]
    refuse(said, path, f"nothing that is measured or counted is so large or small (1/{LARGEST:g} to {LARGEST:g})")


def refuse(problems: list[str], path: Path, hint: str) -> None:
    """Raise `UserError` with the first few of `problems`, if there are any."""
    if problems:
        more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
        raise UserError(f"{path}: {'; '.join(problems[:_SHOWN])}{more}; {hint}")


def same_factors(groups: Iterable[Sequence[int]]) -> list[str]:
    """Return a sentence about those groups of lines that have more than one, in a list; no sentence if none has."""
    repeated = [" and ".join(map(str, group)) for group in groups if len(group) > 1]
    more = f" (and {len(repeated) - _SHOWN} more)" if len(repeated) > _SHOWN else ""
    return [f"lines {'; '.join(repeated[:_SHOWN])}{more} have the same factors"] if repeated else []


def factor_column(frame: pd.DataFrame, column: str, path: Path, key: str) -> np.ndarray:
    """Return a column as positive numbers; `key` is the configuration key that names it."""
    values = numbers(frame, column, path, key)
    hint = "a power law needs positive values; leave such rows out with table.exclude"
    positive(values, frame, column, path, hint if key.startswith("table.") else "a power law needs positive values")
    return values
