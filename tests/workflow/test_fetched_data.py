"""Snakemake fetches a study's sets before it prepares them, once, and fetches nothing where a study names no origin."""

import json
import tarfile

import pytest

from tests.calling import ROOT, Workflow
from tests.made_hub import COMMIT, environment, serving
from tests.made_videos import write_sources

pytestmark = pytest.mark.workflow


@pytest.mark.slow
def test_sets_are_fetched_before_they_are_prepared(workflow: Workflow, tmp_path_factory, monkeypatch):
    root = tmp_path_factory.mktemp("hub")
    published = root / "datasets/open/set"
    made = write_sources(published)
    with tarfile.open(published / "videos.tar", "w") as tar:
        for name in ("alpha", "beta"):
            tar.add(published / "videos" / name, name)
    shared = {"videos": str(workflow.folder / "sets/videos"), "count": 12}
    sources = [
        {"name": name, "annotations": str(workflow.folder / f"sets/{name}.json"), **shared}
        | {"fetch": [{"dataset": "open/set", "annotations": [f"{name}.json*"], "videos": ["videos.tar"]}]}
        for name in ("alpha", "beta")
    ]
    rows = {"design": "rows", "rows": [{"N": "xs", "T": 2, "V": 4, "n": 20}]}
    config = {
        "base": str(ROOT / "config.yaml"),
        "study": "fetched",
        "data": {"source": "llava", "llava": {"sources": sources, "align": made["align"]}},
        "evaluate": {"harness": "lmms-eval"},
        "sweep": {"designs": {"star": None, "isoflop": None, "repeats": None, "few": rows}},
        "space": {"N": ["xs"], "T": [2], "V": [4]},
        "laws": {"split": None},
        "frontier": {"budgets": ["50M"], "examples": [20]},
    }
    with serving(root) as hub:
        for name, value in environment(hub.address, workflow.folder).items():
            monkeypatch.setenv(name, value)
        outcome = workflow("--cores", "2", "data", config=config)
    assert outcome.status == 0, outcome.output
    data = workflow.folder / "results/fetched/data/train"
    found = json.loads((data / "fetched.json").read_text())
    assert {name: entry["origins"][0]["commit"] for name, entry in found.items()} == {"alpha": COMMIT, "beta": COMMIT}
    assert json.loads((data / "manifest.json").read_text())["conversations"] == 24
    assert sum(asked == f"datasets/open/set/resolve/{COMMIT}/videos.tar" for asked in hub.asked) == 2  # HEAD and GET
    assert workflow("--cores", "2", "-n", "data", config=config).jobs == {}

    config["data"]["llava"]["sources"][0]["by_hand"] = "no reason to fetch again"
    assert workflow("-n", "fetch", config=config).jobs == {"fetch": 1, "fetch_benchmarks": 1}
    config["data"]["llava"]["sources"][0]["fetch"][0]["revision"] = COMMIT
    assert workflow("-n", "data", config=config).jobs == {"data": 1, "fetch_data": 1, "prepare_split": 1}


def test_a_study_that_fetches_nothing_has_nothing_to_fetch(workflow: Workflow):
    assert workflow("--dry-run", "fetch").jobs == {"fetch": 1}
