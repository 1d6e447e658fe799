"""What simpler rules than the frontier lose."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vlmfrontier.figures import style
from vlmfrontier.figures.drawing import Drawing, NothingToShow
from vlmfrontier.frontier.load import Results
from vlmfrontier.study.units import format_count

MOST_SIZES = 4
"""At most as many data sizes are shown: the first, the last and some between."""


def shown_regret(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `tables/regret.csv` that are shown: some data sizes, without the frontier against itself."""
    if table.n.notna().any():
        sizes = np.unique(table.n)
        places = np.unique(np.linspace(0, len(sizes) - 1, min(len(sizes), MOST_SIZES)).round().astype(int))
        table = table[table.n.isin(sizes[places])]
        table = table[table.rule != "frontier at n = " + table.n.map(format_count)]
    return table.reset_index(drop=True)


@style.styled
def regret_figure(data: pd.DataFrame) -> Figure:
    """Return the mean regret of every rule, the least first, with the models' 90% range, a colour per n."""
    order = data.groupby("rule").mean_regret.mean().sort_values().index.tolist()
    groups = list(data.groupby("n", dropna=False))
    figure, axes = style.panels(1, 1, height=0.8 + 0.3 * len(order))
    figure.set_figwidth(2.5 * style.PANEL[0])
    panel = axes[0, 0]
    offsets = np.linspace(-0.22, 0.22, len(groups)) if len(groups) > 1 else [0.0]
    for (n, rows), color, offset in zip(groups, style.sequence(len(groups)), offsets, strict=True):
        places = [order.index(rule) + offset for rule in rows.rule]
        panel.hlines(places, rows.mean_regret_lo, rows.mean_regret_hi, color=color, lw=1.6)
        label = None if pd.isna(n) else f"n = {format_count(n)}"
        panel.plot(rows.mean_regret, places, "o", ms=4.5, color=color, mec="white", mew=0.5, label=label)
    panel.axvline(0, color=style.MUTED, lw=1)
    panel.set_yticks(range(len(order)), order)
    panel.set_ylim(len(order) - 0.4, -0.6)
    panel.grid(axis="y", visible=False)
    panel.set_xlabel("mean regret (points of error)")
    style.legend_below(figure, panel)
    return figure


def draw_regret(results: Results, target: str) -> Drawing:
    """Return what simpler rules lose, as the table of regrets has it."""
    data = shown_regret(results.made_table("tables/regret.csv", ["mean_regret"], ["rule"]))
    if data.empty:
        raise NothingToShow("No simpler rule can meet any of the budgets.")
    return Drawing(regret_figure(data), data)
