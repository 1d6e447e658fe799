"""Made-up results over the paper's sweep (its Table 6), with a known law: what tests and benchmarks recover.

The paper never published its per-run results, so these stand in for them; no study reads them.
"""

import numpy as np

from vlmfrontier.laws.fit import scaled
from vlmfrontier.laws.forms import Form, form_for
from vlmfrontier.laws.table import ResultsTable, from_arrays

_CENTRE = (7.5, 32, 196)
_STAR = ((1.0, 2.8, 7.5), (4, 8, 12, 16, 32), (4, 16, 25, 36, 49, 100, 196))
_STAR_N = (0.25, 0.5, 1.0)
_ISOFLOP_N = 2.0
_ISOFLOP = {
    1.0: "2,196 3,9 3,16 4,289 5,169 6,81 7,25 8,625 11,361 16,144 20,49 22,16 16,625 26,256 32,144 37,81 40,49",
    2.8: "2,64 3,4 3,169 4,100 5,64 6,25 7,9 6,324 11,121 16,49 19,25 20,16 9,484 17,196 22,121 27,81 35,36",
    7.5: "2,25 3,1 2,121 3,64 6,9 7,4 7,100 8,81 15,25 19,9 21,4 16,81 25,36 29,25 38,9",
}  # N in billions: T,V of its runs

ADDITIVE = {
    "alpha_N": 4.0, "a_N": 0.45, "alpha_T": 14.0, "a_T": 0.55, "alpha_V": 10.0, "a_V": 0.40,
    "xi": 6.0, "d": 0.45, "epsilon": 22.0,
}  # fmt: skip
"""An additive law: no factor interacts with the data size."""

STRONG = {
    "alpha_N": 4.0, "a_N": 0.45, "alpha_T": 14.0, "a_T": 0.55, "alpha_V": 10.0, "a_V": 0.40,
    "beta_N": 2.0, "b_N": 0.5, "beta_T": 0.6, "b_T": 0.4, "beta_V": 0.5, "b_V": 0.35,
    "xi": 0.0, "d": 0.45, "epsilon": 20.0,
}  # fmt: skip
"""A law in which more data helps larger models and inputs more: they cost error while data are few."""


def paper_grid() -> tuple[np.ndarray, np.ndarray]:
    """Return the 88 runs, (88, 4) with N in billions, T, V, n in millions; and which of them are the 39 star runs."""
    lines = {
        tuple(value if k == axis else _CENTRE[k] for k in range(3)): None
        for axis, values in enumerate(_STAR)
        for value in values
    }
    star = [(*x, n) for x in lines for n in _STAR_N]
    isoflop = [(N, *map(float, pair.split(",")), _ISOFLOP_N) for N, text in _ISOFLOP.items() for pair in text.split()]
    return np.array(star + isoflop), np.arange(len(star) + len(isoflop)) < len(star)


def paper_sweep(truth: dict[str, float] | None = None, noise: float = 0.01, seed: int = 0) -> ResultsTable:
    """Return results over the paper's grid: f of `truth` (default `STRONG`) and log-normal noise; split: star runs.

    Target `avg`; N in parameters, n in examples, units 1e9 and 1e6.
    """
    grid, star = paper_grid()
    form, theta = law_of(truth or STRONG)
    error = form.predict(theta, grid[:, :3], grid[:, 3])
    error = error * np.exp(noise * np.random.default_rng(seed).standard_normal(len(error)))
    return from_arrays(
        factors={"N": grid[:, 0] * 1e9, "T": grid[:, 1], "V": grid[:, 2]},
        targets={"avg": error},
        data=grid[:, 3] * 1e6,
        units={"N": 1e9},
        data_unit=1e6,
        split=star,
    )


def law_of(truth: dict[str, float]) -> tuple[Form, np.ndarray]:
    """Return the form whose parameters `truth` names, over N, T, V and n, and its θ."""
    form = form_for("add-interact" if "beta_N" in truth else "add", ("N", "T", "V"), True)
    return form, np.array([truth[name] for name in form.parameter_names])


def true_error(truth: dict[str, float], table: ResultsTable) -> np.ndarray:
    """Return f of `truth` at the rows of `table`, without noise."""
    form, theta = law_of(truth)
    return form.predict(theta, *scaled(form, table.points(), table.units, table.data_unit))
