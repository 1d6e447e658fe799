"""Surfaces of predicted error over two factors, the others at the center, and the least error at rounded costs."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from vlmfrontier.cost.model import CostModel
from vlmfrontier.figures.drawing import Predictor
from vlmfrontier.frontier.space import most_frequent
from vlmfrontier.units import format_count

GRID = 48
"""Points of a surface along each factor."""
SURFACE, STAR = "surface", "star"
"""Kinds of rows: a point of the surface, and the least error at a cost."""
ROUND, FINE = (1, 2, 5), (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8)
"""Multiples of powers of ten that are costs of drawn lines; the finer ones where costs differ little."""
MOST_COSTS = 4
INSIDE = 0.1
"""How far from the least and the greatest cost lines stay, as a share of the range, in logs."""


def contour_data(
    runs: pd.DataFrame,
    factors: Sequence[str],
    predictors: Mapping[str, Predictor],
    cost: CostModel | None,
    grid: int = GRID,
) -> pd.DataFrame:
    """Return the predicted error of every target over a grid of every pair of factors that vary; of one factor and n
    where only one does.

    Columns: target, first and second (names of the factors), held (the other factors, and n), kind (surface, star),
    every factor's value, n, f and, with a cost, c. A star is the least error at the cost of a drawn line.
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
            surface = pd.DataFrame({"target": target, **common, "f": predictor(point, examples)[0], "kind": SURFACE})
            parts += [surface, stars_of(surface)]
    return pd.concat(parts, ignore_index=True)


def cost_levels(surface: pd.DataFrame) -> list[float]:
    """Return the costs of the lines to be drawn over a surface, round numbers within it; none where costs are equal or
    not all known: a measured cost knows configurations, not all points between."""
    if "c" not in surface or not np.isfinite(surface.c).all() or np.ptp(surface.c) == 0:
        return []
    low, high = np.log10(surface.c.min()), np.log10(surface.c.max())
    within = (low + INSIDE * (high - low), high - INSIDE * (high - low))
    for multiples in (ROUND, FINE):
        values = [m * 10.0**power for power in range(int(low) - 1, int(high) + 2) for m in multiples]
        found = [value for value in values if within[0] < np.log10(value) < within[1]]
        if len(found) >= MOST_COSTS - 1:
            break
    places = np.linspace(0, len(found) - 1, min(len(found), MOST_COSTS)).round().astype(int)
    return [found[place] for place in np.unique(places)]


def stars_of(surface: pd.DataFrame) -> pd.DataFrame:
    """Return a row for every cost of `cost_levels`: the point of the surface with the least error that it affords.

    It is sought on the grid and where lines of the grid meet that cost.
    """
    rows = []
    pair = [surface["first"].iloc[0], surface["second"].iloc[0]]
    for level in cost_levels(surface):
        candidates = [surface.loc[surface.c <= level, [*pair, "f"]].to_numpy()]
        c, f, *axes = (square(surface, name) for name in ("c", "f", *pair))
        grids = [np.log(c), f, *map(np.log, axes)]
        for lines in (zip(*grids, strict=True), zip(*(grid.T for grid in grids), strict=True)):
            for costs, errors, x, y in lines:
                if costs[0] < np.log(level) < costs[-1] and (np.diff(costs) > 0).all():
                    at = [np.interp(np.log(level), costs, values) for values in (x, y, errors)]
                    candidates.append(np.array([[np.exp(at[0]), np.exp(at[1]), at[2]]]))
        found = np.concatenate(candidates)
        best = found[np.argmin(found[:, 2])]
        rows.append(surface.iloc[0].to_dict() | dict(zip([*pair, "f"], best, strict=True)) | {"c": level, "kind": STAR})
    return pd.DataFrame(rows, columns=surface.columns) if rows else surface[:0]


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
        common = {"target": target, "first": factor, "second": "n", "held": held, "kind": SURFACE}
        parts.append(pd.DataFrame({**common, **point, "f": f}))
    return pd.concat(parts, ignore_index=True)


def _grid(runs: pd.DataFrame, pair: tuple[str, str], center: Mapping[str, float], grid: int) -> dict[str, np.ndarray]:
    """Return columns of a grid over the range of the runs, the factors outside the pair at the center."""
    axes = [np.geomspace(runs[name].min(), runs[name].max(), grid) for name in pair]
    over = dict(zip(pair, (values.ravel() for values in np.meshgrid(*axes, indexing="xy")), strict=True))
    return {name: over.get(name, np.full(grid * grid, value)) for name, value in center.items()}


def square(surface: pd.DataFrame, column: str) -> np.ndarray:
    """Return a column of a surface, without its stars, as the grid that it is."""
    values = surface.loc[surface.kind == SURFACE, column].to_numpy()
    side = round(len(values) ** 0.5)
    return values.reshape(side, side)
