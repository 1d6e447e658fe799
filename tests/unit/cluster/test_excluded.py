"""Which node was at fault in the end of a job, how many nodes may be left out, and how one is used again."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vlmfrontier.cluster import excluded
from vlmfrontier.cluster.excluded import (
    Suspicion,
    described,
    faults_file,
    leave_out,
    left_out,
    most_left_out,
    nodes_file,
    report,
    to_avoid,
    work_of,
)
from vlmfrontier.cluster.suspicion import Verdict, fail_record, judge, suspect
from vlmfrontier.ended import Ended, read_ended
from vlmfrontier.files import write_json

REASON = "node gpu02: 0 of 8 GPUs"
WORK = "runs/N1_T1/finetune"


@pytest.fixture
def partition(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Eight nodes, gpu01 to gpu08, unless a test says how many; `sinfo` itself is asked in tests/slurm."""

    def of(count: int) -> None:
        nodes = [f"gpu{number:02d}" for number in range(1, count + 1)]  # of 0: Slurm does not say
        monkeypatch.setattr(excluded, "nodes_of", lambda partition: nodes)

    of(8)
    return of


def is_left_out(*given) -> bool:
    return leave_out(*given) is None


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def began(results: Path, run: str, node: str, seconds_ago: float, status: int | None = None) -> None:
    """Leave the record of a job that began on `node`."""
    record = Ended(state="started", attempt=1, node=node, slurm_job_id="1", started=ago(seconds_ago), status=status)
    path = results / "runs" / run / "finetune.ended.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, record.model_dump())


def died(results: Path, node: str, job: str, seconds_ago: float) -> None:
    """Leave the executor's line of a job that died at once on `node`."""
    line = {"node": node, "reason": "died", "job": job, "work": job, "died": True, "when": ago(seconds_ago)}
    with faults_file(results).open("a") as file:
        file.write(json.dumps(line) + "\n")


FAULT = Ended(state="failed", attempt=1, status=86, node="gpu02", node_fault=True, reason=REASON)
OWN = Ended(state="failed", attempt=1, status=2, node="gpu02", reason="error: no such split")
BROKEN = Ended(state="failed", attempt=1, status=1, node="gpu02", begun=False, reason="exit status 1")
NO_PYTHON = Ended(state="failed", attempt=1, status=127, node="gpu02", reason="the command cannot be started")


@pytest.mark.parametrize(
    ("state", "record", "found"),
    [
        ("FAILED", FAULT, True),
        ("FAILED, exit status 1", FAULT, True),
        ("TIMEOUT", FAULT, True),
        ("CANCELLED", FAULT, False),
        ("NODE_FAIL", FAULT, False),
        ("FAILED", OWN, False),
        ("FAILED", OWN.model_copy(update={"state": "interrupted", "status": 143}), False),
        ("FAILED", OWN.model_copy(update={"state": "started", "status": None}), False),
    ],
)
def test_a_record_tells_whose_fault_it_was(tmp_path: Path, state: str, record: Ended, found: bool):
    began(tmp_path, "other", "gpu01", 5)
    assert suspect(tmp_path, "12", state, "gpu02", record, WORK, seconds=3) == (
        Suspicion("gpu02", REASON) if found else None
    )


def test_the_process_that_found_the_fault_counts_not_the_first(tmp_path: Path):
    report(tmp_path, Suspicion("gpu03", "node gpu03: uncorrectable ECC error"), "12", WORK)
    ended = OWN.model_copy(update={"reason": "NCCL error", "status": 1})
    assert suspect(tmp_path, "12", "FAILED", "gpu[02-03]", ended, WORK).node == "gpu03"
    assert suspect(tmp_path, "12", "FAILED", "gpu[02-03]", None, WORK).node == "gpu03"
    assert suspect(tmp_path, "12", "FAILED", "gpu[02-03]", ended, "runs/of-the-same-pack/finetune") is None
    assert suspect(tmp_path, "13", "FAILED", "gpu[02-03]", ended, WORK) is None


# Who began where and who died where, in seconds before a job dies at once on gpu02.
@pytest.mark.parametrize(
    ("begun", "deaths", "at_fault"),
    [
        ([], [], False),
        ([("gpu01", 5)], [], True),
        ([("gpu01", 3000)], [], False),
        ([("gpu02", 5)], [], False),
        ([("gpu01", 5), ("gpu02", 60)], [], False),
        ([("gpu01", 5), ("gpu02", 60)], [("gpu02", 30)], True),
        ([("gpu01", 5), ("gpu02", 60)], [("gpu02", 90)], False),
        ([("gpu01", 30), ("gpu02", 60)], [("gpu01", 10), ("gpu02", 20)], False),
        ([("gpu01", 5)], [("gpu03", 10)], True),
        ([("gpu01", 30)], [("gpu03", 10)], False),
    ],
    ids=[
        *("nobody began", "began elsewhere", "long ago elsewhere", "began here only", "began here too: an accident"),
        *("the second death since", "a death before it began here", "the command broke everywhere"),
        *("elsewhere after another death", "nobody began after a death elsewhere"),
    ],
)
@pytest.mark.parametrize("record", [None, NO_PYTHON, BROKEN], ids=["no record", "no Python", "broken"])
def test_a_job_that_dies_at_once_blames_its_node_only_with_evidence(
    tmp_path: Path, begun, deaths, at_fault: bool, record
):
    for index, (node, seconds) in enumerate(begun):
        began(tmp_path, f"run{index}", node, seconds)
    for index, (node, seconds) in enumerate(deaths):
        died(tmp_path, node, str(index), seconds)
    found = suspect(tmp_path, "12", "FAILED", "gpu02", record, WORK, seconds=2)
    assert (found is not None) == at_fault
    if at_fault:
        assert found.reason.startswith("Slurm job 12 ended after 2 s, before its program began (")


def test_slurms_own_log_says_why_a_job_died_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    began(tmp_path, "other", "gpu01", 5)
    log = tmp_path / "12.log"
    log.write_text("begin\nslurmstepd: error: execve(): /venv/bin/python: No such file or directory\n")
    client = tmp_path / "bin" / "scontrol"
    client.parent.mkdir()
    client.write_text(
        f"#!/bin/sh\necho JobId=12 StdOut={log} StartTime=2026-11-28T07:00:00 EndTime=2026-11-28T07:00:02\n"
    )
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{client.parent}:{os.environ['PATH']}")
    assert suspect(tmp_path, "12", "FAILED", "gpu02", None, WORK).reason == (
        "Slurm job 12 ended after 2 s, before its program began "
        "(slurmstepd: error: execve(): /venv/bin/python: No such file or directory)"
    )
    log.unlink()
    assert suspect(tmp_path, "13", "FAILED", "gpu02", None, WORK).reason.endswith("before its program began (FAILED)")


@pytest.mark.parametrize(
    ("state", "nodes", "seconds"),
    [
        ("FAILED", "gpu02", 61),
        ("FAILED", "gpu02", None),
        ("FAILED", "gpu[02-03]", 2),
        ("FAILED", "gpu02,cpu01", 2),
        ("FAILED", "", 2),
        ("TIMEOUT", "gpu02", 2),
        ("OUT_OF_MEMORY", "gpu02", 2),
        ("BOOT_FAIL", "gpu02", 2),
    ],
)
def test_no_node_is_blamed_without_knowing_which_and_why(tmp_path: Path, state: str, nodes: str, seconds):
    began(tmp_path, "other", "gpu01", 5)
    assert suspect(tmp_path, "12", state, nodes, None, WORK, seconds) is None


def test_jobs_still_queued_for_a_node_that_is_out_need_no_more_evidence(tmp_path: Path, partition):
    assert is_left_out(tmp_path, "gpu02", REASON, "12")
    assert suspect(tmp_path, "13", "FAILED", "gpu02", None, WORK, seconds=2) is not None


@pytest.mark.parametrize(("nodes", "most"), [(0, 1), (2, 1), (3, 1), (4, 1), (7, 1), (8, 2), (100, 25)])
def test_at_most_a_quarter_of_the_nodes_is_left_out(tmp_path: Path, partition, nodes: int, most: int):
    assert most_left_out(nodes) == most
    partition(nodes)
    sick = [f"gpu{number:02d}" for number in range(1, most + 2)]
    for job, node in enumerate(sick[:-1]):
        assert is_left_out(tmp_path, node, REASON, str(job), f"runs/r{job}/finetune")
    assert not is_left_out(tmp_path, sick[-1], REASON, "99", "runs/r99/finetune")
    assert is_left_out(tmp_path, sick[0], REASON, "100", "runs/r100/finetune")
    assert left_out(tmp_path) == sick[:-1]
    told = described(tmp_path)
    assert f"not left out: node {sick[-1]}: {most}" in told[-1]
    assert f"and no more than {most} may be" in told[-1]


def test_a_partitions_only_node_and_names_that_slurm_does_not_know_stay(tmp_path: Path, partition):
    partition(1)
    assert not is_left_out(tmp_path, "gpu01", REASON, "12", WORK)
    partition(8)
    assert not is_left_out(tmp_path, "gpu01.cluster.example", REASON, "12", WORK)
    assert left_out(tmp_path) == []


@pytest.mark.parametrize("own", [None, OWN.model_copy(update={"slurm_job_id": "12", "state": "interrupted"})])
def test_a_run_whose_nodes_are_not_to_blame_is_failed_with_the_reasons(tmp_path: Path, own: Ended | None):
    path = tmp_path / "runs" / "N1_T1" / "finetune.ended.json"
    path.parent.mkdir(parents=True)
    if own is not None:
        write_json(path, own.model_dump())
    fail_record(path, slurm_job_id="12", reason="three reasons", host="gpu02")
    found = read_ended(path)
    assert (found.state, found.reason, found.slurm_job_id) == ("failed", "three reasons", "12")


def test_a_fault_that_follows_a_run_is_the_runs_and_the_nodes_are_used_again(tmp_path: Path, partition):
    partition(40)
    report(tmp_path, Suspicion("gpu01", "node gpu01: a GPU is busy"), "7", "runs/other/finetune")
    for job, node in enumerate(("gpu01", "gpu02", "gpu03")):
        report(tmp_path, Suspicion(node, f"node {node}: unspecified launch failure"), str(job), WORK)
        assert is_left_out(tmp_path, node, f"node {node}: unspecified launch failure", str(job), WORK) == (job < 2)
    assert left_out(tmp_path) == ["gpu01"]  # another run blames it too
    (told,) = [line for line in described(tmp_path) if line.startswith("not left out")]
    for node in ("gpu01", "gpu02", "gpu03"):
        assert f"node {node}: unspecified launch failure" in told
    assert is_left_out(tmp_path, "gpu02", REASON, "9", "runs/another/finetune")


def test_the_executor_is_told_what_was_decided(tmp_path: Path, partition):
    partition(40)
    path = tmp_path / f"{WORK}.ended.json"
    path.parent.mkdir(parents=True)
    write_json(path, Ended(state="done", attempt=1, slurm_job_id="1").model_dump())
    assert judge(tmp_path, "2", "TIMEOUT", "gpu01", path) is None
    for job, node in (("2", "gpu01"), ("3", "gpu02"), ("4", "gpu03")):
        reason = f"node {node}: unspecified launch failure"
        report(tmp_path, Suspicion(node, reason), job, WORK)
        write_json(path, FAULT.model_copy(update={"node": node, "reason": reason, "slurm_job_id": job}).model_dump())
        verdict = judge(tmp_path, job, "FAILED", node, path)
        if job != "4":
            assert verdict == Verdict(True, f"{reason}; node {node} is left out from now on", False)
    assert not verdict.left_out
    assert verdict.of_the_work
    for node in ("gpu01", "gpu02", "gpu03"):
        assert f"node {node}: unspecified launch failure" in read_ended(path).reason
    assert left_out(tmp_path) == []


@pytest.mark.parametrize(
    ("nodes", "needed", "blamed", "avoided"),
    [
        (8, 1, [], ["gpu01", "gpu08"]),
        (8, 1, ["gpu02"], ["gpu01", "gpu08", "gpu02"]),
        (8, 1, ["gpu01", "gpu02"], ["gpu01", "gpu08", "gpu02"]),
        (8, 1, ["gpu02", "gpu03", "gpu04"], ["gpu01", "gpu08"]),  # it is not the nodes
        (8, 5, ["gpu02", "gpu03"], ["gpu01", "gpu08"]),  # too few would remain
        (2, 1, ["gpu02"], ["gpu01", "gpu08"]),
        (0, 1, ["gpu02"], ["gpu01", "gpu08", "gpu02"]),  # Slurm does not say
    ],
)
def test_a_job_avoids_the_nodes_that_it_met(tmp_path: Path, partition, nodes, needed, blamed, avoided):
    nodes_file(tmp_path).write_text('[{"node": "gpu08"}]')
    partition(nodes)
    for job, node in enumerate(blamed):
        report(tmp_path, Suspicion(node, "busy"), str(job), WORK, died=job == 1)
    report(tmp_path, Suspicion("gpu05", "of another run"), "9", "runs/other/finetune")
    assert to_avoid(tmp_path, ["runs/x/finetune", WORK], "gpu", needed, ["gpu01"]) == avoided


def test_two_runs_may_blame_different_nodes(tmp_path: Path, partition):
    partition(40)
    for number in range(1, 6):
        report(tmp_path, Suspicion(f"gpu{number:02d}", REASON), str(number), f"runs/r{number}/finetune")
        assert is_left_out(tmp_path, f"gpu{number:02d}", REASON, str(number), f"runs/r{number}/finetune")
    assert len(left_out(tmp_path)) == 5


def test_a_node_comes_back_by_hand_or_after_a_day(tmp_path: Path, partition):
    leave_out(tmp_path, "gpu02", REASON, "12", WORK)
    leave_out(tmp_path, "gpu03", REASON, "13", WORK)
    assert [line.split(":")[0] for line in described(tmp_path)][:2] == ["left out", "left out"]
    entries = json.loads(nodes_file(tmp_path).read_text())
    assert {"node", "reason", "job", "when"} <= set(entries[0])

    nodes_file(tmp_path).write_text(json.dumps([entries[1] | {"when": ago(25 * 3600)}, {"node": "gpu07", "job": 3}]))
    assert left_out(tmp_path) == ["gpu07"]
    leave_out(tmp_path, "gpu02", REASON, "14", WORK)
    assert [entry["node"] for entry in json.loads(nodes_file(tmp_path).read_text())] == ["gpu07", "gpu02"]

    nodes_file(tmp_path).unlink()
    assert left_out(tmp_path) == []
    assert described(tmp_path) == []


@pytest.mark.parametrize("text", ["", "{", "{}", "[3]", '[{"nodes": "gpu01"}]', '[{"node": "gpu01 --mem=1"}]', "\x00"])
def test_a_damaged_file_is_named_and_set_aside_not_lost(tmp_path: Path, partition, text: str):
    nodes_file(tmp_path).write_text(text)
    assert left_out(tmp_path) == []
    (told,) = described(tmp_path)
    assert told.startswith(f"{nodes_file(tmp_path)}: damaged: ")
    assert is_left_out(tmp_path, "gpu02", REASON, "12")
    assert left_out(tmp_path) == ["gpu02"]
    assert (tmp_path / "nodes.damaged.json").read_text() == text


@pytest.mark.parametrize("line", ["", "{", "3", "[]", '{"node": "gpu01"}', '{"node": 1, "when": "now"}'])
def test_half_written_reports_are_left_out(tmp_path: Path, partition, line: str):
    faults_file(tmp_path).write_text(line)
    report(tmp_path, Suspicion("gpu02", REASON), "12", WORK)
    assert suspect(tmp_path, "12", "FAILED", "gpu02", None, WORK) == Suspicion("gpu02", REASON)
    described(tmp_path)


def test_work_is_named_alike_by_jobs_and_by_their_controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    results = tmp_path / "results" / "digits"
    results.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    relative = Path("results/digits")
    for folder, record in ((results, results), (relative, relative), (relative, results), (results, relative)):
        assert work_of(folder, record / "runs/N1_T1/finetune.ended.json") == WORK
