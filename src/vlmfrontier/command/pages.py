"""What is looked at: `figure`, `report`, `so-far` while runs are under way, and the gallery of the documentation."""

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmfrontier import command_line
from vlmfrontier.command.main import call
from vlmfrontier.errors import UserError
from vlmfrontier.files import REPOSITORY

if TYPE_CHECKING:
    from vlmfrontier.results import Results
    from vlmfrontier.study.root import Study

PAGES = ("report", "explorer")
SHARED = ("runs", "data", "models")
"""Folders of a study that its copy of finished runs reads."""


def figure_arguments(parser: ArgumentParser) -> None:
    command_line.study_argument(parser)
    named = parser.add_argument("figures", nargs="*", metavar="FIGURE", help="default: all that apply to the study")
    named.completer = lambda **_: _figures()
    command_line.target_argument(parser, "default: avg, or the first target")


def _figures() -> list[str]:
    from vlmfrontier.figures.catalogue import CATALOGUE

    return list(CATALOGUE)


def figure(given: Namespace) -> None:
    """Draw a study's figures: vlmfrontier figure isoflop star --study digits [--target order]

    Writes PNG, SVG, PDF and the numbers as CSV into results/<study>/figures/: all figures that apply to the study, or
    those named. With --target order, the figures are of that target instead of the main one, in figures/order/.
    docs/figures.md shows them all.
    """
    from vlmfrontier.figures.catalogue import drawn
    from vlmfrontier.figures.drawing import save
    from vlmfrontier.figures.outline import Outline
    from vlmfrontier.results import Results

    results = Results.open(given.study)
    target = given.target or results.main_target
    folder = results.figures / ("" if target == results.main_target else target)
    names = given.figures or drawn(Outline.of(results.study, results.table))
    for path in save(results, names, target, folder):
        results.note(path)
        print(f"→ {path}")


def report_arguments(parser: ArgumentParser) -> None:
    command_line.study_argument(parser)
    parser.add_argument("--page", choices=PAGES, nargs="+", default=PAGES, help="default: both")


def report(given: Namespace) -> None:
    """Write what was found as two pages: vlmfrontier report --study digits

    report.md and report.html: what to deploy, runs, laws, the frontier, what to run next, provenance. What the study
    lacks, because it failed or has not been made, is said in its place.
    recommendation.yaml: what to deploy, for programs.
    explorer.html: one interactive file that needs no server and no network: open it in a browser, or send it.
    """
    from vlmfrontier.report.explorer import write_explorer
    from vlmfrontier.report.page import write_report
    from vlmfrontier.results import Results

    results = Results.open(given.study)
    if "report" in given.page:
        paths = write_report(results)
        results.note(results.report_html)
        print(f"→ {', '.join(map(str, paths))}")
    if "explorer" in given.page:
        path = write_explorer(results, results.explorer_html)
        results.note(path)
        print(f"{path.stat().st_size / 1e6:.1f} MB → {path}")


def so_far_arguments(parser: ArgumentParser) -> None:
    command_line.study_argument(parser)
    command_line.target_argument(parser, "what to look at alone: a task, or avg")


def so_far(given: Namespace) -> None:
    """Make a frontier from the runs that are finished, while others train: vlmfrontier so-far --study digits

    Collects, fits, searches and reports as the workflow does at its end, into results/<study>/so_far/, whose runs are
    those of the study. It touches nothing else and submits nothing, so a Snakemake under way goes on. What too few runs
    cannot tell is said by the step that needs it, and the report is written with what there is. With --target, laws and
    frontier of that target alone, in a tenth of the time.
    """
    from vlmfrontier.errors import did_you_mean
    from vlmfrontier.study.load import read_study

    study = read_study(given.study)
    if not study.trained:
        raise UserError(
            f"study {study.study}: it starts from a table, so no runs are under way; call `snakemake` for its results"
        )
    if given.target not in (None, *study.targets()):
        raise UserError(f"--target {given.target}: no such target; {did_you_mean(given.target, study.targets())}")
    finished = len(list(given.study.parent.glob("runs/*/result.json")))
    if not finished:
        raise UserError(f"study {study.study}: no run has a result yet; see vlmfrontier status --study {given.study}")
    copy = _copy_of(given.study, study)
    print(f"study {study.study}: {finished} finished runs → {copy.parent}")
    for name, *arguments in _steps(study, given.target):
        print(f"— {name} {' '.join(arguments)}", flush=True)
        try:
            call([name, f"--study={copy}", *arguments])
        except UserError as error:
            if name == "collect":
                raise
            print(f"error: {error}", file=sys.stderr)
    print(f"ask: vlmfrontier query --study {copy.parent} --target {given.target or study.main_target} --budget …")


def _copy_of(study_json: Path, study: "Study") -> Path:
    """Return the study's file in its folder so_far/, made anew, where unfinished runs are left out.

    Where the study had its forms chosen, they are chosen again, for fewer runs may not carry all of them.
    """
    from vlmfrontier.files import write_json
    from vlmfrontier.sweep.runs import plan_runs
    from vlmfrontier.workflow import with_forms

    folder = study_json.parent / "so_far"
    folder.mkdir(exist_ok=True)
    for name in SHARED:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(Path("..") / name)
    content = json.loads(study_json.read_text())
    content["execution"]["without_failed"] = True
    unnamed = study.model_copy(update={"laws": study.laws.model_copy(update={"forms": None})})
    if with_forms(unnamed, plan_runs(study), None)[0].laws.forms == study.laws.forms:
        content["laws"]["forms"] = None
    write_json(folder / study_json.name, content)
    return folder / study_json.name


def _steps(study: "Study", target: str | None) -> list[list[str]]:
    """Return the steps after the runs, each a command with its arguments, in their order."""
    from vlmfrontier.cost.model import has_cost

    if target is not None:
        return [["collect"], ["fit", "--target", target], *([["frontier", "--target", target]] * has_cost(study))]
    return [
        ["collect"],
        *(["fit", "--target", name] for name in study.targets()),
        ["law-tables", "--tables", "forms", "profile"],
        ["frontier"],
        ["figure"],
        ["report"],
    ]


PAPER = {
    **{"contours": 1, "star": 2, "isoflop": 2, "fit": 3, "frontier": 4, "elasticity": 5, "vision-share": 6, "runs": 7},
    **{"contours-tasks": 8, "star-tasks": 9, "isoflop-tasks": 9, "frontier-tasks": 10},
}
"""Which figure of the paper shows the same of the paper's runs."""
LARGEST = 80_000
"""Bytes of one image of the documentation."""
MOST, FEWEST = 224, 64
"""Colours: with few of them thin lines over a surface lose theirs."""
INTRODUCTION = """\
# Figures

Every figure that the workflow draws, with its caption: of the digits study, and of a study with a table.

`snakemake figures` draws the figures that apply to a study into `results/<study>/figures/`, as PNG, SVG and PDF, with
their numbers as CSV. The report says which figures a study has nothing for. To draw some again, also for another
target:

```
vlmfrontier figure isoflop star --study digits --target order
```

The colours suit all common kinds of colour blindness; lines and maps can be read in grey. “Paper: Figure 2” means
that Figure 2 of the paper shows the same for the paper's runs. (This page is written by
`vlmfrontier gallery --study digits chinchilla`.)
"""


def gallery_arguments(parser: ArgumentParser) -> None:
    command_line.study_argument(parser, nargs="+", required=True)
    parser.add_argument("--docs", type=Path, default=REPOSITORY / "docs", help="default: those of the repository")


def gallery(given: Namespace) -> None:
    """Show figures in the documentation: vlmfrontier gallery --study digits chinchilla

    Writes docs/images/<study>-<figure>.png, small, of every figure that the studies have, and docs/figures.md, which
    shows them with their captions and the commands that draw them.
    """
    from vlmfrontier.figures.catalogue import CATALOGUE, drawn
    from vlmfrontier.figures.outline import Outline
    from vlmfrontier.results import Results

    parts = [INTRODUCTION]
    for file in given.study:
        results = Results.open(file)
        parts += [f"## The {results.study.study} study\n"]
        names = drawn(Outline.of(results.study, results.table))
        parts += [_entry(results, name, given.docs) for name in CATALOGUE if name in names]
    (given.docs / "figures.md").write_text("\n".join(parts))
    print(f"→ {given.docs / 'figures.md'}")


def _entry(results: "Results", name: str, docs: Path) -> str:
    """Return a figure's part of the page, after making its small image."""
    from vlmfrontier.figures.catalogue import caption

    study = results.study.study
    small = docs / "images" / f"{study}-{name}.png"
    _shrink(results.figure(name), small)
    text = caption(name, results.study, results.main_target)
    paper = f" Paper: Figure {PAPER[name]}." if name in PAPER else ""
    image = f"![figure {name} of the {study} study](images/{small.name})"
    return f"### {name}\n\n{image}\n\n{text}{paper}\n\n`vlmfrontier figure {name} --study {study}`\n"


def _shrink(picture: Path, small: Path) -> None:
    """Write a picture at the largest scale at which it stays below `LARGEST` bytes."""
    from PIL import Image

    whole = Image.open(picture).convert("RGB")
    for share, colors in ((0.75, MOST), (0.6, MOST), (0.5, MOST), (0.42, MOST), (0.42, FEWEST), (0.36, FEWEST)):
        image = whole.resize((round(whole.width * share), round(whole.height * share)), Image.Resampling.LANCZOS)
        few = image.quantize(colors, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        few.save(small, optimize=True)
        if small.stat().st_size < LARGEST:
            return
