"""How well a law holds: MSE, E% and R², and the whole of it in words."""

from typing import TYPE_CHECKING, Literal

import numpy as np

from vlmfrontier.laws.diagnostics import BOOTSTRAP, SANDWICH
from vlmfrontier.laws.forms import formula

if TYPE_CHECKING:
    from vlmfrontier.laws.fit import LawFit


def metrics(
    predicted: np.ndarray, measured: np.ndarray, percentage: Literal["error", "score"] = "error"
) -> dict[str, float]:
    """Return `mse` (squared units of the target), `e_pct` and `r2` of predictions (m,).

    `e_pct` is the mean of 100·|f̂ − f| / f, with f the error or the score 100 − error. `r2` is 1 − SS_res/SS_tot about
    the mean of `measured`, and so may be negative out of sample.
    """
    difference = predicted - measured
    denominator = measured if percentage == "error" else 100.0 - measured
    total = np.sum((measured - measured.mean()) ** 2)
    return {
        "mse": float(np.mean(difference**2)),
        "e_pct": float(100.0 * np.mean(np.abs(difference / denominator))),
        "r2": float(1.0 - np.sum(difference**2) / total) if total > 0 else float("nan"),
    }


def law_in_words(law: "LawFit") -> str:
    """Return formula, units, fit, doubts and lmfit's report of a law, as text."""
    units = [f"{name} in {unit:g}" for name, unit in law.units.items()]
    units += [f"n in {law.data_unit:g}"] if law.data_unit else []
    found = law.diagnostics
    lines = [
        f"{law.form.name} for {law.target}; {', '.join(units)}",
        formula(law.form),
        formula(law.form, law.parameters),
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
