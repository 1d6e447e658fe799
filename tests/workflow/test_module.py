"""A workflow of somebody else, in another folder, takes ours as a module, with two studies."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.calling import ROOT, SMOKE, Outcome, forked
from tests.made_studies import STUDY, points

SNAKEFILE = f"""
configfile: "config/config.yaml"


module trained:
    snakefile:
        "{ROOT}/workflow/Snakefile"
    config:
        config["trained"]


use rule * from trained as trained_*


module table:
    snakefile:
        "{ROOT}/workflow/Snakefile"
    config:
        config["table"]
    pathvars:
        results="made/here",


use rule * from table as table_*


rule all:
    default_target: True
    input:
        rules.trained_all.input,
        rules.table_all.input,
"""
TABLE = {
    "study": "mine",
    "table": {**STUDY["table"], "targets": {"avg": {"column": "avg", "kind": "error"}}, "path": "points.csv"},
    "laws": {"forms": ["add"], "starts": 5, "resamples": 5},
}


@pytest.fixture
def outer(tmp_path: Path) -> Path:
    """The folder of the other workflow, laid out as usual, with its configuration and a user's table."""
    (tmp_path / "config").mkdir()
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow/Snakefile").write_text(SNAKEFILE)
    points().to_csv(tmp_path / "points.csv", index=False)
    write(tmp_path, {"trained": {"base": str(SMOKE), "study": "other"}, "table": TABLE})
    return tmp_path


def write(outer: Path, config: dict) -> None:
    (outer / "config/config.yaml").write_text(yaml.safe_dump(config))


def call(outer: Path, *arguments: str) -> Outcome:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    if "-n" in arguments:
        return forked(arguments, outer, environment)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    done = subprocess.run(
        command, cwd=outer, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return Outcome(done.returncode, done.stdout)


def test_two_studies_are_planned_side_by_side(outer: Path):
    outcome = call(outer, "-n")
    assert outcome.status == 0, outcome.output
    assert outcome.jobs["trained_finetune_run"] == outcome.jobs["trained_evaluate_run"] == 23
    assert outcome.jobs["table_read_table"] == outcome.jobs["table_write_report"] == 1
    assert "results/other/report.html" in outcome.output
    assert "made/here/mine/report.html" in outcome.output
    assert not (outer / "results").exists()
    assert not (outer / "made").exists()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "error: the module has no study"),
        ({**TABLE, "lawz": {}}, "error: study mine: lawz = {}: unknown key"),
        ({**TABLE, "base": "nowhere.yaml"}, "error: nowhere.yaml: no such file"),
    ],
)
def test_a_mistake_in_the_config_of_a_module_is_one_line(outer: Path, table: dict, said: str):
    write(outer, {"trained": {"base": str(SMOKE), "study": "other"}, "table": table})
    outcome = call(outer, "-n")
    assert outcome.status != 0
    assert said in outcome.output
    assert "Traceback" not in outcome.output


@pytest.mark.slow
def test_a_users_table_goes_all_the_way_and_a_change_is_named(outer: Path):
    outcome = call(outer, "table_all")
    assert outcome.status == 0, outcome.output
    results = outer / "made/here/mine"
    assert json.loads((results / "study.json").read_text())["study"] == "mine"
    assert {"plan.md", "runs.csv", "report.html", "explorer.html"} <= {path.name for path in results.iterdir()}
    assert not (outer / "results").exists()  # nothing of the other study was asked for
    assert "Nothing to be done" in call(outer, "-n", "table_all").output
    shutil.rmtree(outer / ".snakemake")  # as where results were copied alone
    write(outer, {"trained": {"base": str(SMOKE), "study": "other"}, "table": {**TABLE, "frontier": {"members": 99}}})
    outcome = call(outer, "-n", "table_all")
    assert "frontier.members: 200 when it was made, 99 now" in outcome.output
    assert {"table_check_laws", "table_draw_figures", "table_write_report"} <= outcome.jobs.keys()
    assert "table_fit_target" not in outcome.jobs
    laws = {**TABLE["laws"], "starts": 6}
    write(outer, {"trained": {"base": str(SMOKE), "study": "other"}, "table": {**TABLE, "laws": laws}})
    outcome = call(outer, "-n", "table_all")
    assert "laws.starts: 5 when it was made, 6 now" in outcome.output
    assert outcome.jobs["table_fit_target"] == 1


def test_the_catalogue_finds_what_it_looks_for():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert {"mandatory-flags", "software-stack-deployment", "report"} <= usage.keys()
    assert (ROOT / "config/README.md").read_text().startswith("# ")
    assert (ROOT / "config/config.yaml").read_text() == (ROOT / "config.yaml").read_text()
