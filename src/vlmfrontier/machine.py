"""Processes of this machine: what tells one from every other, and whether it still lives."""

import os
import platform
from pathlib import Path


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
