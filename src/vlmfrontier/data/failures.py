"""Examples that could not be decoded while a run trained: named, counted, and fatal when they are many."""

from pathlib import Path

from vlmfrontier.data.problems import VideoError
from vlmfrontier.errors import UserError
from vlmfrontier.files import append_line, read_lines


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
                f"{self.path} names all; mend the videos and prepare the data again, or allow more"
            )

    def count(self) -> int:
        """Return how many different examples failed."""
        return len({failure["id"] for failure in read_lines(self.path)})

    def clear(self) -> None:
        """Forget all: a training begins anew."""
        self.path.unlink(missing_ok=True)
