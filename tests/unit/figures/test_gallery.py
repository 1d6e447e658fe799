"""The documentation shows every figure, small, with the command that draws it."""

from pathlib import Path

from vlmfrontier.figures.catalogue import CATALOGUE

DOCS = Path(__file__).parents[3] / "docs"


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
    for page in (*DOCS.glob("*.md"), DOCS.parent / "README.md"):
        for link in page.read_text().split("](")[1:]:
            target = link.split(")")[0]
            if target.endswith(".png"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
