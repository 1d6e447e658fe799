"""One training loop for every stage: the transformers Trainer with our order, groups and state folder."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from vlmfrontier.errors import Stopped, UserError
from vlmfrontier.models.video_vlm import IGNORED
from vlmfrontier.models.weights import listed
from vlmfrontier.study.training import OptimizationConfig
from vlmfrontier.training.divergence import Diverged, StepWatch, advice, anywhere_not_finite
from vlmfrontier.training.loading import OWN_PROCESS, Loading
from vlmfrontier.training.processes import agreed, is_first, meet, num_processes, process_number, told_any
from vlmfrontier.training.sharding import on_meta, reduce_in_32_bits, shard_on_cpus, sharding_arguments, whole_model
from vlmfrontier.training.shares import WHOLE_BATCHES, BatchShares, Layout, WithFillers
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


class Interrupted(Stopped):
    """Training was asked to stop (SIGTERM, SIGUSR1, time limit), saved its state and left: the next attempt goes on.

    `warned` says that Slurm would have ended the job soon, and `progressed` that this attempt took steps.
    """

    def __init__(self, message: str, warned: bool = False, progressed: bool = False):
        super().__init__(message)
        self.warned, self.progressed = warned, progressed


class _StudyTrainer(Trainer):
    """Trainer that takes its process's share of every batch, a loss from outside, and no step that diverged."""

    def __init__(
        self,
        *args,
        loss: Loss,
        shares: BatchShares,
        watch: StepWatch,
        make_optimizer: Callable[[], torch.optim.Optimizer],
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self._loss, self._shares, self._watch, self._make_optimizer = loss, shares, watch, make_optimizer
        # Whole batches: the loss is their mean. Parts of a batch: Trainer counts what the whole batch supervises.
        self.model_accepts_loss_kwargs = self.args.gradient_accumulation_steps * num_processes() > 1

    def get_train_dataloader(self):
        # Not Trainer's: of a last batch that is not full, accelerate would make each process a full one.
        loader = DataLoader(
            WithFillers(self.train_dataset),
            batch_sampler=self._shares,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            prefetch_factor=self.args.dataloader_prefetch_factor,
            pin_memory=self.args.dataloader_pin_memory,
        )
        device = self.accelerator.device
        return prepare_data_loader(loader, device, num_processes=1, process_index=0, put_on_device=True)

    def create_accelerator_and_postprocess(self):
        super().create_accelerator_and_postprocess()
        if self.args.fsdp_plugin_args is not None and not self.is_fsdp_enabled:
            shard_on_cpus(self.accelerator, self.args.fsdp_plugin_args)
            self.is_fsdp_enabled = True

    def create_optimizer(self, model=None):
        # Here and not passed to Trainer, which refuses that when weights are to be sharded.
        if self.optimizer is None:
            self.optimizer = self._make_optimizer()
        return self.optimizer

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss = self._loss(model, inputs)
        if num_items_in_batch is not None:
            # Every supervised token weighs the same, wherever it is: a mean of means would favour short answers. The
            # processes' gradients are averaged, hence their number.
            # A batch in which no video could be decoded has no such token.
            loss = loss * (inputs["labels"] != IGNORED).sum() * num_processes() / max(1, num_items_in_batch)
        self._watch.supervise(_supervises(inputs) if num_items_in_batch is None else bool(num_items_in_batch))
        return (loss, None) if return_outputs else loss

    def training_step(self, *args, **kwargs):
        loss = super().training_step(*args, **kwargs)
        self._watch.add(loss)
        return loss

    def _get_grad_norm(self, model, grad_norm=None):
        """Return the norm of the gradients, which Trainer asks for before it changes weights by them."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        rates = {group.get("name", "all"): group["lr"] for group in self.optimizer.param_groups}
        self._watch.end(self.state.global_step + 1, norm, rates)
        return norm

    def log(self, logs, *args):
        super().log(self._watch.without_empty(logs), *args)


def _supervises(inputs: Mapping[str, Any]) -> bool:
    """Return whether a batch has a supervised token; one without labels supervises by other means."""
    return "labels" not in inputs or bool((inputs["labels"] != IGNORED).any())


class _StateCallback(TrainerCallback):
    """Seals checkpoints, writes the log, and saves and stops on a signal or before the time limit."""

    def __init__(self, state: TrainingState, watch: StepWatch, stop_at: float | None):
        self.state, self.watch, self.stop_at = state, watch, stop_at
        self.stopped_by: int | None = None
        self.started = time.monotonic()

    def stop(self, number: int, _frame) -> None:
        self.stopped_by = number

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        if names := anywhere_not_finite(model):
            raise UserError(self._unusable(state.global_step, names))

    def _unusable(self, step: int, names: Sequence[str]) -> str:
        if not step:
            return (
                f"{self.watch.label}: in the starting model {listed(names)}; make it again, with lower learning rates"
            )
        checkpoint = self.state.folder / f"checkpoint-{step}"
        return (
            f"{checkpoint}: {listed(names)}: this training diverged earlier; delete {self.state.folder}, "
            f"{self.watch.fix}, and run the same command again"
        )

    def on_step_end(self, args, state, control, model=None, **kwargs):
        assert self.watch.ended == state.global_step, "a step was taken that nobody looked at"
        if self.stopped_by is None and self.stop_at is not None and time.time() > self.stop_at:
            self.stopped_by = signal.SIGUSR1
        self.stopped_by = told_any(self.stopped_by, args.device)
        if self.stopped_by is not None:
            control.should_save = control.should_training_stop = True
        if control.should_save or control.should_training_stop:
            self.watch.check_weights(model, state.global_step)
        if control.should_save:
            self.state.check()

    def on_save(self, args, state, control, **kwargs):
        meet()  # every process has written its random state
        self.state.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        meet()

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not logs or "grad_norm" not in logs:
            return
        seconds = time.monotonic() - self.started
        self.state.log({"step": state.global_step, **logs, "seconds": round(seconds, 2)})
        loss = f"loss {logs['loss']:.4f}" if "loss" in logs else "no loss: no token of these batches is supervised"
        print(f"{self.watch.label}  step {state.global_step}/{state.max_steps}  {loss}  {seconds:.0f} s", flush=True)


def shards(settings: OptimizationConfig) -> bool:
    """Return whether this training's processes share one model; a single process has nobody to share with."""
    return settings.sharding == "fsdp2" and num_processes() > 1


def _spread(model: nn.Module, settings: OptimizationConfig, layout: Layout) -> dict[str, Any]:
    if shards(settings):
        return sharding_arguments(model, layout.checkpointing)
    return {
        "activation_checkpointing": layout.checkpointing,
        "activation_checkpointing_kwargs": {"use_reentrant": False} if layout.checkpointing else None,
    }


def _arguments(
    model: nn.Module,
    folder: Path,
    settings: OptimizationConfig,
    steps: int,
    seed: int,
    layout: Layout,
    loading: Loading,
) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=layout.share(settings.batch_size),
        gradient_accumulation_steps=layout.accumulation(settings.batch_size),
        **_spread(model, settings, layout),
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
        report_to="none",
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
    layout: Layout = WHOLE_BATCHES,
    loading: Loading = OWN_PROCESS,
) -> TrainingSummary:
    """Train `model` for `steps` over `dataset` in its order, going on from the newest valid checkpoint of `state`.

    `groups` are AdamW parameter groups with their peak learning rates. Equal inputs give bit-equal weights on one
    machine, whether or not the training was interrupted; other layouts differ by rounding. Raises `Interrupted` after a
    signal, with the state saved, and `Diverged` at the step where loss, gradient or weights are no numbers.
    """
    set_seed(seed)
    template = on_meta(model) if shards(settings) else None
    watch = StepWatch(label, steps, advice(settings, groups))
    callback = _StateCallback(state, watch, layout.stop_at)
    trainer = _StudyTrainer(
        model=model,
        args=_arguments(model, state.folder, settings, steps, seed, layout, loading),
        train_dataset=dataset,
        data_collator=collate,
        callbacks=[callback],
        loss=loss,
        shares=BatchShares(
            len(dataset), settings.batch_size, layout.share(settings.batch_size), num_processes(), process_number()
        ),
        watch=watch,
        make_optimizer=partial(_optimizer, groups, settings),
    )
    trainer.remove_callback(_printer())
    if shards(settings) and settings.precision == "bf16":
        reduce_in_32_bits(trainer.accelerator)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, callback.stop)
    checkpoint = agreed(state.newest_valid() if state.writer else None)
    first = int(checkpoint.name.split("-")[1]) if checkpoint else 0
    job = {"slurm_job_id": os.environ["SLURM_JOB_ID"]} if "SLURM_JOB_ID" in os.environ else {}
    state.log({"event": "resumed" if first else "started", "step": first, "steps": steps, **job})
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except Diverged as error:
        state.diverge(str(error), error.step)
        raise
    if callback.stopped_by is not None and trainer.state.global_step < steps:
        state.log({"event": "interrupted", "step": trainer.state.global_step, "signal": callback.stopped_by})
        raise Interrupted(
            f"{label}: stopped by signal {callback.stopped_by} at step {trainer.state.global_step}, state saved",
            warned=callback.stopped_by == signal.SIGUSR1,
            progressed=trainer.state.global_step > first,
        )
    seconds = time.monotonic() - callback.started
    state.log({"event": "finished", "step": steps, "seconds": round(seconds, 2)})
    trained = whole_model(trainer.model, template, is_first()) if template else model
    return TrainingSummary(steps, first, _last_loss(trainer.state.log_history, label), seconds, trained)


def _last_loss(history: Sequence[Mapping[str, Any]], label: str) -> float:
    """Return the last loss that was reported, if need be in an earlier attempt that left only the report undone.

    Raises `UserError` if no step had any.
    """
    losses = [entry["loss"] for entry in history if "loss" in entry]
    if not losses:
        raise UserError(f"{label}: no example supervised a token, nothing was learnt: could any video be decoded?")
    return float(losses[-1])


def _printer():
    from transformers import PrinterCallback  # noqa: PLC0415  (only to remove what Trainer adds by itself)

    return PrinterCallback
