"""Two studies side by side: the errors of runs that both have, and what each says should be deployed."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from vlmfrontier.frontier.answers import Choice, recommend
from vlmfrontier.frontier.measured import prediction
from vlmfrontier.frontier.pool import TAILS, Target
from vlmfrontier.frontier.search import affordable, member_choices
from vlmfrontier.frontier.space import check_budgets

DIGITS = 9
"""Levels that agree to so many digits are the same: tables round them."""


@dataclass(frozen=True)
class Pairs:
    """The runs that both studies have, paired by factors, n and, where both have seeds, seed."""

    rows: pd.DataFrame
    """A row per pair: its levels, `first`, `second`, `difference` (second less first), and `se` by the tests alone."""
    alone: tuple[int, int]
    """How many runs the first and the second study have that the other has not; repeats of a seed count as one."""

    @property
    def mean(self) -> tuple[float, float]:
        """Return the mean difference and its standard error over the pairs; NaN of fewer than two."""
        count = len(self.rows)
        spread = self.rows.difference.std(ddof=1) / np.sqrt(count) if count > 1 else np.nan
        return (float(self.rows.difference.mean()) if count else np.nan), float(spread)


def pair(first: pd.DataFrame, second: pd.DataFrame) -> Pairs:
    """Return the pairs of two tables with columns of levels, those of common name compared, `error` and `se`."""
    levels = [name for name in first if name in second and name not in ("error", "se")]
    grouped = []
    for side in (first, second):
        keys = side[levels].map(lambda level: float(f"{level:.{DIGITS}g}") if isinstance(level, float) else level)
        keys = keys.assign(error=side.error, se=side.se)[side.error.notna()]
        grouped.append(keys.groupby(levels, sort=False)[["error", "se"]].mean())
    one, other = (side.add_suffix(suffix) for side, suffix in zip(grouped, ("_first", "_second"), strict=True))
    both = one.join(other, how="inner").reset_index()
    rows = both[levels].assign(
        first=both.error_first,
        second=both.error_second,
        difference=both.error_second - both.error_first,
        se=np.hypot(both.se_first, both.se_second),
    )
    return Pairs(rows, (len(grouped[0]) - len(rows), len(grouped[1]) - len(rows)))


@dataclass(frozen=True)
class Optimum:
    """What one study says at a budget."""

    choice: Choice
    ranges: dict[str, tuple[float, float]]
    """The levels of each factor that 90% of its fits choose."""
    rival: float | None
    """What it predicts for the other study's choice; None where its space does not have that."""


@dataclass(frozen=True)
class Both:
    """What two studies say at one budget and number of examples."""

    budget: float
    examples: float | None
    first: Optimum
    second: Optimum

    @property
    def difference(self) -> tuple[float, float, float]:
        """Return the second's least error less the first's, with the ends of its 90% interval.

        The studies are independent, so the distances to the ends of their intervals add in squares.
        """
        a, b = self.first.choice, self.second.choice
        middle = b.f - a.f
        return middle, middle - np.hypot(b.f - b.f_lo, a.f_hi - a.f), middle + np.hypot(b.f_hi - b.f, a.f - a.f_lo)

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return asdict(self) | {"difference": self.difference}


def both(first: Target, second: Target, budget: float, examples: float | None, near: float) -> Both:
    """Return x* of both studies (Eq. 4). Raises `UserError` for a budget that affords nothing in one of them."""
    for target in (first, second):
        check_budgets(target.space, [budget])
    chosen = [recommend(target, budget, examples, near)[0] for target in (first, second)]
    optima = [
        Optimum(own, _ranges(target, budget, examples), prediction(target, other.x, examples))
        for target, own, other in zip((first, second), chosen, reversed(chosen), strict=True)
    ]
    return Both(budget, examples, *optima)


def _ranges(target: Target, budget: float, examples: float | None) -> dict[str, tuple[float, float]]:
    pool = target.ensemble.pool
    n = np.array([pool.data_unit if examples is None else examples])
    own = member_choices(pool, n, affordable(target.space.cost, np.array([budget])))[:, 0, 0]
    ends = {
        name: np.quantile(values[own], TAILS, method="inverted_cdf") for name, values in target.space.factors.items()
    }
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}
