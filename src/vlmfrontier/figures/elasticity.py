"""Elasticities of x* in n, with their bands: by target, and against the budget (the paper's Figures 5 and 4)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vlmfrontier.figures import style
from vlmfrontier.figures.drawing import Drawing, labels_of
from vlmfrontier.figures.labels import Labels
from vlmfrontier.frontier.elasticity import UNDETERMINED, elasticity_by_budget
from vlmfrontier.frontier.load import Results

BUDGETS = 40
"""Budgets at which the elasticity is shown."""
COLUMNS = (3, 2, 4)
"""Columns of panels, the preferred number first."""


@style.styled
def elasticity_figure(table: pd.DataFrame, factors: Sequence[str]) -> Figure:
    """Return a panel per factor with e_k of every target and its band; filled where the band excludes 0.

    `table` has the columns of `elasticity_table` and `target`, the first row of a target at the top.
    """
    targets = list(dict.fromkeys(table.target))
    figure, axes = style.panels(1, len(factors), height=0.9 + 0.22 * len(targets), sharey=True)
    for panel, factor in zip(axes[0], factors, strict=True):
        _draw(panel, table[table.factor == factor].set_index("target").loc[targets])
        panel.set_xlabel(f"elasticity of {factor}* in n (% per %)")
    axes[0, 0].set_yticks(np.arange(len(targets)), targets)
    axes[0, 0].set_ylim(-0.6, len(targets) - 0.4)
    axes[0, 0].invert_yaxis()
    return figure


def _draw(panel: Axes, rows: pd.DataFrame) -> None:
    panel.axvline(0, color=style.MUTED, lw=1)
    for place, row in enumerate(rows.itertuples()):
        determined = row.direction != UNDETERMINED
        color = style.CATEGORIES[0] if determined else style.MUTED
        panel.plot([row.e_lo, row.e_hi], [place, place], color=color, lw=2)
        panel.plot(row.e_median, place, "o", ms=5, color=color, mfc=color if determined else "white")
    panel.grid(axis="y", visible=False)
    panel.xaxis.set_major_locator(MaxNLocator(4))
    if not rows[["e_lo", "e_hi"]].to_numpy().any():  # x* never moves: an axis of width zero would be of any width
        panel.set_xlim(-0.1, 0.1)


@style.styled
def elasticity_budget_figure(table: pd.DataFrame, labels: Labels) -> Figure:
    """Return a panel per factor with the median of e_k and its band at each budget, averaged over the data sizes.

    `table` is `elasticity_by_budget`'s.
    """
    factors = list(dict.fromkeys(table.factor))
    figure, tiles = style.tiles(len(factors), COLUMNS, sharex=True, sharey=True)
    for panel, factor in zip(tiles.all, factors, strict=True):
        rows = table[table.factor == factor]
        panel.axhline(0, color=style.MUTED, lw=1)
        panel.fill_between(rows.c, rows.e_lo, rows.e_hi, step="mid", color=style.CATEGORIES[0], alpha=0.2, lw=0)
        panel.step(rows.c, rows.e_median, where="mid", color=style.CATEGORIES[0], lw=1.4, label="median of the models")
        panel.step(rows.c, rows.e, where="mid", color=style.CATEGORIES[1], lw=1, label="frontier of the pooled median")
        panel.set_title(f"{factor}*")
    style.number_axis(tiles.all[0].xaxis, log=True)
    for panel in tiles.left:
        panel.set_ylabel("elasticity in n (% per %)")
    for panel in tiles.bottom:
        panel.set_xlabel(labels.budget)
    style.legend_below(figure, tiles.all[0])
    return figure


def draw_elasticity(results: Results, target: str) -> Drawing:
    """Return the elasticities of every target, as the table of elasticities has them."""
    table = results.made_table("tables/elasticity.csv", ["e_median", "e_lo", "e_hi"], ["target", "factor"])
    return Drawing(elasticity_figure(table, results.study.factors()), table)


def draw_elasticity_budget(results: Results, target: str) -> Drawing:
    """Return the elasticity of one target against the budget."""
    grid = results.elasticity_grid
    budgets = np.geomspace(grid.budgets[0], grid.budgets[-1], BUDGETS)
    table = elasticity_by_budget(results.target(target), replace(grid, budgets=budgets))
    return Drawing(elasticity_budget_figure(table, labels_of(results, target)), table)
