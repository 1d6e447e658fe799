"""Learning curves reach TensorBoard and Weights & Biases, each step once, however often the training was stopped."""

import importlib.util
import json
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.training.test_finetune import log_of, results, start, study_of  # noqa: F401 — fixtures
from vlmfrontier.errors import UserError
from vlmfrontier.study import training as settings
from vlmfrontier.study.load import merge, validate
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.training.finetune import finetune
from vlmfrontier.training.trainer import StudyTrainer
from vlmfrontier.workflow import not_installed

STEPS = 12
KILLED_AT = 7


def watched(start: Path, *reporters: str, **finetune_settings) -> Study:  # noqa: F811
    plain = study_of(start, save_every=4, **finetune_settings).model_dump(mode="json", by_alias=True)
    return validate(merge(plain, {"execution": {"report_to": list(reporters)}}))


@pytest.fixture
def kill(monkeypatch):
    """Break off a training at a step after its last saved state, as a dead node would: nothing more is written."""

    def at(step: int, train) -> None:
        loss = StudyTrainer.compute_loss

        def dying(trainer, *args, **kwargs):
            if trainer.state.global_step == step:
                raise KeyboardInterrupt
            return loss(trainer, *args, **kwargs)

        with monkeypatch.context() as patched:
            patched.setattr(StudyTrainer, "compute_loss", dying)
            with pytest.raises(KeyboardInterrupt):
                train()

    return at


def losses_of(results, key: str) -> dict[int, float]:  # noqa: F811
    return {entry["step"]: entry["loss"] for entry in log_of(results, key) if "loss" in entry}


def tensorboard_losses(folder: Path) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415

    read = EventAccumulator(str(folder)).Reload()
    return [(event.step, event.value) for event in read.Scalars("train/loss")]


def test_tensorboard_shows_each_step_of_a_killed_training_once(start, results, kill):  # noqa: F811
    study = watched(start, "tensorboard")
    run = plan_runs(study)[1]
    kill(KILLED_AT, lambda: finetune(study, run, results))
    folder = results.run(run.key).root / "tensorboard"
    assert [step for step, _ in tensorboard_losses(folder)] == list(range(1, KILLED_AT + 1))
    report = finetune(study, run, results)
    assert report["resumed_at"] == 4
    shown = tensorboard_losses(folder)
    assert [step for step, _ in shown] == list(range(1, STEPS + 1))
    assert dict(shown) == pytest.approx(losses_of(results, run.key), rel=1e-6)
    assert len(list(folder.glob("events.out.tfevents.*"))) == 2


def test_a_training_made_again_replaces_its_curve(start, results):  # noqa: F811
    folder = results.run(plan_runs(study_of(start))[1].key).root / "tensorboard"
    curves = []
    for decay in (0.0, 0.5):
        study = watched(start, "tensorboard", weight_decay=decay)
        finetune(study, plan_runs(study)[1], results)
        curves.append(tensorboard_losses(folder))
    assert [[step for step, _ in curve] for curve in curves] == [list(range(1, STEPS + 1))] * 2
    assert curves[0] != curves[1]


def test_curves_change_no_result(start, results):  # noqa: F811
    plain, study = study_of(start, save_every=4), watched(start, "tensorboard")
    run = plan_runs(plain)[1]
    weights = finetune(plain, run, results)["weights"]
    assert not (results.run(run.key).root / "tensorboard").exists()
    assert finetune(study, run, results, force="request")["weights"] == weights
    assert (results.run(run.key).root / "tensorboard").exists()


def test_a_package_that_is_not_there_is_said_before_the_training(start, results, monkeypatch):  # noqa: F811
    monkeypatch.setattr(settings, "find_spec", lambda name: None)
    study = watched(start, "tensorboard", "wandb")
    assert [note.split(" is not installed")[0] for note in not_installed(study)] == [
        "execution.report_to: tensorboard",
        "execution.report_to: wandb",
    ]
    run = plan_runs(study)[1]
    with pytest.raises(
        UserError, match=r"report_to: tensorboard, wandb not installed .*`pip install tensorboard wandb`"
    ):
        finetune(study, run, results)
    assert not results.run(run.key).log.exists()


def test_only_known_reporters_are_taken(start):  # noqa: F811
    with pytest.raises(UserError, match="report_to"):
        watched(start, "mlflow")
    assert not_installed(study_of(start)) == []


def records(file: Path) -> Iterator[bytes]:
    """Yield the records of a file of Weights & Biases: 32 KiB blocks of parts with checksum, length and kind, after 7
    bytes of header (LevelDB's log)."""
    data, at, record = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or last part
            yield record
            record = b""


def sent(folder: Path) -> list[tuple[int, float]]:
    """Return step and loss of all that lies in the offline folders of Weights & Biases."""
    from wandb.proto.wandb_internal_pb2 import Record  # noqa: PLC0415

    found = []
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for data in records(file):
            items = Record.FromString(data).history.item
            values = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
            if "train/loss" in values:
                found.append((values["train/global_step"], values["train/loss"]))
    return found


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed")
def test_weights_and_biases_get_each_step_of_a_killed_training_once(start, results, kill, monkeypatch):  # noqa: F811
    monkeypatch.setenv("WANDB_MODE", "offline")
    study = watched(start, "wandb")
    run = plan_runs(study)[1]
    folder = results.run(run.key).root
    kill(KILLED_AT, lambda: finetune(study, run, results))
    assert finetune(study, run, results)["resumed_at"] == 4
    assert Counter(step for step, _ in sent(folder)) == Counter(range(1, STEPS + 1))
    assert dict(sent(folder)) == pytest.approx(losses_of(results, run.key))
    runs = {file.stem for file in folder.glob("wandb/offline-run-*/*.wandb")}
    assert len(runs) == 1, "both attempts are one run"
    finetune(study, run, results, force="request")
    assert len({file.stem for file in folder.glob("wandb/offline-run-*/*.wandb")}) == 2, "a new training is another"
    assert Counter(step for step, _ in sent(folder)) == Counter([*range(1, STEPS + 1)] * 2)
