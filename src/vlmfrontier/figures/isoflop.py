"""Rivals of equal cost: error against each factor at several budgets, and the optimum against the budget (Figure 2)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vlmfrontier.figures import style
from vlmfrontier.figures.by_factor import by_target_and_factor
from vlmfrontier.figures.drawing import Drawing, Labels, budget_groups, labels_of, other_targets
from vlmfrontier.figures.labels import point_labels
from vlmfrontier.figures.optima import CHOICE, TREND, optima_data, ranges_data
from vlmfrontier.frontier.pool import Target
from vlmfrontier.frontier.search import affordable, pooled_errors
from vlmfrontier.results import Results
from vlmfrontier.units import format_count, format_number

RUN, LAW = "run", "law"
"""Kinds of rows: a measured run, and the least error that the law predicts with the factor at a level."""
LEGEND_COLUMNS = 4
HEIGHT = 1.5
"""Of a row of panels, in inches, where every target has one."""
ASIDE = 1.1
"""Where the best run of a budget stands beside its x*, as a ratio of budgets."""
DODGE = 1.035
"""By what the runs of a budget stand aside of the others' at the same level, as a ratio."""


def isoflop_data(groups: Mapping[float, pd.DataFrame], targets: Mapping[str, Target]) -> pd.DataFrame:
    """Return the runs of each budget and the least predicted error at each level of every factor, for every target.

    `groups` maps budgets to runs of one n. Columns: target, c (budget), n, factor, kind (run, law), level, f, of a law
    f_lo and f_hi, its 90% interval; best: for a law the level of x*, for a run whether it is the budget's best; and x,
    the configuration of either.
    """
    parts = []
    for target, found in targets.items():
        for budget, rows in groups.items():
            examples = float(rows["n"].iloc[0]) if "n" in rows else None
            for factor in found.space.factors:
                common = {"target": target, "c": budget, "n": examples, "factor": factor}
                law = _law(found, budget, factor, examples)
                f = rows[target].to_numpy()
                names = _names({name: rows[name].to_numpy() for name in found.space.factors})
                run = {"kind": RUN, "level": rows[factor].to_numpy(), "f": f, "best": _is_least(f), "x": names}
                parts += [law.assign(**common), pd.DataFrame({**common, **run})]
    return pd.concat(parts, ignore_index=True)


def _law(target: Target, budget: float, factor: str, examples: float | None) -> pd.DataFrame:
    """Return the least predicted errors at the levels of a factor with their interval, as rows of `isoflop_data`."""
    levels, errors, at = least_errors(target, budget, factor, examples)
    low, high = target.ensemble.interval(at, target.ensemble.pool.data_unit if examples is None else examples)
    names = _names({name: values[at] for name, values in target.space.factors.items()})
    columns = {"kind": LAW, "level": levels, "f": errors, "f_lo": low, "f_hi": high, "best": _is_least(errors)}
    return pd.DataFrame({**columns, "x": names})


def least_errors(
    target: Target, budget: float, factor: str, examples: float | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the affordable levels of a factor, the least pooled error (Eq. 4) with the factor held at each, and the
    index of the configuration that has it."""
    pool = target.ensemble.pool
    n = pool.data_unit if examples is None else examples
    count = int(affordable(target.space.cost, np.array([budget]))[0])
    errors = pooled_errors(pool, np.array([n]))[0, :count]
    values = target.space.factors[factor][:count]
    levels = np.unique(values)
    rows = [np.flatnonzero(values == level) for level in levels]
    at = np.array([row[np.argmin(errors[row])] for row in rows])
    return levels, errors[at], at


def _names(x: Mapping[str, np.ndarray]) -> list[str]:
    return [f"({', '.join(map(format_count, row))})" for row in zip(*x.values(), strict=True)]


def _is_least(errors: Sequence[float]) -> np.ndarray:
    return np.arange(len(errors)) == int(np.argmin(errors))


@style.styled
def isoflop_figure(data: pd.DataFrame, optima: pd.DataFrame, labels: Labels) -> Figure:
    """Return two panels per factor. Above, the runs of each budget (points), the least predicted error that the budget
    allows at each level of the factor with its band, and its minimum, x*, a star with its configuration.

    Below, as Chinchilla's, the optimum against the budget, if there are several: x* with 90% of the fits' own, the best
    run, and the trend of the fits, where there is one: `optima` has rows of kind trend, x* (with low and high) and run.
    """
    factors = list(data.factor.unique())
    several = data.c.nunique() > 1
    figure, axes = style.panels(2 if several else 1, len(factors))
    for panel, factor in zip(axes[0], factors, strict=True):
        _panel(panel, data[data.factor == factor], labels)
        panel.set_ylim(*_limits(data))
        panel.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))  # the same ticks before and after layout
        panel.tick_params(labelleft=panel is axes[0, 0])
    axes[0, 0].set_ylabel(labels.error)
    for panel, factor in zip(axes[1], factors, strict=True) if several else ():
        _optimum_panel(panel, optima[optima.factor == factor], data[data.factor == factor])
        panel.set_ylabel(labels.names[factor])
        panel.set_xlabel(labels.budget)
    style.legend_below(figure, axes.ravel().tolist(), LEGEND_COLUMNS)
    style.lay_out(figure, passes=2)  # a panel's size decides where labels have room
    _label_stars(axes[0], data)
    return figure


@style.styled
def isoflop_tasks_figure(data: pd.DataFrame, labels: Labels) -> Figure:
    """Return a row of panels per target, each with a scale of its own, and a column per factor."""
    return by_target_and_factor(data, labels, _panel, _limits, HEIGHT, LEGEND_COLUMNS)


def _panel(panel: Axes, rows: pd.DataFrame, labels: Labels) -> None:
    """Draw the runs of every budget, the least predicted error at each level with its band, and its minimum."""
    budgets = list(rows.c.unique())
    for place, (budget, color) in enumerate(zip(budgets, style.sequence(len(budgets)), strict=True)):
        group = rows[rows.c == budget]
        law, runs = group[group.kind == LAW], group[group.kind == RUN]
        panel.fill_between(law.level, law.f_lo, law.f_hi, color=color, alpha=0.16, lw=0)
        panel.plot(
            law.level,
            law.f,
            color=color,
            ls=style.LINE_STYLES[place % len(style.LINE_STYLES)],
            label=_name(group, labels),
        )
        star, ringed = law[law.best], runs[runs.best]
        panel.plot(star.level, star.f, "*", color=color, ms=12, mec="white", mew=0.8, zorder=6)
        aside = DODGE ** (place - (len(budgets) - 1) / 2)
        panel.plot(runs.level * aside, runs.f, "o", color=color, ms=4, mec="white", mew=0.6, zorder=5)
        panel.plot(ringed.level * aside, ringed.f, "o", color=color, ms=8, mfc="none", mew=1.0, zorder=5)
    panel.plot([], [], "o", color=style.MUTED, ms=4, label="runs; ringed: the best of a budget")
    panel.plot([], [], "*", color=style.MUTED, ms=9, label=f"x* ({', '.join(labels.factors)})")
    style.factor_axis(panel.xaxis, labels.names[rows.factor.iloc[0]], rows.level)
    shown = rows.level[rows.f <= _limits(rows)[1]]
    panel.set_xlim(0.85 * shown.min(), 1.18 * shown.max())


def _name(group: pd.DataFrame, labels: Labels) -> str:
    n = group.n.iloc[0]
    data = "" if pd.isna(n) else f", n = {format_count(n)}"
    return f"{format_number(group.c.iloc[0])} {labels.cost_unit}{data}"


def _limits(data: pd.DataFrame) -> tuple[float, float]:
    """Return limits of the error that show every run and every x*; predictions far above the runs are cut off."""
    shown = data.f[(data.kind == RUN) | data.best]
    margin = 0.1 * np.ptp(shown)
    return shown.min() - 1.6 * margin, shown.max() + margin


def _label_stars(panels: Sequence[Axes], data: pd.DataFrame) -> None:
    """Write the configuration of every star beside it, away from runs and curves, in the panel that parts them most."""
    by_panel = [data[data.factor == factor] for factor in data.factor.unique()]
    stars = [rows[(rows.kind == LAW) & rows.best] for rows in by_panel]
    apart = [len(found.level.unique()) * np.ptp(np.log(found.level)) for found in stars]
    place = int(np.argmax(apart))
    rows = by_panel[place]
    curves = [_between(curve[["level", "f"]].to_numpy()) for _, curve in rows[rows.kind == LAW].groupby("c")]
    around = np.concatenate([rows[rows.kind == RUN][["level", "f"]].to_numpy(), *curves])
    point_labels(panels[place], list(stars[place][["level", "f", "x"]].itertuples(index=False)), around)


def _between(points: np.ndarray) -> np.ndarray:
    """Return points along a curve on a logarithmic axis, close to each other."""
    at = np.linspace(0, len(points) - 1, 12 * len(points))
    x, y = (np.interp(at, np.arange(len(points)), values) for values in (np.log(points[:, 0]), points[:, 1]))
    return np.stack([np.exp(x), y], axis=1)


def _optimum_panel(panel: Axes, optima: pd.DataFrame, data: pd.DataFrame) -> None:
    """Draw one factor of x* against the budget: of the median with the range of the fits, of the best run, and the
    trend."""
    best, trend = optima[optima.kind == CHOICE], optima[optima.kind == TREND]
    runs = data[(data.kind == RUN) & data.best]
    if len(trend):
        panel.plot(trend.c, trend.level, color=style.MUTED, lw=1.2, zorder=1, label="mean of the fits, smoothed")
    colors = style.sequence(len(best))
    panel.vlines(best.c, best.low, best.high, color=colors, lw=2.2, alpha=0.55)
    panel.plot([], [], color=style.MUTED, lw=2.2, alpha=0.55, label="90% of the fits' own optima")
    for (c, level), (c_run, measured), color in zip(
        best[["c", "level"]].to_numpy(), runs[["c", "level"]].to_numpy(), colors, strict=True
    ):
        panel.plot(c, level, "*", color=color, ms=12, mec="white", mew=0.8, zorder=6)
        panel.plot(ASIDE * c_run, measured, "o", color=color, ms=8, mfc="none", mew=1.0, zorder=5)
        panel.plot(ASIDE * c_run, measured, "o", color=color, ms=4, mec="white", mew=0.6, zorder=5)
    levels = data.level[data.kind == LAW].unique()
    style.factor_axis(panel.yaxis, "", levels)
    panel.set_ylim(0.85 * levels.min(), 1.18 * levels.max())
    style.number_axis(panel.xaxis, None if len(best) > style.FEW_LEVELS else best.c.to_numpy(), log=True)
    panel.margins(x=0.12)


def optima_of(target: Target, groups: Mapping[float, pd.DataFrame]) -> pd.DataFrame:
    """Return x* at the budgets of `groups`, the range of the fits there, and the trend between them."""
    rows = next(iter(groups.values()))
    examples = float(rows["n"].iloc[0]) if "n" in rows else None
    budgets = list(groups)
    found = ranges_data(target, budgets, examples).assign(kind=CHOICE)
    around = optima_data(target, (budgets[0], budgets[-1]), examples)
    frame = pd.concat([found, around[around.kind == TREND]], ignore_index=True)
    return frame.assign(n=np.nan if examples is None else examples)[
        ["c", "n", "factor", "kind", "level", "low", "high"]
    ]


def draw_isoflop(results: Results, target: str) -> Drawing:
    """Return the runs of equal cost of one target."""
    groups, found = budget_groups(results), results.target(target)
    data, optima = isoflop_data(groups, {target: found}), optima_of(found, groups)
    shown = pd.concat([data.assign(panel="error"), optima.assign(target=target, panel="optimum")], ignore_index=True)
    return Drawing(isoflop_figure(data, optima, labels_of(results, target)), shown)


def draw_isoflop_tasks(results: Results, target: str) -> Drawing:
    """Return the runs of equal cost of every other target."""
    targets = {name: results.target(name) for name in other_targets(results, target)}
    data = isoflop_data(budget_groups(results), targets)
    return Drawing(isoflop_tasks_figure(data, labels_of(results, target)), data)
