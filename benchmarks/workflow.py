"""How long planning takes at the size of real sweeps: python benchmarks/workflow.py

Times the plan and a dry run of the paper's grid (88 runs), of 576 runs and of a sweep of 10,000 jobs, under the
cluster profile, and a dry run once all runs have finished, when every result is compared with the study. Prints a table
with the limits that each must keep. Exit status 1 if one does not.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from vlmfrontier.study.load import load_study
from vlmfrontier.sweep.fingerprints import data_settings, result_settings, run_settings, start_settings
from vlmfrontier.sweep.outdated import outdated_runs
from vlmfrontier.sweep.runs import plan_runs

ROOT = Path(__file__).resolve().parents[1]
GRID = Path(__file__).with_name("paper_grid.csv")
NAMES = {1.0e9: "1b", 2.8e9: "3b", 7.5e9: "8b"}
"""The paper's language models by N."""
MODELS = {
    "start": None,
    "vision": {
        **{"hidden_size": 1152, "layers": 27, "heads": 16, "intermediate_size": 4304},
        **{"image_size": 378, "patch_size": 14},
    },
    "language": {
        "1b": {"hidden_size": 2048, "layers": 16, "heads": 32, "intermediate_size": 8192},
        "3b": {"hidden_size": 3072, "layers": 28, "heads": 24, "intermediate_size": 8192},
        "8b": {"hidden_size": 4096, "layers": 32, "heads": 32, "intermediate_size": 14336},
    },
}
FINISHED = "dry run, all finished"
RATES = {"vision": 1e-5, "projector": 1e-4, "language": 1e-5}


@dataclass(frozen=True)
class Case:
    """A sweep, and what planning it may take."""

    name: str
    runs: list[dict]
    seconds: float
    megabytes: float


def paper() -> Case:
    """Return the paper's grid."""
    table = pd.read_csv(GRID)
    rows = [{"N": NAMES[row.N], "T": int(row.T), "V": int(row.V), "n": int(row.n)} for row in table.itertuples()]
    return Case("paper: 88 runs", rows, seconds=10, megabytes=400)


def grid() -> Case:
    """Return a whole grid of 576 runs."""
    sizes = (250_000, 500_000, 1_000_000)
    levels = itertools.product(MODELS["language"], (1, 2, 4, 8, 16, 24, 32, 64), range(2, 10), sizes)
    rows = [{"N": name, "T": frames, "V": side**2, "n": n} for name, frames, side, n in levels]
    return Case("576 runs", rows, seconds=15, megabytes=400)


def large() -> Case:
    """Return 5,000 runs, which are 10,000 jobs: each is finetuned and evaluated."""
    rows = [
        {"N": name, "T": frames, "V": side**2, "n": 1000, "seed": seed}
        for seed in range(10)
        for name in MODELS["language"]
        for frames in range(1, 17)
        for side in range(1, 12)
    ]
    return Case("10,000 jobs", rows[:5000], seconds=45, megabytes=400)


def configuration(case: Case) -> dict:
    """Return a study of the runs of `case`."""
    return {
        "study": "benchmark",
        "data": {"digits": {"train": 10_000_000}},
        "models": MODELS,
        "finetune": {"batch_size": 32, "learning_rates": RATES},
        "pretrain": {"language": {"learning_rate": 1e-3}, "align": {"learning_rates": RATES}},
        "sweep": {
            "center": {"N": "1b", "T": 32, "V": 196},
            "designs": {"runs": {"design": "rows", "rows": case.runs}},
        },
        "space": {"N": list(NAMES.values()), "T": {"from": 1, "to": 32}, "V": {"squares": 25}},
        "frontier": {"budgets": {"from": "1T", "to": "100T", "count": 10}, "examples": ["1M"]},
    }


def finish(folder: Path) -> None:
    """Write what the study in `folder` leaves when all its runs have finished, as far as planning reads it.

    Raises `RuntimeError` if planning does not take it for that.
    """
    study = load_study([folder / "study.yaml"])
    results, hashes = folder / "results" / study.study, {"hash_videos": "v", "hash_conversations": "c"}
    for split in (*study.data.splits(), "align"):
        _write(results / f"data/{split}/manifest.json", {**hashes, "settings": data_settings(study, split)})
    _write(results / "data/align/features.npy", {})
    report = {"weights": "w", "seconds": 1.0, "provenance": {}}
    for name, settings in start_settings(study).items():
        _write(results / name, {"recipe": settings, **report})
    made_from = {"conversations": "c", "videos": "v", "start": "w"}
    errors = {target: {"error": 50.0, "standard_error": 1.0, "questions": 9} for target in study.targets()}
    for run in plan_runs(study):
        training = {"recipe": {**run_settings(study, run), **made_from}, **report}
        result = {"errors": errors, "recipe": result_settings(study, "w", hashes), "test": hashes, "training": training}
        for name, content in (("finetuned", training), ("state/finished", {"report": training}), ("result", result)):
            _write(results / f"runs/{run.key}/{name}.json", content)
        _write(results / f"runs/{run.key}/model/model.safetensors", {})
    if files := outdated_runs(study, plan_runs(study), results).files:
        raise RuntimeError(f"not what a finished study leaves: {files}")


def _write(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def measure(command: Sequence[str], folder: Path) -> tuple[float, float, float]:
    """Return seconds, seconds of a processor, and the largest resident memory in MB of `command` run in `folder`.

    Raises `RuntimeError` with its output if it fails.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    started = time.monotonic()
    with (folder / "output").open("w") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    if status:
        raise RuntimeError((folder / "output").read_text()[-3000:])
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def commands(folder: Path, site: Path) -> dict[str, list[str]]:
    """Return the plan and the dry run of the study in `folder`."""
    study = str(folder / "study.yaml")
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    profile = ["--profile", str(ROOT / "profiles/slurm"), "--default-resources", f'site="{site}"']
    return {
        "plan": [sys.executable, "-m", "vlmfrontier", "plan", "--configfile", study, "--site", str(site)],
        "dry run": [*snakemake, *profile, "--configfile", study, "--dry-run", "--quiet", "all", "--", "evaluate"],
        FINISHED: [*snakemake, *profile, "--configfile", study, "--dry-run", "--quiet", "all", "--", "evaluate"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cases = {"paper": paper, "grid": grid, "large": large}
    parser.add_argument("--only", choices=cases)
    given = parser.parse_args()
    within = True
    print("| sweep | step | seconds | of a processor | limit | MB | limit |\n|---|---|---|---|---|---|---|", flush=True)
    for name, make in cases.items():
        if given.only not in (None, name):
            continue
        case = make()
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            (folder / "study.yaml").write_text(yaml.safe_dump(configuration(case)))
            # GPUs so large that no run is refused: the time is to be measured for all of them.
            (folder / "site.yaml").write_text(yaml.safe_dump({"gpu": {"memory": 10_000}}))
            for step, command in commands(folder, folder / "site.yaml").items():
                if step == FINISHED:
                    finish(folder)
                seconds, busy, megabytes = measure(command, folder)
                print(
                    f"| {case.name} | {step} | {seconds:.1f} | {busy:.1f} | {case.seconds:g} "
                    f"| {megabytes:.0f} | {case.megabytes:g} |",
                    flush=True,
                )
                within &= seconds <= case.seconds and megabytes <= case.megabytes
    sys.exit(not within)


if __name__ == "__main__":
    main()
