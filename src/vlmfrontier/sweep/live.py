"""What runs and what waits at this moment: a table of a study's live runs, read from the queue and from their logs."""

import json
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tabulate import tabulate

from vlmfrontier.cluster.queue import QueuedJob
from vlmfrontier.study.units import format_quantity
from vlmfrontier.sweep.runs import Run
from vlmfrontier.sweep.status import QUEUED, RUNNING, STARTED

TAIL = 65_536
"""Bytes of the end of a training's log that are read: enough for its speed, however long it is."""
SHOWN = 40
"""Rows of the table; the rest is counted."""
WAITS = (
    (r"Priority", "other jobs have a higher priority"),
    (r"Resources", "no node is free"),
    (r"JobHeld|launch_failed_requeued_held", "it is held"),
    (r"PartitionTimeLimit|PartitionNodeLimit", "it asks for more than the partition gives and will never start"),
    (r"ReqNodeNotAvail|NodeDown|Reserved", "its nodes are down or reserved"),
    (r"(QOS|Assoc)\w*Jobs?", "as many jobs run as a limit allows"),
    (r"(QOS|Assoc)\w*", "a limit on GPUs, cores, memory or time is reached"),
    (r"BeginTime", "it was requeued a moment ago"),
    (r"Dependency", "it waits for another job"),
    (r"Licenses", "no licence is free"),
)
"""Slurm's words for why a job waits, as patterns, and what they mean."""


class Progress(NamedTuple):
    """How far a training is."""

    step: int
    steps: int
    loss: float | None
    speed: float | None
    """Steps per second, lately; None before the second line of an attempt."""

    @property
    def hours_left(self) -> float | None:
        """Hours to the last step at that speed."""
        return (self.steps - self.step) / self.speed / 3600 if self.speed else None


def progress(log: Path) -> Progress | None:
    """Return how far the training that writes this `train.jsonl` is; None if it has logged no step.

    Only the beginning and the end of the file are read.
    """
    entries = list(_ends(log))
    steps = next((entry["steps"] for entry in reversed(entries) if "steps" in entry), None)
    last = max(
        (index for index, entry in enumerate(entries) if entry.get("event") in ("started", "resumed")), default=0
    )
    taken = [entry for entry in entries[last:] if "loss" in entry or entry.get("event") in ("started", "resumed")]
    taken = [entry for entry in taken if {"step", "time"} <= entry.keys()]
    if steps is None or not taken:
        return None
    seconds = sum(after["time"] - before["time"] for before, after in pairwise(taken))
    done = taken[-1]["step"] - taken[0]["step"]
    speed = done / seconds if seconds > 0 and done > 0 else None
    return Progress(taken[-1]["step"], steps, taken[-1].get("loss"), speed)


def _ends(log: Path) -> Iterable[dict[str, Any]]:
    """Yield the first line of a log and the whole lines of its end."""
    if not log.exists():
        return
    with log.open("rb") as file:
        first = file.readline()
        size = file.seek(0, 2)
        file.seek(max(len(first), size - TAIL))
        lines = file.read().splitlines()[int(size - TAIL > len(first)) :]
    for line in (first, *lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # half a line of an attempt that was killed
        if isinstance(entry, dict):
            yield entry


def why_it_waits(reason: str) -> str:
    """Return in words why Slurm lets a job wait, with its own word; empty without a reason."""
    if not reason:
        return ""
    words = next((words for pattern, words in WAITS if re.match(pattern, reason.lstrip("("))), "")
    return f"{words} ({reason})" if words else reason


def live_table(
    plan: pd.DataFrame, runs: Mapping[str, Run], jobs: Mapping[str, QueuedJob], results: Path, batch_size: int
) -> str:
    """Return a table of the runs that train, are evaluated or wait, those nearest to their end first; empty if none do.

    `plan` is plan.csv's, `jobs` the queue's by run.
    """
    live = plan[plan.status.isin([RUNNING, STARTED, QUEUED])]
    rows = [_row(row, runs[row.run], jobs.get(row.run), results, batch_size) for row in live.itertuples()]
    rows.sort(key=lambda row: (row["state"] == QUEUED, row["hours"] if row["hours"] is not None else float("inf")))
    told = [key for key in (rows[0] if rows else {}) if key != "hours" and any(row[key] for row in rows)]
    shown = [{key: row[key] for key in told} for row in rows[:SHOWN]]
    text = tabulate(shown, headers="keys", tablefmt="plain", disable_numparse=True)
    return text + (f"\nand {len(rows) - SHOWN} more" if len(rows) > SHOWN else "")


def _row(planned: Any, run: Run, job: QueuedJob | None, results: Path, batch_size: int) -> dict[str, Any]:
    folder = results / "runs" / planned.run
    trains = not (folder / "finetuned.json").exists()
    found = progress(folder / "state" / "train.jsonl") if trains and planned.status != QUEUED else None
    left = found.hours_left if found else (planned.wall_hours if trains else None)
    where = f"{job.id} {job.node}".strip() if job else ""
    waits = why_it_waits(job.reason) if job and planned.status == QUEUED else ""
    if waits and job.start:
        waits += f", expected {job.start.replace('T', ' ')}"
    return {
        "run": planned.run,
        "state": planned.status,
        "stage": _stage(job, trains),
        "step": f"{found.step}/{found.steps}" if found else "",
        "loss": f"{found.loss:.4f}" if found and found.loss is not None else "",
        "visual tokens/s": format_quantity(found.speed * batch_size * run.T * run.V) if found and found.speed else "",
        "GPU time": _hours(planned.measured_gpu_hours or None),
        "left": _hours(left),
        "Slurm job": where or planned.reason,
        "waits": waits,
        "hours": left,
    }


def _stage(job: QueuedJob | None, trains: bool) -> str:
    if job is not None:
        return job.rule.removesuffix("_on_nodes").removesuffix("_run")
    return "finetune" if trains else "evaluate"


def _hours(hours: float | None) -> str:
    if hours is None or pd.isna(hours) or hours < 0:
        return ""
    return f"{60 * hours:.1f} min" if hours < 1 else f"{hours:.1f} h"
