"""GPU-hours that trainings have taken, read from their append-only logs: what the plan's estimate is compared with."""

import json
from pathlib import Path


def spent_hours(log: Path) -> float:
    """Return the hours from first to last line of every attempt at the last training in a `train.jsonl`, added up.

    Time in queues between attempts does not count, steps that were lost in a kill do.
    """
    attempts: list[list[float]] = []
    for line in log.read_text(errors="replace").splitlines() if log.exists() else ():
        entry = _entry(line)
        if entry.get("event") == "started":
            attempts = []
        if entry.get("event") in ("started", "resumed"):
            attempts.append([])
        if attempts and isinstance(entry.get("time"), int | float):
            attempts[-1].append(float(entry["time"]))
    return sum(times[-1] - times[0] for times in attempts if times) / 3600


def _entry(line: str) -> dict:
    """Return one line of the log; empty for the half line of an attempt that was killed while it wrote."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
