"""A server that has torch imported and forks a child for every job: start-up is paid once, not per run.

`run_warm(script, arguments)` hands the very command line of a script to the server, which is started when none listens.
The child becomes that process in all that matters: working directory, environment, standard streams, exit status, and
signals sent to the caller. Nothing of this package is imported before the fork, so edited code is what runs. The server
leaves when it has had nothing to do for a while. Only for a single machine: inside Slurm every job starts by itself.

Caller and server are of one user: its socket lies in a folder that nobody else can enter, and each asks the kernel who
the other is before anything is sent or believed. Where that cannot be had there is no server.
"""

import contextlib
import fcntl
import hashlib
import importlib
import json
import os
import re
import runpy
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

IDLE_SECONDS = 20
_HAS_AFFINITY = hasattr(os, "sched_getaffinity")  # Linux
START_SECONDS = 600  # seconds on an idle machine; a loaded one may take minutes to import torch
ANSWER_SECONDS = 60
"""How long a server that is there may take to say that it is ready."""
LONGEST_PATH = 100
"""Bytes of a socket's path; systems allow a little more."""
READY = b"ready\n"
# What jobs import that is slow: everything outside this package.
PRELOADED = (
    "torch",
    "torch.utils.flop_counter",
    "transformers.models.llama.modeling_llama",
    "transformers.models.siglip.modeling_siglip",
    "transformers.trainer",
    "accelerate",
    "av",
    "av.video.reformatter",
    "pydantic",
    "pandas",
)


class NoServerError(Exception):
    """No server can be used, for the reason given; nothing has been sent to any."""


def run_warm(script: Path, arguments: list[str]) -> int | None:
    """Run `script` in a child of the server and return its exit status (128 + signal if it was killed).

    None, and a line on stderr that says why, if no server can be used: nothing has run then. 1, and a line, if the
    server goes away before it has told how the job ended.
    """
    request = {"script": str(script), "arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    try:
        connection = _connect()
    except (NoServerError, OSError) as error:
        print(f"no warm server ({error}): the job starts by itself", file=sys.stderr)
        return None
    with connection:
        try:
            return _handed_over(connection, request)
        except OSError:
            print("error: the warm server went away before it told how the job ended; run it again", file=sys.stderr)
            return 1


def _handed_over(connection: socket.socket, request: dict) -> int:
    """Send a job, pass on signals and return its exit status. Raises `ConnectionError` for any other answer."""
    socket.send_fds(connection, [b"job"], [0, 1, 2])
    connection.sendall(json.dumps(request).encode() + b"\n")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda n, _frame: connection.sendall(bytes([n])))
    status = _line(connection)
    if not re.fullmatch(rb"\d{1,3}\n", status) or int(status) > 255:
        raise ConnectionError
    return int(status)


def _line(connection: socket.socket) -> bytes:
    """Return a short line that the server sends, or what there is of it when the server has gone."""
    line = b""
    while not line.endswith(b"\n") and len(line) < len(READY):
        part = connection.recv(len(READY) - len(line))
        if not part:
            break
        line += part
    return line


def socket_path() -> Path:
    """Return where the server for callers like this one listens.

    Jobs inherit from the server what a process passes on by itself: user, Python, installed packages, where imports
    are looked for, the mode of new files, priority and cores. Callers who differ in any of these get a server of their
    own. Raises `NoServerError` where the path would be too long for a socket.
    """
    mask = os.umask(0o077)  # it can only be read by setting it
    os.umask(mask)
    parts = [sys.prefix, os.stat(sys.prefix).st_mtime_ns, os.environ.get("PYTHONPATH"), os.geteuid(), mask]
    parts += [os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0)) if _HAS_AFFINITY else None]
    identity = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    path = _base() / f"vlmfrontier-{os.geteuid()}" / f"{identity}.socket"
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise NoServerError(f"{path.parent}: too long a path for a socket")
    return path


def _base() -> Path:
    """Return where the folder of sockets is: the user's own folder for such things, if the system has made one."""
    own = os.environ.get("XDG_RUNTIME_DIR")
    if own and os.path.isabs(own) and os.path.isdir(own) and _why_not_ours(os.lstat(own)) is None:
        return Path(own)
    return Path(tempfile.gettempdir())


def _why_not_ours(found: os.stat_result) -> str | None:
    """Return why others could put something into a folder; None if only this user can enter it."""
    if not stat.S_ISDIR(found.st_mode):
        return "is no folder"
    if found.st_uid != os.geteuid():
        return f"belongs to the user {found.st_uid}"
    if found.st_mode & 0o077:
        return "is open to others; `chmod 700` it"
    return None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock beside a socket. Raises `NoServerError` if the folder or the lock is not only ours."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path.parent, 0o700)
    if why := _why_not_ours(os.lstat(path.parent)):
        raise NoServerError(f"{path.parent} {why}")
    name, flags = path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(name, flags, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(lock).st_mode):
            raise NoServerError(f"{name} is no file")
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _connect() -> socket.socket:
    """Return a connection to the server, which is started first if none answers."""
    path = socket_path()
    with _locked(path):  # of callers that find no server, one starts it
        connection = _try_connect(path)
        if connection is None:
            path.unlink(missing_ok=True)
            connection = _start(path)
    try:
        _meet(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _start(path: Path) -> socket.socket:
    """Start a server and return a connection to it."""
    server = subprocess.Popen(
        [sys.executable, "-m", "vlmfrontier.warm", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
        pass_fds=(),
    )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.1)
        connection = _try_connect(path)
        if connection is not None:
            return connection
        if server.poll() is not None:
            raise NoServerError(f"it ended with status {server.returncode} when it was started")
    raise NoServerError(f"it did not start within {START_SECONDS} s")


def _try_connect(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        return None
    return connection


def _meet(connection: socket.socket) -> None:
    """Wait until the server is ready. Raises `NoServerError` if it is another user's, or answers anything else."""
    if (user := _peer(connection)) != os.geteuid():
        raise NoServerError(f"what listens there belongs to the user {user}")
    connection.settimeout(ANSWER_SECONDS)
    try:
        answer = _line(connection)
    except OSError as error:
        raise NoServerError(f"it does not answer: {error}") from None
    if answer != READY:
        raise NoServerError("it answers something else than a server would" if answer else "it closes the connection")
    connection.settimeout(None)


def _peer(connection: socket.socket) -> int | None:
    """Return the user of the process at the other end, as the kernel knows it; None where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    _, user, _ = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return user


def serve(path: Path) -> None:
    """Listen on `path` and fork a child per job until idle for `IDLE_SECONDS`."""
    for module in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    listener.bind(str(path))
    os.umask(mask)
    listener.listen(64)
    keepers: set[int] = set()
    while True:
        ready, _, _ = select.select([listener], [], [], 1.0 if keepers else IDLE_SECONDS)
        if ready:
            connection, _ = listener.accept()
            if _peer(connection) == os.geteuid():
                keepers.add(_fork_keeper(connection, listener))
            else:
                connection.close()
        elif not keepers:
            path.unlink(missing_ok=True)
            return
        keepers = {pid for pid in keepers if os.waitpid(pid, os.WNOHANG)[0] == 0}


def _fork_keeper(connection: socket.socket, listener: socket.socket) -> int:
    """Fork the process that looks after one job and its caller; return its pid."""
    pid = os.fork()
    if pid:
        connection.close()
        return pid
    listener.close()
    status = 1
    try:
        status = _keep(connection)
    finally:
        os._exit(status)


def _keep(connection: socket.socket) -> int:
    """Fork the job, pass on signals, kill it if the caller is gone, and tell the caller its exit status."""
    connection.sendall(READY)
    _, streams, _, _ = socket.recv_fds(connection, 3, 3)
    received = b""
    while not received.endswith(b"\n"):
        part = connection.recv(65536)
        if not part:
            return 1  # the caller has gone
        received += part
    request = json.loads(received)
    job = os.fork()
    if job == 0:
        connection.close()
        _become(request, streams)
    for stream in streams:
        os.close(stream)
    while True:
        ready, _, _ = select.select([connection], [], [], 0.05)
        if ready:
            asked = connection.recv(1)
            os.kill(job, asked[0] if asked else signal.SIGKILL)
            if not asked:
                os.waitpid(job, 0)
                return 1
        done, raw = os.waitpid(job, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(raw)
            connection.sendall(f"{code if code >= 0 else 128 - code}\n".encode())
            return 0


def _become(request: dict, streams: list[int]) -> None:
    """Turn this fork into the job: its streams, folder, environment and arguments; never returns."""
    code = 1
    try:
        for target, stream in enumerate(streams):
            os.dup2(stream, target)
        # Open for the life of the process.
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv = [request["script"], *request["arguments"]]
        sys.path[0] = str(Path(request["script"]).resolve().parent)
        runpy.run_path(request["script"], run_name="__main__")
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"  # decided when torch is imported; jobs run side by side
    serve(Path(sys.argv[1]))
