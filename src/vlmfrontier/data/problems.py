"""What can be wrong with an example, by kind: so that problems are named, counted and never mended in silence."""

import time
from pathlib import Path
from typing import NamedTuple

from vlmfrontier.errors import UserError
from vlmfrontier.files import append_line, read_lines

# Of annotations.
NOT_UTF8 = "not UTF-8"
NO_RECORD = "not a record"
MISSING_KEY = "missing key"
WRONG_TYPE = "wrong type"
UNKNOWN_ROLE = "unknown role"
TURNS = "turns do not alternate"
EMPTY_ANSWER = "empty answer"
DUPLICATE_ID = "duplicate id"
# Of files.
OUTSIDE = "path outside the folder"
MISSING_FILE = "missing file"
NO_VIDEO = "no video stream"
NO_FRAME = "no frame"
TRUNCATED = "truncated"
UNREADABLE = "unreadable"
ANIMATED = "animated picture"
TIMEOUT = "timeout"
CRASHED = "decoder crashed"

OF_MACHINE = (TIMEOUT, CRASHED)
"""Kinds that another machine, or the same one with less to do, may not have."""


class VideoError(UserError):
    """A video that gives no frames, or not all: `kind` is one of the kinds above, the message names the file."""

    def __init__(self, kind: str, path: object, detail: str):
        super().__init__(f"{path}: {detail}")
        self.kind, self.detail = kind, detail


class Deadline:
    """When to give up on a video: checked between packets and frames."""

    def __init__(self, path: object, seconds: float | None):
        self.path, self.seconds = path, seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def check(self) -> None:
        """Raise `VideoError` if the time is over."""
        if self._end is not None and time.monotonic() > self._end:
            raise timed_out(self.path, self.seconds)


def timed_out(path: object, seconds: float | None) -> VideoError:
    """Return the problem of a video that takes longer than `seconds`."""
    return VideoError(TIMEOUT, path, f"not decoded within {seconds:g} s; re-encode it or allow more time")


class RecordProblem(NamedTuple):
    """One example that cannot be used."""

    id: str
    """Id of the record as it is written; its place in the file if it has none."""
    source: str
    file: str
    """The annotations, and where in them the record stands."""
    video: str
    kind: str
    detail: str


class TooManyFailures(UserError):  # noqa: N818  (what happened, not what kind of thing it is)
    """More examples failed than the configuration allows."""

    def __init__(self, message: str):
        # A DataLoader raises it again with the traceback of its worker as the message; the reason stands at the end.
        super().__init__(message.rsplit(f"{type(self).__name__}: ", 1)[-1].strip())


class Failures:
    """The failures of one run in a file that all its processes append to, a line each; also over several attempts.

    `allowed` is how many examples may fail.
    """

    def __init__(self, path: Path, allowed: int):
        self.path, self.allowed = path, allowed

    def add(self, example: str, error: VideoError) -> None:
        """Note that `example` failed. Raises `TooManyFailures` if that is one too many."""
        append_line(self.path, {"id": example, "kind": error.kind, "message": str(error)})
        failed = self.count()
        if failed > self.allowed:
            raise TooManyFailures(
                f"{failed} examples could not be decoded, {self.allowed} may (data.llava.failures); the last: {error}. "
                f"{self.path} names all; repair the videos and prepare the data again, or allow more"
            )

    def count(self) -> int:
        """Return how many different examples failed."""
        return len({failure["id"] for failure in read_lines(self.path)})

    def clear(self) -> None:
        """Forget all: a training begins anew."""
        self.path.unlink(missing_ok=True)
