"""Panels by factor, for one target or a row of them for each of several, every row on one scale of error."""

from collections.abc import Callable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmfrontier.figures import style
from vlmfrontier.figures.labels import Labels

COLUMNS = (3, 2, 4)
"""Columns of panels, the preferred number first."""
LEGEND_COLUMNS = 6

Draw = Callable[[Axes, pd.DataFrame, Labels], None]
"""Draws the rows of one factor and one target into a panel, with its title and the label of its x axis."""
Limits = Callable[[pd.DataFrame], tuple[float, float]]
"""Returns the limits of the error that rows of one target need."""


@style.styled
def by_factor(
    data: pd.DataFrame, labels: Labels, draw: Draw, limits: Limits, legend_columns: int = LEGEND_COLUMNS
) -> Figure:
    """Return a panel for every factor of `data`, a table with the columns target and factor."""
    factors = list(data.factor.unique())
    figure, tiles = style.tiles(len(factors), COLUMNS, sharey=True)
    for panel, factor in zip(tiles.all, factors, strict=True):
        draw(panel, data[data.factor == factor], labels)
    tiles.all[0].set_ylim(*limits(data))
    for panel in tiles.left:
        panel.set_ylabel(labels.error)
    style.legend_below(figure, tiles.all, legend_columns)
    return figure


@style.styled
def by_target_and_factor(
    data: pd.DataFrame,
    labels: Labels,
    draw: Draw,
    limits: Limits,
    height: float,
    legend_columns: int = LEGEND_COLUMNS,
) -> Figure:
    """Return a row of panels, `height` inches high, for every target of `data` and a column for every factor.

    Titles stand over the first row only, and names of factors under the last.
    """
    targets, factors = list(data.target.unique()), list(data.factor.unique())
    figure, axes = style.panels(len(targets), len(factors), height, sharex="col", sharey="row")
    for row, target in zip(axes, targets, strict=True):
        rows = data[data.target == target]
        for panel, factor in zip(row, factors, strict=True):
            draw(panel, rows[rows.factor == factor], labels)
        row[0].set_ylim(*limits(rows))
        row[0].set_ylabel(labels.small_error(target))
    for panel in axes[1:].ravel():
        panel.set_title("")
    for panel in axes[:-1].ravel():
        panel.set_xlabel("")
    style.legend_below(figure, axes.ravel().tolist(), legend_columns)
    return figure
