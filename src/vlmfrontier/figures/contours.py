"""Contours of predicted error over two factors, the others at the center, with lines of equal cost and the least error
on them (the paper's Figures 1 and 8)."""

from collections.abc import Callable

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vlmfrontier.figures import style
from vlmfrontier.figures.drawing import Drawing, Labels, labels_of, other_targets, predictors_of
from vlmfrontier.figures.labels import HALO, shares_of
from vlmfrontier.figures.surfaces import STAR, contour_data, square
from vlmfrontier.results import Results
from vlmfrontier.units import format_number

TASK_GRID = 24
"""Points of a drawn surface along each factor, among those of all targets."""
LEVELS, TASK_LEVELS = 13, 7
"""At most as many contours of equal error, at round numbers."""
SHADES = 40
COLUMNS = (3, 2, 1)
"""Columns of panels, the preferred number first."""
TASK_HEIGHT, TASK_COLUMNS = 1.45, 3
NAME_AWAY = 52
"""Points to the left of the first panel of a row, where the name of its target stands."""
TASK_TICKS = 0.65
"""Inches for the title above every row and the label below it, where rows do not share their axes."""
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


@style.styled
def contours_figure(data: pd.DataFrame, runs: pd.DataFrame, target: str, labels: Labels) -> Figure:
    """Return a panel per pair of factors: predicted error as a surface, equal cost as dashed lines, the least error on
    each of them as a star, runs as points.

    The points are the runs with the other factors at the center and with the n of the surface, coloured by their
    measured error on the same scale.
    """
    pairs = [surface for _, surface in data.groupby(["first", "second"], sort=False)]
    figure, tiles = style.tiles(len(pairs), COLUMNS, height=3.0)
    runs = runs[runs["n"] == data.n.iloc[0]] if data.n.nunique() == 1 else runs
    scale = _scale(data.f, runs[target])
    for panel, surface in zip(tiles.all, pairs, strict=True):
        near = _slice(runs, surface, labels)
        _draw_surface(panel, surface, scale, LEVELS, labels, near)
        _draw_cost(panel, surface, near)
        _draw_runs(panel, near, surface, target, scale)
        panel.set_title(surface.held.iloc[0])
    figure.set_figwidth(figure.get_figwidth() + COLOR_BAR_WIDTH)
    above = max(data.f.max(), runs[target].max()) > scale.vmax
    figure.colorbar(
        ScalarMappable(scale, COLORS), ax=tiles.all, label=labels.error, extend="max" if above else "neither"
    )
    return figure


@style.styled
def contours_tasks_figure(data: pd.DataFrame, runs: pd.DataFrame, labels: Labels) -> Figure:
    """Return panels of every target, one for each pair of factors, on one scale of error where all have its range.

    A target has a row, or several if there are more pairs than a page is wide (six with four factors). Dashed: equal
    cost; star: the least error on each of these lines.
    """
    targets, pairs = list(data.target.unique()), list(data.groupby(["first", "second"], sort=False).groups)
    columns = min(len(pairs), TASK_COLUMNS)
    rows = -(-len(pairs) // columns)
    figure, axes = style.panels(len(targets) * rows, columns, TASK_HEIGHT + (TASK_TICKS if rows > 1 else 0.0))
    figure.set_figwidth(figure.get_figwidth() + COLOR_BAR_WIDTH)
    whole = Normalize(data.f.min(), data.f.max()) if labels.range else None
    for panels, target in zip(axes.reshape(len(targets), -1), targets, strict=True):
        surfaces = data[data.target == target]
        scale = whole or Normalize(surfaces.f.min(), surfaces.f.max())
        for panel, (first, second) in zip(panels, pairs, strict=False):
            surface = surfaces[(surfaces["first"] == first) & (surfaces["second"] == second)]
            _draw_surface(panel, surface, scale, TASK_LEVELS, labels, runs)
            _draw_cost(panel, surface, runs[:0], target == targets[0])
            panel.set_ylabel(labels.small_name(second))
            ends = (target == targets[0], target == targets[-1])
            panel.set_title(surface.held.iloc[0] if rows > 1 or ends[0] else "")
            panel.set_xlabel(labels.names[first] if rows > 1 or ends[1] else "")
            panel.tick_params(labelbottom=rows > 1 or ends[1])
        for panel in panels[len(pairs) :]:
            panel.remove()
        _name_row(panels[0], target)
        if whole is None:
            figure.colorbar(
                ScalarMappable(scale, COLORS), ax=list(panels[: len(pairs)]), label=labels.small_error(target)
            )
    if whole is not None:
        place = {"shrink": min(1.0, 6.0 / figure.get_figheight()), "aspect": 30}
        error = f"predicted error{labels.range}"
        figure.colorbar(ScalarMappable(whole, COLORS), ax=figure.axes, label=error, **place)
    return figure


def _name_row(panel: Axes, target: str) -> None:
    """Write which target a row of panels is of, to the left of its first one."""
    look = {"fontsize": 9, "fontweight": "bold", "rotation": 90, "va": "center", "ha": "center"}
    panel.annotate(target, (0, 0.5), (-NAME_AWAY, 0), "axes fraction", textcoords="offset points", **look)


def _scale(surface: pd.Series, measured: pd.Series) -> Normalize:
    """Return one colour scale for surfaces and points; a few far corners do not take all the contrast."""
    return Normalize(min(surface.min(), measured.min()), max(np.quantile(surface, 0.97), np.quantile(measured, 0.97)))


def _draw_surface(
    panel: Axes, surface: pd.DataFrame, scale: Normalize, most: int, labels: Labels, runs: pd.DataFrame
) -> None:
    """Draw a surface with its contours; the ticks are the levels of `runs`."""
    pair = surface["first"].iloc[0], surface["second"].iloc[0]
    x, y, f = (square(surface, name) for name in (*pair, "f"))
    shades = panel.contourf(x, y, f, levels=np.linspace(scale.vmin, scale.vmax, SHADES), cmap=COLORS, extend="both")
    shades.set_rasterized(True)
    steps = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(scale.vmin, scale.vmax)
    for axis, name, grid in zip((panel.xaxis, panel.yaxis), pair, (x, y), strict=True):
        levels = runs[name].to_numpy()
        style.factor_axis(axis, labels.names[name], levels if len(levels) else grid.ravel())
    panel.set_xlim(x.min(), x.max())
    panel.set_ylim(y.min(), y.max())
    panel.grid(False)
    inside = steps[(steps > f.min()) & (steps < f.max())]
    if len(inside):
        lines = panel.contour(x, y, f, levels=inside, colors="black", linewidths=0.7)
        _label(panel, lines, ERROR_LABELS, lambda value: f"{value:g}", _marks(surface, runs))


def _marks(surface: pd.DataFrame, runs: pd.DataFrame) -> np.ndarray:
    """Return where runs, unless they are many, and stars lie, (m, 2)."""
    pair = [surface["first"].iloc[0], surface["second"].iloc[0]]
    stars = surface.loc[surface.kind == STAR, pair]
    return np.concatenate([runs[pair].to_numpy() if len(runs) <= MANY else np.zeros((0, 2)), stars.to_numpy()])


def _draw_cost(panel: Axes, surface: pd.DataFrame, runs: pd.DataFrame, labelled: bool = True) -> None:
    """Draw lines of equal cost, each written with its cost, and the star of each."""
    pair = [surface["first"].iloc[0], surface["second"].iloc[0]]
    stars = surface[surface.kind == STAR]
    if stars.empty:
        return
    x, y, c = (square(surface, name) for name in (*pair, "c"))
    lines = panel.contour(x, y, c, levels=stars.c.to_numpy(), colors=EQUAL_COST, linestyles="--", linewidths=0.9)
    if labelled:
        _label(panel, lines, COST_LABELS, lambda value: format_number(float(f"{value:.2g}")), _marks(surface, runs))
    look = {"ms": 8, "color": "white", "mec": "black", "mew": 0.7, "zorder": 5, "clip_on": False}
    panel.plot(stars[pair[0]], stars[pair[1]], "*", ls="none", **look)


def _label(
    panel: Axes,
    lines: ContourSet,
    corners: tuple[tuple[float, float], tuple[float, float]],
    written: Callable[[float], str],
    marks: np.ndarray,
) -> None:
    """Write every line's level where it comes nearest to the segment between two corners, given as shares of the panel,
    and not over the `marks`, (m, 2).

    Lines that only touch an edge stay without.
    """
    marks = shares_of(panel, marks) if len(marks) else marks
    start, end = (np.array(corner) for corner in corners)
    along = end - start
    places = []
    for path in lines.get_paths():
        shares = shares_of(panel, path.vertices)
        shares = shares[((shares > INSET) & (shares < 1 - INSET)).all(axis=1)]
        free = (np.abs(shares[:, None] - marks) > INSET).any(axis=2).all(axis=1)
        shares = shares[free] if free.any() else shares
        if len(shares) == 0:
            continue
        t = np.clip((shares - start) @ along / (along @ along), 0, 1)[:, None] if along.any() else 0.0
        nearest = shares[np.argmin(((shares - (start + t * along)) ** 2).sum(axis=1))]
        places.append(panel.transData.inverted().transform(panel.transAxes.transform(nearest)))
    if places:
        texts = panel.clabel(lines, fmt=written, fontsize=7, manual=[tuple(place) for place in places], zorder=4)
        for text in texts:
            text.set_path_effects(HALO)


def _slice(runs: pd.DataFrame, surface: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """Return the runs with every factor but the pair at the center."""
    pair = (surface["first"].iloc[0], surface["second"].iloc[0])
    held = [name for name in labels.names if name in surface and name not in (*pair, "n")]
    return runs[np.logical_and.reduce([runs[name] == surface[name].iloc[0] for name in held])] if held else runs


def _draw_runs(panel: Axes, runs: pd.DataFrame, surface: pd.DataFrame, target: str, scale: Normalize) -> None:
    pair = (surface["first"].iloc[0], surface["second"].iloc[0])
    size = SIZE if len(runs) <= MANY else SIZE / 3
    panel.scatter(*(runs[name] for name in pair), s=size, c=runs[target], cmap=COLORS, norm=scale, **POINTS)


def draw_contours(results: Results, target: str) -> Drawing:
    """Return the contours of one target."""
    factors, predictors = results.study.factors(), predictors_of(results, [target])
    data = contour_data(results.runs, factors, predictors, results.cost)
    return Drawing(contours_figure(data, results.runs, target, labels_of(results, target)), data)


def draw_contours_tasks(results: Results, target: str) -> Drawing:
    """Return the contours of every other target."""
    factors, predictors = results.study.factors(), predictors_of(results, other_targets(results, target))
    data = contour_data(results.runs, factors, predictors, results.cost, TASK_GRID)
    return Drawing(contours_tasks_figure(data, results.runs, labels_of(results, target)), data)
