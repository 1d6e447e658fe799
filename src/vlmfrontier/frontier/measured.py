"""What was measured near an answer: the recommended configuration itself, the best run that the budget affords, and
the runs nearest to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from vlmfrontier.frontier.pool import Target

NEAREST_RUNS = 3


@dataclass(frozen=True)
class Tested:
    """One configuration as it was measured with the number of examples asked for."""

    x: dict[str, float]
    """Value by factor."""
    error: float
    """Mean measured error."""
    count: int
    """Over how many runs."""
    cost: float | None
    """c(x); None where it is not known."""
    run: str | None
    """The first of these runs; None where rows have no keys."""
    predicted: float | None
    """What the law says of it; None outside the space."""
    trained: str
    """At which other levels its model was trained; empty where it was trained there."""


@dataclass(frozen=True)
class Measured:
    """The configurations that were tested with one number of examples, the mean over their seeds; models that were
    trained at different levels apart."""

    x: np.ndarray
    """Factors, (k, F)."""
    error: np.ndarray
    """Mean measured error, (k,)."""
    count: np.ndarray
    """Over how many runs, (k,)."""
    cost: np.ndarray
    """c(x), (k,); NaN where it is not known."""
    run: np.ndarray
    """The first run of each, (k,); None where rows have no keys."""
    trained: np.ndarray
    """At which other levels their models were trained, (k,) in words; empty for those trained there."""

    @classmethod
    def of(cls, runs: pd.DataFrame, target: Target, examples: float | None) -> "Measured":
        """Return those of `runs`, which has the factors' columns, `n` if there is data size, the target's, `c`, and
        `trained` where models are tested elsewhere."""
        known = runs[target.name].notna()
        if examples is not None:
            known &= np.isclose(runs["n"], examples, rtol=1e-9)
        factors = list(target.space.factors)
        runs = runs[known].assign(c=runs.get("c", np.nan), key=runs.get("run"), trained=runs.get("trained", ""))
        groups = runs.groupby([*factors, "trained"], sort=False).agg(
            error=(target.name, "mean"), count=(target.name, "size"), c=("c", "first"), key=("key", "first")
        )
        levels = groups.index.to_frame()
        x, trained = levels[factors].to_numpy(float), levels["trained"].to_numpy(object)
        error, cost = groups.error.to_numpy(float), groups.c.to_numpy(float)
        return cls(x, error, groups["count"].to_numpy(), cost, groups.key.to_numpy(object), trained)

    def at(self, x: Mapping[str, float]) -> np.ndarray:
        """Return which of them are x, (k,): one at most was trained there."""
        return np.isclose(self.x, list(x.values()), rtol=1e-9).all(axis=1)

    def itself(self, x: Mapping[str, float]) -> int | None:
        """Return which of them is x, trained there; else the best that was trained elsewhere; None if there is none."""
        rows = np.flatnonzero(self.at(x))
        rows = rows[np.lexsort((self.error[rows], self.trained[rows].astype(str) != ""))]
        return int(rows[0]) if len(rows) else None

    def best(self, budget: float) -> int | None:
        """Return the one with the least error among those that cost at most `budget`; None if there is none."""
        rows = np.flatnonzero(self.cost <= budget)
        return int(rows[np.argmin(self.error[rows])]) if len(rows) else None

    def tested(self, row: int | None, target: Target, examples: float | None) -> Tested | None:
        """Return one of them with what the law says of it; None for none."""
        if row is None:
            return None
        x = dict(zip(target.space.factors, map(float, self.x[row]), strict=True))
        cost = None if np.isnan(self.cost[row]) else float(self.cost[row])
        run = self.run[row] if isinstance(self.run[row], str) else None
        predicted = prediction(target, x, examples)
        return Tested(x, float(self.error[row]), int(self.count[row]), cost, run, predicted, self.trained[row])


def prediction(target: Target, x: Mapping[str, float], examples: float | None) -> float | None:
    """Return the pooled prediction for a configuration; None where the space does not have it."""
    columns = np.stack(list(target.space.factors.values()), axis=1)
    (rows,) = np.isclose(columns, [x[name] for name in target.space.factors], rtol=1e-9).all(axis=1).nonzero()
    if not len(rows):
        return None
    pool = target.ensemble.pool
    return float(np.median(pool.errors(rows[:1], pool.data_unit if examples is None else examples)[:, 0]))


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
