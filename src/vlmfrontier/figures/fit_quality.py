"""How well laws hold: predicted against measured, bags, every target beyond its runs (Figure 3), and profiles."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from vlmfrontier.figures import CATEGORIES, style
from vlmfrontier.figures.drawing import Drawing, Labels, labels_of, runs_with_sweeps
from vlmfrontier.laws.bagging import Bag, times_drawn
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.results import Results
from vlmfrontier.study.analysis import LawsConfig
from vlmfrontier.units import format_percentage

TITLES = {"train": "in sample", "cv": "cross-validation", "extrapolation": "extrapolation"}
"""The setups that are shown, and what they are called."""
WHISKERS = (0.05, 0.95)


@style.styled
def fit_quality_figure(predictions: pd.DataFrame, labels: Labels) -> Figure:
    """Return a panel per setup with measured and predicted errors as points around the diagonal.

    `predictions` has the columns setup, measured, predicted and, where runs belong to sweeps, sweep. The title gives
    the number of runs, E% = mean |f̂ − f| / f and R² of the points shown.
    """
    setups = [setup for setup in TITLES if (predictions.setup == setup).any()]
    shown = predictions[predictions.setup.isin(setups)]
    figure, axes = style.panels(1, len(setups), height=3.0, sharex=True, sharey=True)
    values = shown[["measured", "predicted"]].to_numpy().ravel()
    ends = np.array([values.min(), values.max()]) + np.array([-0.03, 0.03]) * np.ptp(values)
    looks = _looks(shown)
    for panel, setup in zip(axes[0], setups, strict=True):
        frame = shown[shown.setup == setup]
        _draw_points(panel, frame, ends, looks)
        panel.set_title(f"{TITLES[setup]}: {_quality(frame)}")
        panel.set_xlabel(f"{labels.error}, measured")
    axes[0, 0].set_ylabel(f"{labels.error}, predicted")
    style.legend_below(figure, axes[0].tolist())
    return figure


def _looks(shown: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Return colour and marker of every sweep, the same in all panels."""
    sweeps = dict.fromkeys(shown.get("sweep", ()))
    count = len(CATEGORIES)
    return {name: (CATEGORIES[i % count], style.MARKERS[i % count]) for i, name in enumerate(sweeps)}


def _draw_points(panel: Axes, frame: pd.DataFrame, ends: np.ndarray, looks: Mapping[str, tuple[str, str]]) -> None:
    panel.plot(ends, ends, color=style.MUTED, lw=1, zorder=1)
    groups = frame.groupby("sweep", sort=False) if "sweep" in frame else [(None, frame)]
    for name, rows in groups:
        color, marker = looks.get(name, (CATEGORIES[0], "o"))
        panel.plot(rows.measured, rows.predicted, marker, color=color, ms=4.5, mec="white", mew=0.5, label=name)
    panel.set_xlim(ends)
    panel.set_ylim(ends)
    panel.set_aspect("equal")


def _quality(frame: pd.DataFrame) -> str:
    residuals = frame.predicted - frame.measured
    relative = 100 * np.mean(np.abs(residuals) / frame.measured)
    off = format_percentage(relative) if relative >= 100 else f"{relative:.2g}"
    total = np.sum((frame.measured - frame.measured.mean()) ** 2)
    explained = f", R² {1 - np.sum(residuals**2) / total:.3f}" if total > 0 else ""
    return f"{len(frame)} runs, {off}%{explained}"


def bag_data(bags: Mapping[str, Bag], table: ResultsTable, target: str, config: LawsConfig) -> pd.DataFrame:
    """Return E% of every resampled fit on the runs it has not seen, and of the median of such fits, by form.

    Columns: form, member (−1: the median over the fits that have not seen a run), e_pct.
    """
    table = table.measured(target)
    measured, unseen = table.error(target), times_drawn(table, config) == 0
    parts = []
    for form, bag in bags.items():
        predicted = bag.members(table.points())
        relative = 100 * np.abs(predicted - measured) / measured
        single = [row[mask].mean() if mask.any() else np.nan for row, mask in zip(relative, unseen, strict=True)]
        judged = np.flatnonzero(unseen.any(axis=0))
        median = np.array([np.median(predicted[unseen[:, i], i]) for i in judged])
        together = 100 * np.mean(np.abs(median - measured[judged]) / measured[judged])
        members = [*range(len(bag)), -1]
        parts.append(pd.DataFrame({"form": form, "member": members, "e_pct": [*single, together]}))
    return pd.concat(parts, ignore_index=True).dropna()


@style.styled
def bags_figure(data: pd.DataFrame, chosen: str) -> Figure:
    """Return E% of the fits of every form as a box, with 90% whiskers, and of their bag as a diamond."""
    forms = list(dict.fromkeys(data.form))
    figure, axes = style.panels(1, 1, height=0.9 + 0.34 * len(forms))
    figure.set_figwidth(2 * style.PANEL[0])
    panel = axes[0, 0]
    for place, form in enumerate(forms):
        rows = data[data.form == form]
        single = rows.e_pct[rows.member >= 0]
        low, first, middle, third, high = np.quantile(single, (WHISKERS[0], 0.25, 0.5, 0.75, WHISKERS[1]))
        box = {"med": middle, "q1": first, "q3": third, "whislo": low, "whishi": high}
        color = CATEGORIES[0] if form == chosen else style.MUTED
        line = {"color": color, "lw": 1.4}
        looks = {"boxprops": line, "whiskerprops": line, "capprops": line, "medianprops": {"color": color, "lw": 2.4}}
        panel.bxp([box], positions=[place], widths=0.5, orientation="horizontal", showfliers=False, **looks)
        bagged = rows.e_pct[rows.member < 0].item()
        panel.plot(
            bagged,
            place,
            "D",
            ms=6,
            color=CATEGORIES[1],
            mec="white",
            zorder=4,
            label="median of the resampled fits",
        )
    panel.set_yticks(range(len(forms)), [f"{form} (chosen)" if form == chosen else form for form in forms])
    panel.invert_yaxis()
    panel.grid(axis="y", visible=False)
    panel.set_xlabel("mean relative error on runs not seen (%)")
    panel.set_xlim(left=0)
    style.legend_below(figure, panel)
    return figure


def extrapolation_data(forms: pd.DataFrame) -> pd.DataFrame:
    """Return E% and R² of every target's chosen law by setup, out of `tables/forms.csv`."""
    chosen = forms[forms.chosen & forms.setup.isin(TITLES)]
    return chosen[["target", "form", "setup", "e_pct", "r2"]].reset_index(drop=True)


@style.styled
def extrapolation_figure(data: pd.DataFrame, poor: float) -> Figure:
    """Return two panels, E% and R²: a row of points per target, a colour per setup; a line divides poor fits."""
    targets, setups = list(dict.fromkeys(data.target)), [s for s in TITLES if (data.setup == s).any()]
    figure, axes = style.panels(1, 2, height=1.1 + 0.24 * len(targets), sharey=True)
    figure.set_figwidth(2.6 * style.PANEL[0])
    for panel, column in zip(axes[0], ("e_pct", "r2"), strict=True):
        for setup, color, marker in zip(setups, CATEGORIES, style.MARKERS, strict=False):
            rows = data[data.setup == setup].set_index("target")[column].reindex(targets)
            panel.plot(rows, range(len(targets)), marker, color=color, ms=6, mec="white", label=TITLES[setup])
        panel.set_ylim(-0.5, len(targets) - 0.5)
    errors, explained = axes[0]
    errors.set_xlim(left=0)
    errors.set_xlabel("mean relative error (%)")
    _r2_axis(explained, data.r2, poor)
    errors.set_yticks(range(len(targets)), targets)
    errors.invert_yaxis()
    style.legend_below(figure, errors)
    return figure


def _r2_axis(panel: Axes, values: Sequence[float], poor: float) -> None:
    """Write the axis of R²; what is worse than the mean, below 0, stands at 0."""
    panel.axvline(poor, color=style.MUTED, lw=1, ls=":")
    panel.set_xlabel(f"R² (left of the dotted line, {poor:g}: poor)")
    least = max(0.0, min(values) - 0.05)
    panel.set_xlim(least, 1.0)
    for line in panel.get_lines()[1:] if min(values) < least else ():
        line.set_xdata(np.maximum(line.get_xdata(), least))
        line.set_clip_on(False)


def draw_fit(results: Results, target: str) -> Drawing:
    """Return predicted against measured, of the chosen form of one target."""
    predictions = results.predictions(target)
    runs = runs_with_sweeps(results)
    if "sweep" in runs:
        predictions = predictions.assign(sweep=predictions.run.map(dict(zip(runs.run, runs["sweep"], strict=True))))
    return Drawing(fit_quality_figure(predictions, labels_of(results, target)), predictions)


def draw_bags(results: Results, target: str) -> Drawing:
    """Return how single resampled fits of one target and their bag do on runs they have not seen."""
    laws = results.laws(target)
    data = bag_data(laws.bags, results.table, target, results.study.laws)
    return Drawing(bags_figure(data, results.chosen_form(target)), data)


def draw_extrapolation(results: Results, target: str) -> Drawing:
    """Return how well the law of every target predicts runs it has not seen."""
    forms = [results.forms(name) for name in results.study.targets()]
    data = extrapolation_data(pd.concat(forms, ignore_index=True))
    return Drawing(extrapolation_figure(data, results.study.laws.poor_fit), data)


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
    panel.plot(rows.value, rise, color=CATEGORIES[0], marker="o", ms=2.5, lw=1.3)
    panel.plot(rows.fit.iloc[0], max(0.0, -lowest), "v", color=CATEGORIES[1], ms=6, mec="white", zorder=4)
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
    data = results.profile(target)
    return Drawing(profiles_figure(data), data)
