"""Labels inside the panels instead of legends: at the ends of lines, and beside points, where they cover little."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from vlmfrontier.figures import style

HALO = [withStroke(linewidth=1.8, foreground="white")]
"""Around a text that lies over lines."""
SIZE = 7.5
"""Of a label, in points."""
LETTER, LINE = 0.058, 0.135
"""Width of a letter and height of a line of that size, in inches."""
AWAY = 4
"""Points between the end of a line, or the edge of a panel, and its label."""
EDGE = 0.015
"""How far from the edge of a panel a label stays, as a share of the panel."""
STEPS = ((0.0, 1.0, -1.0, 0.6, -0.6), (-1.0, 1.0, -1.8, 1.8, -2.6, 2.6, -3.4, 3.4, 0.0))
"""Where a label may stand beside its point: in widths, and in heights, of the label."""
COVERED, FAR = 1.0, 0.35
"""What it costs a label to cover a point, and to stand away by its height."""


def end_labels(panel: Axes, ends: Sequence[tuple[float, str]]) -> None:
    """Write a name to the right of the panel at each height, given in data, far enough from each other to be read.

    The limits of the panel must be final.
    """
    if not ends:
        return
    heights = panel.transAxes.inverted().transform(panel.transData.transform([(1.0, y) for y, _ in ends]))[:, 1]
    size = panel.get_window_extent().height / panel.figure.dpi
    for place, (_, name) in zip(spread(heights, LINE / size), ends, strict=True):
        look = {"fontsize": SIZE, "va": "center", "ha": "left", "color": style.MEASURED}
        panel.annotate(name, (1.0, place), (AWAY, 0), "axes fraction", textcoords="offset points", **look)


def spread(places: Sequence[float], gap: float) -> np.ndarray:
    """Return places in the same order at least `gap` apart, each as near to its own as the others allow."""
    order = np.argsort(places, kind="stable")
    wanted = np.asarray(places, float)[order] - gap * np.arange(len(places))
    blocks: list[list[float]] = []  # pool neighbours that come too close, each pool at its mean
    for value in wanted:
        blocks.append([value])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    moved = np.concatenate([np.full(len(block), np.mean(block)) for block in blocks]) + gap * np.arange(len(places))
    result = np.empty(len(places))
    result[order] = moved
    return result


def point_labels(panel: Axes, points: Sequence[tuple[float, float, str]], around: np.ndarray | None = None) -> None:
    """Write a text beside each point (x, y, text), inside the panel, where it covers few of the points `around` (m, 2)
    and no other label; a thin line leads to one that stands away.

    The limits of the panel must be final. Texts that a panel has no room for are left out.
    """
    box = panel.get_window_extent()
    width, height = box.width / panel.figure.dpi, box.height / panel.figure.dpi
    own = shares_of(panel, np.array([(x, y) for x, y, _ in points], float).reshape(-1, 2))
    others = [] if around is None or len(around) == 0 else shares_of(panel, np.asarray(around, float))
    obstacles = np.concatenate([own, *([others] if len(others) else [])])
    taken: list[np.ndarray] = []
    for (x, y, text), at in zip(points, own, strict=True):
        size = np.array([LETTER * len(text) / width, LINE / height])
        middle = _free_place(at, size, obstacles, taken)
        if middle is None:
            continue
        taken.append(np.concatenate([middle - size / 2, middle + size / 2]))
        far = np.abs(middle - at)[1] > 1.5 * size[1]
        line = {"arrowstyle": "-", "lw": 0.5, "color": style.MUTED, "shrinkA": 0, "shrinkB": 3} if far else None
        look = {"fontsize": SIZE, "ha": "center", "va": "center", "zorder": 8, "path_effects": HALO}
        panel.annotate(text, (x, y), tuple(middle), textcoords="axes fraction", arrowprops=line, **look)


def _free_place(at: np.ndarray, size: np.ndarray, obstacles: np.ndarray, taken: Sequence[np.ndarray]):
    """Return the middle of the cheapest place for a label of a size beside a point, in shares; None without room."""
    best, least = None, np.inf
    for right, up in product(*STEPS):
        middle = at + size * [right * 0.62 + np.sign(right) * 0.02, up]
        low, high = middle - size / 2, middle + size / 2
        if (low < EDGE).any() or (high > 1 - EDGE).any() or (right == 0 and up == 0):
            continue
        if any((low < other[2:]).all() and (high > other[:2]).all() for other in taken):
            continue
        covered = ((obstacles > low) & (obstacles < high)).all(axis=1).sum()
        cost = COVERED * covered + FAR * (abs(up) + abs(right))
        if cost < least:
            best, least = middle, cost
    return best


def shares_of(panel: Axes, points: np.ndarray) -> np.ndarray:
    """Return points in shares of the panel, (m, 2)."""
    return panel.transAxes.inverted().transform(panel.transData.transform(points))
