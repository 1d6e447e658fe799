"""How far each run has come, read from its folder."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vlmfrontier.cluster.slurm import RUN_RULES, QueuedJob, ended_state, job_of
from vlmfrontier.ended import ATTEMPT_LINE, STAGES, Ended, as_it_is, read_ended, record_file, record_of
from vlmfrontier.sweep.runs import Run

DONE, TRAINED, FAILED, STARTED, MISSING = "done", "finetuned", "failed", "started", "missing"
QUEUED, RUNNING, REFUSED = "queued", "running", "refused"


class Status(NamedTuple):
    """Where a run stands, and for a failed one why."""

    state: str
    """done, finetuned (not yet evaluated), failed, started (interrupted, or running on a laptop), missing, refused (by
    the plan); with Slurm also queued and running."""
    reason: str = ""
    """Why a run failed or is refused, in one line; the Slurm job of a live one."""


def run_status(results: Path, run: Run, live: Mapping[str, QueuedJob] | None = None) -> Status:
    """Return the status of `run` from its job in `live` (jobs by run), else from its files in `results`.

    Failed is a run whose last attempt at a stage ended so by its own record, even if an older result is there; what its
    log says decides nothing.
    """
    if live and run.key in live:
        job = live[run.key]
        state = QUEUED if job.state == "PENDING" else RUNNING
        return Status(
            state, f"Slurm job {job.id}, {job.rule}" + (f" on {job.node} for {job.elapsed}" if job.node else "")
        )
    folder = results / "runs" / run.key
    ends = {stage: how_ended(record_file(folder, stage)) for stage in STAGES}
    for stage, end in ends.items():
        if end is not None and end.state == FAILED:
            return Status(FAILED, f"{stage}: {end.reason}")
    if (folder / "result.json").exists():
        return Status(DONE)
    if (folder / "finetuned.json").exists():
        return Status(TRAINED)
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
    records = sorted((results / "logs").glob("*.ended.json"))
    ends = {record.with_name(record.name.removesuffix(".ended.json") + ".log"): how_ended(record) for record in records}
    return {log: end for log, end in ends.items() if end is not None and end.state == FAILED}


def failed_runs(runs: Iterable[Run], results: Path) -> set[str]:
    """Return the keys of the runs whose last attempt failed."""
    return {run.key for run in runs if run_status(results, run).state == FAILED}


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
