"""Learning curves in TensorBoard and Weights & Biases: transformers' own callbacks, made to survive a resumed training.

They get the lines of `train.jsonl`. TensorBoard's files lie in `<folder>/tensorboard/`, those of Weights & Biases in
`<folder>/wandb/`; only the first process of a training writes them.
"""

import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transformers import Trainer
from transformers.integrations import TensorBoardCallback, WandbCallback

from vlmfrontier.errors import UserError
from vlmfrontier.files import write_json
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.fingerprints import digest
from vlmfrontier.training.processes import is_first
from vlmfrontier.training.state import TrainingState


@dataclass(frozen=True)
class Curves:
    """Where the curves of one training go."""

    reporters: tuple[str, ...] = ()
    """Of `tensorboard` and `wandb`."""
    folder: Path = Path()
    """What their files lie in."""
    study: str = ""
    """The project of Weights & Biases."""
    name: str = ""
    """What the training is called there."""

    @classmethod
    def of(cls, study: Study, folder: Path, name: str) -> "Curves":
        """Return where `study` wants the curves of the training called `name`.

        Raises `UserError` if a package for it is not installed here.
        """
        absent = study.execution.absent_reporters() if is_first() else []
        if absent:
            raise UserError(
                f"execution.report_to: {', '.join(absent)} not installed on this machine; "
                f"`pip install {' '.join(absent)}` in the environment that trains, or take it out of report_to"
            )
        return cls(tuple(dict.fromkeys(study.execution.report_to)), folder, study.study, name)

    @contextlib.contextmanager
    def attached(self, trainer: Trainer, state: TrainingState) -> Iterator[None]:
        """Have `trainer` draw the curves while the block runs."""
        made = {"tensorboard": _TensorBoard, "wandb": _WeightsAndBiases}
        callbacks = [made[reporter](self, state) for reporter in self.reporters] if state.writer else []
        for callback in callbacks:
            trainer.add_callback(callback)
        try:
            yield
        finally:
            for callback in callbacks:
                callback.close(complete=trainer.state.global_step >= trainer.state.max_steps)


NO_CURVES = Curves()


class _TensorBoard(TensorBoardCallback):
    """An event file per attempt; each hides what earlier ones wrote of the steps that it repeats."""

    def __init__(self, curves: Curves, _state: TrainingState):
        super().__init__()
        self.logging_dir = str(curves.folder / "tensorboard")

    def on_train_begin(self, args, state, control, **kwargs):
        self.tb_writer = self._SummaryWriter(self.logging_dir, purge_step=state.global_step + 1)
        super().on_train_begin(args, state, control, **kwargs)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if logs and "grad_norm" in logs:  # not the totals of an attempt
            super().on_log(args, state, control, logs=logs, **kwargs)

    def close(self, complete: bool) -> None:
        """Close the file of an attempt that was broken off."""
        if self.tb_writer:
            self.tb_writer.close()


class _WeightsAndBiases(WandbCallback):
    """One run there for all attempts at a training.

    What is sent cannot be taken back, so the steps that a resumed training repeats are not sent again: they are equal.
    """

    def __init__(self, curves: Curves, state: TrainingState):
        super().__init__()
        self._curves, self._training = curves, state
        self._kept = curves.folder / "wandb" / "run.json"
        self._sent = 0

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        identity, self._sent = self._known(state.global_step, state.max_steps)
        self._keep(identity, self._sent)
        try:
            self._wandb.init(
                project=self._curves.study,
                name=self._curves.name,
                id=identity,
                resume="allow",
                dir=str(self._curves.folder),
                config=self._training.decided,
                settings=self._wandb.Settings(console="off"),
            )
        except self._wandb.errors.Error as error:
            raise UserError(
                f"execution.report_to: wandb cannot start ({error}); call `wandb login`, or on a node without network "
                "set WANDB_MODE=offline and send the curves later with `wandb sync`"
            ) from None
        super().on_train_begin(args, state, control, model=model, **kwargs)

    def on_log(self, args, state, control, model=None, logs=None, **kwargs):
        if logs and "grad_norm" in logs and state.global_step > self._sent:
            super().on_log(args, state, control, model=model, logs=logs, **kwargs)
            self._keep(self._wandb.run.id, state.global_step)

    def close(self, complete: bool) -> None:
        """End the run of this attempt, as failed if the training is not complete."""
        if self._wandb.run is not None:
            self._wandb.finish(exit_code=0 if complete else 1)

    def _known(self, first: int, steps: int) -> tuple[str, int]:
        """Return the id of this training's run and the last step that it has; a new id for a new training."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            kept = json.loads(self._kept.read_text())
            anew = first == 0 and kept["step"] >= steps
            if kept["training"] == digest(self._training.decided) and not anew:
                return kept["id"], kept["step"]
        return secrets.token_hex(4), first

    def _keep(self, identity: str, step: int) -> None:
        self._kept.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._kept, {"id": identity, "step": step, "training": digest(self._training.decided)})
