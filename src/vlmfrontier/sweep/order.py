"""The order of runs: those by which every law can be fitted first, each as cheap as can be, then the cheapest."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from vlmfrontier.sweep.runs import Run

TELLING = 0.3
"""Length, of 1, that the new part of a run's columns has if it tells something that the runs before it do not."""
LEAST = 1e-6
"""The same where nothing but rounding is left."""


def run_order(runs: Sequence[Run], factors: Sequence[str], hours: Mapping[str, float]) -> list[str]:
    """Return the keys of `runs` in the order in which they are worth having; `hours` are those that each takes.

    First, by rising hours, runs that vary every factor over its range, and with n, until the columns of the richest law
    are independent: a first fit can then be made. Then all others by rising hours.
    """

    def takes(row: int) -> tuple[float, int, str]:
        spent = hours[runs[row].key]
        return math.inf if math.isnan(spent) else spent, runs[row].seed, runs[row].key

    cheapest = sorted(range(len(runs)), key=takes)
    chosen = set(_telling(design_columns(runs, factors), cheapest))
    order = [*(row for row in cheapest if row in chosen), *(row for row in cheapest if row not in chosen)]
    return [runs[row].key for row in order]


def design_columns(runs: Sequence[Run], factors: Sequence[str]) -> np.ndarray:
    """Return a row per run with what a law needs: its level, of every factor and of n on a scale from -1 to 1 in the
    logarithm, the squares, and the products with n. Rows have length 1; what no run varies is left out.

    A power law of each factor with an offset takes three levels of it, an exponent that changes with n products.
    """
    names = [*factors, "n"]
    levels = np.array([[np.log(getattr(run, name)) for name in names] for run in runs], float).reshape(-1, len(names))
    low, high = (levels.min(0), levels.max(0)) if len(runs) else (np.zeros(len(names)), np.zeros(len(names)))
    varied = high > low
    scaled = 2 * (levels[:, varied] - low[varied]) / (high - low)[varied] - 1
    with_n = scaled[:, :-1] * scaled[:, -1:] if varied[-1] else scaled[:, :0]
    columns = np.hstack([np.ones((len(runs), 1)), scaled, scaled**2, with_n])
    return columns / np.linalg.norm(columns, axis=1, keepdims=True)


def _telling(columns: np.ndarray, cheapest: Sequence[int]) -> list[int]:
    """Return rows that are independent, of as many columns as can be, each the cheapest that tells enough."""
    found: list[int] = []
    basis = np.zeros((0, columns.shape[1]))
    enough = TELLING
    while enough > LEAST and len(found) < columns.shape[1]:
        left = columns - columns @ basis.T @ basis
        new = np.linalg.norm(left, axis=1)
        row = next((row for row in cheapest if new[row] > enough), None)
        if row is None:
            enough /= 2
            continue
        found.append(row)
        basis = np.vstack([basis, left[row] / new[row]])
    return found


def fitted_after(
    runs: Sequence[Run], factors: Sequence[str], hours: Mapping[str, float], order: Sequence[str]
) -> float:
    """Return the share of all hours after which the runs done, in this order, vary all that the sweep varies."""
    at = {run.key: row for row, run in enumerate(runs)}
    columns = design_columns(runs, factors)
    rank = np.linalg.matrix_rank(columns, tol=1e-3)
    total, spent, rows = sum(hours.values()), 0.0, []
    for key in order:
        rows.append(columns[at[key]])
        spent += hours[key]
        if len(rows) >= rank and np.linalg.matrix_rank(np.array(rows), tol=1e-3) == rank:
            return spent / total
    return 1.0
