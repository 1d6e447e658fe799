"""Isoperformance contours: predicted error over two factors, the others at the center (the paper's Figures 1 and 8)."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vlmfrontier.cost.model import CostModel
from vlmfrontier.figures import style
from vlmfrontier.figures.drawing import Drawing, Labels, Predictor, labels_of, other_targets, predictors_of
from vlmfrontier.frontier.space import most_frequent
from vlmfrontier.results import Results
from vlmfrontier.units import format_count, format_number

GRID, TASK_GRID = 48, 20
"""Points of a drawn surface along each factor, alone and among those of all targets."""
LEVELS, TASK_LEVELS = 13, 7
"""At most as many contours of equal error, at round numbers."""
SHADES = 40
COLUMNS = (3, 2, 1)
"""Columns of panels, the preferred number first."""
TASK_HEIGHT, TASK_COLUMNS = 1.75, 3
TASK_TICKS = 0.4
"""Inches for the label below every row, where rows do not share their axes."""
COLOR_BAR_WIDTH = 0.8
"""Inches beside the panels."""
# Without the darkest part, on which black lines would not show.
COLORS = LinearSegmentedColormap.from_list("error", matplotlib.colormaps["viridis_r"](np.linspace(0, 0.75, 64)))
EQUAL_COST = "#A03000"
SIZE, MANY = 34, 60
"""Of a point, in square points of the page; more points than this are a third as large."""
POINTS = {"ec": "black", "lw": 0.9, "zorder": 3, "clip_on": False}
ERROR_LABELS, COST_LABELS = ((0.03, 0.03), (0.97, 0.97)), ((0.06, 0.94), (0.06, 0.94))
"""Where labels stand, as two corners of the panel: those of errors along a diagonal, those of costs in the corner above
small values, so that the two do not meet."""
INSET = 0.09
"""How far from the edge of a panel a label stays, as a share of the panel."""


def contour_data(
    runs: pd.DataFrame,
    factors: Sequence[str],
    predictors: Mapping[str, Predictor],
    cost: CostModel | None,
    grid: int = GRID,
) -> pd.DataFrame:
    """Return the predicted error of every target over a grid of every pair of factors that vary; of one factor and n
    where only one does.

    Columns: target, first and second (names of the factors), held (the other factors, and n), every factor's value,
    n, f and, with a cost, c.
    """
    examples = most_frequent(runs["n"]) if "n" in runs else None
    center = {factor: most_frequent(runs[factor]) for factor in factors}
    kept = runs if examples is None else runs[runs["n"] == examples]
    varied = [factor for factor in factors if kept[factor].nunique() > 1]
    if len(varied) < 2 and "n" in runs:
        return _over_data(runs, [factor for factor in factors if runs[factor].nunique() > 1], center, predictors, grid)
    parts = []
    for first, second in combinations(varied, 2):
        point = _grid(kept, (first, second), center, grid)
        held = [f"{name} = {format_count(center[name])}" for name in factors if name not in (first, second)]
        held += [] if examples is None else [f"n = {format_count(examples)}"]
        common = {"first": first, "second": second, "held": ", ".join(held), "n": examples, **point}
        common |= {} if cost is None else {"c": grid_cost(cost, point, (first, second), grid)}
        for target, predictor in predictors.items():
            parts.append(pd.DataFrame({"target": target, **common, "f": predictor(point, examples)[0]}))
    return pd.concat(parts, ignore_index=True)


def grid_cost(cost: CostModel, point: Mapping[str, np.ndarray], pair: tuple[str, str], grid: int) -> np.ndarray:
    """Return c(x) over a grid of a pair of factors, (grid²,); in logs interpolated between the sizes of models, where
    the cost knows no other. NaN where a cost is not known.
    """
    fine = [np.unique(point[name]) for name in pair]
    known = [np.unique(cost.models.get(name, axis)) for name, axis in zip(pair, fine, strict=True)]
    if all(name not in cost.models for name in pair):
        return np.broadcast_to(cost.cost(point), grid * grid)
    from scipy.interpolate import RegularGridInterpolator  # noqa: PLC0415 — slow to import, and few studies need it

    knots = dict(zip(pair, (values.ravel() for values in np.meshgrid(*known, indexing="ij")), strict=True))
    held = {name: np.full(known[0].size * known[1].size, values[0]) for name, values in point.items()}
    values = np.log(cost.cost({**held, **knots})).reshape(known[0].size, known[1].size)
    between = RegularGridInterpolator([np.log(axis) for axis in known], values, bounds_error=False, fill_value=None)
    return np.exp(between(np.log(np.stack([point[name] for name in pair], axis=1))))


def _over_data(
    runs: pd.DataFrame,
    varied: Sequence[str],
    center: Mapping[str, float],
    predictors: Mapping[str, Predictor],
    grid: int,
) -> pd.DataFrame:
    """Return the predicted error over a grid of one factor and n, as `contour_data`."""
    (factor,) = varied
    point = _grid(runs, (factor, "n"), {**center, "n": runs["n"].iloc[0]}, grid)
    held = ", ".join(f"{name} = {format_count(center[name])}" for name in center if name != factor)
    parts = []
    for target, predictor in predictors.items():
        f = np.empty(grid * grid)
        for n in np.unique(point["n"]):
            at = point["n"] == n
            f[at] = predictor({name: point[name][at] for name in center}, float(n))[0]
        parts.append(pd.DataFrame({"target": target, "first": factor, "second": "n", "held": held, **point, "f": f}))
    return pd.concat(parts, ignore_index=True)


@style.styled
def contours_figure(data: pd.DataFrame, runs: pd.DataFrame, target: str, labels: Labels) -> Figure:
    """Return a panel per pair of factors: predicted error as a surface, equal cost as dashed lines, runs as points.

    The points are the runs with the other factors at the center and with the n of the surface, coloured by their
    measured error on the same scale.
    """
    pairs = [surface for _, surface in data.groupby(["first", "second"], sort=False)]
    figure, tiles = style.tiles(len(pairs), COLUMNS, height=3.0)
    runs = runs[runs["n"] == data.n.iloc[0]] if data.n.nunique() == 1 else runs
    scale = _scale(data.f, runs[target])
    for panel, surface in zip(tiles.all, pairs, strict=True):
        _draw_surface(panel, surface, scale, LEVELS, labels)
        if "c" in surface:
            _draw_cost(panel, surface)
        _draw_runs(panel, _slice(runs, surface, labels), surface, target, scale)
        panel.set_title(surface.held.iloc[0])
    figure.set_figwidth(figure.get_figwidth() + COLOR_BAR_WIDTH)
    figure.colorbar(ScalarMappable(scale, COLORS), ax=tiles.all, label=labels.error, extend="max")
    return figure


@style.styled
def contours_tasks_figure(data: pd.DataFrame, labels: Labels) -> Figure:
    """Return panels of every target, one for each pair of factors; each target has a scale of its own.

    A target has a row, or several if there are more pairs than a page is wide (six with four factors).
    """
    targets, pairs = list(data.target.unique()), list(data.groupby(["first", "second"], sort=False).groups)
    columns = min(len(pairs), TASK_COLUMNS)
    rows = -(-len(pairs) // columns)
    height, sharing = (TASK_HEIGHT, {"sharex": "col"}) if rows == 1 else (TASK_HEIGHT + TASK_TICKS, {})
    figure, axes = style.panels(len(targets) * rows, columns, height, **sharing)
    for panels, target in zip(axes.reshape(len(targets), -1), targets, strict=True):
        surfaces = data[data.target == target]
        scale = _scale(surfaces.f, surfaces.f)
        for panel, (first, second) in zip(panels, pairs, strict=False):
            surface = surfaces[(surfaces["first"] == first) & (surfaces["second"] == second)]
            _draw_surface(panel, surface, scale, TASK_LEVELS, labels)
            panel.set_ylabel(labels.small_name(second))
            panel.set_xlabel(labels.names[first] if rows > 1 or target == targets[-1] else "")
            panel.set_title(f"{target}: {surface.held.iloc[0]}")
        for panel in panels[len(pairs) :]:
            panel.remove()
    return figure


def _grid(runs: pd.DataFrame, pair: tuple[str, str], center: Mapping[str, float], grid: int) -> dict[str, np.ndarray]:
    """Return columns of a grid over the range of the runs, the factors outside the pair at the center."""
    axes = [np.geomspace(runs[name].min(), runs[name].max(), grid) for name in pair]
    over = dict(zip(pair, (values.ravel() for values in np.meshgrid(*axes, indexing="xy")), strict=True))
    return {name: over.get(name, np.full(grid * grid, value)) for name, value in center.items()}


def _scale(surface: pd.Series, measured: pd.Series) -> Normalize:
    """Return one colour scale for surfaces and points; a few far corners do not take all the contrast."""
    return Normalize(min(surface.min(), measured.min()), max(np.quantile(surface, 0.97), np.quantile(measured, 0.97)))


def _square(surface: pd.DataFrame, column: str) -> np.ndarray:
    side = round(len(surface) ** 0.5)
    return surface[column].to_numpy().reshape(side, side)


def _draw_surface(panel: Axes, surface: pd.DataFrame, scale: Normalize, most: int, labels: Labels) -> None:
    first, second = surface["first"].iloc[0], surface["second"].iloc[0]
    x, y, f = (_square(surface, name) for name in (first, second, "f"))
    panel.contourf(x, y, f, levels=np.linspace(scale.vmin, scale.vmax, SHADES), cmap=COLORS, extend="both")
    steps = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(scale.vmin, scale.vmax)
    style.factor_axis(panel.xaxis, labels.names[first], x[0])
    style.factor_axis(panel.yaxis, labels.names[second], y[:, 0])
    panel.set_xlim(x.min(), x.max())
    panel.set_ylim(y.min(), y.max())
    panel.grid(False)
    lines = panel.contour(x, y, f, levels=steps, colors="black", linewidths=0.7)
    _label(panel, lines, ERROR_LABELS, lambda value: f"{value:g}")


def _draw_cost(panel: Axes, surface: pd.DataFrame) -> None:
    """Draw lines of equal cost, each written with its cost."""
    first, second = surface["first"].iloc[0], surface["second"].iloc[0]
    x, y, c = (_square(surface, name) for name in (first, second, "c"))
    if not np.isfinite(c).all() or np.ptp(c) == 0:  # a measured cost knows configurations, not all points between
        return
    levels = np.geomspace(c.min(), c.max(), 6)[1:-1]
    lines = panel.contour(x, y, c, levels=levels, colors=EQUAL_COST, linestyles="--", linewidths=0.9)
    _label(panel, lines, COST_LABELS, lambda value: format_number(float(f"{value:.2g}")))


def _label(panel: Axes, lines: ContourSet, corners: tuple[tuple[float, float], tuple[float, float]], written) -> None:
    """Write every line's level where it comes nearest to the segment between two corners, given as shares of the panel.

    Lines that only touch an edge stay without.
    """
    start, end = (np.array(corner) for corner in corners)
    along = end - start
    places = []
    for path in lines.get_paths():
        shares = _shares(panel, path.vertices)
        shares = shares[((shares > INSET) & (shares < 1 - INSET)).all(axis=1)]
        if len(shares) == 0:
            continue
        t = np.clip((shares - start) @ along / (along @ along), 0, 1)[:, None] if along.any() else 0.0
        nearest = shares[np.argmin(((shares - (start + t * along)) ** 2).sum(axis=1))]
        places.append(panel.transData.inverted().transform(panel.transAxes.transform(nearest)))
    if places:
        panel.clabel(lines, fmt=written, fontsize=7, manual=[tuple(place) for place in places], zorder=4)


def _shares(panel: Axes, points: np.ndarray) -> np.ndarray:
    """Return points in shares of the panel, (m, 2)."""
    return panel.transAxes.inverted().transform(panel.transData.transform(points))


def _slice(runs: pd.DataFrame, surface: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """Return the runs with every factor but the pair at the center."""
    pair = (surface["first"].iloc[0], surface["second"].iloc[0])
    held = [name for name in labels.names if name in surface and name not in (*pair, "n")]
    return runs[np.logical_and.reduce([runs[name] == surface[name].iloc[0] for name in held])] if held else runs


def _draw_runs(panel: Axes, runs: pd.DataFrame, surface: pd.DataFrame, target: str, scale: Normalize) -> None:
    pair = (surface["first"].iloc[0], surface["second"].iloc[0])
    size = SIZE if len(runs) <= MANY else SIZE / 3
    panel.scatter(*(runs[name] for name in pair), s=size, c=runs[target], cmap=COLORS, norm=scale, **POINTS)
    for axis, name in zip((panel.xaxis, panel.yaxis), pair, strict=True):
        if len(runs):
            style.factor_axis(axis, axis.get_label_text(), runs[name])


def draw_contours(results: Results, target: str) -> Drawing:
    """Return the contours of one target."""
    factors, predictors = results.study.factors(), predictors_of(results, [target])
    data = contour_data(results.runs, factors, predictors, results.cost)
    return Drawing(contours_figure(data, results.runs, target, labels_of(results, target)), data)


def draw_contours_tasks(results: Results, target: str) -> Drawing:
    """Return the contours of every other target."""
    factors, predictors = results.study.factors(), predictors_of(results, other_targets(results, target))
    data = contour_data(results.runs, factors, predictors, None, TASK_GRID)
    return Drawing(contours_tasks_figure(data, labels_of(results, target)), data)
