"""Read a study's own table, once for all jobs: python scripts/read_table.py --study results/chinchilla/study.json

Checks it and writes runs.csv beside study.json: the rows that laws are fitted to, factors and n in the table's units,
targets as errors; and runs.json, what the laws must know of them.
"""

import sys

from vlmfrontier import command_line
from vlmfrontier.errors import UserError
from vlmfrontier.laws.checks import check_study, table_warnings
from vlmfrontier.laws.table import write_runs
from vlmfrontier.laws.user_table import as_runs, read_table
from vlmfrontier.results import Results


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    given = parser.parse_args()
    results = Results.open(given.study)
    study = results.study
    if study.table is None:
        raise UserError(f"study {study.study} has no table of its own; its runs are collected by `snakemake collect`")
    table = read_table(study.table)
    check_study(table, study.laws)
    write_runs(*as_runs(table, study.table), results.runs_csv)
    results.note(results.runs_csv)
    split = "" if table.split is None else f", {table.split.sum()} inside the split"
    targets = ", ".join(f"{name} ({len(table.measured(name))} rows)" for name in table.targets)
    print(f"table {table.name}: {len(table)} rows, {table.configurations} configurations{split}; {targets}")
    for warning in table_warnings(table):
        print(f"warning: {warning}", file=sys.stderr)


if __name__ == "__main__":
    command_line.run(main)
