"""The figures that have been drawn, with their captions."""

import re
from pathlib import Path

from vlmfrontier.report.blocks import Picture

_LINK = re.compile(r"\]\((?P<file>[^)/]+)\)")
_INDEX_ENTRY = re.compile(r"^!\[[^\]]*\]\(([^)]+\.png)\)\s*\n+(.+)$", re.MULTILINE)


def figures_of(folder: Path) -> list[Picture]:
    """Return the figures that the folder's index names, with their captions; none if none have been drawn."""
    index = folder / "index.md"
    entries = _INDEX_ENTRY.findall(index.read_text(encoding="utf-8")) if index.exists() else []
    return [
        Picture(folder / name, _from_outside(folder, caption)) for name, caption in entries if (folder / name).exists()
    ]


def _from_outside(folder: Path, caption: str) -> str:
    """Return a caption whose links lead into the folder of figures from the page beside it."""
    return _LINK.sub(rf"]({folder.name}/\g<file>)", caption.strip())
