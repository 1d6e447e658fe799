"""Captions for `snakemake --report`: what a result shows, with its numbers.

Snakemake renders a caption as a template when it makes the report. All captions of a study are one such template, which
chooses by the rule.
"""

import json
import re
from collections.abc import Iterator

from vlmfrontier.figures.catalogue import CATALOGUE, caption
from vlmfrontier.report.blocks import Text
from vlmfrontier.report.doubts import recommended
from vlmfrontier.report.drawn import figures
from vlmfrontier.report.frontier_section import movement
from vlmfrontier.report.known import Known
from vlmfrontier.units import format_error, format_percentage

_TEMPLATE = """\
{{% set captions = {captions} %}}
{{{{ captions.get(snakemake.rule, "") }}}}
"""


def captions_template(known: Known) -> str:
    """Return the template: reStructuredText that says for each result what it shows."""
    captions = {name: _escaped(text) for name, text in [*_figures(known), *_rules(known)] if text}
    return _TEMPLATE.format(captions=json.dumps(captions, ensure_ascii=False, indent=1))


def _figures(known: Known) -> Iterator[tuple[str, str]]:
    """Yield rule and caption of every figure: what it shows, and the numbers it stands for."""
    numbers = {"laws": _fit, "frontier": _deploy, "regret": _losses}
    special = {"elasticity": _moves, "elasticity-budget": _moves}
    for name in figures(known):
        stated = special.get(name) or numbers.get(CATALOGUE[name].section, _measured)
        yield f"figure_{name.replace('-', '_')}", f"{caption(name, known.study, known.main)} {stated(known)}"


def _rules(known: Known) -> Iterator[tuple[str, str]]:
    yield "write_report", f"The study as a page to read. {_deploy(known)}"
    yield "write_explorer", f"The frontier to play with, for any budget and n. {_deploy(known)}"
    yield "forms_table", f"How every form predicts, in sample and for runs it has not seen. {_fit(known)}"
    yield "elasticity", f"How x* moves with n. {_moves(known)}"
    yield "checks", f"The checks of a reproduction. {_verdicts(known)}"
    yield "regret", f"What simpler rules lose against the frontier. {_losses(known)}"


def _measured(known: Known) -> str:
    error = known.results.table.measured(known.main).error(known.main)
    return f"{len(error)} runs, {known.error_name(known.main)} from {error.min():.4g} to {error.max():.4g}."


def _fit(known: Known) -> str:
    if not known.has_laws:
        return "The laws have not been fitted yet."
    left_out = known.score(known.main, "cv")
    error = known.error_name(known.main)
    off = f"off by {format_percentage(left_out['e_pct'])}% of the {error} on average"
    return f"On left-out runs {left_out['form']} is {off}, R² {left_out['r2']:.3f}."


def _deploy(known: Known) -> str:
    return f"{'; '.join(recommended(known))}." if known.has_frontier else "There is no frontier yet."


def _moves(known: Known) -> str:
    return " ".join(block.text for block in movement(known) if isinstance(block, Text))


def _verdicts(known: Known) -> str:
    if known.checks is None:
        return ""
    named = known.checks.groupby(["check", "form", "factor"], dropna=False, sort=False).verdict.first()
    return "; ".join(
        f"{', '.join(name for name in names if isinstance(name, str))}: {said}" for names, said in named.items()
    )


def _losses(known: Known) -> str:
    if known.regret is None:
        return ""
    mean = known.regret.groupby("rule").mean_regret.mean()
    scaled = mean[mean.index.str.startswith("scale ")].sort_values()
    return "; ".join(f"{rule}: {format_error(loss)} points on average" for rule, loss in scaled.items())


def _escaped(text: str) -> str:
    """Return text in which no character means anything to reStructuredText."""
    return re.sub(r"([\\*`_|])", r"\\\1", text)
