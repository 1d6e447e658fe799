"""Every figure of a study, from its result files to PNG and SVG."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from vlmfrontier.cost import has_vision_share
from vlmfrontier.figures import style
from vlmfrontier.figures.contours import contours_figure
from vlmfrontier.figures.curves import Predictor, isoflop_groups
from vlmfrontier.figures.elasticity import elasticity_figure
from vlmfrontier.figures.fit_quality import fit_quality_figure
from vlmfrontier.figures.frontier import frontier_figure
from vlmfrontier.figures.isoflop import isoflop_figure, least_error_table
from vlmfrontier.figures.left_out import chosen_law, left_out_predictions
from vlmfrontier.figures.star import star_figure, tasks_figure
from vlmfrontier.figures.vision_share import vision_share_figure
from vlmfrontier.frontier.load import Results
from vlmfrontier.frontier.write import write_csv

GENERIC_TOLERANCE = 0.05
"""Runs whose costs differ by less than this share a budget, where no isoFLOP design says which do."""
GENERIC_BUDGETS = 4


INDEX = "index.md"


@dataclass(frozen=True)
class Drawing:
    """A figure, what its files are called, and what it shows."""

    name: str
    caption: str
    figure: Figure | None
    """None where the study has nothing of this kind to show."""
    data: pd.DataFrame | None = None
    """The numbers that it shows, for a CSV beside it; None where runs.csv and the laws hold them."""


def target_figures(results: Results, target: str) -> Iterator[Drawing]:
    """Yield everything that can be shown of one target; nothing is shown with empty axes."""
    factors, predictor = results.study.factors(), predictor_of(results, target)
    shaded = results.range_name
    yield Drawing(
        f"star-{target}",
        f"Measured and predicted error of {target} along each factor, the others at the center; shaded: {shaded}.",
        star_figure(results.runs, factors, predictor),
    )
    yield Drawing(
        f"contours-{target}",
        f"Predicted error of {target} over pairs of factors; dashed: equal cost; points: runs, by measured error.",
        contours_figure(results.runs, factors, predictor, results.cost),
    )
    law = chosen_law(results, target)
    yield Drawing(
        f"fit-{target}",
        f"Error of {target} as {law.form.name} predicts it against the measured one, in sample and for runs left out.",
        fit_quality_figure(left_out_predictions(results, law), predictor.label),
    )
    if results.cost is None:
        return
    groups, found = budget_groups(results), results.target(target)
    yield Drawing(
        f"isoflop-{target}",
        "Runs of equal cost (points) and the least predicted error with one factor held at a level (lines); star: x*.",
        isoflop_figure(groups, found, predictor.label),
        least_error_table(groups, found),
    )
    table = pd.read_csv(results.folder / "frontier" / f"{target}.csv")
    yield Drawing(
        f"frontier-{target}",
        f"The frontier x*(c; n) of {target} and its error with its {shaded}; dotted: outside the runs.",
        frontier_figure(table, factors, predictor.label, results.cost.unit, shaded),
        table,
    )
    if has_vision_share(results.study):
        yield vision_share_drawing(results, target, table)


def study_figures(results: Results) -> Iterator[Drawing]:
    """Yield everything that compares the targets of a study: small multiples, elasticities."""
    targets, factors = results.study.targets(), results.study.factors()
    if len(targets) > 1:
        predictors = {target: predictor_of(results, target) for target in targets}
        for factor in factors:
            caption = f"Measured and predicted error of every target against {factor}, the other factors at the center."
            yield Drawing(f"tasks-{factor}", caption, tasks_figure(results.runs, factor, factors, predictors))
    table = results.folder / "tables" / "elasticity.csv"
    if results.cost is not None and results.table.has_data:
        caption = "Elasticity of x* in n by target with its band; filled where the band excludes 0."
        elasticities = pd.read_csv(table)
        yield Drawing("elasticity", caption, elasticity_figure(elasticities, factors), elasticities)


def vision_share_drawing(results: Results, target: str, frontier: pd.DataFrame) -> Drawing:
    """Return the vision model's share of c(x), over what could be deployed and along the frontier of a target."""
    shares = results.vision_shares
    along = frontier.assign(share=results.cost.vision_share(frontier))
    caption = f"Share of c(x) spent in the vision model, by tokens per frame and along the frontier of {target}."
    figure = vision_share_figure(shares, along, results.cost.unit)
    kept = along[["c", "n", *results.study.factors(), "share"]]
    data = pd.concat([shares.assign(panel="levels"), kept.assign(panel="frontier")], ignore_index=True)
    return Drawing(f"vision-share-{target}", caption, figure, data)


def save_all(drawings: Iterable[Drawing], folder: Path) -> list[Path]:
    """Write every figure as PNG and SVG, the frontier's with their numbers as CSV, and an index with their captions.

    Returns the paths of the PNGs.
    """
    shown = [drawing for drawing in drawings if drawing.figure is not None]
    for drawing in shown:
        style.save(drawing.figure, folder / drawing.name)
        if drawing.data is not None:
            write_csv(drawing.data, folder / f"{drawing.name}.csv")
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"![{drawing.name}]({drawing.name}.png)\n\n{drawing.caption}{_numbers(drawing)}\n" for drawing in shown]
    (folder / INDEX).write_text("\n".join(lines))
    return [folder / f"{drawing.name}.png" for drawing in shown]


def _numbers(drawing: Drawing) -> str:
    """Return the caption's link to the figure's numbers, if they stand beside it."""
    return "" if drawing.data is None else f" [Its numbers]({drawing.name}.csv)."


def predictor_of(results: Results, target: str) -> Predictor:
    """Return the pooled prediction of a target."""
    return Predictor(results.laws(target), results.error_label(target))


def budget_groups(results: Results) -> dict[float, pd.DataFrame]:
    """Return the runs of equal cost: those of the isoFLOP designs, or of an own table those that happen to agree."""
    budgets, tolerance = _budgets(results)
    return isoflop_groups(results.runs, results.run_costs, budgets, tolerance, results.study.factors())


def _budgets(results: Results) -> tuple[list[float], float]:
    """Return the budgets of the isoFLOP designs and their tolerance; without a design, some between the runs' costs."""
    designs = [] if results.study.sweep is None else results.study.sweep.designs.values()
    isoflop = [design for design in designs if design.design == "isoflop"]
    if isoflop:
        budgets = sorted({budget for design in isoflop for budget in design.budgets})
        return budgets, max(design.tolerance for design in isoflop)
    quantiles = [(place + 0.5) / GENERIC_BUDGETS for place in range(GENERIC_BUDGETS)]
    return list(pd.Series(results.run_costs).quantile(quantiles)), GENERIC_TOLERANCE
