"""IsoFLOP panels: rivals of equal cost, and the least error predicted at each level (the paper's Figures 2 and 9)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmfrontier.figures import style
from vlmfrontier.frontier.search import affordable, pooled_errors
from vlmfrontier.frontier.target import Target
from vlmfrontier.study.units import format_number


@style.styled
def isoflop_figure(groups: Mapping[float, pd.DataFrame], target: Target, label: str) -> Figure | None:
    """Return a panel per factor with the runs of each budget (points), and the least predicted error that the budget

    allows at each level of the factor (line), whose minimum, x*, is the star. `groups` maps budgets to runs of one n.
    None if there are no such runs.
    """
    if not groups:
        return None
    factors = list(target.space.factors)
    colors = style.sequence(len(groups))
    drawn = [_Group(target, budget, rows, color) for (budget, rows), color in zip(groups.items(), colors, strict=True)]
    figure, axes = style.panels(1, len(factors), sharey=True)
    for panel, factor in zip(axes[0], factors, strict=True):
        for group in drawn:
            group.draw(panel, factor)
        shown = np.concatenate([group.rows[factor] for group in drawn])
        style.factor_axis(panel.xaxis, factor, np.append(target.space.levels(factor), shown))
        panel.set_xlim(right=1.25 * shown.max())
    axes[0, 0].set_ylim(*_limits(drawn))
    axes[0, 0].set_ylabel(label)
    style.legend_below(figure, axes[0, 0])
    return figure


@dataclass(frozen=True)
class _Group:
    """The runs of one budget."""

    target: Target
    budget: float
    rows: pd.DataFrame
    color: tuple[float, ...]

    @property
    def examples(self) -> float | None:
        """The n of these runs."""
        return float(self.rows["n"].iloc[0]) if "n" in self.rows else None

    @property
    def label(self) -> str:
        """Budget and n."""
        data = "" if self.examples is None else f", n = {format_number(self.examples)}"
        return f"{format_number(self.budget)} {self.target.space.unit}{data}"

    @property
    def least_error(self) -> float:
        """The predicted error at x*."""
        factor = next(iter(self.target.space.factors))
        return float(least_errors(self.target, self.budget, factor, self.examples)[1].min())

    def draw(self, panel: Axes, factor: str) -> None:
        """Draw the runs, the least predicted error at each level, and its minimum."""
        levels, errors = least_errors(self.target, self.budget, factor, self.examples)
        panel.plot(levels, errors, color=self.color, label=self.label)
        best = int(np.argmin(errors))
        panel.plot(levels[best], errors[best], "*", color=self.color, ms=13, mec="white", mew=0.8, zorder=4)
        panel.plot(self.rows[factor], self.rows[self.target.name], "o", color=self.color, ms=4.5, mec="white", mew=0.6)


def _limits(groups: Sequence[_Group]) -> tuple[float, float]:
    """Return limits of the error that show every run and every x*; predictions far above the runs are cut off."""
    shown = np.concatenate([[group.least_error, *group.rows[group.target.name]] for group in groups])
    margin = 0.08 * np.ptp(shown)
    return shown.min() - margin, shown.max() + margin


def least_errors(target: Target, budget: float, factor: str, examples: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the affordable levels of a factor and the least pooled error (Eq. 4) with the factor held at each."""
    pool = target.spread.pool
    n = pool.data_unit if examples is None else examples
    count = int(affordable(target.space.cost, np.array([budget]))[0])
    errors = pooled_errors(pool, np.array([n]))[0, :count]
    values = target.space.factors[factor][:count]
    levels = np.unique(values)
    return levels, np.array([errors[values == level].min() for level in levels])


def least_error_table(groups: Mapping[float, pd.DataFrame], target: Target) -> pd.DataFrame:
    """Return the lines of `isoflop_figure` as numbers: budget c, n, factor, its level, the least predicted error."""
    parts = [pd.DataFrame(columns=["c", "n", "factor", "level", "f"])]
    for budget, rows in groups.items():
        examples = float(rows["n"].iloc[0]) if "n" in rows else None
        for factor in target.space.factors:
            levels, errors = least_errors(target, budget, factor, examples)
            parts.append(pd.DataFrame({"c": budget, "n": examples, "factor": factor, "level": levels, "f": errors}))
    return pd.concat(parts[1:] or parts, ignore_index=True)
