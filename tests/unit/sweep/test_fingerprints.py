"""A fingerprint changes with the settings that matter to its job, and with no others."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.calling import ROOT
from vlmfrontier.study.load import merge, validate
from vlmfrontier.study.root import Study
from vlmfrontier.sweep import fingerprints
from vlmfrontier.sweep.runs import find_run

RATES = {"xs": 8e-3, "s": 7e-3, "m": 6e-3, "l": 5e-3}
CENTER = {"N": "m", "T": 8, "V": 16}
GIVEN = {
    "study": "tiny",
    "finetune": {"learning_rates": {"projector": RATES}},
    "sweep": {"center": CENTER, "designs": {"g": {"design": "grid", "N": ["xs", "m"], "n": [400]}}},
}


def study(change: dict | None = None) -> Study:
    return validate(merge(GIVEN, change or {}))


def of_run(key: str) -> Callable[[Study], str]:
    return lambda study: fingerprints.finetune_fingerprint(study, find_run(study, key))


MADE: dict[str, Callable[[Study], str]] = {
    "train data": lambda study: fingerprints.data_fingerprint(study, "train"),
    "test data": lambda study: fingerprints.data_fingerprint(study, "test"),
    "align data": lambda study: fingerprints.data_fingerprint(study, "align"),
    "vision": fingerprints.vision_fingerprint,
    "language xs": lambda study: fingerprints.language_fingerprint(study, "xs"),
    "align m": lambda study: fingerprints.align_fingerprint(study, "m"),
    "run xs": of_run("N20.9k_T8_V16_n400_s0"),
    "run m": of_run("N83.3k_T8_V16_n400_s0"),
    "evaluate": fingerprints.evaluate_fingerprint,
    "collect": fingerprints.collect_fingerprint,
    "laws": fingerprints.laws_fingerprint,
    "frontier": fingerprints.frontier_fingerprint,
}


@pytest.mark.parametrize(
    ("change", "concerned"),
    [
        ({"data": {"digits": {"train": 1601}}}, {"train data"}),
        ({"data": {"digits": {"test": 401}}}, {"test data"}),
        ({"data": {"digits": {"handwriting": "dev"}}}, {"test data"}),
        ({"data": {"digits": {"seed": 1}}}, {"train data", "test data"}),
        ({"data": {"turns": "sequential"}}, {"run xs", "run m", "evaluate"}),
        ({"seed": 1}, {"run xs", "run m"}),
        ({"finetune": {"epochs": 2}}, {"run xs", "run m"}),
        ({"finetune": {"learning_rates": {"projector": {**RATES, "xs": 1e-3}}}}, {"run xs"}),
        ({"finetune": {"save_every": 7, "log_every": 7, "keep_model": False}}, set()),
        ({"pretrain": {"vision": {"steps": 7}}}, {"vision"}),
        ({"pretrain": {"align": {"videos": 7}}}, {"align data", "align m"}),
        ({"evaluate": {"control_videos": 7}}, {"evaluate"}),
        ({"sweep": {"designs": {"g": {"T": [4, 8]}}}}, {"collect"}),
        ({"laws": {"starts": 7}}, {"laws"}),
        ({"frontier": {"budgets": ["50M"]}}, {"frontier"}),
        ({"space": {"T": [1, 2]}}, {"frontier"}),
        ({"cost": {"W": 60}}, {"collect", "frontier"}),
        ({"execution": {"warm_start": False}}, set()),
        ({"execution": {"report_to": ["tensorboard"]}}, set()),
        ({"study": "other"}, set()),
    ],
)
def test_a_change_concerns_the_jobs_it_matters_to(change: dict, concerned: set[str]):
    before, after = study(), study(change)
    assert {name for name, fingerprint in MADE.items() if fingerprint(before) != fingerprint(after)} == concerned
    assert fingerprints.study_fingerprint(before) != fingerprints.study_fingerprint(after)


def test_fingerprints_are_the_same_in_every_process():
    """A fingerprint that came out of a set or a memory address would train everything anew on every call."""
    assert fingerprints.digest({"b": 1, "a": [2, None]}) == fingerprints.digest({"a": [2, None], "b": 1})
    code = "from tests.unit.sweep.test_fingerprints import *; print({name: of(study()) for name, of in MADE.items()})"
    said = [
        subprocess.check_output([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, cwd=ROOT)
        for seed in "12"
    ]
    assert b"run xs" in said[0]
    assert said[0] == said[1]
