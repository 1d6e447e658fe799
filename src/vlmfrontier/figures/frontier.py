"""The predicted frontier: x* and its error against the budget (the paper's Figures 4 and 10)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmfrontier.figures import style
from vlmfrontier.frontier.coverage import INSIDE
from vlmfrontier.study.units import format_number


def frontier_figure(table: pd.DataFrame, factors: list[str], target: str, unit: str) -> Figure:
    """Return x_k*(c; n) of every factor and f along the frontier, a line per n.

    `table` is `frontier_table`'s. Shaded: 90% of the models' own optima, and the 90% interval of f. Dotted where the
    configuration or n lies outside the runs.
    """
    columns = 2 if len(factors) > 1 else len(factors) + 1
    rows = -(-(len(factors) + 1) // columns)
    figure, axes = style.panels(rows, columns, sharex=True)
    panels = axes.ravel()
    for panel, factor in zip(panels, factors, strict=False):
        _factor_panel(panel, table, factor)
    _error_panel(panels[len(factors)], table, target)
    style.blank(panels[len(factors) + 1 :])
    for panel in axes[-1]:
        style.number_axis(panel.xaxis, log=True)
        panel.set_xlabel(style.budget_label(unit))
    style.legend_below(figure, panels[0])
    return figure


def _lines(table: pd.DataFrame) -> list[tuple[str, tuple, pd.DataFrame]]:
    """Return label, colour and rows of every n; one line without label for a table without data size."""
    groups = list(table.groupby("n", dropna=False))
    names = ["" if np.isnan(n) else f"n = {format_number(n)}" for n, _ in groups]
    return list(zip(names, style.sequence(len(groups)), (rows for _, rows in groups), strict=True))


def _factor_panel(panel: Axes, table: pd.DataFrame, factor: str) -> None:
    """Draw one factor of x* as steps, since its values are discrete."""
    for name, color, rows in _lines(table):
        panel.fill_between(
            rows.c, rows[f"{factor}_lo"], rows[f"{factor}_hi"], step="post", color=color, alpha=0.13, lw=0
        )
        inside = rows.extrapolates == INSIDE
        panel.step(rows.c, rows[factor].where(inside), where="post", color=color, label=name)
        panel.step(rows.c, rows[factor], where="post", color=color, lw=1, ls=":")
    levels = table[[factor, f"{factor}_lo", f"{factor}_hi"]].to_numpy()
    style.factor_axis(panel.yaxis, factor, np.unique(levels))


def _error_panel(panel: Axes, table: pd.DataFrame, target: str) -> None:
    for name, color, rows in _lines(table):
        panel.fill_between(rows.c, rows.f_lo, rows.f_hi, color=color, alpha=0.18, lw=0)
        panel.plot(rows.c, rows.f.where(rows.extrapolates == INSIDE), color=color, label=name)
        panel.plot(rows.c, rows.f, color=color, lw=1, ls=":")
    panel.set_ylabel(style.error_label(target))
