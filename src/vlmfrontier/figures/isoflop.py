"""IsoFLOP panels: rivals of equal cost, and the least error predicted at each level (the paper's Figures 2 and 9)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmfrontier.figures import style
from vlmfrontier.figures.by_factor import by_factor, by_target_and_factor
from vlmfrontier.figures.drawing import Drawing, budget_groups, labels_of, other_targets
from vlmfrontier.figures.labels import Labels
from vlmfrontier.frontier.load import Results
from vlmfrontier.frontier.search import affordable, pooled_errors
from vlmfrontier.frontier.target import Target
from vlmfrontier.study.units import format_count, format_number

RUN, LAW = "run", "law"
"""Kinds of rows: a measured run, and the least error that the law predicts with the factor at a level."""
LEGEND_COLUMNS = 4
TASK_HEIGHT = 1.7


def isoflop_data(groups: Mapping[float, pd.DataFrame], targets: Mapping[str, Target]) -> pd.DataFrame:
    """Return the runs of each budget and the least predicted error at each level of every factor, for every target.

    `groups` maps budgets to runs of one n. Columns: target, c (budget), n, factor, kind (run, law), level, f, best: for
    a law the level of x*, for a run whether it is the budget's best.
    """
    parts = []
    for target, found in targets.items():
        for budget, rows in groups.items():
            examples = float(rows["n"].iloc[0]) if "n" in rows else None
            for factor in found.space.factors:
                levels, errors = least_errors(found, budget, factor, examples)
                common = {"target": target, "c": budget, "n": examples, "factor": factor}
                law = {"kind": LAW, "level": levels, "f": errors, "best": _is_least(errors)}
                f = rows[target].to_numpy()
                run = {"kind": RUN, "level": rows[factor].to_numpy(), "f": f, "best": _is_least(f)}
                parts += [pd.DataFrame({**common, **law}), pd.DataFrame({**common, **run})]
    return pd.concat(parts, ignore_index=True)


def least_errors(target: Target, budget: float, factor: str, examples: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the affordable levels of a factor and the least pooled error (Eq. 4) with the factor held at each."""
    pool = target.spread.pool
    n = pool.data_unit if examples is None else examples
    count = int(affordable(target.space.cost, np.array([budget]))[0])
    errors = pooled_errors(pool, np.array([n]))[0, :count]
    values = target.space.factors[factor][:count]
    levels = np.unique(values)
    return levels, np.array([errors[values == level].min() for level in levels])


def isoflop_figure(data: pd.DataFrame, labels: Labels) -> Figure:
    """Return a panel per factor with the runs of each budget (points), and the least predicted error that the budget
    allows at each level of the factor (line), whose minimum, x*, is the star.

    The best run of each budget is ringed; the empirical frontier joins them.
    """
    return by_factor(data, labels, _draw, _limits, LEGEND_COLUMNS)


def isoflop_tasks_figure(data: pd.DataFrame, labels: Labels) -> Figure:
    """Return a row of panels per target, each with a scale of its own, and a column per factor."""
    return by_target_and_factor(data, labels, _draw, _limits, TASK_HEIGHT, LEGEND_COLUMNS)


def _draw(panel: Axes, rows: pd.DataFrame, labels: Labels) -> None:
    """Draw the runs of every budget, the least predicted error at each level, its minimum, the empirical frontier."""
    budgets = list(rows.c.unique())
    if len(budgets) > 1:
        best = rows[(rows.kind == RUN) & rows.best]
        panel.plot(best.level, best.f, color=style.MUTED, lw=1, ls="--", zorder=1.5, label="empirical frontier")
    for budget, color in zip(budgets, style.sequence(len(budgets)), strict=True):
        group = rows[rows.c == budget]
        law, runs = group[group.kind == LAW], group[group.kind == RUN]
        panel.plot(law.level, law.f, color=color, label=_name(group, labels))
        star, ringed = law[law.best], runs[runs.best]
        panel.plot(star.level, star.f, "*", color=color, ms=13, mec="white", mew=0.8, zorder=4)
        panel.plot(runs.level, runs.f, "o", color=color, ms=4.5, mec="white", mew=0.6, zorder=5)
        panel.plot(ringed.level, ringed.f, "o", color=color, ms=9, mfc="none", mew=1.1, zorder=5)
    panel.plot([], [], "o", color=style.MUTED, ms=4.5, label="runs; ringed: the best of a budget")
    panel.plot([], [], "*", color=style.MUTED, ms=9, label="x*")
    style.factor_axis(panel.xaxis, labels.names[rows.factor.iloc[0]], rows.level)
    shown = rows.level[rows.f <= _limits(rows)[1]]
    panel.set_xlim(0.85 * shown.min(), 1.18 * shown.max())


def _name(group: pd.DataFrame, labels: Labels) -> str:
    n = group.n.iloc[0]
    data = "" if pd.isna(n) else f", n = {format_count(n)}"
    return f"{format_number(group.c.iloc[0])} {labels.cost_unit}{data}"


def _limits(data: pd.DataFrame) -> tuple[float, float]:
    """Return limits of the error that show every run and every x*; predictions far above the runs are cut off."""
    shown = data.f[(data.kind == RUN) | data.best]
    margin = 0.08 * np.ptp(shown)
    return shown.min() - margin, shown.max() + margin


def _is_least(errors: Sequence[float]) -> np.ndarray:
    return np.arange(len(errors)) == int(np.argmin(errors))


def draw_isoflop(results: Results, target: str) -> Drawing:
    """Return the runs of equal cost of one target."""
    data = isoflop_data(budget_groups(results), {target: results.target(target)})
    return Drawing(isoflop_figure(data, labels_of(results, target)), data)


def draw_isoflop_tasks(results: Results, target: str) -> Drawing:
    """Return the runs of equal cost of every other target."""
    targets = {name: results.target(name) for name in other_targets(results, target)}
    data = isoflop_data(budget_groups(results), targets)
    return Drawing(isoflop_tasks_figure(data, labels_of(results, target)), data)
