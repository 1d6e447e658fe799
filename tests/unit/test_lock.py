"""One writer: others wait while it lives, one takes over when it is dead, and a holder that was replaced finds out."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vlmfrontier import lock as module
from vlmfrontier.lock import LOCK, Lock, LostLock

HOLD = """
import sys, time
from pathlib import Path
from vlmfrontier.lock import Lock
held = Lock(Path(sys.argv[1]))
held.acquire()
print("held", flush=True)
sys.stdin.readline()
held.release()
print("released", flush=True)
"""


def holder(folder: Path) -> subprocess.Popen:
    """Return a process that holds `folder` until it reads a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_writer_waits_and_says_for_whom(tmp_path: Path):
    first = holder(tmp_path)
    said, taken = [], threading.Event()
    second = Lock(tmp_path, said.append)

    def take() -> None:
        second.acquire()
        taken.set()

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    while not said:
        assert thread.is_alive()
        time.sleep(0.01)
    assert f"process {first.pid} on" in said[0]
    assert not taken.is_set()
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == first.pid
    first.stdin.write("\n")
    first.stdin.flush()
    thread.join()
    assert taken.is_set()
    assert len(said) == 1
    second.check()
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_holder_is_replaced_at_once(tmp_path: Path):
    first = holder(tmp_path)
    first.kill()
    first.wait()
    assert (tmp_path / LOCK).exists()
    second = Lock(tmp_path, pytest.fail)
    second.acquire(stale=1e9)  # it need not be watched: its process is gone
    second.check()
    second.release()


def test_a_process_id_that_was_used_again_is_not_the_holder(tmp_path: Path):
    first = Lock(tmp_path)
    first.acquire()
    first._stop.set()
    path = tmp_path / LOCK
    path.write_text(json.dumps({**json.loads(path.read_text()), "began": "1"}))
    second = Lock(tmp_path, pytest.fail)
    second.acquire(stale=1e9)
    with pytest.raises(LostLock, match="this training now belongs to process"):
        first.check()
    first.release()
    assert path.exists()  # the folder is the second one's
    second.release()


def elsewhere(folder: Path, beat: int = 0) -> dict:
    """Write the owner file of a process on another machine, whole at once as every holder does, and return it."""
    record = {"token": "t", "machine": "other", "host": "gpu07", "pid": 1, "began": "1", "beat": beat}
    temporary = folder / f".{LOCK}.t"
    temporary.write_text(json.dumps({**record, "slurm_job_id": "12"}))
    temporary.replace(folder / LOCK)
    return record


def test_a_holder_elsewhere_is_dead_when_its_heart_stands_still(tmp_path: Path):
    elsewhere(tmp_path)
    second = Lock(tmp_path, pytest.fail)
    second.acquire(stale=0.2)
    second.check()
    second.release()


def test_a_holder_elsewhere_whose_heart_beats_is_waited_for(tmp_path: Path):
    elsewhere(tmp_path)
    said: list[str] = []
    second = Lock(tmp_path, said.append)
    thread = threading.Thread(target=second.acquire, args=(2.0,), daemon=True)
    thread.start()
    beat = 0
    while not said:
        assert thread.is_alive()
        beat += 1
        elsewhere(tmp_path, beat)
        time.sleep(0.01)
    assert "Slurm job 12, process 1 on gpu07" in said[0]
    thread.join()  # it no longer beats
    second.check()
    second.release()


def test_half_an_owner_file_holds_nothing(tmp_path: Path):
    (tmp_path / LOCK).write_text('{"token": "t", "mach')
    second = Lock(tmp_path, pytest.fail)
    second.acquire()
    second.check()
    second.release()


def test_of_many_that_wait_one_gets_it_at_a_time(tmp_path: Path):
    elsewhere(tmp_path)
    inside, most, done = [0], [0], []
    lock = threading.Lock()

    def work() -> None:
        mine = Lock(tmp_path, lambda _: None)
        mine.acquire(stale=0.05)
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.02)
        mine.check()
        with lock:
            inside[0] -= 1
            done.append(1)
        mine.release()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 6
    assert most[0] == 1


def test_the_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.01)
    mine = Lock(tmp_path)
    mine.acquire()
    while json.loads((tmp_path / LOCK).read_text())["beat"] < 3:
        time.sleep(0.01)
    mine.check()
    mine.release()
    assert list(tmp_path.iterdir()) == []


def test_a_drive_without_hard_links_is_locked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(module.os, "link", refuse)
    first = Lock(tmp_path)
    first.acquire()
    first.check()
    second = Lock(tmp_path)
    assert not second._create()
    first.release()
    assert list(tmp_path.iterdir()) == []
