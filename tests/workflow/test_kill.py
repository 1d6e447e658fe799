"""A training that is killed goes on where it was, by the same command, and ends with the same weights."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.calling import ROOT, SMOKE, Workflow

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

RUN = "N20.9k_T4_V4_n64_s0"
CONFIG = {
    "base": str(SMOKE),
    "data": {"digits": {"test": 2}},
    "sweep": {"designs": {"star": None, "isoflop": None, "repeats": {"n": [64], "seeds": [0]}}},
    "finetune": {"epochs": 12, "save_every": 5},
    "execution": {"warm_start": False},
}


def finetuned(workflow: Workflow, study: str) -> Path:
    return workflow.folder / "results" / study / "runs" / RUN / "finetuned.json"


def kill_training(snakemake: subprocess.Popen, state: Path) -> None:
    """Send SIGKILL to the training under `snakemake` as soon as its second checkpoint is whole."""
    deadline = time.monotonic() + 300
    while len(list(state.glob("checkpoint-*/complete.json"))) < 2:
        assert snakemake.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < deadline, "no checkpoint within five minutes"
        time.sleep(0.02)
    killed = [process for process in psutil.Process(snakemake.pid).children(recursive=True) if _trains(process)]
    assert killed
    for process in killed:
        os.kill(process.pid, signal.SIGKILL)


def _trains(process: psutil.Process) -> bool:
    command = process.cmdline()
    return len(command) > 1 and "python" in Path(command[0]).name and command[1].endswith("finetune.py")


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(workflow: Workflow):
    undisturbed = workflow("--cores", "1", "finetune", config={**CONFIG, "study": "undisturbed"})
    assert undisturbed.status == 0, undisturbed.output

    config = workflow.write({**CONFIG, "study": "killed"})
    profile = ["--workflow-profile", str(ROOT / "profiles/default"), "--directory", str(workflow.folder)]
    command = [
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        *profile,
        "--cores",
        "1",
        "--configfile",
        str(config),
    ]
    with (workflow.folder / "killed.log").open("w") as log:
        snakemake = subprocess.Popen(
            [sys.executable, "-m", *command, "--", "finetune"], cwd=workflow.folder, stdout=log, stderr=log
        )
        kill_training(snakemake, finetuned(workflow, "killed").parent / "state")
        assert snakemake.wait() != 0
    assert not finetuned(workflow, "killed").exists()

    again = workflow("--cores", "1", "finetune", config=config)
    assert again.status == 0, again.output
    before, after = (json.loads(finetuned(workflow, study).read_text()) for study in ("undisturbed", "killed"))
    assert before["resumed_at"] == 0
    assert after["resumed_at"] >= 10
    assert before["weights"] == after["weights"]
