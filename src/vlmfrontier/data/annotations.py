"""Annotation files as LLaVA-style sets ship them, read record by record: gigabytes in little memory.

A file is a JSON list of records or JSON Lines. What is wrong with a single record is yielded beside it and ends
nothing; a file that is no such list at all does. A source is some such files and a folder of videos.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from vlmfrontier.data.conversations import (
    Conversation,
    RecordError,
    parse_record,
)
from vlmfrontier.data.probe import locate
from vlmfrontier.data.problems import DUPLICATE_ID, NO_RECORD, NOT_UTF8, RecordProblem
from vlmfrontier.errors import UserError
from vlmfrontier.study.data import SourceConfig

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


class SourceReader:
    """The records of one source, checked one by one."""

    def __init__(self, source: SourceConfig):
        self.source = source
        self.key = source.kind
        try:
            self.root = Path(source.videos).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a link that leads back to itself
            raise UserError(f"{source.name}: {source.videos} cannot be read ({error})") from None
        self.records = 0
        if not self.root.is_dir():
            raise UserError(f"{source.name}: {source.videos} is not a folder; write where its videos are")

    def video_names(self) -> Iterator[str]:
        """Yield the video of every well-formed record as `source/name`, counting all records."""
        self.records = 0
        for raw in self._raw():
            self.records += 1
            try:
                if raw.kind is None:
                    yield self._named(parse_record(raw.content, self.key).video)
            except RecordError:
                continue

    def conversations(self) -> Iterator[tuple[str, Conversation | RecordProblem]]:
        """Yield where each record stands, with its conversation (id and video preceded by the source's name) or its
        problem."""
        seen: Counter[str] = Counter()
        hashes: set[int] = set()
        for raw in self._raw():
            if raw.kind is not None:
                yield raw.where, self._problem(raw, raw.kind, raw.detail)
                continue
            try:
                conversation = parse_record(raw.content, self.key)
            except RecordError as error:
                yield raw.where, self._problem(raw, error.kind, str(error))
                continue
            name = conversation.id
            if self.source.ids == "repeated":
                seen[name] += 1
                name = f"{name}#{seen[name]}"
            else:
                # Eight bytes an id: a set of millions of texts would be most of the memory.
                mark = int.from_bytes(hashlib.blake2b(name.encode(errors="replace"), digest_size=8).digest())
                if mark in hashes:
                    detail = f"id {name!r} comes twice; ids define the subsets (or say `ids: repeated`)"
                    yield raw.where, self._problem(raw, DUPLICATE_ID, detail)
                    continue
                hashes.add(mark)
            named = Conversation(self._named(name), self._named(conversation.video), conversation.turns)
            yield raw.where, named

    def locate(self, name: str) -> Path:
        """Return the file of the video called `source/name`. Raises `VideoError`."""
        return locate(self.root, name.split("/", 1)[1], self.source.extensions)

    def check_count(self) -> None:
        """Raise `UserError` if there are not as many records as the configuration says."""
        if self.source.count is not None and self.records != self.source.count:
            files = ", ".join(self.source.files)
            raise UserError(
                f"{self.source.name}: {files} have {self.records:,} records, not count: {self.source.count:,}; get the "
                "missing files, or correct count"
            )

    def _raw(self) -> Iterator[Raw]:
        for file in self.source.files:
            yield from read_annotations(Path(file))

    def _named(self, name: str) -> str:
        return f"{self.source.name}/{name}"

    def _problem(self, raw: Raw, kind: str, detail: str) -> RecordProblem:
        content = raw.content
        name = content.get("id")
        video = content.get(self.key)
        return RecordProblem(
            str(name) if name not in (None, "") else raw.where.rsplit("/", 1)[-1],
            self.source.name,
            raw.where,
            video if isinstance(video, str) else "",
            kind,
            detail,
        )
