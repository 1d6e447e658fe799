"""The configurations that could be deployed, in order of cost: where x* is searched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vlmfrontier.cost.model import CostModel, cost_model
from vlmfrontier.errors import UserError
from vlmfrontier.study.units import format_count, format_number

if TYPE_CHECKING:
    from vlmfrontier.study.root import Study

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


def search_space(study: "Study", runs: Mapping[str, np.ndarray]) -> SearchSpace:
    """Return the study's search space: its `space` section, completed by defaults.

    `runs` are the factor values of the runs. By default a trained study may deploy its language models, 1 to twice the
    most frames of its runs, and square token grids up to what the vision model gives; an own table the levels in it.
    """
    given = study.space or {}
    unknown = [name for name in given if name not in runs]
    if unknown:
        raise UserError(f"space: there is no factor {unknown[0]!r}; the factors are {', '.join(runs)}")
    names = {"N": language_models(study), "M": vision_models(study)}
    axes = {
        name: _values(given[name], names.get(name, {})) if name in given else _default(study, name, runs[name])
        for name in runs
    }
    return grid_space(axes, cost_model(study))


def check_budgets(space: SearchSpace, budgets: Sequence[float]) -> None:
    """Raise `UserError` if a budget cannot pay for the cheapest configuration."""
    least = min(budgets)
    if least < space.cost[0]:
        cheapest = ", ".join(f"{name} = {format_count(value)}" for name, value in space.at(0).items())
        raise UserError(
            f"budget {format_number(least)} {space.unit} is below the cheapest configuration ({cheapest}), "
            f"which costs {format_number(space.cost[0])}; raise the budget"
        )


def check_frontier(study: "Study", runs: Mapping[str, np.ndarray]) -> None:
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


def language_models(study: "Study") -> dict[str, float]:
    """Return N of the study's language models by their names; empty for an own table."""
    return {name: model.N for name, model in study.models.language.items()} if study.trained else {}


def vision_models(study: "Study") -> dict[str, float]:
    """Return M of the study's several vision models by their names; empty for an own table."""
    return {name: float(tower.parameters) for name, tower in study.models.towers.items()} if study.trained else {}


def _values(levels: Sequence[float | str], names: Mapping[str, float]) -> np.ndarray:
    unknown = [level for level in levels if isinstance(level, str) and level not in names]
    if unknown:
        known = f", and the models are {', '.join(names)}" if names else ""
        raise UserError(f"space: {unknown[0]!r} is not a number{known}")
    return np.array([names[level] if isinstance(level, str) else level for level in levels], float)


def _default(study: "Study", factor: str, runs: np.ndarray) -> np.ndarray:
    """Return the default axis of a factor from the study's models and the values of its runs."""
    if study.trained and factor == "N":
        return np.array(list(language_models(study).values()))
    if study.trained and factor == "M":
        return np.array(list(vision_models(study).values()))
    if study.trained and factor == "T":
        return np.arange(1.0, FRAMES_BEYOND * np.max(runs) + 1)
    if study.trained and factor == "V":
        return np.arange(1.0, np.sqrt(study.models.largest_tower.features) + 1) ** 2
    return np.unique(runs)
