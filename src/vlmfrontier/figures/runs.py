"""All runs at a glance: error against every factor and against the cost (the paper's Figure 7)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vlmfrontier.figures import style
from vlmfrontier.figures.drawing import Drawing, labels_of, runs_with_sweeps
from vlmfrontier.figures.labels import Labels
from vlmfrontier.frontier.load import Results
from vlmfrontier.study.units import format_count

MOST_SIZES = 6
"""With more data sizes than this, n has an axis of its own."""
COLUMNS = (3, 2, 4)
"""Columns of panels, the preferred number first."""


@style.styled
def runs_figure(data: pd.DataFrame, factors: Sequence[str], target: str, labels: Labels) -> Figure:
    """Return a panel per factor, for n if it has many values, and for the cost `c`: runs as points, a colour per n.

    Markers tell sweeps apart where `data` has the column `sweep`. Bars are one standard error.
    """
    many = "n" in data and data["n"].nunique() > MOST_SIZES
    axes = [*factors, *(["n"] if many else []), *(["c"] if "c" in data and data.c.notna().any() else [])]
    figure, tiles = style.tiles(len(axes), COLUMNS, sharey=True)
    colors = _colors(data)
    for panel, name in zip(tiles.all, axes, strict=True):
        for (size, sweep), rows in data.groupby([data.get("n", pd.Series(0, data.index)), _sweeps(data)], sort=True):
            marker = style.MARKERS[list(dict.fromkeys(_sweeps(data))).index(sweep) % len(style.MARKERS)]
            se = rows.get(f"{target}_se")
            look = {"ms": 4.5, "mec": "white", "mew": 0.5, "elinewidth": 0.7, "alpha": 0.9}
            panel.errorbar(rows[name], rows[target], se, fmt=marker, color=colors[size], **look)
        if name == "c":
            style.number_axis(panel.xaxis, log=True)
            panel.set_xlabel(labels.cost)
        else:
            style.factor_axis(panel.xaxis, labels.names[name], data[name])
    for panel in tiles.left:
        panel.set_ylabel(labels.error)
    _legend(figure, tiles.all[0], data, colors)
    return figure


def _sweeps(data: pd.DataFrame) -> pd.Series:
    return data["sweep"] if "sweep" in data else pd.Series("", data.index)


def _colors(data: pd.DataFrame) -> dict[float, object]:
    sizes = np.unique(data["n"]) if "n" in data else np.array([0.0])
    return dict(zip(sizes.tolist(), style.sequence(len(sizes)), strict=True))


def _legend(figure: Figure, panel, data: pd.DataFrame, colors: dict[float, object]) -> None:
    """Say which colour is which n, and which marker which sweep; of many sizes the first, the last and some between."""
    if "n" in data:
        sizes = list(colors)
        places = np.unique(np.linspace(0, len(sizes) - 1, min(len(sizes), MOST_SIZES)).round().astype(int))
        for size in (sizes[place] for place in places):
            name = f"n = {format_count(size)}"
            panel.plot([], [], "o", ms=5, color=colors[size], label=name)
    sweeps = list(dict.fromkeys(_sweeps(data)))
    for sweep, marker in zip(sweeps, style.MARKERS * len(sweeps), strict=False) if len(sweeps) > 1 else ():
        panel.plot([], [], marker, ms=5, color=style.MEASURED, label=sweep)
    style.legend_below(figure, panel)


def draw_runs(results: Results, target: str) -> Drawing:
    """Return all runs with the error of one target."""
    data = runs_with_sweeps(results)
    return Drawing(runs_figure(data, results.study.factors(), target, labels_of(results, target)), data)
