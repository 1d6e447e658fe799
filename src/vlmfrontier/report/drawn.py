"""The figures that have been drawn, with their captions, and why others have not."""

from pathlib import Path

from vlmfrontier.figures.catalogue import CATALOGUE, Outline, caption, left_out
from vlmfrontier.report.blocks import Block, Heading, Items, More, Picture, Text
from vlmfrontier.report.known import Known

INDEX = "figures/index.md"


def figures(known: Known, of: str | None = None) -> dict[str, Picture]:
    """Return the figures of a section of the report, or all, by name: those that apply to the study and are drawn."""
    without = not_drawn(known) | known.outdated_figures
    if known.outdated_sections:  # pictures of another configuration
        without = without | {name: "" for name, entry in CATALOGUE.items() if entry.section in known.outdated_sections}
    return {
        name: Picture(path, f"{caption(name, known.study, known.main)} [Its numbers](figures/{name}.csv).")
        for name, entry in CATALOGUE.items()
        if of in (None, entry.section) and name not in without and (path := _path(known, name)).exists()
    }


def section(known: Known, name: str) -> list[Block]:
    """Return the figures of a section: the main ones, and the others to be opened."""
    found = figures(known, name)
    main = [picture for figure, picture in found.items() if CATALOGUE[figure].main]
    others = {figure: picture for figure, picture in found.items() if not CATALOGUE[figure].main}
    more = [More(f"More figures: {', '.join(others)}", tuple(others.values()))] if others else []
    return [*main, *more]


def _path(known: Known, name: str) -> Path:
    return known.folder / "figures" / f"{name}.png"


def not_drawn(known: Known) -> dict[str, str]:
    """Return for every figure that does not apply to the study why not; none before there is a table of runs."""
    return left_out(Outline.of(known.study, known.results.table)) if known.has_table else {}


def reasons(known: Known) -> list[Block]:
    """Return what the study has no figure of, and why."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in not_drawn(known).items():
        by_reason.setdefault(reason, []).append(f"`{name}`")
    if not by_reason:
        return []
    items = tuple(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())
    return [Heading("Figures left out", level=3), Text("Nothing to show in this study:"), Items(items)]


def index(known: Known) -> str:
    """Return the page that lists the figures beside them, with their captions."""
    entries = [
        f"![{name}]({name}.png)\n\n{picture.caption.replace('(figures/', '(')}\n"
        for name, picture in figures(known).items()
    ]
    return "\n".join(entries)
