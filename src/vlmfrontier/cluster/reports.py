"""What jobs of a study report of faults of their nodes: a line each in `results/<study>/node_faults.jsonl`.

Also what the executor adds: jobs that died before they could report anything, and nodes that it did not leave out.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from vlmfrontier.files import append_line, read_lines

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
