"""What the fits choose: the share of them that takes each level of a factor at each budget, x*, and the trend."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from vlmfrontier.figures import style
from vlmfrontier.figures.labels import HALO
from vlmfrontier.frontier.pool import TAILS, Target
from vlmfrontier.frontier.search import affordable, member_choices, pooled_errors, search
from vlmfrontier.frontier.space import LEAST_LEVELS
from vlmfrontier.units import format_count

SHARE, CHOICE, TREND = "share", "x*", "trend"
"""Kinds of rows: fits that take a level at a budget; the choice of their median; their mean level, smoothed."""
BINS, WITHIN = 24, 7
"""Columns of a map, and budgets in each of them, so that rounding to whole frames does not make stripes."""
SMOOTH = 0.3
"""Budgets up to this share of the range, in logs, enter a trend, those near by with the most weight."""
RARE = 0.01
"""Levels that fewer of the fits take at any budget do not widen a map."""
LEAST_MOVE, BACK = 1.05, 0.1
"""A trend moves a factor by at least this ratio, and nowhere back by more than this share of the way."""
# Light to dark blue: the same order in grey; white where no fit is.
SHADES = LinearSegmentedColormap.from_list("shares", ["#FFFFFF", "#CFE1F2", "#6BAED6", "#2171B5", "#0B3C78"])
MARK = "#D55E00"
"""Of x* and of the trend."""
PAD = 1.06


def choices(target: Target, budgets: np.ndarray, examples: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return every fit's own x*(c; n) as indices (R, C), and that of their pooled median, (C,) (Eq. 4)."""
    pool = target.ensemble.pool
    n = np.array([pool.data_unit if examples is None else float(examples)])
    counts = affordable(target.space.cost, budgets * (1 + 1e-12))
    return member_choices(pool, n, counts)[:, 0], search(pooled_errors(pool, n), counts)[0]


def optima_data(target: Target, ends: tuple[float, float], examples: float | None) -> pd.DataFrame:
    """Return what the fits choose between two budgets, a table for `map_panel`.

    Columns: target, n, factor, kind (share, x*, trend), c_lo, c and c_hi (a column of the map), level, and share: of
    the fits, or of the trend NaN. Levels that no fit takes are left out.
    """
    edges = _edges(ends)
    inside = [
        np.geomspace(low, high, WITHIN) if high > low * 1.001 else np.array([low]) for low, high in pairwise(edges)
    ]
    budgets = np.clip(np.concatenate(inside), *ends)
    order = np.argsort(budgets, kind="stable")
    chosen, best = choices(target, budgets[order], examples)
    column = np.repeat(np.arange(len(inside)), [len(part) for part in inside])[order]
    parts = []
    for factor, values in target.space.factors.items():
        parts.append(_shares(values[chosen], column, edges).assign(kind=SHARE, factor=factor))
        middle = [int(np.flatnonzero(column == k)[np.sum(column == k) // 2]) for k in range(len(inside))]
        at = pd.DataFrame({"c": budgets[order][middle], "level": values[best][middle]})
        parts.append(at.assign(kind=CHOICE, factor=factor))
        if len(inside) > 2:
            parts.append(_trend(values[chosen], budgets[order]).assign(kind=TREND, factor=factor))
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(target=target.name, n=np.nan if examples is None else float(examples))


def _edges(ends: tuple[float, float]) -> np.ndarray:
    low, high = ends
    return np.geomspace(low, high, BINS + 1) if high > 1.05 * low else np.array([low, high])


def _shares(levels: np.ndarray, column: np.ndarray, edges: np.ndarray) -> pd.DataFrame:
    """Return the share of the fits at each level in every column of the map; `levels` are theirs, (R, C)."""
    rows = []
    for k, (low, high) in enumerate(pairwise(edges)):
        found, counts = np.unique(levels[:, column == k], return_counts=True)
        middle = {"c_lo": low, "c": np.sqrt(low * high), "c_hi": high}
        rows.append(pd.DataFrame({**middle, "level": found, "share": counts / counts.sum()}))
    return pd.concat(rows, ignore_index=True)


def _trend(levels: np.ndarray, budgets: np.ndarray) -> pd.DataFrame:
    """Return the mean level, (R, C) in logs, over the fits and over budgets near by; empty unless it moves one way.

    It moves where 90% of the fits take greater levels at the dear half of the budgets than at the cheap half, or 90%
    smaller ones.
    """
    logs, c = np.log(levels), np.log(budgets)
    dear = c > (c[0] + c[-1]) / 2
    low, high = np.quantile(logs[:, dear].mean(axis=1) - logs[:, ~dear].mean(axis=1), TAILS)
    at = np.linspace(c[0], c[-1], BINS + 1)
    smooth = _smoothed(c, logs.mean(axis=0), at)
    steps = np.diff(smooth) * np.sign(smooth[-1] - smooth[0])
    moves = np.ptp(smooth) >= np.log(LEAST_MOVE) and -np.minimum(steps, 0).sum() <= BACK * np.ptp(smooth)
    if low <= 0 <= high or not moves or len(np.unique(logs)) < LEAST_LEVELS:
        return pd.DataFrame({"c": [], "level": []})
    return pd.DataFrame({"c": np.exp(at), "level": np.exp(np.clip(smooth, logs.min(), logs.max()))})


def _smoothed(c: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return a line fitted around each place `at`, near values weighing most: it does not flatten at the ends."""
    away = np.clip(1 - np.abs(at[:, None] - c) / (SMOOTH * np.ptp(c)), 0, None)
    centred = c - (away @ c / away.sum(axis=1))[:, None]
    slope = (away * centred * values).sum(axis=1) / (away * centred**2).sum(axis=1)
    return away @ values / away.sum(axis=1) + slope * (at - away @ c / away.sum(axis=1))


def ranges_data(target: Target, budgets: Sequence[float], examples: float | None) -> pd.DataFrame:
    """Return x* at each budget with the 90% range of the fits' own optima: c, factor, level, low, high."""
    chosen, best = choices(target, np.asarray(budgets, float), examples)
    rows = []
    for factor, values in target.space.factors.items():
        low, high = np.quantile(values[chosen], TAILS, axis=0, method="inverted_cdf")
        rows.append(pd.DataFrame({"c": budgets, "factor": factor, "level": values[best], "low": low, "high": high}))
    return pd.concat(rows, ignore_index=True)


def map_panel(panel: Axes, rows: pd.DataFrame, levels: np.ndarray, label: str, runs: tuple[float, float]) -> None:
    """Draw one factor of `optima_data`'s rows: a map of the shares, x* as dots, the trend as a line.

    `levels` are those of the space; what lies outside `runs`, the least and the greatest level of any, is hatched.
    """
    shares, best = rows[rows.kind == SHARE], rows[rows.kind == CHOICE]
    shown = _shown(levels, np.concatenate([shares.level[shares.share >= RARE], best.level]))
    columns = np.unique(shares.c)
    heights = _borders(shown)
    edges = np.append(np.sort(shares.c_lo.unique()), shares.c_hi.max())
    edges = edges if edges[-1] > edges[0] else edges * np.array([1 / PAD, PAD])
    values = shares.pivot_table(index="level", columns="c", values="share", aggfunc="sum")
    values = values.reindex(index=shown, columns=columns).fillna(0.0).to_numpy()
    panel.pcolormesh(edges, heights, values, cmap=SHADES, norm=Normalize(0, 1), rasterized=True, zorder=0.5)
    trend = rows[rows.kind == TREND]
    panel.plot(best.c, best.level, "o", ms=3.2, color=MARK, mec="white", mew=0.5, zorder=4, label="x*")
    look = {"color": MARK, "lw": 1.2, "zorder": 3, "path_effects": HALO}
    if len(trend):
        panel.plot(trend.c, trend.level, label="mean of the fits, smoothed", **look)
    style.factor_axis(panel.yaxis, label, shown)
    panel.set_ylim(heights[0], heights[-1])
    style.number_axis(panel.xaxis, log=True)
    panel.set_xlim(edges[0], edges[-1])
    panel.grid(False)
    for height in heights[1:-1] if len(shown) <= style.FEW_LEVELS else ():
        panel.axhline(height, color="#E4E4E4", lw=0.5, zorder=1)
    for out in (shown[shown < runs[0]], shown[shown > runs[1]]):
        if len(out):
            first, last = heights[[np.searchsorted(shown, out[0]), np.searchsorted(shown, out[-1]) + 1]]
            hatched = {"hatch": "////", "fc": "none", "ec": "#BBBBBB", "lw": 0, "zorder": 2}
            panel.axhspan(first, last, label="outside the runs", **hatched)


def _shown(levels: np.ndarray, taken: Sequence[float]) -> np.ndarray:
    """Return the levels from one below the least that is taken to one above the greatest."""
    first, last = np.searchsorted(levels, [np.min(taken), np.max(taken)])
    return levels[max(0, first - 1) : last + 2]


def _borders(levels: np.ndarray) -> np.ndarray:
    """Return the borders of cells around levels on a logarithmic axis, (m + 1,)."""
    if len(levels) == 1:
        return np.array([levels[0] / 1.5, levels[0] * 1.5])
    middles = np.sqrt(levels[1:] * levels[:-1])
    return np.concatenate([[levels[0] ** 2 / middles[0]], middles, [levels[-1] ** 2 / middles[-1]]])


def shares_bar(figure: Figure, panels: Sequence[Axes], n: float) -> None:
    """Draw the colour bar of maps at one n, NaN without data size, above `panels`."""
    inches = {"fraction": 0.12 / figure.get_figheight(), "pad": 0.12 / figure.get_figheight()}
    look = {"location": "top", "shrink": 0.45, "aspect": 0.45 * figure.get_figwidth() / 0.1, **inches}
    bar = figure.colorbar(ScalarMappable(Normalize(0, 100), SHADES), ax=list(panels), **look)
    bar.set_label("share of the fits that choose a level" + ("" if np.isnan(n) else f", n = {format_count(n)}"))
    bar.set_ticks([0, 50, 100], labels=["0%", "50%", "100%"])
