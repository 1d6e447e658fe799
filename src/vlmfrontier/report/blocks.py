"""What a page is made of, and it as Markdown.

Text may hold `code`, **strong** and [links](address).
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the page's title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Highlight:
    """The lines that a reader should take along."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Caution:
    """Something that makes a result less sure than it looks, or that is missing."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Lines:
    """Lines to be kept as they are: formulas, commands."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table with its caption; cells that read as numbers stand to the right."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure's file with its caption."""

    path: Path
    caption: str

    @property
    def description(self) -> str:
        """The caption as plain words, for those who do not see the figure."""
        return re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", self.caption)


@dataclass(frozen=True)
class More:
    """Pictures that a reader opens if they want to."""

    title: str
    pictures: tuple[Picture, ...]


Block = Heading | Text | Highlight | Caution | Items | Lines | Table | Picture | More


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "") -> Table:
    """Return a table of anything that can be written."""
    return Table(tuple(heads), tuple(tuple(str(cell) for cell in row) for row in rows), caption)


_NUMBER = re.compile(r"[<>]?[+−-]?\d*\.?\d+(e[+-]?\d+)?[kMGBTPE%]?")


def markdown(blocks: Iterable[Block], folder: Path) -> str:
    """Return the page as Markdown; pictures are named as they are found from `folder`."""
    return "\n\n".join(_written(block, folder) for block in blocks) + "\n"


@singledispatch
def _written(block: Block, folder: Path) -> str:
    raise TypeError(f"no page has a {type(block).__name__}")


@_written.register
def _(block: Heading, folder: Path) -> str:
    return f"{'#' * block.level} {block.text}"


@_written.register
def _(block: Text, folder: Path) -> str:
    return block.text


@_written.register
def _(block: Highlight, folder: Path) -> str:
    return "\n".join(f"> {line}  " for line in block.lines)


@_written.register
def _(block: Caution, folder: Path) -> str:
    return f"> ⚠ {block.text}"


@_written.register
def _(block: Items, folder: Path) -> str:
    return "\n".join(f"- {item}" for item in block.items)


@_written.register
def _(block: Lines, folder: Path) -> str:
    return "\n".join(["```", *block.lines, "```"])


@_written.register
def _(block: Picture, folder: Path) -> str:
    return f"![{block.description}]({os.path.relpath(block.path, folder)})\n\n_{block.caption}_"


@_written.register
def _(block: More, folder: Path) -> str:
    inside = [_written(picture, folder) for picture in block.pictures]
    return "\n\n".join([f"<details><summary>{block.title}</summary>", *inside, "</details>"])


@_written.register
def _(block: Table, folder: Path) -> str:
    rule = ["---:" if right else "---" for right in right_columns(block)]
    rows = [_row(block.heads), _row(rule), *(_row([cell.replace("|", "\\|") for cell in row]) for row in block.rows)]
    # Underscores, since captions speak of x*.
    return "\n".join([*([f"_{block.caption}_", ""] if block.caption else []), *rows])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def right_columns(block: Table) -> list[bool]:
    """Return which columns hold nothing but numbers and ranges of numbers: those stand to the right."""
    columns = zip(*block.rows, strict=True) if block.rows else [() for _ in block.heads]
    return [any(column) and all(_is_number(cell) for cell in column if cell) for column in columns]


def _is_number(cell: str) -> bool:
    return all(_NUMBER.fullmatch(part) for part in re.split(r" to | → ", cell.strip("*")))
