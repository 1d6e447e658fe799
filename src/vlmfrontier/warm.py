"""A server that has torch imported and forks a child for every job: start-up is paid once, not per run.

`run_warm(script, arguments)` hands the very command line of a script to the server, which is started when none listens.
The child becomes that process in all that matters: working directory, environment, standard streams, exit status, and
signals sent to the caller. Nothing of this package is imported before the fork, so edited code is what runs. The server
leaves when it has had nothing to do for a while. Only for a single machine: inside Slurm every job starts by itself.
"""

import contextlib
import fcntl
import hashlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

IDLE_SECONDS = 20
_HAS_AFFINITY = hasattr(os, "sched_getaffinity")  # Linux
START_SECONDS = 600  # seconds on an idle machine; a loaded one may take minutes to import torch
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


def socket_path() -> Path:
    """Return where the server for callers like this one listens.

    Jobs inherit from the server what a process passes on by itself: user, Python, installed packages, where imports
    are looked for, priority and cores. Callers who differ in any of these get a server of their own.
    """
    parts = [sys.prefix, os.stat(sys.prefix).st_mtime_ns, os.environ.get("PYTHONPATH"), os.getuid()]
    parts += [os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0)) if _HAS_AFFINITY else None]
    identity = repr(parts)
    return Path(tempfile.gettempdir()) / f"vlmfrontier-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.socket"


def run_warm(script: Path, arguments: list[str]) -> int:
    """Run `script` in a child of the server and return its exit status (128 + signal if it was killed)."""
    request = {"script": str(script), "arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    with _connect() as connection:
        socket.send_fds(connection, [b"job"], [0, 1, 2])
        connection.sendall(json.dumps(request).encode() + b"\n")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, lambda n, _frame: connection.sendall(bytes([n])))
        status = b""
        while not status.endswith(b"\n"):
            part = connection.recv(64)
            if not part:
                raise ConnectionError("the warm server went away; run the command again")
            status += part
    return int(status)


def _connect() -> socket.socket:
    """Return a connection to the server, which is started first if none answers."""
    path = socket_path()
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of callers that find no server, one starts it
        connection = _try_connect(path)
        if connection is None:
            path.unlink(missing_ok=True)
            subprocess.Popen(
                [sys.executable, "-m", "vlmfrontier.warm", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                pass_fds=(),
            )
            deadline = time.monotonic() + START_SECONDS
            while connection is None and time.monotonic() < deadline:
                time.sleep(0.1)
                connection = _try_connect(path)
    if connection is None:
        raise ConnectionError(f"the warm server did not start within {START_SECONDS} s; turn execution.warm_start off")
    return connection


def _try_connect(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        return None
    return connection


def serve(path: Path) -> None:
    """Listen on `path` and fork a child per job until idle for `IDLE_SECONDS`."""
    for module in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(64)
    keepers: set[int] = set()
    while True:
        ready, _, _ = select.select([listener], [], [], 1.0 if keepers else IDLE_SECONDS)
        if ready:
            connection, _ = listener.accept()
            keepers.add(_fork_keeper(connection, listener))
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
    _, streams, _, _ = socket.recv_fds(connection, 3, 3)
    received = b""
    while not received.endswith(b"\n"):
        received += connection.recv(65536)
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
