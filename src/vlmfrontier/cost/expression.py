"""A user's own cost: a formula over the factors' names."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from vlmfrontier.errors import UserError
from vlmfrontier.tables.expressions import SafeExpression


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
        """Return c(x) for the columns of `values`, shape of the columns; a formula of constants costs the same
        everywhere.

        Raises `UserError` if a cost is not a positive finite number.
        """
        # The columns that the formula reads decide the shape; others may be texts.
        columns = {name: np.asarray(values[name]) for name in self.factors if name in values}
        shape = np.broadcast_shapes(*map(np.shape, columns.values())) if columns else _shape_of(values)
        known = {name: values[name] for name in values} | columns
        cost = np.broadcast_to(self.expression.numbers(known), shape)
        bad = np.flatnonzero(~(np.isfinite(cost) & (cost > 0)))
        if len(bad):
            at = {name: np.broadcast_to(column, shape).flat[bad[0]] for name, column in columns.items()}
            where = ", ".join(
                f"{name} = {value:g}" for name, value in at.items() if np.issubdtype(type(value), np.number)
            )
            raise UserError(
                f"cost.expression: {self.text!r} is not a positive number everywhere: it is {cost.flat[bad[0]]:g}"
                f"{' where ' + where if where else ''}; mend the formula, or take such levels out of `space`"
            )
        return cost


def _shape_of(values: Mapping[str, ArrayLike]) -> tuple[int, ...]:
    """Return the shape of all columns together."""
    return np.broadcast_shapes(*(np.shape(values[name]) for name in values))
