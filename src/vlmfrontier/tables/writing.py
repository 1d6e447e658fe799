"""Tables as files: CSV with all digits, Markdown and LaTeX to read."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from vlmfrontier.tables.latex import latex
from vlmfrontier.units import format_count, format_number

_HEADERS = {"mse": "MSE", "e_pct": "E%", "r2": "R²"}
_FORMATS = {"mse": "{:.3g}", "e_pct": "{:.2f}", "r2": "{:.3f}"}  # the scale of an MSE is the target's own
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


def write_table(table: pd.DataFrame, path: Path, unit: str = "") -> Path:
    """Write a table as `path`.csv, .md and .tex, numbers rounded in the latter two; return the path of the CSV.

    `unit` is what costs count.
    """
    rounded = table.apply(lambda column: column.map(_costly if column.name in COSTS else _short))
    csv = write_csv(table, path.with_suffix(".csv"))
    _write_markdown(rounded, list(table), path)
    _write_latex(rounded.to_numpy(str).tolist(), list(table), path, unit)
    return csv


def _write_markdown(shown: pd.DataFrame, headers: Sequence[str], path: Path) -> None:
    text = tabulate(shown, headers, tablefmt="github", showindex=False, disable_numparse=True)
    path.with_suffix(".md").write_text(text + "\n")


def _write_latex(
    rows: Sequence[Sequence[str]], columns: Sequence[str], path: Path, unit: str = "", widths: str = ""
) -> None:
    study = path.resolve().parents[1].name
    path.with_suffix(".tex").write_text(latex(columns, rows, path.stem, study, unit, widths))


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


def write_forms_table(frame: pd.DataFrame, stem: Path) -> None:
    """Write a comparison of forms: `<stem>.csv` with all digits, `.md` and `.tex` with metrics rounded."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(stem.with_suffix(".csv"), index=False)
    shown = _rounded(frame)
    _write_markdown(shown, [_HEADERS.get(column, column) for column in frame.columns], stem)
    _write_latex(shown.to_numpy(str).tolist(), list(frame.columns), stem)


def write_formulas(frame: pd.DataFrame, stem: Path) -> None:
    """Write laws as formulas: `<stem>.csv`, `.md` to read, `.tex` to print what the column `tex` says."""
    write_csv(frame, stem.with_suffix(".csv"))
    shown = frame.drop(columns="tex")
    _write_markdown(shown, list(shown), stem)
    rows = [[row.target, row.form, f"${row.tex}$", row.units] for row in frame.itertuples()]
    _write_latex(rows, list(shown), stem, widths=r"llp{0.6\linewidth}l")  # a law has several lines


def _rounded(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame as text, metrics rounded, yes and nothing for flags."""
    columns = {}
    for name, column in frame.items():
        if name in _FORMATS:
            columns[name] = ["" if math.isnan(value) else _FORMATS[name].format(value) for value in column]
        elif column.dtype == bool:
            columns[name] = ["yes" if value else "" for value in column]
        else:
            columns[name] = [str(value) for value in column]
    return pd.DataFrame(columns)
