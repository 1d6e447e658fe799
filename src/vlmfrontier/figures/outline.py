"""What is known of a study before its runs are, and what of it a figure may need.

The Snakefile reads this before any job, so nothing here imports matplotlib.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vlmfrontier.cost.model import cost_model, has_cost, has_vision_share
from vlmfrontier.frontier.space import center_rows, equal_cost_budgets, equal_cost_rows
from vlmfrontier.study.root import Study

if TYPE_CHECKING:
    from vlmfrontier.laws.table import ResultsTable


@dataclass(frozen=True)
class Outline:
    """What is known of a study before its runs are: its keys and the configurations that it has runs of."""

    study: Study
    factors: Mapping[str, np.ndarray]
    """Values of every factor, a row per run, each of shape (m,)."""
    examples: np.ndarray | None  # n of every run, (m,); None for a table without data size
    elsewhere: bool = False  # whether some run is tested at levels that it was not trained at

    @classmethod
    def of(cls, study: Study, table: "ResultsTable") -> "Outline":
        """Return the outline of a study whose runs, or whose own table, are there."""
        return cls(study, table.factors, table.data, bool(table.elsewhere.any()))

    @property
    def varied(self) -> list[str]:
        """The factors with more than one value."""
        return [name for name, values in self.factors.items() if len(np.unique(values)) > 1]

    @property
    def has_sizes(self) -> bool:
        """Whether n varies."""
        return self.examples is not None and len(np.unique(self.examples)) > 1

    @property
    def has_line(self) -> bool:
        """Whether some factor is varied alone."""
        return any(center_rows(self.factors, name) is not None for name in self.factors)

    @property
    def has_rivals(self) -> bool:
        """Whether some budget has runs of equal cost."""
        costs = np.broadcast_to(cost_model(self.study).cost(self.factors), len(next(iter(self.factors.values()))))
        budgets, tolerance = equal_cost_budgets(self.study.sweep, costs)
        return bool(equal_cost_rows(self.factors, self.examples, costs, budgets, tolerance))


Condition = Callable[[Outline], bool]

NO_LINE: tuple[Condition, str] = (
    lambda outline: outline.has_line,
    "no factor is varied alone over at least three values",
)
ONE_FACTOR: tuple[Condition, str] = (
    lambda outline: len(outline.varied) + outline.has_sizes > 1,
    "fewer than two factors, or one and n, are varied",
)
ONE_TARGET: tuple[Condition, str] = (lambda outline: len(outline.study.targets()) > 1, "there is one target only")
NO_COST: tuple[Condition, str] = (lambda outline: has_cost(outline.study), "the study gives no cost")
NO_RIVALS: tuple[Condition, str] = (
    lambda outline: outline.has_rivals,
    "no budget has runs of three or more configurations at equal cost and equal n",
)
NO_DATA: tuple[Condition, str] = (lambda outline: outline.examples is not None, "the table has no data size")
NO_VISION: tuple[Condition, str] = (
    lambda outline: has_vision_share(outline.study),
    "the cost has no part of its own for the vision model",
)
NOT_ELSEWHERE: tuple[Condition, str] = (
    lambda outline: outline.elsewhere,
    "no model is tested at levels that it was not trained at",
)
NOT_TRAINED: tuple[Condition, str] = (lambda outline: outline.study.sweep is not None, "the study starts at a table")
