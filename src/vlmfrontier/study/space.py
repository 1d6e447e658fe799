"""The `space` section: the configurations that could be deployed, as one axis per factor."""

from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
from pydantic import Discriminator, Field, Tag, model_validator

from vlmfrontier.errors import UserError
from vlmfrontier.study.base import Section
from vlmfrontier.study.units import Number


class AxisRange(Section):
    """Every value from `from` to `to`, both included."""

    from_: Number = Field(alias="from")
    """First value."""

    to: Number
    """Last value."""

    step: Number = 1.0
    """Distance of neighbours. Raise it where a factor only comes in multiples."""

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.step <= 0:
            raise ValueError(f"step: {self.step:g} must be positive")
        if self.to < self.from_:
            raise ValueError(f"from: {self.from_:g} lies above to: {self.to:g}; the axis would be empty")
        return self

    def values(self) -> np.ndarray:
        """Return the values in ascending order."""
        count = int(np.floor((self.to - self.from_) / self.step + 1e-9)) + 1
        return self.from_ + self.step * np.arange(count)


class AxisSquares(Section):
    """The squares 1², 2², …, k²: visual tokens per frame form a k × k grid."""

    squares: int = Field(ge=1)
    """The largest k."""

    def values(self) -> np.ndarray:
        """Return 1, 4, …, squares²."""
        return np.arange(1.0, self.squares + 1) ** 2


def _kind(axis: object) -> str:
    """Return which kind of axis the configuration means, so that a mistake is reported for that kind alone."""
    if isinstance(axis, AxisSquares) or (isinstance(axis, dict) and "squares" in axis):
        return "squares"
    return "range" if isinstance(axis, AxisRange | dict) else "values"


Axis = Annotated[
    Annotated[list[Annotated[Number | str, Field(union_mode="left_to_right")]], Field(min_length=1), Tag("values")]
    | Annotated[AxisRange, Tag("range")]
    | Annotated[AxisSquares, Tag("squares")],
    Discriminator(_kind),
]
"""One factor's feasible values: a list (of numbers, or of the names of language models), `{from, to, step}`, or
`{squares: k}`."""

Space = dict[str, Axis]
"""Feasible values by factor; a factor left out keeps its default."""


def axis_values(axis: Axis, names: Mapping[str, float] | None = None) -> np.ndarray:
    """Return the values of an axis, ascending, without repetitions; `names` gives the values of named levels.

    Raises `UserError` for a name that is not among them, and for values that are not positive.
    """
    values = _listed_values(axis, names or {}) if isinstance(axis, list) else axis.values()
    if (values <= 0).any():
        raise UserError(f"space: {values.min():g} is not a possible level; every level must be positive")
    return np.unique(values)


def _listed_values(levels: list[float | str], names: Mapping[str, float]) -> np.ndarray:
    unknown = [level for level in levels if isinstance(level, str) and level not in names]
    if unknown:
        known = f"; names are {', '.join(names)}" if names else ""
        raise UserError(f"space: {unknown[0]!r} is not a number{known}")
    return np.array([names[level] if isinstance(level, str) else level for level in levels], float)
