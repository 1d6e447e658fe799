"""Nodes that are left out for a study: which, why, at most how many, and the way back.

`results/<study>/nodes.json` is what the executor passes to `sbatch --exclude`: a list of nodes with reason, job and
moment. It may be edited: a node whose entry is deleted is used again, one that is written into it (`{"node": "gpu07"}`)
is not. Entries with a moment expire by themselves, as the reports do that led to them.
"""

import threading
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from vlmfrontier.cluster.clients import call
from vlmfrontier.cluster.job import job_record
from vlmfrontier.cluster.reports import HOURS, add_line, as_utc, is_recent, lines_of, now, reports
from vlmfrontier.errors import UserError
from vlmfrontier.files import write_json

SHARE = 4
"""Not more than one of so many nodes of a partition is left out, but always one."""
MOST_NODES = 3
"""Different nodes of which a job may say that they were at fault; then it is the job."""

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
    refused = {line["node"]: line["refused"] for line in lines_of(results) if "refused" in line}
    out = {entry.node for entry in found}
    return lines + [f"not left out: node {node}: {why}" for node, why in refused.items() if node not in out]


def _why(entry: LeftOut) -> str:
    until = f"until {(as_utc(entry.when).astimezone() + timedelta(hours=HOURS)):%Y-%m-%d %H:%M}" if entry.when else ""
    job = f"Slurm job {entry.job}" if entry.job else ""
    return (f" ({', '.join(filter(None, (job, until)))})" if job or until else "") + (
        entry.reason and f": {entry.reason}"
    )


def leave_out(results: Path, node: str, reason: str, job: str, work: str = "") -> bool:
    """Leave a node out from now on; return whether it is, which `refusal` may forbid.

    Where a job has blamed one node after the other, the nodes that nobody else blames are used again.
    """
    with _deciding:
        if node in left_out(results):
            return True
        if why := refusal(results, node, job, work):
            if blames_many(results, node, work):
                _write(results, [entry for entry in entries(results) if not _only_blamed_by(results, entry, work)])
            add_line(results, {"node": node, "job": job, "work": work, "refused": why})
            return False
        entry = LeftOut(node=node, reason=reason, job=job, work=work, when=now())
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


def blames_many(results: Path, node: str, work: str) -> bool:
    """Return whether attempts at `work` have blamed so many nodes that the fault is not theirs."""
    return len(_blamed(results, node, work)) >= MOST_NODES


def refusal(results: Path, node: str, job: str, work: str = "") -> str:
    """Return why a node must not be left out although a job blames it; empty if it may be."""
    blamed = _blamed(results, node, work)
    if len(blamed) >= MOST_NODES:
        told = "; ".join(dict.fromkeys(filter(None, [*blamed.values()]))) or ", ".join(blamed)
        return f"{work} blames {len(blamed)} nodes, so the fault is its own or the study's ({told})"
    partition, known = nodes_beside(job)
    if known and node not in known:
        return f"partition {partition} has no node of this name"
    out = [name for name in left_out(results) if not known or name in known]
    most = most_left_out(len(known))
    if len(out) < most:
        return ""
    of = f" of the {len(known)} nodes of partition {partition}" if known else ""
    already = f" ({', '.join(out)})" if out else ""
    return (
        f"{len(out)}{of} left out already{already}, and no more than {most} may be: look at the nodes, or at what the "
        "study needs of them"
    )


def _blamed(results: Path, node: str, work: str) -> dict[str, str]:
    """Return the nodes, `node` among them, that attempts at `work` have lately blamed, with the last reason each."""
    return {node: "", **_blamed_by(results, work)} if work else {}


def _blamed_by(results: Path, work: str) -> dict[str, str]:
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
