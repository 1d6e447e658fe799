"""transformers' Trainer with our batches, state folder and sharding, stopped where a step diverged.

FSDP2: the processes of a training share weights, gradients and moments, and give back a whole model at the end.
"""

import copy
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback
from transformers.modeling_layers import GradientCheckpointingLayer

from vlmfrontier.errors import UserError
from vlmfrontier.models.video_vlm import IGNORED, VideoVLM
from vlmfrontier.models.weights import listed
from vlmfrontier.training.divergence import StepWatch, anywhere_not_finite
from vlmfrontier.training.examples import WithFillers
from vlmfrontier.training.processes import BatchShares, any_signal, barrier, num_processes
from vlmfrontier.training.state import TrainingState

Loss = Callable[[nn.Module, Mapping[str, Any]], torch.Tensor]


class StudyTrainer(Trainer):
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
        """Return the norm of the gradients, which Trainer asks for before it changes weights by them.

        A private name of transformers 5.23; `StateCallback` would stop a training in which it was not called.
        """
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        rates = {group.get("name", "all"): group["lr"] for group in self.optimizer.param_groups}
        self._watch.end(self.state.global_step + 1, norm, rates)
        return norm

    def log(self, logs, *args):
        super().log(self._watch.without_empty(logs), *args)


def _supervises(inputs: Mapping[str, Any]) -> bool:
    """Return whether a batch has a supervised token; one without labels supervises by other means."""
    return "labels" not in inputs or bool((inputs["labels"] != IGNORED).any())


class StateCallback(TrainerCallback):
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
        self.stopped_by = any_signal(self.stopped_by, args.device)
        if self.stopped_by is not None:
            control.should_save = control.should_training_stop = True
        if control.should_save or control.should_training_stop:
            self.watch.check_weights(model, state.global_step)
        if control.should_save:
            self.state.check()

    def on_save(self, args, state, control, **kwargs):
        barrier()  # every process has written its random state
        self.state.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        barrier()

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not logs or "grad_norm" not in logs:
            return
        seconds = time.monotonic() - self.started
        self.state.log({"step": state.global_step, **logs, "seconds": round(seconds, 2)})
        loss = f"loss {logs['loss']:.4f}" if "loss" in logs else "no loss: no token of these batches is supervised"
        print(f"{self.watch.label}  step {state.global_step}/{state.max_steps}  {loss}  {seconds:.0f} s", flush=True)


def sharding_arguments(model: nn.Module, checkpointing: bool) -> dict[str, Any]:
    """Return what transformers' TrainingArguments need to shard `model` layer by layer.

    The layers of the towers are gathered one at a time; what is left (projector, last norms) with the root.
    Checkpoints are sharded as well: each process writes its own part.
    """
    layers = sorted({type(m).__name__ for m in model.modules() if isinstance(m, GradientCheckpointingLayer)})
    return {
        "fsdp": True,
        "fsdp_config": {
            "version": 2,
            "transformer_layer_cls_to_wrap": layers,
            "state_dict_type": "SHARDED_STATE_DICT",
            "activation_checkpointing": checkpointing,
        },
    }


def reduce_in_32_bits(accelerator: Accelerator) -> None:
    """Let layers compute in 16 bits, and add gradients up and give the loss in 32; by default all would be 16."""
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    accelerator.state.fsdp_plugin.mixed_precision_policy = policy


def shard_on_cpus(accelerator: Accelerator, plugin: dict[str, Any]) -> None:
    """Let `accelerator` shard on processes without a GPU too, where it leaves FSDP out without a word."""
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(**plugin)
    accelerator.state.distributed_type = DistributedType.FSDP


def gather_model(model: nn.Module, template: VideoVLM, first: bool) -> VideoVLM | None:
    """Return the sharded `model` gathered in the memory of the first process; None in the others, which take part.

    `template` is a model of the same modules whose weights are on the meta device.
    """
    assert any(isinstance(p, DTensor) for p in model.parameters()), "the model was not sharded"
    weights = {}
    for name, part in model.state_dict().items():
        whole = part.full_tensor() if isinstance(part, DTensor) else part  # every process takes part
        if first:
            weights[name] = whole.cpu()
    if not first:
        return None
    template.load_state_dict(weights, assign=True)
    template.tie_weights()
    return template


def to_meta(model: VideoVLM) -> VideoVLM:
    """Return a copy of `model` without its weights, in no memory."""
    memo = {id(p): nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad) for p in model.parameters()}
    memo |= {id(b): torch.empty_like(b, device="meta") for b in model.buffers()}
    return copy.deepcopy(model, memo)
