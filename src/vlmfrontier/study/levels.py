"""Levels of a factor as people write them: a list, a range, or the squares a grid of tokens can have."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from vlmfrontier.errors import UserError
from vlmfrontier.study.base import Width
from vlmfrontier.units import parse_number

MOST_LEVELS = 10_000
"""Levels that a range may stand for."""
_HELP = "write a list, {from: 1, to: 16} (with an optional step) or {squares: 8} for 1, 4, 9, …, 64"


def expand_levels(value: Any) -> Any:
    """Return the list that a range or `squares` stands for; anything else is returned as it is.

    `{from: 1, to: 7, step: 2}` is [1, 3, 5, 7] and `{squares: 3}` is [1, 4, 9]. Raises `ValueError` for other mappings.
    """
    if not isinstance(value, Mapping):
        return value
    numbers = {key: _whole_number(number) for key, number in value.items()}
    if set(numbers) == {"squares"}:
        _refuse_many(numbers["squares"])
        return [side * side for side in range(1, numbers["squares"] + 1)]
    if {"from", "to"} <= set(numbers) <= {"from", "to", "step"}:
        levels = range(numbers["from"], numbers["to"] + 1, numbers.get("step", 1))
        _refuse_many((numbers["to"] - numbers["from"]) // numbers.get("step", 1) + 1)
        return list(levels)
    raise ValueError(_HELP)


def _refuse_many(count: int) -> None:
    if count > MOST_LEVELS:
        raise ValueError(f"stands for {count:,} levels; write at most {MOST_LEVELS:,}, or a step")


def _whole_number(value: Any) -> int:
    try:
        number = parse_number(value)
    except (UserError, OverflowError) as error:
        raise ValueError(str(error)) from None
    if not math.isfinite(number) or number < 1 or number != int(number):
        raise ValueError(f"{value!r} is not a whole positive number; {_HELP}")
    return int(number)


def is_square(number: float) -> bool:
    """Say whether `number` tokens make a square grid."""
    return number == math.isqrt(int(number)) ** 2


Levels = Annotated[
    list[Width],
    BeforeValidator(expand_levels, json_schema_input_type=list[int] | dict[str, int | str]),
    Field(min_length=1),
]
"""Whole positive levels of a factor, in any of the three spellings; validated to a list."""
