"""Tables as files."""

from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from vlmfrontier.study.units import format_count, format_number

COSTS = {"c", "cost", "second_cost", "training_cost"}
"""Columns in the unit of the cost; large numbers in others count parameters, examples, frames or tokens."""
NOTHING = 1e-9
"""What a difference of errors is rounded to nothing below."""
DIGITS = "%.10g"
"""Enough to reproduce every figure, and few enough that the last bits of a machine do not show."""


def write_csv(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as CSV and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format=DIGITS)
    return path


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as `path`.csv, .md and .tex, numbers rounded in the latter two; return the path of the CSV."""
    rounded = table.apply(lambda column: column.map(_costly if column.name in COSTS else _short))
    csv = write_csv(table, path.with_suffix(".csv"))
    for suffix, style in ((".md", "github"), (".tex", "latex_booktabs")):
        text = tabulate(rounded, headers="keys", showindex=False, disable_numparse=True, tablefmt=style)
        path.with_suffix(suffix).write_text(text + "\n")
    return csv


def _short(cell: object) -> str:
    """Return a cell for reading: three digits, large numbers in human units, nothing for a missing value."""
    if not isinstance(cell, float):
        return "" if cell is None else str(cell)
    if np.isnan(cell) or abs(cell) < NOTHING:
        return "" if np.isnan(cell) else "0"
    return format_count(cell) if abs(cell) >= 1000 else f"{cell:.3g}"


def _costly(cell: float) -> str:
    """Return a cost for reading, with three digits and G for 1e9; nothing for a missing one."""
    return "" if np.isnan(cell) else format_number(cell)
