"""A training that diverges is failed and named: nothing of it is kept, evaluated or taken for a result."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from tests.unit.training.test_batch_plan import in_two_processes
from tests.unit.training.test_finetune import events, log_of, results, start, study_of  # noqa: F401 (fixtures)
from vlmfrontier.errors import UserError
from vlmfrontier.evaluation.packed import PackedReader
from vlmfrontier.evaluation.result import check_measured, check_model
from vlmfrontier.files import weights_hash
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.weights import load_model, not_finite, read_weights
from vlmfrontier.study.load import write_study
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.training.divergence import Diverged
from vlmfrontier.training.finetune import finetune
from vlmfrontier.training.processes import BatchPlan, Interrupted
from vlmfrontier.training.state import TrainingState

ABSURD = {
    "learning_rates": {"vision": 1e12, "projector": 1e12, "language": 1e12},
    "max_grad_norm": 1e30,
    "warmup": 0,
    "save_every": 1,
}


def test_it_stops_at_the_step_and_lower_rates_begin_anew(start, results):  # noqa: F811
    study = study_of(start, **ABSURD)
    run = plan_runs(study)[1]
    folder = results.run(run.key)
    for _ in range(2):  # unchanged it ends the same way
        with pytest.raises(Diverged, match=r"step \d+ of 12: .*finetune.learning_rates.*max_grad_norm"):
            finetune(study, run, results)
        assert not folder.finetuned.exists()
        assert not folder.model.exists()
        assert all(math.isfinite(e["loss"]) for e in log_of(results, run.key) if "loss" in e)
        for path in folder.state.glob("checkpoint-*/model.safetensors"):
            assert not not_finite(load_file(path).items())
    assert len(events(results, run.key, "diverged")) == 2
    report = finetune(study_of(start), run, results)
    assert report["resumed_at"] == 0
    assert report["loss"] > 0
    assert not (folder.state / "diverged.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["none", "fsdp2"])
def test_two_processes_stop_together(start, results, sharding):  # noqa: F811
    study = study_of(start, **ABSURD, sharding=sharding)
    run = plan_runs(study)[1]
    write_study(study, results.root / "study.json")
    done = in_two_processes(results, run.key)
    assert done.returncode != 0
    assert "diverged at step" in done.stderr + done.stdout
    assert not results.run(run.key).finetuned.exists()


def spoil(path, number: float = float("nan")) -> None:
    tensors = load_file(path)
    next(iter(tensors.values())).view(-1)[0] = number
    save_file(tensors, path, {"format": "pt"})


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_not_evaluated(start, results, number):  # noqa: F811
    study = study_of(start)
    run = plan_runs(study)[0]
    finetune(study, run, results)
    folder = results.run(run.key)
    check_model(folder)
    assert (folder.model / "model.safetensors").stat().st_mode == (folder.model / "config.json").stat().st_mode
    spoil(folder.model / "model.safetensors", number)
    with pytest.raises(UserError, match="1 tensors hold NaN or infinite numbers"):
        check_model(folder)


def test_a_starting_model_that_is_no_numbers_is_named(start, results, tmp_path):  # noqa: F811
    copied = tmp_path / "start" / "xs"
    copied.mkdir(parents=True)
    for path in (start / "xs").iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    spoil(copied / "model.safetensors")
    study = study_of(tmp_path / "start")
    with pytest.raises(UserError, match="in the starting model 1 tensors"):
        finetune(study, plan_runs(study)[0], results)


@pytest.mark.parametrize(
    ("error", "loss", "found"),
    [(float("nan"), 1.0, "nan"), (-5.0, 1.0, "-5"), (100.5, 1.0, "100.5"), (50.0, float("nan"), "loss nan")],
)
def test_metrics_that_cannot_be_are_not_written(error, loss, found):
    with pytest.raises(UserError, match=found):
        check_measured("run", {"avg": {"error": error}}, loss)
    check_measured("run", {"avg": {"error": 50.0}}, 1.0)


def test_tensors_are_told_by_name():
    good, bad = torch.ones(2), torch.tensor([1.0, float("inf")])
    assert not_finite([("a", good), ("b", bad), ("c", torch.ones(1, dtype=torch.long))]) == ["b"]
    assert json.dumps(not_finite([])) == "[]"


def test_a_checkpoint_that_is_no_numbers_is_not_gone_on_from(start, results):  # noqa: F811
    """Older versions saved them; a hash says only that the file is as it was written."""
    study = study_of(start)
    run = plan_runs(study)[0]
    with pytest.raises(Interrupted):
        finetune(study, run, results, BatchPlan(stop_at=0.0))
    state = results.run(run.key).state
    (checkpoint,) = state.glob("checkpoint-*")
    spoil(checkpoint / "model.safetensors")
    TrainingState.seal(TrainingState(state, json.loads((state / "recipe.json").read_text())), checkpoint)
    with pytest.raises(UserError, match=f"checkpoint-1: 1 tensors .*delete {state}"):
        finetune(study, run, results)


@pytest.mark.parametrize("asked", ["generate", "log_likelihoods"])
def test_outputs_that_are_no_numbers_answer_nothing(start, asked):  # noqa: F811
    """The largest of NaNs would be taken for the first option, or for the first word of the vocabulary."""
    tokenizer = AutoTokenizer.from_pretrained(start / "xs")
    model, prompt = load_model(start / "xs", 4).eval(), PromptBuilder(tokenizer)
    with torch.no_grad():
        for parameter in model.language.parameters():
            parameter.fill_(3e38)
        packed = PackedReader(model, prompt, model.encode_video(torch.zeros(1, 2, 3, 64, 64)))
        question, answer = [5, 6], [7]
        with pytest.raises(UserError, match="outputs are NaN or infinite"):
            packed.generate([[question]], 2) if asked == "generate" else packed.log_likelihoods(
                [[question]], [[answer]]
            )


def test_one_reading_tells_hash_and_soundness_of_weights(tmp_path: Path):
    numbers = torch.arange(6.0).reshape(2, 3)
    several = {"z": numbers, "a": numbers.bfloat16(), "scalar": torch.tensor(2.0), "none": torch.empty(0)}
    several["b"] = numbers > 2
    save_file(several, tmp_path / "model-2.safetensors")
    save_file({"long": numbers.long(), "bad": numbers / 0}, tmp_path / "model-1.safetensors", metadata={"format": "pt"})
    saved = read_weights(tmp_path)
    assert saved == (weights_hash(tmp_path), ["bad"])
    with (tmp_path / "model-2.safetensors").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(UserError, match=r"model-2\.safetensors: damaged"):
        read_weights(tmp_path)
