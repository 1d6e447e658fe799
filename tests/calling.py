"""Snakemake as a user calls it, in a folder of its own."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from vlmfrontier.study.load import merge, read_with_base, validate
from vlmfrontier.sweep.runs import plan_runs

ROOT = Path(__file__).parents[1]
SMOKE = ROOT / "workflow" / "studies" / "smoke.yaml"
"""The smallest study that goes all the way."""


@dataclass(frozen=True)
class Outcome:
    """What a call of Snakemake printed and returned."""

    status: int
    output: str

    @property
    def jobs(self) -> dict[str, int]:
        """Number of jobs by rule, out of the statistics that a dry run prints; empty if there is nothing to be done."""
        table = re.search(r"^job +count\n[- ]+\n(.*?)\n\n", self.output + "\n\n", re.MULTILINE | re.DOTALL)
        rows = [line.split() for line in table[1].splitlines() if line.strip()] if table else []
        return {rule: int(count) for rule, count in rows if rule not in ("total", "all")}


@functools.cache
def _server() -> subprocess.Popen:
    """Return a process that calls Snakemake without importing it again; it ends with this one."""
    command = [sys.executable, "-m", "tests.forked"]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def forked(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Outcome:
    """Call Snakemake in a child of a process that has imported it: the same, in a third of the time."""
    server = _server()
    with tempfile.NamedTemporaryFile("r") as printed:
        request = {"arguments": arguments, "folder": str(folder), "environment": environment, "output": printed.name}
        print(json.dumps(request), file=server.stdin, flush=True)
        status = int(server.stdout.readline())
        return Outcome(status, printed.read())


class Workflow:
    """The workflow of this repository, run in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __call__(self, *arguments: str, config: Mapping | Path | None = None, profile: str = "default") -> Outcome:
        """Call Snakemake with `arguments` and a configuration file, written from `config` if that is a map.

        What runs jobs is a command line as a user writes it; a dry run is forked, since there are many.
        """
        profiles = ["--workflow-profile", str(ROOT / "profiles" / profile)]
        files = (
            [] if config is None else ["--configfile", str(config if isinstance(config, Path) else self.write(config))]
        )
        given = ["--snakefile", str(ROOT / "Snakefile"), *profiles, *files, "--directory", str(self.folder), *arguments]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
        if {"--dry-run", "-n"} & set(arguments):
            return forked(given, self.folder, environment)
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *given],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Outcome(done.returncode, done.stdout)

    def write(self, config: Mapping) -> Path:
        """Return the file in the folder that holds `config`."""
        path = self.folder / "study.yaml"
        path.write_text(yaml.safe_dump(dict(config), sort_keys=False))
        return path


def run_keys(config: Mapping) -> list[str]:
    """Return the keys of the runs of a study that builds on another file, whatever sizes its models have today."""
    changes = {key: value for key, value in config.items() if key != "base"}
    return [run.key for run in plan_runs(validate(merge(read_with_base(Path(config["base"])), changes)))]


def damaged_start(folder: Path) -> Path:
    """Return a folder of starting models below `folder`: xs, which trains, and s, whose weights are none."""
    start = folder / "start"
    if not start.exists():
        shutil.copytree(ROOT / "workflow/pretrained/digits/xs", start / "xs")
        (start / "s").mkdir()
        (start / "s" / "model.safetensors").write_text("not weights")
    return start
