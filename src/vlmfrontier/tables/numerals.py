"""Numbers as people write them in cells: commas for points or for thousands, and why a cell is no number."""

import math
import re
from collections.abc import Iterator, Sequence

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
    (r"#(?:div/0!|ref!|value!|name\?|num!|null!)", "a spreadsheet's error: mend its formula, or empty the cell"),
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
