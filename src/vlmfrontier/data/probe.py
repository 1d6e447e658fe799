"""Look into every video of a data set, side by side; what was seen is kept, so that no video is looked into twice."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from vlmfrontier.data.decoder import DecoderProcess, decode_all
from vlmfrontier.data.images import IMAGE_SUFFIXES
from vlmfrontier.data.problems import ANIMATED, MISSING_FILE, OF_MACHINE, OUTSIDE, UNREADABLE, VideoError
from vlmfrontier.data.video import READING
from vlmfrontier.progress import Count

JOURNAL = "probes.jsonl"
AHEAD = 64
"""Videos handed out per process: results are written in order, and one video that hangs must not hold up the others."""

IMAGES = IMAGE_SUFFIXES | {".gif", ".apng"}

Say = Callable[[str], None]


def locate(root: Path, name: str, extensions: Iterable[str] = ()) -> Path:
    """Return the file called `name` inside `root`, a resolved folder, with one of `extensions` if it has none itself.

    Raises `VideoError` if it is outside of the folder (also through a link), missing, or neither a file nor a folder of
    images.
    """
    try:
        found = next((p for p in (root / name, *(root / f"{name}{e}" for e in extensions)) if p.exists()), root / name)
        path = found.resolve()
        outside = Path(name).is_absolute() or not path.is_relative_to(root)
        if outside:
            raise VideoError(OUTSIDE, name, f"is not inside {root}; name the folder that holds all videos")
        if not path.exists():
            raise VideoError(MISSING_FILE, name, f"no such file in {root}")
        if not (path.is_file() or path.is_dir()):
            raise VideoError(UNREADABLE, name, "is neither a regular file nor a folder of images")
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links that lead back to themselves
        raise VideoError(UNREADABLE, name, f"cannot be read ({error})") from None
    return path


class Probes:
    """What is known of the videos of a split, by name: kept in `probes.jsonl` as it is found, facts or a problem."""

    def __init__(self, folder: Path, checked_frames: int, timeout: float, stills: Iterable[str] = ()):
        """`stills` are the sources whose images must not be animated."""
        self.path, self.stills = folder / JOURNAL, frozenset(stills)
        self.checked_frames, self.timeout = checked_frames, timeout
        # Where the line about each video begins, and the problem where there is one: little memory for a million.
        self._line: dict[str, int] = {}
        self._problem: dict[str, tuple[str, str]] = {}

    def look(self, videos: Iterable[tuple[str, Callable[[], Path]]], total: int, processes: int, say: Say) -> None:
        """Look into `videos` (name, a call that locates it), but for those that are known and unchanged.

        `say` is told of the progress. What was seen counts from the moment it was written, also if this is stopped.
        """
        known = self._read_known()
        found: Counter[str] = Counter()
        progress = Count("look into", total, "videos", say=say, note=lambda: _found(found))
        with self.path.open("ab") as journal:
            for name, entry in decode_all(partial(self._look_into, known), videos, processes, AHEAD * processes):
                if isinstance(entry, int):  # unchanged since its line was written
                    self._line[name] = entry
                else:
                    self._write(journal, name, entry)
                found.update(["known"] if isinstance(entry, int) else ["new", "problem"][: 1 + ("problem" in entry)])
                progress.add()
        progress.done()

    def problem(self, name: str) -> tuple[str, str] | None:
        """Return kind and detail of what is wrong with a video that was looked into; None if nothing is."""
        return self._problem.get(name)

    def facts(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the name and the facts of every video without a problem, in the order of `look`."""
        with self.path.open("rb") as journal:
            for name, line in self._line.items():
                if name not in self._problem:
                    journal.seek(line)
                    yield name, json.loads(journal.readline())["facts"]

    def _read_known(self) -> dict[str, tuple]:
        """Return (size, time, where its line begins) of the videos that were looked into as this time."""
        known: dict[str, tuple] = {}
        if not self.path.exists():
            return known
        with self.path.open("rb+") as journal:
            begin = 0
            for line in journal:
                if not line.endswith(b"\n"):
                    journal.truncate(begin)  # a line that was being written when the preparation was killed
                    break
                self._remember(line, begin, known)
                begin += len(line)
        return known

    def _remember(self, line: bytes, begin: int, known: dict[str, tuple]) -> None:
        """Take what a line of the journal says, unless it was found in another way or is damaged."""
        try:
            entry = json.loads(line)
            name, mark = entry["video"], (entry["size"], entry["time"], begin)
            found = entry["reading"], entry["checked_frames"], entry["still"]
            problem = tuple(entry["problem"]) if "problem" in entry else None
            kind, _ = problem or (None, entry["facts"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        if found == (READING, self.checked_frames, self._is_still(name)) and kind not in OF_MACHINE:
            known[name] = mark
            if problem is None:
                self._problem.pop(name, None)
            else:
                self._problem[name] = problem

    def _is_still(self, name: str) -> bool:
        return name.split("/", 1)[0] in self.stills

    def _look_into(
        self, known: dict[str, tuple], decoder: DecoderProcess, video: tuple[str, Callable[[], Path]]
    ) -> tuple[str, int | dict]:
        """Return the name of a video with its line in the journal, or with what is to be written there."""
        name, find = video
        before = known.get(name)
        still = self._is_still(name)
        how = {"reading": READING, "checked_frames": self.checked_frames, "still": still}
        entry: dict[str, Any] = {"video": name, **how, "size": 0, "time": 0}
        try:
            path = find()
            status = path.stat()
            entry |= {"size": status.st_size, "time": status.st_mtime_ns}
            if before is not None and before[:2] == (status.st_size, status.st_mtime_ns):
                return name, before[2]
            facts = decoder.facts(path, self.checked_frames, self.timeout)
            if still and facts.frames > 1 and path.suffix.lower() in IMAGES:
                detail = f"has {facts.frames} frames, and images (kind: image) have one; convert or remove it"
                raise VideoError(ANIMATED, path, detail)
            return name, entry | {"facts": asdict(facts)}
        except VideoError as error:
            return name, entry | {"problem": [error.kind, error.detail]}

    def _write(self, journal: BinaryIO, name: str, entry: dict) -> None:
        self._line[name] = journal.tell()
        if "problem" in entry:
            self._problem[name] = tuple(entry["problem"])
        else:
            self._problem.pop(name, None)
        journal.write(json.dumps(entry).encode() + b"\n")
        journal.flush()


def _found(found: Counter[str]) -> str:
    """Return in words what was found of the videos so far."""
    problems = f" ({found['problem']:,} with problems)" if found["problem"] else ""
    return f": {found['new']:,} looked into{problems}, {found['known']:,} known"
