"""Make the three checks of a reproduction: python scripts/checks.py --study results/digits/study.json

Writes results/<study>/tables/checks.csv, .md and .tex: the power law along each factor alone, the extrapolation to
unseen runs (out of tables/forms.csv), and x* at the middle budget against n with its direction.
"""

from vlmfrontier import command_line
from vlmfrontier.frontier.tables import checks_table, extrapolation_check, power_law_check, shift_check
from vlmfrontier.results import Results
from vlmfrontier.tables.writing import write_table


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    given = parser.parse_args()
    results = Results.open(given.study)
    target = results.main_target
    forms = results.all_forms()
    rows = power_law_check(results.table, target, results.study.laws) + extrapolation_check(forms, target)
    if results.cost is not None and results.examples is not None:
        rows += shift_check(results.target(target), results.middle_budget, results.examples)
    table = checks_table(rows)
    path = write_table(table, results.table_csv("checks"))
    results.note(path)
    for names, rows_of in table.groupby(["check", "form", "factor"], dropna=False, sort=False):
        print(f"{', '.join(name for name in names if isinstance(name, str))}: {rows_of.verdict.iloc[0]}")
    print(f"→ {path}")


if __name__ == "__main__":
    command_line.run(main)
