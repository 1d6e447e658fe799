"""Whether a node was at fault in the end of a job: by what the job reported, or by jobs that die there at once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from vlmfrontier.cluster.excluded import Suspicion, leave_out, left_out, report, reports, work_of
from vlmfrontier.cluster.slurm import job_record, seconds_of
from vlmfrontier.ended import FAILED, Ended, fail_record, read_ended

CANNOT_START = (126, 127)
"""Exit statuses of a shell that cannot start a command: no Python, or one that is no program here."""
AT_ONCE = 60.0
"""Seconds within which a job dies whose program could not begin."""
LONGEST_WORDS = 300
"""Letters that are kept of them."""
TOGETHER = 600.0
"""Seconds before a death within which the start of another job shows that such jobs can start."""


class Verdict(NamedTuple):
    """What was decided about a node that was at fault in the end of a job."""

    left_out: bool
    told: str
    """The fault, and what is done about it or why nothing is."""
    of_the_work: bool
    """Whether so many nodes have been blamed for it that the job itself must be at fault."""


def judge(results: Path, job: str, state: str, nodes: str, record: Path) -> Verdict | None:
    """Leave out the node that was at fault in the end of a Slurm job with this record; None if no node was.

    Where it may not be left out, the record says that the job has failed, and why.
    """
    written, work = read_ended(record), work_of(results, record)
    own = written if written is not None and written.slurm_job_id == job else None
    found = suspect(results, job, state, nodes, own, work)
    if found is None:
        return None
    refused = leave_out(results, found.node, found.reason, job, work)
    if refused is None:
        return Verdict(True, f"{found.reason}; node {found.node} is left out from now on", of_the_work=False)
    told = refused.why if refused.of_the_work else f"{found.reason}; not left out: {refused.why}"
    fail_record(record, slurm_job_id=job, reason=told, host=nodes)
    return Verdict(False, told, refused.of_the_work)


def suspect(
    results: Path, job: str, state: str, nodes: str, record: Ended | None, work: str = "", seconds: float | None = None
) -> Suspicion | None:
    """Return the node that was at fault in the end of a Slurm job; None if the job itself is to blame, or nobody knows.

    `state` is Slurm's, `nodes` those it ran on, `record` what this very job wrote of its end, `work` as `work_of` says,
    `seconds` how long it ran (asked of Slurm if left out). A job that died at once without a record blames its node
    only if others could begin elsewhere. Slurm itself drains a node that it knows to have failed (NODE_FAIL).
    """
    if state.startswith(("CANCELLED", "COMPLETED", "NODE_FAIL", "BOOT_FAIL", "PREEMPTED")):
        return None
    told = [line for line in reports(results) if line.job == job and not line.died and work in ("", line.work)]
    if told:
        return Suspicion(told[0].node, told[0].reason)
    if record is not None and record.state == FAILED and record.node_fault:
        return Suspicion(record.node or nodes, record.reason)
    has_begun = record is not None and record.begun and record.status not in CANNOT_START
    if has_begun or not state.startswith("FAILED") or not nodes or any(mark in nodes for mark in ",["):
        return None
    lived = _seconds(job) if seconds is None else seconds
    if lived is None or lived > AT_ONCE:
        return None
    said = record.reason if record is not None else _last_words(job) or state
    dead = Suspicion(nodes, f"Slurm job {job} ended after {lived:.0f} s, before its program began ({said})")
    report(results, dead, job, work, died=True)
    return dead if nodes in left_out(results) or _proven(results, nodes) else None


def _seconds(job: str) -> float | None:
    """Return how long a job ran, as Slurm says; None if it does not."""
    found = job_record(job)
    began, ended = (seconds_of(found, key) for key in ("StartTime", "EndTime"))
    return None if began is None or ended is None else ended - began


def _last_words(job: str) -> str:
    """Return the last line of Slurm's own log of a job; empty if there is none."""
    try:
        lines = Path(job_record(job).get("StdOut", "")).read_text(errors="replace").strip().splitlines()
    except OSError:  # also of an empty name, which is the working directory
        return ""
    return lines[-1][:LONGEST_WORDS] if lines else ""


def _proven(results: Path, node: str) -> bool:
    """Return whether jobs that die at once on `node` show a fault of it, and not of their common command.

    Others must have begun elsewhere at about that time or since, and after the last such death elsewhere. Where a job
    of the study has begun on this very node before, one death is an accident: two jobs must have died since.
    """
    begun = list(_begun(results))
    here = max((when for name, when in begun if name == node), default=None)
    deaths = [line for line in reports(results) if line.died]
    mine = [line for line in deaths if line.node == node and (here is None or line.when > here)]
    if not mine or (here is not None and len({line.job for line in mine}) < 2):
        return False
    out = left_out(results)
    other_deaths = [line.when for line in deaths if line.node not in (node, *out)]
    since = max([min(line.when for line in mine) - timedelta(seconds=TOGETHER), *other_deaths])
    return any(name != node and when >= since for name, when in begun)


def _begun(results: Path) -> Iterator[tuple[str, datetime]]:
    """Yield where and when jobs of a study began whose record is still there."""
    for pattern in ("runs/*/*.ended.json", "logs/*.ended.json"):
        for path in results.glob(pattern):
            record = read_ended(path)
            started = record is not None and record.begun and record.node and record.started
            if started and record.status not in CANNOT_START:
                yield record.node, datetime.fromisoformat(record.started).astimezone(UTC)
