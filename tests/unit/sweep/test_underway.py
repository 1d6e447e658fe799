"""The terminal's lines on runs while they are made: how many are done, and how long the others take."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_vlmfrontier import LogHandler
from tests.calling import ROOT
from vlmfrontier.files import write_json
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.sweep.underway import RunJob, Underway


class Clock:
    """Seconds that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def underway(folder: Path, runs: dict[str, float], done: int = 0) -> tuple[Underway, Clock]:
    """Return runs by key with the work of each; jobs are numbered 2k (finetune) and 2k + 1 (evaluate)."""
    clock, jobs = Clock(), {}
    for number, (run, work) in enumerate(runs.items()):
        jobs |= {2 * number: RunJob(run, "finetune", work), 2 * number + 1: RunJob(run, "evaluate", 1.0)}
    return Underway(ResultsFolder(folder), "avg", len(runs) + done, done, jobs, clock), clock


def made(told: Underway, clock: Clock, job: int, seconds: float) -> str:
    """Let a job begin, take so long, and end."""
    told.begin(job)
    clock.now += seconds
    return told.end(job)


def test_time_left_follows_the_work_of_the_runs_that_are_left(tmp_path: Path):
    told, clock = underway(tmp_path, {"a": 1.0, "b": 2.0, "c": 10.0})
    assert told.seconds_left() is None  # nothing has ended that could tell
    assert made(told, clock, 0, 15.0) == ""
    assert told.seconds_left() is None  # no test has
    made(told, clock, 1, 2.0)
    made(told, clock, 2, 25.0)
    # 10 seconds for a unit of work and 5 to start: c takes 105, and two tests 2 each.
    assert told.seconds_left() == pytest.approx(105 + 2 * 2)
    told.begin(4)
    clock.now += 100
    assert told.seconds_left() == pytest.approx(105 + 2 * 2)  # it waits in a queue: no record says that it works


def test_a_run_is_named_with_its_error_when_its_last_job_ends(tmp_path: Path):
    told, clock = underway(tmp_path, {"a": 1.0, "b": 1.0}, done=3)
    assert made(told, clock, 0, 1.0) == ""
    told.results.run("a").root.mkdir(parents=True)
    write_json(told.results.run("a").result, {"errors": {"avg": {"error": 32.249}}})
    assert made(told, clock, 1, 1.0).startswith("a: avg 32.2, 4 of 5")


def test_a_failed_run_is_counted_and_no_time_is_planned_for_it(tmp_path: Path):
    told, clock = underway(tmp_path, {"a": 1.0, "b": 1.0})
    made(told, clock, 0, 1.0)
    made(told, clock, 1, 1.0)
    told.begin(2)
    assert told.fail(2) == "b: finetune"
    assert told.count() == "1 of 2, 1 failed"
    told.begin(2)  # again
    assert told.count() == "1 of 2, about 2 s left"


COMMAND = "bash scripts/job.sh {log} vlmfrontier figure"
EXIT_STATUS = (
    'RuleException:\nCalledProcessError in file "runs.smk", line 36:\n{command} returned non-zero exit status 2.'
)


def figures_job(log: Path) -> dict:
    """Return what Snakemake says of a job of no run when it starts it."""
    return {
        "rule_name": "draw_figures",
        "rule_msg": "draw the figures",
        "wildcards": {},
        "output": ["a.png"],
        "log": [str(log)],
    }


def shown_of_failure(log: Path, capsys: pytest.CaptureFixture) -> str:
    """Return what the terminal shows of a job that fails, told of it as Snakemake does."""
    handler = LogHandler(OutputSettings(nocolor=True, stdout=True), None)
    command = COMMAND.format(log=log)
    told = figures_job(log)
    failed = {"aux": {}, "shellcmd": command, "conda_env": None, "container_img": None, "input": []}
    error = {"msg": EXIT_STATUS.format(command=command), "exception": "RuleException"}
    for event, more in ((LogEvent.JOB_INFO, told), (LogEvent.ERROR, error), (LogEvent.JOB_ERROR, told | failed)):
        handler.emit(
            logging.makeLogRecord({"event": event, "jobid": 62, "levelno": logging.ERROR, "levelname": "ERROR", **more})
        )
    handler.close()
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return said.out + said.err


def test_of_a_job_with_words_of_its_own_neither_command_nor_exit_status_is_shown(tmp_path: Path, capsys):
    log = tmp_path / "figures.log"
    code = "from vlmfrontier import command_line, errors\ndef job(): raise errors.UserError('no colours')\n"
    kept = [sys.executable, "-c", code + "command_line.run(job)"]
    assert subprocess.run(["bash", ROOT / "scripts" / "job.sh", log, *kept], check=False).returncode == 2
    assert shown_of_failure(log, capsys).splitlines() == ["draw the figures failed: no colours", f"  log: {log}"]


def test_of_a_job_without_words_snakemake_s_are_shown(tmp_path: Path, capsys):
    said = shown_of_failure(tmp_path / "never.log", capsys)
    assert EXIT_STATUS.format(command=COMMAND.format(log=tmp_path / "never.log")).splitlines()[-1] in said
    assert "Error in rule draw_figures" in said


def test_a_failed_job_of_no_run_is_shown_with_its_name_and_its_own_words(tmp_path: Path, capsys: pytest.CaptureFixture):
    handler = LogHandler(OutputSettings(nocolor=True, stdout=True), None)
    log = tmp_path / "figures.log"
    record = subprocess.run(
        ["bash", ROOT / "scripts" / "job.sh", log, "bash", "-c", "echo no colours; exit 3"], check=False
    )
    assert record.returncode == 3
    told = figures_job(log)
    for event, more in ((LogEvent.JOB_INFO, {}), (LogEvent.JOB_ERROR, {"aux": {}})):
        handler.emit(logging.makeLogRecord({"event": event, "jobid": 62, "levelno": logging.INFO, **told, **more}))
    said = capsys.readouterr()
    assert "draw the figures failed: " in said.out
    assert str(log) in said.out
    assert "no colours" in said.out
    assert "Traceback" not in said.out + said.err
