"""The vision model's share of the inference (the paper's Figure 6)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmfrontier.figures import style
from vlmfrontier.figures.drawing import Drawing, labels_of
from vlmfrontier.figures.labels import Labels
from vlmfrontier.frontier.load import Results
from vlmfrontier.study.units import format_count

HALF = 50.0


@style.styled
def vision_share_figure(shares: pd.DataFrame, frontier: pd.DataFrame, labels: Labels) -> Figure:
    """Return the share of c(x) in per cent against V, a line per N, and along the frontier, a line per n.

    `shares` is `vision_share_table`'s; `frontier` has the columns c, n and `share` at x*(c; n).
    """
    figure, axes = style.panels(1, 2, sharey=True)
    levels, along = axes[0]
    sizes = [(f"N = {format_count(N)}", rows.V, rows.share) for N, rows in shares.groupby("N")]
    _lines(levels, sizes, marker="o", ms=3)
    style.factor_axis(levels.xaxis, labels.names["V"], shares.V.unique())
    held = [f"{name} = {format_count(shares[name].iloc[0])}" for name in ("T", "M") if name in shares]
    levels.set_title(", ".join(held))
    groups = frontier.groupby("n", dropna=False)
    lines = [("x*" if np.isnan(n) else f"x*, n = {format_count(n)}", rows.c, rows.share) for n, rows in groups]
    _lines(along, lines, drawstyle="steps-post")
    style.number_axis(along.xaxis, log=True)
    along.set_xlabel(labels.budget)
    along.set_title("along the frontier")
    levels.set_ylabel("vision model's share of c (%)")
    for panel in (levels, along):
        panel.axhline(HALF, color=style.MUTED, lw=1, ls="--", zorder=1)
        panel.set_ylim(0, 100)
        panel.legend()
    return figure


def _lines(panel: Axes, lines: Sequence[tuple[str, pd.Series, pd.Series]], **look: object) -> None:
    """Draw shares in per cent, wider lines first, so that all show where they agree."""
    widths = np.linspace(1.2 + 0.8 * (len(lines) - 1), 1.2, len(lines))
    for (label, x, share), color, width in zip(lines, style.sequence(len(lines)), widths, strict=True):
        panel.plot(x, 100 * share, color=color, lw=width, label=label, **look)


def draw_vision_share(results: Results, target: str) -> Drawing:
    """Return the vision model's share over what could be deployed, and along the frontier of a target."""
    shares, frontier = results.vision_shares, results.frontier(target)
    along = frontier.assign(share=results.cost.vision_share(frontier))
    kept = along[["c", "n", *results.study.factors(), "share"]]
    data = pd.concat([shares.assign(panel="levels"), kept.assign(panel="frontier")], ignore_index=True)
    return Drawing(vision_share_figure(shares, along, labels_of(results, target)), data)
