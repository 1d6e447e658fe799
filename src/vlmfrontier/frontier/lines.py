"""Runs that belong together: lines along which one factor varies alone, and rivals of equal cost."""

from collections.abc import Mapping, Sequence

import numpy as np

from vlmfrontier.study.root import Study

LEAST_LEVELS = 3
"""A line with fewer levels of its factor shows no law, and fewer rivals no optimum."""
GENERIC_TOLERANCE = 0.05
"""Runs whose costs differ by less than this share a budget, where no isoFLOP design says which do."""
GENERIC_BUDGETS = 4


def center_rows(factors: Mapping[str, np.ndarray], factor: str) -> np.ndarray | None:
    """Return the indices of the runs in which only `factor` (and n) varies: the line with most levels, by level.

    None if no line has three levels.
    """
    others = [values for name, values in factors.items() if name != factor]
    levels = factors[factor]
    if others:
        line = np.unique(np.stack(others, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    else:
        line = np.zeros(len(levels), int)
    groups = [np.flatnonzero(line == number) for number in range(line.max() + 1)]
    longest = max(groups, key=lambda rows: (len(np.unique(levels[rows])), len(rows)))
    if len(np.unique(levels[longest])) < LEAST_LEVELS:
        return None
    return longest[np.argsort(levels[longest], kind="stable")]


def equal_cost_budgets(study: Study, costs: np.ndarray) -> tuple[list[float], float]:
    """Return the budgets of the isoFLOP designs and their tolerance; without a design, costs that most runs share."""
    designs = [] if study.sweep is None else study.sweep.designs.values()
    isoflop = [design for design in designs if design.design == "isoflop"]
    if isoflop:
        budgets = sorted({budget for design in isoflop for budget in design.budgets})
        return budgets, max(design.tolerance for design in isoflop)
    known = np.sort(costs[np.isfinite(costs)])
    near = np.searchsorted(known, known * (1 + GENERIC_TOLERANCE), "right")
    near -= np.searchsorted(known, known * (1 - GENERIC_TOLERANCE), "left")
    chosen: list[float] = []
    for cost in known[np.argsort(-near, kind="stable")]:
        if len(chosen) < GENERIC_BUDGETS and all(abs(cost / other - 1) > 2 * GENERIC_TOLERANCE for other in chosen):
            chosen.append(float(cost))
    return sorted(chosen), GENERIC_TOLERANCE


def equal_cost_rows(
    factors: Mapping[str, np.ndarray],
    examples: np.ndarray | None,
    costs: np.ndarray,
    budgets: Sequence[float],
    tolerance: float,
) -> dict[float, np.ndarray]:
    """Return the indices of the runs whose cost is within `tolerance` of each budget, of the n that most of them share.

    Budgets with fewer than three configurations are left out.
    """
    groups = {}
    x = np.stack(list(factors.values()), axis=1)
    for budget in budgets:
        rows = np.flatnonzero(np.abs(costs / budget - 1) <= tolerance)
        if examples is not None and len(rows):
            rows = rows[examples[rows] == most_frequent(examples[rows])]
        if len(np.unique(x[rows], axis=0)) >= LEAST_LEVELS:
            groups[float(budget)] = rows
    return groups


def most_frequent(values: np.ndarray) -> float:
    """Return the value that comes most often, the largest of several."""
    levels, counts = np.unique(np.asarray(values, float), return_counts=True)
    return float(levels[counts == counts.max()].max())
