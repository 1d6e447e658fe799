"""A job in the warm server is the job: output, folder, environment, status, signals; no other user's server is used."""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
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
def tmp_path():
    """A folder whose path is short, however pytest is called: that of a socket has 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def call(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(JOB)
    callers = []

    def start(*arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-c", CALLER, str(script), *arguments]
        environment = {**os.environ, "MARK": "here", "TMPDIR": str(tmp_path)}
        environment.pop("XDG_RUNTIME_DIR", None)
        callers.append(
            subprocess.Popen(
                command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
        return callers[-1]

    yield start
    for caller in callers:
        caller.kill()  # and so its job
        caller.communicate()
    for path in filter(Path.is_socket, tmp_path.rglob("*")):
        os.kill(listening(path), signal.SIGKILL)


def listening(path: Path) -> int:
    """Return the process that listens at a socket."""
    with socket.socket(socket.AF_UNIX) as ours:
        ours.connect(str(path))
        pid, _, _ = struct.unpack("3i", ours.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return pid


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


NOBODY = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
ENDED = """
import sys
from pathlib import Path
from vlmfrontier import command_line
from vlmfrontier.ended import recorded
def job():
    if sys.argv[2] == "raise":
        raise ValueError("as asked")
command_line.run(lambda: recorded(Path(sys.argv[1]), job))
"""
LISTENER = """
import os, socket, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.setuid(int(sys.argv[2]))
listener.listen()
print("listening", flush=True)
connection, _ = listener.accept()
try:
    for answer in sys.argv[3].split("|"):
        if answer == "wait":
            received = b""
            while not received.endswith(b"}\\n"):
                received += connection.recv(65536)
        else:
            connection.sendall(answer.encode())
    connection.shutdown(socket.SHUT_WR)
    print(connection.recv(65536), flush=True)
except OSError:
    print("gone", flush=True)
"""
SERVER = """
import sys
from pathlib import Path
from vlmfrontier import warm
warm.PRELOADED = ()
warm.serve(Path(sys.argv[1]))
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the sockets of this test's callers are to be: a temporary folder as short as those outside of tests."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(warm.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(warm, "LONGEST_PATH", 107)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warm.signal, "signal", lambda *_: None)  # else this process would pass on its signals
    (tmp_path / "job.py").write_text(ENDED)
    return warm.socket_path().parent


@pytest.fixture
def started(place: Path):
    """Start a program that listens, its socket's path as first argument; ended with the test."""
    processes = []

    def start(program: str, *arguments: str, listens: bool = True) -> subprocess.Popen:
        place.mkdir(mode=0o700, exist_ok=True)
        command = [sys.executable, "-c", program, str(warm.socket_path()), *arguments]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        if listens:
            assert processes[-1].stdout.readline() == "listening\n"
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def no_start(*_: object, **__: object) -> None:
    raise AssertionError("no server may be started here")


@pytest.fixture
def unable(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server can be started, so that a test that should find one, or refuse one, loads no torch."""
    monkeypatch.setattr(warm, "_start", no_start)


def told(capfd: pytest.CaptureFixture) -> str:
    (line,) = capfd.readouterr().err.splitlines()
    return line


@AS_ROOT
def test_another_users_server_gets_nothing_and_is_not_believed(started, tmp_path, capfd):
    listener = started(LISTENER, str(NOBODY), "ready\n|0\n")
    assert warm.run_warm(tmp_path / "job.py", []) is None
    assert told(capfd).startswith("no warm server (what listens there belongs to the user 65534)")
    assert listener.stdout.readline() in ("b''\n", "gone\n")


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("answers", ["", "\n", "0", "0\n", "HTTP/1.1 200 OK\n", "ready"])
def test_a_server_that_does_not_greet_is_sent_nothing(started, tmp_path, capfd, answers):
    listener = started(LISTENER, str(os.geteuid()), answers)
    assert warm.run_warm(tmp_path / "job.py", []) is None
    assert told(capfd).startswith("no warm server (it ")
    assert listener.stdout.readline() in ("b''\n", "gone\n")


@pytest.mark.parametrize("status", ["", "0", "\n", "0x0\n", "-0\n", " 0\n", "999\n", "ok\n", "0" * 70])
def test_a_server_that_ends_in_the_middle_is_no_success(started, tmp_path, capfd, status):
    started(LISTENER, str(os.geteuid()), f"ready\n|wait|{status}")
    assert warm.run_warm(tmp_path / "job.py", []) == 1
    assert told(capfd).startswith("error: the warm server went away")


@AS_ROOT
def test_a_folder_of_another_user_is_not_used(place, unable, tmp_path, capfd):
    place.mkdir(mode=0o700)
    os.chown(place, NOBODY, NOBODY)
    assert warm.run_warm(tmp_path / "job.py", []) is None
    assert f"{place} belongs to the user 65534" in told(capfd)
    assert not any(place.iterdir())


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda place: (place.mkdir(), place.chmod(0o777)), "is open to others"),
        (lambda place: (place.mkdir(), place.chmod(0o710)), "is open to others"),
        (lambda place: place.write_text("mine"), "is no folder"),
        (lambda place: place.symlink_to(place.parent), "is no folder"),
        (lambda place: place.symlink_to("nowhere"), "is no folder"),
    ],
)
def test_a_folder_that_is_not_only_ours_is_not_used(place, unable, tmp_path, capfd, make, why):
    make(place)
    before = sorted(tmp_path.rglob("*"))
    assert warm.run_warm(tmp_path / "job.py", []) is None
    assert f"{place} {why}" in told(capfd)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("there", [True, False])
def test_a_link_in_the_place_of_the_lock_is_not_followed(place, unable, tmp_path, capfd, there):
    place.mkdir(mode=0o700)
    if there:
        (tmp_path / "thesis").write_text("years")
    warm.socket_path().with_suffix(".lock").symlink_to(tmp_path / "thesis")
    assert warm.run_warm(tmp_path / "job.py", []) is None
    assert told(capfd).startswith("no warm server (")
    assert (tmp_path / "thesis").exists() == there
    assert not there or (tmp_path / "thesis").read_text() == "years"


def test_a_path_that_is_too_long_for_a_socket_is_told_at_once(place, unable, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(warm, "LONGEST_PATH", 10)
    assert warm.run_warm(tmp_path / "job.py", []) is None
    assert "too long a path for a socket" in told(capfd)


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_the_systems_own_folder_is_used_where_it_is_private(place, tmp_path, monkeypatch, mode):
    runtime = tmp_path / "run"
    runtime.mkdir(mode=mode)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert warm.socket_path().parent == (runtime / place.name if mode == 0o700 else place)


def test_a_job_records_how_it_ended_through_the_server(started, place, unable, tmp_path, capfd):
    started(SERVER, listens=False)
    wait_for(warm.socket_path())
    for asked, status, state in (("end", 0, "done"), ("raise", 1, "failed")):
        assert warm.run_warm(tmp_path / "job.py", [str(tmp_path / "ended.json"), asked]) == status
        assert json.loads((tmp_path / "ended.json").read_text())["state"] == state
    assert "ValueError: as asked" in capfd.readouterr().err
    assert place.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o600}


@AS_ROOT
def test_the_server_does_nothing_for_another_user(started, place):
    started(SERVER, listens=False)
    wait_for(warm.socket_path())
    place.chmod(0o711)
    warm.socket_path().chmod(0o777)
    client = "import os, socket; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect({!r}); print(s.recv(9))"
    command = [sys.executable, "-c", client.format(warm.socket_path().name)]
    assert subprocess.run(command, cwd=place, capture_output=True, text=True, check=True).stdout == "b''\n"
    place.chmod(0o700)
    with socket.socket(socket.AF_UNIX) as ours:
        ours.connect(str(warm.socket_path()))
        assert ours.recv(9) == warm.READY


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


def test_a_job_that_is_left_to_the_server_imports_little():
    slow = ("pydantic", "numpy", "yaml", "torch")
    code = f"import sys, vlmfrontier.jobs, vlmfrontier.cluster.job; print([n for n in {slow} if n in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
