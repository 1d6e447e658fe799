"""Every figure of a study, from its result files to PNG and SVG."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from vlmfrontier.figures import style
from vlmfrontier.figures.contours import contours_figure
from vlmfrontier.figures.curves import Predictor, isoflop_groups
from vlmfrontier.figures.elasticity import elasticity_figure
from vlmfrontier.figures.fit_quality import fit_quality_figure
from vlmfrontier.figures.frontier import frontier_figure
from vlmfrontier.figures.isoflop import isoflop_figure
from vlmfrontier.figures.left_out import chosen_law, left_out_predictions
from vlmfrontier.figures.star import star_figure, tasks_figure
from vlmfrontier.frontier.load import Results

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


def target_figures(results: Results, target: str) -> Iterator[Drawing]:
    """Yield everything that can be shown of one target; nothing is shown with empty axes."""
    factors, predictor = results.study.factors(), predictor_of(results, target)
    yield Drawing(
        f"star-{target}",
        f"Measured and predicted error of {target} along each factor, the others at the center; shaded: 90% interval.",
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
    yield Drawing(
        f"isoflop-{target}",
        "Runs of equal cost (points) and the least predicted error with one factor held at a level (lines); star: x*.",
        isoflop_figure(budget_groups(results), results.target(target), predictor.label),
    )
    table = pd.read_csv(results.folder / "frontier" / f"{target}.csv")
    yield Drawing(
        f"frontier-{target}",
        f"The frontier x*(c; n) of {target} and its error with 90% interval; dotted: outside the runs.",
        frontier_figure(table, factors, predictor.label, results.cost.unit),
    )


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
        yield Drawing("elasticity", caption, elasticity_figure(pd.read_csv(table), factors))


def save_all(drawings: Iterable[Drawing], folder: Path) -> list[Path]:
    """Write every figure as PNG and SVG and an index with their captions; return the paths of the PNGs."""
    shown = [drawing for drawing in drawings if drawing.figure is not None]
    for drawing in shown:
        style.save(drawing.figure, folder / drawing.name)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"![{drawing.name}]({drawing.name}.png)\n\n{drawing.caption}\n" for drawing in shown]
    (folder / INDEX).write_text("\n".join(lines))
    return [folder / f"{drawing.name}.png" for drawing in shown]


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
