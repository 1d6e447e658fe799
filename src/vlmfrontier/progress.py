"""Progress of long work: a bar on a terminal, in a log a line per step, or per some seconds where steps are many."""

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TextIO, TypeVar

T = TypeVar("T")
WIDTH = 24
"""Characters of a bar."""
EVERY = 10.0
"""Seconds between the lines that a log gets of a count."""


class Bar:
    """A line on a terminal that is written over until it is taken away; nothing on any other stream."""

    def __init__(self, stream: TextIO):
        self.stream, self._length = stream, 0

    def show(self, name: str, completed: int, total: int, text: str) -> None:
        filled = WIDTH * completed // max(total, 1)
        self._write(f"{name} [{'█' * filled}{'·' * (WIDTH - filled)}] {text}")

    def clear(self) -> None:
        if self.stream.isatty():
            self._write("")
            print("\r", end="", file=self.stream, flush=True)

    def _write(self, text: str) -> None:
        text = text[: shutil.get_terminal_size().columns - 1]  # a line that wraps could not be written over
        print(f"\r{text}{' ' * (self._length - len(text))}", end="", file=self.stream, flush=True)
        self._length = len(text)


class Progress:
    """Says which of `total` steps is under way: call it with the step's name as the step begins; `done` at the end."""

    def __init__(self, name: str, total: int, stream: TextIO | None = None):
        self.name, self.total, self.stream = name, total, stream or sys.stdout
        self.begun, self.started, self._bar = 0, time.monotonic(), Bar(self.stream)

    def __call__(self, step: str) -> None:
        """Say that the next step begins."""
        self.begun += 1
        if self.stream.isatty():
            self._bar.show(self.name, self.begun - 1, self.total, f"{self.begun}/{self.total} {step}")
        else:
            seconds = time.monotonic() - self.started
            print(f"{self.name}  {self.begun}/{self.total}  {step}  {seconds:.0f} s", file=self.stream, flush=True)

    def done(self) -> None:
        """Take the bar away; in a log there is none."""
        self._bar.clear()


class Silent(Progress):
    """Says nothing: for work that is called from other work."""

    def __init__(self) -> None:
        super().__init__("", 0)

    def __call__(self, step: str) -> None:
        """Say nothing."""

    def done(self) -> None:
        """Say nothing."""


class Count:
    """Says how many of `total` are completed and how long the others will take; a log is told so every `EVERY` seconds.

    `unit` is what is counted, in the plural; lines end with the `note` of their moment and go to `say` if it is given.
    Call `add` when some are completed, `done` at the end.
    """

    def __init__(
        self,
        name: str,
        total: int,
        unit: str,
        stream: TextIO | None = None,
        say: Callable[[str], None] | None = None,
        note: Callable[[], str] = str,
    ):
        self.name, self.total, self.unit, self.stream = name, total, unit, stream or sys.stdout
        self._say, self._note = say or partial(print, file=self.stream, flush=True), note
        self.completed, self._bar = 0, Bar(self.stream)
        self.started = self.said = time.monotonic()

    def add(self, number: int = 1) -> None:
        """Count `number` more."""
        self.completed += number
        now = time.monotonic()
        if self.stream.isatty():
            self._bar.show(self.name, self.completed, self.total, self._far(now))
        elif now - self.said >= EVERY and self.completed < self.total:
            self.said = now
            self._print(now)

    def done(self) -> None:
        """Take the bar away and say what has been counted."""
        self._bar.clear()
        self._print(time.monotonic())

    def _print(self, now: float) -> None:
        self._say(f"{self.name}  {self._far(now)}{self._note()}")

    def _far(self, now: float) -> str:
        seconds = now - self.started
        ahead = max(self.total - self.completed, 0)
        left = f", about {seconds / self.completed * ahead:.0f} s left" if self.completed and ahead else ""
        return f"{self.completed}/{self.total} {self.unit}  {seconds:.0f} s{left}"


def steps(name: str, items: Iterable[T], stream: TextIO | None = None) -> Iterator[T]:
    """Yield the items, each a step called by its name."""
    known = list(items)
    progress = Progress(name, len(known), stream)
    for item in known:
        progress(str(item))
        yield item
    progress.done()


def counted(name: str, items: Iterable[T], total: int, unit: str, stream: TextIO | None = None) -> Iterator[T]:
    """Yield the items, each counted once it is done with."""
    count = Count(name, total, unit, stream)
    for item in items:
        yield item
        count.add()
    count.done()
