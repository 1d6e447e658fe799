"""One writer at a time: who holds a file, whether that process still lives, and when the file may be taken over.

The file names the holder; its heartbeat is a counter that a thread of the holder raises. A process of this machine
is looked up; one of another machine counts as dead when its heartbeat has stood still for `STALE_SECONDS`, watched by
the waiter's own clock, so that clocks need not agree. A holder that was taken over finds out before it next writes.
"""

import contextlib
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from vlmfrontier.errors import TakenOver


def this_machine() -> str:
    """Return the boot and the process namespace in which a process id means something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def beginning(pid: int) -> str | None:
    """Return when the process began, in ticks since boot; None if there is no such process or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def lives(pid: int, began: str | None) -> bool:
    """Say whether a process of this machine lives, which is another one if it did not begin at that moment."""
    if began is not None:
        return beginning(pid) == began
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 180.0
"""Three times as long as NFS may keep showing an old file (60 s): a living holder must not look dead."""
LOCK = "owner.json"


class LostLock(TakenOver):
    """Another process has taken the lock over: this one stops and writes nothing more."""


def this_process() -> dict:
    """Return what tells this process from every other: machine, process and the moment it began; and its Slurm job."""
    return {
        "token": uuid.uuid4().hex,
        "machine": this_machine(),
        "host": platform.node(),
        "pid": os.getpid(),
        "began": beginning(os.getpid()),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
    }


class Lock:
    """A lock on a folder, held from `acquire` to `release`; messages call what it guards `of`."""

    def __init__(self, folder: Path, say: Callable[[str], None] = print, of: str = "this training"):
        self.path, self.of, self._say = folder / LOCK, of, say
        self._me = this_process()
        self._stop = threading.Event()
        self._beat = 0
        self._heart: threading.Thread | None = None

    def acquire(self, stale: float = STALE_SECONDS) -> None:
        """Return as soon as this process is the only writer: at once, or when the holder has finished or is dead."""
        told = None
        while not self._create():
            holder = self._read()
            if holder is not None and not self._is_dead(holder, stale):
                if told != holder["token"]:
                    told = holder["token"]
                    self._say(f"waiting: {self.of} is held by {describe(holder)}; nothing is touched until it ends")
                continue
            self._remove(holder)
        self._heart = threading.Thread(target=self._keep_beating, daemon=True)
        self._heart.start()

    def check(self) -> None:
        """Raise `LostLock` if another process has taken over; to be called before anything is written."""
        holder = self._read()
        if holder is None or holder.get("token") != self._me["token"]:
            taken = "nobody" if holder is None else describe(holder)
            raise LostLock(f"{self.path.parent}: {self.of} now belongs to {taken}; it stops here")

    def release(self) -> None:
        """Let the next one in; nothing happens if the folder belongs to another by now."""
        self._stop.set()
        if self._heart is not None:
            self._heart.join()  # or its last beat might bring the file back
        holder = self._read()
        if holder is not None and holder.get("token") == self._me["token"]:
            self.path.unlink(missing_ok=True)

    def _create(self) -> bool:
        """Return whether `owner.json` is ours now: a hard link appears whole, and fails if there is one already."""
        temporary = self.path.with_name(f".{LOCK}.{self._me['token']}")
        temporary.write_text(json.dumps({**self._me, "beat": 0}))
        try:
            self._link(temporary)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def _link(self, temporary: Path) -> None:
        try:
            os.link(temporary, self.path)
        except FileExistsError:
            raise
        except OSError:  # no hard links here, as on a drive in exFAT: for a moment the file is empty
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            temporary.replace(self.path)

    def _remove(self, holder: dict | None) -> None:
        """Take the file of a dead holder away; of several who wait, one gets it, since a rename works once."""
        aside = self.path.with_name(f".{LOCK}.dead.{self._me['token']}")
        try:
            self.path.rename(aside)
        except FileNotFoundError:
            return
        found = _load(aside)
        if holder is not None and found is not None and found["token"] != holder["token"]:
            # Another waiter was faster and is the holder now: put its file back, unless it has written a new one.
            with contextlib.suppress(FileExistsError):
                os.link(aside, self.path)
        aside.unlink()

    def _read(self) -> dict | None:
        return _load(self.path)

    def _is_dead(self, holder: dict, stale: float) -> bool:
        """Return whether the holder is gone; watches a heartbeat from elsewhere for `stale` seconds at most."""
        if holder["machine"] == self._me["machine"]:
            dead = beginning(holder["pid"]) != holder["began"]
            if not dead:
                time.sleep(min(1.0, stale))
            return dead
        deadline = time.monotonic() + stale
        while time.monotonic() < deadline:
            time.sleep(min(1.0, stale / 5))
            now = self._read()
            if now is None or (now["token"], now["beat"]) != (holder["token"], holder["beat"]):
                return False
        return True

    def _keep_beating(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            holder = self._read()
            if holder is None or holder.get("token") != self._me["token"]:
                return
            self._beat += 1
            temporary = self.path.with_name(f".{LOCK}.{self._me['token']}")
            temporary.write_text(json.dumps({**self._me, "beat": self._beat}))
            temporary.replace(self.path)


def _load(path: Path) -> dict | None:
    """Return the holder named in `path`; None if there is none or the file is damaged, which nobody alive left."""
    try:
        holder = json.loads(path.read_text())
        return holder if {"token", "machine", "pid", "began", "beat"} <= holder.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def describe(holder: dict) -> str:
    """Return a holder in words."""
    job = f"Slurm job {holder['slurm_job_id']}, " if holder.get("slurm_job_id") else ""
    return f"{job}process {holder['pid']} on {holder.get('host')}"
