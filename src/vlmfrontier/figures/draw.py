"""Every figure of a study by its name, from its result files to PNG, SVG and CSV."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.figures import style
from vlmfrontier.figures.catalogue import CATALOGUE, Outline, left_out
from vlmfrontier.figures.drawing import Drawing, NothingToShow
from vlmfrontier.frontier.load import Results
from vlmfrontier.progress import steps
from vlmfrontier.tables.writing import write_csv


def draw(results: Results, name: str, target: str) -> Drawing:
    """Return a figure with its numbers. A study that has nothing of the kind gets a sentence without axes."""
    entry = CATALOGUE[name]
    function = getattr(import_module(f"vlmfrontier.figures.{entry.module}"), f"draw_{name.replace('-', '_')}")
    try:
        return function(results, target)
    except NothingToShow as reason:
        return Drawing(style.sentence(str(reason)), pd.DataFrame({"nothing_to_show": [str(reason)]}))


def save(results: Results, names: Sequence[str], target: str, folder: Path) -> list[Path]:
    """Draw figures as `folder`/<name>.png, .svg and .csv, and return the paths of the PNGs.

    Raises `UserError` for a name that is not in the catalogue, and for a figure that does not apply to the study.
    """
    unknown = [name for name in names if name not in CATALOGUE]
    if unknown:
        raise UserError(f"there is no figure {unknown[0]!r}; the figures are {', '.join(CATALOGUE)}")
    reasons = left_out(Outline.of(results.study, results.table))
    for name in names:
        if name in reasons:
            raise UserError(f"the figure {name!r} does not apply to this study: {reasons[name]}")
    for name in steps("draw", names):
        drawing = draw(results, name, target)
        style.save(drawing.figure, folder / name)
        write_csv(drawing.data, folder / f"{name}.csv")
    return [folder / f"{name}.png" for name in names]
