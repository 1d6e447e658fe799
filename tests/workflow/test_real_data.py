"""Snakemake prepares a study's real videos, once, and again when its annotations change."""

import json

import pytest

from tests.calling import ROOT, Workflow
from tests.made_videos import write_sources


@pytest.mark.workflow
@pytest.mark.slow
def test_real_data_is_prepared_once_and_again_when_its_annotations_change(workflow: Workflow):
    section = write_sources(workflow.folder / "sets")
    rows = {"design": "rows", "rows": [{"N": "xs", "T": 2, "V": 4, "n": 20}]}
    config = {
        "base": str(ROOT / "config.yaml"),
        "study": "real",
        "data": {"source": "llava", "llava": section},
        "evaluate": {"harness": "lmms-eval"},
        "sweep": {"designs": {"star": None, "isoflop": None, "repeats": None, "few": rows}},
        "space": {"N": ["xs"], "T": [2], "V": [4]},
        "laws": {"split": None},
        "frontier": {"budgets": ["50M"], "examples": [20]},
    }
    outcome = workflow("--cores", "2", "data", config=config)
    assert outcome.status == 0, outcome.output
    manifest = workflow.folder / "results/real/data/train/manifest.json"
    assert json.loads(manifest.read_text())["conversations"] == 24
    assert not (workflow.folder / "results/real/data/test").exists()

    again = workflow("--cores", "2", "-n", "data", config=config)
    assert again.jobs == {}, again.output

    annotations = workflow.folder / "sets" / "alpha.json"
    records = json.loads(annotations.read_text())
    records[0]["conversations"][1]["value"] = ""
    annotations.write_text(json.dumps(records))
    refused = workflow("--cores", "2", "data", config=config)
    assert refused.status != 0
    log = (workflow.folder / "results/real/logs/data-train.log").read_text()
    assert "plain.mp4-colour: empty answer" in log
    assert "0 looked into, 12 known" in log

    config["data"]["llava"]["failures"] = 0.1
    assert workflow("--cores", "2", "data", config=config).status == 0
    assert json.loads(manifest.read_text())["conversations"] == 23
