"""Tables as people read them: CSV, Markdown and LaTeX of one frame."""

from pathlib import Path

import pandas as pd
from tabulate import tabulate

_HEADERS = {"mse": "MSE", "e_pct": "E%", "r2": "R²"}
_FORMATS = {"mse": "{:.3g}", "e_pct": "{:.2f}", "r2": "{:.3f}"}  # the scale of an MSE is the target's own


def write_table(frame: pd.DataFrame, stem: Path) -> None:
    """Write `<stem>.csv` with all digits, and `.md` and `.tex` rounded."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(stem.with_suffix(".csv"), index=False)
    shown = _rounded(frame)
    headers = [_HEADERS.get(column, column) for column in frame.columns]
    stem.with_suffix(".md").write_text(
        tabulate(shown, headers, tablefmt="github", showindex=False, disable_numparse=True) + "\n"
    )
    headers = ["$R^2$" if header == "R²" else header.replace("%", r"\%").replace("_", r"\_") for header in headers]
    cells = [[str(cell).replace("_", r"\_").replace("%", r"\%") for cell in row] for row in shown.to_numpy()]
    latex = tabulate(cells, headers, tablefmt="latex_raw", showindex=False, disable_numparse=True)
    stem.with_suffix(".tex").write_text(latex + "\n")


def _rounded(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame as text, metrics rounded, yes and nothing for flags."""
    columns = {}
    for name, column in frame.items():
        if name in _FORMATS:
            columns[name] = [_FORMATS[name].format(value) for value in column]
        elif column.dtype == bool:
            columns[name] = ["yes" if value else "" for value in column]
        else:
            columns[name] = [str(value) for value in column]
    return pd.DataFrame(columns)
