"""A page as Markdown."""

import os
import re
from collections.abc import Iterable
from functools import singledispatch
from pathlib import Path

from vlmfrontier.report.blocks import Answer, Block, Caution, Heading, Items, Lines, More, Picture, Table, Text

_NUMBER = re.compile(r"[+−-]?\d*\.?\d+(e[+-]?\d+)?[kMGBTPE%]?")


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
def _(block: Answer, folder: Path) -> str:
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
