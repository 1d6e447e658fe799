"""Everything the frontier knows of one target: where it searches, who predicts, and what was run."""

from dataclasses import dataclass

from vlmfrontier.frontier.coverage import RunRange
from vlmfrontier.frontier.pool import Spread
from vlmfrontier.frontier.space import SearchSpace


@dataclass(frozen=True)
class Target:
    """One target of a study."""

    name: str
    """Its column in the table of runs."""
    space: SearchSpace
    """The configurations that could be deployed."""
    spread: Spread
    """The models of this target over that space."""
    runs: RunRange
    """What the runs cover."""
    largest: float | None = None
    """The largest error that there can be: 100 of a task; None for a loss, which has no end."""
