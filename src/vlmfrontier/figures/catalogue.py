"""The figures there are: what each shows, where the report puts it, and which studies it applies to.

The Snakefile reads this before any job, so nothing here imports matplotlib.
"""

from dataclasses import dataclass, field
from pathlib import Path

from vlmfrontier.cost.model import has_cost
from vlmfrontier.figures.outline import (
    NO_COST,
    NO_DATA,
    NO_LINE,
    NO_RIVALS,
    NO_VISION,
    NOT_ELSEWHERE,
    NOT_TRAINED,
    ONE_FACTOR,
    ONE_TARGET,
    Condition,
    Outline,
)
from vlmfrontier.frontier.space import range_name
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.root import Study

SECTIONS = ("runs", "laws", "frontier", "checkpoint", "regret")
"""Parts of a report that have figures."""


@dataclass(frozen=True)
class Entry:
    """A figure of the catalogue."""

    module: str
    """Where it is drawn: the function draw_<name> of this module of `vlmfrontier.figures`."""
    caption: str
    """What it shows; `caption` fills in what differs between studies."""
    section: str
    """Where the report puts it: one of `SECTIONS`."""
    reads: tuple[str, ...] = ()
    """Kinds of results it is drawn from, besides the table of runs: those of `files_read`."""
    needs: tuple[tuple[Condition, str], ...] = field(default=())
    """What a study must have for it, and why it is left out otherwise."""
    main: bool = False
    """Whether a report shows it at once; the others open."""


CATALOGUE = {
    "runs": Entry(
        "runs",
        "All runs: error of {target} against {factors}{by_n}{bars}{front}.",
        "runs",
        main=True,
    ),
    "learning": Entry(
        "runs",
        "Training loss against the examples seen, of a few runs that differ in one factor only.",
        "runs",
        ("results",),
        (NOT_TRAINED,),
    ),
    "cost": Entry(
        "cost",
        "Measured cost as a multiple of the planned one, and the speed of training, by run; dashed: the median.",
        "runs",
        ("results",),
        (NOT_TRAINED,),
    ),
    "star": Entry(
        "by_factor",
        "Measured and predicted error of {target} along {each}; shaded: {shaded}.",
        "laws",
        ("laws",),
        (NO_LINE,),
        main=True,
    ),
    "star-tasks": Entry(
        "by_factor",
        "Measured and predicted error of {others} along {each}; shaded: {shaded}.",
        "laws",
        ("laws",),
        (ONE_TARGET, NO_LINE),
    ),
    "fit": Entry(
        "fit_quality",
        "Error of {target} as its law predicts it against the measured one, in sample and for runs left out.",
        "laws",
        ("laws", "predictions"),
        main=True,
    ),
    "bags": Entry(
        "fit_quality",
        "Error of each form's resampled fits of {target} on the runs they have not seen (boxes: quartiles, whiskers: "
        "90%), and of the median of their predictions (diamond).",
        "laws",
        ("laws",),
    ),
    "extrapolation": Entry(
        "fit_quality",
        "How the law of every target predicts runs it has not seen: mean relative error and R².",
        "laws",
        ("laws",),
        (ONE_TARGET,),
    ),
    "profiles": Entry(
        "fit_quality",
        "Profile likelihoods of {target}: how much worse the best fit gets with one parameter held and the others "
        "fitted anew. Values below the dotted line, 1, fit as well; triangle: the law. Where it stands above 0, a "
        "profile found a better fit than the law's own search.",
        "laws",
        ("laws", "profile"),
    ),
    "contours": Entry(
        "contours",
        "Predicted error of {target} over {pairs}{equal}; points: runs, by measured error.",
        "laws",
        ("laws",),
        (ONE_FACTOR,),
        main=True,
    ),
    "contours-tasks": Entry(
        "contours",
        "Predicted error of {others} over {pairs}{equal}.",
        "laws",
        ("laws",),
        (ONE_TARGET, ONE_FACTOR),
    ),
    "isoflop": Entry(
        "isoflop",
        "Above: runs of equal cost (points; ringed: the best of each budget) and the least predicted error of {target} "
        "with a factor held at a level (lines, with the {shaded}); star: x*. Below, of several budgets: the optimum.",
        "frontier",
        ("laws", "frontier"),
        (NO_COST, NO_RIVALS),
        main=True,
    ),
    "isoflop-tasks": Entry(
        "isoflop",
        "Runs of equal cost and the least predicted error of {others}, with its {shaded}; star: x*.",
        "frontier",
        ("laws", "frontier"),
        (ONE_TARGET, NO_COST, NO_RIVALS),
    ),
    "frontier": Entry(
        "frontier",
        "The frontier x*(c; n) of {target}: the share of the fits that choose a level (blue), x* of their median "
        "(dots) and the fits' trend, where there is one; last, the error with its {shaded}; dotted: outside the runs.",
        "frontier",
        ("laws", "frontier"),
        (NO_COST,),
        main=True,
    ),
    "frontier-tasks": Entry(
        "frontier",
        "The frontier x*(c; n) of {others}: the share of the fits that choose a level (blue), x* of their median "
        "(dots) and the fits' trend, where there is one; last, the error with its {shaded}.",
        "frontier",
        ("laws", "frontier"),
        (ONE_TARGET, NO_COST),
    ),
    "elasticity": Entry(
        "frontier",
        "Elasticity of x* in n by target with its band; filled where the band excludes 0.",
        "frontier",
        ("elasticity",),
        (NO_COST, NO_DATA),
        main=True,
    ),
    "elasticity-budget": Entry(
        "frontier",
        "Elasticity of x* of {target} in n along the budgets, smoothed: median and 90% band over the fits.",
        "frontier",
        ("laws", "frontier"),
        (NO_COST, NO_DATA),
    ),
    "vision-share": Entry(
        "cost",
        "Share of c(x) spent in the vision model, by tokens per frame and along the frontier of {target}.",
        "frontier",
        ("frontier",),
        (NO_COST, NO_VISION),
    ),
    "checkpoint": Entry(
        "checkpoint",
        "One trained model of each size at every budget (steps: its best test; dots: all its tests; error of {target}) "
        "against models of its size and n retrained at the law's best levels (dashed, with {shaded}).",
        "checkpoint",
        ("laws",),
        (NO_COST, NOT_ELSEWHERE),
        main=True,
    ),
    "regret": Entry(
        "frontier",
        "Points of error of {target} lost by simpler rules than the frontier, averaged over budgets; bars: 90% of the "
        "fits.",
        "regret",
        ("regret",),
        (NO_COST,),
        main=True,
    ),
}
"""Every figure by its name, in the order of a report."""


def left_out(outline: Outline) -> dict[str, str]:
    """Return for every figure that does not apply to a study why it does not."""
    reasons = {name: _reason(entry, outline) for name, entry in CATALOGUE.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def drawn(outline: Outline) -> list[str]:
    """Return the names of the figures that apply to a study."""
    without = left_out(outline)
    return [name for name in CATALOGUE if name not in without]


def _reason(entry: Entry, outline: Outline) -> str:
    return next((reason for condition, reason in entry.needs if not condition(outline)), "")


def caption(name: str, study: Study, target: str) -> str:
    """Return what a figure of a target shows, in words that are true of this study."""
    factors, cost, data = study.factors(), has_cost(study), study.trained or study.table.data is not None
    *most, last = [*factors, *(["cost"] if cost else [])]
    return CATALOGUE[name].caption.format(
        target=target,
        others="every other target" if len(study.targets()) > 2 else "the other target",
        shaded=range_name(study.frontier.pooling),
        factors=f"{', '.join(most)} and {last}" if most else last,
        each="each factor, the others at the center" if len(factors) > 1 else last if not cost else factors[0],
        pairs=("pairs of factors" if len(factors) > 2 else "two factors") if len(factors) > 1 else "a factor and n",
        by_n=", by number of examples" if data else "",
        bars="; bars: standard errors" if study.trained else "",
        front="; line: the least error for a cost" if cost else "",
        equal="; dashed: equal cost; star: the least error on it" if cost and len(factors) > 1 else "",
    )


def files_read(name: str, study: Study, results: str, target: str) -> list[str]:
    """Return the files that a figure is drawn from, besides the table of runs and the results of the runs."""
    folder, targets = ResultsFolder(Path(results)), study.targets()
    kinds = {
        "laws": [folder.laws_folder(each).weights for each in targets],
        "predictions": [folder.laws_folder(target).predictions],
        "profile": [folder.laws_folder(target).profile],
        "frontier": [folder.frontier_csv(each) for each in targets],
        "elasticity": [folder.table_csv("elasticity")],
        "regret": [folder.table_csv("regret")],
        "results": [],
    }
    return [str(path) for kind in CATALOGUE[name].reads for path in kinds[kind]]
