"""What runs and what waits, out of logs and queue."""

import json
from pathlib import Path

import pandas as pd
import pytest

from vlmfrontier.cluster.queue import QueuedJob
from vlmfrontier.study.load import load_study
from vlmfrontier.sweep.live import SHOWN, TAIL, live_table, progress, why_it_waits
from vlmfrontier.sweep.runs import plan_runs

ROOT = Path(__file__).parents[3]


def log(folder: Path, *entries: dict | str) -> Path:
    path = folder / "train.jsonl"
    path.write_text("".join(f"{entry if isinstance(entry, str) else json.dumps(entry)}\n" for entry in entries))
    return path


def step(number: int, loss: float, seconds: float) -> dict:
    return {"step": number, "loss": loss, "time": seconds}


def test_a_training_tells_its_step_its_loss_and_its_speed(tmp_path: Path):
    started = {"event": "started", "step": 0, "steps": 100, "time": 1000.0}
    found = progress(log(tmp_path, started, step(10, 1.5, 1010.0), step(20, 1.25, 1020.0)))
    assert (found.step, found.steps, found.loss, found.speed) == (20, 100, 1.25, 1.0)
    assert found.hours_left == pytest.approx(80 / 3600)


def test_time_between_attempts_is_no_time_of_training(tmp_path: Path):
    entries = [
        {"event": "started", "step": 0, "steps": 100, "time": 0.0},
        step(10, 1.5, 10.0),
        {"event": "resumed", "step": 8, "steps": 100, "time": 90_000.0},
        step(18, 1.4, 90_005.0),
        '{"step": 28, "lo',  # of a process that was killed
    ]
    found = progress(log(tmp_path, *entries))
    assert (found.step, found.speed) == (18, 2.0)


def test_of_a_long_log_only_the_ends_are_read(tmp_path: Path):
    started = {"event": "started", "step": 0, "steps": 10**6, "time": 0.0}
    steps = [step(number, 1.0, 2.0 * number) for number in range(1, TAIL // 20)]
    path = log(tmp_path, started, *steps)
    assert path.stat().st_size > 2 * TAIL
    found = progress(path)
    assert (found.step, found.steps, found.speed) == (len(steps), 10**6, 0.5)


@pytest.mark.parametrize(
    "entries",
    [[], [{"event": "finished"}], ["no line of ours"], [step(1, 1.0, 1.0)], [[1]]],
)
def test_a_log_that_tells_nothing_is_no_progress(tmp_path: Path, entries: list):
    assert progress(log(tmp_path, *entries)) is None
    assert progress(tmp_path / "none.jsonl") is None


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Priority", "other jobs have a higher priority"),
        ("Resources", "no node is free"),
        ("QOSMaxJobsPerUserLimit", "as many jobs run as a limit allows"),
        ("AssocGrpGRES", "a limit on GPUs, cores, memory or time is reached"),
        ("ReqNodeNotAvail, UnavailableNodes:gpu07", "its nodes are down or reserved"),
        ("PartitionTimeLimit", "will never start"),
        ("launch_failed_requeued_held", "it is held"),
        ("BeginTime", "requeued a moment ago"),
    ],
)
def test_why_a_job_waits_is_told_in_words_and_in_slurms(reason: str, words: str):
    assert words in why_it_waits(reason)
    assert f"({reason})" in why_it_waits(reason)


def test_a_reason_that_nobody_knows_is_shown_as_it_is():
    assert why_it_waits("SomethingNew") == "SomethingNew"
    assert why_it_waits("") == ""


@pytest.fixture(scope="module")
def study():
    return load_study([ROOT / "workflow/studies/smoke.yaml"])


def table_of(study, states: list[str], jobs: dict[str, QueuedJob], results: Path) -> str:
    runs = {run.key: run for run in plan_runs(study)}
    known = list(runs) * 3  # more rows than a small study has
    keys = known[: len(states)]
    rows = {"run": keys, "status": states, "reason": "attempt 1 on here", "wall_hours": 0.5, "measured_gpu_hours": 0.0}
    return live_table(pd.DataFrame(rows), runs, jobs, results, batch_size=8)


def test_what_runs_stands_before_what_waits_and_what_is_done_is_left_out(study, tmp_path: Path):
    done, waiting, running = (run.key for run in plan_runs(study)[:3])
    state = tmp_path / "runs" / running / "state"
    state.mkdir(parents=True)
    log(state, {"event": "started", "step": 0, "steps": 40, "time": 0.0}, step(10, 1.5, 5.0))
    jobs = {
        running: QueuedJob("12", "RUNNING", "gpu01", "5:00", "finetune_run", running),
        waiting: QueuedJob("13", "PENDING", "", "0:00", "finetune_run", waiting, "Priority", "2026-11-28T06:20:11"),
    }
    text = table_of(study, ["done", "queued", "running"], jobs, tmp_path)
    head, first, second = text.splitlines()
    assert head.split()[:3] == ["run", "state", "stage"]
    for told in (running, "running", "finetune", "10/40", "1.5000", "12 gpu01", "0.2 min"):
        assert told in first
    assert waiting in second
    assert "30.0 min" in second
    assert "(Priority), expected 2026-11-28 06:20:11" in second
    assert done not in text


def test_many_rows_are_counted_and_none_is_no_table(study, tmp_path: Path):
    text = table_of(study, ["queued"] * (SHOWN + 7), {}, tmp_path)
    assert text.endswith("and 7 more")
    assert len(text.splitlines()) == SHOWN + 2
    assert table_of(study, ["done", "failed"], {}, tmp_path) == ""
