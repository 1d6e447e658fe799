"""A training is done once: one process writes, and what has finished is not trained again by whoever asks next."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist

from vlmfrontier.errors import UserError
from vlmfrontier.files import open_to_group, weights_hash, write_json
from vlmfrontier.lock import Lock
from vlmfrontier.models.weights import device_name, saved_not_finite
from vlmfrontier.provenance import provenance
from vlmfrontier.sweep.fingerprints import differences, read_finetuned
from vlmfrontier.training.processes import is_first, num_processes
from vlmfrontier.training.state import Finished, TrainingState, finished_training

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


def train_once(
    stage: Stage,
    recipe: Callable[[], Mapping[str, Any]],
    train: Callable[[TrainingState], Report | None],
    again: str | None = None,
) -> Report | None:
    """Have `train` make the weights of `stage` unless they are there; write and return its report, with `recipe` in it.

    `recipe` is everything that decides the weights. Whoever starts a training once more, a retry after a time limit, a
    requeued job, a second Snakemake, a user who lost the report, trains nothing. `again` names a request to train all
    the same, which only a training that was made for it answers: so a retry of a forced training trains nothing either.
    Waits while another process trains it. None in all processes of a training but the first. Raises `UserError` if the
    state folder was made by another recipe.
    """
    with sole_writer(stage) as check:
        decided = json.loads(json.dumps(recipe())) if is_first() else {}
        report = finished_already(stage, decided, again) if is_first() else None
        done = told_by_first(report is not None)
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
            state.finish(report, again)
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


def finished_already(stage: Stage, recipe: Mapping[str, Any], again: str | None) -> Report | None:
    """Return the report of this very training if it has finished and its weights are intact, else None."""
    finished = finished_training(stage.state) or _copied_without_state(stage)
    if finished is None or differences(finished.report["recipe"], recipe) or again not in (None, finished.again):
        return None
    if again is None and stage.dropped(finished.report):
        return finished.report
    intact = weights_hash(stage.model) == finished.report["weights"] and not saved_not_finite(stage.model)
    return finished.report if intact else None


def _copied_without_state(stage: Stage) -> Finished | None:
    """Return a finished training whose report and weights were copied here, but not the folder of its state."""
    if (stage.state / "train.jsonl").exists() or not stage.report.exists():
        return None
    try:
        return Finished(read_finetuned(stage.report), None)
    except UserError:
        return None


def told_by_first(done: bool) -> bool:
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
