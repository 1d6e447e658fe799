"""Check a study's own table and say what it holds: python scripts/read_table.py --study results/chinchilla/study.json

Writes runs.csv beside study.json: the rows that laws are fitted to, factors and n in the table's units, targets as
errors.
"""

import sys

from vlmfrontier import command_line
from vlmfrontier.laws.checks import check_study, table_warnings
from vlmfrontier.laws.table import load_results
from vlmfrontier.study.load import read_study


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    given = parser.parse_args()
    study, results = read_study(given.study), given.study.parent
    table = load_results(study, results)
    check_study(table, study.laws)
    if study.table:
        table.plain().to_csv(results / "runs.csv", index=False)
    split = "" if table.split is None else f", {table.split.sum()} inside the split"
    targets = ", ".join(f"{name} ({len(table.measured(name))} rows)" for name in table.targets)
    print(f"table {table.name}: {len(table)} rows, {table.configurations} configurations{split}; {targets}")
    for warning in table_warnings(table):
        print(f"warning: {warning}", file=sys.stderr)


if __name__ == "__main__":
    command_line.run(main)
