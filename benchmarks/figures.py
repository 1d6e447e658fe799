"""What drawing a study's figures takes: python benchmarks/figures.py --study results/digits/study.json

Draws every figure in a process of its own, as the rules do, over the same files, and prints the seconds of a processor
that each takes, their sum, and what of it is starting up. Drawn side by side they take that over the number of cores.
"""

import os
import subprocess
import sys
from pathlib import Path

from vlmfrontier import command_line
from vlmfrontier.figures.catalogue import Outline, drawn
from vlmfrontier.results import Results

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "figures.py"
LIMIT = 60.0
"""Seconds that all figures of the digits study may take."""


def busy(*arguments: str) -> float:
    """Return the seconds of a processor that scripts/figures.py takes with these arguments."""
    before = os.times()
    subprocess.run([sys.executable, str(SCRIPT), *arguments], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return (after.children_user + after.children_system) - (before.children_user + before.children_system)


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    given = parser.parse_args()
    results = Results.open(given.study)
    start, total = busy("--help"), 0.0
    print("| figure | seconds of a processor |\n|---|---|", flush=True)
    names = drawn(Outline.of(results.study, results.table))
    for name in names:
        seconds = busy("--study", str(given.study), "--figure", name)
        total += seconds
        print(f"| {name} | {seconds:.1f} |", flush=True)
    print(f"| **all {len(names)}** | {total:.1f}, of which {start * len(names):.1f} starting up (limit {LIMIT:g}) |")


if __name__ == "__main__":
    command_line.run(main)
