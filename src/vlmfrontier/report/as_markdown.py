"""A page as Markdown."""

import html
import os
import re
from collections.abc import Iterable
from functools import singledispatch
from pathlib import Path

from vlmfrontier.report.blocks import (
    MARKED,
    Answer,
    Block,
    Caution,
    Heading,
    Items,
    Lines,
    More,
    Picture,
    Table,
    Text,
    leads_to_a_page,
)

_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_NUMBER = re.compile(r"[+−-]?\d*\.?\d+(e[+-]?\d+)?[kMGBTPE%]?")


def markdown(blocks: Iterable[Block], folder: Path) -> str:
    """Return the page as Markdown; pictures are named as they are found from `folder`."""
    return "\n\n".join(_written(block, folder) for block in blocks) + "\n"


@singledispatch
def _written(block: Block, folder: Path) -> str:
    raise TypeError(f"no page has a {type(block).__name__}")


@_written.register
def _(block: Heading, folder: Path) -> str:
    return f"{'#' * block.level} {inline(block.text)}"


@_written.register
def _(block: Text, folder: Path) -> str:
    return inline(block.text)


@_written.register
def _(block: Answer, folder: Path) -> str:
    return "\n".join(f"> {inline(line)}  " for line in block.lines)


@_written.register
def _(block: Caution, folder: Path) -> str:
    return f"> ⚠ {inline(block.text)}"


@_written.register
def _(block: Items, folder: Path) -> str:
    return "\n".join(f"- {inline(item)}" for item in block.items)


@_written.register
def _(block: Lines, folder: Path) -> str:
    longest = max(map(len, re.findall(r"`+", "\n".join(block.lines))), default=0)
    fence = "`" * max(3, longest + 1)  # longer than any inside, which would end it
    return "\n".join([fence, *block.lines, fence])


@_written.register
def _(block: Picture, folder: Path) -> str:
    description = inline(block.description).replace("[", "\\[").replace("]", "\\]")
    return f"![{description}]({os.path.relpath(block.path, folder)})\n\n_{inline(block.caption)}_"


@_written.register
def _(block: More, folder: Path) -> str:
    inside = [_written(picture, folder) for picture in block.pictures]
    return "\n\n".join([f"<details><summary>{html.escape(block.title)}</summary>", *inside, "</details>"])


@_written.register
def _(block: Table, folder: Path) -> str:
    rule = ["---:" if right else "---" for right in right_columns(block)]
    rows = [_row(map(_cell, block.heads)), _row(rule), *(_row(map(_cell, row)) for row in block.rows)]
    # Underscores, since captions speak of x*.
    return "\n".join([*([f"_{inline(block.caption)}_", ""] if block.caption else []), *rows])


def _cell(text: str) -> str:
    return inline(text).replace("|", "\\|")


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def right_columns(block: Table) -> list[bool]:
    """Return which columns hold nothing but numbers and ranges of numbers: those stand to the right."""
    columns = zip(*block.rows, strict=True) if block.rows else [() for _ in block.heads]
    return [any(column) and all(_is_number(cell) for cell in column if cell) for column in columns]


def _is_number(cell: str) -> bool:
    return all(_NUMBER.fullmatch(part) for part in re.split(r" to | → ", cell.strip("*")))


def inline(text: str) -> str:
    """Return text in one line as Markdown: its code, strong words and links, and nothing of it as HTML."""
    text, written, at = " ".join(text.split("\n")), [], 0
    for mark in MARKED.finditer(text):
        written += [_TAG.sub("&lt;", text[at : mark.start()]), _marked(mark)]
        at = mark.end()
    return "".join([*written, _TAG.sub("&lt;", text[at:])])


def _marked(mark: re.Match[str]) -> str:
    if mark["code"]:
        return mark[0]
    if mark["address"] and not leads_to_a_page(mark["address"]):
        return _TAG.sub("&lt;", mark[0]).replace("[", "\\[", 1)
    return _TAG.sub("&lt;", mark[0])
