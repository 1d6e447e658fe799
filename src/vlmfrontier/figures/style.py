"""How every figure looks: sizes, colours, labels with units, and the files it is saved as."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from PIL import Image

from vlmfrontier.units import format_number

P = ParamSpec("P")
R = TypeVar("R")

MEASURED = "#222222"
MUTED = "#777777"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

LINE_STYLES = ("-", (0, (5, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)))
"""Beside colours of a sequence, so that lines differ in grey."""

PANEL = (3.1, 2.6)
"""Width and height of one panel in inches; a row of three is readable across a page."""
DOTS_PER_INCH = 160
LEGEND_ENTRY, LETTER = 0.5, 0.07
"""Width of an entry of a legend without its text, and of a letter, in inches."""
FEW_LEVELS = 10
"""A factor with more levels than this gets round numbers as ticks."""
SHORT, MOST_SHORT, MOST_LONG = 4, 8, 7
"""Letters of a short label of a tick, and how many ticks a panel has room for, of short labels and of long ones."""

_SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
    "figure.constrained_layout.h_pad": 0.07,  # titles and labels do not touch the edge
    "figure.constrained_layout.w_pad": 0.07,
    "svg.hashsalt": "vlmfrontier",  # the same data gives the same file
    "pdf.fonttype": 42,  # journals refuse type 3
}


@dataclass(frozen=True)
class Tiles:
    """The panels of a figure of small multiples."""

    all: list[Axes]
    bottom: list[Axes]
    """Those with nothing below them: they carry the label of x."""
    left: list[Axes]
    """The first of every row: they carry the label of y."""


def sequence(count: int) -> list[tuple[float, float, float, float]]:
    """Return `count` colours in order, dark to bright, for ordered levels such as data sizes or budgets."""
    return [matplotlib.colormaps["viridis"](position) for position in np.linspace(0.05, 0.8, count)]


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Return `draw` run under the house's settings, so that figures look alike and nothing global changes."""

    @wraps(draw)
    def under_settings(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(_SETTINGS):
            return draw(*args, **kwargs)

    return under_settings


def panels(rows: int, columns: int, height: float = PANEL[1], **sharing: str | bool) -> tuple[Figure, np.ndarray]:
    """Return a figure with rows × columns panels and the panels as an array of that shape."""
    figure = Figure(figsize=(PANEL[0] * columns, height * rows + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **sharing)


def tiles(count: int, wide: Sequence[int], height: float = PANEL[1], **sharing: str | bool) -> tuple[Figure, Tiles]:
    """Return a figure with `count` panels in as many columns as leave the fewest places empty.

    `wide` are the numbers of columns to choose from, the preferred one first.
    """
    columns = min(min(wide, key=lambda number: -count % number), count)
    figure, axes = panels(-(-count // columns), columns, height, **sharing)
    for panel in axes.ravel()[count:]:
        panel.remove()
    shown = list(axes.ravel()[:count])
    for panel in shown[-columns:]:
        panel.tick_params(labelbottom=True)
    return figure, Tiles(shown, bottom=shown[-columns:], left=shown[::columns])


@styled
def save(figure: Figure, path: Path) -> None:
    """Write the figure as `path`.png, .svg and .pdf; `path` has no suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lay_out(figure)
    figure.set_dpi(DOTS_PER_INCH)
    figure.canvas.draw()
    pixels = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    few = pixels.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)  # a third of the size
    few.save(path.with_name(path.name + ".png"), optimize=True, dpi=(DOTS_PER_INCH, DOTS_PER_INCH))
    figure.savefig(path.with_name(path.name + ".svg"), metadata={"Date": None})
    figure.savefig(path.with_name(path.name + ".pdf"), metadata={"CreationDate": None})


def lay_out(figure: Figure, passes: int = 1) -> None:
    """Place everything once, for all files, which takes longest; a figure without axes has nothing to place.

    A second of the `passes` knows the ticks that the panels have got in the first.
    """
    layout = figure.get_layout_engine()
    if layout is not None:
        for _ in range(passes):
            layout.execute(figure)
        figure.set_layout_engine("none")


def number_axis(axis: Axis, levels: Sequence[float] | None = None, log: bool = False, billions: str = "G") -> None:
    """Write an axis in human units (250k, 7.5B); `levels` are its only ticks, `log` makes it logarithmic."""
    if log:
        axis.axes.set_xscale("log") if axis.axis_name == "x" else axis.axes.set_yscale("log")
    if levels is not None:
        long = max(len(format_number(level, billions)) for level in levels) > SHORT
        axis.set_major_locator(FixedLocator(thinned(levels, log, MOST_LONG if long else MOST_SHORT)))
    elif log:
        axis.set_major_locator(LogLocator(subs=_steps(*axis.get_data_interval()), numticks=12))
    else:
        axis.set_major_locator(MaxNLocator(5))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: format_number(value, billions)))


def _steps(low: float, high: float) -> tuple[int, ...]:
    """Return which multiples of powers of ten are ticks, so that their labels do not touch."""
    decades = np.log10(high / low) if 0 < low < high < np.inf else 1.0
    return (1, 2, 5) if decades < 2 else (1, 3) if decades < 3 else (1,)


def factor_axis(axis: Axis, label: str, levels: Sequence[float]) -> None:
    """Write a factor's axis: logarithmic, labelled, with ticks at its levels, or at round numbers if it has many."""
    few = len(np.unique(levels)) <= FEW_LEVELS
    number_axis(axis, levels if few else None, log=True, billions="B")
    axis.set_label_text(label)


def thinned(levels: Sequence[float], log: bool, most: int = MOST_SHORT) -> list[float]:
    """Return at most about `most` of the levels, far enough from each other for their labels.

    The last one is always among them, then those that come most often, then the largest.
    """
    values, counts = np.unique(np.asarray(levels, float), return_counts=True)
    places = np.log(values) if log else values
    gap = (places[-1] - places[0]) / most
    last = len(values) - 1
    kept = [last]
    for index in sorted(range(last), key=lambda index: (-counts[index], -index)):
        if min(abs(places[other] - places[index]) for other in kept) >= gap:
            kept.append(index)
    return [float(values[index]) for index in sorted(kept)]


def legend_below(figure: Figure, panels: Axes | Sequence[Axes], columns: int = 6) -> None:
    """Put the entries of the panels, each once, into one legend below all, where it covers nothing."""
    unique: dict[str, object] = {}
    for panel in [panels] if isinstance(panels, Axes) else panels:
        handles, labels = panel.get_legend_handles_labels()
        unique |= {label: handle for label, handle in zip(labels, handles, strict=True) if label not in unique}
    if unique:
        widths = [LEGEND_ENTRY + LETTER * len(label) for label in unique]
        fitting = len(unique) if sum(widths) <= figure.get_figwidth() else int(figure.get_figwidth() / max(widths))
        place = {"loc": "outside lower center", "ncols": max(1, min(columns, fitting))}
        figure.legend(unique.values(), unique.keys(), **place)


def sentence(text: str) -> Figure:
    """Return a figure without axes that says why there is nothing to show."""
    figure = Figure(figsize=(PANEL[0] * 2, 0.8))
    FigureCanvasAgg(figure)
    figure.text(0.5, 0.5, text, ha="center", va="center", wrap=True)
    return figure
