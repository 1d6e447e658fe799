"""What following a thousand queued jobs costs the controller: python benchmarks/controller.py

A virtual Slurm (see tests/slurm/cluster.py: root, Debian's Slurm) is given jobs that stay in the queue for a while and
are then let go; each only touches its output. Prints, for Snakemake's Slurm plugin and for this project's executor in
its place, the processor seconds of Snakemake with the clients that it calls, and how often it calls them per minute.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.slurm.cluster import SlurmCluster, why_not  # noqa: E402
from tests.slurm.faults import Clients  # noqa: E402

SNAKEFILE = """
from pathlib import Path

if config["executor"] == "ours":
    from vlmfrontier.cluster.executor import Sweep, use_for

    use_for(Sweep("benchmark", Path("results/benchmark")))

rule all:
    input: [f"out/{i}" for i in range(int(config["jobs"]))]
    localrule: True

rule one:
    output: "out/{i}"
    log: "logs/{i}.log"
    resources: slurm_account="lab", slurm_partition="cpu", runtime=10, mem_mb=10
    shell: "touch {output}"
"""
# In place of a Snakemake per job, which costs the node seconds and the controller nothing.
TOUCH = """#!/bin/sh
[ -n "$SLURM_JOB_ID" ] && exec {real} "$@"
name=$(printf '%s\\n' "$@" | sed -n 's/^rule_one_wildcards_//p')
for word; do shift; case $word in --wrap=*|/dev/stdin) ;; *) set -- "$@" "$word" ;; esac; done
exec {counted} "$@" --wrap="mkdir -p out; touch out/$name"
"""
EXECUTORS = {"plugin": "Snakemake's plugin", "ours": "this project's executor"}


class Used(NamedTuple):
    """What one controller used."""

    submitting: float
    """Seconds until all jobs were in the queue."""
    waiting: Mapping[str, float]
    """Calls of each client per minute while all jobs waited."""
    calls: Mapping[str, int]
    """Calls of each client in all."""
    seconds: float
    processor: float


def measure(cluster: SlurmCluster, folder: Path, executor: str, jobs: int, wait: float) -> Used:
    """Return what a controller of so many jobs uses, which wait in the queue for so many seconds."""
    (folder / "Snakefile").write_text(SNAKEFILE)
    clients = Clients(folder / "clients", cluster)
    front = folder / "front"
    front.mkdir()
    (front / "sbatch").write_text(TOUCH.format(real=cluster.root / "bin" / "sbatch", counted=clients.folder / "sbatch"))
    (front / "sbatch").chmod(0o755)
    environment = cluster.env()
    environment["PATH"] = f"{front}:{clients.folder}:{environment['PATH']}"
    environment["PYTHONPATH"] = str(ROOT / "src")
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--executor",
        "slurm",
        "--jobs",
        str(jobs),
        "--directory",
        str(folder),
    ]
    command += ["--snakefile", str(folder / "Snakefile"), "--config", f"executor={executor}", f"jobs={jobs}"]
    command += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "8"]
    command += [
        "--seconds-between-status-checks",
        "180",
        "--slurm-logdir",
        str(folder / "slurm"),
        "--latency-wait",
        "5",
    ]
    began = time.time()
    cluster.ask("scontrol", "update", f"nodename={','.join(cluster.nodes)}", "state=drain", "reason=benchmark")
    with (folder / "output").open("w") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out)
    while len(cluster.ask("squeue", "--noheader").splitlines()) < jobs:
        if process.poll() is not None:
            raise RuntimeError((folder / "output").read_text()[-3000:])
        time.sleep(0.5)
    submitted = time.time()
    time.sleep(wait)
    let_go = time.time()
    cluster.ask("scontrol", "update", f"nodename={','.join(cluster.nodes)}", "state=resume")
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError((folder / "output").read_text()[-3000:])
    calls = clients.calls()
    waiting = Counter(call.split()[0] for moment, call in calls if submitted < moment < let_go)
    return Used(
        submitted - began,
        {client: 60 * count / (let_go - submitted) for client, count in waiting.items()},
        Counter(call.split()[0] for _, call in calls),
        time.time() - began,
        used.ru_utime + used.ru_stime,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--wait", type=float, default=120, help="seconds for which all jobs stay in the queue")
    given = parser.parse_args()
    if reason := why_not():
        sys.exit(f"error: {reason}")
    print(f"{given.jobs} jobs, {given.wait:g} s in the queue, one machine\n")
    print("| executor | submitted in s | all done in s | processor s | calls a minute while waiting | calls in all |")
    print("|---|---|---|---|---|---|", flush=True)
    processor = {}
    with tempfile.TemporaryDirectory() as temporary, SlurmCluster(Path(temporary) / "cluster") as cluster:
        for executor, name in EXECUTORS.items():
            folder = Path(temporary) / executor
            folder.mkdir()
            used = measure(cluster, folder, executor, given.jobs, given.wait)
            processor[executor] = used.processor
            rates = ", ".join(f"{client} {rate:.1f}" for client, rate in sorted(used.waiting.items()))
            calls = ", ".join(f"{client} {count}" for client, count in sorted(used.calls.items()))
            print(
                f"| {name} | {used.submitting:.0f} | {used.seconds:.0f} | {used.processor:.1f} | {rates} | {calls} |",
                flush=True,
            )
    print(f"\nprocessor seconds, this project's executor to the plugin: {processor['ours'] / processor['plugin']:.2f}")


if __name__ == "__main__":
    main()
