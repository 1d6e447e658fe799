"""Submits the jobs of a study to a Slurm that may refuse, hang or lose an answer, and knows them again in its queue."""

import re
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from threading import Event, Lock
from time import monotonic, sleep, time
from typing import Any, NamedTuple

from snakemake_executor_plugin_slurm.validation import validate_or_get_slurm_job_id
from snakemake_interface_common.exceptions import WorkflowError

from vlmfrontier.cluster.slurm import (
    UNKNOWN_JOB,
    QueuedJob,
    Reply,
    accounting,
    call,
    parse_record,
    queued_jobs,
    show_job,
    squeue,
)

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


def in_words(state: str) -> str:
    """Return a state in which a job ended, and what it means for the study."""
    return {
        "CANCELLED": "CANCELLED, by hand or by Slurm; not submitted again by this call",
        "OUT_OF_MEMORY": "OUT_OF_MEMORY: more main memory is needed (host_memory in the site file)",
        "TIMEOUT": "TIMEOUT: the time limit was reached",
    }.get(state, state)


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


PATIENCE = 24 * 3600.0
"""Seconds for which a refusal that passes is waited out."""
CLOCKS = 60.0
"""Seconds by which the clocks of Slurm and of this machine may differ."""
SECONDS_BETWEEN_WARNINGS = 600.0
"""Of one kind."""


class Sweep(NamedTuple):
    """What the executor must know of a study."""

    study: str
    results: Path
    before: tuple[str, ...] = ()
    """Lines that each job runs first (the site's)."""
    exclude: tuple[str, ...] = ()
    """Nodes that no job may run on (the site's)."""
    again: str = "snakemake"
    """The call that goes on."""


class RefusedError(Exception):
    """sbatch does not take a job, and waiting would not help."""


class Submitter:
    """Speaks to Slurm's clients for one call of Snakemake; may be used by several threads."""

    def __init__(self, sweep: Sweep, folder: Path, logger: Any):
        self.stopping = Event()
        """Set when this call ends: nothing is submitted any more."""
        self._sweep, self._folder, self._logger = sweep, folder, logger
        self._lock = Lock()
        self._ends = 0
        self._ours: set[str] = set()
        self._warned: dict[str, float] = {}

    def warn(self, kind: str, message: str) -> None:
        """Log a warning, unless one of its kind has been logged in the last ten minutes."""
        now = monotonic()
        with self._lock:
            due = now - self._warned.get(kind, -SECONDS_BETWEEN_WARNINGS) >= SECONDS_BETWEEN_WARNINGS
            if due:
                self._warned[kind] = now
        if due:
            self._logger.warning(message)

    def submit(self, command: Callable[[], Sequence[str]], script: str, name: str, others_queued: bool) -> str | None:
        """Return the id under which Slurm took a job, however long it had no room for it; None if this call is ending.

        `command` is asked anew for each try. Raises `RefusedError` if waiting would not help.
        """
        began, lost = time(), False
        for pause in pauses():
            if self.stopping.is_set():
                return None
            asked = time()
            answer = call(command(), script)
            number = self._taken(answer) if answer.status == 0 else None
            if number is None:
                if not passes(answer.err, others_queued or lost) or asked - began > PATIENCE:
                    raise RefusedError(answer.said)
                self.warn(f"sbatch {answer.said}", f"{answer.said}; tried again until it passes ({name})")
                self._wait(pause)
                lost = lost or may_have_arrived(answer.err)  # from then on it may come at any moment
                number = self._arrived(name, began) if lost else None
            if number is not None:
                with self._lock:
                    self._ours.add(number)
                return number
        return None

    def refuse_beside_others(self) -> None:
        """Raise `WorkflowError`, naming what to call, if jobs that an earlier call submitted live."""
        left = self._jobs_of_earlier_calls()
        if left:
            recover = f"vlmfrontier recover --study {shlex.quote(str(self._sweep.results / 'study.json'))}"
            more = f" and {len(left) - 1} more" if len(left) > 1 else ""
            raise WorkflowError(
                f"Slurm job {left[0].id} ({left[0].rule} {left[0].wildcards}){more} of study {self._sweep.study} still "
                "lives, submitted by an earlier call that has ended. Nothing is submitted, so that no run is trained "
                f"twice. Let them finish: {recover} --wait (or end them: --cancel), and call again: {self._sweep.again}"
            )

    def _jobs_of_earlier_calls(self) -> list[QueuedJob]:
        """Return the jobs of this study that live before any has been submitted; asks until Slurm answers."""
        for pause in pauses(LOOK_PAUSE):
            try:
                return queued_jobs(self._folder, self._sweep.study)
            except ConnectionError as error:
                self.warn("queue", f"Slurm does not say which jobs of this study live ({error}); waiting for it")
                sleep(pause)
        raise AssertionError  # pauses have no end

    def note_earlier(self) -> None:
        """Tell the jobs of earlier calls, which have ended, from those of this one that come under the same names."""
        with self._lock:
            self._ours.update(self.listing() or {})

    def has_ended(self) -> None:
        """Say that a job of this call has ended: there may be room for another, which is then tried at once."""
        self._ends += 1

    def _wait(self, seconds: float) -> None:
        """Return after so many seconds, as soon as a job has ended, or when this call ends."""
        before, end = self._ends, monotonic() + seconds
        while self._ends == before and (left := end - monotonic()) > 0 and not self.stopping.wait(min(1.0, left)):
            pass

    @staticmethod
    def _taken(answer: Reply) -> str:
        return validate_or_get_slurm_job_id(answer.out.strip().split(";")[0], answer.out)

    def _arrived(self, name: str, since: float) -> str | None:
        """Return the job of this name that reached Slurm although sbatch failed; asks until Slurm answers."""
        for pause in pauses(LOOK_PAUSE):
            listing = self.listing()
            if listing is not None:
                found = [job for job in self._strays(listing) if job.name == name and job.submitted >= since - CLOCKS]
                return max(found, key=lambda job: job.submitted).id if found else None
            if self.stopping.wait(pause):
                return None
        return None

    def listing(self) -> dict[str, Listed] | None:
        """Return all jobs of this user that Slurm remembers, by id; None if it does not answer."""
        answer = squeue(LISTING, "--states=all")
        return parse_listing(answer.out) if answer.status == 0 else None

    def end_twins(self, listing: dict[str, Listed], names: Collection[str]) -> None:
        """Cancel jobs that came into the queue twice: an answer of sbatch was lost, and the job came late.

        They live, bear one of `names` and are not ours.
        """
        for job in self._strays(listing):
            if job.lives and job.name in names:
                self._logger.warning(f"Slurm job {job.id} is {job.name} a second time; cancelled")
                self.cancel([job.id])

    def release_if_held(self, job: Listed) -> None:
        """Release a job that Slurm holds since its node failed to start it; Slurm has drained that node."""
        if job.state == "PENDING" and job.reason == "launch_failed_requeued_held":
            self.warn(f"held {job.id}", f"Slurm job {job.id} was held since its node did not start it; released")
            call(["scontrol", "release", job.id])

    def _strays(self, listing: dict[str, Listed]) -> list[Listed]:
        """Return the jobs of this study and folder that this call does not know."""
        with self._lock:
            others = [job for job in listing.values() if job.id not in self._ours]
        return [
            job for job in others if job.name.endswith(f".{self._sweep.study}") and Path(job.folder) == self._folder
        ]

    def cancel(self, numbers: Sequence[str]) -> str:
        """Cancel jobs; return what Slurm complained of three times, empty if it did cancel them."""
        for pause in (2, 8, 0):
            answer = call(["scancel", *numbers])
            if answer.status == 0:
                return ""
            Event().wait(pause)
        return answer.said

    def keep_off(self, numbers: Collection[str], nodes: Sequence[str]) -> None:
        """Let those of the jobs that have not begun not begin on these nodes either: they were submitted before."""
        for line in squeue("%i|%x", "--states=PENDING").out.splitlines():
            number, _, excluded = line.strip().partition("|")
            if number in numbers:
                names = ",".join(dict.fromkeys([*filter(None, [excluded.replace("(null)", "")]), *nodes]))
                call(["scontrol", "update", f"JobId={number}", f"ExcNodeList={names}"])

    def state_of(self, number: str) -> str | None:
        """Return the state of a job that squeue does not list, as Slurm or the accounting knows it; empty if neither
        knows it, None if Slurm does not answer.

        A list that lacks a job is not trusted, nor is silence: if it lives, it would be submitted a second time.
        """
        answer = show_job(number)
        if state := parse_record(answer.out).get("JobState", ""):
            return state
        told = " ".join(accounting(number, "State")).split()
        if told:
            return told[0]  # of `CANCELLED by 0` the first word
        if UNKNOWN_JOB in answer.err:
            return ""
        self.warn("state", f"squeue does not list Slurm job {number}, and scontrol does not answer; asked again")
        return None
