"""Archives of videos, unpacked so that no member leaves its folder and a stop in the middle leaves nothing half."""

import gzip
import os
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from vlmfrontier.errors import UserError

_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_PIECE = re.compile(
    r"(\.tar|\.tgz|\.tar\.(gz|bz2|xz)|\.zip)[._-]?(part)?[._-]?(\d{1,3}|[a-z]{2})$|\.z\d\d$", re.IGNORECASE
)
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, LZMAError, EOFError, RuntimeError)
_CHUNK = 1 << 20


class DamagedArchiveError(UserError):
    """An archive that cannot be read to its end."""


def is_archive(name: str) -> bool:
    """Say whether a file of this name is unpacked."""
    return name.lower().endswith((*_TAR, ".zip"))


def is_piece(name: str) -> bool:
    """Say whether a file of this name is one piece of an archive that was split."""
    return not is_archive(name) and _PIECE.search(name) is not None


def unpack(archive: Path, folder: Path, scratch: Path) -> int:
    """Unpack `archive` into `folder` and return its number of files.

    Everything goes into `scratch` first, a folder of the same file system that is emptied before and removed after;
    only a whole archive is moved to its place. Raises, naming the archive, `DamagedArchiveError`, and `UserError` if a
    member would lie outside of the folder or the disk is full.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        if archive.name.lower().endswith(".zip"):
            _unzip(archive, scratch)
        else:
            _untar(archive, scratch)
        return _move_all(scratch, folder)
    except _DAMAGED as error:
        raise DamagedArchiveError(f"{archive.name}: damaged archive ({_reason(error)})") from None
    except OSError as error:
        raise UserError(f"{archive.name}: cannot be unpacked ({_reason(error)})") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _untar(archive: Path, scratch: Path) -> None:
    """Write files and folders alone, a link as a copy of its file: extraction filters came with Python 3.11.4."""
    with tarfile.open(archive) as tar:
        for member in tar:  # one pass: a compressed tar has no index to look into first
            _refuse_outside(archive, member.name)
            target = scratch / member.name
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with _content(archive, tar, member) as content, target.open("wb") as file:
                shutil.copyfileobj(content, file, _CHUNK)
        while tar.fileobj.read(_CHUNK):  # to the end, where the checksum of a compressed file is looked at
            pass


def _content(archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    """Return the bytes of a member. Raises `UserError` for what is neither a file nor a link to one in the archive."""
    try:
        content = tar.extractfile(member)
    except KeyError:
        content = None
    if content is None:
        raise UserError(f"{archive.name}: refused for its member {member.name!r}, which is no file of the archive")
    return content


def _unzip(archive: Path, scratch: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            _refuse_outside(archive, member.filename)
            file.extract(member, scratch)


def _refuse_outside(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"{archive.name}: refused for its member {name!r}, which would lie outside of the folder")


def _move_all(scratch: Path, folder: Path) -> int:
    """Move every file in `scratch` to the same place in `folder`, over one that is there; return their number."""
    count = 0
    for path in _files(scratch):
        target = folder / path.relative_to(scratch)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
        count += 1
    return count


def _files(scratch: Path) -> Iterator[Path]:
    for parent, _, files in os.walk(scratch):
        yield from (Path(parent, name) for name in files)


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
