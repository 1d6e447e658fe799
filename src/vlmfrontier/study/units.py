"""Numbers as people write them: `10T`, `2M`, `250k`, `7.5B`, and back."""

import math
import re
from typing import Annotated

from pydantic import BeforeValidator

from vlmfrontier.errors import UserError

# G and B are the same: FLOPs come as GFLOPs, parameters as billions.
_FACTORS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_NUMBER = re.compile(r"^\s*([+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([kKMGBTPE]?)\s*$")


def parse_number(text: str | float) -> float:
    """Return the number that `text` says: `parse_number("2.5M") == 2_500_000.0`.

    Raises `UserError` for anything that is not a number with an optional suffix k, M, G or B, T, P, E.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    match = _NUMBER.match(str(text))
    if match is None:
        raise UserError(f"{text!r} is not a number; write for example 250k, 2M, 7.5B, 10T or 1.0e12")
    return float(match[1]) * _FACTORS[match[2]]


def format_number(value: float, billions: str = "G") -> str:
    """Return `value` with three significant digits and a suffix: `format_number(83_280) == "83.3k"`.

    `billions` is the letter for 1e9: `G` for FLOPs, `B` for parameters.
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.3g}")  # first, so that 999.6k becomes 1M
    for suffix, factor in (("E", 1e18), ("P", 1e15), ("T", 1e12), (billions, 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(rounded) >= factor:
            return f"{float(f'{rounded / factor:.3g}'):g}{suffix}"
    return f"{rounded:g}"


def _number(value: object) -> float:
    try:
        return parse_number(value)  # type: ignore[arg-type]
    except UserError as error:
        raise ValueError(str(error)) from None  # so that the message gets its key path from the validation


def _count(value: object) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError(f"{value!r} is not a whole number")
    return int(number)


Number = Annotated[float, BeforeValidator(_number, json_schema_input_type=float | str)]
"""A field that takes `10T` as well as `1.0e13`."""

Count = Annotated[int, BeforeValidator(_count, json_schema_input_type=int | str)]
"""A field that takes `250k` as well as `250000`, and refuses fractions."""
