"""The table of what works, waits or has failed: each run's row, why a job waits, and how it is shown."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.calling import SMOKE
from vlmfrontier.cluster.slurm import QueuedJob
from vlmfrontier.study.load import load_study, write_study
from vlmfrontier.sweep.live import Row, live_rows, table, why_waiting
from vlmfrontier.sweep.plan import plan_table
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.sweep.status import TrainingProgress, live_runs, progress_of

STUDY = load_study([SMOKE])
RUNS = [run.key for run in plan_runs(STUDY)]


def write(path: Path, *entries: dict | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(entry if isinstance(entry, str) else json.dumps(entry) for entry in entries))
    return path


def begun(step: int, steps: int, time: float, event: str = "started") -> dict:
    return {"event": event, "step": step, "steps": steps, "time": time}


def at(step: int, time: float, loss: float = 2.5) -> dict:
    return {"step": step, "loss": loss, "time": time}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], None),
        ([begun(0, 100, 10.0)], TrainingProgress(0, 100, None, 0.0, 10.0)),
        ([begun(0, 100, 10.0), at(1, 20.0)], TrainingProgress(1, 100, 2.5, 0.1, 20.0)),
        # Beginning is slow: the speed is that from the first step on.
        (
            [begun(0, 100, 0.0), at(1, 90.0), at(11, 95.0), at(21, 100.0, 2.0)],
            TrainingProgress(21, 100, 2.0, 2.0, 100.0),
        ),
        # The next attempt began from a checkpoint, and the speed is its own.
        (
            [
                begun(0, 100, 0.0),
                at(1, 1.0),
                at(50, 2.0),
                begun(40, 100, 1000.0, "resumed"),
                at(41, 1010.0),
                at(51, 1030.0),
            ],
            TrainingProgress(51, 100, 2.5, 0.5, 1030.0),
        ),
        ([begun(0, 100, 0.0), at(1, 1.0), at(11, 11.0), '{"step": 21, "lo'], TrainingProgress(11, 100, 2.5, 1.0, 11.0)),
        (
            [begun(0, 100, 0.0), at(1, 1.0), {"event": "interrupted", "step": 9, "time": 9.0}],
            TrainingProgress(1, 100, 2.5, 1.0, 1.0),
        ),
        ([{"event": "started"}, at(1, 1.0)], None),
        (["no log"], None),
    ],
)
def test_how_far_a_training_is(tmp_path: Path, entries: list, expected: TrainingProgress | None):
    assert progress_of(write(tmp_path / "train.jsonl", *entries)) == expected
    assert progress_of(tmp_path / "none.jsonl") is None


@pytest.mark.parametrize(
    ("state", "reason", "start", "expected"),
    [
        ("PENDING", "Priority", "", "Priority: other jobs have a higher priority"),
        ("PENDING", "Resources", "2026-11-28T07:36:16", "; not before 2026-11-28 07:36"),
        ("PENDING", "QOSMaxJobsPerUserLimit", "", "the limit of the qos on jobs at a time is reached"),
        ("PENDING", "QOSMaxSubmitJobPerUserLimit", "", "a limit of the qos is reached"),
        ("PENDING", "AssocGrpGRES", "", "the account's limit on GPUs is reached"),
        ("PENDING", "AssocGrpCPUMinutesLimit", "", "a limit of the account is reached"),
        ("PENDING", "ReqNodeNotAvail, UnavailableNodes:gpu[01-03]", "", "gpu[01-03]: nodes that it needs are down"),
        ("PENDING", "ANewWordOfSlurm", "", "ANewWordOfSlurm"),
        ("PENDING", "", "", ""),
        ("RUNNING", "", "2026-11-28T07:36:16", ""),
    ],
)
def test_why_a_job_waits(state: str, reason: str, start: str, expected: str):
    said = why_waiting(QueuedJob("7", state, "", "0:00", "finetune_run", "x", reason, start))
    assert expected in said
    assert bool(said) == bool(expected)
    assert reason in said


def test_every_run_that_works_waits_or_has_failed_has_a_row(tmp_path: Path):
    runs, here = tmp_path / "runs", {"attempt": 1, "host": platform.node()}
    failed, laptop, stopped, trains, waits, first, second = RUNS[:7]
    write(runs / failed / "finetune.ended.json", {**here, "state": "failed", "reason": "out of memory"})
    write(runs / laptop / "finetune.ended.json", {**here, "state": "started", "pid": os.getpid()})
    write(runs / laptop / "state/train.jsonl", begun(0, 101, 0.0), at(1, 0.0), at(51, 50.0))
    write(runs / stopped / "finetune.ended.json", {**here, "state": "interrupted", "reason": "ended by SIGTERM"})
    write(runs / trains / "state/train.jsonl", begun(0, 7201, 0.0), at(1, 0.0), at(3601, 7200.0))
    jobs = [
        QueuedJob("1", "RUNNING", "gpu01", "2:00:00", "finetune_run", trains),
        QueuedJob("2", "PENDING", "", "0:00", "evaluate_run", waits, "Priority"),
        QueuedJob("3", "RUNNING", "gpu02", "1:00", "finetune_run", f"{first}+{second}"),
        QueuedJob("4", "PENDING", "", "0:00", "prepare_data", "train", "Resources"),
    ]
    plan = plan_table(STUDY, tmp_path, live=live_runs(jobs))
    tokens = 8 * next(run.T * run.V for run in plan_runs(STUDY) if run.key == laptop)
    rows = {row.run: row for row in live_rows(tmp_path, plan, jobs, batch_size=8)}
    assert next(iter(rows)) == failed
    assert (rows[failed].stage, rows[failed].why) == ("finetune", "out of memory")
    assert (rows[laptop].state, rows[laptop].step, rows[laptop].tokens_per_second) == ("running", 51, tokens)
    assert (rows[stopped].state, rows[stopped].why) == ("stopped", "ended by SIGTERM")
    assert (rows[trains].node, rows[trains].job, rows[trains].steps) == ("gpu01", "1", 7201)
    assert rows[trains].hours_left == pytest.approx(2.0)
    assert (rows[waits].state, rows[waits].stage) == ("waiting", "evaluate")
    assert {rows[run].job for run in (first, second)} == {"3"}
    assert (rows["prepare_data train"].state, rows["prepare_data train"].job) == ("waiting", "4")
    assert len(rows) == 8


def test_a_long_list_is_cut_and_no_state_hides_another():
    rows = [Row(f"r{i}", "failed", "finetune") for i in range(2)]
    rows += [Row(f"r{i}", "running", "finetune", 1, 10) for i in range(100)]
    rows += [Row(f"r{i}", "waiting", "finetune", why="Priority") for i in range(300)]
    lines = table(rows, 20, 60)
    assert len(lines) == 1 + 20 + 2
    assert lines[-2:] == ["and 91 more running", "and 291 more waiting"]
    assert sum("failed" in line for line in lines) == 2
    assert table([], 20) == []
    assert max(map(len, table([Row("r", "waiting", "", why="x" * 200)], 20, 60))) == 60


def status(folder: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "vlmfrontier", "status", "--study", "smoke", *options]
    without_slurm = {**os.environ, "PATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=without_slurm, capture_output=True, text=True, check=False)


def test_watching_ends_where_nothing_works_and_json_has_the_rows(tmp_path: Path):
    results = tmp_path / "results" / "smoke"
    write_study(STUDY, results / "study.json")
    failed = {"attempt": 1, "host": "n", "state": "failed", "reason": "out of memory"}
    write(results / "runs" / RUNS[0] / "finetune.ended.json", failed)
    watched = status(tmp_path, "--watch", "0.1")
    assert watched.returncode == 0, watched.stderr
    assert f"{len(RUNS) - 1} missing, 1 failed" in watched.stdout
    assert f"{RUNS[0]}  failed  finetune  out of memory" in watched.stdout
    assert watched.stdout.endswith("nothing of this study runs or waits\n")
    assert "\x1b" not in watched.stdout
    shown = json.loads(status(tmp_path, "--json").stdout)
    assert shown["states"] == {"missing": len(RUNS) - 1, "failed": 1}
    assert [row["why"] for row in shown["rows"]] == ["out of memory"]


@pytest.mark.parametrize("options", [("--watch", "0"), ("--watch", "nan"), ("--rows", "0")])
def test_bad_options_are_one_line(tmp_path: Path, options: tuple[str, ...]):
    write_study(STUDY, tmp_path / "results/smoke/study.json")
    refused = status(tmp_path, *options)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
