"""The runs: error against every factor and the cost (the paper's Figure 7), and training loss from their logs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmfrontier.figures import style
from vlmfrontier.figures.drawing import Drawing, Labels, NothingToShow, center_line, labels_of, runs_with_sweeps
from vlmfrontier.figures.labels import end_labels, point_labels
from vlmfrontier.frontier.space import most_frequent
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.results import Results
from vlmfrontier.units import format_count

MOST_SIZES = 6
"""With more data sizes than this, n has an axis of its own."""
COLUMNS = (3, 2, 4)
"""Columns of panels, the preferred number first."""
CURVES = 4
"""Runs of a line whose learning is drawn: the least level, the greatest and some between."""
FEW = 80
"""More runs than this are drawn smaller and lighter."""
DODGE = 1.03
"""By what runs of one n stand aside of those of the next, as a ratio."""
NAMED, MOST_RINGED = 4, 15
"""At most as many runs of the Pareto front are named; a front of more than so many is a line without rings."""


def with_front(data: pd.DataFrame, target: str) -> pd.DataFrame:
    """Return the runs with the column `best`: no run that costs as much or less has as small an error."""
    if "c" not in data:
        return data
    kept = data.dropna(subset=["c", target]).sort_values(["c", target], kind="stable")
    least = kept[target].cummin().shift(fill_value=np.inf)
    return data.assign(best=data.index.isin(kept.index[kept[target] < least]))


@style.styled
def runs_figure(data: pd.DataFrame, factors: Sequence[str], target: str, labels: Labels) -> Figure:
    """Return a panel per factor, for n if it has many values, and for the cost `c`: runs as points, a colour per n.

    Markers tell sweeps apart where `data` has the column `sweep`; runs of several n stand side by side; those that were
    tested elsewhere than trained are small. Bars are one standard error. Over the cost a line joins the runs that are
    `best`, which are ringed in every panel.
    """
    many = "n" in data and data["n"].nunique() > MOST_SIZES
    axes = [*factors, *(["n"] if many else []), *(["c"] if "c" in data and data.c.notna().any() else [])]
    figure, tiles = style.tiles(len(axes), COLUMNS, sharey=True)
    colors = _colors(data)
    for panel, name in zip(tiles.all, axes, strict=True):
        _runs_panel(panel, data, name, target, colors, aside=1.0 if many or name == "c" else DODGE)
        if name == "c":
            style.number_axis(panel.xaxis, log=True)
            panel.set_xlabel(labels.cost)
        else:
            style.factor_axis(panel.xaxis, labels.names[name], data[name])
    for panel in tiles.left:
        panel.set_ylabel(labels.error)
    _legend(figure, tiles.all[0], data, colors)
    if "c" in axes and data.best.any():
        _front(figure, tiles.all[-1], data, factors, target)
    return figure


def _runs_panel(
    panel: Axes, data: pd.DataFrame, name: str, target: str, colors: Mapping[float, object], aside: float
) -> None:
    """Draw all runs over one column, those of the front on top."""
    order, sweeps = list(colors), list(dict.fromkeys(_sweeps(data)))
    large = len(data) <= FEW
    for (size, sweep, away), rows in data.groupby([_sizes(data), _sweeps(data), _elsewhere(data)], sort=True):
        marker = style.MARKERS[sweeps.index(sweep) % len(style.MARKERS)]
        se = None if away else rows.get(f"{target}_se")
        look = {"mec": "white", "mew": 0.4, "elinewidth": 0.7, "alpha": 0.45 if away else 0.85 if large else 0.6}
        x = rows[name] * aside ** (order.index(size) - (len(order) - 1) / 2)
        ms = 2.2 if away else 4 if large else 3
        panel.errorbar(x, rows[target], se, fmt=marker, color=colors[size], ms=ms, **look)
        if "best" in rows and data.best.sum() <= MOST_RINGED:
            front = rows[target].where(rows.best)
            panel.plot(x, front, "o", ls="none", ms=8, mfc="none", mec=style.MEASURED, mew=0.9, zorder=5)


def _front(figure: Figure, panel: Axes, data: pd.DataFrame, factors: Sequence[str], target: str) -> None:
    """Draw the least error that any run has for its cost as steps, with the configurations of some of its runs."""
    front = data[data.best].sort_values("c")
    panel.step(
        [*front.c, data.c.max()], [*front[target], front[target].min()], where="post", color=style.MEASURED, lw=1
    )
    style.lay_out(figure, passes=2)  # a panel's size decides where labels have room
    places = np.unique(np.linspace(0, len(front) - 1, min(len(front), NAMED)).round().astype(int))
    named = [
        (row.c, getattr(row, target), f"({', '.join(format_count(getattr(row, name)) for name in factors)})")
        for row in front.iloc[places][["c", *factors, target]].rename(columns=str).itertuples(index=False)
    ]
    point_labels(panel, named, data[["c", target]].dropna().to_numpy())


def _sizes(data: pd.DataFrame) -> pd.Series:
    return data["n"] if "n" in data else pd.Series(0.0, data.index)


def _elsewhere(data: pd.DataFrame) -> pd.Series:
    return data["elsewhere"] if "elsewhere" in data else pd.Series(False, data.index)


def _sweeps(data: pd.DataFrame) -> pd.Series:
    return data["sweep"] if "sweep" in data else pd.Series("", data.index)


def _colors(data: pd.DataFrame) -> dict[float, object]:
    sizes = np.unique(data["n"]) if "n" in data else np.array([0.0])
    return dict(zip(sizes.tolist(), style.sequence(len(sizes)), strict=True))


def _legend(figure: Figure, panel, data: pd.DataFrame, colors: dict[float, object]) -> None:
    """Say which colour is which n, which marker which sweep, and what rings are; of many sizes the first, the last and
    some between."""
    if "n" in data:
        sizes = list(colors)
        places = np.unique(np.linspace(0, len(sizes) - 1, min(len(sizes), MOST_SIZES)).round().astype(int))
        for size in (sizes[place] for place in places):
            name = f"n = {format_count(size)}"
            panel.plot([], [], "o", ms=5, color=colors[size], label=name)
    sweeps = list(dict.fromkeys(_sweeps(data)))
    for sweep, marker in zip(sweeps, style.MARKERS * len(sweeps), strict=False) if len(sweeps) > 1 else ():
        panel.plot([], [], marker, ms=5, color=style.MUTED, label=sweep)
    if _elsewhere(data).any():
        panel.plot([], [], "o", ms=2.5, color=style.MUTED, label="tested elsewhere than trained")
    if "best" in data and 0 < data.best.sum() <= MOST_RINGED:
        panel.plot([], [], "o", ms=8, mfc="none", mec=style.MEASURED, mew=0.9, label="least error for its cost")
    style.legend_below(figure, panel)


def draw_runs(results: Results, target: str) -> Drawing:
    """Return all runs with the error of one target."""
    data = with_front(runs_with_sweeps(results), target)
    return Drawing(runs_figure(data, results.study.factors(), target, labels_of(results, target)), data)


def read_log(log: Path) -> list[dict[str, Any]]:
    """Return the steps of the last training in a `train.jsonl`, each once: {step, steps, loss}; empty without a log.

    Steps that were lost in a kill stand there twice; the later attempt is the one that led to the result.
    """
    found: dict[int, dict[str, Any]] = {}
    steps = 0
    for line in log.read_text(errors="replace").splitlines() if log.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:  # half a line, of an attempt that was killed while it wrote
            continue
        if not isinstance(entry, dict):
            continue
        if entry.get("event") == "started":
            found = {}
        steps = entry.get("steps", steps)
        if isinstance(entry.get("loss"), int | float) and isinstance(entry.get("step"), int):
            found = {step: kept for step, kept in found.items() if step < entry["step"]}
            found[entry["step"]] = {"step": entry["step"], "steps": steps, "loss": entry["loss"]}
    return list(found.values())


def learning_data(runs: pd.DataFrame, factors: Sequence[str], folder: ResultsFolder, epochs: float) -> pd.DataFrame:
    """Return the loss of every run at the examples it has seen: run, factors, n, step, examples, loss, line.

    `line` names the factors along whose star line, at the most frequent n, a run lies, separated by spaces.
    """
    kept = runs[runs["n"] == most_frequent(runs["n"])]
    on_line: dict[str, list[str]] = {}
    for factor in factors:
        line = center_line(kept, factor, factors)
        for key in () if line is None else line.drop_duplicates(factor)["run"]:  # of several seeds, the first
            on_line.setdefault(key, []).append(factor)
    parts = []
    for row in runs.to_dict("records"):
        steps = read_log(folder.run(row["run"]).log)
        frame = pd.DataFrame(steps, columns=["step", "steps", "loss"])
        examples = frame.step / frame.steps * row["n"] * epochs
        common = {name: row[name] for name in ("run", *factors, "n")}
        line = " ".join(on_line.get(row["run"], []))
        parts.append(
            pd.DataFrame({**common, "step": frame.step, "examples": examples, "loss": frame.loss, "line": line})
        )
    return pd.concat(parts, ignore_index=True)


@style.styled
def learning_figure(data: pd.DataFrame, factors: Sequence[str], labels: Labels) -> Figure:
    """Return a panel per factor that is varied alone: the loss of a few of its runs, each with its level at its end.

    Without such a factor, one panel with a run of some n each.
    """
    lines = [factor for factor in factors if data.line.str.split().map(lambda names, one=factor: one in names).any()]
    figure, tiles = style.tiles(max(1, len(lines)), COLUMNS, height=2.9, sharey=True)
    named = []
    for panel, factor in zip(tiles.all, lines or ["n"], strict=True):
        rows = data[data.line.str.split().map(lambda names, one=factor: one == "n" or one in names)]
        levels = np.unique(rows[factor])
        levels = levels[np.unique(np.linspace(0, len(levels) - 1, min(len(levels), CURVES)).round().astype(int))]
        ends = []
        for level, color, dashes in zip(levels, style.sequence(len(levels)), style.LINE_STYLES, strict=False):
            run = rows[rows[factor] == level]
            run = run[run.run == run.run.iloc[0]].sort_values("step")
            panel.plot(run.examples, run.loss, color=color, ls=dashes)
            ends.append((float(run.loss.iloc[-1]), f"{factor} = {format_count(level)}"))
        panel.set_xlabel("finetuning examples seen")
        style.number_axis(panel.xaxis)
        held = [name for name in [*factors, "n"] if name != factor and rows[name].nunique() == 1]
        panel.set_title(", ".join(f"{name} = {format_count(rows[name].iloc[0])}" for name in held))
        named.append(ends)
    for panel, ends in zip(tiles.all, named, strict=True):
        end_labels(panel, ends)
    for panel in tiles.left:
        panel.set_ylabel("training loss (nats per answer token)")
    return figure


def trainings(results: Results) -> pd.DataFrame:
    """Return a row per training, with the levels that it was trained at."""
    runs = runs_with_sweeps(results).assign(run=results.table.names_of_trainings, **results.table.trained)
    return runs.drop_duplicates("run", ignore_index=True)


def draw_learning(results: Results, target: str) -> Drawing:
    """Return the learning curves of all runs whose logs are there."""
    factors = results.study.factors()
    data = learning_data(trainings(results), factors, results, results.study.finetune.epochs)
    if data.empty:
        raise NothingToShow("No run has kept its training log, runs/<run>/state/train.jsonl.")
    return Drawing(learning_figure(data, factors, labels_of(results, target)), data)
