"""Slurm's command line clients: each is called here, so that one that hangs, fails or is missing is met in one way."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

ANSWER_SECONDS = 120.0
"""For one call of a client."""


class Answer(NamedTuple):
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
) -> Answer:
    """Return the answer of a client; one that hangs or cannot be started has failed."""
    settings = {"capture_output": True, "text": True, "errors": "replace", "timeout": seconds, "env": environment}
    try:
        done = subprocess.run(command, input=given, check=False, **settings)
    except subprocess.TimeoutExpired:
        return Answer(1, "", f"{command[0]} timed out after {seconds:g} s")
    except OSError as error:
        return Answer(1, "", f"{command[0]}: {error}")
    return Answer(done.returncode, done.stdout, done.stderr)


def squeue(form: str, *options: str, seconds: float = ANSWER_SECONDS) -> Answer:
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
