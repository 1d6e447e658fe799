"""Snakemake in a Slurm job of its own: killed and started again, it goes on, and no job runs twice."""

import subprocess
import sys
from pathlib import Path

from tests.calling import ROOT, SMOKE
from tests.slurm.cluster import SlurmCluster
from tests.slurm.kills import wait_until
from vlmfrontier.study.load import load_study, write_study

SNAKEFILE = """
rule second:
    input: "first"
    output: "second"
    resources: mem_mb=100
    shell: "echo second >> began; touch {output}"

rule first:
    output: "first"
    resources: mem_mb=100
    shell: "echo first >> began; while [ ! -e go ]; do sleep 0.2; done; touch {output}"
"""


def command(cluster: SlurmCluster, *words: str) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", "vlmfrontier", *words]
    return subprocess.run(line, cwd=ROOT, env=cluster.env(), capture_output=True, text=True, check=False)


def test_a_controller_in_a_job_is_killed_comes_back_and_repeats_nothing(cluster: SlurmCluster, tmp_path: Path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    write_study(load_study([SMOKE]), tmp_path / "results/smoke/study.json")
    site = str(Path(__file__).with_name("site.yaml"))
    options = ["--snakefile", str(tmp_path / "Snakefile"), "--directory", str(tmp_path), "--latency-wait", "5"]
    options += ["--slurm-init-seconds-before-status-checks", "2", "--slurm-logdir", str(tmp_path / "logs")]
    call = ["controller", "--site", site, "--every", "0.5", "--", *options]
    study = str(tmp_path / "results/smoke/study.json")

    submitted = command(cluster, *call)
    assert submitted.returncode == 0, submitted.stderr
    job = submitted.stdout.split()[2]
    log = tmp_path / "logs/slurm/controller" / f"{job}.log"
    began = tmp_path / "began"
    wait_until(began.exists, "the first job runs")
    twice, recovered = command(cluster, *call), command(cluster, "recover", "--study", study, "--cancel")
    assert (twice.returncode, recovered.returncode) == (2, 2)
    assert f"Slurm job {job} is a snakemake that runs in {tmp_path}; nothing was submitted" in twice.stderr
    assert "error: " in recovered.stderr  # its process is seen, since all nodes are this machine

    cluster.ask("scancel", "--batch", "--signal=USR1", job)  # as Slurm does shortly before the job's time ends
    wait_until(lambda: "jobs of the last Snakemake are left" in log.read_text(), "the controller is back and waits")
    recovered = command(cluster, "recover", "--study", study, "--cancel")
    assert f"error: Slurm job {job} runs snakemake in {tmp_path}" in recovered.stderr
    (tmp_path / "go").touch()
    wait_until(lambda: "JobState=COMPLETED" in cluster.ask("scontrol", "show", "job", job), f"the end; see {log}")
    assert (tmp_path / "second").exists()
    assert began.read_text().split() == ["first", "second"]
    assert "You are running snakemake in a SLURM job context" not in log.read_text()
