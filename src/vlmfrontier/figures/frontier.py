"""The frontier: x* and its error by budget (Figures 4, 10), elasticities in n (Figure 5), what simpler rules lose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vlmfrontier.figures import CATEGORIES, style
from vlmfrontier.figures.drawing import Drawing, Labels, NothingToShow, labels_of, other_targets
from vlmfrontier.figures.labels import SIZE, end_labels
from vlmfrontier.figures.optima import map_panel, optima_data, shares_bar
from vlmfrontier.frontier.elasticity import UNDETERMINED, elasticity_by_budget
from vlmfrontier.frontier.space import INSIDE, RunRange, SearchSpace
from vlmfrontier.results import Results
from vlmfrontier.units import format_count

COLUMNS = (2, 3)
"""Columns of panels, the preferred number first."""
TASK_HEIGHT = 1.35
ERROR = "error"
"""Kind of the rows of a frontier's error, beside those of `optima_data`."""


@style.styled
def frontier_figure(
    maps: pd.DataFrame, table: pd.DataFrame, space: SearchSpace, runs: RunRange, labels: Labels, range_name: str
) -> Figure:
    """Return a map of what the fits choose per factor, and f along the frontier, a line per n with its range.

    `maps` is `optima_data`'s for one n, `table` `frontier_table`'s. The range of f is called `range_name`. Dotted where
    x* or n lies outside the runs.
    """
    factors = list(space.factors)
    figure, tiles = style.tiles(len(factors) + 1, COLUMNS)
    for panel, factor in zip(tiles.all, factors, strict=False):
        map_panel(panel, maps[maps.factor == factor], space.levels(factor), labels.names[factor], runs.factors[factor])
    _error_panel(tiles.all[-1], _slices(table), labels.error, range_name)
    for panel in tiles.all:
        panel.set_xlabel(labels.budget)
    shares_bar(figure, tiles.all, maps.n.iloc[0])
    style.legend_below(figure, tiles.all[:-1])
    return figure


@style.styled
def frontier_tasks_figure(
    maps: pd.DataFrame, tables: Mapping[str, pd.DataFrame], space: SearchSpace, runs: RunRange, labels: Labels
) -> Figure:
    """Return a row of panels per target: a map of what the fits choose per factor, and f, at the middle n.

    Dotted where x* or n lies outside the runs.
    """
    factors = list(space.factors)
    figure, axes = style.panels(len(tables), len(factors) + 1, TASK_HEIGHT)
    for row, (target, table) in zip(axes, tables.items(), strict=True):
        own = maps[maps.target == target]
        for panel, factor in zip(row, factors, strict=False):
            map_panel(panel, own[own.factor == factor], space.levels(factor), "", runs.factors[factor])
        line = middle(_slices(table))
        _error_panel(row[-1], [line], "", "")
        low, high = line.rows.f.min(), line.rows.f.max()  # a band of one budget shall not flatten the rest
        row[-1].set_ylim(max(0.0, low - 0.2 * (high - low) - 0.5), high + 0.2 * (high - low) + 0.5)
        row[0].set_ylabel(target)
    for panel, name in zip(axes[0], factors, strict=False):
        panel.set_title(labels.names[name])
    axes[0, -1].set_title(f"error{labels.range}" + (f", {line.label}" if line.label else ""))
    for panel in axes[:-1].ravel():
        panel.tick_params(labelbottom=False)
    for panel in axes[-1]:
        panel.set_xlabel(labels.budget)
    shares_bar(figure, axes.ravel().tolist(), maps.n.iloc[0])
    style.legend_below(figure, axes[:, :-1].ravel().tolist())
    return figure


@dataclass(frozen=True)
class _Slice:
    """The rows of one n, and how they are drawn."""

    label: str
    rows: pd.DataFrame
    color: tuple[float, ...]


def _slices(table: pd.DataFrame) -> list[_Slice]:
    """Return a line for every n; one without label for a table without data size."""
    groups = list(table.groupby("n", dropna=False))
    names = ["" if np.isnan(n) else f"n = {format_count(n)}" for n, _ in groups]
    colors = style.sequence(len(groups))
    return [_Slice(name, rows, color) for name, (_, rows), color in zip(names, groups, colors, strict=True)]


def middle(slices: Sequence[_Slice]) -> _Slice:
    """Return the line of the middle n, which stands for all where one must."""
    return slices[len(slices) // 2]


def _error_panel(panel: Axes, slices: Sequence[_Slice], label: str, range_name: str) -> None:
    for line in slices:
        rows = line.rows
        panel.fill_between(rows.c, rows.f_lo, rows.f_hi, color=line.color, alpha=0.18, lw=0)
        panel.plot(rows.c, rows.f.where(rows.extrapolates == INSIDE), color=line.color)
        panel.plot(rows.c, rows.f, color=line.color, lw=1, ls=":")
    style.number_axis(panel.xaxis, log=True)
    panel.set_ylabel(label)
    panel.set_title(f"along the frontier, with {range_name}" if range_name else "")
    if len(slices) > 1:
        end_labels(panel, [(float(line.rows.f.iloc[-1]), line.label) for line in slices])


def maps_of(results: Results, target: str) -> pd.DataFrame:
    """Return what the fits of a target choose over the study's budgets, at the middle n."""
    sizes, budgets = results.examples, results.budgets
    examples = None if sizes is None else float(sizes[len(sizes) // 2])
    return optima_data(results.target(target), (float(budgets[0]), float(budgets[-1])), examples)


def draw_frontier(results: Results, target: str) -> Drawing:
    """Return the frontier of one target."""
    table, maps = results.frontier(target), maps_of(results, target)
    axes = (results.space, results.range, labels_of(results, target))
    along = table.assign(kind=ERROR, target=target)
    return Drawing(frontier_figure(maps, table, *axes, results.range_name), pd.concat([maps, along], ignore_index=True))


def draw_frontier_tasks(results: Results, target: str) -> Drawing:
    """Return the frontier of every other target, at the middle n."""
    tables = {name: results.frontier(name) for name in other_targets(results, target)}
    maps = pd.concat([maps_of(results, name) for name in tables], ignore_index=True)
    shown = [middle(_slices(table)).rows.assign(kind=ERROR, target=name) for name, table in tables.items()]
    figure = frontier_tasks_figure(maps, tables, results.space, results.range, labels_of(results, target))
    return Drawing(figure, pd.concat([maps, *shown], ignore_index=True))


BUDGETS, NEAR = 40, 0.12
"""Budgets at which the elasticity is shown, each the mean over those up to this share of the range away, in logs."""
ELASTICITY_COLUMNS = (3, 2, 4)
"""Columns of panels, the preferred number first."""


@style.styled
def elasticity_figure(table: pd.DataFrame, factors: Sequence[str]) -> Figure:
    """Return a panel per factor with e_k of every target and its band; filled where the band excludes 0.

    `table` has the columns of `elasticity_table` and `target`, the first row of a target at the top.
    """
    targets = list(dict.fromkeys(table.target))
    figure, axes = style.panels(1, len(factors), height=0.9 + 0.22 * len(targets), sharey=True)
    for panel, factor in zip(axes[0], factors, strict=True):
        _draw(panel, table[table.factor == factor].set_index("target").loc[targets])
        panel.set_xlabel(f"elasticity of {factor}* in n (% per %)")
    axes[0, 0].set_yticks(np.arange(len(targets)), targets)
    axes[0, 0].set_ylim(-0.6, len(targets) - 0.4)
    axes[0, 0].invert_yaxis()
    return figure


def _draw(panel: Axes, rows: pd.DataFrame) -> None:
    panel.axvline(0, color=style.MUTED, lw=1)
    for place, row in enumerate(rows.itertuples()):
        determined = row.direction != UNDETERMINED
        color = CATEGORIES[0] if determined else style.MUTED
        panel.plot([row.e_lo, row.e_hi], [place, place], color=color, lw=2)
        panel.plot(row.e_median, place, "o", ms=5, color=color, mfc=color if determined else "white")
    panel.grid(axis="y", visible=False)
    panel.xaxis.set_major_locator(MaxNLocator(4))
    if not rows[["e_lo", "e_hi"]].to_numpy().any():  # x* never moves: an axis of width zero would be of any width
        panel.set_xlim(-0.1, 0.1)


@style.styled
def elasticity_budget_figure(table: pd.DataFrame, labels: Labels) -> Figure:
    """Return a panel per factor with the median of e_k over the fits and its band, along the budgets.

    `table` is `elasticity_by_budget`'s.
    """
    factors = list(dict.fromkeys(table.factor))
    figure, tiles = style.tiles(len(factors), ELASTICITY_COLUMNS, sharex=True, sharey=True)
    for panel, factor in zip(tiles.all, factors, strict=True):
        rows = table[table.factor == factor]
        panel.axhline(0, color=style.MUTED, lw=1)
        panel.fill_between(rows.c, rows.e_lo, rows.e_hi, color=CATEGORIES[0], alpha=0.25, lw=0)
        panel.plot(rows.c, rows.e_median, color=CATEGORIES[0])
        panel.set_title(f"{factor}*")
    low, high = table.e_lo.min(), table.e_hi.max()
    least = 0.3 * max(high, -low, 0.1)
    tiles.all[0].set_ylim(1.25 * min(low, -least), 1.25 * max(high, least))
    for panel in tiles.left:
        panel.set_ylabel("elasticity in n (% per %)")
        look = {"fontsize": SIZE, "color": style.MUTED, "transform": panel.transAxes}
        panel.text(0.02, 0.98, "up with more data", va="top", **look)
        panel.text(0.02, 0.02, "down with more data", va="bottom", **look)
    style.number_axis(tiles.all[0].xaxis, log=True)
    for panel in tiles.bottom:
        panel.set_xlabel(labels.budget)
    return figure


def draw_elasticity(results: Results, target: str) -> Drawing:
    """Return the elasticities of every target, as the table of elasticities has them."""
    table = results.made_table(results.table_csv("elasticity"), ["e_median", "e_lo", "e_hi"], ["target", "factor"])
    return Drawing(elasticity_figure(table, results.study.factors()), table)


def draw_elasticity_budget(results: Results, target: str) -> Drawing:
    """Return the elasticity of one target against the budget."""
    grid = results.elasticity_grid
    budgets = np.geomspace(grid.budgets[0], grid.budgets[-1], BUDGETS)
    near = (budgets[-1] / budgets[0]) ** NEAR
    table = elasticity_by_budget(results.target(target), replace(grid, budgets=budgets), near)
    return Drawing(elasticity_budget_figure(table, labels_of(results, target)), table)


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
    if target != results.main_target:
        raise NothingToShow(f"The table of regrets is of {results.main_target} only.")
    data = shown_regret(results.made_table(results.table_csv("regret"), ["mean_regret"], ["rule"]))
    if data.empty:
        raise NothingToShow("No simpler rule can meet any of the budgets.")
    return Drawing(regret_figure(data), data)
