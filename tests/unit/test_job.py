"""However the job of a rule ends, its record says so, and its log keeps what every attempt said."""

import json
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.calling import ROOT
from vlmfrontier.cluster.slurm import job_id_of
from vlmfrontier.ended import Ended, as_it_is, read_ended, record_of, recorded
from vlmfrontier.sweep.status import failed_jobs, how_ended, in_words, log_tail

RUNNER = ROOT / "scripts/job.sh"
LOGS = ("runs/N1_T1_V1_n4_s0/finetune.log", "logs/fit-error.log")
SCRIPT = """
import os, resource, signal, subprocess, sys, time
from vlmfrontier import command_line
from vlmfrontier.errors import Stopped, UserError
def main():
    print("said", flush=True)
    {}
command_line.run(main)
"""
KILLED = "os.kill(os.getpid(), signal.{})"
FULL = "open('/dev/full', 'w').write('x' * 100_000)"


def job(log: Path, command: list[str], *options: str, **variables: str) -> subprocess.CompletedProcess:
    line = ["bash", str(RUNNER), *options, str(log), *command]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")} | variables
    return subprocess.run(line, capture_output=True, text=True, check=False, env=environment, timeout=60)


def python(body: str) -> list[str]:
    return [sys.executable, "-c", SCRIPT.format(body)]


def ends(log: Path, command: list[str], *options: str, **variables: str) -> tuple[str, int | None, str]:
    """Run a job once, check that Snakemake sees the status that is recorded, and return the record's words."""
    done = job(log, command, *options, **variables)
    found = read_ended(record_of(log))
    assert done.returncode == found.status
    assert found.host == platform.node()
    assert found.ended is not None
    assert [path.name for path in log.parent.glob("*.ended.json*")] == [record_of(log).name]
    return found.state, found.status, found.reason


ENDS = {
    "exit 0": ("sys.exit(0)", "done", 0, ""),
    "exit 1": ("sys.exit(1)", "failed", 1, "exit status 1"),
    "exit 75": ("sys.exit(75)", "failed", 75, "exit status 75"),
    "exit 255": ("sys.exit(-1)", "failed", 255, "exit status 255"),
    "leaves with 255": ("os._exit(255)", "failed", 255, "ended without a word, exit status 255"),
    "a user's mistake": ("raise UserError('no split')", "failed", 2, "error: no split"),
    "an exception": ("raise KeyError('x')", "failed", 1, "KeyError: 'x'"),
    "stopped": ("raise Stopped('saved')", "interrupted", 1, "saved"),
    "SIGTERM": (KILLED.format("SIGTERM"), "interrupted", 143, "ended by SIGTERM"),
    "SIGINT": (KILLED.format("SIGINT"), "interrupted", 130, "ended by SIGINT"),
    "SIGUSR1": (KILLED.format("SIGUSR1"), "interrupted", 138, "ended by SIGUSR1"),
    "SIGKILL": (KILLED.format("SIGKILL"), "failed", 137, "ended by SIGKILL: killed by hand, or out of memory"),
    "SIGSEGV": (KILLED.format("SIGSEGV"), "failed", 139, "ended by SIGSEGV"),
    "leaves without a word": ("os._exit(1)", "failed", 1, "ended without a word, exit status 1"),
    "a child was killed": (
        "subprocess.run([sys.executable, '-c', 'import os; os.kill(os.getpid(), 9)'], check=True)",
        "failed",
        1,
        "subprocess.CalledProcessError: Command",
    ),
    "a full disk": (FULL, "failed", 1, "OSError: [Errno 28] No space left on device"),
    "a program's Traceback": ("print('Traceback (most recent call last):\\\\nerror: of a program')", "done", 0, ""),
    "fails when it is done": ("import atexit; atexit.register(os._exit, 3)", "failed", 3, "ended without a word"),
}


@pytest.mark.parametrize("name", ENDS)
def test_every_end_of_a_job_is_recorded(tmp_path: Path, name: str):
    body, state, status, reason = ENDS[name]
    log = tmp_path / LOGS[list(ENDS).index(name) % 2]
    found = ends(log, python(body))
    assert found[:2] == (state, status)
    assert found[2].startswith(reason)
    assert (reason == "") == (found[2] == "")
    assert "\nsaid\n" in log.read_text()
    assert read_ended(record_of(log)).begun
    assert bool(failed_jobs(tmp_path)) == (state == "failed" and log.parent.name == "logs")


@pytest.mark.parametrize(
    ("command", "status", "reason"),
    [
        (["no-python-here", "x.py"], 127, "the command cannot be started, exit status 127"),
        (["/dev/null"], 126, "the command cannot be started, exit status 126"),
        ([sys.executable, "no/such/script.py"], 2, "ended without a word, exit status 2"),
        ([sys.executable, "-c", "import no_such_package"], 1, "ended without a word, exit status 1"),
    ],
)
@pytest.mark.parametrize("log", LOGS)
def test_a_command_that_does_not_start_has_failed(tmp_path: Path, command: list[str], status: int, reason: str, log):
    assert ends(tmp_path / log, command) == ("failed", status, reason)
    assert not read_ended(record_of(tmp_path / log)).begun


@pytest.mark.parametrize("option", ["--show", "--show-errors"])
def test_a_job_that_also_shows_what_it_says(tmp_path: Path, option: str):
    log = tmp_path / LOGS[1]
    done = job(log, python("print('rows'); raise UserError('none')"), option)
    assert done.returncode == 2
    assert done.stdout == ("said\nrows\nerror: none\n" if option == "--show" else "")
    assert done.stderr == ("" if option == "--show" else "error: none\n")
    assert sorted(log.read_text().splitlines()[1:]) == ["error: none", "rows", "said"]
    assert read_ended(record_of(log)).reason == "error: none"


def test_a_log_that_cannot_be_written_fails_the_job(tmp_path: Path):
    log = tmp_path / LOGS[1]
    log.parent.mkdir()
    log.symlink_to("/dev/full")
    state, status, reason = ends(log, [sys.executable, "-c", SCRIPT.replace(", flush=True", "").format("pass")])
    assert (state, status) == ("failed", 1)
    assert "No space left on device" in reason


def test_a_disk_that_is_full_takes_the_end_in_the_place_of_the_beginning(tmp_path: Path):
    """On a real one of a few pages."""
    mounted = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(tmp_path)]
    if os.geteuid() or subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk, and not in every container")
    try:
        log = tmp_path / "fit.log"
        state, status, reason = ends(log, python(f"open({str(tmp_path / 'x')!r}, 'w').write('x' * 100_000)"))
        assert (state, status) == ("failed", 1)
        assert "No space left on device" in reason
        job(log, python("pass"))  # with a disk that is full from the beginning
        assert json.loads(record_of(log).read_text())["attempt"] == 2
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def started(log: Path, body: str, **variables: str) -> subprocess.Popen:
    """Return a job that has said something, in a group of its own."""
    line = ["bash", str(RUNNER), str(log), *python(body)]
    process = subprocess.Popen(line, start_new_session=True, stderr=subprocess.DEVNULL, env=os.environ | variables)
    wait(lambda: log.exists() and "\nsaid\n" in log.read_text())
    return process


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("sent", "state", "reason"),
    [
        (signal.SIGTERM, "interrupted", "ended by SIGTERM"),
        (signal.SIGINT, "interrupted", "ended by SIGINT"),
        (signal.SIGKILL, "failed", "ended without a word: its process "),
    ],
)
def test_a_signal_to_the_whole_job(tmp_path: Path, sent: signal.Signals, state: str, reason: str):
    log = tmp_path / LOGS[1]
    process = started(log, "time.sleep(60)")
    assert how_ended(record_of(log)).state == "started"
    os.killpg(process.pid, sent)
    process.wait()
    wait(lambda: how_ended(record_of(log)).state != "started")  # what was killed is gone a moment later
    found = how_ended(record_of(log))
    assert (found.state, found.reason.startswith(reason)) == (state, True)
    assert (log in failed_jobs(tmp_path)) == (state == "failed")


def test_a_job_may_take_its_time_to_save(tmp_path: Path):
    """What started it waits, as long as it lives, for the job that the same signal reached."""
    log = tmp_path / LOGS[0]
    body = "signal.signal(signal.SIGTERM, lambda *_: (print('saving'), time.sleep(0.3), os._exit(1))); time.sleep(60)"
    process = started(log, body)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait() == 1
    assert read_ended(record_of(log)).state == "interrupted"
    assert read_ended(record_of(log)).reason == "ended by SIGTERM, exit status 1"


def test_a_later_attempt_keeps_its_record(tmp_path: Path):
    log = tmp_path / LOGS[0]
    first = started(log, "time.sleep(60)")
    assert ends(log, python("pass")) == ("done", 0, "")
    os.killpg(first.pid, signal.SIGTERM)
    first.wait()
    assert (read_ended(record_of(log)).state, read_ended(record_of(log)).attempt) == ("done", 2)


MEET = "import glob; list(iter(lambda: time.sleep(0.02) or len(glob.glob({!r} + '/met*')), 2))"
PROCESSES = {
    "first killed": (KILLED.format("SIGKILL"), "time.sleep(60)", "failed", "process 0: ended by SIGKILL"),
    "second": ("time.sleep(60)", "raise UserError('of 1')", "failed", "process 1: error: of 1"),
    "second killed": ("time.sleep(60)", KILLED.format("SIGKILL"), "failed", "process 1: ended by SIGKILL"),
    "both stopped": ("raise Stopped('saved')", "raise Stopped('saved')", "interrupted", "saved"),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_the_process_that_failed_first_says_how_a_training_ended(tmp_path: Path, name: str):
    """Under torchrun, which then stops the others by a signal."""
    pytest.importorskip("torch")
    first, second, state, reason = PROCESSES[name]
    script = tmp_path / "script.py"
    own = f"{first!r} if os.environ['RANK'] == '0' else {second!r}"
    # As trainings do, which meet before they begin: else torchrun may stop one that has not said yet that it started.
    here = f"open({str(tmp_path)!r} + '/met' + os.environ['RANK'], 'w')"
    body = f"{here}; {MEET.format(str(tmp_path))}; exec({own}, globals())"
    script.write_text(SCRIPT.format(body))
    log = tmp_path / LOGS[0]
    torchrun = [sys.executable, "-m", "vlmfrontier.training.processes", "--standalone", "--nproc-per-node=2"]
    done = job(log, [*torchrun, str(script)])
    found = read_ended(record_of(log))
    assert (found.state, found.reason) == (state, reason), log.read_text()
    assert (done.returncode == 0) == (state == "done")


def test_what_every_attempt_said_is_kept(tmp_path: Path):
    log = tmp_path / LOGS[1]
    for number, slurm in enumerate(({"SLURM_JOB_ID": "12"}, {"SLURM_JOB_ID": "13"}, {}), start=1):
        job(log, python(f"raise UserError('mistake {number}')"), **slurm)
        assert job_id_of(log) == slurm.get("SLURM_JOB_ID", "13")
        assert read_ended(record_of(log)).attempt == number
        assert read_ended(record_of(log)).slurm_job_id == slurm.get("SLURM_JOB_ID")
    text = log.read_text()
    assert text.startswith(f"Slurm job 12 on {platform.node()} — attempt 1, 20")
    assert all(f"error: mistake {number}\n" in text for number in (1, 2, 3))
    words = in_words(log, "snakemake", 20)
    assert "error: mistake 3" in words
    assert "mistake 2" not in words
    assert "Slurm" not in words
    log.with_suffix(".ended.json").write_text(Ended(state="failed", attempt=4, reason="refused").model_dump_json())
    assert (
        in_words(log, "snakemake", 20) == f"the end of {log}:\n  (attempt 4 wrote nothing)\nrefused\nagain: snakemake"
    )


def test_a_log_does_not_grow_for_ever(tmp_path: Path):
    log = tmp_path / LOGS[1]
    for attempt in range(1, 5):
        job(log, [sys.executable, "-c", f"print('of attempt {attempt} ' * 60_000)"])
    assert log_tail(log, 1).startswith("  of attempt 4 of")
    assert sorted(path.name for path in log.parent.iterdir()) == [
        "fit-error.ended.json",
        "fit-error.log",
        "fit-error.log.old",
    ]
    assert sum(path.stat().st_size for path in log.parent.iterdir()) < 4 << 20


@pytest.mark.parametrize("text", ["", "{", "[]", '{"state": "sta', '{"state": "won", "attempt": "x"}', "\x00" * 100])
def test_a_record_that_was_cut_off_is_made_anew(tmp_path: Path, text: str):
    log = tmp_path / LOGS[1]
    log.parent.mkdir()
    record_of(log).write_text(text)
    assert how_ended(record_of(log)) is None
    assert failed_jobs(tmp_path) == {}
    assert ends(log, ["false"]) == ("failed", 1, "ended without a word, exit status 1")
    assert read_ended(record_of(log)).attempt == 1


def record(**fields: object) -> Ended:
    return Ended(**{"state": "started", "attempt": 1, "host": platform.node(), "pid": os.getpid(), **fields})


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "started"),
        ({"began": "1"}, "failed"),  # another process has its number by now
        ({"pid": None}, "started"),
        ({"pid": -1}, "failed"),
        ({"host": "elsewhere", "pid": -1}, "started"),
        ({"machine": "another-boot pid:[1]"}, "interrupted"),
        ({"state": "done", "pid": -1}, "done"),
        ({"state": "interrupted", "pid": -1}, "interrupted"),
    ],
)
def test_a_process_that_is_gone_has_failed(fields: dict, state: str):
    fields = {**fields, "pid": dead_pid()} if fields.get("pid") == -1 else fields
    assert as_it_is(record(**fields)).state == state


SQUEUE = """#!/bin/sh
{squeue}
"""
SCONTROL = """#!/bin/sh
echo 'JobId=12 JobState={state} ExitCode=0:9'
"""


@pytest.mark.parametrize(
    ("squeue", "scontrol", "state", "reason"),
    [
        ("echo 12", "RUNNING", "started", ""),
        ("echo 11", "OUT_OF_MEMORY", "failed", "Slurm job 12 on gpu01: OUT_OF_MEMORY, exit code 0:9"),
        ("echo 11", "RUNNING", "started", ""),
        ("echo 11", "COMPLETED", "started", ""),
        ("true", "CANCELLED", "failed", "CANCELLED, exit code 0:9"),
        ("true", None, "failed", "no longer known to Slurm"),
        ("exit 1", "FAILED", "started", ""),
        (None, None, "started", ""),
    ],
)
def test_a_job_that_slurm_says_has_ended_has_failed(tmp_path, monkeypatch, squeue, scontrol, state, reason):
    """Programs in Slurm's place answer as it would: it cannot be made to end a job in every way."""
    for name, script in (("squeue", SQUEUE.format(squeue=squeue)), ("scontrol", SCONTROL.format(state=scontrol))):
        if (squeue if name == "squeue" else scontrol) is not None:
            (tmp_path / name).write_text(script)
            (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{'/usr/bin:/bin' if squeue else ''}")
    monkeypatch.setattr("vlmfrontier.cluster.slurm._seen", [])
    path = tmp_path / "fit.ended.json"
    path.write_text(record(slurm_job_id="12", host="gpu01").model_dump_json())
    found = how_ended(path)
    assert found.state == state
    assert found.reason.endswith(reason)


def test_a_command_can_be_repeated_by_hand(tmp_path: Path):
    """As it is printed, in any shell; the script alone keeps no record of a job that is no run."""
    log = tmp_path / "a folder" / "it's.log"
    line = shlex.join(["bash", str(RUNNER), str(log), *python("pass")])
    assert subprocess.run(["sh", "-c", line], check=False).returncode == 0
    assert read_ended(record_of(log)).state == "done"
    before = record_of(log).read_text()
    subprocess.run(python("pass"), check=True, capture_output=True)
    assert record_of(log).read_text() == before


def test_a_run_by_hand_counts_on(tmp_path: Path):
    log = tmp_path / LOGS[0]
    job(log, python("raise UserError('x')"))
    recorded(record_of(log), lambda: None)
    assert (read_ended(record_of(log)).state, read_ended(record_of(log)).attempt) == ("done", 2)


def test_every_rule_with_a_log_runs_its_job_so():
    for file in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for rule in re.split(r"^ *(?:use )?rule\b", file.read_text(), flags=re.MULTILINE)[1:]:
            if "log:\n" in rule and "shell:" in rule and ": > {log:q}" not in rule:
                assert re.search(r"\b(script|kept|command)\(", rule.split("shell:")[1]), (
                    f"{file.name}: rule{rule[:200]}"
                )
                assert "{log" not in rule.split("shell:")[1]
