"""Settings of the cluster profile that keep known defects of the Slurm plugin away; each was seen to do harm."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
PROFILE = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
SLURM_MIN_JOB_AGE = 300


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("slurm-status-command", "squeue"),  # with sacct a cancelled job is waited for for ever
        ("slurm-requeue", True),  # else a job of a lost node is both requeued and submitted again
        ("keep-going", True),
        ("rerun-incomplete", True),
        ("slurm-keep-successful-logs", True),
    ],
)
def test_settings_that_must_stand(key: str, value: object):
    assert PROFILE[key] == value


def test_a_job_is_looked_at_before_slurm_with_its_defaults_forgets_it():
    assert PROFILE["seconds-between-status-checks"] < SLURM_MIN_JOB_AGE


def test_no_arrays():
    assert not any("array" in key for key in PROFILE)


@pytest.fixture(scope="module", params=["smoke", "paper", "chinchilla"])
def rules(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What Snakemake has read of every rule that has a command, for a study that trains, fetches or only fits."""
    profile, study = ROOT / "profiles/slurm", ROOT / f"workflow/studies/{request.param}.yaml"
    options = ["--snakefile", ROOT / "Snakefile", "--workflow-profile", profile, "--configfile", study]
    folder = tmp_path_factory.mktemp("rules")
    printed = subprocess.check_output([sys.executable, "-c", READ_RULES, *map(str, options)], cwd=folder, text=True)
    return json.loads(printed.splitlines()[-1])


READ_RULES = """
import json, sys
from snakemake import cli
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, ResourceSettings
_, given = cli.parse_args(sys.argv[1:])
with SnakemakeApi() as api:
    read = api.workflow(
        snakefile=given.snakefile,
        config_settings=ConfigSettings(configfiles=given.configfile),
        resource_settings=ResourceSettings(cores=1, default_resources=given.default_resources),
    )._workflow
    print(json.dumps([
        {"name": rule.name, "retries": rule._restart_times, "group": rule.group and str(rule.group),
         "local": rule.name in read._localrules, "resources": list(rule.resources)}
        for rule in read.rules if rule.shellcmd is not None
    ]))
"""


def test_retries_are_the_profiles_and_never_a_rules(rules: list[dict]):
    assert PROFILE["retries"] > 0
    for rule in rules:
        assert (rule["retries"], rule["group"]) == (None, None), rule["name"]


def test_every_rule_is_local_or_says_what_its_job_asks_for(rules: list[dict]):
    """A job without resources would go to whatever partition and account are Slurm's defaults."""
    asked = {"slurm_account", "slurm_partition", "runtime", "mem_mb"}
    for rule in rules:
        assert rule["local"] or asked <= set(rule["resources"]), rule["name"]
    assert sum(not rule["local"] for rule in rules) > 0


def test_what_jobs_ask_for_is_the_plans_alone():
    assert set(PROFILE) & {"set-resources", "set-threads"} == set()
    assert [text.partition("=")[0] for text in PROFILE["default-resources"]] == ["site"]


def test_the_profile_is_found_by_its_name_from_the_root():
    assert (ROOT / "slurm" / "config.yaml").samefile(ROOT / "profiles/slurm/config.yaml")
