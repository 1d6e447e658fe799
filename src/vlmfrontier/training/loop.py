"""One training loop for every stage: the transformers Trainer with our order, groups and state folder."""

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from vlmfrontier.study.training import OptimizationConfig
from vlmfrontier.training.state import TrainingState

Loss = Callable[[nn.Module, Mapping[str, Any]], torch.Tensor]


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


class Interrupted(SystemExit):
    """Training was asked to stop (SIGTERM, SIGUSR1), saved its state and left: the next attempt goes on from there."""


class _StudyTrainer(Trainer):
    """Trainer that takes examples in the order of its dataset and a loss from outside."""

    def __init__(self, *args, loss: Loss, **kwargs):
        super().__init__(*args, **kwargs)
        self._loss = loss
        # The loss is a mean over the batch, so that Trainer scales it for accumulation itself.
        self.model_accepts_loss_kwargs = False

    def _get_train_sampler(self, *_):
        return SequentialSampler(self.train_dataset)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        del num_items_in_batch
        loss = self._loss(model, inputs)
        return (loss, None) if return_outputs else loss


class _StateCallback(TrainerCallback):
    """Seals checkpoints, writes the log, and saves and stops on a signal."""

    def __init__(self, state: TrainingState, label: str):
        self.state, self.label = state, label
        self.stopped_by: int | None = None
        self.started = time.monotonic()
        self.last_loss = float("nan")

    def stop(self, number: int, _frame) -> None:
        self.stopped_by = number

    def on_step_end(self, args, state, control, **kwargs):
        if self.stopped_by is not None:
            control.should_save = control.should_training_stop = True

    def on_save(self, args, state, control, **kwargs):
        self.state.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not logs or "loss" not in logs:
            return
        self.last_loss = float(logs["loss"])
        seconds = time.monotonic() - self.started
        self.state.log({"step": state.global_step, **logs, "seconds": round(seconds, 2)})
        print(
            f"{self.label}  step {state.global_step}/{state.max_steps}  loss {self.last_loss:.4f}  {seconds:.0f} s",
            flush=True,
        )


def _arguments(folder: Path, settings: OptimizationConfig, steps: int, seed: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=settings.batch_size,
        max_steps=steps,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": settings.final_rate},
        warmup_steps=round(settings.warmup * steps),
        max_grad_norm=settings.max_grad_norm,
        logging_steps=settings.log_every,
        logging_first_step=True,
        save_steps=settings.save_every,
        save_total_limit=2,
        seed=seed,
        data_seed=seed,
        use_cpu=not torch.cuda.is_available(),
        remove_unused_columns=False,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
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
) -> TrainingSummary:
    """Train `model` for `steps` over `dataset` in its order, going on from the newest valid checkpoint of `state`.

    `groups` are AdamW parameter groups with their peak learning rates. Equal inputs give bit-equal weights on one
    machine, whether or not the training was interrupted. Raises `Interrupted` after a signal, with the state saved.
    """
    set_seed(seed)
    optimizer = torch.optim.AdamW(groups, betas=(settings.beta1, settings.beta2), weight_decay=settings.weight_decay)
    callback = _StateCallback(state, label)
    trainer = _StudyTrainer(
        model=model,
        args=_arguments(state.folder, settings, steps, seed),
        train_dataset=dataset,
        data_collator=collate,
        optimizers=(optimizer, None),
        callbacks=[callback],
        loss=loss,
    )
    trainer.remove_callback(_printer())
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, callback.stop)
    checkpoint = state.newest_valid()
    first = int(checkpoint.name.split("-")[1]) if checkpoint else 0
    state.log({"event": "resumed" if first else "started", "step": first, "steps": steps})
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if callback.stopped_by is not None and trainer.state.global_step < steps:
        state.log({"event": "interrupted", "step": trainer.state.global_step, "signal": callback.stopped_by})
        raise Interrupted(
            f"{label}: stopped by signal {callback.stopped_by} at step {trainer.state.global_step}, state saved"
        )
    seconds = time.monotonic() - callback.started
    state.log({"event": "finished", "step": steps, "seconds": round(seconds, 2)})
    return TrainingSummary(steps, first, callback.last_loss, seconds)


def _printer():
    from transformers import PrinterCallback  # noqa: PLC0415  (only to remove what Trainer adds by itself)

    return PrinterCallback
