"""What sbatch and squeue answer: which refusals pass with time and which do not, and the list of the user's jobs."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

_PASSES = re.compile(
    r"Socket timed out|Unable to contact slurm controller|Connection (refused|reset|timed out)|timed out"
    r"|Zero Bytes were transmitted|Resource temporarily unavailable|temporarily unable to accept"
    r"|Transport endpoint|communication (connection )?failure|receive failure|backup controller|No route to host"
    r"|Protocol authentication error|Invalid credential|[Mm]unge|I/O error writing|Slurm is down|Broken pipe"
    r"|(Assoc|QOS)\w*Submit\w*Limit|Maximum job count|MaxJobCount"
)
"""A controller that is away or busy, and limits on the number of jobs, which others make room for as they end."""
_LIMIT = re.compile(r"job submit limit, user's size and/or time limits")
"""What an older Slurm says of a limit on the number of jobs and of a job that is too large: only one of them passes."""
_LOST = re.compile(r"timed out|Zero Bytes|reset|receive failure|Transport endpoint|Broken pipe|communication")
"""Refusals after which the job may be there all the same: the answer was lost, not the question."""

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 120.0
LOOK_PAUSE = 10.0
"""The longest pause where only the queue is looked at, which costs little, and nothing goes on before it answers."""
LISTING = "%i|%T|%r|%V|%N|%Z|%j"

LIVE = frozenset(
    (
        *("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "REQUEUED", "REQUEUE_FED"),
        *("REQUEUE_HOLD", "RESIZING", "SIGNALING", "STAGE_OUT", "SPECIAL_EXIT", "RESV_DEL_HOLD"),
    )
)
"""States of a job that Slurm has not ended."""
NOT_ITS_FAULT = frozenset(("NODE_FAIL", "BOOT_FAIL", "PREEMPTED"))
"""Ends that say nothing of the job: it is submitted again."""


class Listed(NamedTuple):
    """A job of this user as `squeue` lists it, ended ones too for as long as Slurm remembers them."""

    id: str
    state: str
    reason: str
    submitted: float
    """Seconds since 1970."""
    nodes: str
    folder: str
    name: str

    @property
    def lives(self) -> bool:
        """Whether Slurm will still do something with it."""
        return self.state in LIVE


def parse_listing(text: str) -> dict[str, Listed]:
    """Return the jobs of `squeue --format LISTING` by their id; lines of another form are left out."""
    found = {}
    for line in text.splitlines():
        words = line.strip().split("|", 6)
        if len(words) == len(Listed._fields):
            number, state, reason, submitted, nodes, folder, name = words
            found[number] = Listed(number, state, reason, _seconds(submitted), nodes, folder, name)
    return found


def _seconds(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def passes(message: str, others_queued: bool) -> bool:
    """Return whether a refusal of sbatch passes by itself, so that the same submission is worth trying again.

    A limit that may be one on the number of jobs passes only where jobs are queued that will end.
    """
    return bool(_PASSES.search(message)) or (others_queued and bool(_LIMIT.search(message)))


def may_have_arrived(message: str) -> bool:
    """Return whether a job may have been submitted although sbatch failed with this message."""
    return bool(_LOST.search(message))


def pauses(longest: float = LONGEST_PAUSE) -> Iterator[float]:
    """Yield the seconds to wait before each further try: twice as long every time, up to `longest`."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, longest)
