"""How far each run has come: from its folder, from the queue, and from the append-only log of its training.

Logs may be long, and status reads those of all runs: of an attempt only the first and last lines are parsed.
"""

import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from vlmfrontier.cluster.slurm import RUN_RULES, QueuedJob, ended_state, job_of
from vlmfrontier.ended import ATTEMPT_LINE, STAGES, Ended, as_it_is, read_ended, record_file, record_of
from vlmfrontier.paths import ResultsFolder, RunFolder

DONE, TRAINED, FAILED, STARTED, MISSING = "done", "finetuned", "failed", "started", "missing"
QUEUED, RUNNING, REFUSED = "queued", "running", "refused"


class Status(NamedTuple):
    """Where a run stands, and for a failed one why."""

    state: str
    """done, finetuned (not yet evaluated), failed, started (interrupted, or running on a laptop), missing, refused (by
    the plan); with Slurm also queued and running."""
    reason: str = ""
    """Why a run failed or is refused, in one line; the Slurm job of a live one."""


def run_status(folder: Path, job: QueuedJob | None = None, tested: Sequence[tuple[int, int]] = ()) -> Status:
    """Return the status of a run from its job in the queue, else from the files in its `folder`.

    Done is one with its result and those at all T and V of `tested`. Failed is one whose last attempt at a stage ended
    so by its own record, even if an older result is there; what its log says decides nothing.
    """
    if job is not None:
        state = QUEUED if job.state == "PENDING" else RUNNING
        return Status(
            state, f"Slurm job {job.id}, {job.rule}" + (f" on {job.node} for {job.elapsed}" if job.node else "")
        )
    ends = {stage: how_ended(record_file(folder, stage)) for stage in STAGES}
    for stage, end in ends.items():
        if end is not None and end.state == FAILED:
            return Status(FAILED, f"{stage}: {end.reason}")
    missing = [at for at in tested if not RunFolder(folder).tested(*at).exists()]
    if (folder / "result.json").exists() and not missing:
        return Status(DONE)
    if (folder / "finetuned.json").exists():
        done = len(tested) - len(missing)
        return Status(TRAINED, f"tested at {done} of {len(tested)} other T and V" if done else "")
    begun = ends["finetune"]
    if begun is not None:
        job = f"Slurm job {begun.slurm_job_id}, " if begun.slurm_job_id else ""
        return Status(STARTED, f"{job}attempt {begun.attempt} on {begun.host}{begun.reason and f': {begun.reason}'}")
    return Status(STARTED if (folder / "finetune.log").exists() else MISSING)


def how_ended(record: Path) -> Ended | None:
    """Return what `record` says; None if it says nothing. A job that started and is gone without a word has failed.

    What cannot be known, of another machine or a Slurm that does not answer, leaves a job started.
    """
    end = read_ended(record)
    if end is None or end.state != STARTED:
        return end
    if not end.slurm_job_id:
        return as_it_is(end)
    state = ended_state(end.slurm_job_id) if record.stat().st_uid == os.geteuid() else ""  # Slurm may hide others' jobs
    if not state:
        return end
    reason = f"ended without a word: Slurm job {end.slurm_job_id} on {end.host}: {state}"
    return end.model_copy(update={"state": FAILED, "reason": reason})


def failed_jobs(results: Path) -> dict[Path, Ended]:
    """Return how the jobs that are no runs and whose last attempt failed ended, by their logs."""
    records = sorted(ResultsFolder(results).logs.glob("*.ended.json"))
    ends = {record.with_name(record.name.removesuffix(".ended.json") + ".log"): how_ended(record) for record in records}
    return {log: end for log, end in ends.items() if end is not None and end.state == FAILED}


def failed_runs(runs: Iterable[str], results: Path) -> set[str]:
    """Return those of the runs, by their keys, whose last attempt failed."""
    return {run for run in runs if run_status(ResultsFolder(results).run(run).root).state == FAILED}


def live_runs(jobs: Sequence[QueuedJob]) -> dict[str, QueuedJob]:
    """Return the jobs in the queue that finetune, question or evaluate a run, by its key."""
    return {run: job for job in jobs if job.rule.startswith(RUN_RULES) for run in job.runs}


def in_words(log: Path, again: str, lines: int) -> str:
    """Return why the job of `log` failed: the last `lines` lines of its last attempt, its Slurm job, the command to run
    again."""
    end, job = how_ended(record_of(log)), job_of(log)
    tail = log_tail(log, lines, end.attempt if end else None)
    if job and (end is None or end.slurm_job_id == job.id):
        tail += f"\nSlurm job {job.id} on {job.node}: {job.state or 'no longer known to Slurm'}"
    if end is not None and end.reason not in tail:
        tail += f"\n{end.reason}"
    return f"the end of {log}:\n{tail}\nagain: {again}"


def log_tail(log: Path, count: int, attempt: int | None = None) -> str:
    """Return the last `count` lines that the last attempt wrote into `log`, indented; none if that is not `attempt`."""
    if not log.exists():
        return "  (there is no such file)"
    lines = log.read_text(errors="replace").splitlines()
    starts = [index for index, line in enumerate(lines) if ATTEMPT_LINE.match(line)]
    if starts:
        if attempt is not None and ATTEMPT_LINE.match(lines[starts[-1]])["attempt"] != str(attempt):
            return f"  (attempt {attempt} wrote nothing)"
        lines = lines[starts[-1] :]
    return "\n".join(f"  {line}" for line in lines[-count:])


_BEGINNING = re.compile(rb'"event": *"(started|resumed)"')


class TrainingProgress(NamedTuple):
    """How far the last attempt at a training is."""

    step: int
    steps: int
    """All that the training takes."""
    loss: float | None
    speed: float
    """Steps per second of this attempt; 0 if it is too early to say."""
    time: float
    """Of its last sign, in seconds since 1970."""


def hours_used(log: Path) -> float:
    """Return the hours from first to last line of every attempt at the last training in a `train.jsonl`, added up.

    Time in queues between attempts does not count, steps that were lost in a kill do.
    """
    times = [(_time(_forwards(part)), _time(_backwards(part))) for part in _attempts(log)]
    return sum(last - first for first, last in times if first is not None and last is not None) / 3600


def progress_of(log: Path) -> TrainingProgress | None:
    """Return how far the last attempt in a `train.jsonl` is; None if it has not begun."""
    attempts = _attempts(log)
    began = _entry(attempts[-1].split(b"\n", 1)[0]) if attempts else {}
    if not isinstance(began.get("steps"), int) or not isinstance(began.get("step"), int):
        return None
    first = next(filter(_is_step, _forwards(attempts[-1])), began)
    last = next(filter(_is_step, _backwards(attempts[-1])), began)
    if first["step"] == last["step"]:
        first = began
    seconds = last.get("time", 0) - first.get("time", 0)
    speed = (last["step"] - first["step"]) / seconds if seconds > 0 else 0.0
    return TrainingProgress(last["step"], began["steps"], last.get("loss"), speed, last.get("time", 0.0))


def _attempts(log: Path) -> list[bytes]:
    """Return the lines of each attempt at the last training."""
    try:
        content = log.read_bytes()
    except OSError:
        return []
    begins = list(_BEGINNING.finditer(content))
    first = max((index for index, begin in enumerate(begins) if begin[1] == b"started"), default=0)
    borders = [*(content.rfind(b"\n", 0, begin.start()) + 1 for begin in begins[first:]), len(content)]
    return [content[start:end] for start, end in itertools.pairwise(borders)]


def _forwards(part: bytes) -> Iterator[dict]:
    start = 0
    while start < len(part):
        end = part.find(b"\n", start)
        end = len(part) if end < 0 else end
        yield _entry(part[start:end])
        start = end + 1


def _backwards(part: bytes) -> Iterator[dict]:
    end = len(part)
    while end > 0:
        start = part.rfind(b"\n", 0, end) + 1
        yield _entry(part[start:end])
        end = start - 1


def _time(entries: Iterable[dict]) -> float | None:
    return next((float(each["time"]) for each in entries if isinstance(each.get("time"), int | float)), None)


def _is_step(entry: dict) -> bool:
    return isinstance(entry.get("step"), int) and isinstance(entry.get("time"), int | float) and "event" not in entry


def _entry(line: bytes) -> dict:
    """Return one line of the log; empty for the half line of an attempt that was killed while it wrote."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
