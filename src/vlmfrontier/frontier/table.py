"""The frontier as a table: one row per number of examples and budget (Eq. 4)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vlmfrontier.frontier.coverage import INSIDE
from vlmfrontier.frontier.pool import TAILS
from vlmfrontier.frontier.search import affordable, judge, pooled_errors, search
from vlmfrontier.frontier.space import SearchSpace, check_budgets
from vlmfrontier.frontier.target import Target

DISTINCT = 1.25
"""A runner-up differs from the choice by at least this ratio in some factor: one frame more is no alternative."""
REGRET_QUANTILE = 0.9
"""`regret_p90` is not exceeded by this share of the models."""


def frontier_table(target: Target, budgets: np.ndarray, examples: np.ndarray | None, near: float) -> pd.DataFrame:
    """Return x*(c; n) (Eq. 4) with its uncertainty, a row per n and budget.

    Columns: budget c, n (NaN for a table without data size), the factors of x*, its cost, the pooled median f, the 90%
    interval f_lo, f_hi of f at x*, the share of models whose own optimum is x* (p_best) or within the fraction `near`
    of it (p_near), the error points lost at x* against a model's own optimum that 90% of the models stay below
    (regret_p90), the 90% range of each factor over the models' own optima (N_lo, N_hi, …), what is extrapolated, and
    the runner-up with its factors, cost and f. Raises `UserError` if a budget affords nothing.
    """
    check_budgets(target.space, budgets)
    sizes = [None] if examples is None else [float(size) for size in examples]
    return pd.concat([_frontier_at(target, budgets, size, near) for size in sizes], ignore_index=True)


def _frontier_at(target: Target, budgets: np.ndarray, size: float | None, near: float) -> pd.DataFrame:
    """Return the rows of the frontier for one number of examples."""
    space, spread = target.space, target.spread
    n = spread.pool.data_unit if size is None else size  # B = 0 without data size: any n gives the same
    counts = affordable(space.cost, budgets)
    errors = pooled_errors(spread.pool, np.array([n]))[0]
    chosen = search(errors[None], counts)[0]
    rows = pd.DataFrame(
        {"c": budgets, "n": np.nan if size is None else size, **_configurations(space, chosen), "f": errors[chosen]}
    )
    optimum, own, least = judge(spread.pool, n, counts, chosen)
    low, high = spread.interval(chosen, n)
    rows = rows.assign(
        f_lo=low,
        f_hi=high,
        p_best=(optimum == chosen).mean(axis=0),
        p_near=(own <= least * (1 + near)).mean(axis=0),
        regret_p90=np.quantile(own - least, REGRET_QUANTILE, axis=0),
        **_ranges(space, optimum),
    )
    rows["extrapolates"] = [" ".join(target.runs.outside(x, size)) or INSIDE for x in map(space.at, chosen)]
    second = np.array([runner_up(space, errors, *cell) for cell in zip(counts, chosen, strict=True)])
    return rows.join(_second(space, errors, second))


def runner_up(space: SearchSpace, errors: np.ndarray, count: int, taken: int | Sequence[int]) -> int:
    """Return the best (Eq. 4) of the first `count` configurations that differ from those taken by a quarter somewhere.

    `errors` has shape (m,); −1 if there is no such configuration.
    """
    distinct = np.ones(count, bool)
    for index in np.atleast_1d(taken):
        ratios = [values[:count] / values[index] for values in space.factors.values()]
        distinct &= np.any([(ratio >= DISTINCT) | (ratio <= 1 / DISTINCT) for ratio in ratios], axis=0)
    candidates = np.flatnonzero(distinct)
    return int(candidates[np.argmin(errors[candidates])]) if len(candidates) else -1


def _configurations(space: SearchSpace, indices: np.ndarray) -> dict[str, np.ndarray]:
    return {**{name: values[indices] for name, values in space.factors.items()}, "cost": space.cost[indices]}


def _ranges(space: SearchSpace, optimum: np.ndarray) -> dict[str, np.ndarray]:
    """Return the 90% range of every factor over the models' own optima (R, C), as feasible values."""
    columns = {}
    for name, values in space.factors.items():
        low, high = np.quantile(values[optimum], TAILS, axis=0, method="inverted_cdf")
        columns |= {f"{name}_lo": low, f"{name}_hi": high}
    return columns


def _second(space: SearchSpace, errors: np.ndarray, second: np.ndarray) -> pd.DataFrame:
    """Return the columns of the runner-up, NaN where there is none."""
    columns = {f"second_{name}": values for name, values in _configurations(space, second).items()}
    frame = pd.DataFrame({**columns, "second_f": errors[second]})
    frame.loc[second < 0] = np.nan
    return frame
