"""Nodes that are left out for a study: which, why, how a job's end tells that its node was at fault, and the way back.

Jobs report a fault of their node, as they find it, in `results/<study>/node_faults.jsonl` (a line each, never changed).
The executor decides, and keeps in `results/<study>/nodes.json` what it passes to `sbatch --exclude`: a list of nodes
with reason, job and moment. It may be edited: a node whose entry is deleted is used again, one that is written into it
(`{"node": "gpu07"}`) is not. Entries with a moment expire by themselves, since nodes get repaired.
"""

import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from vlmfrontier.cluster.job import job_record, seconds_of
from vlmfrontier.ended import FAILED, Ended, read_ended
from vlmfrontier.errors import UserError
from vlmfrontier.files import append_line, read_lines, write_json
from vlmfrontier.records import read_checked

HOURS = 24
"""After which a node is tried again: one that is still broken costs a job's start."""
SHARE = 4
"""Not more than one of so many nodes of a partition is left out, but always one."""
MOST_NODES = 3
"""Different nodes of which a job may say that they were at fault; then it is the job."""
CANNOT_START = (126, 127)
"""Exit statuses of a shell that cannot start a command: no Python, or one that is no program here."""
AT_ONCE = 60.0
"""Seconds within which a job dies whose program could not begin."""
TOGETHER = 600.0
"""Seconds before a death within which the start of another job shows that such jobs can start."""

_MEND = "correct it, or delete it to use all nodes again"
_deciding = threading.Lock()


class LeftOut(BaseModel):
    """An entry of `nodes.json`."""

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True)

    node: Annotated[str, Field(pattern=r"^[\w.,\[\]-]+$")]
    reason: str = ""
    job: str = ""
    """Slurm job that told."""
    work: str = ""
    """What that job was to do, as `work_of` names it."""
    when: datetime | None = None
    """None never expires."""


class Report(NamedTuple):
    """A line of `node_faults.jsonl`."""

    node: str
    reason: str
    job: str
    work: str
    when: datetime
    died: bool = False
    """Whether the executor wrote it: the job ended before it could tell anything, which alone proves nothing."""


class Suspicion(NamedTuple):
    """A node that was at fault in the end of a job."""

    node: str
    reason: str


def nodes_file(results: Path) -> Path:
    """Return the file of the nodes that a study leaves out."""
    return results / "nodes.json"


def faults_file(results: Path) -> Path:
    """Return the file in which jobs of a study report faults of their nodes."""
    return results / "node_faults.jsonl"


def work_of(results: Path, record: Path) -> str:
    """Return what the job with this record does, the same for each of its attempts: `runs/<run>/finetune`."""
    record, results = record.resolve(), results.resolve()
    return str(record.relative_to(results) if record.is_relative_to(results) else record).removesuffix(".ended.json")


def report(results: Path, found: Suspicion, job: str, work: str, died: bool = False) -> None:
    """Add a line to the reports of a study. Raises `OSError` if it cannot be written."""
    _append(results, {"node": found.node, "reason": found.reason, "job": job, "work": work, "died": died})


def _append(results: Path, line: dict[str, Any]) -> None:
    append_line(faults_file(results), line | {"when": _now().isoformat(timespec="seconds")})


def reports(results: Path) -> Iterator[Report]:
    """Yield what jobs of a study lately reported of their nodes, oldest first."""
    for line in _lines(results):
        if "reason" in line:
            words = [str(line[key]) for key in ("node", "reason", "job", "work")]
            yield Report(*words, line["when"], bool(line.get("died")))


def _lines(results: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of the reports that are recent enough to decide something, their moment as such."""
    for line in read_lines(faults_file(results)):
        try:
            when = _utc(datetime.fromisoformat(line["when"]))
            whole = {key: str(line[key]) for key in ("node", "job", "work")}
        except (KeyError, TypeError, ValueError):
            continue
        if _is_recent(when):
            yield {**line, **whole, "when": when}


def left_out(results: Path) -> list[str]:
    """Return the names of the nodes that jobs of a study are not to run on."""
    return sorted({entry.node for entry in entries(results)})


def entries(results: Path) -> list[LeftOut]:
    """Return the entries of `nodes.json` that hold; none if there is no such file, or if it is damaged."""
    try:
        return [entry for entry in _read(results) if entry.when is None or _is_recent(entry.when)]
    except UserError:
        return []


def _read(results: Path) -> list[LeftOut]:
    path = nodes_file(results)
    if not path.exists():
        return []
    lines = read_checked(path, list[LeftOut], _MEND)
    return [LeftOut.model_validate(line) for line in lines]


def described(results: Path) -> list[str]:
    """Return a line about each node that is left out, and about a `nodes.json` that cannot be read."""
    try:
        _read(results)
    except UserError as error:
        return [f"{error}; until then no node is left out"]
    found = sorted(entries(results), key=lambda entry: entry.node)
    lines = [f"left out: node {entry.node}{_why(entry)}" for entry in found]
    if lines:
        lines.append(f"to use a node again, delete its entry in {nodes_file(results)}")
    refused = {line["node"]: line["refused"] for line in _lines(results) if "refused" in line}
    out = {entry.node for entry in found}
    return lines + [f"not left out: node {node}: {why}" for node, why in refused.items() if node not in out]


def _why(entry: LeftOut) -> str:
    until = f"until {(_local(entry.when) + timedelta(hours=HOURS)):%Y-%m-%d %H:%M}" if entry.when else ""
    job = f"Slurm job {entry.job}" if entry.job else ""
    return (f" ({', '.join(filter(None, (job, until)))})" if job or until else "") + (
        entry.reason and f": {entry.reason}"
    )


def suspect(
    results: Path, job: str, state: str, nodes: str, record: Ended | None, work: str = "", seconds: float | None = None
) -> Suspicion | None:
    """Return the node that was at fault in the end of a Slurm job; None if the job itself is to blame, or nobody knows.

    `state` is Slurm's, `nodes` those it ran on, `record` what this very job wrote of its end, `work` as `work_of` says,
    `seconds` how long it ran (asked of Slurm if left out). A job that died at once without a record blames its node
    only if others could begin elsewhere. A node that failed to Slurm's knowledge (NODE_FAIL) is drained by Slurm.
    """
    if state.startswith(("CANCELLED", "COMPLETED", "NODE_FAIL", "BOOT_FAIL", "PREEMPTED")):
        return None
    told = [line for line in reports(results) if line.job == job and not line.died and work in ("", line.work)]
    if told:
        return Suspicion(told[-1].node, told[-1].reason)
    if record is not None and record.state == FAILED and record.node_fault:
        return Suspicion(record.node or nodes, record.reason)
    has_begun = record is not None and record.begun and record.status not in CANNOT_START
    if has_begun or not state.startswith("FAILED") or not nodes or any(mark in nodes for mark in ",["):
        return None
    lived = _seconds(job) if seconds is None else seconds
    if lived is None or lived > AT_ONCE:
        return None
    said = record.reason if record is not None else state
    dead = Suspicion(nodes, f"Slurm job {job} ended after {lived:.0f} s, before its program began ({said})")
    report(results, dead, job, work, died=True)
    return dead if nodes in left_out(results) or _proven(results, nodes) else None


def _seconds(job: str) -> float | None:
    """Return how long a job ran, as Slurm says; None if it does not."""
    found = job_record(job)
    began, ended = (seconds_of(found, key) for key in ("StartTime", "EndTime"))
    return None if began is None or ended is None else ended - began


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


def leave_out(results: Path, node: str, reason: str, job: str, work: str = "") -> bool:
    """Leave a node out from now on; return whether it is, which `refusal` may forbid.

    Where a job has blamed one node after the other, the nodes that nobody else blames are used again.
    """
    with _deciding:
        if node in left_out(results):
            return True
        if why := refusal(results, node, job, work):
            if len(_blamed(results, node, work)) >= MOST_NODES:
                _write(results, [entry for entry in entries(results) if not _only_blamed_by(results, entry, work)])
            _append(results, {"node": node, "job": job, "work": work, "refused": why})
            return False
        entry = LeftOut(node=node, reason=reason, job=job, work=work, when=_now())
        _write(results, [*entries(results), entry])
        return True


def _only_blamed_by(results: Path, entry: LeftOut, work: str) -> bool:
    return entry.work == work and {line.work for line in reports(results) if line.node == entry.node} <= {work}


def _write(results: Path, kept: list[LeftOut]) -> None:
    """Write `nodes.json`; one that cannot be read is set aside, with what somebody wrote into it."""
    path = nodes_file(results)
    try:
        _read(results)
    except UserError:
        path.replace(path.with_suffix(".damaged.json"))
    write_json(path, [entry.model_dump(mode="json") for entry in kept])


def refusal(results: Path, node: str, job: str, work: str = "") -> str:
    """Return why a node must not be left out although a job blames it; empty if it may be."""
    blamed = _blamed(results, node, work)
    if len(blamed) >= MOST_NODES:
        told = "; ".join(dict.fromkeys(filter(None, [*blamed.values()]))) or ", ".join(blamed)
        return f"{work} blames {len(blamed)} nodes, so the fault is its own or the study's ({told})"
    partition, known = nodes_beside(job)
    out = [name for name in left_out(results) if not known or name in known]
    most = most_left_out(len(known))
    if len(out) < most:
        return ""
    of = f" of the {len(known)} nodes of partition {partition}" if known else ""
    return (
        f"{len(out)}{of} left out already ({', '.join(out)}), and no more than {most} may be: look at these nodes, or "
        "at what the study needs of them"
    )


def _blamed(results: Path, node: str, work: str) -> dict[str, str]:
    """Return the nodes, `node` among them, that attempts at `work` have lately blamed, with the last reason each."""
    lines = [line for line in reports(results) if work and line.work == work]
    return {**({node: ""} if work else {}), **{line.node: line.reason for line in lines}}


def most_left_out(nodes: int) -> int:
    """Return how many of so many nodes of a partition may be left out; 1 if it is not known how many there are."""
    return max(1, nodes // SHARE)


def nodes_beside(job: str) -> tuple[str, list[str]]:
    """Return the partition of a job, and the names of its nodes; none if Slurm does not say."""
    partition = job_record(job).get("Partition", "")
    command = ["sinfo", "--noheader", "--Node", "--format=%N", *([f"--partition={partition}"] if partition else [])]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return partition, []
    return partition, sorted(set(answer.stdout.split()))


def _is_recent(when: datetime) -> bool:
    return _now() - _utc(when) < timedelta(hours=HOURS)


def _utc(when: datetime) -> datetime:
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _local(when: datetime) -> datetime:
    return _utc(when).astimezone()


def _now() -> datetime:
    return datetime.now(UTC)
