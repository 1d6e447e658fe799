"""Profile likelihoods: how much worse the best fit gets when one parameter is held elsewhere."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from vlmfrontier.figures import style
from vlmfrontier.figures.drawing import Drawing
from vlmfrontier.frontier.load import Results
from vlmfrontier.records import again, read_frame

COLUMNS = (5, 4, 3)
"""Columns of panels, the preferred number first."""
WIDTH, HEIGHT = 1.95, 1.75
HIGHEST = 6.0
"""Profiles are cut off here: beyond, a value is out of the question."""
AS_WELL = 1.0


@style.styled
def profiles_figure(data: pd.DataFrame) -> Figure:
    """Return a panel per parameter with Δχ² over its values, counted from the best fit that any profile found.

    `data` has the columns parameter, value, delta_chi2 and fit. The triangle is the law's own value.
    """
    parameters = list(dict.fromkeys(data.parameter))
    lowest = min(0.0, float(data.delta_chi2.min()))
    figure, tiles = style.tiles(len(parameters), COLUMNS, height=HEIGHT, sharey=True)
    figure.set_figwidth(WIDTH * min(len(parameters), len(tiles.bottom)))
    for panel, parameter in zip(tiles.all, parameters, strict=True):
        _draw(panel, data[data.parameter == parameter], lowest)
        panel.set_xlabel(parameter)
    tiles.all[0].set_ylim(-0.4, HIGHEST)
    for panel in tiles.left:
        panel.set_ylabel("Δχ²")
    return figure


def _draw(panel: Axes, rows: pd.DataFrame, lowest: float) -> None:
    rise = rows.delta_chi2 - lowest
    panel.axhline(AS_WELL, color=style.MUTED, lw=1, ls=":")
    panel.plot(rows.value, rise, color=style.CATEGORIES[0], marker="o", ms=2.5, lw=1.3)
    panel.plot(rows.fit.iloc[0], max(0.0, -lowest), "v", color=style.CATEGORIES[1], ms=6, mec="white", zorder=4)
    if rows.value.min() > 0 and rows.value.max() / rows.value.min() > 8:
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(numticks=4))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_minor_formatter(NullFormatter())
    else:
        panel.xaxis.set_major_locator(MaxNLocator(3))


def draw_profiles(results: Results, target: str) -> Drawing:
    """Return the profiles of one target's law."""
    data = read_frame(
        results.folder / "laws" / target / "profile.csv",
        again("figures"),
        ["value", "delta_chi2"],
        ["parameter"],
    )
    return Drawing(profiles_figure(data), data)
