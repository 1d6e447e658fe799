"""The nearest name to a mistyped one."""

from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 12
"""Known names that a message lists."""
COMPARED = 200
"""Characters of a name that are compared; nobody mistypes more."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?` if a known name is near, else the list of known names, cut if it is long."""
    known = [str(k) for k in known]
    near = get_close_matches(str(name)[:COMPARED], known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return f"known: {', '.join(known[:SHOWN])}{more}"
