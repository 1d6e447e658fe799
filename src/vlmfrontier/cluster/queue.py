"""What Slurm has of a study: its jobs in the queue, and what became of a job."""

import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from vlmfrontier.cluster.job import job_record

_FIELDS = "%i|%T|%N|%M|%Z|%k"
_COMMENT = re.compile(r"^rule_(?P<rule>.+?)(?:_wildcards_(?P<wildcards>.*))?$")
_STARTED_IN = re.compile(r"^Slurm job (\d+) on (\S+)(?: — attempt \d+, \S+)?$", re.MULTILINE)

LONGEST_INTERVAL = 180
"""Seconds between two looks at the queue, at most: fixed in the plugin that submits."""

_NOT_FAILED = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "REQUEUE", "COMPLETED")
"""States of a job that lives or, completed, has written its record, which a shared file system shows late."""
_SECONDS_SEEN, _SECONDS_ASKING = 5.0, 60.0
_seen: list[tuple[float, set[str] | None]] = []
"""The last look at the queue, so that many records take one."""


class QueuedJob(NamedTuple):
    """A job that Slurm still runs or will run."""

    id: str
    state: str
    """PENDING, RUNNING, …"""
    node: str
    elapsed: str
    rule: str
    wildcards: str
    """The run, for finetuning and evaluation."""


class JobEnd(NamedTuple):
    """The last job that wrote a log, and what Slurm says of it."""

    id: str
    node: str
    state: str
    """TIMEOUT, FAILED, …; empty if Slurm no longer knows the job."""


def queued_jobs(directory: Path) -> list[QueuedJob]:
    """Return this user's jobs that Snakemake submitted from `directory`, oldest first; none where there is no Slurm.

    Studies that share a directory share this list, but for the wildcards, which name the run.
    Raises `ConnectionError` if there is a Slurm that does not answer: no answer is not an empty queue.
    """
    if shutil.which("squeue") is None:
        return []
    asked = ["squeue", "--me", "--noheader", "--sort=i", f"--format={_FIELDS}"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise ConnectionError(answer.stderr.strip().splitlines()[-1])
    return [job for line in answer.stdout.splitlines() if (job := _parse(line, directory.resolve())) is not None]


def _parse(line: str, directory: Path) -> QueuedJob | None:
    number, state, node, elapsed, folder, comment = line.strip().split("|", 5)
    found = _COMMENT.match(comment)
    if found is None or Path(folder).resolve() != directory:
        return None
    return QueuedJob(number, state, node, elapsed, found["rule"], found["wildcards"] or "")


def forgets_early() -> str:
    """Return a warning if Slurm may forget a job before Snakemake sees that it has ended; empty if it does not."""
    if shutil.which("scontrol") is None:
        return ""
    answer = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=False)
    found = re.search(r"^MinJobAge\s*=\s*(\d+)", answer.stdout, re.MULTILINE)
    if found is None or int(found[1]) >= LONGEST_INTERVAL:
        return ""
    return (
        f"warning: this Slurm forgets jobs {found[1]} s after their end (MinJobAge), but Snakemake looks only every "
        f"{LONGEST_INTERVAL} s in the end: it may wait for ever for jobs that have ended. Ask for a MinJobAge of "
        f"{LONGEST_INTERVAL} s or more, or see docs/slurm.md"
    )


def job_of(log: Path) -> JobEnd | None:
    """Return the Slurm job that wrote `log`, with its state; None for a log of no job, or no log."""
    started = _started(log)
    return JobEnd(*started[-1], job_state(started[-1][0])) if started else None


def job_id_of(log: Path) -> str | None:
    """Return the id of the Slurm job that wrote `log`; None for a log of no job, or no log."""
    started = _started(log)
    return started[-1][0] if started else None


def _started(log: Path) -> list[tuple[str, str]]:
    return _STARTED_IN.findall(log.read_text(errors="replace")) if log.exists() else []


def job_state(number: str) -> str:
    """Return the state of a job with its exit code, as the controller or, later, the accounting knows it."""
    record = job_record(number) if shutil.which("scontrol") else {}
    if record:
        return f"{record.get('JobState', '')}, exit code {record.get('ExitCode', '?')}"
    if shutil.which("sacct") is None:
        return ""
    asked = ["sacct", "--noheader", "--allocations", "--parsable2", "--format=State,ExitCode", f"--jobs={number}"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    lines = answer.stdout.strip().splitlines() if answer.returncode == 0 else []
    return ", exit code ".join(lines[0].split("|")) if lines else ""


def ended_state(number: str) -> str:
    """Return the state in which a job of this user ended; empty if it lives, went well, or that cannot be known."""
    living = _living()
    if living is None or number in living:
        return ""
    state = job_state(number) or "no longer known to Slurm"
    return "" if state.startswith(_NOT_FAILED) else state


def _living() -> set[str] | None:
    """Return the ids of this user's jobs in the queue, a few seconds old at most; None if there is no answer."""
    if not _seen or time.monotonic() - _seen[0][0] > _SECONDS_SEEN:
        _seen[:] = [(time.monotonic(), _ask_living())]
    return _seen[0][1]


def _ask_living() -> set[str] | None:
    try:
        asked = ["squeue", "--me", "--noheader", "--format=%A"]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=_SECONDS_ASKING)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return set(answer.stdout.split()) if answer.returncode == 0 else None
