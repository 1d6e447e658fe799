"""Hours that a training took: all attempts at the last one, queues in between left out, half lines passed over."""

import json
from pathlib import Path

import pytest

from vlmfrontier.sweep.status import hours_used


def log(folder: Path, *entries: dict | str) -> Path:
    path = folder / "train.jsonl"
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_attempts_are_added_up_and_queues_are_not(tmp_path: Path):
    attempts = [{"event": "started", "time": 0}, {"step": 1, "time": 1800}, '{"step": 2, "ti']
    attempts += [{"event": "resumed", "time": 90000}, {"event": "finished", "time": 90000 + 5400}]
    assert hours_used(log(tmp_path, *attempts)) == pytest.approx(2.0)


def test_an_earlier_training_does_not_count(tmp_path: Path):
    first = [{"event": "started", "time": 0}, {"event": "finished", "time": 7200}]
    second = [{"event": "started", "time": 9000}, {"event": "finished", "time": 9000 + 3600}]
    assert hours_used(log(tmp_path, *first, *second)) == pytest.approx(1.0)


def test_no_log_and_a_log_without_times_are_no_hours(tmp_path: Path):
    assert hours_used(tmp_path / "none.jsonl") == 0.0
    assert hours_used(log(tmp_path, {"event": "started"}, {"step": 1}, "[1]")) == 0.0
