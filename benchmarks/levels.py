"""What it costs to test one finetuned model at many T and V: in one job, against a job for each.

    python benchmarks/levels.py [--videos 250] [--jobs 30] [--language s]

Makes test videos of the digits study and takes its shipped starting model for a finetuned one: its answers are worth
nothing, and cost what others do. One job tests it at 5 T × 6 V; then jobs that test it at one T and V each, `--jobs` of
them, spread over the grid, the rest reckoned from their mean. Each is scripts/evaluate.py as the workflow calls it,
without warm starts. Seconds are of one core, user and system time, so that other work on the machine does not count.
Prints whether all errors are the same.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tabulate import tabulate

from vlmfrontier.data.digits.build import build_split
from vlmfrontier.files import REPOSITORY, weights_hash, write_json
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.load import load_study, write_study
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.runs import Run, plan_runs

FRAMES, TOKENS = [1, 2, 4, 8, 16], [1, 4, 9, 16, 25, 36]


def study_at(language: str, T: int, V: int, also: dict | None, videos: int) -> Study:
    """Return a study of one run, tested at `also`."""
    row = {"N": language, "T": T, "V": V, "n": 400}
    designs = {"star": None, "isoflop": None, "repeats": None, "one": {"design": "rows", "rows": [row]}}
    changes = {
        "study": "levels",
        "sweep": {"center": None, "designs": designs},
        "evaluate": {"also": also, "control_videos": 0},
        "data": {"digits": {"test": videos}},
        "laws": {"split": None},
    }
    return load_study([REPOSITORY / "config.yaml"], changes)


def save(study: Study, results: ResultsFolder) -> Run:
    """Write the one run of `study` as if it had been finetuned; return it."""
    (run,) = plan_runs(study)
    folder = results.run(run.key)
    shutil.copytree(REPOSITORY / "workflow/pretrained/digits" / run.language, folder.model)
    report = {"recipe": {}, "weights": weights_hash(folder.model), "loss": 1.0, "seconds": 1.0}
    write_json(folder.finetuned, report)
    return run


def seconds_of(study: Study, run: Run, results: ResultsFolder) -> float:
    """Return the seconds of a core that the evaluation job of `run` takes."""
    write_study(study, results.root / "study.json")
    line = [sys.executable, REPOSITORY / "scripts/evaluate.py", "--study", results.root / "study.json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY / "src")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*line, "--run", run.key], env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=250, help="test videos")
    parser.add_argument("--jobs", type=int, default=30, help="jobs of one T and V that are run")
    parser.add_argument("--language", default="s", help="language model of the digits study")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = ResultsFolder(Path(folder) / "levels")
        build_split(results.split("test"), "test", given.videos, "test", seed=3)
        top = study_at(given.language, max(FRAMES), max(TOKENS), {"T": FRAMES, "V": TOKENS}, given.videos)
        ladder = save(top, results)
        together = seconds_of(top, ladder, results)
        grid = [(T, V) for T in FRAMES for V in TOKENS]
        chosen = [grid[i * len(grid) // given.jobs] for i in range(min(given.jobs, len(grid)))]
        alone, same = [], 0
        for T, V in chosen:
            one = study_at(given.language, T, V, None, given.videos)
            run = save(one, results) if (T, V) != (ladder.T, ladder.V) else ladder
            own = results.run(ladder.key)
            there = own.result if run is ladder else own.tested(T, V)
            expected = json.loads(there.read_text())["errors"]
            alone.append(seconds_of(one, run, results))
            same += json.loads(results.run(run.key).result.read_text())["errors"] == expected
    each = sum(alone) / len(alone) * len(grid)
    rows = [["one job", 1, together], [f"a job each ({len(alone)} run)", len(grid), each]]
    print(tabulate(rows, [f"{len(grid)} tests of {given.videos} videos", "jobs", "core seconds"], floatfmt=".1f"))
    print(f"one job takes {together / each:.3f} of it; errors the same: {same} of {len(alone)}")


if __name__ == "__main__":
    main()
