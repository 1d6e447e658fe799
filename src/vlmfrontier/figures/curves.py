"""What figures draw: predictions at any point, and the runs that belong on one line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vlmfrontier.frontier.load import Results
from vlmfrontier.frontier.space import center_rows
from vlmfrontier.frontier.target import TargetLaws


@dataclass(frozen=True)
class Predictor:
    """The pooled prediction of one target and its 90% interval, at any point."""

    laws: TargetLaws

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


def predictors_of(results: Results, targets: Sequence[str]) -> dict[str, Predictor]:
    """Return the pooled predictions of several targets."""
    return {target: Predictor(results.laws(target)) for target in targets}
