"""Which differences between runs are real: pairs that a reader compares, with errors that know the common test videos.

Compared are runs of equal cost and n, and neighbours along one factor. Another seed of a training gives another error
too: where configurations were repeated with other seeds, what these add enters the errors of the differences.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from vlmfrontier.laws.noise import JointNoise
from vlmfrontier.laws.table import ResultsTable

NORMAL_90, FALSE = 1.6449, 0.1
"""Standard errors in half a 90% interval; the share of false ones among the differences called real."""
LEAST_REPEATS = 3
"""With fewer repeats than this what a seed adds is not known."""
EQUAL_COST = "equal cost"
COLUMNS = ["target", "compared", "first", "second", "c", "n", "difference", "lo", "hi", "se", "se_test", "real"]


def differences_table(
    table: ResultsTable, target: str, noise: JointNoise, costs: np.ndarray, budgets: Sequence[float], tolerance: float
) -> pd.DataFrame:
    """Return a row per pair of runs: the difference of their errors, second less first, with its 90% interval.

    `compared` is `equal cost`, or `along N`, …; `se_test` the standard error that the common test videos leave, `se`
    with what seeds add, where that is known. `real`: the differences that are not 0, so chosen that of all of them at
    most a tenth is expected to be false (Benjamini and Hochberg); over many pairs that asks more than a single
    interval does.
    """
    place = {run: position for position, run in enumerate(noise.runs)}
    kept = np.array([name in place for name in table.names]) & ~np.isnan(table.error(target))
    table, costs = table.rows(kept), costs[kept]
    errors, of_test = table.error(target), noise.errors_of_differences()
    seed = seed_variance(table, target, noise) or 0.0
    rows = []
    for compared, cost, i, j in _pairs(table, costs, budgets, tolerance):
        first, second = table.names[i], table.names[j]
        se_test = of_test[place[first], place[second]]
        se, difference = np.sqrt(se_test**2 + 2 * seed), errors[j] - errors[i]
        ends = (difference - NORMAL_90 * se, difference + NORMAL_90 * se)
        rows.append((target, compared, first, second, cost, table.data[i], difference, *ends, se, se_test, False))
    found = pd.DataFrame(rows, columns=COLUMNS)
    return found.assign(real=_real(found.difference.to_numpy(float), found.se.to_numpy(float)))


def seed_variance(table: ResultsTable, target: str, noise: JointNoise) -> float | None:
    """Return the variance that the seed of a training adds to an error, beyond the test's; None of too few repeats."""
    place = {run: position for position, run in enumerate(noise.runs)}
    names, errors, covariance = table.names, table.error(target), noise.covariance
    squares, freedom = 0.0, 0
    for number in np.unique(table.configuration):
        rows = [i for i in np.flatnonzero(table.configuration == number) if names[i] in place]
        if len(rows) > 1:
            own = covariance[np.ix_(at := [place[names[i]] for i in rows], at)]
            of_test = np.trace(own) - own.sum() / len(rows)  # expected Σ (e − ē)² of the test's noise alone
            squares += float(np.sum((errors[rows] - errors[rows].mean()) ** 2) - of_test)
            freedom += len(rows) - 1
    return max(squares / freedom, 0.0) if freedom >= LEAST_REPEATS else None


def _pairs(
    table: ResultsTable, costs: np.ndarray, budgets: Sequence[float], tolerance: float
) -> Iterator[tuple[str, float, int, int]]:
    """Yield what is compared, the budget (NaN along a factor), and the rows of the two runs."""
    for budget in budgets:
        near = np.abs(costs / budget - 1) <= tolerance
        for size in np.unique(table.data):
            for i, j in combinations(np.flatnonzero(near & (table.data == size)), 2):
                if table.configuration[i] != table.configuration[j]:
                    yield EQUAL_COST, budget, int(i), int(j)
    for factor in table.factors:
        yield from ((f"along {factor}", np.nan, i, j) for i, j in neighbours(table, factor))


def neighbours(table: ResultsTable, factor: str) -> Iterator[tuple[int, int]]:
    """Yield pairs of rows that differ in one factor only, by one step among the levels that such rows have."""
    columns = {name: values for name, values in table.points().items() if name != factor}
    seeds = table.frame["seed"].to_numpy() if "seed" in table.frame else np.zeros(len(table), int)
    lines = pd.DataFrame({**columns, "seed of run": seeds}).groupby([*columns, "seed of run"], sort=False).indices
    for rows in lines.values():
        ordered = rows[np.argsort(table.factors[factor][rows], kind="stable")]
        yield from ((int(i), int(j)) for i, j in pairwise(ordered))


def _real(difference: np.ndarray, se: np.ndarray) -> np.ndarray:
    """Return which differences are not 0, by Benjamini and Hochberg's procedure."""
    from scipy.stats import norm  # noqa: PLC0415 — half a second to import, and few need it

    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(difference == 0, 1.0, 2 * norm.sf(np.abs(difference) / se))
    order, count = np.argsort(p, kind="stable"), len(p)
    below = np.flatnonzero(p[order] <= FALSE * np.arange(1, count + 1) / max(count, 1))
    real = np.zeros(count, bool)
    real[order[: below[-1] + 1 if len(below) else 0]] = True
    return real
