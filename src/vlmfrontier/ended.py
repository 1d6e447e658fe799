"""How each job of a run ended, in a file of its own: `runs/<run>/<stage>.ended.json`; results/README.md has its format.

Written by the job when it starts and again when it ends, however it ends; what is still `started` and no longer lives
was killed. Whether a run is done or failed is decided by this, never by words in a log.
"""

import os
import platform
import signal
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from vlmfrontier.errors import NODE_FAULT, NodeFault, Stopped, TakenOver, UserError
from vlmfrontier.files import write_json
from vlmfrontier.records import read_checked

STARTED, DONE, FAILED, INTERRUPTED = "started", "done", "failed", "interrupted"
STAGES = ("evaluate", "answer", "finetune")
"""Stages of a run, the last one first."""
_SIGNALLED = 128


class Ended(BaseModel):
    """The record of the last attempt at a stage."""

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
    pid: int | None = None
    slurm_job_id: str | None = None
    slurm_restarts: int = 0
    """How often Slurm had started this job before."""
    started: str = ""
    ended: str | None = None


def record_file(folder: Path, stage: str) -> Path:
    """Return the file that says how the last attempt at a stage of a run ended."""
    return folder / f"{stage}.ended.json"


def record_of(log: Path) -> Path:
    """Return the file that says how the last attempt of the job that writes `log` ended."""
    return log.with_name(f"{log.name.removesuffix('.log')}.ended.json")


def close_record(path: Path, *, slurm_job_id: str, reason: str, state: str = FAILED, host: str = "") -> bool:
    """Write the end of a Slurm job that could not write it itself; return whether it had to.

    Kept is what the job itself wrote of its end, and what a job that was submitted later wrote. `slurm_job_id` is empty
    for a job that Slurm did not take. Raises `OSError` if the record cannot be written.
    """
    before = read_ended(path)
    same = before is not None and slurm_job_id != "" and before.slurm_job_id == slurm_job_id
    if before is not None and (before.state != STARTED if same else _later(before.slurm_job_id, slurm_job_id)):
        return False
    if same:
        record = before.model_copy(update={"host": host or before.host})
    else:
        attempt = before.attempt + 1 if before else 1
        record = Ended(state=STARTED, attempt=attempt, slurm_job_id=slurm_job_id or None, host=host)
    path.parent.mkdir(parents=True, exist_ok=True)
    closed = record.model_copy(update=_end(state, None, reason))
    write_json(path, Ended.model_validate(closed.model_dump()).model_dump())  # refuses a state that there is not
    return True


def _later(job: str | None, than: str) -> bool:
    """Say whether Slurm gave the number `job` after the number `than`."""
    return bool(job) and job.isdecimal() and than.isdecimal() and int(job) > int(than)


def read_ended(path: Path) -> Ended | None:
    """Return the record in `path`; None if there is none, or if it is damaged, which says nothing of the run."""
    try:
        return Ended.model_validate(read_checked(path, Ended, ""))
    except UserError:
        return None


def recorded(path: Path, job: Callable[[], Any]) -> None:
    """Call `job` and keep in `path` that it has started and how it ended; its exception goes on.

    Of several processes of one job the first one writes.
    """
    if os.environ.get("RANK", "0") != "0":
        job()
        return
    before = read_ended(path)
    record = Ended(
        state=STARTED,
        attempt=before.attempt + 1 if before else 1,
        host=platform.node(),
        node=os.environ.get("SLURMD_NODENAME", ""),
        pid=os.getpid(),
        slurm_job_id=os.environ.get("SLURM_JOB_ID"),
        slurm_restarts=int(os.environ.get("SLURM_RESTART_COUNT") or 0),
        started=_now(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, record.model_dump())
    signal.signal(signal.SIGTERM, _leave)  # by default a process ends without a word
    try:
        job()
    except TakenOver:
        raise
    except BaseException as error:
        state, status, reason = _of(error)
        at_fault = {"node_fault": isinstance(error, NodeFault)}
        write_json(path, record.model_copy(update=_end(state, status, reason) | at_fault).model_dump())
        raise
    write_json(path, record.model_copy(update=_end(DONE, 0, "")).model_dump())


def _leave(number: int, _frame: Any) -> None:
    raise SystemExit(_SIGNALLED + number)


def _end(state: str, status: int | None, reason: str) -> dict[str, Any]:
    return {"state": state, "status": status, "reason": reason, "ended": _now()}


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
    status = error.code if isinstance(error.code, int) else int(error.code is not None)
    if status > _SIGNALLED:
        return INTERRUPTED, status, f"ended by {_name(status - _SIGNALLED)}"
    if status == 0:
        return DONE, 0, ""
    return FAILED, status, error.code if isinstance(error.code, str) else f"exit status {status}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
