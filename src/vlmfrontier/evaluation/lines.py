"""Files of JSON objects, one a line, that are only ever appended to: what a long job knows survives its end."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_lines(path: Path) -> Iterator[Any]:
    """Yield the objects of a file in their order, none if it does not exist; what a kill left half written is none."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue


class LineFile:
    """A file of lines, open to append; several threads may do so."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._lock = path, threading.Lock()
        self._file = path.open("ab+")
        if self._file.tell() and not self._ends_a_line():
            self._file.write(b"\n")

    def _ends_a_line(self) -> bool:
        self._file.seek(-1, os.SEEK_END)
        return self._file.read(1) == b"\n"

    def append(self, content: object) -> None:
        """Write one object and hand it to the operating system, so that the end of this process does not lose it."""
        line = json.dumps(content, ensure_ascii=False).encode() + b"\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "LineFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
