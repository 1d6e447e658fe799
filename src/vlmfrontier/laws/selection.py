"""Which form to believe: every form judged on rows it has not seen, weights for a pool, and a rule for one choice.

The rule walks from the form with fewest parameters to the one with most. A richer form replaces the current choice only
if it predicts left-out rows better by more than one standard error of the paired difference, and if it does not predict
the rows outside the split worse by more than that. Ties go to the simpler form.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.laws.fit import LawFit, fit
from vlmfrontier.laws.forms import FORMS
from vlmfrontier.laws.metrics import metrics
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.laws.validation import cross_validated, extrapolated, leave_one_out
from vlmfrontier.progress import Progress
from vlmfrontier.study.laws import LawsConfig

_REWEIGHTINGS = 400


@dataclass(frozen=True)
class Evidence:
    """f̂ of one form: all rows in the fit, left out by fold and one by one; rows outside the split."""

    train: np.ndarray
    cv: np.ndarray
    loco: np.ndarray
    extrapolation: np.ndarray | None


@dataclass(frozen=True)
class Comparison:
    """The forms of one target, compared."""

    target: str
    rows: pd.DataFrame
    """target, form, setup (train, cv, loco, extrapolation), mse, e_pct, r2, chosen."""
    weights: dict[str, float]
    """Pseudo-BMA+ weights of the forms, from cross-validation."""
    chosen: str
    reason: str
    warnings: list[str]
    predictions: pd.DataFrame
    """run, form, setup, measured, predicted: every row of the table under every form and setup."""


def compare_forms(
    table: ResultsTable,
    target: str,
    config: LawsConfig | None = None,
    laws: Mapping[str, LawFit] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Return how `config.forms` predict `target`, in and out of sample, and which one is chosen.

    `laws` are their fits to the whole table, if at hand.
    """
    config = config or LawsConfig()
    laws = laws or {form: fit(table, form, target, config, threads) for form in config.forms}
    evidence = {}
    for form in by_size(config.forms):
        if progress is not None:
            progress(f"judge {form} on runs left out")
        evidence[form] = _evidence(table, laws[form], config, threads)
    chosen, reason = choose(table, target, evidence)
    rows = [row for form in evidence for row in _rows(table, target, form, evidence[form], config)]
    warnings = _poor_fit(table, target, chosen, evidence[chosen], config)
    warnings += _not_extrapolated(table, evidence)
    return Comparison(
        target=target,
        rows=pd.DataFrame(rows).assign(chosen=lambda frame: frame.form == chosen),
        weights=pseudo_bma(table, target, evidence, config),
        chosen=chosen,
        reason=reason,
        warnings=warnings,
        predictions=pd.concat(
            [_predictions(table, target, form, each) for form, each in evidence.items()], ignore_index=True
        ),
    )


def chosen_form(folder: Path) -> str:
    """Return the form that was chosen for the target whose laws are in `folder`. Raises `UserError` before the fit."""
    path = folder / "forms.csv"
    if not path.exists():
        raise UserError(f"{path}: no such file; run scripts/fit.py --target {folder.name} first")
    forms = pd.read_csv(path)
    return str(forms.form[forms.chosen].iloc[0])


def by_size(forms: list[str]) -> list[str]:
    """Return the forms from fewest terms to most."""
    return sorted(forms, key=list(FORMS).index)


def choose(table: ResultsTable, target: str, evidence: Mapping[str, Evidence]) -> tuple[str, str]:
    """Return the form chosen by this module's rule, and why. `evidence` goes from few terms to many."""
    forms = list(evidence)
    chosen, reasons = forms[0], []
    for form in forms[1:]:
        gain = _gain(table, target, evidence[chosen], evidence[form], "cv")
        loss = _gain(table, target, evidence[form], evidence[chosen], "extrapolation")
        if gain <= 0:
            reasons.append(f"{form} does not predict left-out rows better than {chosen} by a standard error")
        elif loss > 0:
            reasons.append(f"{form} predicts left-out rows better than {chosen}, but the rows outside the split worse")
        else:
            reasons.append(f"{form} predicts left-out rows better than {chosen}")
            chosen = form
    return chosen, "; ".join(reasons) or "the only form"


def pseudo_bma(
    table: ResultsTable, target: str, evidence: Mapping[str, Evidence], config: LawsConfig
) -> dict[str, float]:
    """Return the pseudo-BMA+ weight of every form: softmax of −m/2 · log MSE of left-out log errors, averaged over
    Dirichlet reweightings of the rows, so that a lead that hangs on few rows counts for little."""
    squared = np.stack([_squared(table, target, each, "cv") for each in evidence.values()])
    rows = squared.shape[1]
    reweighted = np.random.default_rng([config.seed, 6]).dirichlet(np.ones(rows), _REWEIGHTINGS)
    score = -0.5 * rows * np.log(squared @ reweighted.T)
    share = np.exp(score - score.max(axis=0))
    return dict(zip(evidence, map(float, (share / share.sum(axis=0)).mean(axis=1)), strict=True))


def _evidence(table: ResultsTable, law: LawFit, config: LawsConfig, threads: int | None) -> Evidence:
    form, target, warm = law.form.name, law.target, law.theta[None]
    return Evidence(
        train=law.predict(table.points()),
        cv=cross_validated(table, form, target, config, warm, threads),
        loco=leave_one_out(table, form, target, config, warm, threads),
        extrapolation=None if table.split is None else extrapolated(table, form, target, config, threads),
    )


def _rows(table: ResultsTable, target: str, form: str, evidence: Evidence, config: LawsConfig) -> list[dict]:
    """Return the form's lines of `tables/forms.csv`; a setup that could not be run has none."""
    rows = []
    for setup in ("train", "cv", "loco", "extrapolation"):
        predicted = getattr(evidence, setup)
        if predicted is not None:
            measured = _measured(table, target, setup)
            rows.append(
                {"target": target, "form": form, "setup": setup, **metrics(predicted, measured, config.percentage)}
            )
    return rows


def _predictions(table: ResultsTable, target: str, form: str, evidence: Evidence) -> pd.DataFrame:
    """Return what a form predicts for every row beside what was measured, setup by setup."""
    parts = []
    for setup in ("train", "cv", "loco", "extrapolation"):
        predicted = getattr(evidence, setup)
        if predicted is not None:
            shown = ~table.split if setup == "extrapolation" else np.ones(len(table), bool)
            names = np.array(table.names)[shown]
            columns = {"run": names, "form": form, "setup": setup, "measured": table.error(target)[shown]}
            parts.append(pd.DataFrame({**columns, "predicted": predicted}))
    return pd.concat(parts, ignore_index=True)


def _measured(table: ResultsTable, target: str, setup: str) -> np.ndarray:
    return table.error(target)[~table.split] if setup == "extrapolation" else table.error(target)


def _squared(table: ResultsTable, target: str, evidence: Evidence, setup: str) -> np.ndarray:
    """Return squared log errors of the predictions of one setup."""
    return (np.log(getattr(evidence, setup)) - np.log(_measured(table, target, setup))) ** 2


def _gain(table: ResultsTable, target: str, current: Evidence, richer: Evidence, setup: str) -> float:
    """Return by how much `richer` beats `current` beyond one standard error; 0 if either was not run.

    The standard error is over configurations, whose seeds are no independent evidence.
    """
    if getattr(current, setup) is None or getattr(richer, setup) is None:
        return 0.0
    difference = _squared(table, target, current, setup) - _squared(table, target, richer, setup)
    configuration = table.configuration[~table.split] if setup == "extrapolation" else table.configuration
    _, position, count = np.unique(configuration, return_inverse=True, return_counts=True)
    mean = np.bincount(position, difference) / count
    if len(mean) < 2:
        return float(mean[0])
    return float(mean.mean() - mean.std(ddof=1) / np.sqrt(len(mean)))


def _poor_fit(table: ResultsTable, target: str, chosen: str, evidence: Evidence, config: LawsConfig) -> list[str]:
    r2 = metrics(evidence.cv, table.error(target))["r2"]
    if r2 >= config.poor_fit:
        return []
    return [
        f"poor_fit: the best form for {target}, {chosen}, explains R² {r2:.2f} of rows it has not seen (below "
        f"{config.poor_fit:g}); no form fits these data, do not rely on its predictions"
    ]


def _not_extrapolated(table: ResultsTable, evidence: Mapping[str, Evidence]) -> list[str]:
    """Return a warning if the split leaves too few rows to fit some form on."""
    forms = [form for form, each in evidence.items() if table.split is not None and each.extrapolation is None]
    if not forms:
        return []
    return [f"no_extrapolation: the split's {table.split.sum()} rows cannot carry {', '.join(forms)}; not judged on it"]
