"""The Snakemake that submits jobs: whether one lives in a folder, and how its lock goes when it was killed."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vlmfrontier.cluster.queue import queued_jobs


def controllers(directory: Path) -> list[int]:
    """Return the process ids of Snakemakes of this machine that run in `directory`; their own jobs do not count."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            here = Path(os.readlink(process / "cwd")).resolve() == directory.resolve()
        except OSError:
            continue  # it has ended, or is another user's
        if here and is_controller(words):
            found.append(int(process.name))
    return sorted(found)


def is_controller(words: list[str]) -> bool:
    """Return whether a command line is a Snakemake's that was called by a user, not one that runs a single job."""
    program, *arguments = [Path(word).name for word in words[:3]]
    by_python = program.startswith("python") and (arguments[:1] == ["snakemake"] or arguments == ["-m", "snakemake"])
    return (program == "snakemake" or by_python) and "--target-jobs" not in words


def is_left_locked(directory: Path) -> bool:
    """Return whether a Snakemake that does not run on this machine has locked `directory`."""
    return any(directory.glob(".snakemake/locks/*.lock")) and not controllers(directory)


def wait_for_jobs(directory: Path, every: float) -> None:
    """Return when no job that Snakemake submitted from `directory` is left, however long Slurm may not answer."""
    said = ""
    while True:
        try:
            jobs = queued_jobs(directory)
            now = f"{len(jobs)} jobs of the last Snakemake are left; waiting for them"
        except ConnectionError as error:
            jobs, now = None, f"Slurm does not say which jobs are left ({error}); waiting"
        if jobs == []:
            return
        if now != said:
            print(now, flush=True)
            said = now
        time.sleep(every)


def unlock(directory: Path) -> None:
    """Take away the lock of a killed Snakemake in `directory`; only right when neither it nor a job of it lives.

    The lock belongs to the folder and not to a study, so any Snakefile will do, and no study need be valid.
    Raises `CalledProcessError` with what Snakemake printed if it fails.
    """
    with tempfile.TemporaryDirectory() as temporary:
        snakefile = Path(temporary) / "Snakefile"
        snakefile.write_text("rule all:\n    input: []\n")
        command = [sys.executable, "-m", "snakemake", "--unlock", "--snakefile", str(snakefile)]
        command += ["--directory", str(directory)]
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=temporary)
