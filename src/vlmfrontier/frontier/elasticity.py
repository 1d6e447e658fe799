"""How x* moves with the number of examples: elasticities (Eq. 9) with their bands.

The printed Eq. 9 forgets the subtraction; e = (x*(c; n+Δn) − x*(c; n)) / Δn · n / x*(c; n) is what gives Table 10.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from vlmfrontier.frontier.members import Members
from vlmfrontier.frontier.pool import TAILS
from vlmfrontier.frontier.search import affordable, member_choices, pooled_errors, search
from vlmfrontier.frontier.space import SearchSpace
from vlmfrontier.frontier.target import Target

UNDETERMINED = "not determined"


@dataclass(frozen=True)
class ElasticityGrid:
    """Over which budgets and data sizes an elasticity is averaged, and its step."""

    budgets: np.ndarray
    """Budgets per video, ascending, shape (C,)."""
    examples: np.ndarray
    """Numbers of examples n, shape (S,)."""
    step: float
    """Δn, in examples."""


def elasticity_table(target: Target, grid: ElasticityGrid) -> pd.DataFrame:
    """Return e_k for every factor, a row each, averaged over the grid as in Table 10.

    Columns: factor; e, of the frontier of the pooled median; e_median, the median over the pool's models; e_lo, e_hi,
    the union of the 90% ranges over the models of the pool and of the pairs bootstrap; direction: `up` or `down` where
    that band excludes 0, else `not determined`; share_up and share_down, of the pool's models.
    """
    point = elasticities_of_median(target, grid)
    pool, pairs = (elasticities_of_members(target.space, group, grid) for group in _groups(target))
    rows = []
    for k, factor in enumerate(target.space.factors):
        low, high = _band(pool[:, k], pairs[:, k])
        rows.append(
            {
                "factor": factor,
                "e": point[k],
                "e_median": np.median(pool[:, k]),
                "e_lo": low,
                "e_hi": high,
                "direction": direction(low, high),
                "share_up": np.mean(pool[:, k] > 0),
                "share_down": np.mean(pool[:, k] < 0),
            }
        )
    return pd.DataFrame(rows)


def elasticities_of_median(target: Target, grid: ElasticityGrid) -> np.ndarray:
    """Return e_k of the frontier of the pooled median, shape (K,): what the paper's Table 10 reports (Eq. 9)."""
    counts = affordable(target.space.cost, grid.budgets)
    before, after = (
        search(pooled_errors(target.spread.pool, examples), counts)
        for examples in (grid.examples, grid.examples + grid.step)
    )
    return _average(target.space, grid, before, after)


def elasticities_of_members(space: SearchSpace, members: Members, grid: ElasticityGrid) -> np.ndarray:
    """Return e_k of every model's own frontier, shape (R, K) (Eq. 9)."""
    counts = affordable(space.cost, grid.budgets)
    before, after = (
        member_choices(members, examples, counts) for examples in (grid.examples, grid.examples + grid.step)
    )
    return _average(space, grid, before, after)


def direction(low: float, high: float) -> str:
    """Return `up` or `down` if a band excludes 0, else that the direction is not determined."""
    if low > 0:
        return "up"
    return "down" if high < 0 else UNDETERMINED


def _groups(target: Target) -> tuple[Members, Members]:
    return target.spread.pool, target.spread.pairs


def _band(*groups: np.ndarray) -> tuple[float, float]:
    """Return the union of the groups' 90% ranges."""
    ends = np.array([np.quantile(group, TAILS) for group in groups])
    return ends[:, 0].min(), ends[:, 1].max()


def _average(space: SearchSpace, grid: ElasticityGrid, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the mean of Eq. 9 over the last two axes (S, C) of the chosen indices; the factors come last."""
    relative_step = (grid.examples / grid.step)[:, None]
    means = []
    for values in space.factors.values():
        start = values[before]
        means.append(((values[after] - start) / start * relative_step).mean(axis=(-2, -1)))
    return np.stack(means, axis=-1)
