"""What to deploy: the answer to one question of budget and data, and what makes it more or less sure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.frontier.caveats import of_answer, of_measured
from vlmfrontier.frontier.measured import Measured, Tested, nearest_runs
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

ALTERNATIVES = 2


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
    names: dict[str, dict[str, float]]
    """Values of factors that have names: language models by `N`, vision models by `M`."""
    labels: dict[str, str]
    """What factors are called: `LM size N`."""
    meaning: str
    """What the target is, in a few words."""
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
    itself: Tested | None
    """The recommendation itself, as it was measured with n; None if it was not."""
    best_measured: Tested | None
    """The best run within the budget, with n, the mean over seeds; None if there is none."""
    measured: tuple[str, str]
    """What these two say, in plain words."""
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
    choice, measured = choices[0], Measured.of(runs, target, examples)
    return Answer(
        target=target.name,
        budget=budget,
        unit=target.space.unit,
        examples=examples,
        near=near,
        fits=len(target.ensemble.pool),
        counts=dict(target.counts),
        names={factor: dict(values) for factor, values in target.names.items()},
        labels=dict(target.labels),
        meaning=target.meaning,
        range_name=target.ensemble.range_name,
        largest=target.largest,
        choice=choice,
        alternatives=choices[1:],
        double_budget=recommend(target, 2 * budget, examples, near)[0],
        double_examples=None if examples is None else recommend(target, budget, 2 * examples, near)[0],
        itself=measured.tested(measured.itself(choice.x), target, examples),
        best_measured=measured.tested(measured.best(budget), target, examples),
        measured=of_measured(target, measured, choice, budget, examples),
        nearest=nearest_runs(runs, target, choice.x, examples),
        extrapolates=tuple(target.runs.outside(choice.x, examples)),
        edge=tuple(target.space.at_end(choice.x)),
        warnings=(*caveats, *of_answer(target, measured, choice, budget, examples)),
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


def check_examples(runs: RunRange, examples: float | None) -> None:
    """Raise `UserError` for an n that cannot be, is missing, or that the runs do not have."""
    if runs.examples is None and examples is not None:
        raise UserError("this study's table has no data size; leave the number of examples out")
    if runs.examples is not None and examples is None:
        raise UserError("--examples is missing: give the number of finetuning examples, for example --examples 800")
    if examples is not None and examples <= 0:
        raise UserError(f"{examples:g} examples: the number must be positive")
