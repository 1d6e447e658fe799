"""Star lines: error against one factor, the others at the center, measured and predicted."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmfrontier.figures import style
from vlmfrontier.figures.curves import Predictor, center_line
from vlmfrontier.study.units import format_number

POINTS = 60
"""Points of a drawn curve."""
MOST_SIZES = 6
"""With more data sizes than this, runs of neighbouring sizes share a colour and a curve."""
TASK_COLUMNS = (4, 3, 5)
"""Columns of small multiples, the preferred number first."""


@style.styled
def star_figure(runs: pd.DataFrame, factors: Sequence[str], predictor: Predictor) -> Figure | None:
    """Return one panel per factor: measured errors, the predicted curve and its 90% interval, a colour per n.

    None if no factor is varied alone.
    """
    lines = {factor: line for factor in factors if (line := center_line(runs, factor, factors)) is not None}
    if not lines:
        return None
    figure, axes = style.panels(1, len(lines), sharey=True)
    for panel, (factor, line) in zip(axes[0], lines.items(), strict=True):
        _draw(panel, line, factor, factors, predictor)
        style.factor_axis(panel.xaxis, factor, line[factor])
        panel.set_title(_fixed(line, factor, factors))
    axes[0, 0].set_ylabel(predictor.label)
    style.legend_below(figure, axes[0, 0])
    return figure


@style.styled
def tasks_figure(
    runs: pd.DataFrame, factor: str, factors: Sequence[str], predictors: Mapping[str, Predictor]
) -> Figure | None:
    """Return the star line of one factor for every target, small multiples with a common scale; None without a line."""
    line = center_line(runs, factor, factors)
    if line is None:
        return None
    figure, tiles = style.tiles(len(predictors), TASK_COLUMNS, height=2.1, sharex=True, sharey=True)
    for panel, (target, predictor) in zip(tiles.all, predictors.items(), strict=True):
        _draw(panel, line, factor, factors, predictor)
        panel.set_title(target)
    style.number_axis(tiles.all[0].xaxis, line[factor], log=True, billions="B")
    for panel in tiles.bottom:
        panel.set_xlabel(style.label(factor))
    for panel in tiles.left:
        panel.set_ylabel("error")
    style.legend_below(figure, tiles.all[0])
    return figure


def _draw(panel: Axes, line: pd.DataFrame, factor: str, factors: Sequence[str], predictor: Predictor) -> None:
    """Draw points, curves and bands of one line, a colour per n."""
    groups = _groups(line)
    values = np.geomspace(line[factor].min(), line[factor].max(), POINTS)
    for (name, examples, rows), color in zip(groups, style.sequence(len(groups)), strict=True):
        point = {other: np.full(POINTS, rows[other].iloc[0]) for other in factors} | {factor: values}
        f, low, high = predictor(point, examples)
        panel.fill_between(values, low, high, color=color, alpha=0.15, lw=0)
        panel.plot(values, f, color=color, label=name)
        panel.errorbar(
            rows[factor],
            rows[predictor.target],
            _standard_errors(rows, predictor.target),
            fmt="o",
            ms=3.5,
            color=color,
            mec="white",
            mew=0.5,
            elinewidth=0.8,
        )


def _groups(line: pd.DataFrame) -> list[tuple[str, float | None, pd.DataFrame]]:
    """Return label, n and runs of every colour: each n, or where there are many, as many runs around a mean n each."""
    if "n" not in line:
        return [("", None, line)]
    if line["n"].nunique() <= MOST_SIZES:
        return [(f"n = {format_number(n)}", float(n), rows) for n, rows in line.groupby("n")]
    means = []
    for _, rows in line.groupby(pd.qcut(line["n"], MOST_SIZES, duplicates="drop"), observed=True):
        mean = float(np.exp(np.log(rows["n"]).mean()))
        means.append((f"n ≈ {format_number(mean, 'B')}", mean, rows))
    return means


def _standard_errors(rows: pd.DataFrame, target: str) -> pd.Series | None:
    """Return the measured standard errors, if the table has them."""
    return rows.get(f"{target}_se")


def _fixed(line: pd.DataFrame, factor: str, factors: Sequence[str]) -> str:
    fixed = [f"{other} = {format_number(line[other].iloc[0], 'B')}" for other in factors if other != factor]
    return ", ".join(fixed)
