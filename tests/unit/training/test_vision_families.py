"""Vision towers of other families all the way: stage 1, stage 2 of all weights or low-rank updates, reloaded."""

import json
from itertools import takewhile
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.published import TOWERS, save_language, save_vision, started, study_of
from vlmfrontier.data.digits.build import build_split
from vlmfrontier.evaluation.packed import PackedReader
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.weights import load_model, save_model, updates
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.sweep.trainings import finetuning
from vlmfrontier.training import finetune as stage
from vlmfrontier.training.finetune import finetune
from vlmfrontier.training.projector import align_published

OTHERS = [family for family in TOWERS if family != "siglip"]
LORA = {"lora": {"rank": 4, "alpha": 8, "keep_adapter": True}}


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    for family in OTHERS:
        save_vision(folder / family, family)
    save_language(folder / "llama")
    return folder


@pytest.fixture(scope="module", params=OTHERS)
def aligned(request, hub, small_results, tmp_path_factory) -> tuple[str, ResultsFolder]:
    """A family, and results with the starting model that stage 1 made of it."""
    results = ResultsFolder(tmp_path_factory.mktemp(request.param) / "tiny")
    build_split(results.root / "data" / "align", "align", 10, "train", seed=4)
    for split in ("train", "test"):
        (results.root / "data" / split).symlink_to(small_results / "data" / split)
    align_published(study_of(hub, request.param), "x", "", results)
    return request.param, results


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def moved(before: dict, after: dict) -> set[str]:
    return {key for key in before if not torch.equal(before[key], after[key])}


def question(folder: Path) -> dict[str, torch.Tensor]:
    prompt = PromptBuilder(AutoTokenizer.from_pretrained(folder))
    ids = torch.tensor([prompt.prefix(2 * 4) + prompt.question("describe the video")])
    frames = np.random.default_rng(0).integers(0, 256, (1, 2, 30, 30, 3), dtype=np.uint8)
    return {"input_ids": ids, "pixel_values": torch.from_numpy(frames)}


def test_stage_1_leaves_the_towers_as_they_are_published(hub, aligned):
    family, results = aligned
    start = weights(results.models / "x")
    own = {name.removeprefix("vision.") for name in start if name.startswith("vision.")}
    left_out = {"mask_token", "pooler", "post_layernorm", "classifier", "text_", "logit_scale", "visual_projection"}
    theirs = {name for name in weights(hub / family) if not any(part in name for part in left_out)}
    assert len(own) == len(theirs)
    steps = [json.loads(line) for line in (results.models / "state/align-x/train.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in steps if "loss" in entry] == [1, 2]


@pytest.mark.parametrize("settings", [{}, LORA], ids=["full", "lora"])
def test_a_trained_tower_is_saved_and_loads_bit_equal(hub, aligned, settings, tmp_path, monkeypatch):
    family, started_from = aligned
    (tmp_path / "tiny").mkdir()
    for part in ("data", "models"):
        (tmp_path / "tiny" / part).symlink_to(started_from.root / part)
    results, study = ResultsFolder(tmp_path / "tiny"), study_of(hub, family, **settings)
    (run,) = plan_runs(study)
    trained = []
    monkeypatch.setattr(stage, "save_model", lambda model, *rest: (trained.append(model), save_model(model, *rest)))
    report = finetune(study, run, results)
    folder = results.run(run.key).model
    before, after = weights(results.models / "x"), weights(folder)
    assert before.keys() == after.keys()
    changed = moved(before, after)
    if not settings:  # every weight of the tower learns: none is without a gradient
        assert {key for key in before if key.startswith("vision.")} <= changed
    assert any(key.startswith("vision.") and "layer" in key for key in changed)
    assert report["parameters"]["vision"] == study.models.vision.parameters

    ask = question(folder)
    memory, once, twice = trained[0].eval(), load_model(folder, 4), AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        logits = memory(**ask, tokens_per_frame=4).logits
        assert torch.equal(once(**ask).logits, twice(**ask).logits)
        assert torch.equal(once(**ask).logits, logits)
        written = once.generate(**ask, max_new_tokens=4, do_sample=False)[0, ask["input_ids"].shape[1] :].tolist()
        prompt = PromptBuilder(AutoTokenizer.from_pretrained(folder))
        # As benchmarks are answered: colours are the model's.
        packed = PackedReader(once, prompt, once.encode_video(ask["pixel_values"]))
        (answer,) = packed.generate([[prompt.question("describe the video")]], 4)[0]
    assert 0 < len(written) <= 4
    ends = {prompt.tokenizer.eos_token_id, prompt.pad_token_id}  # a model that has hardly learned says padding too
    assert answer == list(takewhile(lambda token: token not in ends, written))
    if settings:
        laid_over = peft.PeftModel.from_pretrained(load_model(results.models / "x", 4), results.run(run.key).adapter)
        with torch.no_grad():  # the sum is taken in another order: float32 rounding
            assert torch.allclose(laid_over(**ask).logits, logits, atol=1e-4)
            assert not torch.allclose(load_model(results.models / "x", 4)(**ask).logits, logits, atol=1e-2)


def test_updates_are_as_many_as_were_planned(hub, aligned, monkeypatch):
    family, results = aligned
    study = study_of(hub, family, **LORA)
    training = finetuning(study, plan_runs(study)[0])
    model = load_model(results.models / "x", 4)
    stage.add_lora(model, study.finetune.lora, study.finetune.train)
    learning = sum(p.numel() for part in (model.vision, model.language) for p in updates(part))
    assert learning + sum(p.numel() for p in model.projector.parameters()) == training.learning


@pytest.mark.slow
@pytest.mark.parametrize("aligned", ["clip", "dinov2_with_registers"], indirect=True)
def test_two_processes_share_the_tower_and_train_as_one_does(hub, aligned, tmp_path):
    family, started_from = aligned
    (tmp_path / "tiny").mkdir()
    for part in ("data", "models"):
        (tmp_path / "tiny" / part).symlink_to(started_from.root / part)
    results, study = ResultsFolder(tmp_path / "tiny"), study_of(hub, family, sharding="fsdp2")
    (run,) = plan_runs(study)
    finetune(study, run, results)
    alone = weights(results.run(run.key).model)
    results.run(run.key).finetuned.unlink()
    process = started(study, results, run.key)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    together = weights(results.run(run.key).model)
    assert together.keys() == alone.keys()
    # Adam divides by the root of small numbers, which blows rounding up to a share of one step's length.
    assert all(torch.allclose(together[key], alone[key], atol=2e-3) for key in alone)
