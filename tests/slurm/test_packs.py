"""Several small runs in one job: each finishes, fails and resumes alone."""

from pathlib import Path

import pytest

from tests.calling import SMOKE, damaged_start, run_keys
from tests.slurm.conftest import SITE, OnCluster
from tests.slurm.kills import Training, assert_trained_once, wait_until
from vlmfrontier.ended import FAILED, read_ended

pytestmark = pytest.mark.slow
EPOCHS, SAVE_EVERY = 12, 5


def study(folder: Path) -> dict:
    """Return a study of two runs that train and one whose starting model is damaged."""
    seeds = {"design": "grid", "N": ["xs"], "n": [64], "seeds": [0, 1]}
    return {
        "base": str(SMOKE),
        "study": "packed",
        "models": {"start": str(damaged_start(folder))},
        "data": {"digits": {"train": 64, "test": 2}},
        "evaluate": {"control_videos": 0},
        "finetune": {"epochs": EPOCHS, "save_every": SAVE_EVERY, "log_every": 1},
        "sweep": {
            "designs": {
                "star": None,
                "isoflop": None,
                "repeats": None,
                "good": seeds,
                "bad": seeds | {"N": ["s"], "seeds": [0]},
            }
        },
    }


def names(on_cluster: OnCluster) -> list[str]:
    """Return the names of all jobs that Slurm was given."""
    listed = on_cluster.cluster.ask("squeue", "--states=all", "--noheader", "--format=%i %j").splitlines()
    return [name for _, name in sorted(map(str.split, listed), key=lambda job: int(job[0])) if name.endswith(".packed")]


def test_packed_runs_end_alone_and_go_on_together(on_cluster: OnCluster):
    config = study(on_cluster.folder)
    runs = on_cluster.folder / "results" / "packed" / "runs"
    *good, bad = (Training(runs / key, on_cluster.cluster) for key in run_keys(config))
    site = on_cluster.folder / "site.yaml"
    site.write_text(f"{SITE.read_text()}\npack: {{runs: 3, minutes: 60}}\n")
    options = ["--default-resources", f'site="{site}"', "--retries", "1", "--"]
    controller = on_cluster.start(*options, "evaluate", config=config)

    # The bad one has failed and was submitted once more, alone, while the others train.
    wait_until(lambda: all(training.hold() for training in good), "both trainings have saved and are held")
    wait_until(lambda: len([name for name in names(on_cluster) if ".finetune_run." in name]) == 2, "it is retried")
    pack = good[0].owner["slurm_job_id"]
    assert good[1].owner["slurm_job_id"] == pack
    on_cluster.cluster.ask("scontrol", "requeue", pack)
    assert controller.wait() != 0

    for training in good:
        assert (training.folder / "result.json").exists()
        assert read_ended(training.folder / "finetune.ended.json").slurm_job_id == pack
        assert assert_trained_once(training.log, 64 * EPOCHS // 8, SAVE_EVERY) == 2
    end = read_ended(bad.folder / "finetune.ended.json")
    assert end.state == FAILED
    assert "no starting model with its tokenizer here" in end.reason
    finetunings = [name for name in names(on_cluster) if ".finetune_run." in name]
    assert [name.split(".finetune_run.")[0].endswith("+2") for name in finetunings] == [True, False]
    assert not any(".evaluate_run." in name for name in names(on_cluster))  # each where it was finetuned
    assert f"failed: {bad.folder.name}" in on_cluster.output()
