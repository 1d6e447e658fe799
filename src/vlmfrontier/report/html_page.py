"""A page as one HTML file: styles and pictures are inside, so that it can be sent as it is."""

import base64
import html
import re
from collections.abc import Sequence
from functools import singledispatch

from vlmfrontier.report.assets import asset, filled
from vlmfrontier.report.blocks import (
    Block,
    Caution,
    Heading,
    Highlight,
    Items,
    Lines,
    More,
    Picture,
    Table,
    Text,
    right_columns,
)

SCALE = 0.6
"""How large pictures are shown, so that writing in all of them is as large as that of captions."""
SHORT = 34
"""Cells up to this length are not broken into lines."""
_INLINE = (
    (re.compile(r"`([^`]+)`"), r"<code>\1</code>"),
    (re.compile(r"\*\*([^*]+)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"\[([^\]]+)\]\((https?://[^)\s]+)\)"), r'<a href="\2">\1</a>'),
    # A file beside the page is named, not linked: the page may be sent alone.
    (re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)"), r"\1: <code>\2</code>"),
)


def page(blocks: Sequence[Block]) -> str:
    """Return the page; its title is the text of its first heading."""
    title = next(block.text for block in blocks if isinstance(block, Heading))
    first = next((i for i, block in enumerate(blocks) if isinstance(block, Heading) and block.level == 2), len(blocks))
    parts = {
        "title": html.escape(title),
        "style": asset("report.css"),
        "contents": _contents(blocks),
        "body": _first_page(blocks[:first]) + "\n".join(map(_written, blocks[first:])),
    }
    return filled("report.html", parts)


def _first_page(blocks: Sequence[Block]) -> str:
    """Return what stands before the first section: in print a page of its own, to be handed on as a summary."""
    return f'<div class="first">{chr(10).join(map(_written, blocks))}</div>\n'


def _contents(blocks: Sequence[Block]) -> str:
    found = [block.text for block in blocks if isinstance(block, Heading) and block.level == 2]
    return "".join(f'<li><a href="#{_anchor(text)}">{inline(text)}</a></li>' for text in found)


def _anchor(text: str) -> str:
    return re.sub(r"\W+", "-", text.lower()).strip("-")


@singledispatch
def _written(block: Block) -> str:
    raise TypeError(f"no page has a {type(block).__name__}")


@_written.register
def _(block: Heading) -> str:
    return f'<h{block.level} id="{_anchor(block.text)}">{inline(block.text)}</h{block.level}>'


@_written.register
def _(block: Text) -> str:
    return f"<p>{inline(block.text)}</p>"


@_written.register
def _(block: Highlight) -> str:
    return f'<div class="answer">{"".join(f"<p>{inline(line)}</p>" for line in block.lines)}</div>'


@_written.register
def _(block: Caution) -> str:
    return f'<p class="caution">{inline(block.text)}</p>'


@_written.register
def _(block: Items) -> str:
    return f"<ul>{''.join(f'<li>{inline(item)}</li>' for item in block.items)}</ul>"


@_written.register
def _(block: Lines) -> str:
    return f"<pre>{html.escape(chr(10).join(block.lines))}</pre>"


@_written.register
def _(block: Picture) -> str:
    content = block.path.read_bytes()
    source, width = base64.b64encode(content).decode(), round(SCALE * _width(content))
    image = f'<img alt="{html.escape(block.description)}" width="{width}" src="data:image/png;base64,{source}">'
    name = html.escape(block.path.stem)
    scrolled = f'<div class="picture" role="region" aria-label="figure {name}" tabindex="0">{image}</div>'
    return f'<figure id="figure-{name}">{scrolled}<figcaption>{inline(block.caption)}</figcaption></figure>'


def _width(png: bytes) -> int:
    """Return the width of a PNG in pixels, which its header begins with."""
    return int.from_bytes(png[16:20], "big")


@_written.register
def _(block: More) -> str:
    inside = "\n".join(_written(picture) for picture in block.pictures)
    return f"<details><summary>{inline(block.title)}</summary>{inside}</details>"


@_written.register
def _(block: Table) -> str:
    kinds = [f' class="{kind}"' if kind else "" for kind in _kinds(block)]
    head = "".join(f'<th scope="col"{kind}>{inline(cell)}</th>' for kind, cell in zip(kinds, block.heads, strict=True))
    rows = "".join(
        f"<tr>{''.join(f'<td{kind}>{inline(cell)}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>"
        for row in block.rows
    )
    name = html.escape(re.sub(r"[`*]", "", block.caption) or ", ".join(block.heads))
    # The caption stands outside: inside, it would be as wide as the table and scroll with it on a narrow screen.
    caption = f'<p class="caption">{inline(block.caption)}</p>' if block.caption else ""
    filled_table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'{caption}<div class="table" role="region" aria-label="{name}" tabindex="0">{filled_table}</div>'


def _kinds(block: Table) -> list[str]:
    """Return how each column is set: numbers to the right, short words unbroken, sentences as they fit."""
    columns = zip(*block.rows, strict=True) if block.rows else [() for _ in block.heads]
    short = ["short" if max(map(len, column), default=0) <= SHORT else "" for column in columns]
    return ["number" if right else kind for right, kind in zip(right_columns(block), short, strict=True)]


def inline(text: str) -> str:
    """Return text with its code, strong words and links as HTML."""
    escaped = html.escape(text, quote=False)
    for pattern, replacement in _INLINE:
        escaped = pattern.sub(replacement, escaped)
    return escaped
