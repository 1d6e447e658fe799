"""Runs on real video files: the same weights with and without workers and interruptions, and failures that are told."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from tests.made_videos import VIDEOS, records, write_sources
from vlmfrontier.data.prepare import prepare_split
from vlmfrontier.errors import UserError
from vlmfrontier.models.build import build_model, word_tokenizer
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.load import validate
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.training.examples import training_order
from vlmfrontier.training.finetune import finetune
from vlmfrontier.training.processes import BatchPlan, Interrupted

RUNS = {"design": "rows", "rows": [{"N": "xs", "T": 3, "V": 4, "n": 20}]}


def study_of(start: Path, section: dict, workers: int = 0, groups: int = 1, **llava) -> Study:
    return validate(
        {
            "study": "real",
            "data": {"source": "llava", "llava": {**section, **llava}, "turns": "sequential", "length_groups": groups},
            "models": {"start": str(start), "language": {"xs": {"hidden_size": 24, "layers": 2, "heads": 2}}},
            "finetune": {"batch_size": 4, "save_every": 2, "log_every": 1, "learning_rates": {"projector": 5e-3}},
            "evaluate": {"harness": "lmms-eval"},
            "sweep": {"designs": {"few": RUNS}},
            "execution": {"workers": workers},
        }
    )


def words() -> set[str]:
    said = [m["value"] for video in VIDEOS for record in records(video) for m in record["conversations"]]
    return {word for text in said for word in text.split() if not word.startswith("<")}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, dict, Path]:
    """A starting model, the section of the data, and the prepared split."""
    folder = tmp_path_factory.mktemp("real")
    section, start = write_sources(folder / "data"), folder / "start"
    study = study_of(start, section)
    tokenizer = word_tokenizer(sorted(words()))
    build_model(study.models, "xs", tokenizer, 1).save_pretrained(start / "xs")
    tokenizer.save_pretrained(start / "xs")
    prepare_split(study, "train", folder / "train", processes=2)
    return start, section, folder / "train"


@pytest.fixture
def results(made, tmp_path) -> ResultsFolder:
    shutil.copytree(made[2], tmp_path / "real" / "data" / "train")
    return ResultsFolder(tmp_path / "real")


def trained(study: Study, results: ResultsFolder, **more) -> dict:
    return finetune(study, plan_runs(study)[0], results, **more)


def weights(study: Study, results: ResultsFolder) -> dict:
    return load_file(results.run(plan_runs(study)[0].key).model / "model.safetensors")


@pytest.mark.slow
def test_workers_and_interruptions_change_no_weight(made, results):
    start, section, _ = made
    plain = study_of(start, section, groups=2)
    undisturbed = trained(plain, results)
    assert undisturbed["steps"] == 5
    assert undisturbed["decode_failures"] == 0
    changed = weights(plain, results)
    before = load_file(start / "xs" / "model.safetensors")
    assert any(bool((changed[k] != before[k]).any()) for k in before if k.startswith("vision."))

    ahead = study_of(start, section, workers=2, groups=2)
    shutil.rmtree(results.run(plan_runs(ahead)[0].key).root)
    assert trained(ahead, results)["weights"] == undisturbed["weights"]

    shutil.rmtree(results.run(plan_runs(ahead)[0].key).root)
    attempts = 0
    while True:
        attempts += 1
        try:
            report = trained(ahead, results, plan=BatchPlan(stop_at=time.time()))
        except Interrupted:
            continue
        break
    assert attempts == 5  # one step each, the last of which ends the training
    assert report["weights"] == undisturbed["weights"]


def test_what_cannot_be_decoded_is_counted_and_nothing_takes_its_place(made, results, tmp_path):
    start, section, _ = made
    videos = tmp_path / "videos"
    shutil.copytree(Path(section["sources"][0]["videos"]), videos)
    manifest = results.split("train") / "manifest.json"
    about = json.loads(manifest.read_text())
    about["folders"] = {name: str(videos) for name in about["folders"]}
    manifest.write_text(json.dumps(about))
    study = study_of(start, section, failures=0.2)
    whole = trained(study, results)
    (videos / VIDEOS[0].name).write_bytes(b"no longer a video")

    for workers in (0, 1):
        run = results.run(plan_runs(study)[0].key)
        shutil.rmtree(run.root)
        study = study_of(start, section, workers, failures=0.2)
        report = trained(study, results)
        assert report["subset"] == whole["subset"]
        assert report["weights"] != whole["weights"]
        lines = [json.loads(line) for line in (run.state / "decode_failures.jsonl").read_text().splitlines()]
        named = {line["id"] for line in lines}
        assert named <= {"alpha/plain.mp4-colour", "alpha/plain.mp4-both"}
        assert report["decode_failures"] == len(named) > 0
        assert all(np.isfinite(value.numpy()).all() for value in weights(study, results).values())

        shutil.rmtree(run.root)
        with pytest.raises(UserError, match=r"^\d example.*data\.llava\.failures.*plain\.mp4") as refused:
            trained(study_of(start, section, workers, failures=0.0), results)
        assert "Traceback" not in str(refused.value)


def test_groups_of_length_keep_every_example_and_waste_less():
    lengths = np.random.default_rng(0).integers(10, 1000, 203)
    subset = list(range(203))

    def padding(order: list[int]) -> int:
        batches = [lengths[order[i : i + 8]] for i in range(0, len(order), 8)]
        return sum(int(batch.max() * len(batch) - batch.sum()) for batch in batches)

    plain = training_order(subset, 2, seed=1)
    grouped = training_order(subset, 2, 1, lengths, batch_size=8, length_groups=10)
    assert sorted(grouped) == sorted(plain)
    assert padding(grouped) < padding(plain) / 4
    assert grouped == training_order(subset, 2, 1, lengths, batch_size=8, length_groups=10)
    assert training_order(subset, 2, 1, lengths, batch_size=8) == plain
    # Batches come in random order: their lengths do not rise from one to the next.
    firsts = [int(lengths[grouped[i]]) for i in range(0, 80, 8)]
    assert firsts != sorted(firsts)
