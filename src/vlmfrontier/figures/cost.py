"""Costs: what the plan expected against what was measured, and the vision model's share of c(x) (Figure 6)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vlmfrontier.figures import style
from vlmfrontier.figures.drawing import Drawing, Labels, NothingToShow, labels_of
from vlmfrontier.records import again, read_frame, read_result
from vlmfrontier.results import Results
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.sweep.trainings import finetuning
from vlmfrontier.units import format_count, format_number

SECONDS = 3600.0


def planned_data(study: Study, records: Mapping[str, Mapping[str, Any]], hours: Mapping[str, float]) -> pd.DataFrame:
    """Return what every run was planned to take beside what it took, a row per result.

    Columns: run, N, c (inference by the study's cost), counted (FLOPs of inference counted in the model),
    training_flops (3·c·n, the plan's), train_seconds times processes, evaluate_seconds; gpu_hours as planned,
    measured_gpu_hours of runs on GPUs. `records` are results, `hours` planned GPU-hours, by run.
    """
    rows = []
    for run in plan_runs(study):
        record = records.get(run.key, {})
        if None in [record.get("seconds", {}).get(stage) for stage in ("finetune", "evaluate")]:
            continue
        processes = record.get("training", {}).get("processes", 1)
        seconds = record["seconds"]["finetune"] * processes
        # What trained, which need not be what answered the questions.
        on_gpu = str(record.get("training", record).get("provenance", {}).get("device", "cpu")) != "cpu"
        rows.append(
            {
                "run": run.key,
                "N": run.N,
                "c": run.c,
                "counted": record.get("counted_flops", {}).get("total", np.nan),
                "training_flops": finetuning(study, run).flops,
                "train_seconds": seconds,
                "evaluate_seconds": record["seconds"]["evaluate"],
                "gpu_hours": hours.get(run.key, np.nan),
                "measured_gpu_hours": seconds / SECONDS if on_gpu else np.nan,
            }
        )
    return pd.DataFrame(rows)


@style.styled
def planned_figure(data: pd.DataFrame, labels: Labels, counts_flops: bool) -> Figure:
    """Return panels of what was measured as a multiple of what was planned: inference, if both are FLOPs, GPU-hours on
    a cluster; and of the speed of training.

    Points are runs, a colour and a marker per N. Solid: as planned; dashed: the median.
    """
    kinds = [("c", data.counted / data.c, f"planned {labels.cost}", "counted in the model ÷ planned")]
    kinds = kinds if counts_flops else []
    speed = data.training_flops / data.train_seconds
    kinds += [("training_flops", speed, "planned training (FLOPs)", "training speed (FLOPs per second)")]
    if data.measured_gpu_hours.notna().any():
        kinds += [("gpu_hours", data.measured_gpu_hours / data.gpu_hours, "planned GPU-hours", "taken ÷ planned")]
    figure, axes = style.panels(1, len(kinds), height=2.8)
    sizes = np.unique(data.N)
    looks = dict(
        zip(sizes.tolist(), zip(style.sequence(len(sizes)), style.MARKERS * len(sizes), strict=False), strict=True)
    )
    for panel, (planned, values, x_name, y_name) in zip(axes[0], kinds, strict=True):
        known = (values > 0) & np.isfinite(values)
        _draw(panel, values[known], "÷" in y_name)
        for N, rows in data[known].groupby("N"):
            color, marker = looks[N]
            look = {"ms": 4.5, "mec": "white", "mew": 0.5, "color": color, "label": f"N = {format_count(N)}"}
            panel.plot(rows[planned], values[rows.index], marker, **look)
        style.number_axis(panel.xaxis, log=True)
        panel.set_xlabel(x_name)
        panel.set_ylabel(y_name)
    style.legend_below(figure, axes[0].tolist())
    return figure


def _draw(panel: Axes, values: pd.Series, ratio: bool) -> None:
    """Draw the median, as title too, and where the values are ratios the plan, 1."""
    if values.empty:
        return
    middle, low, high = np.median(values), values.min(), values.max()
    panel.axhline(middle, color=style.MUTED, lw=1, ls="--", zorder=1)
    if ratio:
        panel.axhline(1, color=style.MUTED, lw=1, zorder=1)
        panel.set_ylim(min(0.0, low), 1.12 * max(high, 1.0))
        panel.set_title(f"{middle:.2f} × planned (median; {low:.2f} to {high:.2f})")
    else:
        style.number_axis(panel.yaxis)
        panel.set_ylim(0, 1.12 * high)
        panel.set_title(f"{format_number(middle)} FLOPs per second (median)")


def draw_cost(results: Results, target: str) -> Drawing:
    """Return the cost of the runs as planned against what they took."""
    paths = {key: results.run(key).result for key in results.table.names_of_trainings}
    records = {key: read_result(path) for key, path in paths.items() if path.exists()}
    if not records:
        raise NothingToShow("The results of the runs, runs/<run>/result.json, are not here.")
    plan = results.plan_csv
    hours = (
        dict(read_frame(plan, again("plan"), ["gpu_hours"], ["run"])[["run", "gpu_hours"]].itertuples(index=False))
        if plan.exists()
        else {}
    )
    data = planned_data(results.study, records, hours)
    return Drawing(planned_figure(data, labels_of(results, target), results.cost.unit == "FLOPs"), data)


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
