"""One finetuning of real size with random weights: seconds a step, tokens/s, MFU, peak memory against the plan's.

    torchrun --nproc-per-node 8 benchmarks/real_size.py                         1B and 8B at (T, V) = (32, 196), sdpa
    torchrun --nproc-per-node 8 benchmarks/real_size.py --attention flash_attention_2 --setting 8B,32,196
    python benchmarks/real_size.py --setting 1B,32,196 --micro-batch 1          one GPU, nothing shared
    torchrun --nproc-per-node 1 benchmarks/real_size.py --share            one GPU, through FSDP2 and NCCL
    python benchmarks/real_size.py --tiny                                       the same on a CPU, in seconds

Weights, frames and words are random; micro-batch and recomputed activations are the plan's for a GPU of `--memory` GiB,
unless `--micro-batch` and `--recompute` say otherwise. A step takes `--accumulation` micro-batches; by default so many
that all GPUs together see the 256 examples of the study.
The way through is that of a run: the study's paper.yaml, its optimizer, precision and sharding, and the training loop.
MFU counts the FLOPs of Eq. 1, three passes, without those computed again. Nothing is saved.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch.utils.data import Dataset
from transformers.modeling_layers import GradientCheckpointingLayer

from vlmfrontier.cluster.site import GIB, Site
from vlmfrontier.cost.training import TrainingMemory
from vlmfrontier.models.build import described_model
from vlmfrontier.models.video_vlm import IGNORED, VideoVLM
from vlmfrontier.study.load import load_study, validate
from vlmfrontier.study.models import LanguageConfig
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.resources import plan_training
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.sweep.trainings import PlannedTraining, finetuning, training_memory
from vlmfrontier.training import loop
from vlmfrontier.training.loop import model_loss, parameter_groups, train
from vlmfrontier.training.processes import BatchPlan, is_first, num_processes
from vlmfrontier.training.state import TrainingState

PAPER = Path(__file__).parents[1] / "workflow/studies/paper.yaml"
TEXT, SUPERVISED = 256, 128
"""Tokens of text in an example, and how many of them are predicted."""
BATCH = 256
"""Examples of a step in the study."""


class EnoughError(Exception):
    """All steps that were asked for have been taken."""


class Clock:
    """A loss that notes when each optimizer step begins and ends the training after the last."""

    def __init__(self, steps: int, accumulation: int):
        self.steps, self.accumulation, self.calls, self.begins = steps, accumulation, 0, []

    def __call__(self, model, batch):
        if self.calls % self.accumulation == 0:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.begins.append(time.perf_counter())
            if len(self.begins) > self.steps:
                raise EnoughError
        self.calls += 1
        return model_loss(model, batch)

    @property
    def seconds(self) -> float:
        """Median seconds a step, without the first, which sets everything up."""
        return float(np.median(np.diff(self.begins)[1:]))


class RandomExamples(Dataset):
    """Random words behind the same random frames, which cost no time to make: input.py measures what decoding takes."""

    def __init__(self, config, frames: int, count: int):
        self.config, self.count = config, count
        side = config.vision_config.image_size
        self.frames = np.random.default_rng(0).integers(0, 256, (frames, side, side, 3), dtype=np.uint8)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng(index)
        words = rng.integers(3, self.config.text_config.vocab_size, TEXT)
        places = np.full(len(self.frames) * self.config.tokens_per_frame, self.config.video_token_id)
        labels = np.concatenate([np.full(len(places) + TEXT - SUPERVISED, IGNORED), words[-SUPERVISED:]])
        example = {"pixel_values": self.frames, "input_ids": np.concatenate([places, words]), "labels": labels}
        return {name: torch.from_numpy(values) for name, values in example.items()}


def collate(examples: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return a batch; all examples have one length."""
    return {name: torch.stack([example[name] for example in examples]) for name in examples[0]}


def measure(
    study: Study, training: PlannedTraining, name: str, plan: BatchPlan, given: argparse.Namespace, folder: Path
) -> float:
    """Return the seconds of one optimizer step of the study's finetuning with the language model called `name`."""
    config = described_model(study.models, name, training.V)
    with torch.device(device()):
        model = VideoVLM(config)
    settings = training.settings
    if given.compile:
        for layer in model.modules():
            if isinstance(layer, GradientCheckpointingLayer):
                layer.compile()
    clock = Clock(given.steps, plan.accumulation(settings.batch_size))
    groups = parameter_groups(model, settings.train, lambda part: settings.learning_rates.of(part, name))
    examples = RandomExamples(config, training.T, (given.steps + 1) * settings.batch_size)
    try:
        state = TrainingState(folder, {}, is_first())
        train(
            model,
            examples,
            collate,
            groups,
            settings,
            state,
            steps=given.steps + 1,
            seed=0,
            label=name,
            loss=clock,
            plan=plan,
        )
    except EnoughError:
        return clock.seconds
    raise AssertionError("the training ended before its steps were measured")


def device() -> torch.device:
    """Return where this process trains."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def with_models(study: Study, batch: int, attention: str) -> Study:
    """Return `study` with this attention and a batch of so many examples."""
    models = study.models.model_copy(update={"attention": attention})
    settings = study.finetune.model_copy(update={"batch_size": batch, "log_every": 10**6, "save_every": 10**6})
    execution = study.execution.model_copy(update={"gpus": num_processes(), "nodes": 1})
    return study.model_copy(update={"models": models, "finetune": settings, "execution": execution})


def planned_memory(training: PlannedTraining, micro: int, again: bool) -> TrainingMemory:
    """Return the plan's memory of one GPU; that of FSDP2 on one GPU is counted from two, with all of the states."""
    if num_processes() > 1 or not loop.shards(training.settings):
        return training_memory(training, micro, again)
    half = training_memory(PlannedTraining(**{**vars(training), "gpus": 2}), micro, again)
    states = (2 * part for part in (half.weights, half.gradients, half.optimizer))
    return TrainingMemory(*states, half.activations, half.gathered)


def row(study: Study, setting: str, attention: str, given: argparse.Namespace) -> dict:
    """Return what was measured at one setting `N,T,V`, beside what the plan says."""
    name, T, V = setting.split(",")
    if given.layers:
        described = study.models.language[name].model_dump(exclude={"size"})  # N is counted from the layers
        cut = LanguageConfig.model_validate({**described, "layers": given.layers})
        language = {**study.models.language, name: cut}
        study = study.model_copy(update={"models": study.models.model_copy(update={"language": language})})
    study = with_models(study, num_processes() * (given.micro_batch or BATCH // num_processes()), attention)
    run = next(run for run in plan_runs(study) if run.language == name)
    training = finetuning(study, run)
    training = PlannedTraining(**{**vars(training), "T": int(T), "V": int(V), "text": (TEXT, SUPERVISED)})
    placed = plan_training(training, Site.model_validate({"gpu": {"memory": given.memory}}))
    micro = given.micro_batch or placed.micro_batch
    again = placed.checkpointing if given.recompute is None else given.recompute == "yes"
    accumulation = given.accumulation or max(1, BATCH // (num_processes() * micro))
    study = with_models(study, num_processes() * micro * accumulation, attention)
    training = PlannedTraining(**{**vars(training), "settings": study.finetune})
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(study, training, name, BatchPlan(micro, again), given, Path(folder))
    examples = study.finetune.batch_size
    flops = training.flops / training.examples * examples
    peak = Site().gpu[0].peak(study.finetune.precision) if given.peak is None else given.peak
    planned = planned_memory(training, micro, again).total / GIB
    used = torch.cuda.max_memory_reserved() / GIB if torch.cuda.is_available() else float("nan")
    return {
        "(N, T, V)": f"({name}, {T}, {V})" + (f", {given.layers} layers" if given.layers else ""),
        "attention": attention,
        "GPUs": num_processes(),
        "shared": "yes" if loop.shards(study.finetune) else "no",
        "micro-batch": f"{accumulation} × {micro}{', recomputed' if again else ''}",
        "s/step": f"{seconds:.3f}",
        "tokens/s": f"{examples * (int(T) * int(V) + TEXT) / seconds:,.0f}",
        "MFU": f"{flops / seconds / peak / num_processes():.1%}",
        "GiB used": f"{used:.1f}",
        "GiB planned": f"{planned:.1f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setting", action="append", metavar="N,T,V")
    parser.add_argument("--attention", action="append", metavar="NAME", help="sdpa, flash_attention_2, eager")
    parser.add_argument("--micro-batch", type=int, help="examples of one GPU at a time; default: the plan's")
    parser.add_argument("--memory", type=float, default=80.0, help="GiB of one GPU")
    parser.add_argument("--peak", type=float, help="FLOPs per second of one GPU; default: an A100's")
    parser.add_argument("--recompute", choices=["yes", "no"], help="activations on the way back; default: the plan's")
    parser.add_argument("--accumulation", type=int, help="micro-batches of a step; default: those of 256 examples")
    parser.add_argument("--layers", type=int, help="of the language model, where one GPU holds no more")
    parser.add_argument("--compile", action="store_true", help="layers compiled (torch.compile)")
    parser.add_argument("--share", action="store_true", help="FSDP2 also with one GPU, started by torchrun")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="models of the digits study, on any machine")
    given = parser.parse_args()
    if given.share:
        loop.shards = lambda settings: settings.sharding == "fsdp2"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    study = load_study([PAPER])
    settings = given.setting or ["1B,32,196", "8B,32,196"]
    if given.tiny:
        rows = [{"N": "xs", "T": 2, "V": 4, "n": 8}, {"N": "m", "T": 2, "V": 4, "n": 8}]
        study = validate({"study": "tiny", "sweep": {"designs": {"few": {"design": "rows", "rows": rows}}}})
        settings, given.micro_batch = given.setting or ["xs,4,16", "m,4,16"], given.micro_batch or 2
        given.accumulation = given.accumulation or 1
    table = [row(study, setting, name, given) for setting in settings for name in given.attention or ["sdpa"]]
    if is_first():
        print(tabulate(table, headers="keys", tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
