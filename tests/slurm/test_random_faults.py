"""Random faults of all kinds over studies that train for real: none lost, none doubled, results as undisturbed.

VLMFRONTIER_FAULTS=100 python -m pytest -s tests/slurm/test_random_faults.py      # VLMFRONTIER_SEED draws others
"""

import contextlib
import os
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.calling import Workflow
from tests.slurm.cluster import GPU_NODES, SlurmCluster
from tests.slurm.conftest import OnCluster
from tests.slurm.faults import (
    AWAY,
    NO_ANSWER,
    TIMED_OUT,
    assert_never_two_at_once,
    drained,
    resumed,
    twins,
)
from tests.slurm.kills import KILLS, Training
from tests.slurm.test_kills import assert_as_undisturbed, config, kill, recover, trainings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("VLMFRONTIER_FAULTS" not in os.environ, reason="takes long: VLMFRONTIER_FAULTS=100 asks for it"),
]
RUNS, EPOCHS = 3, 40
SECONDS = 10.0
"""For which a fault that passes lasts."""
DISK_MEGABYTES = 200
LONGEST_PAUSE = 6.0
CALLS = 20
"""Of Snakemake, at most, for one study: retries are used up, and runs that are given up are asked for again."""


class Disturbed:
    """A study under way, and what may befall it."""

    def __init__(self, on_cluster: OnCluster, number: int, draw: random.Random):
        self.on_cluster, self.draw = on_cluster, draw
        self.study = config(runs=RUNS, epochs=EPOCHS)
        seeds = list(range(number * RUNS, (number + 1) * RUNS))
        self.study["sweep"]["designs"]["repeats"]["seeds"] = seeds
        self.runs = trainings(on_cluster, self.study)
        self.results = on_cluster.folder / "results"
        self.results.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "none", self.results], check=True)
        self._passing: list[threading.Thread] = []
        self.calls = 0
        self.call()

    def call(self) -> None:
        """Call Snakemake, as a user does who sees that it has ended."""
        self.calls += 1
        assert self.calls <= CALLS, self.on_cluster.output()[-5000:]
        self.controller = self.on_cluster.start("evaluate", config=self.study)

    def call_again(self) -> None:
        """Let go what is left of the last call, and call again."""
        outcome = recover(self.on_cluster, "--cancel")
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        self.call()

    @property
    def goes_on(self) -> bool:
        return not all(training.finished for training in self.runs)

    def meet(self, kind: str) -> bool:
        """Let a fault happen; return whether it could."""
        living = [training for training in self.runs if training.lives and not training.finished]
        if not living:
            return False
        training = self.draw.choice(living)
        try:
            FAULTS[kind](self, training)
        except (KeyError, OSError, subprocess.CalledProcessError):
            return False
        return True

    def passing(self, end: Callable[[], None]) -> None:
        """Let a fault end after some time."""

        def wait() -> None:
            time.sleep(SECONDS)
            end()

        self._passing.append(threading.Thread(target=wait))
        self._passing[-1].start()

    def finish(self) -> None:
        """Return when no fault is left and the study has ended well."""
        for thread in self._passing:
            thread.join()
        while self.controller.wait() != 0:
            self.call_again()
        assert_never_two_at_once(self.on_cluster.submitted(), self.on_cluster.output())

    def close(self) -> None:
        """Give the disk back."""
        for thread in self._passing:
            thread.join()
        self.on_cluster.stop()
        subprocess.run(["umount", "--lazy", self.results], check=False)


def kill_steps(disturbed: Disturbed, training: Training) -> None:
    """SIGKILL of all that runs on the node for a job, Slurm's own processes too."""
    disturbed.on_cluster.cluster.kill_job(training.owner["slurm_job_id"])


def drain(disturbed: Disturbed, training: Training) -> None:
    """Drain a node while it works."""
    node, cluster = training.node(), disturbed.on_cluster.cluster
    drained(cluster, [node])
    disturbed.passing(lambda: resumed(cluster, [node]))


def sicken(disturbed: Disturbed, training: Training) -> None:
    """Let a node refuse its GPUs, and end what runs there, so that it comes back to it."""
    node, cluster = training.node(), disturbed.on_cluster.cluster
    cluster.sicken(node)
    os.kill(training.owner["pid"], 9)
    disturbed.passing(lambda: cluster.heal(node))


def fill_disk(disturbed: Disturbed, _training: Training) -> None:
    """Let the disk of the results be full for a while."""
    filler = disturbed.results / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(2**16))
            file.flush()
    disturbed.passing(lambda: filler.unlink(missing_ok=True))


def lose_controller(disturbed: Disturbed, _training: Training) -> None:
    """Let slurmctld be away for a while."""
    cluster = disturbed.on_cluster.cluster
    cluster.kill("slurmctld")
    try:
        time.sleep(SECONDS)
    finally:
        cluster.start_controller()


def kill_snakemake(disturbed: Disturbed, _training: Training) -> None:
    """SIGKILL of Snakemake, and the call after it."""
    kill(disturbed.controller)
    disturbed.call_again()


def limit(disturbed: Disturbed, training: Training) -> None:
    """Let a submit limit be met, by a job that is to be submitted again."""
    disturbed.on_cluster.clients.limit(1)
    KILLS["SIGKILL"](training)
    disturbed.passing(lambda: disturbed.on_cluster.clients.limit(None))


def client(
    name: str, message: str, times: int = 1, how: str = "fails", status: int = 1
) -> Callable[[Disturbed, Training], None]:
    """Return the fault of a client; one of sbatch, for a job that is killed so that it is submitted again."""

    def fault(disturbed: Disturbed, training: Training) -> None:
        disturbed.on_cluster.clients.plan(name, message, times=times, how=how, status=status)
        if name == "sbatch":
            KILLS["SIGKILL"](training)

    return fault


def killed(kind: str) -> Callable[[Disturbed, Training], None]:
    """Return the fault that is a kill of a training."""
    return lambda _disturbed, training: KILLS[kind](training)


FAULTS: dict[str, Callable[[Disturbed, Training], None]] = {
    **{kind: killed(kind) for kind in KILLS},
    "job with Slurm's own processes": kill_steps,
    "node drained": drain,
    "node refuses its GPUs": sicken,
    "disk full": fill_disk,
    "slurmctld away": lose_controller,
    "Snakemake": kill_snakemake,
    "squeue fails 5 times": client("squeue", NO_ANSWER, times=5),
    "squeue fails 20 times": client("squeue", NO_ANSWER, times=20),
    "squeue says nothing": client("squeue", "", how="silent", status=0, times=3),
    "sbatch times out": client("sbatch", TIMED_OUT),
    "sbatch times out, job there": client("sbatch", TIMED_OUT, how="obeys"),
    "sbatch times out, job late": client("sbatch", TIMED_OUT, how="late"),
    "sbatch: controller away": client("sbatch", AWAY, times=3),
    "sbatch: submit limit": limit,
}


@pytest.fixture
def disturb(tmp_path: Path, cluster: SlurmCluster) -> Iterator[Callable[[int, random.Random], Disturbed]]:
    """Start the study of this number."""
    made: list[Disturbed] = []

    def start(number: int, draw: random.Random) -> Disturbed:
        (tmp_path / str(number)).mkdir()
        made.append(Disturbed(OnCluster(tmp_path / str(number), cluster), number, draw))
        return made[-1]

    yield start
    for each in made:
        each.close()
    resumed(cluster, GPU_NODES)


def test_random_faults_cost_no_run(disturb, tmp_path: Path):
    wanted, draw = int(os.environ["VLMFRONTIER_FAULTS"]), random.Random(int(os.environ.get("VLMFRONTIER_SEED", "0")))
    left = draw.sample([*FAULTS] * -(-wanted // len(FAULTS)), wanted)
    met: Counter[str] = Counter()
    studies: list[Disturbed] = []
    began = time.monotonic()
    while left:
        study = disturb(len(studies), draw)
        studies.append(study)
        while left and study.goes_on:
            time.sleep(draw.uniform(0, LONGEST_PAUSE))
            if study.controller.poll() is not None:
                if study.controller.returncode == 0:
                    break
                study.call_again()
            if study.meet(kind := left[-1]):
                met[left.pop()] += 1
                print(
                    f"{met.total()} after {time.monotonic() - began:.0f} s: study {len(studies)}: {[*met][-1]}",
                    flush=True,
                )
        study.finish()
    attempts = sum(training.attempts for study in studies for training in study.runs)
    for study in studies:
        workflow = Workflow(tmp_path / f"laptop{studies.index(study)}")
        workflow.folder.mkdir()
        assert_as_undisturbed(study.on_cluster, workflow, study.study, study.runs)
    print(f"\n| {met.total()} faults in {len(studies)} studies | times |\n|---|---|")
    for kind, times in sorted(met.items()):
        print(f"| {kind} | {times} |")
    runs = sum(len(study.runs) for study in studies)
    late = sum(len(twins(study.on_cluster.output())) for study in studies)
    print(f"{runs} runs in {attempts} attempts: 0 lost, 0 trained twice, weights and errors as undisturbed")
    print(f"{late} jobs came late, when the same had been submitted again, and were cancelled as soon as seen")
