"""Lines of runs along which one factor varies alone."""

from collections.abc import Mapping

import numpy as np

LEAST_LEVELS = 3
"""A line with fewer levels of its factor shows no law."""


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
