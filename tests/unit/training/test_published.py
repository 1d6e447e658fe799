"""Published towers all the way: stage 1, stage 2 of all weights or low-rank updates, shared by processes, reloaded."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.published import save_language, save_siglip, started, study_of
from vlmfrontier.data.digits.build import build_split
from vlmfrontier.data.video import encode_video
from vlmfrontier.errors import UserError
from vlmfrontier.models.build import count_parameters
from vlmfrontier.models.prompt import PromptBuilder
from vlmfrontier.models.weights import load_model, save_model
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.training import finetune as stage
from vlmfrontier.training.finetune import finetune
from vlmfrontier.training.processes import BatchPlan, Interrupted
from vlmfrontier.training.projector import align_published

SHARDED, LORA = {"sharding": "fsdp2"}, {"lora": {"rank": 4, "alpha": 8, "keep_adapter": True}}


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    save_siglip(folder / "siglip")
    save_language(folder / "llama")
    return folder


@pytest.fixture(scope="module")
def aligned(hub, small_results, tmp_path_factory) -> Path:
    """A results folder with data and the starting model that stage 1 made."""
    root = tmp_path_factory.mktemp("aligned") / "tiny"
    build_split(root / "data" / "align", "align", 10, "train", seed=4)
    for split in ("train", "test"):
        (root / "data" / split).symlink_to(small_results / "data" / split)
    results = ResultsFolder(root)
    align_published(study_of(hub), "x", "", results)
    return root


@pytest.fixture
def results(aligned, tmp_path) -> ResultsFolder:
    (tmp_path / "tiny").mkdir()
    for part in ("data", "models"):
        (tmp_path / "tiny" / part).symlink_to(aligned / part)
    return ResultsFolder(tmp_path / "tiny")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def losses(results: ResultsFolder, key: str) -> list[float]:
    lines = (results.run(key).state / "train.jsonl").read_text().splitlines()
    return [entry["loss"] for entry in map(json.loads, lines) if "loss" in entry]


def test_stage_1_moves_the_projector_and_nothing_else(hub, aligned):
    started = weights(aligned / "models" / "x")
    towers = {**weights(hub / "llama"), **weights(hub / "siglip")}
    for name, tensor in started.items():
        published = name.removeprefix("language.").replace("vision.", "vision_model.", 1)
        if not name.startswith("projector."):
            assert torch.equal(tensor, towers[published]), name
    steps = [json.loads(line) for line in (aligned / "models/state/align-x/train.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in steps if "loss" in entry] == [1, 2]  # ten pictures in batches of four
    assert load_model(aligned / "models" / "x", 49).config.tokens_per_frame == 49


@pytest.mark.parametrize("settings", [{}, pytest.param(LORA, marks=pytest.mark.slow)], ids=["full", "lora"])
def test_a_trained_model_loads_bit_equal_and_generates(hub, results, settings):
    study = study_of(hub, **settings)
    run = plan_runs(study)[0]
    report = finetune(study, run, results)
    model_folder = results.run(run.key).model
    before, after = weights(results.models / "x"), weights(model_folder)
    assert before.keys() == after.keys()  # updates are merged, no part is missing
    for part in ("vision.", "projector.", "language."):
        assert any(not torch.equal(before[key], after[key]) for key in before if key.startswith(part)), part
    assert report["parameters"]["language"] == run.N

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    prompt = PromptBuilder(tokenizer)
    ids = torch.tensor([prompt.prefix(2 * 4) + prompt.question("describe the video")])
    ask = {"input_ids": ids, "pixel_values": torch.rand(1, 2, 3, 30, 30) * 2 - 1}
    once, twice = load_model(model_folder, 4), AutoModelForCausalLM.from_pretrained(model_folder)
    with torch.no_grad():
        assert torch.equal(once(**ask).logits, twice(**ask).logits)
        written = once.generate(**ask, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False)
    assert written.shape[1] <= ids.shape[1] + 4
    if settings:
        laid_over = peft.PeftModel.from_pretrained(load_model(results.models / "x", 4), results.run(run.key).adapter)
        with torch.no_grad():  # the sum is taken in another order: float32 rounding
            assert torch.allclose(laid_over(**ask).logits, once(**ask).logits, atol=1e-4)


@pytest.mark.slow
def test_the_docs_way_to_ask_a_finetuned_model(hub, results, tmp_path):
    """The lines of docs/models.md, as someone would copy them, in a Python that has imported nothing else."""
    study = study_of(hub)
    run = plan_runs(study)[0]
    finetune(study, run, results)
    video = tmp_path / "video.mp4"
    encode_video(np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), dtype=np.uint8), video, 10)
    [lines] = re.findall(r"```python\n(.*?)```", Path("docs/models.md").read_text(), re.DOTALL)
    given = f"folder, video, question = {str(results.run(run.key).model)!r}, Path({str(video)!r}), 'describe the video'"
    code = f"from pathlib import Path\n{given}\n{lines}\nprint('answer:', [answer], written.shape[1] - ids.shape[1])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("answer: ['")


def test_what_is_saved_is_what_was_trained(hub, results, monkeypatch):
    """The logits of the model in memory after its last step are those of the model that is read back."""
    trained = []

    def keep(model, *rest):
        trained.append(model.eval())
        save_model(model, *rest)

    monkeypatch.setattr(stage, "save_model", keep)
    study = study_of(hub)
    run = plan_runs(study)[0]
    finetune(study, run, results)
    ids = torch.arange(20)[None] + 20
    with torch.no_grad():
        assert torch.equal(trained[0](ids).logits, load_model(results.run(run.key).model, 4)(ids).logits)


def test_16_bits_are_kept_as_16_bits(hub, results):
    study = study_of(hub, precision="bf16")
    run = plan_runs(study)[0]
    finetune(study, run, results)
    assert {tensor.dtype for tensor in weights(results.run(run.key).model).values()} == {torch.bfloat16}
    model = load_model(results.run(run.key).model, 4, dtype=torch.bfloat16)
    with torch.no_grad():
        assert model(torch.arange(20)[None] + 20).logits.dtype == torch.bfloat16
    assert count_parameters(model)["language"] == run.N


def test_mid_epoch_it_goes_on_to_the_same_weights(hub, results):
    study = study_of(hub, **LORA, draw={"T": [1, 2], "V": [1, 4]})
    run = plan_runs(study)[0]
    whole = finetune(study, run, results)
    with pytest.raises(Interrupted):
        finetune(study, run, results, BatchPlan(stop_at=0.0), force="request")
    again = finetune(study, run, results)
    assert again["resumed_at"] == 1
    assert again["weights"] == whole["weights"]


@pytest.mark.slow
def test_stage_1_on_two_processes_is_that_of_one(hub, aligned, tmp_path):
    given = study_of(hub)
    align = given.pretrain.align.model_copy(update=SHARDED)
    study = given.model_copy(update={"pretrain": given.pretrain.model_copy(update={"align": align})})
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "data").symlink_to(aligned / "data")
    process = started(study, ResultsFolder(tmp_path / "tiny"), "x", script="models")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    together, alone = weights(tmp_path / "tiny/models/x"), weights(aligned / "models/x")
    assert together.keys() == alone.keys()
    # Two steps of Adam: rounding of small gradients shows as a share of one step's length.
    assert all(torch.allclose(together[key], alone[key], atol=2e-3) for key in alone)
    assert (tmp_path / "tiny/models/x/report.json").exists()


def train_on_two(study: Study, results: ResultsFolder, key: str, *more: str) -> tuple[int, str]:
    process = started(study, results, key, *more)
    output, _ = process.communicate(timeout=240)
    return process.returncode, output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({}, []),
        ({}, ["--checkpointing"]),
        (LORA, []),
        ({"precision": "bf16"}, []),
    ],
    ids=["full", "again", "lora", "bf16"],
)
def test_two_processes_share_one_model_and_train_as_one_does(hub, results, settings, options):
    study = study_of(hub, **SHARDED, **settings)
    run = plan_runs(study)[0]
    alone = finetune(study, run, results)
    single, apart = losses(results, run.key), weights(results.run(run.key).model)
    results.run(run.key).finetuned.unlink()
    status, output = train_on_two(study, results, run.key, *options, "--force", "together")
    assert status == 0, output
    half = "precision" in settings  # whole layers in 16 bits against single products: eight bits of a number
    # Else the same sums in another order.
    assert losses(results, run.key)[len(single) :] == pytest.approx(single, rel=2e-2 if half else 1e-4)
    together = weights(results.run(run.key).model)
    assert together.keys() == apart.keys()
    # Adam divides by the root of small numbers, which blows rounding up to a share of one step's length.
    assert half or all(torch.allclose(together[key], apart[key], atol=2e-3) for key in apart)
    report = json.loads(results.run(run.key).finetuned.read_text())
    assert report["processes"] == 2
    assert report["parameters"] == alone["parameters"]
    if "lora" in settings:
        assert (results.run(run.key).adapter / "adapter_model.safetensors").exists()


@pytest.mark.slow
def test_shared_state_is_resumed_and_refused_by_one_process(hub, results):
    study = study_of(hub, **SHARDED)
    run = plan_runs(study)[0]
    state = results.run(run.key).state
    status, output = train_on_two(study, results, run.key)
    assert status == 0, output
    undisturbed = weights(results.run(run.key).model)
    results.run(run.key).finetuned.unlink()
    # Its first process is killed without warning as soon as the state of step 2 is whole; the launcher ends the other.
    process = started(study, results, run.key, "--force", "request")
    while process.poll() is None and not list(state.glob("checkpoint-*/complete.json")):
        time.sleep(0.01)
    os.kill(json.loads((state / "owner.json").read_text())["pid"], signal.SIGKILL)
    process.communicate()
    assert list(state.glob("checkpoint-*/pytorch_model_fsdp_0/*.distcp"))  # each process wrote its part
    with pytest.raises(UserError, match="shared: True → False"):
        finetune(study, run, results)
    status, output = train_on_two(study, results, run.key)
    assert status == 0, output
    assert json.loads(results.run(run.key).finetuned.read_text())["resumed_at"] in (2, 4)
    assert same(undisturbed, weights(results.run(run.key).model))
