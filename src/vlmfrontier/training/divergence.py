"""A training that diverges stops at the step where its loss, gradient or weights are no numbers, and says what to do.

All processes of a training stop together, before a state is saved that nothing good can come of.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor

from vlmfrontier.errors import UserError
from vlmfrontier.models.weights import listed, not_finite
from vlmfrontier.study.training import (
    Alignment,
    FinetuneConfig,
    LanguagePretraining,
    OptimizationConfig,
    VisionPretraining,
)
from vlmfrontier.training.processes import num_processes

SECTIONS = {
    FinetuneConfig: "finetune",
    VisionPretraining: "pretrain.vision",
    LanguagePretraining: "pretrain.language",
    Alignment: "pretrain.align",
}
USUAL_NORM, USUAL_WARMUP = 1.0, 0.03


class Diverged(UserError):  # noqa: N818  (what happened, not what kind of thing it is)
    """A loss, a gradient or a weight of a training is no number: it cannot go on. `step` is where."""

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step


def advice(settings: OptimizationConfig, groups: Sequence[Mapping[str, Any]]) -> str:
    """Return what a user may change so that a training with these `settings` and AdamW groups does not diverge."""
    section = SECTIONS.get(type(settings), "training")
    peaks = ", ".join(f"{group.get('name', 'all')} {group['lr']:g}" for group in groups)
    key = "learning_rates" if hasattr(settings, "learning_rates") else "learning_rate"
    what = [f"lower {section}.{key} (peaks: {peaks})"]
    if settings.max_grad_norm > USUAL_NORM:
        what.append(f"clip gradients ({section}.max_grad_norm {settings.max_grad_norm:g}; {USUAL_NORM:g} is usual)")
    if settings.warmup < USUAL_WARMUP:
        what.append(f"warm up ({section}.warmup {settings.warmup:g}; 0.05 is usual)")
    return " or ".join([", ".join(what[:-1]), what[-1]]) if len(what) > 1 else what[0]


class StepWatch:
    """Loss and gradient of every step, the same in all processes; `fix` is the advice that a message ends with."""

    def __init__(self, label: str, steps: int, fix: str):
        self.label, self.steps, self.fix = label, steps, fix
        self._losses: list[torch.Tensor] = []
        self._supervised = False
        self._rates: Mapping[str, float] = {}
        self._since_log, self._empty_since_log = 0, 0
        self.ended = 0
        """The step that was looked at last."""

    def add(self, loss: torch.Tensor) -> None:
        """Note the loss of one micro-batch, a summand of the step's."""
        self._losses.append(loss)

    def supervise(self, something: bool) -> None:
        """Note whether the step has a supervised token, here or in another process."""
        self._supervised |= something

    def end(self, step: int, norm: torch.Tensor | float, rates: Mapping[str, float]) -> None:
        """Raise `Diverged` unless loss and gradient `norm` of `step` are finite; to be called by all processes.

        `rates` are the learning rates by which weights will be changed.
        """
        loss = torch.stack(self._losses).sum().float()
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        both = torch.stack([loss, torch.as_tensor(norm, dtype=loss.dtype, device=loss.device)])
        if num_processes() > 1:
            dist.all_reduce(both)
            both /= num_processes()
        values = both.tolist()
        if not all(map(math.isfinite, values)):
            raise Diverged(self._message(step, values, self._rates or rates), step)
        self._since_log += 1
        self._empty_since_log += not self._supervised
        self._losses, self._supervised, self._rates, self.ended = [], False, rates, step

    def _message(self, step: int, values: Sequence[float], rates: Mapping[str, float]) -> str:
        seen = f"{self.label}: diverged at step {step} of {self.steps}: loss {values[0]:g}, gradient norm {values[1]:g}"
        if step == 1:
            return (
                f"{seen}, before any weight was changed: learning rates are not the cause; look at the starting model "
                "and the data (with precision bf16 try fp32)"
            )
        last = ", ".join(f"{name} {rate:.3g}" for name, rate in rates.items())
        return f"{seen} (learning rates before: {last}); {self._hint()}"

    def _hint(self) -> str:
        return f"{self.fix}, and run the same command again: with other settings it begins anew"

    def check_weights(self, model: nn.Module, step: int) -> None:
        """Raise `Diverged` in all processes if a weight in any of them is not finite after `step`."""
        if names := anywhere_not_finite(model):
            raise Diverged(
                f"{self.label}: diverged at step {step} of {self.steps}: after it {listed(names)}; {self._hint()}", step
            )

    def without_empty(self, logs: dict[str, float]) -> dict[str, float]:
        """Return `logs` with the mean loss of those steps alone that supervised something; none if there are none.

        A step in which no video could be decoded has the loss 0, which would pass for a good one.
        """
        steps, empty = self._since_log, self._empty_since_log
        self._since_log, self._empty_since_log = 0, 0
        if not empty or "loss" not in logs:
            return logs
        rest = {key: value for key, value in logs.items() if key != "loss"}
        scaled = {"loss": logs["loss"] * steps / (steps - empty)} if steps > empty else {}
        return {**scaled, **rest, "unsupervised_steps": empty}


def anywhere_not_finite(model: nn.Module) -> list[str]:
    """Return the weights of `model` that are not finite in any process; to be called by all of them."""
    names = not_finite(model.named_parameters())
    if num_processes() == 1:
        return names
    gathered: list[list[str]] = [[] for _ in range(num_processes())]
    dist.all_gather_object(gathered, names)
    return sorted({name for found in gathered for name in found})
