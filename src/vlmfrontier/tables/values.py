"""What stands in cells and expressions: numbers as people write them, texts and truths, with empty cells as unknown.

Truths are kept as 1, 0 and NaN for unknown: what is compared with an empty cell is neither true nor false, and a row
that a condition leaves open is reported instead of being put on one side.
"""

import math
import operator
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from vlmfrontier.errors import UserError
from vlmfrontier.units import is_number, parse_number

_NO_VALUE = "NA N/A n/a na #N/A <NA> nan NaN NAN null NULL Null None none - -- – —"
MISSING = frozenset(["", *_NO_VALUE.split()])
"""Cells that say that there is no value."""

_END = r"(?:[eE][+-]?[0-9]+)?\s*[kKMGBTPEZY]?$"
_DECIMAL_COMMA = re.compile(r"^[+-]?(?:[0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+),[0-9]+" + _END)
_THOUSANDS_COMMA = re.compile(r"^[+-]?[1-9][0-9]{0,2}(?:(?:,[0-9]{3}){2,}(?:\.[0-9]+)?|,[0-9]{3}\.[0-9]+)" + _END)
_EITHER_COMMA = re.compile(r"^[+-]?[1-9][0-9]{0,2},[0-9]{3}\s*[kKMGBTPEZY]?$")
_EITHER_POINT = re.compile(r"^[+-]?[1-9][0-9]{0,2}\.[0-9]{3}\s*[kKMGBTPEZY]?$")
_POINT = re.compile(r"^[+-]?[0-9]*\.[0-9]*" + _END)

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_HINTS = (
    (r"#(?:div/0!|ref!|value!|name\?|num!|null!)", "a spreadsheet's error: correct its formula, or empty the cell"),
    (r"#{3,}", "the spreadsheet's column was too narrow: widen it and save again"),
    (
        rf"\d+[-./ ]{_MONTH}.*|{_MONTH}[-./ ]\d+.*",
        "a date, which spreadsheets make of entries such as 1-8: type it in again, in a column of text",
    ),
    (r"\d{1,4}[-/]\d{1,2}(?:[-/]\d{1,4}.*)?", "a date or a fraction: write the number"),
    (
        r"\d{1,2}\.\d{1,2}\.(?:\d{2,4})?",
        "a date, which spreadsheets make of entries such as 1.8: type it in again, in a column of text",
    ),
    (r"[+-]?[\d.,]+\s*[%‰]", "write it without the sign, as 45 for 45%"),
    (r"[+-]?\d{1,3},\d{3}\s*[kmgbtpe]?", "with or without decimals? Write 1.234 or 1234 in every row"),
    (r"[+-]?\d+(?:[_'’   ]\d+)+(?:[.,]\d+)?", "write it without separators"),
    (r"[+-]?\d+,\d+.*", "write a point for a comma"),
    (r"[+-]?(?:inf|infinity|∞)", "only finite numbers can be fitted"),
    (r"0[xob][0-9a-f]+", "write it in decimal digits"),
    (r"[−–]\s*[\d.]+.*", "write the minus sign as -"),
    (r"[~<>≤≥≈±$€£]\s*[\d.]+.*", "write the number alone"),
    (r"[\d.]+\s*(?:±|\+/-|\().*", "write the number alone, and a standard error in a column of its own"),
    (r"[\d.]+\s*[a-z/²³µ].*", "write the number alone, or with k, M, B or T: 7B, 1.5M"),
)


def problem_of(cell: str) -> str:
    """Return why a cell is no finite number and what to do, empty if it is one."""
    if cell in MISSING:
        return f"has {cell!r}, which says that there is no value" if cell else "is empty"
    if is_number(cell):
        return "" if math.isfinite(parse_number(cell)) else f"has {shown(cell)}, which is too large for a number"
    if any(digit.isdecimal() and not digit.isascii() for digit in cell):
        hint = "write the digits 0 to 9"
    else:
        hint = next((hint for form, hint in _HINTS if re.fullmatch(form, cell, re.IGNORECASE)), "")
    return f"has {shown(cell)}, which is not a number{f' ({hint})' if hint else ''}"


def shown(cell: str) -> str:
    """Return a cell in quotes, shortened if it is long."""
    return repr(cell if len(cell) <= 40 else f"{cell[:35]}…")


def with_points(
    header: Sequence[str], records: Sequence[tuple[int, list[str]]], by_file: bool
) -> tuple[list[list[str]], list[str]]:
    """Return the rows with points in their numbers, and a note for every column in which commas stood for something.

    A comma is read if it can mean one thing only, in its cell or by the others: of the whole file (`by_file`, where
    commas separate no cells), else of the column. `1,234` among nothing else stays as it is, and is no number. Raises
    `UserError` for `1.234` among decimal commas.
    """
    rows = [list(cells) for _, cells in records]
    columns = {k: [cells[k] for cells in rows] for k in range(len(header))}
    columns = {k: cells for k, cells in columns.items() if _mostly_numbers(cells)}
    everything = [cell for cells in columns.values() for cell in cells]
    notes = []
    for k, cells in columns.items():
        evidence = everything if by_file else cells
        decimal = any(_DECIMAL_COMMA.match(cell) and not _EITHER_COMMA.match(cell) for cell in evidence)
        thousands = any(_THOUSANDS_COMMA.match(cell) for cell in evidence)
        points = any(_POINT.match(cell) and not _EITHER_POINT.match(cell) for cell in evidence)
        if decimal and not points:
            _refuse_points(header[k], records, k)
        read = [_with_point(cell, decimal, thousands) for cell in cells]
        changed = next((pair for pair in zip(cells, read, strict=True) if pair[0] != pair[1]), None)
        if changed:
            notes.append(
                f"commas: column {header[k]!r} has numbers with commas; {changed[0]!r} is read as {changed[1]}"
            )
            for row, cell in zip(rows, read, strict=True):
                row[k] = cell
    return rows, notes


def _with_point(cell: str, decimal: bool, thousands: bool) -> str:
    """Return the cell as Python writes numbers, if its comma is understood, alone or by what others show."""
    if _THOUSANDS_COMMA.match(cell) or (_EITHER_COMMA.match(cell) and thousands and not decimal):
        return cell.replace(",", "")
    if _DECIMAL_COMMA.match(cell) and (not _EITHER_COMMA.match(cell) or (decimal and not thousands)):
        return cell.replace(".", "").replace(",", ".")
    return cell


def _mostly_numbers(cells: Sequence[str]) -> bool:
    """Return whether more than half of the cells that are not empty are numbers, however their commas are read."""
    filled = [cell for cell in cells if cell not in MISSING]
    return 2 * sum(map(_may_be_number, filled)) > len(filled)


def _may_be_number(cell: str) -> bool:
    return bool(is_number(cell) or _DECIMAL_COMMA.match(cell) or _THOUSANDS_COMMA.match(cell))


def _refuse_points(name: str, records: Sequence[tuple[int, list[str]]], k: int) -> None:
    """Raise `UserError` for a number with a point before three digits, in a file whose decimals have commas."""
    found: Iterator[tuple[int, str]] = ((line, cells[k]) for line, cells in records if _EITHER_POINT.match(cells[k]))
    for line, cell in found:
        raise UserError(
            f"line {line}, column {name!r} has {cell!r} in a file with decimal commas, which may be "
            f"{cell.replace('.', '')} or {cell.replace('.', ',')}; write it without the point, or with a comma"
        )


Kind = Literal["number", "text", "truth"]

_TRUTHS = {"true": 1.0, "false": 0.0}
_ORDER = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Column:
    """A column of a file, typed by all its cells: numbers or truths with NaN for empty cells, or text as it stands."""

    kind: Kind
    data: np.ndarray
    cells: np.ndarray
    """(m,) what is written in the file."""
    rows: list[str] = field(default_factory=list)
    """What messages call the rows: `line 7`."""

    @classmethod
    def of_cells(cls, cells: Sequence[str], rows: list[str]) -> "Column":
        """Return the column that holds `cells`: numbers or truths if all that are not empty are such, else text."""
        array = np.asarray(cells, str)
        words = [cell.lower() for cell in cells if cell not in MISSING]
        if words and all(word in _TRUTHS for word in words):
            data = [_TRUTHS.get(cell.lower(), np.nan) for cell in cells]
            return cls("truth", np.array(data), array, rows)
        if words and all(is_number(cell) for cell in cells if cell not in MISSING):
            data = [np.nan if cell in MISSING else parse_number(cell) for cell in cells]
            return cls("number", np.array(data), array, rows)
        return cls("text", array, array, rows)

    @property
    def missing(self) -> np.ndarray:
        """(m,) which cells are empty or say that there is no value."""
        return np.isin(self.cells, list(MISSING))


@dataclass(frozen=True)
class Value:
    """A part of an expression, computed."""

    kind: Kind
    data: np.ndarray
    name: str = ""
    """The column's name, if it is one."""
    column: Column | None = None

    @classmethod
    def of_column(cls, name: str, values: ArrayLike | Column) -> "Value":
        """Return a column of a file, or an array of numbers, truths or texts."""
        if isinstance(values, Column):
            return cls(values.kind, values.data, name, values)
        array = np.asarray(values)
        if array.dtype.kind == "b":
            return cls("truth", array.astype(float), name)
        if array.dtype.kind in "iuf":
            return cls("number", array.astype(float), name)
        return cls("text", array.astype(str), name)

    @classmethod
    def of_constant(cls, value: bool | float | str) -> "Value":
        """Return what is written in the expression."""
        if isinstance(value, str):
            return cls("text", np.asarray(value))
        return cls("truth" if isinstance(value, bool) else "number", np.asarray(float(value)))

    @property
    def constant_text(self) -> str | None:
        """The text that is written in the expression, None for anything else."""
        return str(self.data) if self.kind == "text" and not self.name else None

    def __str__(self) -> str:
        if self.name:
            return f"column {self.name!r}"
        return repr(self.data.tolist()) if self.data.ndim == 0 else "a result"


def as_number(value: Value) -> np.ndarray:
    """Return numbers; truths count 1 and 0. Raises `ValueError` for text."""
    if value.kind == "text":
        raise ValueError(f"{_text_in(value)}, and a number is needed")
    return value.data


def as_truth(value: Value) -> Value:
    """Return a truth; numbers are one if they are 0 and 1 only. Raises `ValueError` for anything else."""
    if value.kind == "truth":
        return value
    if value.kind == "number" and value.name and np.isin(value.data[~np.isnan(value.data)], (0.0, 1.0)).all():
        return Value("truth", value.data)
    what = "text" if value.kind == "text" else "numbers"
    raise ValueError(f"{value} holds {what}, and `and`, `or` and `not` join conditions; compare it with something")


def both(one: Value, other: Value) -> Value:
    """Return whether both hold; false if one does not, even where the other is unknown."""
    a, b = one.data, other.data
    return Value("truth", np.where((a == 0) | (b == 0), 0.0, a * b))


def either(one: Value, other: Value) -> Value:
    """Return whether one of two holds; true if one does, even where the other is unknown."""
    a, b = one.data, other.data
    return Value("truth", np.where((a == 1) | (b == 1), 1.0, a + b))


def opposite(value: Value) -> Value:
    """Return whether it does not hold."""
    return Value("truth", 1.0 - value.data)


def is_in(value: Value, items: Sequence[Value]) -> Value:
    """Return whether `value` equals one of `items`."""
    found = Value("truth", np.zeros(np.shape(value.data)))
    for item in items:
        found = either(found, compare("==", value, item))
    return found


def compare(sign: str, left: Value, right: Value) -> Value:
    """Return the comparison of two values of one kind; unknown where one is empty.

    A column of numbers or truths may be compared with the words for an empty cell, `acc == ''`, and one of truths with
    'True' and 'no truth' alike. Raises `ValueError` if the kinds do not fit, naming the cell that is in the way.
    """
    for one, other in ((left, right), (right, left)):
        word = one.constant_text
        if word is not None and other.column is not None and other.kind != "text":
            if word in MISSING and sign in ("==", "!="):
                return Value("truth", _ORDER[sign](other.column.cells == word, True).astype(float))
            if other.kind == "truth" and word.lower() in _TRUTHS:
                return compare(sign, other, Value("truth", np.asarray(_TRUTHS[word.lower()])))
    if "text" in (left.kind, right.kind):
        if left.kind != right.kind:
            raise ValueError(_mixed(left, right))
        return Value("truth", np.asarray(_ORDER[sign](left.data, right.data), float))
    _refuse_truth_of_numbers(left, right)
    unknown = np.isnan(left.data) | np.isnan(right.data)
    return Value("truth", np.where(unknown, np.nan, _ORDER[sign](left.data, right.data)))


def _refuse_truth_of_numbers(left: Value, right: Value) -> None:
    """Raise `ValueError` for numbers other than 0 and 1 that are compared with True or False."""
    for one, other in ((left, right), (right, left)):
        if one.kind == "truth" and other.kind == "number":
            strange = other.data[~np.isnan(other.data) & ~np.isin(other.data, (0.0, 1.0))]
            if strange.size:
                raise ValueError(f"{other} has numbers such as {strange.flat[0]:g}, which are not True or False")


def _mixed(left: Value, right: Value) -> str:
    """Return why text is not compared with numbers or truths, with the cell that makes a column text."""
    text, other = (left, right) if left.kind == "text" else (right, left)
    kind = "numbers" if other.kind == "number" else "True and False"
    if not text.name:
        word = text.constant_text
        return f"{other} holds {kind} and {word!r} is text; take off the quotes, or compare with what its cells hold"
    return f"{_text_in(text)}, and it is compared with {kind}; write text in quotes, or correct the cell"


def _text_in(value: Value) -> str:
    """Return `column 'T' has text, for example 'fps2' in line 6`: the first cell that is not a number."""
    if value.column is None:
        return f"{value} is text" if not value.name else f"{value} has text, for example {str(value.data.flat[0])!r}"
    cells = value.column.cells
    place = next((i for i, cell in enumerate(cells) if cell not in MISSING and not is_number(cell)), 0)
    where = f" in {value.column.rows[place]}" if value.column.rows else ""
    return f"{value} has text, for example {str(cells[place])!r}{where}"
