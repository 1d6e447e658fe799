"""Text with a delimiter, from a spreadsheet or a script, read as cells of text.

What can mean one thing only is read: commas, semicolons or tabs, a byte order mark, blanks around names, an index
column without a name, a comma after every row, comments, line breaks inside quotes, decimal commas (`values`). The
rest, other formats among it, is refused in one line that says where and what to do.
"""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from vlmfrontier.errors import UserError
from vlmfrontier.tables.formats import foreign_format
from vlmfrontier.tables.values import with_points
from vlmfrontier.units import is_number

_LARGEST = 256 * 2**20
_SHOWN = 5  # rows named in one message; the rest is counted
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}

Record = tuple[int, list[str]]
"""The line where a row begins, and its cells without blanks around them."""


@dataclass(frozen=True)
class Delimited:
    """The cells of a file: no empty rows, no column without a name, points in all numbers."""

    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    """The line of the file where each row begins."""
    notes: list[str]
    """What was left out, or read in another way than it is written."""

    def column(self, name: str) -> list[str]:
        """Return the cells of a column."""
        place = self.header.index(" ".join(name.split()))
        return [cells[place] for cells in self.rows]


def read_delimited(path: Path | str) -> Delimited:
    """Return the cells of a file with one row of names. Raises `UserError` in one line for everything else."""
    path = Path(path)
    text = _decoded(path, _content(path))
    try:
        header, records, delimiter, comments = _split(text)
        rows, notes = with_points(header, records, by_file=delimiter != ",")
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if comments:
        notes.insert(0, f"comments: left out {_lines(comments)}, beginning with #")
    return Delimited(header, rows, [line for line, _ in records], notes)


def _content(path: Path) -> bytes:
    """Return the bytes of a file. Raises `UserError` if there is none, or if it is no plain file of a sensible size."""
    shown = str(path) if len(str(path)) <= 200 else f"{str(path)[:200]}…"
    try:
        status = os.stat(path)
        if not S_ISREG(status.st_mode):
            kind = "a folder" if path.is_dir() else "no plain file"
            raise UserError(f"{shown}: this is {kind}; name the CSV file itself")
        if status.st_size > _LARGEST:
            raise UserError(f"{shown}: {status.st_size >> 20} MB are too much for a table of results; check the path")
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{shown}: there is no such file; check the path") from None
    except (OSError, ValueError) as error:  # a path that is too long or has a NUL in it, a file that is forbidden
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{shown}: the file cannot be read ({reason}); check its path and permissions") from None


def _decoded(path: Path, content: bytes) -> str:
    """Return the text of a file in UTF-8. Raises `UserError` for other formats, named as far as they can be told."""
    if problem := foreign_format(content):
        raise UserError(f"{path}: {problem}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = content[: error.start].count(b"\n") + 1, content[error.start]
        raise UserError(
            f"{path}: line {line} has the byte 0x{byte:02x}, which is no UTF-8; save it as CSV UTF-8"
        ) from None
    if not text.strip():
        raise UserError(f"{path}: the file is empty, not a CSV with a row of names")
    return text


def _split(text: str) -> tuple[list[str], list[Record], str, list[int]]:
    """Return names, rows, the delimiter, and lines that are comments.

    Of several delimiters in the first row, the one by which all rows have its number of cells. Raises `UserError` if
    none or several do.
    """
    named = _named_delimiter(text)
    first = next((line for line in io.StringIO(text, newline=None) if line.strip() and not _is_comment(line)), text)
    likely = [named] if named else [each for each in _DELIMITERS if each in first]
    likely = likely or [max(_DELIMITERS, key=text.count)]
    found, problems = {}, {}
    for delimiter in likely:
        try:
            found[delimiter] = _shaped(text, delimiter, skip=1 if named else 0)
        except UserError as error:
            problems[delimiter] = error
    if not found:
        raise problems[max(likely, key=first.count)]
    if len(found) > 1:
        names = " and ".join(_DELIMITERS[each] for each in found)
        raise UserError(f"both {names} could separate the cells; put cells that contain one of them in quotes")
    ((delimiter, (header, records, comments)),) = found.items()
    return header, records, delimiter, comments


def _named_delimiter(text: str) -> str | None:
    """Return the delimiter of a first line `sep=;`, which some spreadsheets write."""
    head = text.partition("\n")[0].rstrip("\r").strip('"')
    return head[4:] if head[:4].lower() == "sep=" and head[4:] in _DELIMITERS else None


def _is_comment(line: str) -> bool:
    """Return whether a line begins with #, and not with a cell that is just that: the name of a column of numbers."""
    line = line.lstrip("\ufeff \t")
    return line.startswith("#") and line[1:2] not in (*_DELIMITERS, "")


class _Source:
    """Lines for a csv reader, which asks for one at a time; comments, where a row would begin, are kept aside."""

    def __init__(self, text: str, skip: int, comments: bool):
        self.lines = io.StringIO(text, newline="")
        self.number, self.first, self.begins = 0, 0, True
        self.comments: list[int] = []
        self._has_comments = comments
        for _ in range(skip):
            next(self)

    def __iter__(self) -> "_Source":
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        self.number += 1
        while self.begins and self._has_comments and _is_comment(line):
            self.comments.append(self.number)
            line = next(self.lines)
            self.number += 1
        if self.begins:
            self.first, self.begins = self.number, False
        return line


def _records(source: _Source, delimiter: str) -> Iterator[Record]:
    """Yield the rows that have a cell. Raises `UserError` for a quote in the wrong place."""
    reader = csv.reader(source, delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        source.begins = True
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            if "field larger" in str(error):
                most = f"a cell of more than {csv.field_size_limit():,} letters; take it out, or close its quote"
                raise UserError(f"the row that begins in line {source.first} has {most}") from None
            hint = "write a quote inside a quoted cell twice, and close every quote"
            raise UserError(
                f"the row that begins in line {source.first} has a quote out of place ({error}); {hint}"
            ) from None
        if any(cells):
            yield source.first, cells


def _shaped(text: str, delimiter: str, skip: int) -> tuple[list[str], list[Record], list[int]]:
    """Return names, rows of as many cells, and comments. Raises `UserError` if the rows do not fit the names."""
    source = _Source(text, skip, comments=True)
    records = list(_records(source, delimiter))
    if len(records) == 1:  # what begins with # in every row is a cell
        source = _Source(text, skip, comments=False)
        records = [each for each in _records(source, delimiter) if each[0] >= records[0][0]]
    if not records:
        raise UserError("the file has only comments; take the # off the row of names")
    (line, header), rows = records[0], records[1:]
    if not rows:
        raise UserError("the file has no rows below its names")
    above = [at for at in source.comments if at < line]
    count = sum(map(is_number, header))
    if count and (above or count == sum(map(bool, header))):
        hint = f"take the # off line {above[-1]} if they stand there" if above else "add a line of names"
        raise UserError(f"line {line} has numbers where the names of the columns should be; {hint}")
    header, rows = _without_empty_end(header, rows)
    _refuse_ragged(line, header, rows, delimiter)
    header, rows = _without_index(header, rows)
    _refuse_names(line, header, rows)
    return [" ".join(name.split()) for name in header], rows, source.comments


def _without_empty_end(header: list[str], rows: Sequence[Record]) -> tuple[list[str], list[Record]]:
    """Return names and rows without the empty cells that all of them end with."""
    width = max(map(_filled, [header, *(cells for _, cells in rows)]))
    named = _filled(header)
    if width > named:
        return header, list(rows)
    return header[:named], [(line, cells[: max(named, _filled(cells))]) for line, cells in rows]


def _filled(cells: Sequence[str]) -> int:
    """Return how many cells there are up to the last that is not empty."""
    return max((k + 1 for k, cell in enumerate(cells) if cell), default=0)


def _refuse_ragged(line: int, header: list[str], rows: Sequence[Record], delimiter: str) -> None:
    """Raise `UserError` for rows with more or fewer cells than there are names."""
    wrong = [(at, len(cells)) for at, cells in rows if len(cells) != len(header)]
    if not wrong:
        return
    listed = "; ".join(f"line {at} has {count} cells" for at, count in wrong[:_SHOWN])
    more = f" (and {len(wrong) - _SHOWN} more)" if len(wrong) > _SHOWN else ""
    hint = f"quote cells that contain a {_DELIMITERS[delimiter]}, and fill or take out what is too few or too many"
    if len(header) == 1:
        hint = "begin lines above the names of the columns with #, or take them out"
    elif len(wrong) == len(rows) and len({count for _, count in wrong}) == 1:
        hint = "name every column, also a first one without a name"
    raise UserError(f"{listed}{more}, and the names in line {line} are {len(header)}; {hint}")


def _without_index(header: list[str], rows: Sequence[Record]) -> tuple[list[str], list[Record]]:
    """Return names and rows without a first column that has no name: row numbers, which pandas and R write."""
    if len(header) > 1 and not header[0]:
        return header[1:], [(line, cells[1:]) for line, cells in rows]
    return header, list(rows)


def _refuse_names(line: int, header: list[str], rows: Sequence[Record]) -> None:
    """Raise `UserError` for a column without a name, two of one name, or a single column."""
    names = [" ".join(name.split()) for name in header]
    if len(names) < 2:
        raise UserError(f"the file has one column, {names[0]!r}; separate columns with commas, semicolons or tabs")
    for k, name in enumerate(names):
        if not name:
            at, cell = next(((at, cells[k]) for at, cells in rows if cells[k]), (line, ""))
            raise UserError(
                f"column {k + 1} has no name in line {line}, and {cell!r} in line {at}; name it, or take it out"
            )
        if name in names[:k]:
            places = f"columns {names.index(name) + 1} and {k + 1}"
            raise UserError(f"{places} are both called {name!r} in line {line}; rename one, or take it out")


def _lines(numbers: Sequence[int]) -> str:
    more = f" (and {len(numbers) - _SHOWN} more)" if len(numbers) > _SHOWN else ""
    return f"line{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:_SHOWN]))}{more}"
