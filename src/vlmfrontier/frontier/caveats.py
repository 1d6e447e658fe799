"""What was measured beside an answer, and what makes it less sure: the same sentences in `query`, report and explorer.

Caveats are of two kinds: what holds for every answer of a target (a poor fit, a factor with two values), and what
depends on budget, n and x*. The explorer is given the sentences that depend on these with gaps, and fills them in as
this module does.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vlmfrontier.frontier.measured import Measured, Tested
from vlmfrontier.frontier.pool import TAILS, Target, TargetLaws
from vlmfrontier.frontier.space import RunRange, SearchSpace
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.units import format_configuration, format_count, format_error, format_number, format_range

if TYPE_CHECKING:
    from vlmfrontier.frontier.answers import Choice

DOUBT = 0.01
"""A run contradicts the law where it would lie so far off, by noise alone, in at most this share of the studies."""
SIDE = NormalDist().inv_cdf(TAILS[1])
"""Standard deviations from the middle of a 90% interval to its end."""

SURE = 0.9
"""From this posterior probability of a discrepancy on it is said that no form holds."""

SENTENCES = {
    "measured": "the recommendation itself was measured{mean}: {measured}, outside the {range} that a new run of it "
    "should measure",
    "better": "{x} was measured{mean} at {measured} and costs {cost} {unit}: better than the {f} predicted for the "
    "recommendation, by more than noise",
    "prediction above": "the law's own prediction is above {largest} and is capped",
    "range above": "the upper end of the law's range is above {largest} and is capped",
    "exhausted": "the budget affords the whole space (its dearest configuration costs {cost} {unit}): more budget "
    "cannot help",
    "itself": "the recommendation itself was measured{mean}: {measured}; a new run of it should measure {range}",
    "itself elsewhere": "the recommendation itself was measured{mean}: {measured}; it was not trained there",
    "not itself": "the recommendation itself was not measured{at}",
    "best": "the best run within the budget{at} ({x}{outside}) costs {cost} {unit} and measured {measured}{mean}; "
    "{verdict}",
    "best itself": "no run{at} within the budget measured better than it",
    "no best": "no run{at} lies within the budget",
}
"""Sentences with gaps, by what they are about."""
VERDICTS = {
    "better": "that is better than the {f} predicted for the recommendation, by more than noise: consider it instead",
    "lucky": "that is below the {f} predicted for the recommendation, but within noise{law}",
    "worse": "{f} is predicted for the recommendation",
}
"""What fills the gap `verdict`."""
LAW = ": the law, fitted to all runs, predicts {predicted} for it"
"""What fills the gap `law` where the law speaks of that run's configuration, too."""
OUTSIDE = ", not in the space"
"""What fills the gap `outside` of a configuration that may not be deployed."""
AT = " with n = {n}"
"""What fills the gap `at` where there is data size."""
MEAN = " (mean of {count} runs)"
"""What fills the gap `mean` where a configuration was run with several seeds."""
ELSEWHERE = {"one": " (a model trained at {trained})", "many": " (mean of {count} models trained at {trained})"}
"""What fills it where models were trained at other levels than they were tested at."""


def sentence(text: str) -> str:
    """Return a caveat as a sentence of its own: with a capital, unless it begins with a symbol, and a full stop."""
    word = text.split(maxsplit=1)[0]
    begun = text[:1].upper() + text[1:] if word.isalpha() and word.islower() and len(word) > 1 else text
    return begun if begun.endswith((".", "?", "!")) else f"{begun}."


def of_answer(
    target: Target, measured: Measured, choice: "Choice", budget: float, examples: float | None
) -> tuple[str, ...]:
    """Return a sentence for everything that makes the answer `choice` to budget and n less sure."""
    said = (
        *_outside_its_range(measured, choice, target.largest),
        *_better(measured, choice, target, budget),
        *above(choice.f, choice.f_hi, target.largest),
        *extrapolated(target.runs, choice.x, examples),
        *(at_end(target.space, name, choice.x[name]) for name in target.space.at_end(choice.x)),
        *exhausted(target.space, budget),
    )
    return tuple(map(sentence, said))


def of_measured(
    target: Target, measured: Measured, choice: "Choice", budget: float, examples: float | None
) -> tuple[str, str]:
    """Return what was measured of `choice` itself, and the best run within the budget beside it, a sentence each."""
    itself = measured.tested(measured.itself(choice.x), target, examples)
    best = measured.tested(measured.best(budget), target, examples)
    at = "" if examples is None else AT.format(n=format_count(examples))
    said = SENTENCES["not itself"].format(at=at)
    if itself is not None:
        expected = format_range(choice.run_lo, choice.run_hi, target.largest)
        error = format_error(itself.error)
        name = "itself elsewhere" if itself.trained else "itself"
        said = SENTENCES[name].format(mean=_mean(itself.count, itself.trained), measured=error, range=expected)
    if best is None or best == itself:
        return sentence(said), sentence(SENTENCES["no best" if best is None else "best itself"].format(at=at))
    beside = SENTENCES["best"].format(
        at=at,
        x=format_configuration(best.x),
        outside="" if best.predicted is not None else OUTSIDE,
        measured=format_error(best.error),
        mean=_mean(best.count, best.trained),
        cost=format_number(best.cost),
        unit=target.space.unit,
        verdict=_verdict(measured, best, choice, target, budget),
    )
    return sentence(said), sentence(beside)


def _verdict(measured: Measured, best: Tested, choice: "Choice", target: Target, budget: float) -> str:
    """Return how the best measured run compares with what is predicted for `choice`."""
    f = format_error(choice.f, target.largest)
    if _stands_out(measured, choice, target, budget) is not None:
        return VERDICTS["better"].format(f=f)
    if best.error < choice.f:
        known = best.predicted is not None
        law = LAW.format(predicted=format_error(best.predicted, target.largest)) if known else ""
        return VERDICTS["lucky"].format(f=f, law=law)
    return VERDICTS["worse"].format(f=f)


def _outside_its_range(measured: Measured, choice: "Choice", largest: float | None) -> Iterator[str]:
    row = measured.itself(choice.x)
    if row is not None and not measured.trained[row] and not choice.run_lo <= measured.error[row] <= choice.run_hi:
        yield SENTENCES["measured"].format(
            mean=_mean(measured.count[row]),
            measured=format_error(measured.error[row]),
            range=format_range(choice.run_lo, choice.run_hi, largest),
        )


def _better(measured: Measured, choice: "Choice", target: Target, budget: float) -> Iterator[str]:
    """Yield a sentence if the best affordable configuration that was measured beats what x* promises, beyond noise."""
    best = _stands_out(measured, choice, target, budget)
    if best is not None:
        yield SENTENCES["better"].format(
            x=format_configuration(dict(zip(target.space.factors, measured.x[best], strict=True))),
            mean=_mean(measured.count[best], measured.trained[best]),
            measured=format_error(measured.error[best]),
            cost=format_number(measured.cost[best]),
            unit=target.space.unit,
            f=format_error(choice.f, target.largest),
        )


def _stands_out(measured: Measured, choice: "Choice", target: Target, budget: float) -> int | None:
    """Return the best affordable configuration but `choice` if it beats what `choice` promises by more than noise.

    Noise is that of the prediction and of the measurement, and the best of many is expected to look better.
    """
    rivals = np.flatnonzero((measured.cost <= budget) & ~measured.at(choice.x))
    if not len(rivals) or choice.f_lo <= 0:
        return None
    best = int(rivals[np.argmin(measured.error[rivals])])
    law = np.log(choice.f / choice.f_lo) / SIDE
    spread = np.hypot(law, float(np.median(target.ensemble.noise)) / np.sqrt(measured.count[best]))
    beaten = measured.error[best] < choice.f * np.exp(-best_of(len(rivals)) * spread)
    return best if beaten else None


def best_of(count: int) -> float:
    """Return how many standard deviations the best of `count` measurements must stand out to contradict."""
    return NormalDist().inv_cdf(1 - DOUBT / count)


def _mean(count: int, trained: str = "") -> str:
    if trained:
        return ELSEWHERE["many" if count > 1 else "one"].format(count=count, trained=trained)
    return MEAN.format(count=count) if count > 1 else ""


def above(f: float, f_hi: float, largest: float | None) -> tuple[str, ...]:
    """Return a sentence if a prediction, or the upper end of its range, is no error that can be."""
    if largest is None or f_hi < largest:
        return ()
    return (SENTENCES["prediction above" if f >= largest else "range above"].format(largest=f"{largest:g}"),)


def exhausted(space: SearchSpace, budget: float) -> tuple[str, ...]:
    """Return a sentence if the budget affords everything."""
    dearest = float(space.cost[-1])
    said = SENTENCES["exhausted"].format(cost=format_number(dearest), unit=space.unit)
    return (said,) if budget >= dearest else ()


def at_end(space: SearchSpace, name: str, value: float) -> str:
    """Return the sentence for a factor of x* whose value is the smallest or largest of the space."""
    most = value == np.max(space.factors[name])
    size, other = ("largest", "larger") if most else ("smallest", "smaller")
    return f"{name} = {format_count(value)} is the {size} value of the space: nothing {other} was considered"


def extrapolated(runs: RunRange, x: Mapping[str, float], examples: float | None) -> tuple[str, ...]:
    """Return a sentence for every factor, and for n, that lies outside the runs."""
    said = []
    for name in runs.outside(x, examples):
        if name == "n":
            said.append(_data_sentence(*runs.examples, examples))
        else:
            low, high = (format_count(end) for end in runs.factors[name])
            value = format_count(x[name])
            said.append(f"{name} = {value} is extrapolated: the runs have {name} from {low} to {high}")
    return tuple(said)


def _data_sentence(low: float, high: float, examples: float) -> str:
    n, smallest, largest = (format_count(size) for size in (examples, low, high))
    if examples > high:
        return (
            f"n = {n} is extrapolated, {examples / high:.3g} times the runs' largest: the interval assumes that error "
            f"keeps falling as n^-d beyond {largest}, which these runs cannot check; these percentages "
            "measure agreement of fits; they are not the probability of being right"
        )
    return f"n = {n} is extrapolated below the runs' smallest, {smallest}"


# ---- what holds for every answer of a target ----


def poor_fit(target: str, forms: pd.DataFrame, least: float) -> list[str]:
    """Return a sentence if a target's law explains less than it must of runs that it has not seen; `forms` compares."""
    judged = forms[(forms.setup == "cv") & forms.chosen].r2
    return [
        f"poor fit: the law of {target} explains R² {r2:.2f} of runs left out of the fit, below {least:g}"
        for r2 in judged[judged < least]
    ]


def no_form_holds(laws: TargetLaws, table: ResultsTable) -> list[str]:
    """Return a sentence if the residuals say that none of the pool's forms holds."""
    if laws.discrepancy is None or laws.discrepancy.probability < SURE:
        return []
    level, slope = laws.discrepancy.missed(table.factors)
    progress = laws.discrepancy.basis.progress(table.data) if table.has_data else 0.0
    size = np.sqrt(np.mean(np.median(level + slope * progress, axis=0) ** 2))
    return [
        f"no form holds for {laws.name}: neighbouring runs differ from the laws alike, by {size:.1%} of the error; "
        "predictions follow the runs there, and read parameters as a description"
    ]


def two_levels(factors: Mapping[str, np.ndarray]) -> list[str]:
    """Return a sentence for every factor that the runs have at two values only."""
    levels = {name: np.unique(values) for name, values in factors.items()}
    return [
        f"the runs have two values of {name}, {format_count(low)} and {format_count(high)}: what lies between and "
        "beyond is the law's assumption"
        for name, (low, high) in ((name, values) for name, values in levels.items() if len(values) == 2)
    ]


def tested_elsewhere(table: ResultsTable, target: str) -> list[str]:
    """Return a sentence if errors are of models tested at levels that they were not trained at, and nothing says what
    training there would change, or many of them are at a ceiling; `table` has the rows of `target`."""
    gap = table.transfer.get(target)
    if gap is None:
        return []
    if gap.anchors:
        return [*_at_ceiling(table.error(target)[table.elsewhere]), *_unchecked(gap.unchecked)]
    names = " and ".join(table.trained)
    return [
        f"models were tested at {names} that they were not trained at, and no such configuration was trained as well: "
        "errors are of models as tested, and what training there would change is not known"
    ]


def _unchecked(names: Sequence[str]) -> list[str]:
    """Return a sentence on the factors between whose smallest and largest levels no anchor was trained."""
    return [
        f"no anchor was trained at a {name} between the smallest and the largest that models are tested at: how the "
        "transfer gap runs in between is not checked, and its interval rests on a prior"
        for name in names
    ]


_CEILING, _CROWD = 0.98, 0.05
"""Errors from this share of the largest on are at a ceiling if more than so many tests elsewhere have them."""


def _at_ceiling(error: np.ndarray) -> list[str]:
    """Return a sentence if the errors of many models that are tested elsewhere crowd at the largest one."""
    most = error.max()
    crowd = np.sum(error >= _CEILING * most)
    if crowd <= max(2, _CROWD * len(error)):
        return []
    return [
        f"{crowd} of {len(error)} tests elsewhere than trained have errors within 2% of {most:.3g}, the largest: what "
        "worse models lose is not seen, and the transfer gap, and with it x*, may be off by more than its interval"
    ]


def contradicted(table: pd.DataFrame, unit: str) -> list[str]:
    """Return a sentence if measured runs of equal cost contradict a target's law; `table` is its `law_free` rows."""
    rows = table[table.verdict == CONTRADICTS]
    if rows.empty:
        return []
    budgets = ", ".join(format_number(c) for c in np.unique(rows.c))
    where = f"{len(rows)} of {len(table)} groups ({budgets} {unit})"
    return [f"runs of equal cost contradict the law in {where}: see tables/law_free.md"]


CONTRADICTS, AGREES, UNTESTED = "contradicts", "agrees", "x* not measured"
"""Verdicts of the law-free check."""


def patterns(most: int) -> dict[str, object]:
    """Return what the explorer needs to say the same: sentences with gaps, and how far the best of k must stand out."""
    scores: Sequence[float] = [best_of(count) for count in range(1, most + 1)]
    gaps = {"mean": MEAN, "elsewhere": ELSEWHERE, "law": LAW, "at": AT, "outside": OUTSIDE}
    sentences = {name: sentence(text) for name, text in SENTENCES.items()}
    return {"sentences": sentences, "verdicts": VERDICTS, **gaps, "scores": scores, "side": SIDE}
