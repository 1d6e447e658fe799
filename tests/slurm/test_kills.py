"""Every way to kill a training: the study ends, each run trained once in total, results as undisturbed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.calling import SMOKE, Workflow, run_keys
from tests.slurm.cluster import SlurmCluster
from tests.slurm.conftest import OnCluster
from tests.slurm.kills import KILLS, Training, assert_trained_once, is_stopped, wait_until

pytestmark = pytest.mark.slow
SAVE_EVERY = 5


def config(runs: int, epochs: int) -> dict:
    """Return a study of one configuration with several seeds, whose trainings are all kept apart by their run."""
    return {
        "base": str(SMOKE),
        "study": "killed",
        "data": {"digits": {"test": 2}},
        "evaluate": {"control_videos": 0},
        "sweep": {"designs": {"star": None, "isoflop": None, "repeats": {"n": [64], "seeds": list(range(runs))}}},
        "finetune": {"epochs": epochs, "save_every": SAVE_EVERY, "log_every": 1},
    }


def steps_of(study: dict) -> int:
    return 64 * study["finetune"]["epochs"] // 8


def trainings(on_cluster: OnCluster, study: dict) -> list[Training]:
    runs = on_cluster.folder / "results" / "killed" / "runs"
    return [Training(runs / key, on_cluster.cluster) for key in run_keys(study)]


def kill(controller: subprocess.Popen) -> None:
    """Send SIGKILL to Snakemake; its jobs live on."""
    controller.send_signal(signal.SIGKILL)
    controller.wait()


def killed(kind: str, training: Training) -> bool:
    """Kill a training in one of the ways; return whether there was one to kill: another kill may have met it too."""
    try:
        KILLS[kind](training)
    except (KeyError, OSError, subprocess.CalledProcessError):
        return False
    return True


def is_quiet(cluster: SlurmCluster) -> bool:
    """Return whether no kill is under way: nobody preempts, and every node is up."""
    urgent = cluster.ask("squeue", "--noheader", "--partition=gpu-high")
    return not urgent and set(cluster.states().values()) <= {"idle", "mix", "alloc"}


def held_at_last(training: Training) -> int:
    """Hold a training of which no kill is left; return its process."""
    found: list[int] = []

    def stands() -> bool:
        found[:] = found if found and is_stopped(found[0]) else filter(None, [training.hold()])
        return bool(found) and is_quiet(training.cluster) and is_stopped(found[0])

    wait_until(stands, "a training is held and nothing else happens")
    return found[0]


def recover(on_cluster: OnCluster, *options: str) -> subprocess.CompletedProcess:
    study = on_cluster.folder / "results" / "killed" / "study.json"
    command = [sys.executable, "-m", "vlmfrontier", "recover", "--study", str(study), "--every", "1", *options]
    environment = on_cluster.cluster.env()
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def assert_as_undisturbed(on_cluster: OnCluster, workflow: Workflow, study: dict, runs: list[Training]) -> None:
    """Compare with the same study on the laptop, where nobody kills anything."""
    undisturbed = workflow("--cores", "2", "evaluate", config=study)
    assert undisturbed.status == 0, undisturbed.output
    for training in runs:
        there = json.loads((training.folder / "result.json").read_text())
        path = workflow.folder / training.folder.relative_to(on_cluster.folder) / "result.json"
        here = json.loads(path.read_text())
        assert there["training"]["weights"] == here["training"]["weights"]
        assert there["errors"] == here["errors"]
        assert_trained_once(training.state / "train.jsonl", steps_of(study), SAVE_EVERY)


# One run each, in this order. The first can fail twice, which is what the profile's retries allow; Slurm itself
# starts the others again, but after a time limit.
SCHEDULE = [["SIGKILL", "scancel"], ["requeue", "preemption", "time limit"], ["warning", "node"]]


def test_a_study_survives_every_kind_of_kill(on_cluster: OnCluster, tmp_path_factory: pytest.TempPathFactory):
    assert {kind for kinds in SCHEDULE for kind in kinds} == set(KILLS)
    study = config(runs=len(SCHEDULE), epochs=16)
    runs = trainings(on_cluster, study)
    controller = on_cluster.start("evaluate", config=study)
    *_, last = runs
    waiting = {training: [*kinds] for training, kinds in zip(runs, SCHEDULE, strict=True)}
    met = dict.fromkeys(runs, 0)  # attempts that had begun when it was last killed
    while any(waiting.values()):
        assert controller.poll() is None, on_cluster.output()
        for training, kinds in waiting.items():
            assert not (kinds and training.finished), f"{training.folder} finished before {kinds}"
            # The last one stays held until the others have been killed: it is there when Snakemake is.
            wanted = (kinds or training is last) and training.attempts > met[training]
            if wanted and training.hold() and kinds and killed(kinds[0], training):
                met[training] = training.attempts
                kinds.pop(0)
        time.sleep(0.05)
    pid = held_at_last(last)
    kill(controller)

    locked = on_cluster("evaluate", config=study)
    assert "LockException" in locked.output
    shown = recover(on_cluster)
    assert shown.returncode == 1, shown.stdout + shown.stderr
    assert "are left: let them finish with --wait, or end them with --cancel; nothing was changed" in shown.stdout
    assert f"finetune_run {last.folder.name} RUNNING" in shown.stdout
    os.kill(pid, signal.SIGCONT)
    assert recover(on_cluster, "--wait").returncode == 0
    assert last.finished
    said = (last.folder / "finetune.log").read_text()

    outcome = on_cluster("evaluate", config=study)
    assert outcome.status == 0, on_cluster.output()
    assert (last.folder / "finetune.log").read_text() == said  # what finished without Snakemake is not started again
    assert_as_undisturbed(on_cluster, Workflow(tmp_path_factory.mktemp("laptop")), study, runs)
    for training, kinds in zip(runs, SCHEDULE, strict=True):
        assert training.attempts > len(kinds)
