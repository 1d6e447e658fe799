"""What figures draw: predictions at any point, and the runs that belong on one line or one budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vlmfrontier.frontier.laws import TargetLaws
from vlmfrontier.frontier.lines import LEAST_LEVELS, center_rows


@dataclass(frozen=True)
class Predictor:
    """The pooled prediction of one target and its 90% interval, at any point."""

    laws: TargetLaws
    label: str
    """What the target's error is called on an axis."""

    @property
    def target(self) -> str:
        """The column of runs that is predicted."""
        return self.laws.name

    def __call__(
        self, x: Mapping[str, np.ndarray], examples: float | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return f and the ends of its interval for columns of factor values (m,) at one number of examples."""
        spread = self.laws.spread(x)
        points = np.arange(len(next(iter(x.values()))))
        n = spread.pool.data_unit if examples is None else examples
        low, high = spread.interval(points, n)
        return np.median(spread.pool.errors(points, n), axis=0), low, high


def center_line(runs: pd.DataFrame, factor: str, factors: Sequence[str]) -> pd.DataFrame | None:
    """Return the runs in which only `factor` (and n) varies: the line with the most levels; None if there is none."""
    rows = center_rows({name: runs[name].to_numpy() for name in factors}, factor)
    return None if rows is None else runs.iloc[rows]


def isoflop_groups(
    runs: pd.DataFrame, cost: np.ndarray, budgets: Sequence[float], tolerance: float, factors: Sequence[str]
) -> dict[float, pd.DataFrame]:
    """Return the runs whose cost is within `tolerance` of each budget, of the n that most of them share.

    Budgets with fewer than three configurations are left out.
    """
    groups = {}
    for budget in budgets:
        rows = runs[np.abs(cost / budget - 1) <= tolerance]
        if "n" in rows and len(rows):
            rows = rows[rows["n"] == most_frequent(rows["n"])]
        if len(rows.drop_duplicates(list(factors))) >= LEAST_LEVELS:
            groups[float(budget)] = rows
    return groups


def most_frequent(values: pd.Series) -> float:
    """Return the value that comes most often, the largest of several."""
    return float(max(values.mode()))
