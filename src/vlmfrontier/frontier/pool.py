"""Which models speak on the frontier: as arrays over the space, the pool of all forms, and the spreads of the interval.

The recipe is the one that simulation chose: resamples of every form in proportion to its cross-validation weight give
the prediction, the choice and its probabilities; the interval is the envelope of three 90% ranges, of the pairs
bootstrap and of the wild bootstrap of the main form, and of the pool.

The main form stands in the envelope for what cross-validation cannot see among the sums of powers that it contains.
Where the data reject all of these, as they do when the truth is a product, its far extrapolations say nothing, and the
interval is the pool's range.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Members:
    """R models over m configurations, each f(x, n) = A(x) + B(x)·n^(−d); every form of Table 7 can be written so.

    n is counted in `data_unit` examples. A table without data size has B = 0 and d = 0.
    """

    A: np.ndarray
    """Shape (R, m): the part of the error that more data does not change."""
    B: np.ndarray
    """Shape (R, m): the part that data reduces, at n = `data_unit`."""
    d: np.ndarray
    """Shape (R,): the data exponent of each model."""
    data_unit: float = 1.0
    """Examples in one unit of n."""

    def __len__(self) -> int:
        return len(self.d)

    def decay(self, examples: np.ndarray) -> np.ndarray:
        """Return n^(−d) for every model and number of examples, shape (R, S)."""
        return (np.asarray(examples, float)[None, :] / self.data_unit) ** -self.d[:, None]

    def errors(self, configurations: np.ndarray, examples: float) -> np.ndarray:
        """Return f for the configurations at the given indices (I,) and one number of examples, shape (R, I)."""
        return self.A[:, configurations] + self.B[:, configurations] * self.decay(np.array([examples]))

    def take(self, rows: np.ndarray) -> "Members":
        """Return the models at `rows`, in that order; a row may come more than once."""
        return Members(self.A[rows], self.B[rows], self.d[rows], self.data_unit)


def stack(parts: Sequence[Members]) -> Members:
    """Return all models of `parts` together; they must share configurations and data unit."""
    if len({part.data_unit for part in parts}) != 1:
        raise ValueError("members to be stacked count n in different units")
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in ("A", "B", "d"))
    return Members(*arrays, data_unit=parts[0].data_unit)


TAILS = (0.05, 0.95)
"""Quantiles of one spread; their envelope is the 90% interval."""
REJECTED = 0.01
"""Forms whose weights together stay below this are rejected by the data: in simulation, those that cannot be true have
less than 0.002, those that can at least 0.9."""
PRODUCT = "mult"
"""The form that is no sum of powers, and is contained in none of the others."""


@dataclass(frozen=True)
class Spread:
    """The models of one target: who predicts, and whose ranges make the interval."""

    pool: Members
    """The models whose median is the prediction, and whose votes are `p_best` and `p_near`."""
    ranges: tuple[Members, ...]
    """Groups of models; an interval reaches from the least to the greatest end of their 90% ranges."""
    pairs: Members
    """The pairs bootstrap of the main form: the paper's bag."""
    range_name: str = "90% interval"
    """What the ends of `interval` are: an interval that covers, or the spread of one bag, which covers less."""

    def interval(self, configurations: np.ndarray, examples: float) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper end of the 90% interval of f at the given indices, each of shape (I,)."""
        ends = [np.quantile(group.errors(configurations, examples), TAILS, axis=0) for group in self.ranges]
        return np.min([low for low, _ in ends], axis=0), np.max([high for _, high in ends], axis=0)


def range_name(pooling: str) -> str:
    """Return what a study that pools so may call the range around its predictions."""
    return "90% interval" if pooling == "pool" else "bagging spread"


def pooled(bags: Mapping[str, Members], wild: Members, weights: Mapping[str, float], main: str, count: int) -> Spread:
    """Return the pool of `count` models, forms in proportion to `weights`, with the envelope of three spreads.

    `bags` holds every form's pairs bootstrap; `wild` and `bags[main]` are those of the main form. The pool's range is
    the interval where the main form and those it contains are rejected.
    """
    pool = stack([bags[form].take(rows) for form, rows in shares(bags, weights, count).items()])
    return Spread(pool, (pool,) if rejected(main, weights) else (bags[main], wild, pool), bags[main])


def rejected(main: str, weights: Mapping[str, float]) -> bool:
    """Return whether cross-validation leaves no weight to the main form and those it contains."""
    contained = [weights[form] for form in weights if (form == PRODUCT) == (main == PRODUCT)]
    return sum(contained) < REJECTED * sum(weights.values())


def as_in_the_paper(bag: Members) -> Spread:
    """Return the paper's way: the median of one bagged form, with nothing but the bag's spread around it."""
    return Spread(bag, (bag,), bag, range_name("paper"))


def shares(bags: Mapping[str, Members], weights: Mapping[str, float], count: int) -> dict[str, np.ndarray]:
    """Return which rows of every form's bag enter a pool of `count` models, by largest remainder.

    A form that is due more models than its bag holds enters with some of them twice.
    """
    forms = list(bags)
    due = count * np.array([weights[form] for form in forms]) / sum(weights[form] for form in forms)
    whole = np.floor(due + 1e-9).astype(int)
    for form in np.argsort(whole - due, kind="stable")[: count - whole.sum()]:
        whole[form] += 1
    return {form: np.arange(n) % len(bags[form]) for form, n in zip(forms, whole, strict=True) if n > 0}
