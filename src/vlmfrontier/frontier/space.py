"""Configurations: which could be deployed, in order of cost; which the runs cover; which runs belong on one line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vlmfrontier.cost.model import CostModel, cost_model
from vlmfrontier.errors import UserError
from vlmfrontier.study.models import ModelsConfig
from vlmfrontier.study.root import Study
from vlmfrontier.study.sweep import SweepConfig
from vlmfrontier.units import format_configuration, format_number

BUDGETS = 300
"""How many budgets there are by default, as in the paper."""
FRAMES_BEYOND = 2
"""By default a trained study's space reaches to this multiple of the most frames among its runs."""


@dataclass(frozen=True)
class SearchSpace:
    """Every feasible configuration, the cheapest first."""

    factors: dict[str, np.ndarray]
    """Values by factor, each of shape (m,), in the units of the table (N in parameters)."""
    cost: np.ndarray
    """c(x) of each configuration, shape (m,), ascending."""
    unit: str = "FLOPs"
    """What `cost` counts."""

    def __len__(self) -> int:
        return len(self.cost)

    def at(self, index: int) -> dict[str, float]:
        """Return one configuration as factor → value."""
        return {name: float(values[index]) for name, values in self.factors.items()}

    def levels(self, factor: str) -> np.ndarray:
        """Return the feasible values of one factor, ascending."""
        return np.unique(self.factors[factor])

    def at_end(self, x: Mapping[str, float]) -> list[str]:
        """Return the names of the factors whose value is the smallest or the largest of several."""
        ends = {name: (float(np.min(values)), float(np.max(values))) for name, values in self.factors.items()}
        return [name for name, (low, high) in ends.items() if low < high and x[name] in (low, high)]

    def within(self, budget: float) -> "SearchSpace":
        """Return the configurations that cost at most `budget`."""
        count = np.searchsorted(self.cost, budget, side="right")
        return SearchSpace({name: v[:count] for name, v in self.factors.items()}, self.cost[:count], self.unit)


def grid_space(axes: Mapping[str, Sequence[float]], model: CostModel) -> SearchSpace:
    """Return all combinations of the axes' values, sorted by their cost; equal costs keep the order of the axes.

    Combinations whose cost was not measured are left out. Raises `UserError` if an axis is empty or none is left.
    """
    empty = [name for name, values in axes.items() if len(values) == 0]
    if empty:
        raise UserError(f"space: {empty[0]} has no feasible value; give it at least one")
    grid = np.meshgrid(*(np.unique(np.asarray(values, float)) for values in axes.values()), indexing="ij")
    factors = {name: values.ravel() for name, values in zip(axes, grid, strict=True)}
    cost = np.broadcast_to(model.cost(factors), grid[0].size)
    order = np.argsort(cost, kind="stable")
    order = order[np.isfinite(cost[order])]
    if len(order) == 0:
        raise UserError(
            f"space: none of its {cost.size} configurations lies within the measured costs; measure some of them, or "
            "give space levels between the measured ones"
        )
    return SearchSpace({name: values[order] for name, values in factors.items()}, cost[order], model.unit)


def search_space(study: Study, runs: Mapping[str, np.ndarray]) -> SearchSpace:
    """Return the study's search space: its `space` section, completed by defaults.

    `runs` are the factor values of the runs. By default a trained study may deploy its language models, 1 to twice the
    most frames of its runs, and square token grids up to what the vision model gives; an own table the levels in it.
    """
    given = study.space or {}
    unknown = [name for name in given if name not in runs]
    if unknown:
        raise UserError(f"space: there is no factor {unknown[0]!r}; the factors are {', '.join(runs)}")
    names = named_levels(study.models)
    axes = {
        name: _values(given[name], names.get(name, {})) if name in given else _default(study.models, name, runs[name])
        for name in runs
    }
    return grid_space(axes, cost_model(study))


def check_budgets(space: SearchSpace, budgets: Sequence[float]) -> None:
    """Raise `UserError` if a budget cannot pay for the cheapest configuration."""
    least = min(budgets)
    if least < space.cost[0]:
        cheapest = format_configuration(space.at(0))
        raise UserError(
            f"budget {format_number(least)} {space.unit} is below the cheapest configuration ({cheapest}), "
            f"which costs {format_number(space.cost[0])}; raise the budget"
        )


def check_frontier(study: Study, runs: Mapping[str, np.ndarray]) -> None:
    """Raise `UserError` for a frontier that could not be searched, as far as is known before anything has run.

    `runs` are the factor values of the runs.
    """
    space, budgets = search_space(study, runs), study.frontier.budgets
    if budgets is None:
        return
    try:
        check_budgets(space, budgets if isinstance(budgets, list) else budgets.values())
    except UserError as error:
        raise UserError(f"study {study.study}: frontier.budgets: {error}") from None


def named_levels(models: ModelsConfig | None) -> dict[str, dict[str, float]]:
    """Return N of the language models, and M of the vision models, by their names; empty where there are no models."""
    if models is None:
        return {}
    return {
        "N": {name: model.N for name, model in models.language.items()},
        "M": {name: float(tower.parameters) for name, tower in models.towers.items()},
    }


def _values(levels: Sequence[float | str], names: Mapping[str, float]) -> np.ndarray:
    unknown = [level for level in levels if isinstance(level, str) and level not in names]
    if unknown:
        known = f", and the models are {', '.join(names)}" if names else ""
        raise UserError(f"space: {unknown[0]!r} is not a number{known}")
    return np.array([names[level] if isinstance(level, str) else level for level in levels], float)


def _default(models: ModelsConfig | None, factor: str, runs: np.ndarray) -> np.ndarray:
    """Return the default axis of a factor from the models that could be deployed and the values of the runs."""
    if models is None:
        return np.unique(runs)
    if factor in ("N", "M"):
        return np.array(list(named_levels(models)[factor].values()))
    if factor == "T":
        return np.arange(1.0, FRAMES_BEYOND * np.max(runs) + 1)
    return np.arange(1.0, np.sqrt(models.largest_tower.features) + 1) ** 2


def default_budgets(costs: np.ndarray, space: SearchSpace) -> np.ndarray:
    """Return 300 budgets from the cheapest to the dearest run, ascending, none below the cheapest configuration.

    `costs` are those of the runs, not finite where unknown.
    """
    known = costs[np.isfinite(costs)]
    dearest = known.max() if len(known) else space.cost[-1]
    return np.linspace(max(known.min(initial=dearest), space.cost[0]), dearest, BUDGETS)


def range_name(pooling: str) -> str:
    """Return what a study that pools so may call the range around its predictions."""
    return "90% interval" if pooling == "pool" else "bagging spread"


INSIDE = "no"
"""The value of the columns `extrapolates` and `edge` where nothing is; otherwise the names of what is, as `T n`."""


@dataclass(frozen=True)
class RunRange:
    """The smallest and largest value of every factor, and of n, among the runs that the laws were fitted to."""

    factors: dict[str, tuple[float, float]]
    """Smallest and largest value by factor, in the units of the table."""
    examples: tuple[float, float] | None
    """Smallest and largest number of examples; None for a table without data size."""

    @classmethod
    def of(cls, factors: Mapping[str, np.ndarray], examples: np.ndarray | None) -> "RunRange":
        """Return the ranges of the given columns."""
        spans = {name: (float(np.min(values)), float(np.max(values))) for name, values in factors.items()}
        return cls(spans, None if examples is None else (float(np.min(examples)), float(np.max(examples))))

    def outside(self, x: Mapping[str, float], examples: float | None) -> list[str]:
        """Return the names of the factors, and `n`, whose value lies outside the runs."""
        names = [name for name, (low, high) in self.factors.items() if not low <= x[name] <= high]
        if examples is not None and self.examples is not None and not self.examples[0] <= examples <= self.examples[1]:
            names.append("n")
        return names


LEAST_LEVELS = 3
"""A line with fewer levels of its factor shows no law, and fewer rivals no optimum."""
GENERIC_TOLERANCE = 0.05
"""Runs whose costs differ by less than this share a budget, where no isoFLOP design says which do."""
GENERIC_BUDGETS = 4


def center_rows(factors: Mapping[str, np.ndarray], factor: str) -> np.ndarray | None:
    """Return the indices of the runs in which only `factor` (and n) varies: the line with most levels, by level.

    None if no line has three levels.
    """
    others = [values for name, values in factors.items() if name != factor]
    levels = factors[factor]
    if others:
        line = np.unique(np.stack(others, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    else:
        line = np.zeros(len(levels), int)
    groups = [np.flatnonzero(line == number) for number in range(line.max() + 1)]
    longest = max(groups, key=lambda rows: (len(np.unique(levels[rows])), len(rows)))
    if len(np.unique(levels[longest])) < LEAST_LEVELS:
        return None
    return longest[np.argsort(levels[longest], kind="stable")]


def equal_cost_budgets(sweep: SweepConfig | None, costs: np.ndarray) -> tuple[list[float], float]:
    """Return the budgets of the isoFLOP designs and their tolerance; without a design, costs that most runs share."""
    designs = [] if sweep is None else sweep.designs.values()
    isoflop = [design for design in designs if design.design == "isoflop"]
    if isoflop:
        budgets = sorted({budget for design in isoflop for budget in design.budgets})
        return budgets, max(design.tolerance for design in isoflop)
    known = np.sort(costs[np.isfinite(costs)])
    near = np.searchsorted(known, known * (1 + GENERIC_TOLERANCE), "right")
    near -= np.searchsorted(known, known * (1 - GENERIC_TOLERANCE), "left")
    chosen: list[float] = []
    for cost in known[np.argsort(-near, kind="stable")]:
        if len(chosen) < GENERIC_BUDGETS and all(abs(cost / other - 1) > 2 * GENERIC_TOLERANCE for other in chosen):
            chosen.append(float(cost))
    return sorted(chosen), GENERIC_TOLERANCE


def equal_cost_rows(
    factors: Mapping[str, np.ndarray],
    examples: np.ndarray | None,
    costs: np.ndarray,
    budgets: Sequence[float],
    tolerance: float,
) -> dict[float, np.ndarray]:
    """Return the indices of the runs whose cost is within `tolerance` of each budget, of the n that most of them share.

    Budgets with fewer than three configurations are left out.
    """
    groups = {}
    x = np.stack(list(factors.values()), axis=1)
    for budget in budgets:
        rows = np.flatnonzero(np.abs(costs / budget - 1) <= tolerance)
        if examples is not None and len(rows):
            rows = rows[examples[rows] == most_frequent(examples[rows])]
        if len(np.unique(x[rows], axis=0)) >= LEAST_LEVELS:
            groups[float(budget)] = rows
    return groups


def most_frequent(values: np.ndarray) -> float:
    """Return the value that comes most often, the largest of several."""
    levels, counts = np.unique(np.asarray(values, float), return_counts=True)
    return float(levels[counts == counts.max()].max())
