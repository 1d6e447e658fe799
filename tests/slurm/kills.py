"""Ways to kill a training on a cluster, and what must hold afterwards: trained once, nothing lost, the same weights."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.slurm.cluster import SlurmCluster
from vlmfrontier.lock import LOCK

WAIT_SECONDS = 1500.0
BEGINNINGS = ("started", "resumed")


class Training:
    """One run of a study that trains on `cluster`."""

    def __init__(self, folder: Path, cluster: SlurmCluster):
        self.folder, self.cluster = folder, cluster
        self.state, self.log = folder / "state", folder / "state" / "train.jsonl"

    @property
    def owner(self) -> dict:
        """The process that trains, out of owner.json, which outlives a killed one; empty if there is no such file."""
        try:
            return json.loads((self.state / LOCK).read_text())
        except (OSError, ValueError):
            return {}

    @property
    def lives(self) -> bool:
        """Whether a process holds the training now."""
        return Path(f"/proc/{self.owner.get('pid')}").exists()

    @property
    def finished(self) -> bool:
        return (self.folder / "finetuned.json").exists()

    @property
    def attempts(self) -> int:
        return len(attempts_of(self.log)) if self.log.exists() else 0

    @property
    def reached(self) -> int:
        return max((step for steps in attempts_of(self.log) for step in steps), default=0) if self.log.exists() else 0

    def has_saved(self) -> bool:
        """Return whether the last attempt has saved its state."""
        if not self.attempts:
            return False
        began = [entry["step"] for entry in entries_of(self.log) if entry.get("event") in BEGINNINGS][-1]
        sealed = self.state.glob("checkpoint-*/complete.json")
        return any(int(path.parent.name.split("-")[1]) > began for path in sealed)

    def node(self) -> str:
        return self.cluster.ask("squeue", "--noheader", "--job", self.owner["slurm_job_id"], "--format", "%N")

    def hold(self) -> int | None:
        """Stop the process that trains and return its number; None if there is none, or it has saved nothing yet.

        Stopped it cannot finish before it is killed, however slow the machine is; Slurm wakes what it ends.
        """
        pid = self.owner.get("pid")
        return pid if pid and self.has_saved() and is_stopped(pid, signal.SIGSTOP) else None


def is_stopped(pid: int, number: int = 0) -> bool:
    """Return whether a process is stopped, after sending it a signal."""
    try:
        os.kill(pid, number)
        time.sleep(0.1 if number else 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
    except OSError:
        return False


def kill_process(training: Training) -> None:
    """SIGKILL of the training process: its job fails, Snakemake submits it again."""
    os.kill(training.owner["pid"], signal.SIGKILL)


def cancel(training: Training) -> None:
    """`scancel`: SIGTERM, then the job is gone; Snakemake submits it again."""
    training.cluster.ask("scancel", training.owner["slurm_job_id"])


def requeue(training: Training) -> None:
    """`scontrol requeue`: the same job starts anew."""
    training.cluster.ask("scontrol", "requeue", training.owner["slurm_job_id"])


def preempt(training: Training) -> None:
    """A job of a higher partition that needs the whole node: Slurm requeues what runs there."""
    options = ["--partition=gpu-high", f"--nodelist={training.node()}", "--exclusive", "--output=/dev/null"]
    training.cluster.ask("sbatch", "--parsable", *options, "--wrap=sleep 1")


def warn(training: Training) -> None:
    """The end of the time is near: the training saves its state and has its own job requeued."""
    pid = training.owner["pid"]
    os.kill(pid, signal.SIGUSR1)
    os.kill(pid, signal.SIGCONT)  # nobody else wakes it


def end_time(training: Training) -> None:
    """The time limit is reached: SIGTERM, a moment later SIGKILL, and the job ends as TIMEOUT."""
    training.cluster.ask("scontrol", "update", f"JobId={training.owner['slurm_job_id']}", "EndTime=now")


def kill_node(training: Training) -> None:
    """The node dies with all that runs on it, and comes back when Slurm has given it up."""
    node, cluster = training.node(), training.cluster
    cluster.kill(f"slurmd.{node}", with_jobs=True)

    def bring_back() -> None:
        wait_until(lambda: cluster.states().get(node, "").rstrip("*") in ("down", "idle"), f"{node} is given up")
        cluster.start_node(node)

    threading.Thread(target=bring_back).start()  # meanwhile other trainings go on, and are killed in their turn


KILLS: dict[str, Callable[[Training], None]] = {
    "SIGKILL": kill_process,
    "scancel": cancel,
    "requeue": requeue,
    "preemption": preempt,
    "warning": warn,
    "time limit": end_time,
    "node": kill_node,
}


def wait_until(happened: Callable[[], bool], what: str) -> None:
    """Return when something has happened, however slow the machine is."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.05)


def entries_of(log: Path) -> list[dict]:
    """Return the lines of a `train.jsonl`, without half lines of killed attempts."""
    entries = []
    for line in log.read_text().splitlines():
        with contextlib.suppress(ValueError):
            entries.append(json.loads(line))
    return entries


def attempts_of(log: Path) -> list[list[int]]:
    """Return the steps that each attempt of a `train.jsonl` logged."""
    attempts: list[list[int]] = []
    for entry in entries_of(log):
        if entry.get("event") in BEGINNINGS:
            attempts.append([])
        elif "loss" in entry:
            attempts[-1].append(entry["step"])
    return attempts


def assert_trained_once(log: Path, steps: int, save_every: int) -> int:
    """Assert that the attempts cover steps 1…`steps`, repeating tails that no checkpoint held; return their number.

    An attempt may log a step less than its checkpoint holds, when it was killed between the two.
    """
    attempts = attempts_of(log)
    reached = 0
    for numbers in attempts:
        if not numbers:
            continue
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), f"{log}: steps left out in {numbers}"
        assert numbers[0] <= reached + 2, f"{log}: steps lost before {numbers[0]}"
        assert numbers[0] > reached - 2 * save_every, f"{log}: trained again from {numbers[0]} after {reached}"
        reached = max(reached, numbers[-1])
    assert reached == steps
    assert {step for numbers in attempts for step in numbers} >= set(range(1, steps)) - _at_kills(attempts)
    return len(attempts)


def repeated_steps(log: Path) -> int:
    """Return how many steps were taken more than once."""
    taken = [step for numbers in attempts_of(log) for step in numbers]
    return len(taken) - len(set(taken))


def _at_kills(attempts: Iterable[list[int]]) -> set[int]:
    """Return the steps that may be unlogged: the next one of a killed attempt, if a checkpoint holds it."""
    return {numbers[-1] + 1 for numbers in attempts if numbers}
