"""The `space` section: what could be deployed, an axis per factor; and levels of a factor as people write them."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from vlmfrontier.errors import UserError
from vlmfrontier.study.base import Section, Width
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


class VideoLevels(Section):
    """Levels of T and V, of which one may be left out: it stays as the run has it."""

    T: Levels | None = None
    """Frames per video."""
    V: Levels | None = None
    """Visual tokens per frame: squares."""

    @model_validator(mode="after")
    def _has_levels(self) -> "VideoLevels":
        if self.T is None and self.V is None:
            raise ValueError("names no levels; write T: […], V: […] or both, or leave the key out")
        return self


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
