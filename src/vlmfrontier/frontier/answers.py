"""What to deploy: the answer to one question of budget and data, what makes it more or less sure, and it as text."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.frontier.caveats import of_answer
from vlmfrontier.frontier.pool import Target
from vlmfrontier.frontier.search import (
    REGRET_QUANTILE,
    affordable,
    judge,
    near_enough,
    pooled_errors,
    runner_up,
    search,
)
from vlmfrontier.frontier.space import RunRange, check_budgets
from vlmfrontier.units import (
    format_configuration,
    format_count,
    format_difference,
    format_error,
    format_number,
    format_range,
    format_share,
)

ALTERNATIVES = 2
NEAREST_RUNS = 3


@dataclass(frozen=True)
class Choice:
    """One configuration and what the models say of it."""

    x: dict[str, float]
    """Value by factor, in the units of the table."""
    cost: float
    """c(x)."""
    f: float
    """Predicted error: the median of the pool."""
    f_lo: float
    """Lower end of the range of f."""
    f_hi: float
    """Upper end of the range of f."""
    run_lo: float
    """Lower end of what a new run of x would measure."""
    run_hi: float
    """Upper end of what a new run of x would measure."""
    p_best: float
    """Share of models whose own optimum at this budget is x."""
    p_near: float
    """Share of models whose own optimum is better than x by no more than the fraction `near`."""
    near: float
    """`frontier.near`, or less where less is at stake (`near_enough`)."""
    regret_p90: float
    """Error points that 90% of the models lose at most by x against their own optimum."""


@dataclass(frozen=True)
class Answer:
    """The recommendation for one budget and number of examples."""

    target: str
    budget: float
    unit: str
    """What budget and costs count."""
    examples: float | None
    near: float
    """The fraction that `p_near` allows at most: `frontier.near`."""
    fits: int
    """How many resampled fits the shares are of."""
    counts: dict[str, str]
    """What the values of factors, and of n, count, as far as that is known."""
    range_name: str
    """What f_lo and f_hi are: `90% interval`, or `bagging spread` where the study pools as the paper does."""
    largest: float | None
    """The largest error that there can be, 100; None where there is no such. Above it a law cannot be right."""
    choice: Choice
    alternatives: tuple[Choice, ...]
    """The next best configurations that differ by a quarter in some factor."""
    double_budget: Choice
    """The recommendation for twice the budget."""
    double_examples: Choice | None
    """The recommendation for twice the examples; None for a table without data size."""
    nearest: tuple[dict[str, Any], ...]
    """The runs nearest to the recommendation, with their measured error."""
    extrapolates: tuple[str, ...]
    """Which factors, and n, lie outside the runs."""
    edge: tuple[str, ...]
    """Which factors have the smallest or largest value of the space."""
    warnings: tuple[str, ...]
    """What makes the answer less sure, in plain words."""

    def record(self) -> dict[str, Any]:
        """Return the answer as plain data for JSON."""
        return asdict(self)


def answer(
    target: Target,
    runs: pd.DataFrame,
    budget: float,
    examples: float | None,
    near: float,
    caveats: Sequence[str] = (),
) -> Answer:
    """Return the recommendation x*(c; n) (Eq. 4) for one budget and number of examples, with its surroundings.

    `runs` has the factors' columns, `n` if there is data size, the target's, and the runs' cost `c` if it is known.
    `caveats` are those of every answer of the target. Raises `UserError` for a budget that
    affords nothing and for a number of examples that is not positive or that the study does not know.
    """
    check_examples(target.runs, examples)
    check_budgets(target.space, [budget])
    choices = recommend(target, budget, examples, near, 1 + ALTERNATIVES)
    choice = choices[0]
    return Answer(
        target=target.name,
        budget=budget,
        unit=target.space.unit,
        examples=examples,
        near=near,
        fits=len(target.ensemble.pool),
        counts=dict(target.counts),
        range_name=target.ensemble.range_name,
        largest=target.largest,
        choice=choice,
        alternatives=choices[1:],
        double_budget=recommend(target, 2 * budget, examples, near)[0],
        double_examples=None if examples is None else recommend(target, budget, 2 * examples, near)[0],
        nearest=nearest_runs(runs, target, choice.x, examples),
        extrapolates=tuple(target.runs.outside(choice.x, examples)),
        edge=tuple(target.space.at_end(choice.x)),
        warnings=(*of_answer(target, runs, choice, budget, examples), *caveats),
    )


def recommend(target: Target, budget: float, examples: float | None, near: float, count: int = 1) -> tuple[Choice, ...]:
    """Return x*(c; n) (Eq. 4) and the best alternatives, `count` choices or as many as the budget affords."""
    space, pool = target.space, target.ensemble.pool
    n = pool.data_unit if examples is None else examples
    counts = affordable(space.cost, np.array([budget]))
    errors = pooled_errors(pool, np.array([n]))[0]
    taken = [int(search(errors[None], counts)[0, 0])]
    while len(taken) < count and (second := runner_up(space, errors, counts[0], taken)) >= 0:
        taken.append(second)
    ends = [*target.ensemble.interval(np.array(taken), n), *target.ensemble.run_interval(np.array(taken), n)]
    f, low, high, run_low, run_high = (errors[taken], *ends)
    enough = float(near_enough(space.cost, errors, counts, near)[0])
    choices = []
    for position, index in enumerate(taken):
        optimum, own, least = judge(pool, n, counts, np.array([index]))
        choices.append(
            Choice(
                x=space.at(index),
                cost=float(space.cost[index]),
                f=float(f[position]),
                f_lo=float(low[position]),
                f_hi=float(high[position]),
                run_lo=float(run_low[position]),
                run_hi=float(run_high[position]),
                p_best=float(np.mean(optimum == index)),
                p_near=float(np.mean(own <= least * (1 + enough))),
                near=enough,
                regret_p90=float(np.quantile(own - least, REGRET_QUANTILE)),
            )
        )
    return tuple(choices)


def nearest_runs(
    runs: pd.DataFrame, target: Target, x: dict[str, float], examples: float | None
) -> tuple[dict[str, Any], ...]:
    """Return the runs nearest to x and n, with their measured error.

    Distances are taken in the logarithm of every factor and of n, each relative to its span over the runs.
    """
    point = {**x} if examples is None else {**x, "n": examples}
    runs = runs[runs[target.name].notna()]
    distance = np.zeros(len(runs))
    for name, value in point.items():
        logs = np.log(runs[name].to_numpy(float))
        distance += ((logs - np.log(value)) / (np.ptp(logs) or 1.0)) ** 2
    columns = [name for name in ("run", *point, target.name) if name in runs]
    nearest = runs.iloc[np.argsort(distance, kind="stable")[:NEAREST_RUNS]][columns]
    return tuple({str(key): value for key, value in row.items()} for row in nearest.to_dict("records"))


def check_examples(runs: RunRange, examples: float | None) -> None:
    """Raise `UserError` for an n that cannot be, is missing, or that the runs do not have."""
    if runs.examples is None and examples is not None:
        raise UserError("this study's table has no data size; leave the number of examples out")
    if runs.examples is not None and examples is None:
        raise UserError("say how many finetuning examples there are, for example --examples 800")
    if examples is not None and examples <= 0:
        raise UserError(f"{examples:g} examples: the number must be positive")


def text(answer: Answer) -> str:
    """Return the answer as lines: what to deploy, how sure that is, what comes close, and what more would buy."""
    choice = answer.choice
    lines = [
        f"{_question(answer)}:",
        f"  {format_configuration(choice.x, answer.counts)}, at {format_number(choice.cost)} {answer.unit}",
        f"  predicted error {format_error(choice.f, answer.largest)} ({ranges(choice, answer)})",
        f"  {agreement(choice, answer)}; 90% lose at most {_points(choice.regret_p90)} points",
    ]
    lines += [f"  alternative: {_alternative(other, answer)}" for other in answer.alternatives]
    lines.append(f"  twice the budget: {_alternative(answer.double_budget, answer)}")
    if answer.double_examples is not None:
        lines.append(f"  twice the examples: {_alternative(answer.double_examples, answer)}")
    lines += [f"  nearest run: {_run(run, answer.target)}" for run in answer.nearest]
    lines += [f"  warning: {warning}" for warning in answer.warnings]
    return "\n".join(lines)


def _question(answer: Answer) -> str:
    budget = f"{format_number(answer.budget)} {per_video(answer.unit)}"
    n, counted = answer.examples, answer.counts.get("n")
    data = "" if n is None else f" and {format_count(n)} {counted}" if counted else f" and n = {format_count(n)}"
    return f"With {budget}{data}, for the least error of {answer.target}, deploy"


def per_video(unit: str) -> str:
    """Return what a budget counts: FLOPs are those of one video; another unit is the user's own."""
    return f"{unit} per video" if unit == "FLOPs" else unit


def agreement(choice: Choice, answer: Answer) -> str:
    """Return how many fits agree: `50% of 200 resampled fits rank it first; for 70% it is within 0.5% of their …`."""
    near = f"for {format_share(choice.p_near)} it is within {format_near(choice.near)} of their best"
    return f"{format_share(choice.p_best)} of {answer.fits} resampled fits rank it first; {near}"


def format_near(fraction: float) -> str:
    """Return the fraction of the error that is near enough, in per cent: `0.5%`, `0.12%`."""
    return f"{100 * fraction:.2g}%"


def ranges(choice: Choice, answer: Answer) -> str:
    """Return both ranges by name: `90% interval of the law 30.10 to 35.22; a new run would measure 29.50 to 36.04`."""
    law = f"{answer.range_name} of the law {format_range(choice.f_lo, choice.f_hi, answer.largest)}"
    return f"{law}; a new run would measure {format_range(choice.run_lo, choice.run_hi, answer.largest)}"


def _points(value: float) -> str:
    return f"{value:.2g}" if value > 1e-9 else "0"


def _alternative(other: Choice, answer: Answer) -> str:
    cost = f"{format_number(other.cost)} {answer.unit}"
    return f"{format_configuration(other.x, answer.counts)}: {compared(other, answer)}, at {cost}"


def compared(other: Choice, answer: Answer) -> str:
    """Return a prediction with its difference from the recommended one's: `33.45 (+0.79)`."""
    said = format_error(other.f, answer.largest)
    if answer.largest is not None and max(other.f, answer.choice.f) >= answer.largest:
        return said
    return f"{said} ({format_difference(other.f - answer.choice.f, answer.choice.f)})"


def _run(run: Mapping[str, object], target: str) -> str:
    x = format_configuration({name: float(value) for name, value in run.items() if name not in ("run", target)})
    return f"{run.get('run', x)}: measured {format_error(run[target])}"
