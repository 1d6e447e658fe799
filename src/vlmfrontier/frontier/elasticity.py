"""How x* moves with the number of examples: elasticities (Eq. 9) with their bands.

The printed Eq. 9 forgets the subtraction; e = (x*(c; n+Δn) − x*(c; n)) / Δn · n / x*(c; n) is what gives Table 10.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numba import njit, prange

from vlmfrontier.errors import UserError
from vlmfrontier.frontier.pool import Members, Target
from vlmfrontier.frontier.search import affordable, member_choices, pooled_errors, search
from vlmfrontier.frontier.space import SearchSpace
from vlmfrontier.study.analysis import ElasticityConfig

UNDETERMINED = "not determined"

ABLATIONS = {
    "budgets": (1, 10, 100, 300),
    "sizes": (1, 10, 100),
    "largest_n": (0.5, 1.0, 2.0, 3.0, 5.0),
    "step": (0.05, 0.25, 0.5, 1.0, 2.5, 5.0),
}
"""Levels of the paper's Table 10; n and Δn in multiples of the runs' largest n (there 2 million)."""


@dataclass(frozen=True)
class ElasticityGrid:
    """Over which budgets and data sizes an elasticity is averaged, and its step."""

    budgets: np.ndarray
    """Budgets per video, ascending, shape (C,)."""
    examples: np.ndarray
    """Numbers of examples n, shape (S,)."""
    step: float
    """Δn, in examples."""

    @classmethod
    def of(cls, config: ElasticityConfig, budgets: np.ndarray, runs: np.ndarray | None) -> "ElasticityGrid":
        """Return the study's grid, scaled to the largest n of its `runs`. Raises `UserError` without a data size."""
        if runs is None:
            raise UserError("there is no elasticity in n: the table has no data size")
        largest = float(np.max(runs))
        examples = largest * np.linspace(config.from_, config.to, config.sizes)
        return cls(np.linspace(budgets[0], budgets[-1], config.budgets), examples, largest * config.step)


def elasticity_table(target: Target, grid: ElasticityGrid) -> pd.DataFrame:
    """Return e_k (Eq. 9) for every factor, a row each, averaged over the grid as in Table 10.

    Columns: factor; e, of the frontier of the pooled median; e_median, the median over the models; e_lo, e_hi, the ends
    of the 90% band, widened as every interval is; direction: `up` or `down` where that excludes 0, else `not
    determined`; share_up and share_down.
    """
    point = elasticities_of_median(target, grid)
    models = elasticities_of_members(target.space, target.ensemble.pool, grid)
    ends = target.ensemble.ends(models)
    rows = []
    for k, factor in enumerate(target.space.factors):
        low, high = ends[:, k]
        rows.append(
            {
                "factor": factor,
                "e": point[k],
                "e_median": np.median(models[:, k]),
                "e_lo": low,
                "e_hi": high,
                "direction": direction(low, high),
                "share_up": np.mean(models[:, k] > 0),
                "share_down": np.mean(models[:, k] < 0),
            }
        )
    return pd.DataFrame(rows)


def elasticity_by_budget(target: Target, grid: ElasticityGrid, near: float = 1.0) -> pd.DataFrame:
    """Return e_k (Eq. 9) at every budget of the grid, averaged over its data sizes and over the budgets up to a ratio
    of `near` away, so that rounding to whole levels makes no peaks (the paper's Figure 4).

    Columns: c, factor, e, e_median, e_lo and e_hi, as `elasticity_table`'s.
    """
    ends = (grid.examples, grid.examples + grid.step)
    counts = affordable(target.space.cost, grid.budgets)
    point = [search(pooled_errors(target.ensemble.pool, examples), counts)[None] for examples in ends]
    choices = [member_choices(target.ensemble.pool, examples, counts) for examples in ends]
    columns = [(..., slice(i, i + 1)) for i in range(len(grid.budgets))]
    of_median, models = (
        np.stack([_average(target.space, grid, *(each[at] for each in pair)) for at in columns])
        for pair in (point, choices)
    )  # (C, 1, K) and (C, R, K)
    rows = []
    for budget in grid.budgets:
        within = np.abs(np.log(grid.budgets / budget)) <= np.log(near) + 1e-9
        smooth = models[within].mean(axis=0)
        ends = target.ensemble.ends(smooth)
        for k, factor in enumerate(target.space.factors):
            low, high = ends[:, k]
            e = {"e": of_median[within, 0, k].mean(), "e_median": np.median(smooth[:, k]), "e_lo": low, "e_hi": high}
            rows.append({"c": budget, "factor": factor, **e})
    return pd.DataFrame(rows)


def ablation_table(target: Target, grid: ElasticityGrid, largest: float) -> pd.DataFrame:
    """Return e_k (Eq. 9) under other settings of the average, as Table 10: one setting changed at a time.

    Columns: setting (budgets, sizes, largest_n, step), level (the last two in multiples of `largest`, the runs' largest
    n), and those of `elasticity_table`.
    """
    parts = []
    for setting, levels in ABLATIONS.items():
        for level in levels:
            changed = _ablated(grid, setting, level, largest)
            parts.append(elasticity_table(target, changed).assign(setting=setting, level=level))
    table = pd.concat(parts, ignore_index=True)
    return table[["setting", "level", *table.columns.drop(["setting", "level"])]]


def _ablated(grid: ElasticityGrid, setting: str, level: float, largest: float) -> ElasticityGrid:
    """Return the grid with one setting at another level."""
    first, last, count = grid.examples[0], grid.examples[-1], len(grid.examples)
    match setting:
        case "budgets":
            return replace(grid, budgets=np.linspace(grid.budgets[0], grid.budgets[-1], int(level)))
        case "sizes":
            return replace(grid, examples=np.linspace(first, last, int(level)))
        case "largest_n":
            return replace(grid, examples=np.linspace(first, max(first, level * largest), count))
        case _:
            return replace(grid, step=level * largest)


def elasticities_of_median(target: Target, grid: ElasticityGrid) -> np.ndarray:
    """Return e_k of the frontier of the pooled median, shape (K,): what the paper's Table 10 reports (Eq. 9)."""
    pool = target.ensemble.pool
    errors = (pooled_errors(pool, examples) for examples in (grid.examples, grid.examples + grid.step))
    return elasticity_of_errors(target.space, grid, *errors)


def elasticity_of_errors(space: SearchSpace, grid: ElasticityGrid, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return e_k of the frontier of known errors, shape (K,) (Eq. 9): `before` at n and `after` at n + Δn, (S, m)."""
    counts = affordable(space.cost, grid.budgets)
    return _average(space, grid, search(before, counts), search(after, counts))


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


def _average(space: SearchSpace, grid: ElasticityGrid, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the mean of Eq. 9 over the last two axes (S, C) of the chosen indices; the factors come last."""
    values = np.stack(list(space.factors.values()))
    shape = before.shape[:-2]
    cells = (-1, *before.shape[-2:])
    means = _means(values, before.reshape(cells), after.reshape(cells), grid.examples / grid.step)
    return means.reshape(*shape, len(values))


@njit(parallel=True, cache=True)
def _means(values: np.ndarray, before: np.ndarray, after: np.ndarray, relative_step: np.ndarray) -> np.ndarray:
    """Return means (R, K) for values (K, m), choices (R, S, C) and n/Δn (S,)."""
    means = np.zeros((before.shape[0], values.shape[0]))
    for r in prange(before.shape[0]):
        for s in range(before.shape[1]):
            for c in range(before.shape[2]):
                x, y = before[r, s, c], after[r, s, c]
                if x != y:
                    for k in range(values.shape[0]):
                        means[r, k] += (values[k, y] - values[k, x]) / values[k, x] * relative_step[s]
    return means / (before.shape[1] * before.shape[2])
