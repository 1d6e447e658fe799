"""The `space` section: the configurations that could be deployed, as one axis per factor."""

import math
from typing import Annotated

from pydantic import BeforeValidator, Field

from vlmfrontier.errors import UserError
from vlmfrontier.study.levels import expand_levels
from vlmfrontier.units import parse_number


def _level(value: object) -> float | str:
    """Return the positive number that `value` says, or the name that it is."""
    try:
        number = parse_number(value)  # type: ignore[arg-type]
    except UserError:
        if isinstance(value, str):
            return value
        raise ValueError(f"{value!r} is neither a number nor the name of a language model") from None
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    if number <= 0:
        raise ValueError(f"{value!r} is not a possible level; levels are positive")
    return number


Level = Annotated[float | str, BeforeValidator(_level)]
"""A feasible value, in the units of the table (N in parameters), or the name of one of the study's language models."""

Axis = Annotated[
    list[Level],
    BeforeValidator(expand_levels, json_schema_input_type=list[float | str] | dict[str, float | str]),
    Field(min_length=1),
]
"""One factor's feasible values: a list, `{from, to, step}`, or `{squares: k}` for 1, 4, …, k²."""

SpaceConfig = dict[str, Axis]
"""Feasible values by factor; a factor left out keeps its default."""
