"""A run trains, survives a kill at any point with bit-equal weights, and refuses a state that is not its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from vlmfrontier.errors import UserError
from vlmfrontier.models.build import build_model, digits_tokenizer
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.load import validate, write_study
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.training import finetune as stage
from vlmfrontier.training.finetune import finetune
from vlmfrontier.training.processes import BatchPlan, Interrupted

RUNS = {"design": "rows", "rows": [{"N": "xs", "T": 2, "V": 4, "n": n} for n in (8, 24)]}


def study_of(start: Path, **finetune_settings):
    return validate(
        {
            "study": "small",
            "data": {"digits": {"train": 24, "test": 10, "seed": 3}},
            "models": {"start": str(start), "language": {"xs": {"hidden_size": 24, "layers": 2, "heads": 2}}},
            "finetune": {
                "batch_size": 2,
                "save_every": 2,
                "log_every": 1,
                "learning_rates": {"projector": 5e-3, "language": 3e-3},
                **finetune_settings,
            },
            "sweep": {"center": {"N": "xs", "T": 2, "V": 4}, "designs": {"few": RUNS}},
        }
    )


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    study = study_of(folder)
    tokenizer = digits_tokenizer()
    build_model(study.models, "xs", tokenizer, 1).save_pretrained(folder / "xs")
    tokenizer.save_pretrained(folder / "xs")
    return folder


@pytest.fixture
def results(small_results, tmp_path) -> ResultsFolder:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "data").symlink_to(small_results / "data")
    return ResultsFolder(tmp_path / "small")


def weights(results: ResultsFolder, key: str) -> dict:
    return load_file(results.run(key).model / "model.safetensors")


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(bool((a[k] == b[k]).all()) for k in a)


def log_of(results: ResultsFolder, key: str) -> list[dict]:
    return [json.loads(line) for line in (results.run(key).state / "train.jsonl").read_text().splitlines()]


def test_training_changes_every_part_and_is_the_same_twice(start, results, small_results, tmp_path):
    study = study_of(start)
    run = plan_runs(study)[0]
    first = finetune(study, run, results)
    trained = weights(results, run.key)
    before = load_file(start / "xs" / "model.safetensors")
    for part in ("vision.", "projector.", "language."):
        assert any(bool((trained[k] != before[k]).any()) for k in trained if k.startswith(part))
    (results.root / "data").unlink()
    (results.root / "data").symlink_to(small_results / "data")
    second = finetune(study, run, results, force="request")
    assert len(events(results, run.key, "started")) == 2
    assert same(trained, weights(results, run.key))
    assert first["weights"] == second["weights"]
    assert first["steps"] == 4


def events(results: ResultsFolder, key: str, kind: str) -> list[dict]:
    return [entry for entry in log_of(results, key) if entry.get("event") == kind]


def test_what_has_finished_is_not_trained_again(start, results):
    """Whoever asks, and whatever became of its report: neither a retry nor a lost file costs the training."""
    study = study_of(start)
    run = plan_runs(study)[0]
    report = finetune(study, run, results)
    results.run(run.key).finetuned.unlink()
    (results.run(run.key).state / "checkpoint-2").mkdir()  # the job was killed before it had tidied up
    assert finetune(study, run, results) == json.loads(json.dumps(report))
    assert json.loads(results.run(run.key).finetuned.read_text()) == json.loads(json.dumps(report))
    assert len(events(results, run.key, "started")) == 1
    assert not list(results.run(run.key).state.glob("checkpoint-*"))


def test_it_is_trained_again_once_per_request(start, results):
    study = study_of(start)
    run = plan_runs(study)[0]
    for request, trained in [(None, 1), ("first", 2), ("first", 2), (None, 2), ("second", 3)]:
        finetune(study, run, results, force=request)
        assert len(events(results, run.key, "started")) == trained


@pytest.mark.parametrize("harm", ["recipe", "weights", "gone"])
def test_what_finished_otherwise_or_was_damaged_is_trained_again(start, results, harm):
    study = study_of(start)
    run = plan_runs(study)[0]
    trained = finetune(study, run, results)["weights"]
    model = results.run(run.key).model / "model.safetensors"
    if harm == "recipe":
        study = study_of(start, weight_decay=0.5)
    elif harm == "weights":
        model.write_bytes(model.read_bytes()[:-1] + b"x")
    else:
        shutil.rmtree(model.parent)
    again = finetune(study, run, results)["weights"]
    assert len(events(results, run.key, "started")) == 2
    assert (again == trained) == (harm != "recipe")


def test_a_training_that_began_again_and_was_stopped_is_not_taken_for_the_finished_one(start, results):
    study = study_of(start)
    run = plan_runs(study)[0]
    finetune(study, run, results)
    with pytest.raises(Interrupted):
        finetune(study, run, results, BatchPlan(stop_at=time.time()), force="request")
    assert finetune(study, run, results)["resumed_at"] == 1


def test_frozen_vision_stays_as_it_was(start, results):
    study = study_of(start, train=["projector", "language"])
    run = plan_runs(study)[0]
    finetune(study, run, results)
    trained, before = weights(results, run.key), load_file(start / "xs" / "model.safetensors")
    assert all(bool((trained[k] == before[k]).all()) for k in before if k.startswith("vision."))
    assert any(bool((trained[k] != before[k]).any()) for k in before if k.startswith("language."))


def start_training(study, results: ResultsFolder, key: str, *options: str) -> subprocess.Popen:
    write_study(study, results.root / "study.json")
    given = ["--study", str(results.root / "study.json"), "--run", key, *options]
    command = [sys.executable, "scripts/finetune.py", *given]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_checkpoint(results: ResultsFolder, key: str, process: subprocess.Popen) -> None:
    state = results.run(key).state
    while process.poll() is None:
        if list(state.glob("checkpoint-*/complete.json")):
            return
        time.sleep(0.02)
    raise AssertionError(f"training ended before it saved a state:\n{process.stdout.read()}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "draw"), [(signal.SIGKILL, {"T": [1, 2], "V": [1, 4]}), (signal.SIGTERM, None)], ids=["kill", "term"]
)
def test_a_killed_training_goes_on_and_ends_bit_equal(start, results, number, draw):
    study = study_of(start, draw=draw)
    run = plan_runs(study)[1]
    process = start_training(study, results, run.key)
    wait_for_checkpoint(results, run.key, process)
    process.send_signal(number)
    assert process.wait(600) != 0
    assert not results.run(run.key).finetuned.exists()

    process = start_training(study, results, run.key)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    resumed = [entry["step"] for entry in events(results, run.key, "resumed")]
    assert len(resumed) == 1
    assert resumed[0] >= 2
    report = json.loads(results.run(run.key).finetuned.read_text())
    assert report["resumed_at"] == resumed[0]
    interrupted = weights(results, run.key)

    # Like the others in a process of its own: one that ran other tests may compute with other threads.
    output, _ = start_training(study, results, run.key, "--force", "request").communicate(timeout=600)
    undisturbed = json.loads(results.run(run.key).finetuned.read_text())
    assert undisturbed["resumed_at"] == 0
    assert undisturbed["weights"] == report["weights"]
    assert same(interrupted, weights(results, run.key))


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(start, results):
    study = study_of(start)
    run = plan_runs(study)[1]
    process = start_training(study, results, run.key)
    state = results.run(run.key).state
    while process.poll() is None and len(list(state.glob("checkpoint-*/complete.json"))) < 2:
        time.sleep(0.02)
    process.kill()
    process.wait()
    complete = sorted((int(p.parent.name.split("-")[1]), p.parent) for p in state.glob("checkpoint-*/complete.json"))
    assert len(complete) == 2
    older, (newest_step, newest) = complete[0][0], complete[1]
    content = (newest / "model.safetensors").read_bytes()
    (newest / "model.safetensors").write_bytes(content[: len(content) // 2])
    report = finetune(study, run, results)
    assert older <= report["resumed_at"] < newest_step


def test_killed_after_its_last_step_it_goes_on_to_the_same_report(start, results, monkeypatch):
    study = study_of(start)
    run = plan_runs(study)[1]
    with monkeypatch.context() as killed:
        killed.setattr(stage, "save_model", lambda *_: sys.exit("killed"))
        with pytest.raises(SystemExit, match="killed"):
            finetune(study, run, results)
    report = finetune(study, run, results)
    assert report["resumed_at"] == report["steps"] == 12
    undisturbed = finetune(study, run, results, force="request")
    assert undisturbed["resumed_at"] == 0
    assert (report["loss"], report["weights"]) == (undisturbed["loss"], undisturbed["weights"])


@pytest.mark.slow
def test_a_state_of_another_configuration_is_refused_with_both_values(start, results):
    study = study_of(start)
    run = plan_runs(study)[1]
    process = start_training(study, results, run.key)
    wait_for_checkpoint(results, run.key, process)
    process.kill()
    process.wait()
    other = study_of(start, weight_decay=0.5)
    with pytest.raises(UserError, match=r"finetune\.weight_decay: 0\.01 → 0\.5"):
        finetune(other, run, results)


def test_a_missing_starting_model_is_named(results, tmp_path):
    study = study_of(tmp_path / "nowhere")
    with pytest.raises(UserError, match="nowhere"):
        finetune(study, plan_runs(study)[0], results)
