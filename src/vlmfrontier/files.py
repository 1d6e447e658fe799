"""Files that outlive a kill: whole or not there, or lines that are only ever added; hashes of what they hold; and the
repository that this package lies in.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
"""Of a package that was installed without its repository, a folder without scripts and profiles."""
LARGE = 64 << 20
"""Weights of more bytes are hashed once, not in every call."""


def write_json(path: Path, content: object) -> None:
    """Write `content` to `path` so that a reader sees the old file or the whole new one, never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w") as file:
            json.dump(content, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_record(path: Path) -> dict[str, Any]:
    """Return a JSON object that a hint is read from; empty if the file is not there, or holds no whole object."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def append_line(path: Path, content: object) -> None:
    """Append one object as a line of JSON, which then is the operating system's: the end of this process loses none.

    A single write at the end of the file, so that lines of several threads and processes do not mix. What a kill left
    half written stays a line by itself. Makes the folder if there is none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(content, ensure_ascii=False).encode() + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, b"\n" + line if cut else line)
    finally:
        os.close(descriptor)


def read_lines(path: Path) -> Iterator[Any]:
    """Yield the objects of a file of lines in their order, none if it does not exist; half a line is none."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue


def open_to_group(folder: Path) -> None:
    """Give the files in `folder` the mode that the umask says; safetensors writes them for their owner alone."""
    new = folder / f".mode.{os.getpid()}"
    new.touch()
    mode = new.stat().st_mode & 0o666
    new.unlink()
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, however large, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_hash(folder: Path) -> str:
    """Return 16 digits of the SHA-256 of all weight files of a saved model, in the order of their names."""
    total = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        total.update(bytes.fromhex(hash_file(path)))
    return total.hexdigest()[:16]


def remembered_hash(folder: Path, memory: Path) -> str:
    """Return `weights_hash`; of large ones from the file `memory` while their sizes and times have not changed."""
    files = sorted(folder.glob("*.safetensors"))
    stats = [file.stat() for file in files]
    if sum(stat.st_size for stat in stats) < LARGE:
        return weights_hash(folder)
    key = repr([(str(file.resolve()), s.st_size, s.st_mtime_ns) for file, s in zip(files, stats, strict=True)])
    try:
        known = json.loads(memory.read_text())
        known = known if isinstance(known, dict) else {}
    except (OSError, ValueError):
        known = {}
    if not isinstance(known.get(key), str):
        known[key] = weights_hash(folder)
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_json(memory, known)
    return known[key]
