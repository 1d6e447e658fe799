"""Isoperformance contours: predicted error over two factors, the third at the center (the paper's Figures 1 and 8)."""

from collections.abc import Sequence
from itertools import combinations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vlmfrontier.cost import CostModel
from vlmfrontier.figures import style
from vlmfrontier.figures.curves import Predictor, most_frequent
from vlmfrontier.study.units import format_number

GRID = 48
"""Points of the drawn surface along each factor."""
LEVELS = 13
"""At most as many contours of equal error, at round numbers."""
SHADES = 40
COLOR_BAR_WIDTH = 0.8
"""Inches beside the panels."""
# Without the darkest part, on which black lines would not show.
COLORS = LinearSegmentedColormap.from_list("error", matplotlib.colormaps["viridis_r"](np.linspace(0, 0.75, 64)))
EQUAL_COST = "#A03000"
POINTS = {"s": 34, "ec": "black", "lw": 0.9, "zorder": 3, "clip_on": False}


@style.styled
def contours_figure(
    runs: pd.DataFrame, factors: Sequence[str], predictor: Predictor, cost: CostModel | None
) -> Figure | None:
    """Return a panel per pair of factors: predicted error as a surface, equal cost as dashed lines, runs as points.

    The points are the runs with the other factors at the center and with the n of the surface, coloured by their
    measured error on the same scale. None for fewer than two factors.
    """
    pairs = list(combinations(factors, 2))
    if not pairs:
        return None
    examples = most_frequent(runs["n"]) if "n" in runs else None
    center = {factor: most_frequent(runs[factor]) for factor in factors}
    runs = runs if examples is None else runs[runs["n"] == examples]
    figure, axes = style.panels(1, len(pairs), height=3.0)
    surfaces = [_surface(runs, pair, center, predictor, examples) for pair in pairs]
    scale = _scale([f for _, f in surfaces], runs[predictor.target])
    for panel, pair, (point, f) in zip(axes[0], pairs, surfaces, strict=True):
        _draw_surface(panel, point, f, pair, scale)
        if cost is not None:
            _draw_cost(panel, point, pair, cost)
        _draw_runs(panel, _slice(runs, pair, center), pair, predictor.target, scale)
        held = [f"{name} = {format_number(center[name], 'B')}" for name in factors if name not in pair]
        held += [] if examples is None else [f"n = {format_number(examples)}"]
        panel.set_title(", ".join(held))
    figure.set_figwidth(figure.get_figwidth() + COLOR_BAR_WIDTH)
    colors = ScalarMappable(scale, COLORS)
    figure.colorbar(colors, ax=axes[0].tolist(), label=predictor.label, extend="max")
    return figure


def _surface(
    runs: pd.DataFrame, pair: tuple[str, str], center: dict[str, float], predictor: Predictor, examples: float | None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return a grid of points over the range of the runs, and the predicted error there, each of shape (GRID, GRID)."""
    axes = [np.geomspace(runs[name].min(), runs[name].max(), GRID) for name in pair]
    grid = dict(zip(pair, np.meshgrid(*axes, indexing="xy"), strict=True))
    point = {name: grid.get(name, np.full((GRID, GRID), value)) for name, value in center.items()}
    f = predictor({name: values.ravel() for name, values in point.items()}, examples)[0]
    return point, f.reshape(GRID, GRID)


def _scale(surfaces: Sequence[np.ndarray], measured: pd.Series) -> Normalize:
    """Return one colour scale for surfaces and points; a few far corners do not take all the contrast."""
    values = np.concatenate([surface.ravel() for surface in surfaces])
    return Normalize(min(values.min(), measured.min()), max(np.quantile(values, 0.97), measured.max()))


def _draw_surface(
    panel: Axes, point: dict[str, np.ndarray], f: np.ndarray, pair: tuple[str, str], scale: Normalize
) -> None:
    x, y = (point[name] for name in pair)
    panel.contourf(x, y, f, levels=np.linspace(scale.vmin, scale.vmax, SHADES), cmap=COLORS, extend="both")
    steps = MaxNLocator(LEVELS, steps=[1, 2, 5, 10]).tick_values(scale.vmin, scale.vmax)
    lines = panel.contour(x, y, f, levels=steps, colors="black", linewidths=0.7)
    panel.clabel(lines, fmt=lambda value: f"{value:g}", fontsize=7)
    style.factor_axis(panel.xaxis, pair[0], x[0])
    style.factor_axis(panel.yaxis, pair[1], y[:, 0])
    panel.grid(False)


def _draw_cost(panel: Axes, point: dict[str, np.ndarray], pair: tuple[str, str], cost: CostModel) -> None:
    """Draw lines of equal cost, each written with its cost."""
    values = cost.cost(point)
    levels = np.geomspace(values.min(), values.max(), 6)[1:-1]
    lines = panel.contour(*(point[name] for name in pair), values, levels=levels, colors=EQUAL_COST, linestyles="--")
    lines.set_linewidth(0.9)
    panel.clabel(lines, fmt=lambda value: format_number(float(f"{value:.2g}")), fontsize=7)


def _slice(runs: pd.DataFrame, pair: tuple[str, str], center: dict[str, float]) -> pd.DataFrame:
    """Return the runs with every factor but the pair at the center."""
    held = [runs[name] == value for name, value in center.items() if name not in pair]
    return runs[np.logical_and.reduce(held)] if held else runs


def _draw_runs(panel: Axes, runs: pd.DataFrame, pair: tuple[str, str], target: str, scale: Normalize) -> None:
    panel.scatter(*(runs[name] for name in pair), c=runs[target], cmap=COLORS, norm=scale, **POINTS)
    for axis, name in zip((panel.xaxis, panel.yaxis), pair, strict=True):
        if len(runs):
            style.factor_axis(axis, name, runs[name])
