"""What makes a study's results less sure than they look: read first, said first."""

from collections.abc import Iterator

from vlmfrontier.figures.catalogue import Outline
from vlmfrontier.frontier.checks import EXTRAPOLATION_R2
from vlmfrontier.frontier.space import INSIDE
from vlmfrontier.report.known import Known
from vlmfrontier.report.words import two_lines
from vlmfrontier.units import format_percentage, format_share

LIKELY = 0.5
"""A recommendation that fewer models than this share find good enough is a guess among rivals."""
NO_COST = (
    'The study gives no cost, so that there is no frontier; give for example `cost: {expression: "N * (50 + V)"}`.'
)
EXAMPLES_NAMED = 4
"""How many failed runs, or poorly fitted targets, are named in a sentence."""


def doubts(known: Known) -> list[str]:
    """Return a sentence for everything that is missing, failed, poor, narrow or extrapolated; none if nothing is."""
    aside = [f"Not shown: {reason}." for reason in known.set_aside]
    return [*_runs(known), *aside, *_narrow(known), *_fits(known), *_frontier(known)]


def recommended(known: Known) -> tuple[str, str]:
    """Return the recommendation in two lines; the second says so if the law that it rests on fits poorly."""
    deploy, sure = two_lines(known.answer)
    poor = known.has_laws and _r2(known, known.main, "cv") < EXTRAPOLATION_R2
    return deploy, f"{sure}; poor fit: R² {_r2(known, known.main, 'cv'):.2f} on runs left out" if poor else sure


def _runs(known: Known) -> Iterator[str]:
    if known.failed:
        names = _named([f"`{run.key}`" for run, _ in known.failed])
        yield f"{len(known.failed)} of {len(known.runs)} runs failed and are in no law: {names}."
    if known.undone:
        yield f"{len(known.undone)} of {len(known.runs)} runs have no result yet."
    for job, reason in known.failed_jobs.items():
        yield f"The job {job} failed: {reason.removeprefix('error: ')}"
    if not known.has_table:
        yield "The table of runs, `runs.csv`, has not been made, so that there are no laws and no frontier yet."
    elif not known.has_laws:
        yield "The laws have not been fitted, so that there is no frontier yet."


def _narrow(known: Known) -> Iterator[str]:
    factors, targets = known.study.factors(), known.study.targets()
    if known.has_table and known.results.table.has_data is False:
        yield "The table has no data size: nothing is said about how x* moves with it."
    if known.has_table and len(factors) == 1:
        yield f"Only {factors[0]} was varied: what it costs to leave the other factors as they are is not known."
    if known.has_table and len(targets) == 1:
        yield f"Only {targets[0]} was measured: another task may ask for another configuration."


def _fits(known: Known) -> Iterator[str]:
    if not known.has_laws:
        return
    poor = [target for target in known.study.targets() if _r2(known, target, "cv") < EXTRAPOLATION_R2]
    if poor:
        scores = [f"{target} (R² {_r2(known, target, 'cv'):.2f})" for target in poor]
        share = f"{EXTRAPOLATION_R2:.0%} of the variance"
        yield f"Poor fit: the law explains less than {share} of left-out runs of {_named(scores)}."
    worthless = [target for target in poor if _r2(known, target, "cv") < 0]
    if worthless:
        mean = "Below an R² of 0 the mean of the runs predicts better than the law"
        yield f"{mean}: do not rely on it for {_named(worthless)}."
    beyond = known.score(known.main, "extrapolation")
    if beyond is None:
        yield (
            "No runs were kept apart from the fit (`split`), such as isoFLOP runs: how the law does among rivals of "
            "equal cost is judged by cross-validation alone."
        )
    elif beyond["r2"] < EXTRAPOLATION_R2:
        off = f"off by {format_percentage(beyond['e_pct'], 1)}% on average"
        yield (
            f"Fitted without the runs that `split` keeps apart, the law of {known.main} predicts them with R² "
            f"{beyond['r2']:.2f} and is {off}: on such runs it is less reliable than its fit looks."
        )


def _r2(known: Known, target: str, setup: str) -> float:
    return known.score(target, setup)["r2"]


def _frontier(known: Known) -> Iterator[str]:
    if known.results.cost is None:
        yield NO_COST
    if not known.has_frontier:
        return
    outline = Outline.of(known.study, known.results.table)
    if len(outline.varied) > 1 and not outline.has_rivals:
        yield (
            "No budget has runs of three or more configurations at equal cost and equal n, as isoFLOP runs are: "
            "which of several rivals of equal cost is best rests on the law alone."
        )
    outside = (known.frontier.extrapolates != INSIDE).mean()
    if outside > 0:
        yield f"{format_share(outside)} of the frontier of {known.main} lies outside the runs and is extrapolated."
    if known.answer.choice.p_near < LIKELY:
        share = f"only {format_share(known.answer.choice.p_near)} of the models"
        yield f"On the recommendation {share} agree within what is near enough: read it as one of several rivals."


def _named(names: list[str]) -> str:
    """Return names in a sentence, the first few if they are many."""
    more = len(names) - EXAMPLES_NAMED
    shown = ", ".join(names[:EXAMPLES_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown
