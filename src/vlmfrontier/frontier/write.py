"""Tables as files."""

from pathlib import Path

import pandas as pd
from tabulate import tabulate

DIGITS = "%.10g"
"""Enough to reproduce every figure, and few enough that the last bits of a machine do not show."""


def write_csv(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as CSV and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format=DIGITS)
    return path


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as `path`.csv, .md and .tex, numbers rounded in the latter two; return the path of the CSV."""
    rounded = table.map(lambda cell: f"{cell:.3g}" if isinstance(cell, float) else str(cell)).replace("nan", "")
    csv = write_csv(table, path.with_suffix(".csv"))
    for suffix, style in ((".md", "github"), (".tex", "latex_booktabs")):
        text = tabulate(rounded, headers="keys", showindex=False, disable_numparse=True, tablefmt=style)
        path.with_suffix(suffix).write_text(text + "\n")
    return csv
