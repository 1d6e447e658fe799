"""Annotation files as LLaVA-style sets ship them, read record by record: gigabytes in little memory.

A file is a JSON list of records or JSON Lines. What is wrong with a single record is yielded beside it and ends
nothing; a file that is no such list at all does.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from vlmfrontier.data.problems import NO_RECORD, NOT_UTF8
from vlmfrontier.errors import UserError

CHUNK = 1 << 20
DIGITS = 4000
"""Digits of the longest whole number; Python refuses longer ones, and no id has as many."""
LONGEST = 1 << 26
"""Characters of the longest record; a list that gives no record in so many is not JSON."""

# Bytes that are not UTF-8 come through `surrogateescape` as these, which no valid text has.
_STRAY = re.compile("[\udc80-\udcff]")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_BETWEEN = re.compile(r"[\s,]*")


def _integer(text: str) -> int | float:
    return int(text) if len(text) <= DIGITS else float("inf")


_DECODER = json.JSONDecoder(parse_int=_integer)
_DEEP = "lists or maps within each other a thousand times or more"


class Raw(NamedTuple):
    """One record as it is written."""

    content: Any
    where: str
    """File and number of the record or line."""
    kind: str | None
    """What is wrong with its text, one of the kinds of `problems`; None if nothing is."""
    detail: str = ""


def read_annotations(path: Path) -> Iterator[Raw]:
    """Yield the records of a JSON list or of JSON Lines, in their order, holding one at a time.

    Raises `UserError` naming file and place if there is no such file or it is neither.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            begin = file.read(CHUNK)
            first = begin.lstrip()[:1]
            if first == "[":
                yield from _read_list(path, file, begin)
            elif first == "{":
                file.seek(0)
                yield from _read_lines(path, file)
            else:
                raise UserError(f"{path}: neither a JSON list nor JSON Lines, or not in UTF-8; convert it")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _read_lines(path: Path, file: TextIO) -> Iterator[Raw]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        try:
            content = _DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            reason = _DEEP if isinstance(error, RecursionError) else error
            yield Raw({}, where, NO_RECORD, f"not JSON ({reason})")
            continue
        yield _checked(content, where, line)


def _read_list(path: Path, file: TextIO, buffer: str) -> Iterator[Raw]:
    at, number, ended = buffer.index("[") + 1, 0, False
    while True:
        at = _BETWEEN.match(buffer, at).end()
        if buffer.startswith("]", at):
            _refuse_rest(path, buffer[at + 1 :] + file.read(CHUNK))
            return
        try:
            content, end = _DECODER.raw_decode(buffer, at)
        except RecursionError:
            raise UserError(f"{path} record {number + 1}: {_DEEP}; take it out") from None
        except ValueError as error:
            if ended or len(buffer) - at > LONGEST:
                raise UserError(f"{path} record {number + 1}: not JSON ({error}); is the file whole?") from None
            # Cut off by the end of what was read: read on, twice as much each time.
            more = file.read(max(CHUNK, len(buffer) - at))
            ended = not more
            buffer, at = buffer[at:] + more, 0
            continue
        number += 1
        yield _checked(content, f"{path} record {number}", buffer[at:end])
        at = end


def _refuse_rest(path: Path, rest: str) -> None:
    if rest.strip():
        shown = rest.strip()[:20].encode(errors="replace").decode()
        raise UserError(f"{path}: more follows after the end of the list ({shown!r}); make it one list, or JSON Lines")


def _checked(content: Any, where: str, text: str) -> Raw:
    if not isinstance(content, dict):
        return Raw({}, where, NO_RECORD, f"a record is a map, not {type(content).__name__}")
    if not text.isascii() and (stray := _STRAY.search(text)):
        return Raw(content, where, NOT_UTF8, f"byte 0x{ord(stray[0]) - 0xDC00:02x} is not UTF-8; convert the file")
    if _HALF.search(text) and not _encodable(content):
        return Raw(content, where, NOT_UTF8, "half of a surrogate pair (\\ud800 to \\udfff) stands alone; remove it")
    return Raw(content, where, None)


def _encodable(content: dict) -> bool:
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True
