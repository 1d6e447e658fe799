"""The report of a study: one page, in two formats, that reads like a short paper on the user's own study."""

from collections.abc import Iterator
from pathlib import Path

from vlmfrontier.frontier.load import Results
from vlmfrontier.report.as_html import page
from vlmfrontier.report.as_markdown import markdown
from vlmfrontier.report.blocks import Answer, Block, Caution, Heading, Text
from vlmfrontier.report.captions import captions_template
from vlmfrontier.report.doubts import doubts, recommended
from vlmfrontier.report.drawn import INDEX, index, reasons, section
from vlmfrontier.report.frontier_section import frontier, recommendation, regret
from vlmfrontier.report.known import Known
from vlmfrontier.report.laws_section import laws
from vlmfrontier.report.next_section import next_steps
from vlmfrontier.report.provenance_section import provenance
from vlmfrontier.report.runs_section import question, runs


def write_report(results: Results) -> list[Path]:
    """Write `report.md`, `report.html`, `captions.rst` and `figures/index.md` into the results folder.

    Returns the paths of the pages.
    Whatever the study lacks is said in its place; nothing needs to have succeeded.
    """
    known = Known(results)
    blocks = report(known)
    paths = [results.folder / "report.md", results.folder / "report.html"]
    paths[0].write_text(markdown(blocks, results.folder), encoding="utf-8")
    paths[1].write_text(page(blocks), encoding="utf-8")
    (results.folder / "captions.rst").write_text(captions_template(known), encoding="utf-8")
    (results.folder / INDEX).parent.mkdir(exist_ok=True)
    (results.folder / INDEX).write_text(index(known), encoding="utf-8")
    return paths


def report(known: Known) -> list[Block]:
    """Return the whole page."""
    return [
        *_opening(known),
        *question(known),
        *runs(known),
        *section(known, "runs"),
        *laws(known),
        *section(known, "laws"),
        *recommendation(known),
        *frontier(known),
        *section(known, "frontier"),
        *regret(known),
        *section(known, "regret"),
        *next_steps(known),
        *provenance(known),
        *reasons(known),
    ]


def _opening(known: Known) -> Iterator[Block]:
    yield Heading(f"{known.study.study}: what was run, what was found, what to deploy", level=1)
    if known.has_frontier:
        yield Answer(recommended(known))
    found = doubts(known)
    if not found:
        yield Text("Nothing failed, the laws hold on runs they have not seen, and nothing is extrapolated.")
    for doubt in found:
        yield Caution(doubt)
