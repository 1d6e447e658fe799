"""A page as one HTML file: styles and pictures are inside, so that it can be sent as it is."""

import base64
import html
import re
from collections.abc import Sequence
from functools import singledispatch

from vlmfrontier.report.as_markdown import right_columns
from vlmfrontier.report.assets import asset, filled
from vlmfrontier.report.blocks import Answer, Block, Caution, Heading, Items, Lines, Picture, Table, Text

_INLINE = (
    (re.compile(r"`([^`]+)`"), r"<code>\1</code>"),
    (re.compile(r"\*\*([^*]+)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)"), r'<a href="\2">\1</a>'),
)


def page(blocks: Sequence[Block]) -> str:
    """Return the page; its title is the text of its first heading."""
    title = next(block.text for block in blocks if isinstance(block, Heading))
    parts = {
        "title": html.escape(title),
        "style": asset("report.css"),
        "contents": _contents(blocks),
        "body": "\n".join(_written(block) for block in blocks),
    }
    return filled("report.html", parts)


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
def _(block: Answer) -> str:
    return f'<div class="answer">{"".join(f"<p>{inline(line)}</p>" for line in block.lines)}</div>'


@_written.register
def _(block: Caution) -> str:
    return f'<p class="caution">{inline(block.text)}</p>'


@_written.register
def _(block: Items) -> str:
    return f"<ul>{''.join(f'<li>{inline(item)}</li>' for item in block.items)}</ul>"


@_written.register
def _(block: Lines) -> str:
    return f'<pre tabindex="0">{html.escape(chr(10).join(block.lines))}</pre>'


@_written.register
def _(block: Picture) -> str:
    source = base64.b64encode(block.path.read_bytes()).decode()
    image = f'<img alt="{html.escape(block.description)}" src="data:image/png;base64,{source}">'
    return f"<figure>{image}<figcaption>{inline(block.caption)}</figcaption></figure>"


@_written.register
def _(block: Table) -> str:
    kinds = [' class="number"' if right else "" for right in right_columns(block)]
    head = "".join(f'<th scope="col"{kind}>{inline(cell)}</th>' for kind, cell in zip(kinds, block.heads, strict=True))
    rows = "".join(
        f"<tr>{''.join(f'<td{kind}>{inline(cell)}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>"
        for row in block.rows
    )
    caption = f"<caption>{inline(block.caption)}</caption>" if block.caption else ""
    filled_table = f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="table" tabindex="0">{filled_table}</div>'


def inline(text: str) -> str:
    """Return text with its code, strong words and links as HTML."""
    escaped = html.escape(text, quote=False)
    for pattern, replacement in _INLINE:
        escaped = pattern.sub(replacement, escaped)
    return escaped
