"""A training on two nodes: two processes, and the loss curve of one process with the same batch."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.calling import SMOKE, Workflow, run_keys
from tests.slurm.conftest import OnCluster

pytestmark = pytest.mark.slow
STUDY = {
    "base": str(SMOKE),
    "study": "nodes",
    "sweep": {"designs": {"star": None, "isoflop": None, "repeats": {"n": [64], "seeds": [0]}}},
    "finetune": {"epochs": 4, "log_every": 1},
    "execution": {"nodes": 2},
}
# Sums of 32-bit numbers in another order: rounding, which the optimizer carries from step to step. Seen: 2e-7 and 6e-5.
OF_LOSS, OF_WEIGHTS = 1e-5, 1e-3


def losses(folder: Path) -> list[float]:
    lines = (folder / "state" / "train.jsonl").read_text().splitlines()
    return [entry["loss"] for entry in map(json.loads, lines) if "loss" in entry]


def test_two_nodes_train_as_one_process_does(on_cluster: OnCluster, tmp_path_factory: pytest.TempPathFactory):
    workflow = Workflow(tmp_path_factory.mktemp("laptop"))
    outcome = on_cluster("finetune", config=STUDY)
    assert outcome.status == 0, outcome.output
    undisturbed = workflow("--cores", "1", "finetune", config=STUDY)
    assert undisturbed.status == 0, undisturbed.output
    there, here = (
        folder / "results/nodes/runs" / run_keys(STUDY)[0] for folder in (on_cluster.folder, workflow.folder)
    )

    job = on_cluster.cluster.ask("scontrol", "show", "job", "--oneliner", slurm_job(there))
    assert "NumNodes=2 " in job
    assert "Partition=gpu " in job
    assert json.loads((there / "finetuned.json").read_text())["processes"] == 2
    assert json.loads((here / "finetuned.json").read_text())["processes"] == 1

    assert len(losses(there)) == len(losses(here)) == 32
    assert losses(there) == pytest.approx(losses(here), rel=OF_LOSS)
    weights = [load_file(folder / "model" / "model.safetensors") for folder in (there, here)]
    for name, value in weights[0].items():
        assert torch.allclose(value, weights[1][name], rtol=0, atol=OF_WEIGHTS), name


def slurm_job(folder: Path) -> str:
    return json.loads((folder / "finetuned.json").read_text())["provenance"]["slurm_job_id"]
