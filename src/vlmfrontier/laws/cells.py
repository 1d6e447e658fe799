"""Cells of a user's CSV read as numbers, with every message naming the line and the column."""

from pathlib import Path

import numpy as np
import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.study.units import parse_number

_SHOWN = 5  # problems named in one message; the rest is counted


def read_csv(path: Path) -> pd.DataFrame:
    """Return the file's cells as text, indexed by line number (the header is line 1).

    Raises `UserError` if the file is missing, is no CSV or has no row.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; check the path")
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False, encoding="utf-8-sig")
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise UserError(f"{path}: not a CSV file that can be read: {error}") from None
    frame.columns = [str(column).strip() for column in frame.columns]
    frame = frame.apply(lambda column: column.str.strip()).set_axis(frame.index + 2, axis=0)
    frame = frame[(frame != "").any(axis=1)]
    if frame.empty:
        raise UserError(f"{path}: the file has no rows")
    return frame


def numbers(frame: pd.DataFrame, column: str, path: Path, key: str) -> np.ndarray:
    """Return a column as numbers; `key` is the configuration key that names it. `16k` and `7.5B` are numbers.

    Raises `UserError` naming line and column of empty cells and of text.
    """
    if column not in frame:
        raise UserError(f"{key}: {path} has no column {column!r}; its columns are {', '.join(frame.columns)}")
    values, problems = np.empty(len(frame)), []
    for row, (line, cell) in enumerate(frame[column].items()):
        try:
            values[row] = parse_number(cell)
        except UserError:
            values[row] = np.nan
            what = "is empty" if cell == "" else f"has {cell!r}, which is not a number"
            problems.append(f"line {line}, column {column!r} {what}")
    refuse(problems, path, "fill the cell, or leave such rows out with table.exclude")
    return values


def positive(values: np.ndarray, frame: pd.DataFrame, column: str, path: Path, mend: str) -> None:
    """Raise `UserError` naming line and column of values that are not positive: laws are powers and logs."""
    bad = [(line, value) for line, value in zip(frame.index, values, strict=True) if not value > 0]
    refuse([f"line {line}, column {column!r} has {value:g}, which is not positive" for line, value in bad], path, mend)


def refuse(problems: list[str], path: Path, mend: str) -> None:
    """Raise `UserError` with the first few of `problems`, if there are any."""
    if problems:
        more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
        raise UserError(f"{path}: {'; '.join(problems[:_SHOWN])}{more}; {mend}")
