"""One checkpoint against models retrained for each budget."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmfrontier.figures import CATEGORIES, style
from vlmfrontier.figures.drawing import Drawing, Labels, NothingToShow, labels_of
from vlmfrontier.frontier.checkpoint import Checkpoint, called, retrained, sizes
from vlmfrontier.frontier.pool import Target
from vlmfrontier.results import Results

BUDGETS = 60
"""Budgets at which a curve of retrained models is drawn."""
COLUMNS = (3, 2)
"""Columns of panels, the preferred number first."""
MOST = 6
"""Models that are shown, evenly chosen among the sizes."""


@style.styled
def checkpoint_figure(models: Mapping[str, pd.DataFrame], labels: Labels, range_name: str) -> Figure:
    """Return a panel per model: all its tests, the least error of them within each budget as steps, and the error that
    the law predicts for models of its size retrained at the best levels. `models` are the rows of `curves` by title.
    """
    figure, tiles = style.tiles(len(models), COLUMNS, sharex=True, sharey=True)
    for panel, (title, rows) in zip(tiles.all, models.items(), strict=True):
        _panel(panel, rows, range_name)
        panel.set_title(title)
    style.number_axis(tiles.all[0].xaxis, log=True)
    for panel in tiles.left:
        panel.set_ylabel(labels.error)
    for panel in tiles.bottom:
        panel.set_xlabel(labels.budget)
    style.legend_below(figure, tiles.all)
    return figure


def _panel(panel: Axes, rows: pd.DataFrame, range_name: str) -> None:
    law, tests, best = (rows[rows.kind == kind] for kind in ("retrained", "test", "checkpoint"))
    retrained_look, own_look = CATEGORIES[1], CATEGORIES[0]
    panel.fill_between(law.c, law.lo, law.hi, color=retrained_look, alpha=0.2, lw=0)
    name = f"retrained at the law's best levels, with {range_name}"
    panel.plot(law.c, law.error, color=retrained_look, lw=1.6, ls="--", label=name)
    panel.plot(tests.c, tests.error, "o", color=style.MUTED, ms=2.5, mew=0, alpha=0.7, label="its tests")
    panel.step(best.c, best.error, where="post", color=own_look, lw=2.2, label="this checkpoint, at its best test")


def curves(target: Target, one: Checkpoint) -> pd.DataFrame:
    """Return what a panel shows: kind (`test`, `checkpoint`: the best test within c, `retrained`: by the law), c, the
    levels, error, and the ends of its interval (lo, hi) where it is the law's."""
    rows = [
        {"kind": "test", "c": cost, **one.at(i), "error": one.error[i], "se": one.se[i]}
        for i, cost in enumerate(one.cost)
    ]
    for i, cost in enumerate(one.cost):
        if one.best(cost)[0] == i:
            rows.append({"kind": "checkpoint", "c": cost, **one.at(i), "error": one.error[i], "se": one.se[i]})
    end = {**rows[-1], "c": one.cost[-1]}
    budgets = np.geomspace(one.cost[0], one.cost[-1], BUDGETS)
    budgets[-1] *= 1 + 1e-9  # of rounding in the step before
    law = retrained(target, one, budgets)
    rows = [*rows, end, *(_of_law(c, row, list(one.levels)) for c, row in zip(budgets, law, strict=True))]
    return pd.DataFrame(rows, columns=["kind", "c", *one.levels, "error", "se", "lo", "hi"])


def _of_law(c: float, row: Mapping[str, float], names: list[str]) -> dict[str, object]:
    levels = {name: row[f"law_{name}"] for name in names}
    return {"kind": "retrained", "c": c, **levels, "error": row["f"], "lo": row["f_lo"], "hi": row["f_hi"]}


def draw_checkpoint(results: Results, target: str) -> Drawing:
    """Return one model of each size, that with the largest n, against retrained ones."""
    found = sizes(results.checkpoints(target))
    if not found:
        raise NothingToShow("No model was tested at several levels.")
    shown = [found[i] for i in np.unique(np.linspace(0, len(found) - 1, min(len(found), MOST)).round().astype(int))]
    known = results.target(target)
    parts = {one.run: curves(known, one) for one in shown}
    figure = checkpoint_figure(
        {called(one): parts[one.run] for one in shown}, labels_of(results, target), known.ensemble.range_name
    )
    data = pd.concat(parts, names=["run", None]).reset_index(level="run").reset_index(drop=True)
    return Drawing(figure, data)
