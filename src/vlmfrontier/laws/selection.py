"""Which form to believe: every form fitted, bagged, and judged on rows that it has not seen; weights, and a rule.

The rule, for the law that is shown, for the pool and for warnings: the simplest form whose log score on runs left out
is within one standard error of the best form's. The score of a row is the log density of its log error under Student's
t with four degrees of freedom at the scale of the form's own left-out errors, so that one exploded fold costs what it
costs and no more; a row outside the split counts half as left out of its fold, half as predicted from the split. Sums
over configurations are compared in pairs. The pool weighs the forms by the same scores (pseudo-BMA+, Yao et al. 2018).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.laws.bagging import bag, cross_validated, extrapolated, leave_one_out
from vlmfrontier.laws.checks import refuse_low_ceiling, settle
from vlmfrontier.laws.fit import LawFit, fit, improved, metrics
from vlmfrontier.laws.forms import Form
from vlmfrontier.laws.steps import off_bounds
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.paths import LawsFolder
from vlmfrontier.progress import Progress, Silent
from vlmfrontier.records import again, read_frame
from vlmfrontier.study.analysis import LawsConfig

_REWEIGHTINGS = 400
_HALVINGS = 60
_FREEDOM = 4.0  # degrees of freedom of Student's t
_EXACT, _WORST = 1e-6, 1e6
"""Log errors count as at least and at most so much: below a millionth of the error rounding decides, and a prediction
that overflowed has no logarithm."""


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
    table = table.measured(target)
    config, notes = settle(table, config or LawsConfig(), target)
    laws = laws or {form: fit(table, form, target, config, threads) for form in config.forms}
    evidence = {}
    for form in config.forms:
        if progress is not None:
            progress(f"judge {form} on runs left out")
        evidence[form] = _evidence(table, laws[form], config, threads)
    scores = log_scores(table, target, evidence)
    weights = pseudo_bma(scores, config.seed)
    chosen, reason = choose(scores, {form: laws[form].form for form in evidence})
    rows = [row for form in evidence for row in _rows(table, target, form, evidence[form], config)]
    warnings = _poor_fit(table, target, chosen, evidence, config)
    warnings += [*_not_extrapolated(table, evidence), *(f"left_out: {note}" for note in notes)]
    return Comparison(
        target=target,
        rows=pd.DataFrame(rows).assign(chosen=lambda frame: frame.form == chosen),
        weights=weights,
        chosen=chosen,
        reason=reason,
        warnings=warnings,
        predictions=pd.concat(
            [_predictions(table, target, form, each) for form, each in evidence.items()], ignore_index=True
        ),
    )


def read_forms(path: Path) -> pd.DataFrame:
    """Return the comparison of forms of a target or of all. Raises `UserError` if it is not there or damaged.

    R² is empty where all measured values are equal, of which there is nothing to explain.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; run `snakemake laws` first")
    forms = read_frame(path, again("laws"), ["mse", "e_pct"], ["target", "form", "setup", "chosen"], may_lack=["r2"])
    if forms.chosen.dtype != bool or not forms.groupby("target").chosen.any().all():
        raise UserError(f"{path}: damaged: `chosen` must name one form of each target; {again('laws')}")
    return forms


Scores = Mapping[str, np.ndarray]
"""Log scores of every form, a sum for each configuration, (G,)."""


def log_scores(table: ResultsTable, target: str, evidence: Mapping[str, Evidence]) -> dict[str, np.ndarray]:
    """Return how well every form predicts what it has not seen: the sum of its rows' log scores per configuration."""
    judged = all(each.extrapolation is not None for each in evidence.values())
    measured, (_, unit) = table.error(target), np.unique(table.training, return_inverse=True)
    scores = {}
    for form, each in evidence.items():
        rows = _log_density(_log_error(each.cv, measured))
        if judged:
            beyond = ~table.split
            rows[beyond] = (rows[beyond] + _log_density(_log_error(each.extrapolation, measured[beyond]))) / 2
        scores[form] = np.bincount(unit, rows)
    return scores


def _log_error(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(np.nan_to_num(np.log(predicted) - np.log(measured), nan=_WORST), -_WORST, _WORST)


def _log_density(error: np.ndarray) -> np.ndarray:
    """Return the log density of errors under Student's t at the scale that is most likely for them, up to a constant.

    That scale solves mean((ν + 1)·r / (ν + r)) = 1 for r = error² / scale², which falls in it: halving finds it.
    """
    square = error**2 + _EXACT**2
    low, high = np.log(square.min()) - 3, np.log(square.max())
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        ratio = square / np.exp(middle)
        low, high = (middle, high) if np.mean((_FREEDOM + 1) * ratio / (_FREEDOM + ratio)) > 1 else (low, middle)
    return -0.5 * middle - 0.5 * (_FREEDOM + 1) * np.log1p(ratio / _FREEDOM)


def choose(scores: Scores, forms: Mapping[str, Form]) -> tuple[str, str]:
    """Return the form chosen by this module's rule, and why, in a sentence; fewer parameters are simpler."""
    names = sorted(scores, key=lambda name: forms[name].size)
    best = max(names, key=lambda name: scores[name].sum())
    if len(names) == 1:
        return best, "the only form"
    for name in names[: names.index(best)]:
        behind = scores[best] - scores[name]
        error = np.sqrt(len(behind)) * behind.std()
        if behind.sum() <= error:
            said = f"its log score is {behind.sum():.1f} below that of {best}, with a standard error of {error:.1f}"
            return name, f"it is the simplest form within one standard error of the best: {said}"
    return best, "it predicts runs left out best, and no simpler form is within one standard error"


def pseudo_bma(scores: Scores, seed: int) -> dict[str, float]:
    """Return the pseudo-BMA+ weight of every form: softmax of its score, averaged over Dirichlet reweightings of the
    configurations, so that a lead that hangs on few of them counts for little."""
    each = np.stack(list(scores.values()))
    units = each.shape[1]
    reweighted = np.random.default_rng([seed, 6]).dirichlet(np.ones(units), _REWEIGHTINGS)
    score = units * each @ reweighted.T
    share = np.exp(score - score.max(axis=0))
    return dict(zip(scores, map(float, (share / share.sum(axis=0)).mean(axis=1)), strict=True))


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


def _poor_fit(
    table: ResultsTable, target: str, chosen: str, evidence: Mapping[str, Evidence], config: LawsConfig
) -> list[str]:
    """Return a warning if the chosen form predicts rows that it has not seen badly; whether another does better."""
    r2 = {form: metrics(each.cv, table.error(target))["r2"] for form, each in evidence.items()}
    best = max(r2, key=lambda form: r2[form])
    if r2[chosen] >= config.poor_fit or np.isnan(r2[chosen]):  # not a number where all measured values are equal
        return []
    below = f"explains R² {r2[chosen]:.2f} of rows it has not seen (below {config.poor_fit:g})"
    if r2[best] < config.poor_fit:
        which = f"the {'best form' if chosen == best else 'form chosen'} for {target}, {chosen},"
        return [f"poor_fit: {which} {below}; no form fits these data, do not rely on its predictions"]
    return [
        f"poor_fit: the form chosen for {target}, {chosen}, {below}; {best} explains {r2[best]:.2f}, but these rows do "
        "not tell the two apart"
    ]


def _not_extrapolated(table: ResultsTable, evidence: Mapping[str, Evidence]) -> list[str]:
    """Return a warning if the split leaves too few rows to fit some form on."""
    forms = [form for form, each in evidence.items() if table.split is not None and each.extrapolation is None]
    if not forms:
        return []
    return [f"no_extrapolation: the split's {table.split.sum()} rows cannot carry {', '.join(forms)}; not judged on it"]


def fit_target(
    table: ResultsTable,
    target: str,
    config: LawsConfig,
    folder: LawsFolder,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Return the comparison of `config.forms`, after writing into `folder`:

    `<form>.json` (the law), `<form>.bag.csv` (pairs bootstrap), `weights.json`, `forms.csv`, `predictions.csv`.
    What is there of an older law in words goes.
    """
    progress = progress or Silent()
    folder.root.mkdir(parents=True, exist_ok=True)
    named, _ = settle(table, config, target)
    refuse_low_ceiling(table.measured(target), target, named)
    laws, bags = {}, {}
    for form in named.forms:
        progress(f"fit {form}")
        law = fit(table, form, target, config, threads)
        progress(f"bag {form}")
        bags[form] = bag(table, law, target, config, threads)
        # The paper's own protocol, `scipy`, knows no such help.
        laws[form] = improved(table, law, bags[form].theta, config) if config.backend == "numba" else law
    comparison = compare_forms(table, target, config, laws, threads, progress)
    for form, fitted in laws.items():
        shown = off_bounds(table, fitted, config) if config.positive_exponents == "main" else fitted
        law = bags[form].errors_of(shown)
        found = law.diagnostics | {"out_of_bag": bags[form].out_of_bag, "chosen": form == comparison.chosen}
        replace(law, diagnostics=found, warnings=law.warnings + comparison.warnings).save(folder.law(form))
        folder.words(form).unlink(missing_ok=True)
        bags[form].save(folder.bag(form))
    folder.weights.write_text(json.dumps(comparison.weights, indent=2) + "\n")
    comparison.rows.to_csv(folder.forms, index=False)
    comparison.predictions.to_csv(folder.predictions, index=False, float_format="%.10g")
    progress.done()
    return comparison


def steps_of(config: LawsConfig) -> int:
    """Return how many steps `fit_target` reports."""
    return 3 * config.form_count
