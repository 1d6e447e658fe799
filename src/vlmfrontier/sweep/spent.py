"""What trainings have done so far, read from their append-only logs: hours, step, loss and speed.

Logs may be long, and status reads those of all runs: of an attempt only the first and last lines are parsed.
"""

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_BEGINNING = re.compile(rb'"event": *"(started|resumed)"')


class Progress(NamedTuple):
    """How far the last attempt at a training is."""

    step: int
    steps: int
    """All that the training takes."""
    loss: float | None
    speed: float
    """Steps per second of this attempt; 0 if it is too early to say."""
    time: float
    """Of its last sign, in seconds since 1970."""


def spent_hours(log: Path) -> float:
    """Return the hours from first to last line of every attempt at the last training in a `train.jsonl`, added up.

    Time in queues between attempts does not count, steps that were lost in a kill do.
    """
    times = [(_time(_forwards(part)), _time(_backwards(part))) for part in _attempts(log)]
    return sum(last - first for first, last in times if first is not None and last is not None) / 3600


def progress_of(log: Path) -> Progress | None:
    """Return how far the last attempt in a `train.jsonl` is; None if it has not begun."""
    attempts = _attempts(log)
    began = _entry(attempts[-1].split(b"\n", 1)[0]) if attempts else {}
    if not isinstance(began.get("steps"), int) or not isinstance(began.get("step"), int):
        return None
    first = next(filter(_is_step, _forwards(attempts[-1])), began)
    last = next(filter(_is_step, _backwards(attempts[-1])), began)
    if first["step"] == last["step"]:
        first = began
    seconds = last.get("time", 0) - first.get("time", 0)
    speed = (last["step"] - first["step"]) / seconds if seconds > 0 else 0.0
    return Progress(last["step"], began["steps"], last.get("loss"), speed, last.get("time", 0.0))


def _attempts(log: Path) -> list[bytes]:
    """Return the lines of each attempt at the last training."""
    try:
        content = log.read_bytes()
    except OSError:
        return []
    begins = list(_BEGINNING.finditer(content))
    first = max((index for index, begin in enumerate(begins) if begin[1] == b"started"), default=0)
    borders = [*(content.rfind(b"\n", 0, begin.start()) + 1 for begin in begins[first:]), len(content)]
    return [content[start:end] for start, end in itertools.pairwise(borders)]


def _forwards(part: bytes) -> Iterator[dict]:
    start = 0
    while start < len(part):
        end = part.find(b"\n", start)
        end = len(part) if end < 0 else end
        yield _entry(part[start:end])
        start = end + 1


def _backwards(part: bytes) -> Iterator[dict]:
    end = len(part)
    while end > 0:
        start = part.rfind(b"\n", 0, end) + 1
        yield _entry(part[start:end])
        end = start - 1


def _time(entries: Iterable[dict]) -> float | None:
    return next((float(each["time"]) for each in entries if isinstance(each.get("time"), int | float)), None)


def _is_step(entry: dict) -> bool:
    return isinstance(entry.get("step"), int) and isinstance(entry.get("time"), int | float) and "event" not in entry


def _entry(line: bytes) -> dict:
    """Return one line of the log; empty for the half line of an attempt that was killed while it wrote."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
