"""How much the protocol matters: the paper's Tables 8 (loss, starts, bounds, log space) and 9 (bagging) on a table."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.laws.bagging import Bag, bag, cross_validated, extrapolated
from vlmfrontier.laws.checks import settle
from vlmfrontier.laws.fit import fit, metrics, problem_for
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.progress import Progress
from vlmfrontier.study.analysis import LawsConfig

_SETTINGS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("loss", "huber", {"loss": "huber"}),
    ("loss", "mse", {"loss": "mse"}),
    ("initial", "zero", {"initial": "zero"}),
    ("initial", "random(100)", {"initial": "random", "starts": 100}),
    ("initial", "random(500)", {"initial": "random", "starts": 500}),
    ("positive_exponents", "main", {"positive_exponents": "main"}),
    ("positive_exponents", "yes", {"positive_exponents": True}),
    ("positive_exponents", "no", {"positive_exponents": False}),
    ("log_space", "no", {"log_space": False}),
    ("log_space", "yes", {"log_space": True}),
    ("exponent_bound", "3", {"exponent_bound": 3.0}),
    ("exponent_bound", "none", {"exponent_bound": None}),
)
SETTINGS = len(_SETTINGS)
"""How many settings `fitting_table` reports."""
_BAGS = ((1, "median"), (50, "median"), (100, "median"), (100, "mean"))


def main_form(table: ResultsTable, target: str, config: LawsConfig) -> str:
    """Return the form with most terms that the table can carry. Raises the last `UserError` if it carries none."""
    *richer, simplest = reversed(settle(table, config, target)[0].forms)
    for form in richer:
        try:
            problem_for(table, form, target, config)
            return form
        except UserError:
            continue
    problem_for(table, simplest, target, config)
    return simplest


def fitting_table(
    table: ResultsTable,
    target: str,
    config: LawsConfig,
    scipy_starts: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Return Table 8: target, form, ablation, level, setup (cv, extrapolation), mse, e_pct, r2.

    Every line changes one setting of `config`. Extrapolation is by the bag, as everywhere. With `scipy_starts`, the
    paper's own optimiser is added, by single fits of so few starts, which its level says.
    """
    table = table.measured(target)
    form = main_form(table, target, config)
    rows = []
    for ablation, level, changed in _SETTINGS:
        if progress is not None:
            progress(f"{ablation} {level}")
        setting = config.model_copy(update=changed)
        rows += [
            {"target": target, "form": form, "ablation": ablation, "level": level, **row}
            for row in _judged(table, form, target, setting, threads)
        ]
    if scipy_starts:
        setting = config.model_copy(update={"backend": "scipy", "starts": scipy_starts, "exponent_bound": None})
        level = f"scipy, {scipy_starts} starts, single fits"
        rows += [
            {"target": target, "form": form, "ablation": "backend", "level": level, **row}
            for row in _judged_singly(table, form, target, setting)
        ]
    return pd.DataFrame(rows)


def bagging_table(table: ResultsTable, target: str, config: LawsConfig, threads: int | None = None) -> pd.DataFrame:
    """Return Table 9: target, form, resamples, aggregate, setup (train, extrapolation), mse, e_pct, r2."""
    table = table.measured(target)
    form = main_form(table, target, config)
    setups = {"train": (table, table)}
    if table.split is not None:
        setups["extrapolation"] = (table.rows(table.split), table.rows(~table.split))
    config = config.model_copy(update={"resamples": max(count for count, _ in _BAGS)})
    rows = []
    for setup, (inside, judged) in setups.items():
        try:
            members = bag(inside, form, target, config, threads=threads)
        except UserError:  # too few rows inside the split for this form: no line, rather than a made-up one
            continue
        rows += [
            {"target": target, "form": form, "resamples": count, "aggregate": aggregate, "setup": setup, **found}
            for count, aggregate, found in _aggregated(members, judged, target, config)
        ]
    return pd.DataFrame(rows)


def _judged(
    table: ResultsTable, form: str, target: str, config: LawsConfig, threads: int | None
) -> Iterator[dict[str, Any]]:
    """Yield the metrics of one setting in cross-validation and in extrapolation."""
    error = table.error(target)
    yield {
        "setup": "cv",
        **metrics(cross_validated(table, form, target, config, threads=threads), error, config.percentage),
    }
    predicted = None if table.split is None else extrapolated(table, form, target, config, threads)
    if predicted is not None:
        yield {"setup": "extrapolation", **metrics(predicted, error[~table.split], config.percentage)}


def _judged_singly(table: ResultsTable, form: str, target: str, config: LawsConfig) -> Iterator[dict[str, Any]]:
    """Yield the same by single fits in the place of bags."""
    error = table.error(target)
    yield {"setup": "cv", **metrics(cross_validated(table, form, target, config), error, config.percentage)}
    if table.split is not None:
        law = fit(table.rows(table.split), form, target, config)
        predicted = law.predict(table.rows(~table.split).points())
        yield {"setup": "extrapolation", **metrics(predicted, error[~table.split], config.percentage)}


def _aggregated(
    members: Bag, judged: ResultsTable, target: str, config: LawsConfig
) -> Iterator[tuple[int, str, dict[str, float]]]:
    """Yield metrics of the first members of a bag, aggregated."""
    predicted = members.members(judged.points())
    for count, aggregate in _BAGS:
        together = getattr(np, aggregate)(predicted[:count], axis=0)
        yield count, aggregate, metrics(together, judged.error(target), config.percentage)
