"""The report of a study: one page, in two formats, that reads like a short paper on the user's own study."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from vlmfrontier.frontier.load import Results
from vlmfrontier.report.as_html import page
from vlmfrontier.report.as_markdown import markdown
from vlmfrontier.report.blocks import Answer, Block, Caution, Heading, Picture, Text
from vlmfrontier.report.captions import captions_template
from vlmfrontier.report.doubts import doubts
from vlmfrontier.report.drawn import figures_of
from vlmfrontier.report.frontier_section import frontier, recommendation, regret
from vlmfrontier.report.known import Known
from vlmfrontier.report.laws_section import laws
from vlmfrontier.report.next_section import next_steps
from vlmfrontier.report.provenance_section import provenance
from vlmfrontier.report.runs_section import question, runs
from vlmfrontier.report.words import two_lines

PLACES = {"laws": ("star", "fit", "contours"), "frontier": ("frontier", "isoflop", "elasticity")}
"""Which figures, by the first word of their names, stand in which section; the others have one of their own."""


def write_report(results: Results) -> list[Path]:
    """Write `report.md`, `report.html` and `captions.rst` into the results folder and return the paths of the pages.

    Whatever the study lacks is said in its place; nothing needs to have succeeded.
    """
    known = Known(results)
    blocks = report(known)
    paths = [results.folder / "report.md", results.folder / "report.html"]
    paths[0].write_text(markdown(blocks, results.folder), encoding="utf-8")
    paths[1].write_text(page(blocks), encoding="utf-8")
    (results.folder / "captions.rst").write_text(captions_template(known), encoding="utf-8")
    return paths


def report(known: Known) -> list[Block]:
    """Return the whole page."""
    figures = figures_of(known.folder / "figures")
    placed = [
        *_opening(known),
        *question(known),
        *runs(known),
        *laws(known),
        *_taken(figures, PLACES["laws"]),
        *recommendation(known),
        *frontier(known),
        *_taken(figures, PLACES["frontier"]),
        *regret(known),
        *next_steps(known),
    ]
    return [*placed, *_others(figures), *provenance(known)]


def _opening(known: Known) -> Iterator[Block]:
    yield Heading(f"{known.study.study}: what was run, what was found, what to deploy", level=1)
    if known.has_frontier:
        yield Answer(two_lines(known.answer))
    found = doubts(known)
    if not found:
        yield Text("Nothing failed, the laws hold on runs they have not seen, and nothing is extrapolated.")
    for doubt in found:
        yield Caution(doubt)


def _taken(figures: list[Picture], names: Iterable[str]) -> list[Picture]:
    """Remove the figures whose names begin with one of `names` and return them, in the order of the names."""
    taken = [figure for name in names for figure in figures if figure.path.stem.split("-")[0] == name]
    for figure in taken:
        figures.remove(figure)
    return taken


def _others(figures: list[Picture]) -> list[Block]:
    return [Heading("More figures"), *figures] if figures else []
