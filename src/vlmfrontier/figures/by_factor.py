"""Error by factor: star lines, in which one factor varies and the others are at the center (Figure 2)."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmfrontier.figures import style
from vlmfrontier.figures.drawing import (
    Drawing,
    Labels,
    NothingToShow,
    Predictor,
    center_line,
    labels_of,
    other_targets,
    predictors_of,
)
from vlmfrontier.results import Results
from vlmfrontier.units import format_count

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


POINTS = 60
"""Points of a drawn curve."""
MOST_SIZES = 6
"""With more data sizes than this, a curve stands for several, with the runs whose n is near its own."""
NEAR = 0.25
"""How far from a curve's n that is, as a share of it."""
STAR_HEIGHT = 1.6


def line_data(runs: pd.DataFrame, factors: Sequence[str], predictors: Mapping[str, Predictor]) -> pd.DataFrame:
    """Return the lines of all factors that are varied alone, for every target, measured and predicted.

    Columns: target, factor, held (the others), size (what n is called), n, kind (measured, predicted), x, f and, where
    known, low and high: one standard error around a measurement, 90% around a prediction. Empty without a line.
    """
    parts = []
    for factor in factors:
        line = center_line(runs, factor, factors)
        if line is None:
            continue
        for target, predictor in predictors.items():
            for size, examples, rows in _groups(line):
                common = {"target": target, "factor": factor, "held": _held(line, factor, factors), "size": size}
                parts.append(_measured(rows, factor, target).assign(**common))
                parts.append(_predicted(rows, factor, factors, predictor, examples).assign(**common))
    columns = ["target", "factor", "held", "size", "n", "kind", "x", "f", "low", "high"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def star_figure(data: pd.DataFrame, labels: Labels) -> Figure:
    """Return a panel per factor: measured errors, the predicted curve and its interval, a colour per n."""
    return by_factor(data, labels, _star_panel, _star_limits)


def star_tasks_figure(data: pd.DataFrame, labels: Labels) -> Figure:
    """Return a row of panels per target and a column per factor; a scale of error per row."""
    return by_target_and_factor(data, labels, _star_panel, _star_limits, STAR_HEIGHT)


def _star_panel(panel: Axes, data: pd.DataFrame, labels: Labels) -> None:
    """Draw points, curves and bands of one line, a colour per n, with what is held as title."""
    sizes = list(dict.fromkeys(data["size"]))
    for size, color in zip(sizes, style.sequence(len(sizes)), strict=True):
        rows = data[data["size"] == size]
        curve, points = rows[rows.kind == "predicted"], rows[rows.kind == "measured"]
        panel.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.15, lw=0)
        panel.plot(curve.x, curve.f, color=color, label=size)
        bars = None if points.low.isna().all() else points.high - points.f
        look = {"fmt": "o", "ms": 3.8, "color": color, "mec": "white", "mew": 0.5, "elinewidth": 0.8}
        panel.errorbar(points.x, points.f, bars, **look)
    levels = data.x[data.kind == "measured"].to_numpy()
    style.factor_axis(panel.xaxis, labels.names[data.factor.iloc[0]], levels)
    panel.set_title(data.held.iloc[0])


def _star_limits(data: pd.DataFrame) -> tuple[float, float]:
    """Return limits of the error that show every run and every curve; wide bands are cut off."""
    low, high = data.f.min(), data.f.max()
    return low - 0.08 * (high - low), high + 0.08 * (high - low)


def _measured(rows: pd.DataFrame, factor: str, target: str) -> pd.DataFrame:
    se = rows.get(f"{target}_se", np.nan)
    f = rows[target]
    columns = {"n": rows.get("n", np.nan), "kind": "measured", "x": rows[factor], "f": f, "low": f - se, "high": f + se}
    return pd.DataFrame(columns)


def _predicted(
    rows: pd.DataFrame, factor: str, factors: Sequence[str], predictor: Predictor, examples: float | None
) -> pd.DataFrame:
    values = np.geomspace(rows[factor].min(), rows[factor].max(), POINTS)
    point = {other: np.full(POINTS, rows[other].iloc[0]) for other in factors} | {factor: values}
    f, low, high = predictor(point, examples)
    n = np.nan if examples is None else examples
    return pd.DataFrame({"n": n, "kind": "predicted", "x": values, "f": f, "low": low, "high": high})


def _groups(line: pd.DataFrame) -> list[tuple[str, float | None, pd.DataFrame]]:
    """Return label, n and runs of every colour: each n, or where there are many, some with the runs near them."""
    if "n" not in line:
        return [("law", None, line)]
    if line["n"].nunique() <= MOST_SIZES:
        return [(f"n = {format_count(n)}", float(n), rows) for n, rows in line.groupby("n")]
    means = []
    for _, rows in line.groupby(pd.qcut(line["n"], MOST_SIZES, duplicates="drop"), observed=True):
        mean = float(np.exp(np.log(rows["n"]).mean()))
        near = rows[np.abs(rows["n"] / mean - 1) <= NEAR]
        means += [(f"n ≈ {format_count(mean)}", mean, near)] if len(near) else []
    return means


def _held(line: pd.DataFrame, factor: str, factors: Sequence[str]) -> str:
    held = [f"{other} = {format_count(line[other].iloc[0])}" for other in factors if other != factor]
    return ", ".join(held)


def draw_star(results: Results, target: str) -> Drawing:
    """Return the star lines of one target."""
    data = _lines(results, [target])
    return Drawing(star_figure(data, labels_of(results, target)), data)


def draw_star_tasks(results: Results, target: str) -> Drawing:
    """Return the star lines of every other target."""
    data = _lines(results, other_targets(results, target))
    return Drawing(star_tasks_figure(data, labels_of(results, target)), data)


def _lines(results: Results, targets: Sequence[str]) -> pd.DataFrame:
    data = line_data(results.runs, results.study.factors(), predictors_of(results, targets))
    if data.empty:
        raise NothingToShow("No factor is varied alone over at least three values.")
    return data
