"""Slurm's command line clients, each called in one way; what they say of a study's jobs, and of one that ended."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

ANSWER_SECONDS = 120.0
"""For one call of a client."""
UNKNOWN_JOB = "Invalid job id"
"""Said of a job that Slurm does not know, or no longer. Seen with Slurm 22.05.8."""


class Reply(NamedTuple):
    """What a client answered."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """What it complained of, in one line."""
        return " ".join(self.err.split())


def call(
    command: Sequence[str],
    given: str | None = None,
    seconds: float = ANSWER_SECONDS,
    environment: Mapping[str, str] | None = None,
) -> Reply:
    """Return the answer of a client; one that hangs or cannot be started has failed."""
    settings = {"capture_output": True, "text": True, "errors": "replace", "timeout": seconds, "env": environment}
    try:
        done = subprocess.run(command, input=given, check=False, **settings)
    except subprocess.TimeoutExpired:
        return Reply(1, "", f"{command[0]} timed out after {seconds:g} s")
    except OSError as error:
        return Reply(1, "", f"{command[0]}: {error}")
    return Reply(done.returncode, done.stdout, done.stderr)


def squeue(form: str, *options: str, seconds: float = ANSWER_SECONDS) -> Reply:
    """Return what squeue lists of this user's jobs, a line each in the format `form`, whatever else is set."""
    usual = {key: value for key, value in os.environ.items() if not key.startswith("SQUEUE_")}
    asked = ["squeue", "--me", "--noheader", *options, f"--format={form}"]
    return call(asked, seconds=seconds, environment={**usual, "SLURM_TIME_FORMAT": "standard"})


def accounting(job: str, *fields: str) -> list[str]:
    """Return fields of a job (State, ExitCode, …) as the accounting knows them; none if it does not, or is missing."""
    asked = ["sacct", "--noheader", "--allocations", "--parsable2", f"--format={','.join(fields)}", f"--jobs={job}"]
    answer = call(asked)
    lines = answer.out.strip().splitlines() if answer.status == 0 else []
    return lines[0].split("|") if lines else []


def job_record(job: str) -> dict[str, str]:
    """Return what `scontrol show job` says of a job, by its keys; empty if Slurm no longer knows it."""
    return parse_record(show_job(job).out)


def show_job(job: str) -> Reply:
    """Return what `scontrol show job` replies: if it does not know the job, its complaint holds `UNKNOWN_JOB`."""
    return call(["scontrol", "show", "job", "--oneliner", job], seconds=60)


def parse_record(line: str) -> dict[str, str]:
    """Return the keys and values of one line of `scontrol show --oneliner`."""
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def seconds_of(record: Mapping[str, str], key: str) -> float | None:
    """Return the moment under `key` (EndTime, …) in seconds since 1970; None if there is none."""
    try:
        return datetime.fromisoformat(record[key]).timestamp()
    except (KeyError, ValueError):
        return None


_BETWEEN = "\x1f"
_FIELDS = _BETWEEN.join(("%i", "%T", "%r", "%S", "%N", "%M", "%j", "%Z", "%k"))
"""Without widths, since squeue would cut a name or comment at them."""
_UNKNOWN = ("N/A", "None", "(null)")
_COMMENT = re.compile(r"^rule_(?P<rule>.+?)(?:_wildcards_(?P<wildcards>.*))?$")
_STARTED_IN = re.compile(r"^Slurm job (\d+) on (\S+)(?: — attempt \d+, \S+)?$", re.MULTILINE)

RUN_RULES = ("finetune_run", "answer_run", "evaluate_run")
"""Beginnings of the names of the rules that work on one run."""
_NOT_FAILED = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "REQUEUE", "COMPLETED")
"""States of a job that lives or, completed, has written its record, which a shared file system shows late."""
_SECONDS_SEEN, _SECONDS_ASKING = 5.0, 60.0
_seen: list[tuple[float, set[str] | None]] = []
"""The last look at the queue, so that many records take one."""


class QueuedJob(NamedTuple):
    """A job that Slurm still runs or will run."""

    id: str
    state: str
    """PENDING, RUNNING, …"""
    node: str
    elapsed: str
    rule: str
    wildcards: str
    """The run, for finetuning and evaluation; several runs in one job are joined by plus signs."""
    reason: str = ""
    """Why it waits, in Slurm's word: Priority, Resources, QOSMaxJobsPerUserLimit, …; empty for one that runs."""
    start: str = ""
    """When it started, or when Slurm expects it to, as 2026-01-31T12:00:00; empty if it does not say."""
    study: str = ""
    """Whose job it is; empty if its name does not say so, as those of older versions."""

    @property
    def runs(self) -> list[str]:
        """The wildcards of each job that it does."""
        return self.wildcards.split("+")


class JobEnd(NamedTuple):
    """The last job that wrote a log, and what Slurm says of it."""

    id: str
    node: str
    state: str
    """TIMEOUT, FAILED, …; empty if Slurm no longer knows the job."""


def queued_jobs(directory: Path, study: str | None = None) -> list[QueuedJob]:
    """Return this user's jobs that Snakemake submitted from `directory`, oldest first; none where there is no Slurm.

    With a `study` only its jobs, and those whose names do not tell a study.
    Raises `ConnectionError` if there is a Slurm that does not answer: no answer is not an empty queue.
    """
    folder = directory.resolve()
    jobs = [job for listed in _listed() if (job := _of_folder(listed, folder)) is not None]
    return [job for job in jobs if study is None or job.study in ("", study)]


def controller_jobs(directory: Path) -> list[str]:
    """Return the ids of this user's Slurm jobs that run a Snakemake of `directory`, or will (`vlmfrontier controller`).

    Raises `ConnectionError` if there is a Slurm that does not answer.
    """
    return [number.strip() for number, *_, comment in _listed() if comment == controller_comment(directory)]


def controller_comment(directory: Path) -> str:
    """Return the comment by which the Slurm job of a Snakemake is known."""
    return f"snakemake in {directory.resolve()}"


def _listed() -> Iterator[list[str]]:
    """Yield the fields of each of this user's jobs, whatever options for squeue the environment holds."""
    if shutil.which("squeue") is None:
        return
    answer = squeue(_FIELDS, "--sort=i")
    if answer.status:
        said = answer.err.strip().splitlines()
        raise ConnectionError(said[-1] if said else f"squeue: exit status {answer.status}")
    for line in answer.out.split("\n"):
        fields = line.split(_BETWEEN)
        if len(fields) == len(_FIELDS.split(_BETWEEN)):  # else the second line of someone's comment
            yield fields


def _of_folder(listed: list[str], directory: Path) -> QueuedJob | None:
    """Return a listed job if Snakemake submitted it from `directory`."""
    number, state, reason, start, node, elapsed, name, folder, comment = listed
    found = _COMMENT.match(comment)
    if found is None or Path(folder).resolve() != directory:
        return None
    rule, wildcards = found["rule"], found["wildcards"] or ""
    reason, start = ("" if text in _UNKNOWN else text for text in (reason, start))
    study = _study(name, rule, wildcards)
    return QueuedJob(number.strip(), state, node, elapsed, rule, wildcards, reason, start, study)


def job_name(study: str, rule: str, wildcards: str) -> str:
    """Return the name under which a job stands in the queue: its run first, which a short column shows."""
    words = [wildcards, rule] if rule.startswith(RUN_RULES) else [rule, wildcards]
    return ".".join(filter(None, [*words, study]))


def _study(name: str, rule: str, wildcards: str) -> str:
    """Return the study in a name that `job_name` gave; empty in any other.

    The names of runs, targets and studies may have dots in them.
    """
    run, between, study = name.partition(f".{rule}.")
    if between and run and not name.startswith(f"{rule}."):
        return study
    beginning = f"{rule}.{wildcards}." if wildcards else f"{rule}."
    return name.removeprefix(beginning) if name.startswith(beginning) else ""


def job_of(log: Path) -> JobEnd | None:
    """Return the Slurm job that wrote `log`, with its state; None for a log of no job, or no log."""
    started = _started(log)
    return JobEnd(*started[-1], job_state(started[-1][0])) if started else None


def job_id_of(log: Path) -> str | None:
    """Return the id of the Slurm job that wrote `log`; None for a log of no job, or no log."""
    started = _started(log)
    return started[-1][0] if started else None


def _started(log: Path) -> list[tuple[str, str]]:
    return _STARTED_IN.findall(log.read_text(errors="replace")) if log.exists() else []


def job_state(number: str) -> str:
    """Return the state of a job with its exit code, as the controller or, later, the accounting knows it."""
    record = job_record(number)
    if record:
        return f"{record.get('JobState', '')}, exit code {record.get('ExitCode', '?')}"
    return ", exit code ".join(accounting(number, "State", "ExitCode"))


def ended_state(number: str) -> str:
    """Return the state in which a job of this user ended; empty if it lives, went well, or that cannot be known."""
    living = _living()
    if living is None or number in living:
        return ""
    state = job_state(number) or "no longer known to Slurm"
    return "" if state.startswith(_NOT_FAILED) else state


def _living() -> set[str] | None:
    """Return the ids of this user's jobs in the queue, a few seconds old at most; None if there is no answer."""
    if not _seen or time.monotonic() - _seen[0][0] > _SECONDS_SEEN:
        _seen[:] = [(time.monotonic(), _ask_living())]
    return _seen[0][1]


def _ask_living() -> set[str] | None:
    answer = squeue("%A", seconds=_SECONDS_ASKING)
    return set(answer.out.split()) if answer.status == 0 else None
