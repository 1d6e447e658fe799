"""A Slurm that misbehaves: every run finishes once or is named failed with its cause; none is lost, none doubled."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.calling import run_keys
from tests.slurm.bodies import STAGES, Bodies
from tests.slurm.cluster import SlurmCluster
from tests.slurm.conftest import OnCluster
from tests.slurm.faults import (
    AWAY,
    NO_ACCOUNT,
    NO_ANSWER,
    TIMED_OUT,
    assert_never_two_at_once,
    drained,
    resumed,
    twins,
)
from tests.slurm.kills import wait_until
from vlmfrontier.cluster.controller import unlock
from vlmfrontier.ended import read_ended

pytestmark = pytest.mark.slow
AWAY_SECONDS, FAILURES = 90, 50
LIMIT = 3


class Study:
    """Some runs of the smoke study with replaced bodies, and the undisturbed one."""

    def __init__(self, folder: Path, cluster: SlurmCluster, undisturbed: Path, runs: int):
        self.bodies = Bodies(folder / "bodies", undisturbed)
        (folder / "study").mkdir()
        self.on_cluster = OnCluster(folder / "study", cluster, self.bodies.checkout)
        self.config = self.bodies.prepare(self.on_cluster.folder, runs)
        self.runs = run_keys(self.config)
        self.results = self.on_cluster.folder / "results" / "smoke"
        self._undisturbed = undisturbed

    def end(self, run: str, stage: str = "finetune") -> str:
        """Return how the last attempt at a run ended, in its own words or in Slurm's."""
        record = read_ended(self.results / "runs" / run / f"{stage}.ended.json")
        return f"{record.state}: {record.reason}" if record else ""

    def finished(self, run: str) -> bool:
        return (self.results / "runs" / run / "result.json").exists()

    def job_of(self, run: str) -> str:
        """Return the job of the last attempt at a run."""
        return next(job for each, _, job, _ in reversed(self.bodies.ran()) if each == run)

    def states(self, run: str) -> list[str]:
        """Return the states of all jobs that were to train a run, oldest first."""
        return [job.state for job in self.on_cluster.submitted().get(f"rule_finetune_run_wildcards_{run}", [])]

    def attempts(self, run: str) -> int:
        return sum(each == run for each, *_ in self.bodies.ran())

    def trainings(self) -> Counter[str]:
        """Return how often each run began to train."""
        ran, twins = self.bodies.ran(), self.twins()
        return Counter(run for run, script, job, _ in ran if script == "finetune.py" and job not in twins)

    def twins(self) -> set[str]:
        """Return the jobs that came late and were cancelled, the same having been submitted again."""
        return twins(self.on_cluster.output())

    def waiting(self) -> list[str]:
        """Return the runs whose jobs have begun and live."""
        living = self.living()
        return [run for run, _, job, _ in self.bodies.ran() if job in living]

    def living(self) -> list[str]:
        """Return the jobs of the study in the queue."""
        listed = self.on_cluster.cluster.ask("squeue", "--noheader", "--format=%i %Z").splitlines()
        return [line.split()[0] for line in listed if line.endswith(str(self.on_cluster.folder))]

    def assert_as_undisturbed(self) -> None:
        """Assert that the table of results is that of the undisturbed study, for the runs that are planned."""
        there, here = (pd.read_csv(folder / "runs.csv", dtype=str) for folder in (self.results, self._undisturbed))
        columns = [name for name in here if name != "sweep"]  # another design
        expected = here[here.run.isin(self.runs)].sort_values("run")[columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(there.sort_values("run")[columns].reset_index(drop=True), expected)

    def assert_nothing_doubled(self) -> None:
        """Assert that no two jobs of the same work ran at once, but for those ended as soon as seen; and none lives."""
        assert_never_two_at_once(self.on_cluster.submitted(), self.on_cluster.output())
        assert not self.living()


@pytest.fixture
def make_study(tmp_path: Path, cluster: SlurmCluster, smoke_results: Path) -> Iterator:
    """Make a study of so many runs."""
    made = []

    def make(runs: int) -> Study:
        made.append(Study(tmp_path, cluster, smoke_results, runs))
        return made[-1]

    yield make
    for study in made:
        study.on_cluster.stop()
    resumed(cluster, [node for node, state in cluster.states().items() if "dr" in state])


def kill_body(study: Study, run: str) -> None:
    """Kill the last attempt at a run as the kernel does when memory runs out."""
    os.kill(next(pid for each, _, _, pid in reversed(study.bodies.ran()) if each == run), signal.SIGKILL)


def meet_limit_and_refusals(study: Study) -> tuple[str, list[str]]:
    """Let a study of six runs meet what sbatch may answer; return the refused run, and those that wait at the gate.

    The one that comes late counts as one more, so that at the end there may be one above the limit.
    """
    clients = study.on_cluster.clients
    clients.limit(LIMIT)
    clients.plan("sbatch", TIMED_OUT)
    clients.plan("sbatch", NO_ACCOUNT)
    clients.plan("sbatch", TIMED_OUT, how="obeys")
    clients.plan("sbatch", TIMED_OUT, how="late")
    clients.plan("sbatch", AWAY)
    yet = study.on_cluster.output
    wait_until(lambda: "job submit limit" in yet() and not clients.planned("sbatch"), "sbatch has failed in every way")
    wait_until(lambda: len(study.waiting()) == len(study.living()) >= LIMIT, "only those run that wait")
    clients.limit(None)
    [refused] = [run for run in study.runs if "Invalid account" in study.end(run)]
    return refused, study.waiting()


def lose_slurm(study: Study, controller: subprocess.Popen) -> None:
    """Let squeue fail and list nothing, some times in a row, and then Slurm be away, while trainings end."""
    clients, cluster = study.on_cluster.clients, study.on_cluster.cluster
    clients.plan("squeue", NO_ANSWER, times=5)
    clients.plan("squeue", "", times=3, how="silent", status=0)
    wait_until(lambda: not clients.planned("squeue"), "squeue has failed five times in a row")
    clients.plan("squeue", NO_ANSWER, times=FAILURES)
    began = time.monotonic()
    cluster.kill("slurmctld")
    try:
        # Some jobs must live meanwhile: of none is asked what became of it.
        wait_until(lambda: clients.planned("squeue") < FAILURES / 2, "squeue has failed often")
        study.bodies.open()
        wait_until(lambda: not clients.planned("squeue"), f"squeue has failed {FAILURES} times in a row")
        time.sleep(max(0.0, AWAY_SECONDS - (time.monotonic() - began)))
        assert controller.poll() is None
    finally:
        cluster.start_controller()


def test_hiccups_cost_nothing_and_failures_are_named(make_study):
    """Of six runs one is always killed, one cancelled by hand, one refused; the others meet all kinds of hiccups."""
    study = make_study(6)
    on_cluster, bodies = study.on_cluster, study.bodies
    bodies.shut()
    controller = on_cluster.start("--retries", "1", "collect", config=study.config)
    refused, (cancelled, killed, *_) = meet_limit_and_refusals(study)
    good = [run for run in study.runs if run not in (refused, cancelled, killed)]

    on_cluster.cluster.ask("scancel", study.job_of(cancelled))
    wait_until(lambda: "CANCELLED" in study.end(cancelled), "the cancelled one is named")
    kill_body(study, killed)
    wait_until(lambda: study.attempts(killed) == 2, "it is tried again")
    kill_body(study, killed)
    wait_until(lambda: study.job_of(killed) not in study.living(), "its job has ended")
    drained(on_cluster.cluster, ["gpu01"])
    lose_slurm(study, controller)
    assert controller.wait() != 0

    output = on_cluster.output()
    assert all(map(study.finished, good)), output
    for run, cause in ((killed, "killed"), (cancelled, "CANCELLED"), (refused, "Invalid account")):
        told = output[output.rindex(f"failed: {run}") :]
        assert cause in told.split("\nfailed: ")[0]
        assert f"results/smoke/runs/{run}/result.json" in told
        assert not study.finished(run)
    assert "squeue does not answer" in output
    assert study.trainings() == {killed: 2, cancelled: 1, **dict.fromkeys(good, 1)}
    study.assert_nothing_doubled()

    outcome = on_cluster("collect", config=study.config)
    assert outcome.status == 0, outcome.output
    study.assert_as_undisturbed()
    study.assert_nothing_doubled()
    assert study.trainings() == {killed: 3, refused: 1, cancelled: 2, **dict.fromkeys(good, 1)}
    assert Counter(run for run, script, *_ in bodies.ran() if script == "evaluate.py") == dict.fromkeys(study.runs, 1)


def recover(study: Study, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "vlmfrontier", "recover", "--study", str(study.results / "study.json")]
    environment = study.on_cluster.cluster.env()
    command += ["--every", "0.5", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def kill(controller: subprocess.Popen) -> None:
    """Send SIGKILL to Snakemake; its jobs live on."""
    controller.kill()
    controller.wait()


def test_a_controller_is_killed_in_every_state(make_study):
    """Before its first submission, with jobs pending, with jobs running, with jobs that ended and nobody saw."""
    study = make_study(3)
    on_cluster, bodies = study.on_cluster, study.bodies
    clients, cluster = on_cluster.clients, on_cluster.cluster
    nodes = [node for node in cluster.nodes if node.startswith("gpu")]

    clients.plan("sbatch", "600", times=len(study.runs), how="hangs")
    controller = on_cluster.start("collect", config=study.config)
    wait_until(lambda: clients.calls("sbatch"), "it submits")
    kill(controller)
    clients.forget()
    assert not study.living()
    assert recover(study).returncode == 0

    drained(cluster, nodes)
    controller = on_cluster.start("collect", config=study.config)
    wait_until(lambda: len(study.living()) == len(study.runs), "all jobs are pending")
    kill(controller)
    assert recover(study).returncode == 1
    pending = study.living()
    unlock(on_cluster.folder)  # against all advice
    refused = on_cluster("collect", config=study.config)
    assert refused.status != 0
    assert "Nothing is submitted, so that no run is trained twice" in refused.output
    assert "vlmfrontier recover" in refused.output
    assert study.living() == pending
    assert recover(study, "--cancel").returncode == 0
    assert not study.living()
    resumed(cluster, nodes)

    # The answer about a job of this call is lost, which never arrived: that of the same name before is another's.
    clients.plan("sbatch", TIMED_OUT)
    bodies.shut()
    controller = on_cluster.start("collect", config=study.config)
    wait_until(lambda: len(bodies.ran()) == len(study.runs), "all jobs run")
    kill(controller)
    assert "LockException" in on_cluster("collect", config=study.config).output
    bodies.open()
    assert recover(study, "--wait").returncode == 0

    # What has finished without Snakemake is not started again; evaluations end unseen.
    bodies.shut("evaluate.py")
    controller = on_cluster.start("collect", config=study.config)
    wait_until(lambda: len(bodies.ran()) == 2 * len(study.runs), "all evaluations run")
    kill(controller)
    bodies.open("evaluate.py")
    wait_until(lambda: not study.living(), "they have ended")
    assert recover(study).returncode == 0
    outcome = on_cluster("collect", config=study.config)
    assert outcome.status == 0, outcome.output
    study.assert_as_undisturbed()
    study.assert_nothing_doubled()
    once = {(run, f"{stage}.py"): 1 for run in study.runs for stage in STAGES}
    assert Counter((run, script) for run, script, *_ in bodies.ran()) == once


def test_a_node_refuses_its_gpus_and_a_disk_is_full(make_study):
    """The node is left out without costing a retry; what did not find room on the disk is done when there is some."""
    study = make_study(3)
    cluster, crowded = study.on_cluster.cluster, study.results / "runs" / study.runs[0]
    crowded.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", crowded], check=True)
    cluster.sicken("gpu01")
    try:
        with contextlib.suppress(OSError), (crowded / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(1024))
        controller = study.on_cluster.start("collect", config=study.config)
        wait_until(lambda: "FAILED" in study.states(study.runs[0]), "the first attempt has failed")
        (crowded / "filler").unlink()
        assert controller.wait() == 0, study.on_cluster.output()
        study.assert_as_undisturbed()
    finally:
        cluster.heal("gpu01")
        subprocess.run(["umount", "--lazy", crowded], check=False)
    study.assert_nothing_doubled()
    assert [entry["node"] for entry in json.loads((study.results / "nodes.json").read_text())] == ["gpu01"]
    assert "gpu01" in study.on_cluster.output()
    for run in study.runs[1:]:
        assert study.trainings()[run] == 1
