"""The one rule for names that become part of a path or of a command line."""

from collections.abc import Mapping
from typing import Any

from pydantic import AfterValidator

LONGEST = 100
"""Bytes of a name: with what is put before and behind it, a file's name may have 255."""
REFUSED = "/\\{}[]<>*?"
"""What separates folders, or has a meaning to Snakemake or as a pattern."""


def check_name(name: str) -> str:
    """Return `name`; `ValueError` if it cannot be the name of a file everywhere. Blanks and any letters may."""
    wrong = [sign for sign in name if sign in REFUSED or not sign.isprintable()]
    if wrong:
        raise ValueError(
            f"{name[:40]!r} cannot be a name: it has {wrong[0]!r}; use letters, digits, blanks, '-' and '_'"
        )
    if not name or name != name.strip() or name[0] in ".-~":
        raise ValueError(f"{name[:40]!r} cannot be a name: begin with a letter or digit, and end without a blank")
    if len(name.encode()) > LONGEST:
        raise ValueError(f"{name[:40]!r}… cannot be a name: write at most {LONGEST} bytes")
    return name


def _check_keys(named: Any) -> Any:
    """Return the map; `ValueError` if a key is no name, or two differ only in upper and lower case."""
    seen: dict[str, str] = {}
    for name in named if isinstance(named, Mapping) else ():
        other = seen.setdefault(check_name(name).casefold(), name)
        if other != name:
            raise ValueError(f"{other!r} and {name!r} would be one file where upper and lower case are alike")
    return named


Named = AfterValidator(_check_keys)
"""Behind the type of a map whose keys are names."""
