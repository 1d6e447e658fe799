"""Settings of the cluster profile that keep known defects of the Slurm plugin away; each was seen to do harm."""

import re
from pathlib import Path

import pytest
import yaml

from vlmfrontier.cluster.queue import LONGEST_INTERVAL

ROOT = Path(__file__).parents[3]
PROFILE = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
RULES = sorted((ROOT / "workflow/rules").glob("*.smk"))
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


def test_the_plugin_does_not_fall_back_to_sacct_on_a_cluster_with_slurms_defaults():
    assert 3 * PROFILE["slurm-init-seconds-before-status-checks"] <= SLURM_MIN_JOB_AGE


def test_a_job_is_looked_at_before_slurm_with_its_defaults_forgets_it():
    assert max(LONGEST_INTERVAL, PROFILE["slurm-init-seconds-before-status-checks"]) < SLURM_MIN_JOB_AGE


def test_no_arrays():
    assert not any("array" in key for key in PROFILE)


def test_retries_are_the_profiles_and_never_a_rules():
    assert PROFILE["retries"] > 0
    for file in RULES:
        assert not re.search(r"^\s*(retries|group):", file.read_text(), re.MULTILINE), file.name


def test_every_rule_is_local_or_says_what_its_job_asks_for():
    """A job without resources would go to whatever partition and account are Slurm's defaults."""
    local = re.search(r"^localrules:\n((?:    \w+,\n)+)", (ROOT / "Snakefile").read_text(), re.MULTILINE)[1]
    for file in RULES:
        # Each piece begins with a rule's name, but for the first one.
        for rule in re.split(r"^ *rule\b ?", file.read_text(), flags=re.MULTILINE)[1:]:
            name = rule.split(":")[0].strip()
            runs = re.search(r"^ +shell:", rule, re.MULTILINE) is not None
            placed = re.search(r"^ +(localrule|resources):", rule, re.MULTILINE) is not None
            assert placed or not runs or f" {name}," in local, f"{file.name}: {name}"


def test_what_jobs_ask_for_is_the_plans_alone():
    assert set(PROFILE) & {"set-resources", "set-threads"} == set()
    assert [text.partition("=")[0] for text in PROFILE["default-resources"]] == ["site"]


def test_the_profile_is_found_by_its_name_from_the_root():
    assert (ROOT / "slurm" / "config.yaml").samefile(ROOT / "profiles/slurm/config.yaml")


def test_every_setting_says_why():
    for line in (ROOT / "profiles/slurm/config.yaml").read_text().splitlines():
        assert "#" in line or line.strip() in ("", "executor: slurm", "default-resources:"), line
