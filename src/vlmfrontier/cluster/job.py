"""The Slurm job that this process runs in: its id, its end, and how it has itself requeued."""

import os
import subprocess
import time
from collections.abc import Mapping
from datetime import datetime

from vlmfrontier.cluster.clients import call


def job_id() -> str | None:
    """Return the id of the Slurm job that this process runs in; None outside Slurm."""
    return os.environ.get("SLURM_JOB_ID")


def job_record(job: str) -> dict[str, str]:
    """Return what `scontrol show job` says of a job, by its keys; empty if Slurm no longer knows it."""
    return parse_record(call(["scontrol", "show", "job", "--oneliner", job], seconds=60).out)


def parse_record(line: str) -> dict[str, str]:
    """Return the keys and values of one line of `scontrol show --oneliner`."""
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def seconds_of(record: Mapping[str, str], key: str) -> float | None:
    """Return the moment under `key` (EndTime, …) in seconds since 1970; None if there is none."""
    try:
        return datetime.fromisoformat(record[key]).timestamp()
    except (KeyError, ValueError):
        return None


def last_moment(warning: float) -> float | None:
    """Return when a training must have begun to save, in seconds since 1970: `warning` minutes before its job's limit.

    Never earlier than three quarters of the time that is left, so that a short job still trains. None without a limit.
    """
    job = job_id()
    end = seconds_of(job_record(job), "EndTime") if job else None
    if end is None:
        return None
    left = end - time.time()
    return end - min(60 * warning, left / 4)


def requeue() -> bool:
    """Have Slurm run this job again, under the same id; return whether it will."""
    job = job_id()
    return job is not None and requeue_job(job)


def requeue_job(job: str) -> bool:
    """Have Slurm run a job again, under the same id; return whether it will."""
    return subprocess.run(["scontrol", "requeue", job], check=False).returncode == 0
