"""The report of a study: one page, in two formats, that reads like a short paper on the user's own study.

Figures and their captions stand in it. `snakemake --report` renders a caption as a template when it makes its own
report: all captions of a study are one such template, which chooses by the rule.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from vlmfrontier.figures.catalogue import CATALOGUE, caption, left_out
from vlmfrontier.figures.outline import Outline
from vlmfrontier.frontier.law_free import in_words
from vlmfrontier.report.blocks import Block, Heading, Items, More, Picture, Text, markdown
from vlmfrontier.report.caveats import recommended
from vlmfrontier.report.checkpoint_section import checkpoint
from vlmfrontier.report.first_page import first_page
from vlmfrontier.report.frontier_section import frontier, movement, next_steps, recommendation, regret
from vlmfrontier.report.html_page import page
from vlmfrontier.report.laws_section import laws
from vlmfrontier.report.recommendation import write_recommendation
from vlmfrontier.report.runs_section import measures, provenance, runs
from vlmfrontier.report.study_report import StudyReport
from vlmfrontier.results import Results
from vlmfrontier.units import format_error, format_number, format_percentage


def write_report(results: Results) -> list[Path]:
    """Write `report.md`, `report.html`, `recommendation.yaml`, `captions/` and `figures/index.md` of a study.

    Returns the paths of the pages and, of a study with a cost, of `recommendation.yaml`.
    Whatever the study lacks is said in its place; nothing needs to have succeeded.
    """
    report = StudyReport(results)
    blocks = page_blocks(report)
    paths = [results.report_html.with_suffix(".md"), results.report_html]
    paths[0].write_text(markdown(blocks, results.root), encoding="utf-8")
    paths[1].write_text(page(blocks), encoding="utf-8")
    write_captions(report, results.captions)
    results.figures.mkdir(exist_ok=True)
    results.figures_index.write_text(index(report), encoding="utf-8")
    recommendation = write_recommendation(report)
    return [*paths, *([recommendation] if recommendation else [])]


def page_blocks(report: StudyReport) -> list[Block]:
    """Return the whole page."""
    return [
        *first_page(report),
        *measures(report),
        *runs(report),
        *figure_section(report, "runs"),
        *laws(report),
        *figure_section(report, "laws"),
        *recommendation(report),
        *frontier(report),
        *figure_section(report, "frontier"),
        *checkpoint(report),
        *figure_section(report, "checkpoint"),
        *regret(report),
        *figure_section(report, "regret"),
        *next_steps(report),
        *provenance(report),
        *figures_left_out(report),
    ]


def figures(report: StudyReport, of: str | None = None) -> dict[str, Picture]:
    """Return the figures of a section of the report, or all, by name: those that apply to the study and are drawn."""
    without = not_drawn(report) | report.outdated_figures
    if report.outdated_sections:  # pictures of another configuration
        without = without | {name: "" for name, entry in CATALOGUE.items() if entry.section in report.outdated_sections}
    return {
        name: Picture(path, f"{caption(name, report.study, report.main)} [Its numbers](figures/{name}.csv).")
        for name, entry in CATALOGUE.items()
        if of in (None, entry.section) and name not in without and (path := report.results.figure(name)).exists()
    }


def figure_section(report: StudyReport, name: str) -> list[Block]:
    """Return the figures of a section: the main ones, and the others to be opened."""
    found = figures(report, name)
    main = [picture for figure, picture in found.items() if CATALOGUE[figure].main]
    others = {figure: picture for figure, picture in found.items() if not CATALOGUE[figure].main}
    more = [More(f"More figures: {', '.join(others)}", tuple(others.values()))] if others else []
    return [*main, *more]


def not_drawn(report: StudyReport) -> dict[str, str]:
    """Return for every figure that does not apply to the study why not; none before there is a table of runs."""
    return left_out(Outline.of(report.study, report.results.table)) if report.has_table else {}


def figures_left_out(report: StudyReport) -> list[Block]:
    """Return what the study has no figure of, and why."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in not_drawn(report).items():
        by_reason.setdefault(reason, []).append(f"`{name}`")
    if not by_reason:
        return []
    items = tuple(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())
    return [Heading("Figures left out", level=3), Text("Nothing to show in this study:"), Items(items)]


def index(report: StudyReport) -> str:
    """Return the page that lists the figures beside them, with their captions."""
    entries = [
        f"![{name}]({name}.png)\n\n{picture.caption.replace('(figures/', '(')}\n"
        for name, picture in figures(report).items()
    ]
    return "\n".join(entries)


def write_captions(report: StudyReport, folder: Path) -> None:
    """Write what each result shows, as reStructuredText, into `folder`/<result>.rst.

    Snakemake renders them as templates when it makes its report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in [*_figures(report), *_pages_and_tables(report)]:
        (folder / f"{name}.rst").write_text(f"{{% raw %}}\n{_escaped(text)}\n{{% endraw %}}\n", encoding="utf-8")


def _figures(report: StudyReport) -> Iterator[tuple[str, str]]:
    """Yield name and caption of every figure: what it shows, and the numbers it stands for."""
    numbers = {"laws": _fit, "frontier": _deploy, "checkpoint": _deploy, "regret": _losses}
    special = {"elasticity": _moves, "elasticity-budget": _moves}
    for name in figures(report):
        stated = special.get(name) or numbers.get(CATALOGUE[name].section, _measured)
        yield name, f"{caption(name, report.study, report.main)} {stated(report)}"


def _pages_and_tables(report: StudyReport) -> Iterator[tuple[str, str]]:
    yield "report", f"The report of the study. {_deploy(report)}"
    yield "explorer", f"The frontier, interactive, for any budget and n. {_deploy(report)}"
    yield "forms", f"How every form predicts, in sample and for runs it has not seen. {_fit(report)}"
    yield "elasticity", f"How x* moves with n. {_moves(report)}"
    yield "checks", f"The checks of a reproduction. {_verdicts(report)}"
    yield "law_free", f"What runs of equal cost say without a law, beside it. {_contradictions(report)}"
    yield "regret", f"What simpler rules lose against the frontier. {_losses(report)}"


def _measured(report: StudyReport) -> str:
    error = report.results.table.measured(report.main).error(report.main)
    return f"{len(error)} runs, {report.error_name(report.main)} from {error.min():.4g} to {error.max():.4g}."


def _fit(report: StudyReport) -> str:
    if not report.has_laws:
        return "The laws have not been fitted yet."
    left_out = report.score(report.main, "cv")
    error = report.error_name(report.main)
    off = f"off by {format_percentage(left_out['e_pct'])}% of the {error} on average"
    return f"On left-out runs {left_out['form']} is {off}, R² {left_out['r2']:.3f}."


def _deploy(report: StudyReport) -> str:
    return f"{'; '.join(recommended(report))}." if report.has_frontier else "There is no frontier yet."


def _moves(report: StudyReport) -> str:
    return " ".join(block.text for block in movement(report) if isinstance(block, Text))


def _verdicts(report: StudyReport) -> str:
    if report.checks is None:
        return ""
    named = report.checks.groupby(["check", "form", "factor"], dropna=False, sort=False).verdict.first()
    return "; ".join(
        f"{', '.join(name for name in names if isinstance(name, str))}: {said}" for names, said in named.items()
    )


def _contradictions(report: StudyReport) -> str:
    rows = report.results.law_free(report.main) if report.has_frontier else pd.DataFrame()
    named = (f"{format_number(row.c)}: {in_words(row._asdict())}" for row in rows.itertuples())
    return "; ".join(named)


def _losses(report: StudyReport) -> str:
    if report.regret is None:
        return ""
    mean = report.regret.groupby("rule").mean_regret.mean()
    scaled = mean[mean.index.str.startswith("scale ")].sort_values()
    return "; ".join(f"{rule}: {format_error(loss)} points on average" for rule, loss in scaled.items())


def _escaped(text: str) -> str:
    """Return text in which no character means anything to reStructuredText."""
    return re.sub(r"([\\*`_|])", r"\\\1", text)
