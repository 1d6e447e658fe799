"""Which laws were found, what they look like, and how well they hold."""

import re
from collections.abc import Iterator

import pandas as pd

from vlmfrontier.frontier.law_free import in_words
from vlmfrontier.laws.fit import LawFit
from vlmfrontier.laws.words import errors_in_words, formula, missing_error, rounded_error, units_in_words
from vlmfrontier.report.blocks import Block, Caution, Heading, Lines, Text, table
from vlmfrontier.report.study_report import StudyReport
from vlmfrontier.units import (
    format_configuration,
    format_count,
    format_error,
    format_number,
    format_percentage,
    format_range,
    format_share,
)

SETUPS = {"train": "in sample", "cv": "left out", "extrapolation": "beyond the split"}
"""The setups that are shown, and what they are called."""


def best_form(report: StudyReport) -> str:
    """Return in a sentence which form the main target's law has, and if another one has more weight, which."""
    form, weights = report.law(report.main).form.name, report.weights(report.main)
    error, heaviest = report.error_name(report.main), max(weights, key=lambda name: weights[name])
    if weights[heaviest] <= weights[form]:
        return f"The {error} follows `{form}` best, of {_forms(report)}."
    return (
        f"The law shown for {error} is `{form}`, the simplest form that the runs do not rule out: it has "
        f"{format_share(weights[form])} of the pool, `{heaviest}` has {format_share(weights[heaviest])}."
    )


def left_out(report: StudyReport) -> str:
    """Return in a sentence how the main target's law does on runs that it was not fitted to."""
    score = report.score(report.main, "cv")
    explained = (
        f"explains {format_share(score['r2'])} of the variance"
        if score["r2"] >= 0
        else "predicts worse than their mean"
    )
    off = f"On runs left out of the fit it is off by {format_percentage(score['e_pct'], 1)}% on average"
    return f"{off} and {explained} (R² {score['r2']:.3f})."


def laws(report: StudyReport) -> Iterator[Block]:
    """Yield the chosen law of the main target with its warnings, the rival forms, and every target's law in a row."""
    yield Heading("The laws")
    if not report.has_laws:
        yield Caution("No laws have been fitted yet.")
        return
    law = report.law(report.main)
    yield Text(f"{best_form(report)} {left_out(report)}")
    yield Lines((formula(law.form), formula(law.form, law.parameters), _units(law)))
    for warning in law.warnings:
        yield Caution(warning_in_words(warning))
    yield _parameters(law)
    yield _rivals(report)
    if len(report.study.targets()) > 1:
        yield _by_target(report)


def _forms(report: StudyReport) -> str:
    forms = report.results.form_names
    return "one form alone" if len(forms) == 1 else f"{len(forms)} forms"


def _units(law: LawFit) -> str:
    units = units_in_words(law)
    return f"({units})" if units else "(all factors in units of one)"


def warning_in_words(warning: str) -> str:
    """Return a law's warning without the key it begins with: `at_bound: a_N at ±3 …` as `a_N at ±3 …`."""
    return re.sub(r"^[a-z_]+: ", "", warning)


def _parameters(law: LawFit) -> Block:
    told = {name: rounded_error(error) for name, error in law.standard_errors.items() if error is not None}
    rows = [
        (name, f"{value:.4g}", told.get(name) or missing_error(law, name)) for name, value in law.parameters.items()
    ]
    return table(
        ("parameter", "value", "standard error"),
        rows,
        f"Parameters of the law of {law.target}, with {errors_in_words(law)}. No standard error at a bound, of a "
        "vanished term, and for what the data do not determine.",
    )


def _rivals(report: StudyReport) -> Block:
    """Return how all forms of the main target do, as the paper's Table 2."""
    forms = report.forms[report.forms.target == report.main]
    judged = [setup for setup in SETUPS if (forms.setup == setup).any()]
    rows = []
    for form, scores in forms.groupby("form", sort=False):
        by_setup = scores.set_index("setup")
        # A form may have too many parameters for the runs inside the split.
        cells = [
            cell
            for setup in judged
            for cell in (_metrics(by_setup.loc[setup]) if setup in by_setup.index else ("", ""))
        ]
        rows.append((f"**{form}**" if by_setup.chosen.any() else form, *cells))
    heads = [head for setup in judged for head in (f"E% {SETUPS[setup]}", f"R² {SETUPS[setup]}")]
    return table(
        ("form", *heads), rows, f"All forms of {report.main}; the chosen one is bold. E%: mean relative error."
    )


def _metrics(row: pd.Series) -> tuple[str, str]:
    return format_percentage(row.e_pct), _r2(row.r2)


def _r2(value: float) -> str:
    """Return an R²; nothing where a single run was judged, which has no variance."""
    return "" if pd.isna(value) else f"{value:z.3f}"


def _by_target(report: StudyReport) -> Block:
    rows, least = [], report.study.laws.poor_fit
    for target in report.study.targets():
        left_out, beyond = report.score(target, "cv"), report.score(target, "extrapolation")
        judged = [score["r2"] for score in (left_out, beyond) if score is not None and pd.notna(score["r2"])]
        rows.append(
            (
                target,
                left_out["form"],
                format_percentage(left_out["e_pct"]),
                _r2(left_out["r2"]),
                "" if beyond is None else _r2(beyond["r2"]),
                "good" if min(judged) >= least else "poor",
            )
        )
    heads = ("target", "form", "E% left out", "R² left out", "R² beyond the split", "fit")
    return table(heads, rows, f"The chosen law of every target; poor: an R² below {least:g}.")


def law_free(report: StudyReport) -> Iterator[Block]:
    """Yield what measured runs of equal cost say without a law, beside x*; nothing where there are none."""
    rows = report.results.law_free(report.main) if report.has_frontier else pd.DataFrame()
    if rows.empty:
        return
    yield Heading("Without a law", level=3)
    largest, factors = report.answer.largest, report.study.factors()
    has_data = rows.n.notna().any()
    cells = [
        (
            *((format_count(row["n"]),) if has_data else ()),
            format_number(row["c"]),
            f"{row['as_good']} of {row['rivals']}",
            format_configuration({name: row[name] for name in factors}),
            f"{format_error(row['measured'])} ± {format_error(row['noise'])}",
            f"{format_error(row['predicted'], largest)} ({format_range(row['run_lo'], row['run_hi'], largest)})",
            format_configuration({name: row[f"law_{name}"] for name in factors}),
            in_words(row),
        )
        for row in rows.to_dict("records")
    ]
    heads = (
        *(("n",) if has_data else ()),
        f"budget ({report.results.space.unit})",
        "as good as the best",
        "best measured",
        "error",
        "law's prediction for it (a new run)",
        "x* of the law",
        "verdict",
    )
    yield table(
        heads,
        cells,
        f"Measured runs of equal cost and equal n, {report.main}. They confirm or contradict the law and do not "
        "replace it. As good: noise alone could have put it behind the best. An estimate without a law: "
        "`tables/law_free.csv`.",
    )
