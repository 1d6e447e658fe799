"""How Snakemake was called, in words; and which processes are a user's Snakemake."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from vlmfrontier.cluster.call import again, site_option
from vlmfrontier.cluster.controller import controllers, is_controller


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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["/venv/bin/python", "-m", "snakemake", "--profile", "slurm"], True),
        (["/venv/bin/python3.11", "/venv/bin/snakemake", "all"], True),
        (["python", "-m", "snakemake", "--target-jobs", "finetune_run:run=x"], False),
        (["vim", "snakemake"], False),
        (["python", "scripts/recover.py", "snakemake"], False),
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
