"""The predicted frontier: x* and its error against the budget (the paper's Figures 4 and 10)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmfrontier.figures import style
from vlmfrontier.frontier.coverage import INSIDE
from vlmfrontier.study.units import format_number

COLUMNS = (2, 3)
"""Columns of panels, the preferred number first."""


@style.styled
def frontier_figure(table: pd.DataFrame, factors: list[str], label: str, unit: str, range_name: str) -> Figure:
    """Return x_k*(c; n) of every factor and f along the frontier, a line per n.

    `table` is `frontier_table`'s. Lines are wider for smaller n, so that all show where they agree. Shaded: 90% of the
    models' own optima, for the middle n, and the range of f, which is called `range_name`. Dotted where x* or n lies
    outside the runs.
    """
    figure, tiles = style.tiles(len(factors) + 1, COLUMNS, sharex=True)
    lines = _lines(table)
    for panel, factor in zip(tiles.all, factors, strict=False):
        _factor_panel(panel, lines, factor)
    _error_panel(tiles.all[-1], lines, label, range_name)
    style.number_axis(tiles.all[0].xaxis, log=True)
    for panel in tiles.bottom:
        panel.set_xlabel(style.budget_label(unit))
    style.legend_below(figure, tiles.all[0])
    return figure


@dataclass(frozen=True)
class _Line:
    """The rows of one n, and how they are drawn."""

    label: str
    rows: pd.DataFrame
    color: tuple[float, ...]
    width: float


def _lines(table: pd.DataFrame) -> list[_Line]:
    """Return a line for every n; one without label for a table without data size."""
    groups = list(table.groupby("n", dropna=False))
    widths = np.linspace(1.2 + 1.3 * (len(groups) - 1), 1.2, len(groups))
    look = zip(style.sequence(len(groups)), widths, strict=True)
    names = ["frontier" if np.isnan(n) else f"n = {format_number(n)}" for n, _ in groups]
    return [
        _Line(name, rows, color, width) for name, (_, rows), (color, width) in zip(names, groups, look, strict=True)
    ]


def _factor_panel(panel: Axes, lines: list[_Line], factor: str) -> None:
    """Draw one factor of x* as steps, since its values are discrete."""
    middle = lines[len(lines) // 2]
    low, high = middle.rows[f"{factor}_lo"], middle.rows[f"{factor}_hi"]
    name = "90% of the models' optima" + (f" ({middle.label})" if len(lines) > 1 else "")
    panel.fill_between(middle.rows.c, low, high, step="post", color=middle.color, alpha=0.18, lw=0, label=name)
    for line in lines:
        inside = line.rows[factor].where(line.rows.extrapolates == INSIDE)
        panel.step(line.rows.c, inside, where="post", color=line.color, lw=line.width, label=line.label)
        panel.step(line.rows.c, line.rows[factor], where="post", color=line.color, lw=1, ls=":")
    levels = np.concatenate([low, high, *(line.rows[factor] for line in lines)])
    style.factor_axis(panel.yaxis, factor, levels)


def _error_panel(panel: Axes, lines: list[_Line], label: str, range_name: str) -> None:
    for line in lines:
        rows = line.rows
        panel.fill_between(rows.c, rows.f_lo, rows.f_hi, color=line.color, alpha=0.18, lw=0)
        panel.plot(rows.c, rows.f.where(rows.extrapolates == INSIDE), color=line.color)
        panel.plot(rows.c, rows.f, color=line.color, lw=1, ls=":")
    panel.set_ylabel(label)
    panel.set_title(f"along the frontier, with {range_name}")
