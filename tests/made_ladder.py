"""A table of models that were trained once and tested at many levels, from a law that is known."""

from itertools import product

import numpy as np

from vlmfrontier.laws.table import ResultsTable, from_arrays

LOST = {"T": 0.05, "V": 0.03}
"""What is lost in logs of the error for each factor of e."""


def law(N, T, V, n):
    return 8 * N**-0.5 + 10 * T**-0.6 + 20 * V**-0.5 + 5 * n**-0.4 + 15


def ladder(anchors: int, noise: float = 0.0, drawn: float | None = None, seed: int = 0) -> ResultsTable:
    """Return nine trainings at (16, 64) tested at 16 levels each, and so many of these configurations trained too;
    models that drew their levels lose `drawn` everywhere."""
    rng = np.random.default_rng(seed)
    rows = [
        (N, T, V, n, 16, 64) for N, n in product((1, 3, 9), (0.5, 1, 4)) for T in (1, 4, 8, 16) for V in (4, 9, 36, 64)
    ]
    own = [
        (3, 1, 4, 0.5, 1, 4),
        (1, 8, 4, 4, 8, 4),
        (9, 1, 64, 1, 1, 64),
        (9, 4, 9, 4, 4, 9),
        (1, 4, 36, 0.5, 4, 36),
        (3, 16, 64, 1, 16, 64),
    ]
    N, T, V, n, T_train, V_train = np.array(rows + own[:anchors], float).T
    lost = LOST["T"] * np.log(T_train / T) + LOST["V"] * np.log(V_train / V)
    elastic = None
    if drawn is not None:
        elastic = np.arange(len(N)) < len(rows)
        lost = lost + drawn * elastic
    error = law(N, T, V, n) * np.exp(lost + noise * rng.standard_normal(len(N)))
    trained = {"T": T_train, "V": V_train}
    return from_arrays({"N": N, "T": T, "V": V}, {"avg": error}, n, trained=trained, elastic=elastic)
