"""How each job ended, in a file of its own beside its log: `<log>.ended.json`; results/README.md has its format.

Written when a job starts and again when it ends: by the job itself, which knows best why; where it cannot, by what
started it (scripts/job.sh) or by who submitted it (`close_record`). What is still `started` and no longer lives was
killed. Whether a job failed is decided by this, never by words in a log.
"""

import contextlib
import errno
import os
import platform
import re
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from vlmfrontier.errors import NODE_FAULT, NodeFault, Stopped, TakenOver, UserError
from vlmfrontier.files import read_record, write_json
from vlmfrontier.lock import beginning, lives, this_machine

STARTED, DONE, FAILED, INTERRUPTED = "started", "done", "failed", "interrupted"
STAGES = ("evaluate", "answer", "finetune")
"""Stages of a run, the last one first."""
LOG, ATTEMPT = "VLMFRONTIER_LOG", "VLMFRONTIER_ATTEMPT"
"""In the environment of a rule's job (scripts/job.sh): where its log is, and which attempt it is."""
ATTEMPT_LINE = re.compile(r"^(Slurm job \d+ )?on \S+ — attempt (?P<attempt>\d+), \d{4}-\d\d-\d\dT\S+$")
"""The line of a log that scripts/job.sh begins each attempt with."""
_SIGNALLED = 128
_ASKING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Signals that ask a job to leave; what others end has failed."""


class Ended(BaseModel):
    """The record of the last attempt at a job."""

    model_config = ConfigDict(extra="allow")

    state: Literal["started", "done", "failed", "interrupted"]
    """interrupted: by a signal, as at the end of a job's time; the next attempt goes on."""
    attempt: int
    """1 for the first."""
    status: int | None = None
    """Exit status; 128 + n for signal n."""
    reason: str = ""
    """Why it failed, in one line."""
    host: str = ""
    node: str = ""
    """Slurm's name of the node; empty outside Slurm."""
    node_fault: bool = False
    """Whether that node was at fault and not the job, which is to be tried on another one."""
    begun: bool = True
    """Whether the program itself began: False in what scripts/job.sh writes before, and leaves if it never does."""
    own_words: bool = True
    """Whether the job said how it ended; False where scripts/job.sh has only seen its exit status."""
    pid: int | None = None
    machine: str | None = None
    """The boot and the process namespace in which the process id means something."""
    began: str | None = None
    """When the process began, in ticks since boot: another one may have its id by now."""
    slurm_job_id: str | None = None
    slurm_restarts: int = 0
    """How often Slurm had started this job before."""
    started: str = ""
    ended: str | None = None
    cpu_seconds: float | None = None
    """What the job took of processors, user and system, in its own process and in children that have ended."""


def record_file(folder: Path, stage: str) -> Path:
    """Return the file that says how the last attempt at a stage of a run ended."""
    return folder / f"{stage}.ended.json"


def record_of(log: Path) -> Path:
    """Return the file that says how the last attempt of the job that writes `log` ended."""
    return log.with_name(f"{log.name.removesuffix('.log')}.ended.json")


def close_record(
    path: Path, *, slurm_job_id: str, reason: str, state: str = FAILED, host: str = "", given_up: bool = False
) -> bool:
    """Write the end of a Slurm job that could not write it itself; return whether it had to.

    Kept is what the job itself wrote of its end, and what a job that was submitted later wrote; but a job that was
    interrupted has failed where no attempt follows (`given_up`). `slurm_job_id` is empty for a job that Slurm did not
    take. Raises `OSError` if the record cannot be written.
    """
    before = read_ended(path)
    same = before is not None and slurm_job_id != "" and before.slurm_job_id == slurm_job_id
    if same and before.state != STARTED and before.reason.startswith(reason):
        return False  # closed before
    if before is not None and (_told(before, given_up) if same else _later(before.slurm_job_id, slurm_job_id)):
        return False
    if same:
        record = before.model_copy(update={"host": host or before.host, "own_words": False})
        reason += f"; {before.reason}" if before.reason else ""
    else:
        attempt = before.attempt + 1 if before else 1
        record = Ended(state=STARTED, attempt=attempt, slurm_job_id=slurm_job_id or None, host=host)
    path.parent.mkdir(parents=True, exist_ok=True)
    closed = record.model_copy(update=_end(state, record.status, reason))
    _write(path, Ended.model_validate(closed.model_dump()))  # refuses a state that there is not
    return True


def fail_record(path: Path, *, slurm_job_id: str, reason: str, host: str) -> None:
    """Write into the record of a Slurm job that it has failed for this reason, also over the job's own words."""
    record = read_ended(path)
    if record is None or record.slurm_job_id != slurm_job_id:
        close_record(path, slurm_job_id=slurm_job_id, reason=reason, host=host)
    else:
        _write(path, record.model_copy(update={"state": FAILED, "reason": reason}))


def _told(record: Ended, given_up: bool) -> bool:
    """Say whether a job has said how it ended: nobody knows better then."""
    if record.state == INTERRUPTED:
        return not given_up
    return record.state == DONE or (record.state == FAILED and record.own_words)


def _later(job: str | None, than: str) -> bool:
    """Say whether Slurm gave the number `job` after the number `than`."""
    return bool(job) and job.isdecimal() and than.isdecimal() and int(job) > int(than)


def read_ended(path: Path) -> Ended | None:
    """Return the record in `path`; None if there is none, or if it is damaged, which says nothing of the run."""
    try:
        return Ended.model_validate(read_record(path))
    except ValidationError:
        return None


def own_record() -> Path | None:
    """Return the record that the workflow has this process keep; None where it is called by hand."""
    return record_of(Path(os.environ[LOG]).absolute()) if LOG in os.environ else None


def recorded(path: Path, job: Callable[[], Any]) -> None:
    """Call `job` and keep in `path` that it has started and how it ended; its exception goes on.

    Of several processes of one job the first one writes, and any other one that fails.
    """
    if os.environ.get("RANK", "0") != "0":
        _recorded_failure(path, job)
        return
    begun = _begin(path)
    signal.signal(signal.SIGTERM, _leave)  # by default a process ends without a word
    try:
        job()
    except TakenOver:
        raise
    except BaseException as error:
        _finish(path, begun.model_copy(update={"node_fault": isinstance(error, NodeFault)}), *_of(error))
        raise
    _finish(path, begun, DONE, 0, "")


def _recorded_failure(path: Path, job: Callable[[], Any]) -> None:
    """Call `job` in a process that is not the first of its job; what fails here ends the first one by a signal."""
    try:
        job()
    except TakenOver:
        raise
    except Stopped as stopped:
        raise SystemExit(_SIGNALLED + signal.SIGTERM) from stopped  # torchrun then knows that nothing failed
    except BaseException as error:
        state, status, reason = _of(error)
        if state == FAILED:
            process_failed(path, int(os.environ["RANK"]), status, reason, isinstance(error, NodeFault))
        raise


def process_failed(path: Path, rank: int, status: int, reason: str, node_fault: bool = False) -> None:
    """Write that the job under way, or stopped since, failed in one of its processes; its own reasons are kept.

    `status` is negative, -n, for signal n; one of a process that was asked to leave is no failure.
    """
    now = read_ended(path)
    given = os.environ.get(ATTEMPT)
    status = status if status >= 0 else _SIGNALLED - status
    if now is None or status - _SIGNALLED in _ASKING or (given is not None and str(now.attempt) != given):
        return
    if now.state in (DONE, FAILED) or (now.state == INTERRUPTED and rank == 0):
        return
    its_own = {"node_fault": True, "node": _node()} if node_fault else {}
    with contextlib.suppress(OSError):
        _write(path, now.model_copy(update=_end(FAILED, status, f"process {rank}: {reason}") | its_own))


def _begin(path: Path) -> Ended:
    """Write that this process has started, as the attempt that its caller has begun, or as the next one."""
    before, given = read_ended(path), os.environ.get(ATTEMPT)
    attempt = before.attempt + 1 if before else 1
    record = Ended(
        state=STARTED,
        attempt=int(given) if given is not None and LOG in os.environ else attempt,
        host=platform.node(),
        node=_node(),
        pid=os.getpid(),
        machine=this_machine(),
        began=beginning(os.getpid()),
        slurm_job_id=os.environ.get("SLURM_JOB_ID"),
        slurm_restarts=int(os.environ.get("SLURM_RESTART_COUNT") or 0),
        started=_now(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    if before is None or before.state == STARTED or before.attempt != record.attempt:
        _write(path, record)  # else another process of this attempt has failed already
    return record


def _finish(path: Path, begun: Ended, state: str, status: int, reason: str) -> None:
    """Write how the attempt `begun` ended, unless another process of it has said so, or a later one has begun."""
    now = read_ended(path)
    if now is not None and (now.state != STARTED or now.attempt != begun.attempt):
        return
    try:
        _write(path, begun.model_copy(update=_end(state, status, reason) | {"cpu_seconds": _cpu_seconds()}))
    except OSError as error:  # the job's own error tells more
        print(f"{path}: cannot be written: {error.strerror}", file=sys.stderr)


def _write(path: Path, record: Ended) -> None:
    """Write a record, on a full disk into the place of the one that is there."""
    try:
        write_json(path, record.model_dump())
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not path.exists():
            raise
        with path.open("r+") as file:
            file.write(record.model_dump_json(indent=2))
            file.truncate()


def as_it_is(record: Ended) -> Ended:
    """Return a record in which a process of this host that started and is gone has ended.

    It has failed; or was interrupted, if the machine has started anew since. What another host does cannot be seen.
    """
    if record.state != STARTED or record.host != platform.node() or record.pid is None:
        return record
    boot, _, namespace = this_machine().partition(" ")
    its_boot, _, its_namespace = (record.machine or this_machine()).partition(" ")
    if its_boot != boot:
        return _gone(record, INTERRUPTED, f"{record.host} has been restarted since")
    if its_namespace != namespace or lives(record.pid, record.began):
        return record
    return _gone(record, FAILED, f"ended without a word: its process {record.pid} on {record.host} is gone")


def _gone(record: Ended, state: str, reason: str) -> Ended:
    return record.model_copy(update={"state": state, "reason": reason})


def _leave(number: int, _frame: Any) -> None:
    raise SystemExit(_SIGNALLED + number)


def _node() -> str:
    return os.environ.get("SLURMD_NODENAME", "")


def _end(state: str, status: int | None, reason: str) -> dict[str, Any]:
    return {"state": state, "status": status, "reason": reason, "ended": _now()}


def _cpu_seconds() -> float:
    return round(sum(os.times()[:4]), 2)  # user and system, of this process and of children that have ended


def _of(error: BaseException) -> tuple[str, int, str]:
    """Return state, exit status and reason of a job that ended with `error`."""
    if isinstance(error, UserError):
        return FAILED, 2, "error: " + str(error).strip().rsplit("\n", 1)[-1]
    if isinstance(error, NodeFault):
        return FAILED, NODE_FAULT, str(error)
    if isinstance(error, Stopped):
        return INTERRUPTED, 1, str(error)
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, _SIGNALLED + signal.SIGINT, "ended by SIGINT"
    if isinstance(error, SystemExit):
        return _of_exit(error)
    return FAILED, 1, traceback.format_exception_only(error)[-1].strip().split("\n", 1)[0]


def _of_exit(error: SystemExit) -> tuple[str, int, str]:
    status = error.code & 0xFF if isinstance(error.code, int) else int(error.code is not None)
    number = status - _SIGNALLED
    if number in set(signal.Signals):
        return INTERRUPTED if number in _ASKING else FAILED, status, f"ended by {signal.Signals(number).name}"
    if status == 0:
        return DONE, 0, ""
    return FAILED, status, error.code if isinstance(error.code, str) else f"exit status {status}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
