"""What is read out of an answer of squeue: whose jobs these are, and why they wait."""

import uuid
from pathlib import Path

import pytest

from vlmfrontier.cluster.slurm import QueuedJob, queued_jobs

RUN = "N83.3k_T8_V16_n400_s0"
FINETUNE = f"rule_finetune_run_wildcards_{RUN}"


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What answers as `squeue` in this test: fields of each job, or a script."""

    def answers(*jobs: dict[str, str], script: str = "") -> None:
        usual = {"id": "7", "state": "PENDING", "reason": "Priority", "start": "N/A", "node": "", "elapsed": "0:00"}
        usual |= {"name": str(uuid.UUID(int=7)), "folder": str(tmp_path), "comment": FINETUNE}
        (tmp_path / "answer").write_text("".join("\x1f".join((usual | job).values()) + "\n" for job in jobs))
        program = tmp_path / "bin" / "squeue"
        program.parent.mkdir(exist_ok=True)
        program.write_text(script or f"#!/bin/sh\ncat '{tmp_path}/answer'\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    return answers


@pytest.mark.parametrize(
    ("name", "comment", "study"),
    [
        (f"{RUN}.finetune_run.digits", FINETUNE, "digits"),
        (f"{RUN}.finetune_run.my.digits_2", FINETUNE, "my.digits_2"),
        (f"{RUN}+3.evaluate_run.digits", f"rule_evaluate_run_wildcards_{RUN}+b+c+d", "digits"),
        ("fit_target.avg.digits", "rule_fit_target_wildcards_avg", "digits"),
        ("prepare_data.train.my.digits", "rule_prepare_data_wildcards_train", "my.digits"),
        ("collect.digits", "rule_collect", "digits"),
        (str(uuid.UUID(int=7)), FINETUNE, ""),
        (f"mine_{uuid.UUID(int=7)}", FINETUNE, ""),
        ("finetune_run", FINETUNE, ""),
        ("digits", "rule_collect", ""),
    ],
)
def test_the_name_of_a_job_tells_its_study(squeue, tmp_path: Path, name: str, comment: str, study: str):
    squeue({"name": name, "comment": comment})
    (job,) = queued_jobs(tmp_path)
    assert job.study == study
    assert queued_jobs(tmp_path, study or "any") == [job]
    assert queued_jobs(tmp_path, "another") == ([] if study else [job])


def test_a_job_says_why_it_waits_and_when_it_may_start(squeue, tmp_path: Path):
    squeue(
        {"reason": "ReqNodeNotAvail, UnavailableNodes:gpu[01-03]", "start": "2026-11-28T07:36:16"},
        {"id": "8", "state": "RUNNING", "reason": "None", "node": "gpu01", "elapsed": "1-02:03:04"},
    )
    first, second = queued_jobs(tmp_path)
    assert (first.reason, first.start) == ("ReqNodeNotAvail, UnavailableNodes:gpu[01-03]", "2026-11-28T07:36:16")
    assert second == QueuedJob("8", "RUNNING", "gpu01", "1-02:03:04", "finetune_run", RUN)


def test_jobs_of_others_do_not_confuse(squeue, tmp_path: Path):
    squeue(
        {"comment": "two\nlines"},
        {"comment": "(null)"},
        {"folder": "/elsewhere"},
        {"comment": "rule_fit|x"},
        {"id": "9"},
    )
    assert [(job.id, job.rule) for job in queued_jobs(tmp_path)] == [("7", "fit|x"), ("9", "finetune_run")]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("#!/bin/sh\necho slurm_load_jobs error: Unable to contact slurm controller >&2; exit 1", "Unable to contact"),
        ("#!/bin/sh\nexit 1", "exit status 1"),
    ],
)
def test_no_answer_is_not_an_empty_queue(squeue, tmp_path: Path, script: str, said: str):
    squeue(script=script)
    with pytest.raises(ConnectionError, match=said):
        queued_jobs(tmp_path)


def test_without_slurm_there_are_no_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert queued_jobs(tmp_path) == []
