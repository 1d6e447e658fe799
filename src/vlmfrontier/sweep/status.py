"""How far each run has come, read from its folder."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vlmfrontier.cluster.queue import QueuedJob, job_of
from vlmfrontier.ended import STAGES, read_ended, record_file
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
    ends = {stage: read_ended(record_file(folder, stage)) for stage in STAGES}
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


def failure(log: Path) -> str:
    """Return the line of `log` that says why its job, one that is no run's, failed; empty if it does not say so.

    No script begins a line of its own with a name that someone chose, which may be `error`.
    """
    if not log.exists():
        return ""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    if lines and (lines[-1].startswith("error: ") or any(line.startswith("Traceback ") for line in lines)):
        return lines[-1]
    return ""


def failed_runs(runs: Iterable[Run], results: Path) -> set[str]:
    """Return the keys of the runs whose last attempt failed."""
    return {run.key for run in runs if run_status(results, run).state == FAILED}


def live_runs(jobs: Sequence[QueuedJob]) -> dict[str, QueuedJob]:
    """Return the jobs in the queue that finetune, question or evaluate a run, by its key."""
    return {job.wildcards: job for job in jobs if job.rule.startswith(("finetune_run", "answer_run", "evaluate_run"))}


def in_words(log: Path, again: str, lines: int) -> str:
    """Return why the job that wrote `log` failed: its last `lines` lines, its Slurm job, the command to run again."""
    job = job_of(log)
    slurm = f"Slurm job {job.id} on {job.node}: {job.state or 'no longer known to Slurm'}\n" if job else ""
    return f"the end of {log}:\n{log_tail(log, lines)}\n{slurm}again: {again}"


def log_tail(log: Path, count: int) -> str:
    """Return the last `count` lines of `log`, indented."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else ["(there is no such file)"]
    return "\n".join(f"  {line}" for line in lines[-count:])
