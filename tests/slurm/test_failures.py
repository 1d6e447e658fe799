"""A run that cannot train: the others finish, the failure is told in words, and the fits can go on without it."""

import re
from pathlib import Path

import pandas as pd
import pytest

from tests.calling import SMOKE, damaged_start, run_keys
from tests.slurm.conftest import OnCluster

pytestmark = pytest.mark.slow


def study(folder: Path, without_failed: bool) -> dict:
    """Return a study of two runs, one of which starts from a damaged model."""
    return {
        "base": str(SMOKE),
        "study": "failing",
        "models": {"start": str(damaged_start(folder))},
        "data": {"digits": {"train": 16, "test": 2}},
        "evaluate": {"control_videos": 0},
        "sweep": {"designs": {"star": None, "isoflop": None, "repeats": {"N": ["xs", "s"], "n": [16], "seeds": [0]}}},
        "execution": {"without_failed": without_failed},
    }


def test_one_bad_run_stops_neither_the_others_nor_the_fits(on_cluster: OnCluster):
    good, broken = run_keys(study(on_cluster.folder, without_failed=False))
    outcome = on_cluster("--retries", "1", "collect", config=study(on_cluster.folder, without_failed=False))
    assert outcome.status != 0
    results = on_cluster.folder / "results" / "failing"
    assert (results / "runs" / good / "result.json").exists()
    assert not (results / "runs.csv").exists()

    told = outcome.output[outcome.output.rindex("study failing: 2 runs") :]
    assert "1 of 2 done, 1 failed" in told
    assert f"failed: {broken}; the end of results/failing/runs/{broken}/finetune.log:" in told
    assert "error: start/s: no starting model with its tokenizer here (Couldn't instantiate" in told
    job = re.search(r"^Slurm job (\d+) on \S+: FAILED, exit code \d+:0$", told, re.MULTILINE)[1]
    configfile = on_cluster.folder / "study.yaml"
    again = f"again: snakemake --profile slurm --directory {on_cluster.folder} --configfile {configfile} -- "
    assert f"{again}results/failing/runs/{broken}/result.json" in told

    # A retry is a new job, and no job tries twice.
    logs = sorted(
        (on_cluster.folder / "logs/slurm/rule_finetune_run" / broken).glob("*.log"), key=lambda p: int(p.stem)
    )
    assert len(logs) == 2
    assert logs[-1].stem == job
    plan = pd.read_csv(results / "plan.csv").set_index("run")
    assert list(plan.status[[good, broken]]) == ["done", "failed"]

    outcome = on_cluster("collect", config=study(on_cluster.folder, without_failed=True))
    assert outcome.status == 0, outcome.output
    assert f"without a result and left out: {broken}" in outcome.output
    assert list(pd.read_csv(results / "runs.csv").run) == [good]
