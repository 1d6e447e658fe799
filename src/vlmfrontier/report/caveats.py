"""The recommendation in words, and what makes a study's results less sure than they look: read first, said first."""

from collections.abc import Iterator

from vlmfrontier.figures.outline import Outline
from vlmfrontier.frontier.sentences import two_lines
from vlmfrontier.frontier.space import INSIDE
from vlmfrontier.report.study_report import StudyReport
from vlmfrontier.units import format_percentage, format_share

LIKELY = 0.5
"""A recommendation that fewer models than this share find good enough is a guess among rivals."""
NO_COST = (
    'The study gives no cost, so that there is no frontier; give for example `cost: {expression: "N * (50 + V)"}`.'
)
EXAMPLES_NAMED = 4
"""How many failed runs, or poorly fitted targets, are named in a sentence."""


def caveats(report: StudyReport) -> list[str]:
    """Return a sentence for everything in a study that is missing, failed, poor, narrow or extrapolated."""
    aside = [f"Not shown: {reason}." for reason in report.set_aside]
    return [*_runs(report), *aside, *_narrow(report), *_fits(report), *_frontier(report)]


def recommended(report: StudyReport) -> tuple[str, str]:
    """Return the recommendation in two lines; the second says so if the law that it rests on fits poorly."""
    deploy, sure = two_lines(report.answer)
    poor = report.has_laws and _r2(report, report.main, "cv") < report.study.laws.poor_fit
    return deploy, f"{sure}; poor fit: R² {_r2(report, report.main, 'cv'):.2f} on runs left out" if poor else sure


def _runs(report: StudyReport) -> Iterator[str]:
    if report.failed:
        names = _named([f"`{run.key}`" for run, _ in report.failed])
        verb = "are" if len(report.failed) > 1 else "is"
        yield f"{len(report.failed)} of {len(report.runs)} runs failed and {verb} in no law: {names}."
    if report.undone:
        verb = "have" if len(report.undone) > 1 else "has"
        yield f"{len(report.undone)} of {len(report.runs)} runs {verb} no result yet."
    for job, reason in report.failed_jobs.items():
        yield f"The job {job} failed: {reason.removeprefix('error: ')}"
    if not report.has_table:
        yield "The table of runs, `runs.csv`, has not been made, so that there are no laws and no frontier yet."
    elif not report.has_laws:
        yield "The laws have not been fitted, so that there is no frontier yet."


def _narrow(report: StudyReport) -> Iterator[str]:
    factors, targets = report.study.factors(), report.study.targets()
    if report.has_table and report.results.table.has_data is False:
        yield "The table has no data size n: how x* moves with n is not known."
    if report.has_table and len(factors) == 1:
        yield f"Only {factors[0]} was varied: what other factors could gain is not known."
    if report.has_table and len(targets) == 1:
        yield f"Only {targets[0]} was measured: another task may ask for another configuration."


def _fits(report: StudyReport) -> Iterator[str]:
    if not report.has_laws:
        return
    least = report.study.laws.poor_fit
    poor = [target for target in report.study.targets() if _r2(report, target, "cv") < least]
    said = {report.main} if report.has_frontier else set()  # beside its answer
    if others := [target for target in poor if target not in said]:
        scores = [f"{target} (R² {_r2(report, target, 'cv'):.2f})" for target in others]
        share = f"{least:.0%} of the variance"
        yield f"Poor fit: the law explains less than {share} of left-out runs of {_named(scores)}."
    worthless = [target for target in poor if _r2(report, target, "cv") < 0]
    if worthless:
        mean = "Below an R² of 0 the mean of the runs predicts better than the law"
        yield f"{mean}: do not rely on it for {_named(worthless)}."
    beyond = report.score(report.main, "extrapolation")
    if beyond is None:
        yield (
            "No runs were held out of the fit (`split`), such as isoFLOP runs: how the law ranks configurations of "
            "equal cost is judged by cross-validation alone."
        )
    elif beyond["r2"] < least:
        off = f"off by {format_percentage(beyond['e_pct'], 1)}% on average"
        yield (
            f"Fitted without the runs that `split` keeps apart, the law of {report.main} predicts them with R² "
            f"{beyond['r2']:.2f} and is {off}: on such runs it is less reliable than its fit suggests."
        )


def _r2(report: StudyReport, target: str, setup: str) -> float:
    return report.score(target, setup)["r2"]


def _frontier(report: StudyReport) -> Iterator[str]:
    if report.results.cost is None:
        yield NO_COST
    if not report.has_frontier:
        return
    outline = Outline.of(report.study, report.results.table)
    if len(outline.varied) > 1 and not outline.has_rivals:
        yield (
            "No budget has runs of three or more configurations of equal cost and n, such as isoFLOP runs: which of "
            "them is best rests on the law alone."
        )
    outside = (report.frontier.extrapolates != INSIDE).mean()
    if outside > 0:
        yield f"{format_share(outside)} of the frontier of {report.main} lies outside the runs and is extrapolated."
    if report.answer.choice.p_near < LIKELY:
        share = format_share(report.answer.choice.p_near)
        yield f"Only {share} of the fits find the recommendation near their best: read it as one of several rivals."


def _named(names: list[str]) -> str:
    """Return names in a sentence, the first few if they are many."""
    more = len(names) - EXAMPLES_NAMED
    shown = ", ".join(names[:EXAMPLES_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown
