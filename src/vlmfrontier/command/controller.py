"""Snakemake itself in a Slurm job: `controller`."""

import os
import shutil
import signal
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from vlmfrontier.cluster.controller import controllers, directory_of, unlock, wait_for_jobs
from vlmfrontier.cluster.job import requeue_job
from vlmfrontier.cluster.options import sbatch_words
from vlmfrontier.cluster.site import Site, read_site, shipped_site
from vlmfrontier.cluster.slurm import call, controller_comment, controller_jobs
from vlmfrontier.errors import UserError

HERE = "--here"
SECONDS_BEFORE_THE_END = 120
LOGS = "logs/slurm/controller"


def controller_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--site", type=Path, help="site file whose CPU partition is used")
    parser.add_argument("--profile", default="slurm", help="profile of Snakemake")
    parser.add_argument("--every", type=float, default=30.0, metavar="S", help="seconds between checks of the queue")
    parser.add_argument(HERE, action="store_true", help="run it here: what the job itself calls")
    parser.add_argument("options", nargs="*", metavar="OPTION", help="options and targets of Snakemake, after --")


def controller(given: Namespace) -> None:
    """Run Snakemake itself in a small Slurm job that comes back: vlmfrontier controller [-- OPTIONS OF SNAKEMAKE]

        vlmfrontier controller                                  snakemake --profile slurm
        vlmfrontier controller -- --configfile mine.yaml        snakemake --profile slurm --configfile mine.yaml

    Call it where you would call snakemake. The job takes one core of the site's partition for CPU jobs. When its node
    dies, or shortly before its time ends, Slurm starts it again: it then waits for the jobs that the last Snakemake
    submitted, takes away its lock, and goes on. It ends with the study. `scancel` ends it alone; the jobs that it
    submitted live on.
    """
    command = [sys.executable, "-m", "snakemake", "--profile", given.profile, *given.options]
    directory = directory_of(["snakemake", *given.options])
    if given.here:
        sys.exit(Controller(directory, command, given.every).run())
    again = [HERE, f"--profile={given.profile}", f"--every={given.every}", "--", *given.options]
    submit(directory, given.site or shipped_site(), again)


def submit(directory: Path, site_file: Path, arguments: Sequence[str]) -> None:
    """Submit the call with these arguments as a job and print its id.

    Raises `UserError` if a Snakemake of the folder lives.
    """
    if shutil.which("sbatch") is None:
        raise UserError("sbatch: no such command here; call snakemake itself, or call this on a Slurm cluster")
    site = read_site(site_file)
    try:
        alive = [f"Slurm job {job}" for job in controller_jobs(directory)]
    except ConnectionError as error:
        raise UserError(f"Slurm does not answer ({error}); nothing was submitted") from None
    alive += [f"process {pid}" for pid in controllers(directory)]
    if alive:
        raise UserError(f"{alive[0]} is a snakemake that runs in {directory}; nothing was submitted")
    logs = directory / LOGS
    logs.mkdir(parents=True, exist_ok=True)
    options = [
        *["--parsable", "--job-name=snakemake", f"--comment={controller_comment(directory)}"],
        *["--requeue", f"--signal=B:USR1@{SECONDS_BEFORE_THE_END}", "--open-mode=append", f"--output={logs}/%j.log"],
        *["--nodes=1", "--ntasks=1", "--cpus-per-task=1", f"--mem={int(1024 * site.cpu.memory)}"],
        *[f"--time={site.cpu.minutes}", f"--chdir={Path.cwd()}"],
        *placed(site),
    ]
    words = [sys.executable, "-m", "vlmfrontier", "controller", *arguments]
    script = "\n".join(["#!/bin/bash -l" if site.before else "#!/bin/bash", *site.before, 'exec "$@"', ""])
    answer = call(["sbatch", *options, "/dev/stdin", *words], script)
    if answer.status:
        raise UserError(f"sbatch: {answer.said}")
    job = answer.out.strip().split(";")[0]
    print(f"Slurm job {job} runs snakemake; what it says: {logs}/{job}.log")


def placed(site: Site) -> list[str]:
    """Return the options of sbatch by which a site says where a CPU job runs and who hears of it."""
    cpu = site.cpu
    values = {
        "partition": cpu.partition,
        "account": site.account,
        "qos": site.qos_of(cpu),
        "constraint": site.constraint_of(cpu),
        "exclude": ",".join(site.exclude),
    }
    return [*(f"--{name}={value}" for name, value in values.items() if value), *sbatch_words(site, cpu)]


class Controller:
    """A Snakemake that is killed, and started again in the same job, without an end of its jobs."""

    def __init__(self, directory: Path, command: list[str], every: float):
        self.directory, self.command, self.every = directory, command, every
        self.job = os.environ.get("SLURM_JOB_ID", "")
        self.again = int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0
        self.child: subprocess.Popen | None = None

    def run(self) -> int:
        """Return Snakemake's exit status."""
        signal.signal(signal.SIGUSR1, self._time_ends)
        signal.signal(signal.SIGTERM, self._leave)
        if self.again:  # the lock is that of this job's last attempt
            wait_for_jobs(self.directory, self.every, patient=True)
            unlock(self.directory)
        # Snakemake is to submit as from a login node, and not to ask for a part of this job.
        kept = ("SLURM_CONF", "SLURM_CLUSTERS")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_") or key in kept}
        self.child = subprocess.Popen(self.command, env=environment, start_new_session=True)
        return self.child.wait()

    def _time_ends(self, _number: int, _frame: FrameType | None) -> None:
        print("the time of this job ends: it is requeued, and then goes on", flush=True)
        self._kill()
        if self.job and not requeue_job(self.job):
            print("Slurm does not requeue it; submit it again", flush=True)
        os._exit(128 + signal.SIGUSR1)

    def _leave(self, number: int, _frame: FrameType | None) -> None:
        self._kill()
        os._exit(128 + number)

    def _kill(self) -> None:
        """End Snakemake at once: asked to leave, it would cancel its jobs or wait for them."""
        if self.child is not None and self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
