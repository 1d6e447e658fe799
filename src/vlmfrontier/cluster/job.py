"""The Slurm job that this process runs in: its id, its end, its requeueing; and one process for each of its GPUs.

A training script starts itself again through torchrun, on nodes through srun. So the rule's command is the same on a
laptop, on one GPU and on two nodes, and can be repeated by hand in a job.
"""

import os
import subprocess
import sys
import time
import uuid
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from vlmfrontier.cluster.slurm import job_record, seconds_of
from vlmfrontier.errors import UserError


def job_id() -> str | None:
    """Return the id of the Slurm job that this process runs in; None outside Slurm."""
    return os.environ.get("SLURM_JOB_ID")


def last_moment(warning: float) -> float | None:
    """Return when a training must have begun to save, in seconds since 1970: `warning` minutes before its job's limit.

    Never earlier than three quarters of the time that is left, so that a short job still trains. None without a limit.
    """
    job = job_id()
    end = seconds_of(job_record(job), "EndTime") if job else None
    if end is None:
        return None
    left = end - time.time()
    return end - min(60 * warning, left / 4)


def requeue() -> bool:
    """Have Slurm run this job again, under the same id; return whether it will."""
    job = job_id()
    return job is not None and requeue_job(job)


def requeue_job(job: str) -> bool:
    """Have Slurm run a job again, under the same id; return whether it will."""
    return subprocess.run(["scontrol", "requeue", job], check=False).returncode == 0


FIRST_PORT, PORTS = 20000, 20000
# A signal reaches every process, which then has time to save; Slurm's own KillWait may be shorter.
SIGNALS = ("--signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1", "--shutdown-timeout=600")


def force_argument(parser: ArgumentParser) -> None:
    """Add the option that has a finished training done once more."""
    parser.add_argument(
        "--force",
        nargs="?",
        const=uuid.uuid4().hex[:8],
        metavar="REQUEST",
        help="train although it has finished; not again if it has been for this request",
    )


def layout_arguments(parser: ArgumentParser) -> None:
    """Add the options by which the workflow says how a training was planned; by hand they are seldom needed."""
    placed = parser.add_argument_group("placement", "given by the workflow on a cluster, from plan.csv")
    placed.add_argument("--gpus", type=int, metavar="G", help="GPUs of each node; the job refuses any other number")
    placed.add_argument("--nodes", type=int, default=1, metavar="K", help="nodes of the job")
    placed.add_argument("--micro-batch", type=int, metavar="B", help="examples that one GPU holds at a time")
    placed.add_argument(
        "--checkpointing", action="store_true", help="compute activations again instead of keeping them"
    )
    placed.add_argument("--warning", type=float, metavar="MIN", help="save and requeue so long before the time limit")
    placed.add_argument(
        "--without-cuda", action="store_true", help="the site's nodes have no CUDA: train on their CPUs"
    )


def spread(given: Namespace, command: Sequence[str]) -> None:
    """Start `command` (a script with its arguments) once per planned GPU, in place of this process.

    Returns only if this process is already one of them, or the only one.
    """
    if given.gpus is None or given.gpus * given.nodes == 1 or "TORCHELASTIC_RUN_ID" in os.environ:
        return
    launcher = [sys.executable, "-m", "vlmfrontier.training.processes", f"--nproc-per-node={given.gpus}", *SIGNALS]
    if given.nodes == 1:
        launcher += ["--standalone"]
    else:
        launcher = [*_srun(given.nodes), *launcher, f"--nnodes={given.nodes}", *_rendezvous()]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.stdout.flush()
    # Without `--` torchrun would take the script's `--run` for an option of its own.
    os.execvp(launcher[0], [*launcher, "--", *command])


def _srun(nodes: int) -> list[str]:
    """Return the srun of one task a node; if one fails all stop, so that nobody waits for the lost one."""
    return ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]


def _rendezvous() -> list[str]:
    """Return torchrun's options for several nodes: they meet at the address of the job's first one.

    Snakemake's jobs have no SLURM_* variables but the id, and names of nodes need not resolve: Slurm is asked for both.
    """
    job = job_id()
    if job is None:
        raise UserError("--nodes: several nodes need a Slurm job; leave the option out to train here")
    nodes = _asked("squeue", "--noheader", "--job", job, "--format", "%N")
    first = _asked("scontrol", "show", "hostnames", nodes).splitlines()[0]
    record = _asked("scontrol", "show", "node", "--oneliner", first)
    address = next(word.split("=", 1)[1] for word in record.split() if word.startswith("NodeAddr="))
    port = FIRST_PORT + int(job) % PORTS
    return [f"--rdzv-id={job}", "--rdzv-backend=c10d", f"--rdzv-endpoint={address}:{port}"]


def _asked(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
