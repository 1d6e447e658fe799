"""Every way to kill a training: the study ends, each run trained once in total, results as undisturbed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.calling import ROOT, SMOKE, Workflow, run_keys
from tests.slurm.conftest import LONG, OnCluster
from tests.slurm.kills import KILLS, Training, assert_trained_once, wait_until

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


def under_way(runs: list[Training]) -> Training | None:
    """Return a run that trains and has saved its state; None between two of them. Fails if no run is left."""
    assert not all(training.finished for training in runs), "every run has finished"
    return next((each for each in runs if each.owner and not each.finished and each.has_checkpoint()), None)


def stopped(pid: int) -> bool:
    """Stop a process; return whether it lived: owner.json outlives a process that was killed a moment ago."""
    try:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.1)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
    except OSError:
        return False


def held(runs: list[Training]) -> tuple[Training, int]:
    """Return a run that trains, and its process, which is stopped: it cannot finish while others look at it."""
    found: list[tuple[Training, int]] = []

    def caught() -> bool:
        training = under_way(runs)
        pid = training.owner.get("pid") if training else None
        if pid and stopped(pid):
            found.append((training, pid))
        return bool(found)

    wait_until(caught, "a run trains")
    return found[0]


def recover(on_cluster: OnCluster, *options: str) -> subprocess.CompletedProcess:
    study = on_cluster.folder / "results" / "killed" / "study.json"
    command = [sys.executable, str(ROOT / "scripts/recover.py"), "--study", str(study), "--every", "1", *options]
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


@LONG
def test_a_study_survives_every_kind_of_kill(on_cluster: OnCluster, tmp_path_factory: pytest.TempPathFactory):
    study = config(runs=len(KILLS) + 1, epochs=16)
    runs = trainings(on_cluster, study)
    controller = on_cluster.start("evaluate", config=study)
    waiting = dict(zip(KILLS, runs, strict=False))
    while waiting:
        assert controller.poll() is None, on_cluster.output()
        for name, training in list(waiting.items()):
            assert not training.finished, f"the training ended before {name}"
            if training.has_checkpoint() and killed(name, training):
                waiting.pop(name)
        time.sleep(0.05)
    last, pid = held(runs)
    kill(controller)

    locked = on_cluster("evaluate", config=study)
    assert "LockException" in locked.output
    shown = recover(on_cluster)
    assert shown.returncode == 1, shown.stdout + shown.stderr
    assert "jobs are left: let them finish with --wait, or end them with --cancel; nothing was changed" in shown.stdout
    assert f"finetune_run {last.folder.name} RUNNING" in shown.stdout
    os.kill(pid, signal.SIGCONT)
    assert recover(on_cluster, "--wait").returncode == 0
    assert last.finished
    token = json.loads((last.folder / "finetuned.json").read_text())["provenance"]["finished"]

    outcome = on_cluster("evaluate", config=study)
    assert outcome.status == 0, on_cluster.output()
    assert json.loads((last.folder / "finetuned.json").read_text())["provenance"]["finished"] == token  # not again
    assert_as_undisturbed(on_cluster, Workflow(tmp_path_factory.mktemp("laptop")), study, runs)
    for name, training in zip(KILLS, runs, strict=False):
        assert assert_trained_once(training.state / "train.jsonl", steps_of(study), SAVE_EVERY) > 1, name


@pytest.mark.skipif("VLMFRONTIER_KILLS" not in os.environ, reason="takes long: VLMFRONTIER_KILLS=20 asks for 20 kills")
def test_a_study_survives_kills_at_random_moments(on_cluster: OnCluster, tmp_path_factory: pytest.TempPathFactory):
    """Kinds and moments are drawn from a seeded schedule; Snakemake itself is among those that are killed."""
    draw = random.Random(int(os.environ.get("VLMFRONTIER_SEED", "0")))
    left = int(os.environ["VLMFRONTIER_KILLS"])
    study = config(runs=3, epochs=100)
    runs = trainings(on_cluster, study)
    controller = on_cluster.start("evaluate", config=study)
    done: list[str] = []
    while left:
        time.sleep(draw.uniform(0, 10))
        if controller.poll() is not None:  # its retries are used up
            controller = restarted(on_cluster, study, controller, draw)
        kind, training = draw.choice([*KILLS, "controller"]), draw.choice(runs)
        if kind == "controller":
            kill(controller)
            controller = restarted(on_cluster, study, controller, draw)
        elif training.finished or not killed(kind, training):
            continue
        done.append(kind)
        left -= 1
        assert not all(each.finished for each in runs), f"the study ended after {done}"
    while controller.wait() != 0:
        controller = restarted(on_cluster, study, controller, draw)
    print(f"survived {len(done)} kills: {', '.join(done)}")
    assert_as_undisturbed(on_cluster, Workflow(tmp_path_factory.mktemp("laptop")), study, runs)


def restarted(on_cluster: OnCluster, study: dict, before: subprocess.Popen, draw: random.Random) -> subprocess.Popen:
    """Recover as one would after a crash, and call Snakemake again."""
    before.wait()
    outcome = recover(on_cluster, "--cancel" if draw.random() < 0.5 else "--wait")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return on_cluster.start("evaluate", config=study)
