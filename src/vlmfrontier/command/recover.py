"""After Snakemake itself was killed on a cluster: `recover`."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from vlmfrontier import command_line
from vlmfrontier.cluster.controller import controllers, unlock, wait_for_jobs
from vlmfrontier.cluster.slurm import QueuedJob, call, controller_jobs, queued_jobs
from vlmfrontier.errors import UserError
from vlmfrontier.study.load import read_study

AT_ONCE = 100
"""Jobs that one scancel cancels."""


def recover_arguments(parser: ArgumentParser) -> None:
    command_line.study_argument(parser)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--wait", action="store_true", help="wait for jobs that are left, then unlock")
    choice.add_argument("--cancel", action="store_true", help="cancel jobs that are left, then unlock")
    parser.add_argument("--every", type=float, default=10.0, metavar="S", help="seconds between checks of the queue")


def recover(given: Namespace) -> None:
    """After Snakemake itself was killed on a cluster: find its jobs that still run, then let a new Snakemake in.

        vlmfrontier recover --study digits            show them; unlock if there are none
        vlmfrontier recover --study digits --wait     wait until they have ended, then unlock
        vlmfrontier recover --study digits --cancel   cancel them, then unlock

    A new Snakemake does not know the jobs of the old one and would submit them again, so it is let in only when none is
    left. Nothing is lost either way: what ended while you waited is finished, and a cancelled training goes on from its
    saved state. Exit status: 0 unlocked, 1 jobs are left and nothing was changed, 2 a mistake.
    """
    study = read_study(given.study).study
    directory = directory_of(given.study)
    refuse_while_it_runs(directory)
    jobs = jobs_left(directory, study)
    print("\n".join(map(describe, jobs)) or "no job of this study is in the queue")
    if jobs and not (given.wait or given.cancel):
        print(f"{len(jobs)} jobs are left: let them finish with --wait, or end them with --cancel; nothing was changed")
        sys.exit(1)
    if given.cancel and jobs:
        cancel(jobs)
    wait_for_jobs(directory, given.every, study)
    unlock(directory)
    print("unlocked: call snakemake again, as before")


def cancel(jobs: list[QueuedJob]) -> None:
    """Have Slurm cancel jobs, a hundred in one call, and say so of each. Raises `UserError` if Slurm does not."""
    for first in range(0, len(jobs), AT_ONCE):
        some = jobs[first : first + AT_ONCE]
        answer = call(["scancel", *(job.id for job in some)])
        # A job that has ended meanwhile is no failure: whether any is left is seen by who waits.
        if answer.status and "Invalid job id" not in answer.err:
            raise UserError(f"scancel: {answer.said}; call again with --cancel")
        for job in some:
            print(f"cancelled Slurm job {job.id}: {job.rule} {job.wildcards}", flush=True)


def directory_of(study: Path) -> Path:
    """Return the folder that Snakemake ran in: the one with results/<study>/study.json."""
    folder = study.resolve().parents
    if study.name != "study.json" or folder[1].name != "results":
        raise UserError(f"{study}: expected results/<study>/study.json, below the folder that snakemake was called in")
    return folder[2]


def jobs_left(directory: Path, study: str) -> list[QueuedJob]:
    """Return a study's jobs. Raises `UserError` if Slurm does not answer: no answer is not an empty queue."""
    try:
        return queued_jobs(directory, study)
    except ConnectionError as error:
        raise UserError(f"Slurm does not answer ({error}); nothing was changed") from None


def refuse_while_it_runs(directory: Path) -> None:
    """Raise `UserError` if a Snakemake of this folder still lives on this machine or in a Slurm job of its own."""
    alive = controllers(directory)
    if alive:
        raise UserError(
            f"process {alive[0]} is a snakemake that runs in {directory}; there is nothing to recover. "
            "Stop it first (Ctrl-C ends its jobs too) if that is what you want"
        )
    try:
        jobs = controller_jobs(directory)
    except ConnectionError as error:
        raise UserError(f"Slurm does not answer ({error}); nothing was changed") from None
    if jobs:
        raise UserError(
            f"Slurm job {jobs[0]} runs snakemake in {directory}, or will when it starts again; there is "
            f"nothing to recover. To recover all the same, end it first: `scancel {jobs[0]}`; its jobs continue"
        )


def describe(job: QueuedJob) -> str:
    where = f" on {job.node} for {job.elapsed}" if job.node else ""
    why = f" ({job.reason})" if job.reason else ""
    return f"Slurm job {job.id}: {job.rule} {job.wildcards} {job.state}{why}{where}"
