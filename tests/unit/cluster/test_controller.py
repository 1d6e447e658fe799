"""How Snakemake was called, in words; and which processes are a user's Snakemake."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vlmfrontier.cluster.controller import (
    again,
    controllers,
    dropped_site,
    is_controller,
    is_left_locked,
    only_looks,
    site_option,
)


def test_a_call_is_repeated_without_its_targets_and_passing_options():
    argv = ["/bin/snakemake", "--profile", "slurm", "-n", "--directory=/a b", "--configfile", "x.yaml", "--", "laws"]
    assert again(argv, ["x.yaml"], {}) == "snakemake --profile slurm '--directory=/a b' --configfile x.yaml"
    assert again(["snakemake", "all"], [], {}) == "snakemake"


def test_overrides_are_repeated():
    words = again(["snakemake"], [], {"seed": 3, "finetune": {"epochs": 2}})
    assert words == """snakemake --config seed=3 'finetune={"epochs": 2}'"""


def test_the_site_is_handed_on_only_where_there_is_one():
    assert site_option(None) == ""
    assert site_option(Path("/a b/site.yaml")) == "--site '/a b/site.yaml'"


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab's own copy of the profile."""
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / "config.yaml").write_text("executor: slurm\ndefault-resources:\n  - site=lab/site.yaml\n")
    return folder


@pytest.mark.parametrize(
    "words", [["--default-resources", "mem_mb=8000"], ["--default-resources=mem_mb=8000"], ["--default-res", "a=1"]]
)
@pytest.mark.parametrize("option", ["--profile", "--workflow-profile"])
def test_default_resources_that_drop_the_site_are_told(profile: Path, words: list[str], option: str):
    said = dropped_site(["snakemake", option, str(profile), "plan", *words])
    assert "--default-resources replaces the profile's" in said
    assert "add site=lab/site.yaml to yours" in said


def test_an_executor_without_a_site_is_told(profile: Path, monkeypatch: pytest.MonkeyPatch):
    assert "use --profile slurm" in dropped_site(["snakemake", "-e", "slurm", "-j", "8"])
    (profile / "config.yaml").write_text("executor: slurm\n")
    monkeypatch.setenv("SNAKEMAKE_PROFILE", str(profile))
    assert "needs a site file" in dropped_site(["snakemake"])


@pytest.mark.parametrize(
    "words",
    [[], ["--cores", "2"], ["--profile", "nowhere"], ["-e", "local"], ["--default-resources", "mem_mb=1"]],
)
def test_other_calls_need_no_site(words: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    assert dropped_site(["snakemake", *words]) == ""


def test_an_executor_named_in_the_call_goes_before_the_profiles(profile: Path):
    assert (
        dropped_site(["snakemake", "--profile", str(profile), "--executor", "local", "--default-resources", "a=1"])
        == ""
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-n"], True),
        (["-np"], True),
        (["--dry-run"], True),
        (["--unlock"], True),
        (["--nolock", "all"], True),
        (["all"], False),
        (["--cores", "2", "plan"], False),
        (["-F"], False),
    ],
)
def test_calls_that_only_look(words: list[str], expected: bool):
    assert only_looks(["snakemake", *words]) is expected


def test_a_folder_is_left_locked_only_where_no_snakemake_lives(tmp_path: Path):
    assert not is_left_locked(tmp_path)
    lock = tmp_path / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("results/smoke/runs.csv\n")
    assert is_left_locked(tmp_path)
    (tmp_path / "snakemake.py").write_text("import sys; sys.stdin.read()")
    alive = subprocess.Popen([sys.executable, "-m", "snakemake"], cwd=tmp_path, stdin=subprocess.PIPE)
    try:
        while not controllers(tmp_path):
            time.sleep(0.05)
        assert not is_left_locked(tmp_path)
    finally:
        alive.communicate()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["/venv/bin/python", "-m", "snakemake", "--profile", "slurm"], True),
        (["/venv/bin/python3.11", "/venv/bin/snakemake", "all"], True),
        (["python", "-m", "snakemake", "--target-jobs", "finetune_run:run=x"], False),
        (["vim", "snakemake"], False),
        (["python", "-m", "vlmfrontier", "recover", "snakemake"], False),
    ],
)
def test_a_users_snakemake_is_told_from_its_jobs_and_from_others(words: list[str], expected: bool):
    assert is_controller(words) == expected


def test_a_snakemake_is_found_in_its_folder_alone(tmp_path: Path):
    (tmp_path / "snakemake.py").write_text("import sys; sys.stdin.read()")
    process = subprocess.Popen([sys.executable, "-m", "snakemake"], cwd=tmp_path, stdin=subprocess.PIPE)
    try:
        while controllers(tmp_path) != [process.pid]:
            assert process.poll() is None
            time.sleep(0.01)
        assert controllers(tmp_path.parent) == []
    finally:
        process.communicate()
    assert controllers(tmp_path) == []


def test_a_controller_in_a_job_needs_a_cluster(tmp_path: Path):
    command = [sys.executable, "-m", "vlmfrontier", "controller", "--", "-d", str(tmp_path)]
    refused = subprocess.run(command, env={**os.environ, "PATH": ""}, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        "error: sbatch: no such command here; call snakemake itself, or call this on a Slurm cluster"
    ]
    assert list(tmp_path.iterdir()) == []
