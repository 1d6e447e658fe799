"""The prior of laws that a design is judged by before its runs, and the design: planned runs, or an own table's rows.

The prior is wide and knows nothing of the study: terms of all factors (and n) with random exponents and contributions,
with no, weak or strong interactions of factors and n, or a product.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vlmfrontier.cost.model import cost_model, has_cost
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.elasticity import ElasticityGrid
from vlmfrontier.frontier.rivals import Configuration
from vlmfrontier.frontier.space import SearchSpace, default_budgets, most_frequent, named_levels, search_space
from vlmfrontier.laws.table import ResultsTable, from_arrays
from vlmfrontier.laws.user_table import read_table
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.runs import plan_runs

TARGET = "simulated"
"""The target of simulated runs."""
COMMON = 0.1
"""A level that a smaller share of the runs has is no center."""
BUDGETS, SIZES = 8, 3
"""Budgets and data sizes that a direction is averaged over: fewer than a study's own table has."""
INTERACTIONS = {"none": (0.0, 0.0), "weak": (0.2, 1.0), "strong": (1.0, 4.0)}
"""Points that the interaction of each factor with n contributes at the center, by kind of law."""
PRODUCT = "product"
ERRORS = (10.0, 90.0)
"""A law whose errors on the runs leave this range is drawn again."""
TYPICAL = 45.0
"""A typical error of the prior, in points: what another scale of errors is compared with."""
TRIES = 5000

Law = Callable[[Mapping[str, np.ndarray]], np.ndarray]
"""Error without noise at points: columns by factor and `n`."""


@dataclass(frozen=True)
class Design:
    """Planned runs, and the space that a frontier would be searched in."""

    factors: dict[str, np.ndarray]
    data: np.ndarray | None
    center: Configuration
    space: SearchSpace | None = None
    """None without a cost: then there is no x* whose direction could be found."""
    grid: ElasticityGrid | None = None
    scale: float = 1.0
    """Points of error in one point of the prior: 1 of tasks, for a loss 1/45 of a typical one."""

    def table(self, error: np.ndarray) -> ResultsTable:
        """Return the runs with these errors."""
        unit = 1.0 if self.data is None else float(np.median(self.data))
        return from_arrays(self.factors, {TARGET: error}, self.data, self.center, unit)

    @property
    def configurations(self) -> int:
        """Number of distinct configurations, n included."""
        return len(np.unique(np.stack(list(self.points().values()), axis=1), axis=0))

    def points(self) -> dict[str, np.ndarray]:
        """Return factors and n as columns."""
        return self.factors if self.data is None else {**self.factors, "n": self.data}


def draw_law(design: Design, rng: np.random.Generator) -> Law:
    """Return a random law of the prior with plausible errors on the runs. Raises `UserError` if none is found."""
    kinds = (*INTERACTIONS, PRODUCT) if design.data is not None else ("none", PRODUCT)
    kind, least, most = rng.choice(kinds), ERRORS[0] * design.scale, ERRORS[1] * design.scale
    for _ in range(TRIES):
        law = _product(design, rng) if kind == PRODUCT else _sum(design, rng, INTERACTIONS[kind])
        errors = law(design.points())
        if errors.min() > least and errors.max() < most:
            return law
    raise UserError("the runs span so much that no law of the prior has errors between 10 and 90 on all of them")


def _relative(design: Design, points: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | float]:
    """Return the factors relative to the center, (m, K), and n relative to the runs' median."""
    x = np.stack([np.asarray(points[name], float) / level for name, level in design.center.items()], axis=-1)
    return x, 1.0 if design.data is None else np.asarray(points["n"], float) / np.median(design.data)


def _sum(design: Design, rng: np.random.Generator, interaction: tuple[float, float]) -> Law:
    """Return Σ α_k x_k^(−a_k) + (Σ β_k x_k^(b_k) + ξ) n^(−d) + ε."""
    count, has_data = len(design.center), design.data is not None
    main, a = rng.uniform(2, 10, count), rng.uniform(0.2, 0.9, count)
    beta, b = rng.uniform(*interaction, count), rng.uniform(0.1, 0.6, count)
    xi, d, floor = rng.uniform(2, 8) * has_data, rng.uniform(0.2, 0.6), rng.uniform(12, 28)

    def law(points: Mapping[str, np.ndarray]) -> np.ndarray:
        x, n = _relative(design, points)
        return design.scale * ((main * x**-a).sum(-1) + ((beta * x**b).sum(-1) + xi) * n**-d + floor)

    return law


def _product(design: Design, rng: np.random.Generator) -> Law:
    """Return α Π x_k^(−a_k) n^(−d) + ε."""
    size, a = rng.uniform(12, 28), rng.uniform(0.05, 0.3, len(design.center))
    d, floor = rng.uniform(0.1, 0.4), rng.uniform(12, 28)

    def law(points: Mapping[str, np.ndarray]) -> np.ndarray:
        x, n = _relative(design, points)
        return design.scale * (size * np.prod(x**-a, axis=-1) * n**-d + floor)

    return law


def design_of(study: Study, target: str) -> Design:
    """Return the planned runs of a study, or the rows of its own table, with the space that x* is searched in."""
    factors, data, center, scale = _planned(study) if study.trained else _measured(study, target)
    if not has_cost(study):
        return Design(factors, data, center, scale=scale)
    space, grid = search_space(study, factors), None
    if data is not None:
        budgets = study.frontier.given_budgets
        if budgets is None:
            budgets = default_budgets(np.broadcast_to(cost_model(study).cost(factors), len(data)), space)
        config = study.frontier.elasticity.model_copy(update={"budgets": BUDGETS, "sizes": SIZES})
        grid = ElasticityGrid.of(config, budgets, data)
    return Design(factors, data, center, space, grid, scale)


def _planned(study: Study) -> tuple[dict[str, np.ndarray], np.ndarray, Configuration, float]:
    """Return factors, n and center of the planned runs; tasks have errors in points."""
    runs, names, center = plan_runs(study), named_levels(study.models), study.sweep.center
    if not runs:
        raise UserError(f"study {study.study}: it plans no runs")
    factors = {name: np.array([getattr(run, name) for run in runs], float) for name in study.factors()}
    at = {name: getattr(center, name) for name in factors} if center is not None else _center(factors)
    at = {name: float(names.get(name, {}).get(level, level)) for name, level in at.items()}
    return factors, np.array([run.n for run in runs], float), at, 1.0


def _measured(study: Study, target: str) -> tuple[dict[str, np.ndarray], np.ndarray | None, Configuration, float]:
    """Return factors, n and center of the rows of a table, and what one point of the prior is in its errors."""
    table = read_table(study.table).measured(target)
    loss = study.table.targets[target].kind == "error"
    scale = float(np.median(table.error(target))) / TYPICAL if loss else 1.0
    return dict(table.factors), table.data, _center(table.factors), scale


def _center(factors: dict[str, np.ndarray]) -> Configuration:
    """Return the level of every factor that most runs have, the largest of several; the median where levels vary."""
    return {
        name: most_frequent(values) if _shared(values) >= COMMON else float(np.median(values))
        for name, values in factors.items()
    }


def _shared(values: np.ndarray) -> float:
    """Return the share of the runs that have the most frequent level."""
    return float(np.mean(values == most_frequent(values)))
