"""What is asked of a real Slurm: jobs of a folder, ends of jobs, the own job's limit and requeue; and the recovery."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from tests.calling import ROOT, SMOKE
from tests.slurm.cluster import SlurmCluster
from tests.slurm.kills import wait_until
from vlmfrontier.cluster.slurm import job_of, queued_jobs
from vlmfrontier.cluster.submitter import Submitter, Sweep
from vlmfrontier.study.load import load_study, write_study

COMMENT = "rule_finetune_run_wildcards_N13.9k_T4_V4_n64_s0"


@pytest.fixture
def asked(cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> SlurmCluster:
    """The cluster, which this process speaks to as a job of it would."""
    for key, value in cluster.env().items():
        monkeypatch.setenv(key, value)
    return cluster


def submit(cluster: SlurmCluster, folder: Path, command: str, *options: str) -> str:
    settings = ["--parsable", f"--chdir={folder}", "--output=/dev/null", "--mem=100", *options]
    return cluster.ask("sbatch", *settings, f"--wrap={command}")


def test_the_jobs_of_a_folder_are_found_with_their_runs(asked: SlurmCluster, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    running = submit(asked, tmp_path, "sleep 600", f"--comment={COMMENT}")
    held = submit(asked, tmp_path, "sleep 600", "--hold", "--comment=rule_fit_target_wildcards_avg")
    others = [submit(asked, elsewhere, "sleep 600", "--hold", f"--comment={COMMENT}")]
    others.append(submit(asked, tmp_path, "sleep 600", "--hold", "--comment=mine"))
    wait_until(lambda: asked.ask("squeue", "-h", "-j", running, "-o", "%T") == "RUNNING", "the job runs")
    first, second = queued_jobs(tmp_path)
    assert (first.id, first.state, first.rule) == (running, "RUNNING", "finetune_run")
    assert first.wildcards == "N13.9k_T4_V4_n64_s0"
    assert (second.id, second.state, second.rule, second.wildcards) == (held, "PENDING", "fit_target", "avg")
    assert (first.reason, second.reason, second.start) == ("", "JobHeldUser", "")
    assert first.start
    assert first.study == second.study == ""
    asked.ask("scancel", running, held, *others)
    wait_until(lambda: queued_jobs(tmp_path) == [], "they are gone")


def test_the_jobs_of_a_study_are_told_by_their_full_names(asked: SlurmCluster, tmp_path: Path):
    """What the queue says of them is neither cut nor changed by what the user has set for his own looks at it."""
    run, study = "N13.9k_T4_V4_n64_s0", f"smoke.{'long' * 40}"
    names = {f"{run}.finetune_run.{study}": COMMENT, f"fit_target.avg.{study}": "rule_fit_target_wildcards_avg"}
    others = {f"{run}.finetune_run.smoke": COMMENT}
    jobs = [
        submit(asked, tmp_path, "sleep 600", "--hold", f"--job-name={name}", f"--comment={comment}")
        for name, comment in {**names, **others}.items()
    ]
    with pytest.MonkeyPatch.context() as set_by_the_user:
        set_by_the_user.setenv("SQUEUE_STATES", "RUNNING")
        set_by_the_user.setenv("SLURM_TIME_FORMAT", "relative")
        assert [job.id for job in queued_jobs(tmp_path, study)] == jobs[:2]
    assert [job.id for job in queued_jobs(tmp_path, "smoke")] == jobs[2:]
    assert {job.study for job in queued_jobs(tmp_path)} == {study, "smoke"}
    asked.ask("scancel", *jobs)


def test_a_slurm_that_does_not_answer_is_no_empty_queue(tmp_path: Path, cluster: SlurmCluster, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "none.conf"))
    with pytest.raises(ConnectionError):
        queued_jobs(tmp_path)


def test_a_job_that_slurm_does_not_know_is_not_one_of_which_it_says_nothing(asked, tmp_path: Path, monkeypatch):
    assert submitter(tmp_path).state_of("999999") == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert submitter(tmp_path).state_of("999999") is None


def submitter(folder: Path) -> Submitter:
    return Submitter(Sweep("smoke", folder / "results/smoke"), folder, logging.getLogger())


def test_the_end_of_a_job_is_told_from_its_log(asked: SlurmCluster, tmp_path: Path):
    job = submit(asked, tmp_path, "exit 3")
    wait_until(lambda: "FAILED" in asked.ask("scontrol", "show", "job", job), "the job has failed")
    log = tmp_path / "finetune.log"
    log.write_text(f"Slurm job {job} on gpu01\nTraceback …\n")
    assert job_of(log) == (job, "gpu01", "FAILED, exit code 3:0")
    log.write_text("a laptop's\n")
    assert job_of(log) is None


JOB = """
import sys, time
from pathlib import Path
from vlmfrontier.cluster.job import job_id, last_moment, requeue
log = Path(sys.argv[1])
first = not log.exists()
with log.open("a") as file:
    print(job_id(), last_moment(float(sys.argv[2])) - time.time(), file=file)
if first:
    assert requeue()
    time.sleep(600)
"""


@pytest.mark.parametrize(("minutes", "warning", "left"), [(40, 10, 30 * 60), (20, 10, 15 * 60)])
def test_a_job_knows_its_last_moment_and_has_itself_requeued(
    asked: SlurmCluster, tmp_path: Path, minutes: int, warning: int, left: int
):
    """Ten minutes before the limit of forty; of twenty minutes a quarter is the most that saving may take."""
    (tmp_path / "job.py").write_text(JOB)
    log = tmp_path / "log"
    command = f"PYTHONPATH={ROOT / 'src'} {sys.executable} job.py {log} {warning}"
    job = submit(asked, tmp_path, command, f"--time={minutes}", "--requeue")
    wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == 2, "the job has run again")
    for line in log.read_text().splitlines():
        number, seconds = line.split()
        assert number == job
        assert left - 60 * 8 < float(seconds) <= left  # the less, the longer Python took to start


def recover(folder: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "vlmfrontier", "recover", "--study", str(folder / "results/smoke/study.json")]
    return subprocess.run([*command, "--every", "0.2", *options], capture_output=True, text=True, check=False)


def test_recovery_shows_what_is_left_and_unlocks_only_when_told(asked: SlurmCluster, tmp_path: Path):
    write_study(load_study([SMOKE]), tmp_path / "results/smoke/study.json")
    lock = tmp_path / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("results/smoke/runs.csv\n")
    job = submit(asked, tmp_path, "sleep 600", "--hold", f"--comment={COMMENT}")

    shown = recover(tmp_path)
    assert shown.returncode == 1
    assert f"Slurm job {job}: finetune_run N13.9k_T4_V4_n64_s0 PENDING (JobHeldUser)" in shown.stdout
    assert "nothing was changed" in shown.stdout
    assert lock.exists()
    assert len(queued_jobs(tmp_path)) == 1

    (tmp_path / "snakemake.py").write_text("import sys; sys.stdin.read()")
    alive = subprocess.Popen([sys.executable, "-m", "snakemake"], cwd=tmp_path, stdin=subprocess.PIPE)
    refused = recover(tmp_path, "--cancel")
    alive.communicate()
    assert refused.returncode == 2
    assert f"error: process {alive.pid} is a snakemake that runs in {tmp_path}" in refused.stderr
    assert lock.exists()

    done = recover(tmp_path, "--cancel")
    assert done.returncode == 0, done.stderr
    assert f"cancelled Slurm job {job}: finetune_run N13.9k_T4_V4_n64_s0" in done.stdout
    assert "unlocked: call snakemake again" in done.stdout
    assert not lock.exists()
    assert queued_jobs(tmp_path) == []
    assert json.loads((tmp_path / "results/smoke/study.json").read_text())["study"] == "smoke"
