"""Collect the results of all runs: python scripts/collect.py --study results/digits/study.json

Writes runs.csv, one row per run that has a result; runs without one are named on the terminal.
"""

from vlmfrontier import command_line
from vlmfrontier.made import note_runs
from vlmfrontier.study.load import read_study
from vlmfrontier.sweep.collect import collect


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    given = parser.parse_args()
    results = given.study.parent
    study = read_study(given.study)
    table, missing = collect(study, results)
    table.to_csv(results / "runs.csv", index=False)
    note_runs(study, results)
    print(f"{len(table)} runs → {results / 'runs.csv'}")
    if missing:
        print(f"without a result and left out: {', '.join(missing)}")


if __name__ == "__main__":
    command_line.run(main)
