"""A frontier of the runs that are finished, beside the study and without touching it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.slow]
LEFT_OUT = "T2_V4"


@pytest.fixture
def unfinished(smoke_results: Path, tmp_path: Path) -> Path:
    """The results of the smoke study, in which the runs of two frames have not been evaluated."""
    results = tmp_path / "results" / "smoke"
    shutil.copytree(smoke_results, results, ignore=shutil.ignore_patterns("model", "state"))
    for result in results.glob(f"runs/*{LEFT_OUT}*/result.json"):
        result.unlink()
    return results


def command(name: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", "vlmfrontier", name, "--study", *arguments]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)


def test_finished_runs_have_laws_and_a_frontier_of_their_own(unfinished: Path):
    folder = unfinished.parents[1]
    before = {path: path.stat().st_mtime_ns for path in unfinished.rglob("*") if path.is_file()}
    done = command("so-far", folder, "smoke", "--target", "avg")
    assert done.returncode == 0, done.stdout + done.stderr
    runs = pd.read_csv(unfinished / "so_far" / "runs.csv").run
    assert sorted(runs) == sorted(path.parent.name for path in unfinished.glob("runs/*/result.json"))
    assert not runs.str.contains(LEFT_OUT).any()
    assert "without a result and left out: N20.9k_T2_V4" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before

    asked = command("query", folder, "results/smoke/so_far", "--budget", "60M", "--examples", "64")
    assert asked.returncode == 0, asked.stderr
    assert "predicted error" in asked.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["smoke", "--target", "order2"], "no such target"), (["smoky"], "no such study")],
)
def test_mistakes_are_told_in_one_line(unfinished: Path, arguments: list[str], said: str):
    done = command("so-far", unfinished.parents[1], *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_a_result_there_is_nothing_to_look_at(unfinished: Path):
    for result in unfinished.glob("runs/*/result.json"):
        result.unlink()
    done = command("so-far", unfinished.parents[1], "smoke")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no run has a result yet" in done.stderr
