"""One training loop for every stage: the Trainer with our order, groups and state folder."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import PrinterCallback, TrainingArguments, set_seed

from vlmfrontier.errors import UserError
from vlmfrontier.models.weights import updates
from vlmfrontier.study.training import OptimizationConfig
from vlmfrontier.training.curves import NO_CURVES, Curves
from vlmfrontier.training.divergence import Diverged, StepWatch, advice
from vlmfrontier.training.processes import (
    OWN_PROCESS,
    WHOLE_BATCHES,
    BatchPlan,
    BatchShares,
    Interrupted,
    Loading,
    broadcast_checkpoint,
    is_first,
    num_processes,
    process_number,
)
from vlmfrontier.training.state import TrainingState
from vlmfrontier.training.trainer import (
    Loss,
    StateCallback,
    StudyTrainer,
    gather_model,
    reduce_in_32_bits,
    sharding_arguments,
    to_meta,
)


def parameter_groups(model, train: Sequence[str], rates) -> list[dict]:
    """Freeze what is not in `train`; return an AdamW group for each part in it, at the peak `rates(part)`.

    Of a tower with low-rank updates these alone learn.
    """
    groups = []
    for name, part in model.named_children():
        learning = updates(part) or list(part.parameters()) if name in train else []
        part.requires_grad_(False)
        for parameter in learning:
            parameter.requires_grad_(True)
        if learning:
            groups.append({"params": learning, "lr": rates(name), "name": name})
    return groups


def model_loss(model: nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
    """Return the loss that the model itself computes from a batch with labels."""
    return model(**batch).loss


@dataclass
class TrainingSummary:
    """What a finished training says: `seconds` of this attempt, `resumed_at` the step it began with."""

    steps: int
    resumed_at: int
    loss: float
    seconds: float
    model: nn.Module | None
    """The trained model, whole and in one memory; None in all processes but the first if they shared it."""

    def report(self) -> dict[str, Any]:
        """Return what reports of all stages say of the training."""
        return {
            "steps": self.steps,
            "resumed_at": self.resumed_at,
            "loss": self.loss,
            "seconds": round(self.seconds, 2),
            "processes": num_processes(),
        }


def shards(settings: OptimizationConfig) -> bool:
    """Return whether this training's processes share one model; a single process has nobody to share with."""
    return settings.sharding == "fsdp2" and num_processes() > 1


def _spread(model: nn.Module, settings: OptimizationConfig, plan: BatchPlan) -> dict[str, Any]:
    if shards(settings):
        return sharding_arguments(model, plan.checkpointing)
    return {
        "activation_checkpointing": plan.checkpointing,
        "activation_checkpointing_kwargs": {"use_reentrant": False} if plan.checkpointing else None,
    }


def _arguments(
    model: nn.Module,
    folder: Path,
    settings: OptimizationConfig,
    steps: int,
    seed: int,
    plan: BatchPlan,
    loading: Loading,
) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=plan.share(settings.batch_size),
        gradient_accumulation_steps=plan.accumulation(settings.batch_size),
        **_spread(model, settings, plan),
        bf16=settings.precision == "bf16",
        max_steps=steps,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": settings.final_rate},
        warmup_steps=round(settings.warmup * steps),
        max_grad_norm=settings.max_grad_norm,
        logging_steps=settings.log_every,
        logging_first_step=True,
        save_steps=settings.save_every,
        save_total_limit=2,
        logging_nan_inf_filter=False,
        seed=seed,
        data_seed=seed,
        use_cpu=not torch.cuda.is_available(),
        remove_unused_columns=False,
        report_to="none",  # curves are attached below, where a resumed training continues them
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        **loading.arguments(),
    )


def _optimizer(groups: list[dict], settings: OptimizationConfig) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        groups,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
        # By default AdamW on a GPU takes as much memory as the weights again while it makes a step.
        fused=True if torch.cuda.is_available() else None,
    )


def train(
    model: nn.Module,
    dataset: Dataset,
    collate: Callable,
    groups: list[dict],
    settings: OptimizationConfig,
    state: TrainingState,
    *,
    steps: int,
    seed: int,
    label: str,
    loss: Loss = model_loss,
    plan: BatchPlan = WHOLE_BATCHES,
    loading: Loading = OWN_PROCESS,
    curves: Curves = NO_CURVES,
) -> TrainingSummary:
    """Train `model` for `steps` over `dataset` in its order, going on from the newest valid checkpoint of `state`.

    `groups` are AdamW parameter groups with their peak learning rates. Equal inputs give bit-equal weights on one
    machine, whether or not the training was interrupted; other plans differ by rounding. Raises `Interrupted` after a
    signal, with the state saved, and `Diverged` at the step where loss, gradient or weights are no numbers.
    """
    set_seed(seed)
    template = to_meta(model) if shards(settings) else None
    micro_batch = plan.share(settings.batch_size)
    callback = StateCallback(state, StepWatch(label, steps, advice(settings, groups)), plan.stop_at)
    trainer = StudyTrainer(
        model=model,
        args=_arguments(model, state.folder, settings, steps, seed, plan, loading),
        train_dataset=dataset,
        data_collator=collate,
        callbacks=[callback],
        loss=loss,
        shares=BatchShares(len(dataset), settings.batch_size, micro_batch, num_processes(), process_number()),
        watch=callback.watch,
        make_optimizer=partial(_optimizer, groups, settings),
    )
    trainer.remove_callback(PrinterCallback)  # which Trainer adds by itself
    if shards(settings) and settings.precision == "bf16":
        reduce_in_32_bits(trainer.accelerator)
    with curves.attached(trainer, state):
        first = _run(trainer, callback)
    seconds = time.monotonic() - callback.started
    state.log({"event": "finished", "step": steps, "seconds": round(seconds, 2)})
    trained = gather_model(trainer.model, template, is_first()) if template else model
    return TrainingSummary(steps, first, _last_loss(trainer.state.log_history, label), seconds, trained)


def _run(trainer: StudyTrainer, callback: StateCallback) -> int:
    """Train to the end from the newest valid checkpoint on; return the step that this began with.

    Raises `Interrupted` and `Diverged` as `train` does.
    """
    state, watch = callback.state, callback.watch
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, callback.stop)
    checkpoint = broadcast_checkpoint(state.newest_valid() if state.writer else None)
    first = int(checkpoint.name.split("-")[1]) if checkpoint else 0
    job = {"slurm_job_id": os.environ["SLURM_JOB_ID"]} if "SLURM_JOB_ID" in os.environ else {}
    state.log({"event": "resumed" if first else "started", "step": first, "steps": watch.steps, **job})
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except Diverged as error:
        state.diverge(str(error), error.step)
        raise
    step, number = trainer.state.global_step, callback.stopped_by
    if number is not None and step < watch.steps:
        state.log({"event": "interrupted", "step": step, "signal": number})
        raise Interrupted(
            f"{watch.label}: stopped by signal {number} at step {step}, state saved",
            warned=number == signal.SIGUSR1,
            progressed=step > first,
        )
    return first


def _last_loss(history: Sequence[Mapping[str, Any]], label: str) -> float:
    """Return the last loss that was reported, if need be in an earlier attempt that left only the report undone.

    Raises `UserError` if no step had any.
    """
    losses = [entry["loss"] for entry in history if "loss" in entry]
    if not losses:
        raise UserError(f"{label}: no example supervised a token, nothing was learnt: could any video be decoded?")
    return float(losses[-1])
