"""The runs of a study that work, wait or have failed, as a table that one can watch."""

import math
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from vlmfrontier.cluster.slurm import QueuedJob
from vlmfrontier.ended import STAGES, Ended, record_file
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.sweep.status import (
    DONE,
    FAILED,
    QUEUED,
    RUNNING,
    STARTED,
    TRAINED,
    TrainingProgress,
    how_ended,
    live_runs,
    progress_of,
)
from vlmfrontier.units import format_duration, format_quantity

WAITING, STOPPED = "waiting", "stopped"
_ORDER = (FAILED, RUNNING, WAITING, STOPPED)
_REASONS = {
    "Priority": "other jobs have a higher priority",
    "Resources": "no node has enough free; it is next in line",
    "Dependency": "for another job",
    "BeginTime": "not to begin before a later time",
    "JobHeldUser": "held by the user; `scontrol release` lets it go",
    "JobHeldAdmin": "held by an administrator",
    "ReqNodeNotAvail": "nodes that it needs are down, drained or reserved",
    "Reservation": "for its reservation to begin",
    "Licenses": "for a license",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition is inactive",
    "PartitionTimeLimit": "it asks for more time than the partition allows",
    "PartitionNodeLimit": "it asks for more nodes than the partition allows",
    "BadConstraints": "no node has what it asks for",
    "NodeDown": "a node that it needs is down",
    "Cleaning": "Slurm cleans up after its last attempt",
    "Prolog": "its node is being prepared",
    "launch failed requeued held": "it could not be started, and is held; `scontrol release` lets it go",
    "JobLaunchFailure": "it could not be started",
    "InvalidAccount": "its account is not valid",
    "InvalidQOS": "its qos is not valid",
    "AssociationJobLimit": "the account's limit on jobs is reached",
    "AssociationResourceLimit": "the account's limit is reached",
    "QOSJobLimit": "the limit of the qos on jobs is reached",
}
_LIMITS = (
    ("QOSMaxJobs", "the limit of the qos on jobs at a time is reached"),
    ("QOSMaxGRES", "the limit of the qos on GPUs is reached"),
    ("QOSGrpGRES", "the limit of the qos on GPUs is reached"),
    ("QOS", "a limit of the qos is reached"),
    ("AssocGrpGRES", "the account's limit on GPUs is reached"),
    ("AssocMaxGRES", "the account's limit on GPUs is reached"),
    ("AssocMaxJobs", "the account's limit on jobs at a time is reached"),
    ("Assoc", "a limit of the account is reached"),
    ("MaxGRES", "a limit on GPUs is reached"),
)


class Row(NamedTuple):
    """One run, or another job of the study, that works, waits or has failed."""

    run: str
    state: str
    """failed, running, waiting or stopped (its last attempt was interrupted, and none is under way)."""
    stage: str
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    tokens_per_second: float | None = None
    """Visual tokens that this attempt trains on."""
    gpu_hours: float | None = None
    hours_left: float | None = None
    """From the speed of this attempt, else from the plan; of this stage alone."""
    node: str = ""
    job: str = ""
    why: str = ""
    """Why it waits or has failed, in one line."""


def live_rows(results: Path, plan: pd.DataFrame, jobs: Sequence[QueuedJob], batch_size: int | None) -> list[Row]:
    """Return a row for each run that has failed, runs, waits or is stopped, and for each other job in the queue."""
    by_run = live_runs(jobs)
    rows = []
    for planned in plan[plan.status != DONE].itertuples() if not plan.empty else ():
        row = _row(results, planned, by_run.get(planned.run), batch_size)
        if row is not None:
            rows.append(row)
    known = set() if plan.empty else set(plan.run)
    for job in jobs:
        if not known & set(job.runs):
            state = WAITING if job.state == "PENDING" else RUNNING
            name = " ".join(filter(None, [job.rule, job.wildcards]))
            rows.append(Row(name, state, "", node=job.node, job=job.id, why=why_waiting(job)))
    return sorted(rows, key=_rank)


def _rank(row: Row) -> tuple[int, float]:
    left = math.inf if row.hours_left is None else row.hours_left
    return _ORDER.index(row.state), left if row.state == RUNNING else 0.0


def _row(results: Path, planned: object, job: QueuedJob | None, batch_size: int | None) -> Row | None:
    folder = ResultsFolder(results).run(planned.run).root
    hours = planned.measured_gpu_hours or None
    if planned.status == FAILED:
        stage, _, why = planned.reason.partition(": ")
        return _with_steps(Row(planned.run, FAILED, stage, gpu_hours=hours, why=why), folder, planned, batch_size)
    if job is not None:
        state, stage = (WAITING if planned.status == QUEUED else RUNNING), job.rule.split("_", 1)[0]
        row = Row(planned.run, state, stage, gpu_hours=hours, node=job.node, job=job.id, why=why_waiting(job))
        return _with_steps(row, folder, planned, batch_size)
    if planned.status not in (STARTED, TRAINED):
        return None
    stage, end = _last(folder)
    if end is None or end.state == DONE:
        return None
    lives = end.state == STARTED and end.host == platform.node() and not end.slurm_job_id
    why = "" if lives else end.reason or f"attempt {end.attempt} was last seen on {end.host}"
    row = Row(planned.run, RUNNING if lives else STOPPED, stage, gpu_hours=hours, node=end.host, why=why)
    return _with_steps(row._replace(job=end.slurm_job_id or ""), folder, planned, batch_size)


def _last(folder: Path) -> tuple[str, Ended | None]:
    """Return the stage that a run has last begun, and its record."""
    for stage in STAGES:
        end = how_ended(record_file(folder, stage))
        if end is not None:
            return stage, end
    return "", None


def _with_steps(row: Row, folder: Path, planned: object, batch_size: int | None) -> Row:
    if row.stage != "finetune":
        left = planned.evaluation_gpu_hours
        return row._replace(hours_left=None if row.state == FAILED or math.isnan(left) else left)
    progress = progress_of(folder / "state" / "train.jsonl")
    left = _hours_left(progress, planned, runs=row.state == RUNNING)
    row = row._replace(hours_left=None if row.state == FAILED else left)
    if progress is None:
        return row
    speed = (
        progress.speed * batch_size * planned.tokens if batch_size and progress.speed and row.state == RUNNING else None
    )
    return row._replace(step=progress.step, steps=progress.steps, loss=progress.loss, tokens_per_second=speed)


def _hours_left(progress: TrainingProgress | None, planned: object, runs: bool) -> float:
    if progress is None:
        return planned.wall_hours
    steps = progress.steps - progress.step
    if runs and progress.speed:
        return steps / progress.speed / 3600
    return planned.wall_hours * steps / max(progress.steps, 1)


def why_waiting(job: QueuedJob) -> str:
    """Return why a job waits, in Slurm's word and plain ones, and when Slurm expects it to start; empty if it runs."""
    if job.state != "PENDING" or not job.reason:
        return ""
    word = job.reason.split(",")[0].strip()
    said = _REASONS.get(word) or next((text for start, text in _LIMITS if word.startswith(start)), "")
    start = f"; not before {job.start.replace('T', ' ')[:16]}" if job.start else ""
    return (f"{job.reason}: {said}" if said else job.reason) + start


def table(rows: Sequence[Row], most: int, width: int | None = None) -> list[str]:
    """Return the rows as aligned lines, at most `most` of them, with how many more there are; cut at `width`."""
    shown, more = _share(rows, most)
    if not shown:
        return []
    cells = [_HEAD, *map(_cells, shown)]
    used = [index for index in range(len(_HEAD)) if any(line[index] for line in cells[1:])]
    widths = {index: max(len(line[index]) for line in cells) for index in used}
    lines = ["  ".join(_pad(line[index], widths[index], index) for index in used).rstrip() for line in cells]
    lines += [f"and {count} more {state}" for state, count in more.items()]
    return [line if width is None or len(line) <= width else f"{line[: width - 1]}…" for line in lines]


_HEAD = ("run", "state", "stage", "step", "loss", "visual tokens/s", "GPU-h", "left", "node", "job", "")
_RIGHT = range(3, 8)


def _pad(text: str, width: int, index: int) -> str:
    return text.rjust(width) if index in _RIGHT else text.ljust(width)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.run,
        row.state,
        row.stage,
        "" if row.step is None else f"{row.step}/{row.steps}",
        "" if row.loss is None else f"{row.loss:.4g}",
        "" if row.tokens_per_second is None else format_quantity(row.tokens_per_second),
        "" if row.gpu_hours is None else format_quantity(row.gpu_hours),
        "" if row.hours_left is None else format_duration(row.hours_left),
        row.node,
        row.job,
        row.why,
    )


def _share(rows: Sequence[Row], most: int) -> tuple[list[Row], Mapping[str, int]]:
    """Return `most` rows of which no state takes the room of the others, and how many more each state has."""
    counts = Counter(row.state for row in rows)
    given = dict.fromkeys(counts, 0)
    for _ in range(min(most, len(rows))):
        state = min((state for state in counts if given[state] < counts[state]), key=lambda state: given[state])
        given[state] += 1
    shown, seen = [], Counter()
    for row in rows:
        seen[row.state] += 1
        if seen[row.state] <= given[row.state]:
            shown.append(row)
    return shown, {state: counts[state] - given[state] for state in counts if counts[state] > given[state]}
