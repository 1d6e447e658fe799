"""Numbers as people write them: `10T`, `2M`, `250k`, `7.5B`, and back; and how each kind of number is written."""

import math
import re
from collections.abc import Mapping

from vlmfrontier.errors import UserError

# G and B are the same: FLOPs come as GFLOPs, parameters as billions.
_FACTORS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_FACTORS |= {"Z": 1e21, "Y": 1e24}
_LARGEST, _LEAST, _NOTHING = 1e27, 0.01, 1e-9
_NUMBER = re.compile(r"^\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*([kKMGBTPEZY]?)\s*$")


def parse_number(text: str | float) -> float:
    """Return the number that `text` says: `parse_number("2.5M") == 2_500_000.0`.

    Raises `UserError` for anything that is not a number with an optional suffix k, M, G or B, T, P, E, Z, Y.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    match = _NUMBER.match(str(text))
    if match is None:
        raise UserError(f"{text!r} is not a number; write for example 250k, 2M, 7.5B, 10T or 1.0e12")
    return float(match[1]) * _FACTORS[match[2]]


def is_number(text: str) -> bool:
    """Return whether `parse_number` reads `text`."""
    return _NUMBER.match(text) is not None


def format_number(value: float, billions: str = "G") -> str:
    """Return `value` with three significant digits and a suffix: `format_number(83_280) == "83.3k"`.

    `billions` is the letter for 1e9: `G` for FLOPs and other costs; what is counted has `format_count`.
    """
    if math.isnan(value):
        return "unknown"
    if value == 0 or math.isinf(value):
        return f"{value:zg}"
    rounded = float(f"{value:.3g}")  # first, so that 999.6k becomes 1M
    if abs(rounded) >= _LARGEST:
        return f"{rounded:g}"
    for suffix, factor in reversed(_FACTORS.items()):
        if suffix not in ("", "K", "B") and abs(rounded) >= factor:
            return f"{float(f'{rounded / factor:.3g}'):g}{billions if suffix == 'G' else suffix}"
    return f"{rounded:g}"


def format_count(value: float) -> str:
    """Return parameters, examples, tokens or frames: `format_count(7.5e9) == "7.5B"`."""
    return format_number(value, billions="B")


def format_configuration(
    x: Mapping[str, float],
    counts: Mapping[str, str] | None = None,
    names: Mapping[str, Mapping[str, float]] | None = None,
) -> str:
    """Return a configuration: `N = 7.5B, T = 16, V = 49`.

    With what its values count: `T = 16 frames`; with the names that values have: `N = 7.5B parameters (8B)`.
    """
    counts, names = counts or {}, names or {}
    parts = []
    for factor, value in x.items():
        name = name_of(value, names.get(factor, {}))
        called = f" ({name})" if name else ""
        parts.append(f"{factor} = {format_count(value)} {counts.get(factor, '')}".rstrip() + called)
    return ", ".join(parts)


def name_of(value: float, names: Mapping[str, float]) -> str | None:
    """Return the name of a value; None if it has none. A table rounds values of more than ten digits."""
    return next((name for name, known in names.items() if math.isclose(value, known, rel_tol=1e-9)), None)


def format_flops(value: float) -> str:
    """Return FLOPs with their unit: `format_flops(7.11e21) == "7.11 ZFLOPs"`."""
    number = format_number(value)
    return f"{number[:-1]} {number[-1]}FLOPs" if number[-1].isalpha() and math.isfinite(value) else f"{number} FLOPs"


def format_quantity(value: float) -> str:
    """Return hours or GiB, three digits: `16,300`, `23.6`, `< 0.01`; nothing for what is not known."""
    if math.isnan(value):
        return ""
    if 0 < value < _LEAST:
        return f"< {_LEAST}"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:g}"


def format_duration(hours: float) -> str:
    """Return hours as one reads them: `40 s`, `12 min`, `3.4 h`, `5.2 d`."""
    if hours < 1 / 60:
        return f"{3600 * hours:.0f} s"
    if hours < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:.1f} h" if hours < 72 else f"{hours / 24:.1f} d"


def format_error(value: float, largest: float | None = None) -> str:
    """Return an error of a task, or a loss: two decimals from 1 on, three digits below: `33.45`, `0.0123`.

    Never more than the `largest` that can be: a law may know no such end, but its number would mean nothing.
    """
    if largest is not None and value >= largest:
        return f"{largest:g}"
    if abs(value) < _NOTHING:
        return "0"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:#.3g}"


def format_percentage(value: float, decimals: int = 2) -> str:
    """Return a mean relative error in per cent, without its sign: `2.69`, from 100 on three digits: `89,600`."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.{decimals}f}"


def format_share(value: float) -> str:
    """Return a share in per cent; nothing that exists becomes 0%, and all is said of all only: `70%`, `<1%`, `>99%`."""
    if 0 < value < 0.005 or 0.995 <= value < 1:
        return "<1%" if value < 0.5 else ">99%"
    return f"{value:.0%}"


def format_range(low: float, high: float, largest: float | None = None) -> str:
    """Return the ends of a range of errors: `30.10 to 35.22`."""
    return f"{format_error(low, largest)} to {format_error(high, largest)}"


def format_difference(value: float, beside: float) -> str:
    """Return a difference of errors with its sign and as many decimals as the error `beside` it has: `+0.79`."""
    decimals = 2 if abs(beside) >= 1 or beside == 0 else 2 - math.floor(math.log10(abs(beside)))
    return f"{value:+z.{decimals}f}"
