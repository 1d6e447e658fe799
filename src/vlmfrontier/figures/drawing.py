"""What figures share: predictions, runs of one line, names; and every figure of a study by its name, as files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vlmfrontier.errors import UserError
from vlmfrontier.figures import style
from vlmfrontier.figures.catalogue import CATALOGUE, left_out
from vlmfrontier.figures.outline import Outline
from vlmfrontier.frontier.pool import TargetLaws
from vlmfrontier.frontier.space import center_rows, equal_cost_budgets, equal_cost_rows
from vlmfrontier.progress import steps
from vlmfrontier.records import Runs
from vlmfrontier.results import Results
from vlmfrontier.tables.writing import write_csv

RANGE = " (0–100)"
SMALL = 18
"""Letters in a line beside a small panel."""


@dataclass(frozen=True)
class Labels:
    """The axes of one target's figures."""

    error: str
    """The target's error, with its range where it has one."""
    names: Mapping[str, str]
    """Factors and n."""
    cost_unit: str = "FLOPs"
    """What budgets and costs count."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """The error of every target, as `error`."""

    @classmethod
    def of(cls, runs: Runs, target: str, cost_unit: str = "FLOPs") -> "Labels":
        """Return the labels of a target of the runs."""
        names = {symbol: variable.axis(symbol) for symbol, variable in runs.variables.items()}
        errors = {name: runs.error_label(name) for name in runs.targets}
        return cls(errors[target], names, cost_unit, errors)

    def small_error(self, target: str) -> str:
        """Return a target's error for the side of a small panel, in two lines where it has a range."""
        return self.errors.get(target, target).replace(": ", "\n")

    def small_name(self, name: str) -> str:
        """Return what a factor, or n, is called for the side of a small panel."""
        return fill(self.names[name], SMALL)

    @property
    def factors(self) -> list[str]:
        """The symbols of the factors."""
        return [name for name in self.names if name != "n"]

    @property
    def range(self) -> str:
        """What all errors are measured in, behind the word error: ` (0–100)`; empty if own tables do not say."""
        return RANGE if all(label.endswith(RANGE) for label in self.errors.values()) else ""

    @property
    def budget(self) -> str:
        """The axis of budgets."""
        return f"budget c ({self.cost_unit}{self._per_video})"

    @property
    def cost(self) -> str:
        """The axis of the runs' own costs."""
        return f"cost c ({self.cost_unit}{self._per_video})"

    @property
    def _per_video(self) -> str:
        return " per video" if self.cost_unit == "FLOPs" else ""


@dataclass(frozen=True)
class Predictor:
    """The pooled prediction of one target and its 90% interval, at any point."""

    laws: TargetLaws

    @property
    def target(self) -> str:
        """The column of runs that is predicted."""
        return self.laws.name

    def __call__(
        self, x: Mapping[str, np.ndarray], examples: float | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return f and the ends of its interval for columns of factor values (m,) at one number of examples."""
        ensemble = self.laws.ensemble(x)
        points = np.arange(len(next(iter(x.values()))))
        n = ensemble.pool.data_unit if examples is None else examples
        low, high = ensemble.interval(points, n)
        return np.median(ensemble.pool.errors(points, n), axis=0), low, high


def center_line(runs: pd.DataFrame, factor: str, factors: Sequence[str]) -> pd.DataFrame | None:
    """Return the runs in which only `factor` (and n) varies: the line with the most levels; None if there is none."""
    rows = center_rows({name: runs[name].to_numpy() for name in factors}, factor)
    return None if rows is None else runs.iloc[rows]


def predictors_of(results: Results, targets: Sequence[str]) -> dict[str, Predictor]:
    """Return the pooled predictions of several targets."""
    return {target: Predictor(results.laws(target)) for target in targets}


class NothingToShow(Exception):  # noqa: N818 — not an error: a study may have nothing of a kind
    """A study has nothing of what a figure shows, for the reason given."""


@dataclass(frozen=True)
class Drawing:
    """A figure and the numbers that it shows, for the CSV beside it."""

    figure: Figure
    data: pd.DataFrame


def labels_of(results: Results, target: str) -> Labels:
    """Return what the axes of a target's figures are called."""
    return Labels.of(results.record, target, "FLOPs" if results.cost is None else results.cost.unit)


def other_targets(results: Results, target: str) -> list[str]:
    """Return the targets of a study besides one."""
    return [name for name in results.study.targets() if name != target]


def runs_with_sweeps(results: Results) -> pd.DataFrame:
    """Return the runs with what each is called, its sweep where it belongs to one, its cost where it is known, and
    `elsewhere` where some were tested at other levels than they were trained at."""
    table = results.table
    columns: dict[str, object] = {"run": table.names}
    columns |= {"sweep": table.frame["sweep"].to_numpy()} if "sweep" in table.frame else {}
    columns |= {} if results.cost is None else {"c": results.run_costs}
    columns |= {"elsewhere": table.elsewhere} if table.elsewhere.any() else {}
    runs = results.runs.drop(columns=["run", "c"], errors="ignore")
    return pd.concat([pd.DataFrame(columns, index=runs.index), runs], axis=1)


def budget_groups(results: Results) -> dict[float, pd.DataFrame]:
    """Return the runs of equal cost: those of the isoFLOP designs, or of an own table those that happen to agree."""
    costs = results.run_costs
    budgets, tolerance = equal_cost_budgets(results.study.sweep, costs)
    groups = equal_cost_rows(results.table.factors, results.table.data, costs, budgets, tolerance)
    if not groups:
        raise NothingToShow("No budget has runs of three or more configurations at equal cost and equal n.")
    return {budget: results.runs.iloc[rows] for budget, rows in groups.items()}


def draw(results: Results, name: str, target: str) -> Drawing:
    """Return a figure with its numbers. A study that has nothing of the kind gets a sentence without axes."""
    entry = CATALOGUE[name]
    function = getattr(import_module(f"vlmfrontier.figures.{entry.module}"), f"draw_{name.replace('-', '_')}")
    try:
        return function(results, target)
    except NothingToShow as reason:
        return Drawing(style.sentence(str(reason)), pd.DataFrame({"nothing_to_show": [str(reason)]}))


def save(results: Results, names: Sequence[str], target: str, folder: Path) -> list[Path]:
    """Draw figures as `folder`/<name>.png, .svg, .pdf and .csv, and return the paths of the PNGs.

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
