"""A training is done once, and survives: what has finished is not trained again, what was stopped goes on.

Its folder `runs/<run>/state/`, declared by no rule, holds the configuration that made it (another one is refused), the
last two checkpoints, each valid only with a manifest of its files written after them, the append-only log of all
attempts, and the report of a finished training. One process writes there.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch.distributed as dist
from pydantic import TypeAdapter

from vlmfrontier.errors import UserError
from vlmfrontier.files import append_line, hash_file, open_to_group, weights_hash, write_json
from vlmfrontier.lock import Lock
from vlmfrontier.models.weights import device_name, read_weights
from vlmfrontier.provenance import provenance
from vlmfrontier.records import Training, read_checked, read_finetuned
from vlmfrontier.sweep.differences import SHOWN, changes, differences
from vlmfrontier.sweep.fingerprints import HOUSEKEEPING
from vlmfrontier.training.processes import is_first, num_processes

MANIFEST = "complete.json"
FINISHED = "finished.json"
DIVERGED = "diverged.json"


class TrainingState:
    """A training's state folder, opened for one resolved configuration.

    Of several processes one is the `writer`; for the others everything that writes does nothing. `check` is called
    before a checkpoint counts and raises if the folder belongs to another process by now. Raises `UserError` naming
    both values if the folder was made by another configuration.
    """

    def __init__(self, folder: Path, decided: dict, writer: bool = True, check: Callable[[], None] = lambda: None):
        self.folder, self.writer, self.check = folder, writer, check
        self.decided = json.loads(json.dumps(decided))
        if not writer:
            return
        folder.mkdir(parents=True, exist_ok=True)
        record = folder / "recipe.json"
        if record.exists() and self.checkpoints():
            changed = changes(json.loads(record.read_text()), self.decided, ignored=HOUSEKEEPING)
            if changed and (folder / DIVERGED).exists():
                self.clear_checkpoints()  # they led nowhere, and the user was told to change settings
            elif changed:
                told = [f"{key}: {before} → {now}" for key, before, now in changed]
                raise UserError(
                    f"{folder}: begun with another configuration ({'; '.join(told[:SHOWN])}); "
                    "delete the folder to train anew, or restore the configuration"
                )
        write_json(record, self.decided)

    def checkpoints(self) -> list[Path]:
        """Return the checkpoint folders, newest first, valid or not."""
        found = self.folder.glob("checkpoint-*")
        return sorted(found, key=lambda p: int(p.name.split("-")[1]), reverse=True)

    def newest_valid(self) -> Path | None:
        """Return the newest checkpoint whose files are all as its manifest says; damaged newer ones are removed."""
        for checkpoint in self.checkpoints():
            if self._is_valid(checkpoint):
                return checkpoint
            self.log({"event": "damaged checkpoint removed", "checkpoint": checkpoint.name})
            shutil.rmtree(checkpoint)
        return None

    @staticmethod
    def _is_valid(checkpoint: Path) -> bool:
        try:
            files = json.loads((checkpoint / MANIFEST).read_text())
            return all(hash_file(checkpoint / name) == digest for name, digest in files.items())
        except (OSError, ValueError):
            return False

    def seal(self, checkpoint: Path) -> None:
        """Write the manifest of `checkpoint`: from here on it counts. All files are on disk before."""
        if not self.writer:
            return
        self.check()
        files = sorted(p for p in checkpoint.rglob("*") if p.is_file() and p.name != MANIFEST)
        for path in files:
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        write_json(checkpoint / MANIFEST, {str(p.relative_to(checkpoint)): hash_file(p) for p in files})

    def log(self, entry: dict) -> None:
        """Append one line to `train.jsonl`, with the time in seconds since 1970."""
        if not self.writer:
            return
        append_line(self.folder / "train.jsonl", {**entry, "time": round(time.time(), 1)})

    def clear_checkpoints(self) -> None:
        """Remove all checkpoints: the training is finished and its model saved."""
        if not self.writer:
            return
        for checkpoint in self.checkpoints():
            shutil.rmtree(checkpoint)

    def begin(self) -> None:
        """Forget how an earlier training ended here: another one is under way from now on, also if it is killed."""
        if self.writer:
            for end in (FINISHED, DIVERGED):
                (self.folder / end).unlink(missing_ok=True)

    def diverge(self, message: str, step: int) -> None:
        """Keep that the training diverged: with other settings the next one begins anew, with these where it was."""
        self.log({"event": "diverged", "step": step, "message": message})
        if self.writer:
            self.check()
            write_json(self.folder / DIVERGED, {"step": step, "message": message})

    def finish(self, report: dict, force: str | None = None) -> None:
        """Keep the report of the finished training and the request that it answers; its checkpoints may go."""
        if self.writer:
            self.check()
            write_json(self.folder / FINISHED, {"again": force, "report": report})
        self.clear_checkpoints()


class Finished(NamedTuple):
    """A training that finished."""

    report: dict
    force: str | None
    """The request to train again that it was made for; None: it was the first."""


def finished_training(folder: Path) -> Finished | None:
    """Return the training that finished in the state folder `folder`; None if none did, or another began since."""
    try:
        kept = read_checked(folder / FINISHED, dict[str, Any], "")
        TypeAdapter(Training).validate_python(kept["report"])
        return Finished(kept["report"], kept["again"])
    except (UserError, KeyError, ValueError):
        return None


FOUND = "finished already"
"""What the first process tells the others under this key."""
Report = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """A training by name and where it keeps what outlives it."""

    name: str
    state: Path
    """Folder of its checkpoints and log."""
    model: Path
    """Folder of the weights that it makes."""
    report: Path
    """File that is written last."""
    dropped: Callable[[Report], bool] = lambda report: False
    """Whether the weights of the reported training are gone on purpose, so that their absence is no reason to train."""

    @classmethod
    def of_start(cls, models: Path, name: str, folder: str) -> "Stage":
        """Return the stage called `name` that makes a starting model, or a part of one, in `models/<folder>`."""
        return cls(name, models / "state" / name.replace(" ", "-"), models / folder, models / folder / "report.json")


def run_if_needed(
    stage: Stage,
    deciding: Callable[[], Mapping[str, Any]],
    train: Callable[[TrainingState], Report | None],
    force: str | None = None,
) -> Report | None:
    """Have `train` make the weights of `stage` unless they are there; write and return its report.

    `deciding` gives everything that decides the weights, and the report keeps it. Whoever starts a training once more,
    a retry after a time limit, a requeued job, a second Snakemake, a user who lost the report, trains nothing. `force`
    names a request to train all the same, which only a training made for it answers: so a retry of a forced training
    trains nothing either. Waits while another process trains it. None in all processes of a training but the first.
    Raises `UserError` if the state folder was made with other settings.
    """
    with sole_writer(stage) as check:
        decided = json.loads(json.dumps(deciding())) if is_first() else {}
        report = finished_already(stage, decided, force) if is_first() else None
        done = broadcast_flag(report is not None)
        state = TrainingState(stage.state, decided, is_first(), check)
        if done:
            state.clear_checkpoints()
            if report is not None:
                print(_already(stage, report), flush=True)
        else:
            state.begin()
            trained = train(state)
            if not is_first():
                return None
            open_to_group(stage.model)
            report = {
                **trained,
                "recipe": decided,
                "weights": weights_hash(stage.model),
                "provenance": provenance(device_name()),
            }
            state.finish(report, force)
        if report is not None:
            write_json(stage.report, report)
        return report


@contextlib.contextmanager
def sole_writer(stage: Stage) -> Iterator[Callable[[], None]]:
    """Hold the state folder while the block runs, after waiting for its holder; give a check that it is still ours."""
    if not is_first():  # of the processes of one training the first one writes, and holds
        yield lambda: None
        return
    stage.state.mkdir(parents=True, exist_ok=True)
    lock = Lock(stage.state, lambda line: print(line, flush=True))
    lock.acquire()
    try:
        yield lock.check
    finally:
        lock.release()


def finished_already(stage: Stage, decided: Mapping[str, Any], force: str | None) -> Report | None:
    """Return the report of this very training if it has finished and its weights are intact, else None."""
    finished = finished_training(stage.state) or _copied_without_state(stage)
    if finished is None or differences(finished.report["recipe"], decided) or force not in (None, finished.force):
        return None
    if force is None and stage.dropped(finished.report):
        return finished.report
    try:
        saved = read_weights(stage.model)
    except UserError:
        return None
    return finished.report if saved == (finished.report["weights"], []) else None


def _copied_without_state(stage: Stage) -> Finished | None:
    """Return a finished training whose report and weights were copied here, but not the folder of its state."""
    if (stage.state / "train.jsonl").exists() or not stage.report.exists():
        return None
    try:
        return Finished(read_finetuned(stage.report), None)
    except UserError:
        return None


def broadcast_flag(done: bool) -> bool:
    """Return what the first process of a training says; the others wait for it, however long it takes to look."""
    if num_processes() == 1:
        return done
    # torchrun's own store, since there is no process group yet, and one would give up after half an hour.
    store, *_ = next(dist.rendezvous("env://"))
    if is_first():
        store.set(FOUND, str(done))
        return done
    while not store.check([FOUND]):
        time.sleep(0.1)
    return store.get(FOUND).decode() == str(True)


def _already(stage: Stage, report: Report) -> str:
    job, moment = report["provenance"]["slurm_job_id"], report["provenance"]["finished"]
    return f"{stage.name}: trained {f'by Slurm job {job} ' if job else ''}until {moment}; nothing is trained again"
