"""The documentation shows every figure, small, with the command that draws it; its links and commands exist."""

import re
from pathlib import Path

import pytest

from vlmfrontier.command.main import BY_NAME
from vlmfrontier.figures.catalogue import CATALOGUE

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *sorted(DOCS.glob("*.md")),
    *(ROOT / at / "README.md" for at in ("config", "examples", "results")),
]


def test_every_figure_is_shown_with_its_command():
    page = (DOCS / "figures.md").read_text()
    # Neither study of that page tests models at levels that they were not trained at.
    assert "`vlmfrontier figure checkpoint --study digits-ladder`" in (DOCS / "ladder.md").read_text()
    for name in set(CATALOGUE) - {"checkpoint"}:
        assert f"(images/digits-{name}.png)" in page, name
        assert f"`vlmfrontier figure {name} --study digits`" in page, name


def test_images_are_there_and_small():
    sizes = [path.stat().st_size for path in (DOCS / "images").glob("*.png")]
    assert max(sizes) < 80_000
    assert sum(sizes) < 2_500_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path):
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in link]
    lost = [link for link in links if not _found(page, *link.partition("#")[::2])]
    assert lost == []


def _found(page: Path, file: str, heading: str) -> bool:
    target = page.parent / file if file else page
    return target.exists() and (not heading or heading in _anchors(target))


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_the_pages_exists(page: Path):
    named = re.findall(r"(?:`|^)vlmfrontier ([a-z][a-z-]*)", page.read_text(), re.MULTILINE)
    assert set(named) <= set(BY_NAME)
