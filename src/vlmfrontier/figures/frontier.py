"""The predicted frontier: x* and its error against the budget (the paper's Figures 4 and 10)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmfrontier.figures import style
from vlmfrontier.figures.drawing import Drawing, labels_of, other_targets
from vlmfrontier.figures.labels import Labels
from vlmfrontier.frontier.load import Results
from vlmfrontier.frontier.space import INSIDE
from vlmfrontier.study.units import format_count

COLUMNS = (2, 3)
"""Columns of panels, the preferred number first."""
TASK_HEIGHT = 1.5


@style.styled
def frontier_figure(table: pd.DataFrame, factors: Sequence[str], labels: Labels, range_name: str) -> Figure:
    """Return x_k*(c; n) of every factor and f along the frontier, a line per n.

    `table` is `frontier_table`'s. Lines are wider for smaller n, so that all show where they agree. Shaded: 90% of the
    models' own optima, for the middle n, and the range of f, which is called `range_name`. Dotted where x* or n lies
    outside the runs.
    """
    figure, tiles = style.tiles(len(factors) + 1, COLUMNS, sharex=True)
    lines = _lines(table)
    for panel, factor in zip(tiles.all, factors, strict=False):
        _factor_panel(panel, lines, factor)
        panel.set_ylabel(labels.names[factor])
    _error_panel(tiles.all[-1], lines, labels.error, range_name)
    style.number_axis(tiles.all[0].xaxis, log=True)
    for panel in tiles.bottom:
        panel.set_xlabel(labels.budget)
    style.legend_below(figure, tiles.all[0])
    return figure


@style.styled
def frontier_tasks_figure(tables: Mapping[str, pd.DataFrame], factors: Sequence[str], labels: Labels) -> Figure:
    """Return a row of panels per target: x_k*(c; n) of every factor and f, at the middle n.

    Shaded: 90% of the models' own optima, and the interval of f. Dotted where x* or n lies outside the runs.
    """
    figure, axes = style.panels(len(tables), len(factors) + 1, TASK_HEIGHT, sharex=True)
    for row, (target, table) in zip(axes, tables.items(), strict=True):
        line = middle(_lines(table))
        for panel, factor in zip(row, factors, strict=False):
            _factor_panel(panel, [line], factor)
            panel.set_ylabel("")
        _error_panel(row[-1], [line], "", "")
        low, high = line.rows.f.min(), line.rows.f.max()  # a band of one budget shall not flatten the rest
        row[-1].set_ylim(low - 0.2 * (high - low) - 0.5, high + 0.2 * (high - low) + 0.5)
        row[0].set_ylabel(target)
    for panel, name in zip(axes[0], factors, strict=False):
        panel.set_title(labels.names[name])
    axes[0, -1].set_title(f"error{labels.range}" + ("" if line.label == "frontier" else f", {line.label}"))
    for panel in axes[-1]:
        panel.set_xlabel(labels.budget)
    style.number_axis(axes[0, 0].xaxis, log=True)
    for column, factor in zip(axes.T, factors, strict=False):
        levels = [_levels([middle(_lines(table))], factor) for table in tables.values()]
        for panel in column:
            style.factor_axis(panel.yaxis, panel.get_ylabel(), np.unique(np.concatenate(levels)))
            panel.set_ylim(0.9 * np.min(np.concatenate(levels)), 1.12 * np.max(np.concatenate(levels)))
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
    names = ["frontier" if np.isnan(n) else f"n = {format_count(n)}" for n, _ in groups]
    return [
        _Line(name, rows, color, width) for name, (_, rows), (color, width) in zip(names, groups, look, strict=True)
    ]


def middle(lines: Sequence[_Line]) -> _Line:
    """Return the line of the middle n, whose band is shown."""
    return lines[len(lines) // 2]


def _factor_panel(panel: Axes, lines: Sequence[_Line], factor: str) -> None:
    """Draw one factor of x* as steps, since its values are discrete."""
    shown = middle(lines)
    low, high = shown.rows[f"{factor}_lo"], shown.rows[f"{factor}_hi"]
    name = "90% of the models' optima" + (f" ({shown.label})" if len(lines) > 1 else "")
    panel.fill_between(shown.rows.c, low, high, step="post", color=shown.color, alpha=0.18, lw=0, label=name)
    for line in lines:
        inside = line.rows[factor].where(line.rows.extrapolates == INSIDE)
        panel.step(line.rows.c, inside, where="post", color=line.color, lw=line.width, label=line.label)
        panel.step(line.rows.c, line.rows[factor], where="post", color=line.color, lw=1, ls=":")
    style.factor_axis(panel.yaxis, "", _levels(lines, factor))


def _levels(lines: Sequence[_Line], factor: str) -> np.ndarray:
    """Return every value that a panel shows of a factor, once: what comes often is no better tick here."""
    rows = middle(lines).rows
    return np.unique(
        np.concatenate([rows[f"{factor}_lo"], rows[f"{factor}_hi"], *(line.rows[factor] for line in lines)])
    )


def _error_panel(panel: Axes, lines: Sequence[_Line], label: str, range_name: str) -> None:
    for line in lines:
        rows = line.rows
        panel.fill_between(rows.c, rows.f_lo, rows.f_hi, color=line.color, alpha=0.18, lw=0)
        panel.plot(rows.c, rows.f.where(rows.extrapolates == INSIDE), color=line.color)
        panel.plot(rows.c, rows.f, color=line.color, lw=1, ls=":")
    panel.set_ylabel(label)
    panel.set_title(f"along the frontier, with {range_name}" if range_name else "")


def draw_frontier(results: Results, target: str) -> Drawing:
    """Return the frontier of one target."""
    table = results.frontier(target)
    return Drawing(
        frontier_figure(table, results.study.factors(), labels_of(results, target), results.range_name), table
    )


def draw_frontier_tasks(results: Results, target: str) -> Drawing:
    """Return the frontier of every other target, at the middle n."""
    tables = {name: results.frontier(name) for name in other_targets(results, target)}
    shown = {name: middle(_lines(table)).rows for name, table in tables.items()}
    figure = frontier_tasks_figure(tables, results.study.factors(), labels_of(results, target))
    return Drawing(figure, pd.concat(shown, names=["target"]).reset_index("target"))
