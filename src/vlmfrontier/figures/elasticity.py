"""Elasticities by target, with their bands (the paper's Figure 5)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vlmfrontier.figures import style
from vlmfrontier.frontier.elasticity import UNDETERMINED


@style.styled
def elasticity_figure(table: pd.DataFrame, factors: Sequence[str]) -> Figure:
    """Return a panel per factor with e_k of every target and its band; filled where the band excludes 0.

    `table` has the columns of `elasticity_table` and `target`, the first row of a target at the top.
    """
    targets = list(dict.fromkeys(table.target))
    figure, axes = style.panels(1, len(factors), height=0.9 + 0.22 * len(targets), sharey=True)
    for panel, factor in zip(axes[0], factors, strict=True):
        _draw(panel, table[table.factor == factor].set_index("target").loc[targets])
        panel.set_xlabel(f"elasticity of {factor}* in n")
    axes[0, 0].set_yticks(np.arange(len(targets)), targets)
    axes[0, 0].invert_yaxis()
    return figure


def _draw(panel: Axes, rows: pd.DataFrame) -> None:
    panel.axvline(0, color=style.MUTED, lw=1)
    for place, row in enumerate(rows.itertuples()):
        determined = row.direction != UNDETERMINED
        color = style.CATEGORIES[0] if determined else style.MUTED
        panel.plot([row.e_lo, row.e_hi], [place, place], color=color, lw=2)
        panel.plot(row.e_median, place, "o", ms=5, color=color, mfc=color if determined else "white")
    panel.grid(axis="y", visible=False)
    panel.xaxis.set_major_locator(MaxNLocator(4))
