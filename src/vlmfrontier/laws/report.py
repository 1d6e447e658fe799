"""Results as people read them: a law in words, and tables as CSV, Markdown and LaTeX."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from tabulate import tabulate

from vlmfrontier.laws import formula
from vlmfrontier.laws.diagnostics import BOOTSTRAP, SANDWICH

if TYPE_CHECKING:
    from vlmfrontier.laws.fit import LawFit

_HEADERS = {"mse": "MSE", "e_pct": "E%", "r2": "R²"}
_FORMATS = {"mse": "{:.3g}", "e_pct": "{:.2f}", "r2": "{:.3f}"}  # the scale of an MSE is the target's own


def law_in_words(law: "LawFit") -> str:
    """Return formula, units, fit, doubts and lmfit's report of a law, as text."""
    units = [f"{name} in {unit:g}" for name, unit in law.units.items()]
    units += [f"n in {law.data_unit:g}"] if law.data_unit else []
    found = law.diagnostics
    lines = [
        f"{law.form.name} for {law.target}; {', '.join(units)}",
        formula.text(law.form),
        formula.text(law.form, law.parameters),
        f"objective {law.objective:.9g}, MSE {law.metrics['mse']:.4g}, E% {law.metrics['e_pct']:.3g}, "
        f"R² {law.metrics['r2']:.4f}, in sample",
        f"{found['starts']} starts; {_reached(found['hit_rate'])}",
        f"condition number {found['condition_number']:.3g}; least certain together: {found['flattest_direction']}",
        *(f"warning: {warning}" for warning in law.warnings),
    ]
    return "\n".join([*lines, "", *_standard_errors(law), "", law.report])


def _standard_errors(law: "LawFit") -> list[str]:
    """Return a line per parameter with its standard error, below one that says what these are."""
    lines = [f"parameters, and {errors_in_words(law)}"]
    for name, value in law.parameters.items():
        error = law.standard_errors.get(name)
        known = f"± {rounded_error(error)}" if error is not None else f"(no standard error: {missing_error(law, name)})"
        lines.append(f"  {name} = {value:.4g} {known}")
    return lines


def rounded_error(error: float) -> str:
    """Return a standard error with two digits, as a plain number where that is not long: `0.015`, `2000`."""
    return f"{float(f'{error:.2g}'):.0f}" if 100 <= error < 1e6 else f"{error:.2g}"


def errors_in_words(law: "LawFit") -> str:
    """Return what a law's standard errors are."""
    source = str(law.diagnostics.get("standard_errors", ""))
    kinds = {SANDWICH: "by the sandwich formula", BOOTSTRAP: "of the bootstrap: standard deviations over"}
    kind = next((words for name, words in kinds.items() if source.startswith(name)), "")
    return f"standard errors {kind}{source.partition(',')[2]}".rstrip()


def missing_error(law: "LawFit", name: str) -> str:
    """Return why a parameter has no standard error."""
    for key, words in (("at_bound", "at its bound"), ("vanished_terms", "vanished")):
        if name in law.diagnostics.get(key, []):
            return words
    return "not determined"


def _reached(hit_rate: float) -> str:
    if hit_rate == 0:
        return "none of the last descents ended in this minimum, to which fits of resamples led"
    return f"{hit_rate:.0%} of the last descents ended in this minimum"


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
            columns[name] = ["" if math.isnan(value) else _FORMATS[name].format(value) for value in column]
        elif column.dtype == bool:
            columns[name] = ["yes" if value else "" for value in column]
        else:
            columns[name] = [str(value) for value in column]
    return pd.DataFrame(columns)
