"""A user's own cost: a formula over the factors' names."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from vlmfrontier.cost.safe_expression import SafeExpression
from vlmfrontier.errors import UserError


@dataclass(frozen=True)
class ExpressionCost:
    """c(x) by a formula such as `N * (50 + V)`, in the unit the user has in mind."""

    text: str
    unit: str
    expression: SafeExpression = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        object.__setattr__(self, "expression", SafeExpression(self.text, "cost.expression"))

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors that the formula reads."""
        return self.expression.names

    @property
    def models(self) -> dict[str, list[float]]:
        """None: a formula knows every number."""
        return {}

    def cost(self, values: Mapping[str, ArrayLike]) -> np.ndarray:
        """Return c(x) for the columns of `values`, shape of the columns.

        Raises `UserError` if a cost is not a positive number.
        """
        shape = np.broadcast_shapes(*(np.shape(values[name]) for name in self.factors if name in values))
        cost = np.broadcast_to(self.expression(values).astype(float), shape)
        if not (np.isfinite(cost) & (cost > 0)).all():
            raise UserError(f"cost.expression: {self.text!r} is not a positive number everywhere; check the formula")
        return cost
