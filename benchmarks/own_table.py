"""What a table takes from CSV to report, whole `snakemake`: python benchmarks/own_table.py [--checkout OTHER]

Two studies of the Chinchilla runs: as shipped, and with two factors, a cost and a frontier. Each is run in a new folder
after a first run that compiles the laws' kernels; a dry run is timed too. Prints a table with the limits of an idle
machine of two cores; --checkout times another version of the repository instead. Exit status 1 beyond a limit.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = "workflow/studies/chinchilla.yaml"
WITH_FRONTIER = {
    "study": "chinchilla-frontier",
    "table": {
        "factors": {"N": {"column": "model_size_params", "unit": 1e9}, "D": {"column": "training_tokens", "unit": 1e9}},
        "data": None,
    },
    "cost": {"expression": "6 * N * D"},
    "space": {"N": [1e8, 2e8, 4e8, 8e8, 1.6e9, 3.2e9, 6.4e9, 1.28e10], "D": {"from": 1e9, "to": 2e11, "step": 1e9}},
}
LIMITS = {"table to report": (12.0, 8.0), "with a frontier of two factors": (30.0, None), "dry run": (None, 2.0)}
"""Seconds of a processor, and of the clock."""


def snakemake(checkout: Path, folder: Path, study: Path, *options: str) -> tuple[float, float, str]:
    """Return the seconds of a processor and of the clock that a call takes, and what it prints."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(checkout / "Snakefile"),
        "--configfile",
        str(study),
    ]
    command += ["--workflow-profile", str(checkout / "profiles/default"), "--directory", str(folder), *options]
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
    before, started = os.times(), time.monotonic()
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    after, seconds = os.times(), time.monotonic() - started
    if done.returncode:
        sys.exit(done.stdout[-3000:])
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return busy, seconds, done.stdout


def studies(checkout: Path, folder: Path) -> dict[str, Path]:
    """Return the files of the two studies by what they measure."""
    shipped = checkout / SHIPPED
    other = folder / "frontier.yaml"
    other.write_text(yaml.safe_dump({"base": str(shipped), **WITH_FRONTIER}))
    return {"table to report": shipped, "with a frontier of two factors": other}


def row(name: str, jobs: int | str, busy: float, seconds: float) -> bool:
    """Print a line of the table; return whether it is within its limits."""
    limits = LIMITS[name]
    shown = [f"{value:.1f} (limit {limit or '–'})" for value, limit in zip((busy, seconds), limits, strict=True)]
    print(f"| {name} | {jobs} | {shown[0]} | {shown[1]} |", flush=True)
    return all(limit is None or value <= limit for value, limit in zip((busy, seconds), limits, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, default=ROOT, help="repository whose workflow is timed")
    checkout, within = parser.parse_args().checkout.resolve(), True
    print("| | jobs | seconds of a processor | of the clock |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        files = studies(checkout, Path(temporary))
        for name, study in files.items():
            for turn in ("first", "timed"):
                folder = Path(temporary, name, turn)
                folder.mkdir(parents=True)
                busy, seconds, printed = snakemake(checkout, folder, study)
            jobs = re.search(r"^(\d+) jobs: ", printed, re.MULTILINE)[1]
            within &= row(name, jobs, busy, seconds)
        folder = Path(temporary, "dry")
        folder.mkdir()
        busy, seconds, _ = snakemake(checkout, folder, files["table to report"], "--dry-run")
        within &= row("dry run", "–", busy, seconds)
    sys.exit(not within)


if __name__ == "__main__":
    main()
