"""Collect the results of all runs: python scripts/collect.py --study results/digits/study.json

Writes runs.csv, one row per run that has a result, and runs.json, what the laws must know of them; runs without one are
named on the terminal.
"""

from vlmfrontier import command_line
from vlmfrontier.laws.table import write_runs
from vlmfrontier.results import Results
from vlmfrontier.sweep.collect import collect, describe


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    given = parser.parse_args()
    results = Results.open(given.study)
    table, missing = collect(results.study, results.root)
    write_runs(table, describe(results.study, table), results.runs_csv)
    results.note(results.runs_csv)
    print(f"{len(table)} runs → {results.runs_csv}")
    if missing:
        print(f"without a result and left out: {', '.join(missing)}")


if __name__ == "__main__":
    command_line.run(main)
