"""Progress of long work: a bar on a terminal, a line per step in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

T = TypeVar("T")
WIDTH = 24
"""Characters of a bar."""


class Progress:
    """Says which of `total` steps is under way: call it with the step's name as the step begins; `done` at the end."""

    def __init__(self, name: str, total: int, stream: TextIO | None = None):
        self.name, self.total, self.stream = name, total, stream or sys.stdout
        self.begun, self.started, self._length = 0, time.monotonic(), 0

    def __call__(self, step: str) -> None:
        """Say that the next step begins."""
        self.begun += 1
        if self.stream.isatty():
            filled = WIDTH * (self.begun - 1) // max(self.total, 1)
            self._write(f"{self.name} [{'█' * filled}{'·' * (WIDTH - filled)}] {self.begun}/{self.total} {step}")
        else:
            seconds = time.monotonic() - self.started
            print(f"{self.name}  {self.begun}/{self.total}  {step}  {seconds:.0f} s", file=self.stream, flush=True)

    def done(self) -> None:
        """Take the bar away; in a log there is none."""
        if self.stream.isatty():
            self._write("")
            print("\r", end="", file=self.stream, flush=True)

    def _write(self, text: str) -> None:
        print(f"\r{text}{' ' * (self._length - len(text))}", end="", file=self.stream, flush=True)
        self._length = len(text)


class Silent(Progress):
    """Says nothing: for work that is called from other work."""

    def __init__(self) -> None:
        super().__init__("", 0)

    def __call__(self, step: str) -> None:
        """Say nothing."""

    def done(self) -> None:
        """Say nothing."""


def steps(name: str, items: Iterable[T], stream: TextIO | None = None) -> Iterator[T]:
    """Yield the items, each a step called by its name."""
    known = list(items)
    progress = Progress(name, len(known), stream)
    for item in known:
        progress(str(item))
        yield item
    progress.done()
