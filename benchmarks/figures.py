"""What drawing a study's figures takes: python benchmarks/figures.py --study digits

Draws every figure in a process of its own and then all in one, as the rule does, over the same files, and prints the
seconds of a processor that each takes.
"""

import os
import subprocess
import sys

from vlmfrontier import command_line
from vlmfrontier.figures.catalogue import Outline, drawn
from vlmfrontier.results import Results

LIMIT = 20.0
"""Seconds that all figures of the digits study may take in one process."""


def busy(*arguments: str) -> float:
    """Return the seconds of a processor that `vlmfrontier figure` takes with these arguments."""
    before = os.times()
    subprocess.run([sys.executable, "-m", "vlmfrontier", "figure", *arguments], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return (after.children_user + after.children_system) - (before.children_user + before.children_system)


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    given = parser.parse_args()
    results = Results.open(given.study)
    names, study, total = drawn(Outline.of(results.study, results.table)), f"--study={given.study}", 0.0
    print("| figure | seconds of a processor |\n|---|---|", flush=True)
    for name in names:
        seconds = busy(name, study)
        total += seconds
        print(f"| {name} | {seconds:.1f} |", flush=True)
    print(f"| **all {len(names)}** | {total:.1f} |\n| **in one process** | {busy(study):.1f} (limit {LIMIT:g}) |")


if __name__ == "__main__":
    command_line.run(main)
