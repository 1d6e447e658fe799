"""How a job ended stands in a file of its own, whichever way it ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vlmfrontier.ended import Ended, close_record, read_ended, record_file, record_of, recorded
from vlmfrontier.errors import NodeFault, Stopped, TakenOver, UserError


def attempt(path: Path, error: BaseException | None = None) -> None:
    def job() -> None:
        if error is not None:
            raise error

    if error is None:
        recorded(path, job)
    else:
        with pytest.raises(type(error)):
            recorded(path, job)


@pytest.mark.parametrize(
    ("error", "state", "status", "reason"),
    [
        (None, "done", 0, ""),
        (UserError("first\nno such split"), "failed", 2, "error: no such split"),
        (UserError(""), "failed", 2, "error: "),
        (NodeFault("node gpu02: 0 of 8 GPUs"), "failed", 86, "node gpu02: 0 of 8 GPUs"),
        (KeyError("x"), "failed", 1, "KeyError: 'x'"),
        (MemoryError(), "failed", 1, "MemoryError"),
        (ValueError("two\nlines"), "failed", 1, "ValueError: two"),
        (SystemExit(3), "failed", 3, "exit status 3"),
        (SystemExit("no CUDA"), "failed", 1, "no CUDA"),
        (SystemExit(None), "done", 0, ""),
        (SystemExit(128 + 15), "interrupted", 143, "ended by SIGTERM"),
        (KeyboardInterrupt(), "interrupted", 130, "ended by SIGINT"),
        (Stopped("saved"), "interrupted", 1, "saved"),
        (TakenOver("another process"), "started", None, ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_end_is_recorded(tmp_path: Path, error, state, status, reason):
    path = record_file(tmp_path / "run", "finetune")
    attempt(path, error)
    found = read_ended(path)
    assert (found.state, found.status, found.reason, found.attempt) == (state, status, reason, 1)
    assert (found.ended is None) == (found.cpu_seconds is None) == (state == "started")
    assert found.cpu_seconds is None or 0 < found.cpu_seconds <= sum(os.times()[:4]) + 0.01  # it is rounded
    assert found.node_fault == isinstance(error, NodeFault)


def test_attempts_are_counted_and_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = record_file(tmp_path, "evaluate")
    attempt(path, KeyError("x"))
    attempt(path)
    assert (read_ended(path).attempt, read_ended(path).state) == (2, "done")
    monkeypatch.setenv("RANK", "1")
    attempt(path, KeyError("of another process"))
    assert (read_ended(path).attempt, read_ended(path).state) == (2, "done")


@pytest.mark.parametrize("text", ["", "[]", "3", '{"state": "won", "attempt": 1}', "{", "\x00", "[" * 100_000])
def test_a_damaged_record_says_nothing(tmp_path: Path, text: str):
    path = record_file(tmp_path, "evaluate")
    path.write_text(text)
    assert read_ended(path) is None


@pytest.mark.parametrize(("sent", "state"), [(signal.SIGTERM, "interrupted"), (signal.SIGKILL, "started")])
def test_a_killed_process_leaves_a_record(tmp_path: Path, sent: signal.Signals, state: str):
    path = record_file(tmp_path, "finetune")
    code = "import sys, time; from pathlib import Path; from vlmfrontier.ended import recorded\n"
    code += "recorded(Path(sys.argv[1]), lambda: (print('begun', flush=True), time.sleep(60)))"
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"begun\n"
    os.kill(process.pid, sent)
    process.wait()
    assert json.loads(path.read_text())["state"] == state


@pytest.mark.parametrize(
    ("log", "record"),
    [
        ("runs/N1_T1/finetune.log", "runs/N1_T1/finetune.ended.json"),
        ("logs/fit-a.b.log", "logs/fit-a.b.ended.json"),
        ("logs/fit-error.log", "logs/fit-error.ended.json"),
    ],
)
def test_a_record_lies_beside_its_log(log: str, record: str):
    assert record_of(Path(log)) == Path(record)


OWN = {"reason": "error: no such split", "host": "gpu01"}
CLOSED = {"reason": "Slurm job 12: OUT_OF_MEMORY", "host": "gpu02"}


@pytest.mark.parametrize(
    ("before", "job", "written", "attempt"),
    [
        (None, "12", True, 1),
        ("{", "12", True, 1),
        ({"state": "started", "slurm_job_id": "12"}, "12", True, 3),
        ({"state": "failed", "slurm_job_id": "12"}, "12", False, 3),
        ({"state": "done", "slurm_job_id": "12"}, "12", False, 3),
        ({"state": "interrupted", "slurm_job_id": "12"}, "12", False, 3),
        ({"state": "failed", "slurm_job_id": "12", "own_words": False}, "12", True, 3),
        ({"state": "interrupted", "slurm_job_id": "12", "own_words": False}, "12", False, 3),
        ({"state": "failed", "slurm_job_id": "9"}, "12", True, 4),
        ({"state": "done", "slurm_job_id": "9"}, "12", True, 4),
        ({"state": "started", "slurm_job_id": "9"}, "12", True, 4),
        ({"state": "started", "slurm_job_id": "100"}, "12", False, 3),
        ({"state": "done", "slurm_job_id": "100"}, "12", False, 3),
        ({"state": "done", "slurm_job_id": None}, "12", True, 4),
        ({"state": "started", "slurm_job_id": None}, "12", True, 4),
        ({"state": "failed", "slurm_job_id": "9"}, "", True, 4),
        ({"state": "failed", "slurm_job_id": None}, "", True, 4),
        (None, "", True, 1),
    ],
)
@pytest.mark.parametrize("state", ["failed", "interrupted"])
def test_a_job_that_could_not_say_how_it_ended_is_closed(tmp_path: Path, before, job, written, attempt, state):
    path = tmp_path / "run" / "finetune.ended.json"
    if before is not None:
        path.parent.mkdir()
        own = before if isinstance(before, str) else Ended(**before, **OWN, attempt=3).model_dump_json()
        path.write_text(own)
    assert close_record(path, slurm_job_id=job, state=state, **CLOSED) == written
    found = read_ended(path)
    assert found.attempt == attempt
    if written:
        assert (found.state, found.host) == (state, CLOSED["host"])
        assert found.reason == CLOSED["reason"] + (f"; {OWN['reason']}" if attempt == 3 else "")
        assert not close_record(path, slurm_job_id=job, state=state, **CLOSED) or not job
        assert found.ended is not None
        assert found.slurm_job_id == (job or None)
    else:
        assert path.read_text() == own


def test_an_interrupted_job_has_failed_where_no_attempt_follows(tmp_path: Path):
    path = tmp_path / "finetune.ended.json"
    path.write_text(
        Ended(state="interrupted", attempt=1, slurm_job_id="12", reason="ended by SIGTERM").model_dump_json()
    )
    assert not close_record(path, slurm_job_id="12", reason="Slurm job 12: TIMEOUT")
    assert close_record(path, slurm_job_id="12", reason="Slurm job 12: CANCELLED", given_up=True)
    assert read_ended(path).state == "failed"
    assert read_ended(path).reason == "Slurm job 12: CANCELLED; ended by SIGTERM"


def test_a_record_keeps_when_and_where_its_job_began(tmp_path: Path):
    path = tmp_path / "finetune.ended.json"
    begun = Ended(
        state="started", attempt=2, slurm_job_id="12", host="gpu01", pid=7, started="2026-11-28T06:20:11+00:00"
    )
    path.write_text(begun.model_dump_json())
    assert close_record(path, slurm_job_id="12", reason="Slurm job 12: NODE_FAIL")
    found = read_ended(path)
    assert (found.host, found.pid, found.started, found.attempt) == ("gpu01", 7, begun.started, 2)
    with pytest.raises(ValueError, match="state"):
        close_record(tmp_path / "other.ended.json", slurm_job_id="1", reason="", state="lost")
