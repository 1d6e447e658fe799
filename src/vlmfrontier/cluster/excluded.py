"""Nodes that are left out for a study: what jobs report of their faults, which are left out, and the way back.

Jobs report faults in `results/<study>/node_faults.jsonl`, a line each; the executor adds jobs that died before they
could report anything, and nodes that it did not leave out. `results/<study>/nodes.json` is what it passes to
`sbatch --exclude`: a list of nodes with reason, job and moment. It may be edited: a node whose entry is deleted is used
again, one that is written into it (`{"node": "gpu07"}`) is not. Entries with a moment expire by themselves, as the
reports do that led to them.
"""

import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from vlmfrontier.cluster.slurm import call, job_record
from vlmfrontier.errors import UserError
from vlmfrontier.files import append_line, read_lines, write_json

HOURS = 24
"""For which a report decides something: nodes get repaired, and one that is still broken costs a job's start."""


class Suspicion(NamedTuple):
    """A node that was at fault in the end of a job."""

    node: str
    reason: str


class Report(NamedTuple):
    """A line of `node_faults.jsonl`."""

    node: str
    reason: str
    job: str
    work: str
    when: datetime
    died: bool = False
    """Whether the executor wrote it: the job ended before it could tell anything, which alone proves nothing."""


def faults_file(results: Path) -> Path:
    """Return the file in which jobs of a study report faults of their nodes."""
    return results / "node_faults.jsonl"


def work_of(results: Path, record: Path) -> str:
    """Return what the job with this record does, the same for each of its attempts: `runs/<run>/finetune`."""
    record, results = record.resolve(), results.resolve()
    return str(record.relative_to(results) if record.is_relative_to(results) else record).removesuffix(".ended.json")


def report(results: Path, found: Suspicion, job: str, work: str, died: bool = False) -> None:
    """Add a line to the reports of a study. Raises `OSError` if it cannot be written."""
    add_line(results, {"node": found.node, "reason": found.reason, "job": job, "work": work, "died": died})


def add_line(results: Path, line: dict[str, Any]) -> None:
    """Add a line, with the moment, to the reports of a study. Raises `OSError` if it cannot be written."""
    append_line(faults_file(results), line | {"when": now().isoformat(timespec="seconds")})


def reports(results: Path) -> Iterator[Report]:
    """Yield what jobs of a study lately reported of their nodes, oldest first."""
    for line in lines_of(results):
        if "reason" in line:
            words = [str(line[key]) for key in ("node", "reason", "job", "work")]
            yield Report(*words, line["when"], bool(line.get("died")))


def lines_of(results: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of the reports that are recent enough to decide something, their moment as such."""
    for line in read_lines(faults_file(results)):
        try:
            when = as_utc(datetime.fromisoformat(line["when"]))
            whole = {key: str(line[key]) for key in ("node", "job", "work")}
        except (KeyError, TypeError, ValueError):
            continue
        if is_recent(when):
            yield {**line, **whole, "when": when}


def is_recent(when: datetime) -> bool:
    """Return whether something still decides that was told at this moment."""
    return now() - as_utc(when) < timedelta(hours=HOURS)


def as_utc(when: datetime) -> datetime:
    """Return a moment with its time zone, which is UTC unless it says otherwise."""
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def now() -> datetime:
    """Return this moment, with its time zone."""
    return datetime.now(UTC)


SHARE = 4
"""Not more than one of so many nodes of a partition is left out, but always one."""
MOST_NODES = 3
"""Different nodes of which a job may say that they were at fault; then it is the job."""

_HINT = "correct it, or delete it to use all nodes again"
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


def nodes_file(results: Path) -> Path:
    """Return the file of the nodes that a study leaves out."""
    return results / "nodes.json"


def left_out(results: Path) -> list[str]:
    """Return the names of the nodes that jobs of a study are not to run on."""
    return sorted({entry.node for entry in entries(results)})


def entries(results: Path) -> list[LeftOut]:
    """Return the entries of `nodes.json` that hold; none if there is no such file, or if it is damaged."""
    try:
        return [entry for entry in _read(results) if entry.when is None or is_recent(entry.when)]
    except UserError:
        return []


def _read(results: Path) -> list[LeftOut]:
    path = nodes_file(results)
    if not path.exists():
        return []
    from vlmfrontier.records import read_checked  # noqa: PLC0415 — pandas is slow, and jobs only report

    lines = read_checked(path, list[LeftOut], _HINT)
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
    refused = {line["node"]: line["refused"] for line in lines_of(results) if "refused" in line}
    out = {entry.node for entry in found}
    return lines + [f"not left out: node {node}: {why}" for node, why in refused.items() if node not in out]


def _why(entry: LeftOut) -> str:
    until = f"until {(as_utc(entry.when).astimezone() + timedelta(hours=HOURS)):%Y-%m-%d %H:%M}" if entry.when else ""
    job = f"Slurm job {entry.job}" if entry.job else ""
    return (f" ({', '.join(filter(None, (job, until)))})" if job or until else "") + (
        entry.reason and f": {entry.reason}"
    )


class Refusal(NamedTuple):
    """Why a node is not left out although a job blames it."""

    why: str
    of_the_work: bool
    """Whether attempts at the job's work have blamed so many nodes that the fault is not theirs."""


def leave_out(results: Path, node: str, reason: str, job: str, work: str = "") -> Refusal | None:
    """Leave a node out from now on; return why it is not, None if it is.

    Where a job has blamed one node after the other, the nodes that nobody else blames are used again.
    """
    with _deciding:
        if node in left_out(results):
            return None
        if refused := _refusal(results, node, job, work):
            if refused.of_the_work:
                _write(results, [entry for entry in entries(results) if not _only_blamed_by(results, entry, work)])
            add_line(results, {"node": node, "job": job, "work": work, "refused": refused.why})
            return refused
        entry = LeftOut(node=node, reason=reason, job=job, work=work, when=now())
        _write(results, [*entries(results), entry])
        return None


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


def _refusal(results: Path, node: str, job: str, work: str) -> Refusal | None:
    """Return why a node must not be left out although a job blames it; None if it may be."""
    blamed = {node: "", **_blamed_by(results, work)} if work else {}
    if len(blamed) >= MOST_NODES:
        told = "; ".join(dict.fromkeys(filter(None, [*blamed.values()]))) or ", ".join(blamed)
        why = f"{work} blames {len(blamed)} nodes, so the fault is its own or the study's ({told})"
        return Refusal(why, of_the_work=True)
    partition, known = nodes_beside(job)
    if known and node not in known:
        return Refusal(f"partition {partition} has no node of this name", of_the_work=False)
    out = [name for name in left_out(results) if not known or name in known]
    most = most_left_out(len(known))
    if len(out) < most:
        return None
    of = f" of the {len(known)} nodes of partition {partition}" if known else ""
    already = f" ({', '.join(out)})" if out else ""
    why = f"{len(out)}{of} left out already{already}, and no more than {most} may be"
    return Refusal(f"{why}: look at the nodes, or at what the study needs of them", of_the_work=False)


def _blamed_by(results: Path, work: str) -> dict[str, str]:
    """Return the nodes that attempts at `work` have lately blamed, with the last reason each."""
    return {line.node: line.reason for line in reports(results) if line.work == work}


def most_left_out(nodes: int) -> int:
    """Return how many of so many nodes of a partition may be left out; 1 if it is not known (0) how many there are."""
    return 0 if nodes == 1 else max(1, nodes // SHARE)


def to_avoid(results: Path, works: Iterable[str], partition: str, needed: int, always: Iterable[str]) -> list[str]:
    """Return the nodes that the next attempt at `works` is not to run on: `always`, those left out, those blamed by it.

    What may not be left out for the study, or is not proven, is avoided by who met it, while enough other nodes remain.
    """
    out = list(dict.fromkeys([*always, *left_out(results)]))
    own = [_blamed_by(results, work) for work in works]
    blamed = {node for nodes in own if len(nodes) < MOST_NODES for node in nodes} - set(out)
    if not blamed:
        return out
    known = nodes_of(partition)
    enough = not known or len(set(known) - set(out) - blamed) >= needed
    return [*out, *sorted(blamed)] if enough else out


def nodes_beside(job: str) -> tuple[str, list[str]]:
    """Return the partition of a job, and the names of its nodes; none if Slurm does not say."""
    partition = job_record(job).get("Partition", "")
    return partition, nodes_of(partition)


def nodes_of(partition: str) -> list[str]:
    """Return the names of a partition's nodes, of all if it is empty; none if Slurm does not say."""
    command = ["sinfo", "--noheader", "--Node", "--format=%N", *([f"--partition={partition}"] if partition else [])]
    return sorted(set(call(command, seconds=60).out.split()))
