"""Micro-batches and checkpointing change where numbers are kept, not what is learned; a time limit saves and stops."""

import json
import os
import subprocess
import sys
import time

import pytest

from tests.unit.training.test_finetune import log_of, results, start, study_of, weights  # noqa: F401 (fixtures)
from vlmfrontier.study.load import write_study
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.training.finetune import finetune
from vlmfrontier.training.processes import BatchPlan, Interrupted
from vlmfrontier.training.state import finished_training


def losses(entries: list[dict]) -> list[float]:
    return [entry["loss"] for entry in entries if "loss" in entry]


@pytest.mark.parametrize(
    "plan", [BatchPlan(micro_batch=1), BatchPlan(checkpointing=True)], ids=["micro-batch", "again"]
)
def test_a_layout_changes_nothing_but_rounding(start, results, plan):  # noqa: F811
    study = study_of(start)
    run = plan_runs(study)[1]
    finetune(study, run, results)
    whole = losses(log_of(results, run.key))
    finetune(study, run, results, plan, force="request")
    parts = losses(log_of(results, run.key))[len(whole) :]
    assert len(parts) == len(whole) == 12
    assert parts == pytest.approx(whole, rel=1e-4)


@pytest.mark.slow
def test_two_processes_train_as_one_does(start, results):  # noqa: F811
    study = study_of(start)
    run = plan_runs(study)[1]
    finetune(study, run, results)
    whole = losses(log_of(results, run.key))
    write_study(study, results.root / "study.json")
    for _ in range(2):  # the second time both processes learn that nothing is to be done
        done = in_two_processes(results, run.key, "--force", "request")
        assert done.returncode == 0, done.stdout + done.stderr
        shared = losses(log_of(results, run.key))[len(whole) :]
        assert shared == pytest.approx(whole, rel=1e-4)
        assert json.loads(results.run(run.key).finetuned.read_text())["processes"] == 2
    assert "nothing is trained again" in done.stdout


def in_two_processes(results, key: str, *options: str) -> subprocess.CompletedProcess:  # noqa: F811
    command = [sys.executable, "scripts/finetune.py", "--study", str(results.root / "study.json"), "--run", key]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "0,1"}
    command += ["--gpus", "2", "--without-cuda", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_before_the_time_limit_it_saves_and_stops_and_then_goes_on(start, results):  # noqa: F811
    study = study_of(start)
    run = plan_runs(study)[1]
    whole = finetune(study, run, results)
    with pytest.raises(Interrupted) as stopped:
        finetune(study, run, results, BatchPlan(stop_at=time.time()), force="request")
    assert stopped.value.warned
    assert stopped.value.progressed
    events = [entry["event"] for entry in log_of(results, run.key) if "event" in entry]
    assert events == ["started", "finished", "started", "interrupted"]
    assert not (results.run(run.key).state / "owner.json").exists()
    again = finetune(study, run, results)
    assert again["resumed_at"] == 1
    assert again["weights"] == whole["weights"]


def test_half_a_line_in_the_log_does_not_swallow_the_next(start, results):  # noqa: F811
    study = study_of(start)
    run = plan_runs(study)[0]
    state = results.run(run.key).state
    state.mkdir(parents=True)
    (state / "train.jsonl").write_text('{"step": 1, "lo')
    finetune(study, run, results)
    lines = (state / "train.jsonl").read_text().splitlines()
    assert lines[0] == '{"step": 1, "lo'
    assert json.loads(lines[1])["event"] == "started"


def test_a_finished_training_keeps_its_report_and_no_checkpoint(start, results):  # noqa: F811
    study = study_of(start)
    run = plan_runs(study)[0]
    report = finetune(study, run, results)
    assert finished_training(results.run(run.key).state) == (json.loads(json.dumps(report)), None)
    assert not list(results.run(run.key).state.glob("checkpoint-*"))
