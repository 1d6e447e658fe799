"""What a page is made of, before it is Markdown or HTML.

Text may hold `code`, **strong** and [links](address).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
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
class Answer:
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


Block = Heading | Text | Answer | Caution | Items | Lines | Table | Picture | More


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "") -> Table:
    """Return a table of anything that can be written."""
    return Table(tuple(heads), tuple(tuple(str(cell) for cell in row) for row in rows), caption)
