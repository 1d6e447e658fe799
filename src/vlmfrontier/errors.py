"""What a user may cause, which is printed without a traceback, with the name that was meant; how jobs leave."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake in the input: the message names what is wrong, where it stands, and what to do."""


NODE_FAULT = 86
"""Exit status of a job whose node is at fault."""


class NodeFault(Exception):  # noqa: N818 — no error of the program
    """The node that a job runs on is at fault, not the job: the message names the node and what is wrong with it."""


class Stopped(SystemExit):
    """A job was asked to stop and did: nothing failed, and its next attempt goes on where it was."""


class TakenOver(SystemExit):
    """Another process has taken a job over: this one writes nothing more."""


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
