"""The runs: error against every factor and the cost (the paper's Figure 7), and training loss from their logs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vlmfrontier.figures import style
from vlmfrontier.figures.drawing import Drawing, Labels, NothingToShow, center_line, labels_of, runs_with_sweeps
from vlmfrontier.frontier.space import most_frequent
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.results import Results
from vlmfrontier.units import format_count

MOST_SIZES = 6
"""With more data sizes than this, n has an axis of its own."""
COLUMNS = (3, 2, 4)
"""Columns of panels, the preferred number first."""


@style.styled
def runs_figure(data: pd.DataFrame, factors: Sequence[str], target: str, labels: Labels) -> Figure:
    """Return a panel per factor, for n if it has many values, and for the cost `c`: runs as points, a colour per n.

    Markers tell sweeps apart where `data` has the column `sweep`. Bars are one standard error.
    """
    many = "n" in data and data["n"].nunique() > MOST_SIZES
    axes = [*factors, *(["n"] if many else []), *(["c"] if "c" in data and data.c.notna().any() else [])]
    figure, tiles = style.tiles(len(axes), COLUMNS, sharey=True)
    colors = _colors(data)
    for panel, name in zip(tiles.all, axes, strict=True):
        for (size, sweep), rows in data.groupby([data.get("n", pd.Series(0, data.index)), _sweeps(data)], sort=True):
            marker = style.MARKERS[list(dict.fromkeys(_sweeps(data))).index(sweep) % len(style.MARKERS)]
            se = rows.get(f"{target}_se")
            look = {"ms": 4.5, "mec": "white", "mew": 0.5, "elinewidth": 0.7, "alpha": 0.9}
            panel.errorbar(rows[name], rows[target], se, fmt=marker, color=colors[size], **look)
        if name == "c":
            style.number_axis(panel.xaxis, log=True)
            panel.set_xlabel(labels.cost)
        else:
            style.factor_axis(panel.xaxis, labels.names[name], data[name])
    for panel in tiles.left:
        panel.set_ylabel(labels.error)
    _legend(figure, tiles.all[0], data, colors)
    return figure


def _sweeps(data: pd.DataFrame) -> pd.Series:
    return data["sweep"] if "sweep" in data else pd.Series("", data.index)


def _colors(data: pd.DataFrame) -> dict[float, object]:
    sizes = np.unique(data["n"]) if "n" in data else np.array([0.0])
    return dict(zip(sizes.tolist(), style.sequence(len(sizes)), strict=True))


def _legend(figure: Figure, panel, data: pd.DataFrame, colors: dict[float, object]) -> None:
    """Say which colour is which n, and which marker which sweep; of many sizes the first, the last and some between."""
    if "n" in data:
        sizes = list(colors)
        places = np.unique(np.linspace(0, len(sizes) - 1, min(len(sizes), MOST_SIZES)).round().astype(int))
        for size in (sizes[place] for place in places):
            name = f"n = {format_count(size)}"
            panel.plot([], [], "o", ms=5, color=colors[size], label=name)
    sweeps = list(dict.fromkeys(_sweeps(data)))
    for sweep, marker in zip(sweeps, style.MARKERS * len(sweeps), strict=False) if len(sweeps) > 1 else ():
        panel.plot([], [], marker, ms=5, color=style.MEASURED, label=sweep)
    style.legend_below(figure, panel)


def draw_runs(results: Results, target: str) -> Drawing:
    """Return all runs with the error of one target."""
    data = runs_with_sweeps(results)
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
    """Return a panel per factor that is varied alone: the loss of its runs in colours, all others in grey.

    Without such a factor, one panel with the runs of every n in a colour.
    """
    lines = [factor for factor in factors if data.line.str.split().map(lambda names, one=factor: one in names).any()]
    figure, tiles = style.tiles(max(1, len(lines)), COLUMNS, height=3.3, sharey=True)
    for panel, factor in zip(tiles.all, lines or ["n"], strict=True):
        on_line = data.line.str.split().map(lambda names, one=factor: one == "n" or one in names)
        if factor != "n":
            _plot(panel, data[~on_line], factor, {})
        levels = np.unique(data[factor][on_line])
        colors = dict(zip(levels.tolist(), style.sequence(len(levels)), strict=True))
        _plot(panel, data[on_line], factor, colors)
        panel.set_xlabel("finetuning examples seen")
        style.number_axis(panel.xaxis, log=True)
        n = np.unique(data.n[on_line])
        panel.set_title(f"n = {format_count(n[0])}" if len(n) == 1 else "all runs")
        panel.legend(title=factor, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    for panel in tiles.left:
        panel.set_ylabel("training loss (nats per answer token)")
    return figure


def _plot(panel, data: pd.DataFrame, factor: str, colors: Mapping[float, object]) -> None:
    """Draw a line per run, in the colour of its level; in grey without colours."""
    named = set()
    for _, run in data.sort_values([factor, "run", "step"]).groupby("run", sort=False):
        level = float(run[factor].iloc[0])
        color = colors.get(level, "#DDDDDD")
        label = format_count(level) if colors and level not in named else None
        named.add(level)
        panel.plot(
            run.examples, run.loss, color=color, lw=1.6 if colors else 0.6, label=label, zorder=3 if colors else 1
        )


def draw_learning(results: Results, target: str) -> Drawing:
    """Return the learning curves of all runs whose logs are there."""
    factors = results.study.factors()
    data = learning_data(runs_with_sweeps(results), factors, results, results.study.finetune.epochs)
    if data.empty:
        raise NothingToShow("No run has kept its training log, runs/<run>/state/train.jsonl.")
    return Drawing(learning_figure(data, factors, labels_of(results, target)), data)
