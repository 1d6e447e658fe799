"""A job in the warm server is the job: output, folder, environment, exit status, signals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vlmfrontier import warm

JOB = """
import os, signal, sys, time
print("torch" in sys.modules, sys.argv[1:], os.getcwd(), os.environ.get("MARK"), flush=True)
if sys.argv[1] == "wait":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
    open(sys.argv[2], "w").write(str(os.getpid()))
    time.sleep(60)
if sys.argv[1] == "raise":
    raise ValueError("as asked")
sys.exit(3)
"""
CALLER = """
import sys
from pathlib import Path
from vlmfrontier.warm import run_warm
sys.exit(run_warm(Path(sys.argv[1]), sys.argv[2:]))
"""


@pytest.fixture
def call(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(JOB)

    def start(*arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-c", CALLER, str(script), *arguments]
        environment = {**os.environ, "MARK": "here", "TMPDIR": str(tmp_path)}
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    yield start
    subprocess.run(["pkill", "-f", str(tmp_path)], check=False)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_a_warm_job_behaves_like_a_process(call, tmp_path):
    process = call("first", "x y")
    output, _ = process.communicate(timeout=120)
    assert output == f"True ['first', 'x y'] {tmp_path} here\n"
    assert process.returncode == 3

    failing = call("raise")
    _, errors = failing.communicate(timeout=60)
    assert "ValueError: as asked" in errors
    assert failing.returncode == 1

    marker = tmp_path / "pid"
    waiting = call("wait", str(marker))
    pid = wait_for_pid(marker)
    waiting.send_signal(signal.SIGTERM)
    assert waiting.wait(30) == 9

    marker.unlink()
    killed = call("wait", str(marker))
    pid = wait_for_pid(marker)
    killed.kill()
    killed.wait()
    deadline = time.monotonic() + 30
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)  # nobody is left behind when the caller is killed


def wait_for_pid(marker: Path) -> int:
    deadline = time.monotonic() + 60
    while not (marker.exists() and marker.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return int(marker.read_text())


def test_nothing_of_the_package_is_preloaded():
    assert not any(name.startswith("vlmfrontier") for name in warm.PRELOADED)


def test_callers_whose_jobs_would_differ_do_not_share_a_server(monkeypatch):
    def path_of(*before: str) -> str:
        command = [*before, sys.executable, "-c", "from vlmfrontier.warm import socket_path; print(socket_path())"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    usual = path_of()
    assert path_of() == usual
    assert path_of("nice", "-n", "1") != usual  # else a job would run with the priority of whoever came first
    monkeypatch.setenv("PYTHONPATH", f"{os.environ.get('PYTHONPATH', '')}:/elsewhere")
    assert path_of() != usual  # else with another checkout's code
