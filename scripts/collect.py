"""Collect the results of all runs: python scripts/collect.py --study results/digits/study.json

Writes runs.csv, one row per run that has a result, and runs.json, what the laws must know of them; runs without one are
named on the terminal.
"""

from vlmfrontier import command_line
from vlmfrontier.laws.table import write_runs
from vlmfrontier.made import note_runs
from vlmfrontier.study.load import read_study
from vlmfrontier.sweep.collect import collect, describe


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    given = parser.parse_args()
    results = given.study.parent
    study = read_study(given.study)
    table, missing = collect(study, results)
    write_runs(table, describe(study, table), results / "runs.csv")
    note_runs(study, results)
    print(f"{len(table)} runs → {results / 'runs.csv'}")
    if missing:
        print(f"without a result and left out: {', '.join(missing)}")


if __name__ == "__main__":
    command_line.run(main)
