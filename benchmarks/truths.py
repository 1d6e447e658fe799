"""Known laws over the paper's grid, of several kinds, and noisy runs drawn from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from vlmfrontier.laws.table import ResultsTable, from_arrays

GRID = pd.read_csv(Path(__file__).with_name("paper_grid.csv"))
"""The paper's 88 runs (its Table 6): 39 of the star, 49 of the isoFLOP sweep."""
FACTORS = ("N", "T", "V")
UNITS = {"N": 1e9, "T": 1.0, "V": 1.0}
DATA_UNIT = 1e6
REFERENCE = np.array([2.8, 12.0, 64.0])
"""Where a term's contribution in points of error is drawn; n = 1 million."""
ERRORS = (15.0, 85.0)
"""Truths with errors outside this range on the grid are drawn again."""

HELD = ("none", "weak", "strong", "mult")
"""Kinds that a form holds: interaction of factors and n none, weak or strong; a product of all."""
WRONG = ("apart", "saturating", "tokens", "ceiling", "bending")
"""Kinds that no sum of powers holds: strong interactions with a data exponent each, one factor that saturates, frames
and tokens that act as a product, errors that end at a ceiling, an n-law that bends."""
KINDS = HELD + WRONG


@dataclass(frozen=True)
class Truth:
    """A law that is known."""

    kind: str
    law: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """Error of x (m, 3), in billions, frames and tokens, at n (m,) in millions."""

    def error(self, values: Mapping[str, np.ndarray], examples: np.ndarray | float) -> np.ndarray:
        """Return the error without noise for columns N, T, V and examples in the units of the grid."""
        x = np.stack([np.asarray(values[name], float) / UNITS[name] for name in FACTORS], axis=-1)
        return self.law(x, np.broadcast_to(np.asarray(examples, float) / DATA_UNIT, x.shape[:-1]))


def draw(kind: str, rng: np.random.Generator) -> Truth:
    """Return a random truth of a kind, with errors on the grid in the range of real ones."""
    while True:
        truth = Truth(kind, _LAWS[kind](rng))
        errors = truth.error(GRID, GRID.n)
        if errors.min() > ERRORS[0] and errors.max() < ERRORS[1]:
            return truth


def runs(truth: Truth, noise: float, rng: np.random.Generator, rows: pd.DataFrame = GRID) -> ResultsTable:
    """Return the runs of the grid as a table, with log-normal noise of relative size `noise`."""
    error = truth.error(rows, rows.n) * np.exp(noise * rng.standard_normal(len(rows)))
    factors = {name: rows[name].to_numpy(float) for name in FACTORS}
    table = from_arrays(factors, {"avg": error}, rows.n.to_numpy(float), UNITS, DATA_UNIT)
    return replace(table, largest={"avg": 100.0})


def _power(contribution: np.ndarray, exponent: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return Σ_k contribution_k · (x_k / reference_k)^exponent_k, shape (m,)."""
    return (contribution * (x / REFERENCE) ** exponent).sum(-1)


def _additive(
    interaction: tuple[float, float], contribution: tuple[float, float] = (2, 10)
) -> Callable[[np.random.Generator], Callable]:
    """Return a drawer of laws of the form add-interact, with interactions and contributions of these ranges."""

    def drawer(rng: np.random.Generator) -> Callable:
        main, a = rng.uniform(*contribution, 3), rng.uniform(0.2, 0.9, 3)
        beta, b = rng.uniform(*interaction, 3), rng.uniform(0.1, 0.6, 3)
        xi, d, floor = rng.uniform(2, 8), rng.uniform(0.2, 0.6), rng.uniform(12, 28)
        return lambda x, n: _power(main, -a, x) + (_power(beta, b, x) + xi) * n**-d + floor

    return drawer


def _multiplicative(rng: np.random.Generator) -> Callable:
    size, a, d, floor = rng.uniform(12, 28), rng.uniform(0.05, 0.3, 3), rng.uniform(0.1, 0.4), rng.uniform(12, 28)
    return lambda x, n: size * np.prod((x / REFERENCE) ** -a, axis=-1) * n**-d + floor


def _apart(rng: np.random.Generator) -> Callable:
    """Every interaction has a data exponent of its own."""
    law = _additive((0.0, 0.0))(rng)
    beta, b, d = rng.uniform(1, 5, 3), rng.uniform(0.1, 0.6, 3), rng.uniform(0.15, 0.8, 3)
    return lambda x, n: law(x, n) + (beta * (x / REFERENCE) ** b * np.asarray(n)[..., None] ** -d).sum(-1)


def _saturating(rng: np.random.Generator) -> Callable:
    """One factor counts as (x^−p + x0^−p)^(−1/p): it ends at x0, softly or at once."""
    law, k, p = _additive((0.2, 1.0))(rng), rng.integers(3), rng.choice([1.0, 2.0, 4.0])
    limit = rng.uniform(*((2, 8), (6, 40), (40, 400))[k])

    def error(x: np.ndarray, n: np.ndarray) -> np.ndarray:
        x = np.array(x, float)
        x[..., k] = (x[..., k] ** -p + limit**-p) ** (-1 / p)
        return law(x, n)

    return error


def _tokens(rng: np.random.Generator) -> Callable:
    """Visual tokens T·V in all cost error, less so with more data; or frames and tokens gain as a product."""
    law = _additive((0.0, 0.0))(rng)
    if rng.random() < 0.5:
        size, b = rng.uniform(1, 4), rng.uniform(0.1, 0.4)
        tokens = REFERENCE[1] * REFERENCE[2]
        return lambda x, n: law(x, n) + size * (x[..., 1] * x[..., 2] / tokens) ** b * n**-0.4
    main, a, (p, q) = rng.uniform(2, 10), rng.uniform(0.2, 0.9), rng.uniform(0.15, 0.6, 2)
    size, xi, d, floor = rng.uniform(4, 14), rng.uniform(2, 8), rng.uniform(0.2, 0.6), rng.uniform(12, 28)

    def error(x: np.ndarray, n: np.ndarray) -> np.ndarray:
        z = x / REFERENCE
        return main * z[..., 0] ** -a + size * z[..., 1] ** -p * z[..., 2] ** -q + xi * n**-d + floor

    return error


def _ceiling(rng: np.random.Generator) -> Callable:
    """Errors end at C, between 60 and 85, softly or at once."""
    law, C, s = _additive((0.2, 1.5), (4, 14))(rng), rng.uniform(60, 85), rng.choice([1.0, 2.0, 4.0, 8.0])
    return lambda x, n: (law(x, n) ** -s + C**-s) ** (-1 / s)


def _bending(rng: np.random.Generator) -> Callable:
    """n counts as n / (1 + n / n0), with n0 between 2 and 20 million."""
    law, limit = _additive((0.2, 1.0))(rng), np.exp(rng.uniform(np.log(2), np.log(20)))
    return lambda x, n: law(x, n / (1 + n / limit))


_LAWS = {
    "none": _additive((0.0, 0.0)),
    "weak": _additive((0.2, 1.0)),
    "strong": _additive((1.0, 4.0)),
    "mult": _multiplicative,
    "apart": _apart,
    "saturating": _saturating,
    "tokens": _tokens,
    "ceiling": _ceiling,
    "bending": _bending,
}
