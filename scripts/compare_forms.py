"""Write the tables about laws: python scripts/compare_forms.py --study results/digits/study.json

Into tables/ beside study.json, each as .csv, .md and .tex:
  forms     (Table 2) every form of every target in sample, left out and extrapolated; gathered from laws/*/forms.csv
  fitting   (Table 8) one target with other losses, starts, bounds and without logs
  bagging   (Table 9) one target with 1, 50 and 100 resamples, median and mean
"""

from pathlib import Path

import pandas as pd

from vlmfrontier import command_line
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.load import Results
from vlmfrontier.laws.ablations import SETTINGS, bagging_table, fitting_table
from vlmfrontier.laws.selection import read_forms
from vlmfrontier.made import note
from vlmfrontier.progress import Progress
from vlmfrontier.study.load import read_study
from vlmfrontier.tables.writing import write_forms_table

TABLES = ("forms", "fitting", "bagging")


def gathered(laws: Path, targets: list[str]) -> pd.DataFrame:
    """Return the lines of every target's forms.csv. Raises `UserError` if one has not been fitted."""
    for target in targets:
        if not (laws / target / "forms.csv").exists():
            raise UserError(f"{laws / target}: no forms.csv; run `snakemake laws` first")
    return pd.concat([read_forms(laws / target / "forms.csv") for target in targets], ignore_index=True)


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES, help="default: all three")
    parser.add_argument("--target", help="whose fitting and bagging are varied; default: avg, else the first target")
    parser.add_argument("--scipy-starts", type=int, default=0, help="add scipy to `fitting`, with so few starts; slow")
    parser.add_argument("--threads", type=int, help="default: all cores; changes the time, never the result")
    given = parser.parse_args()
    study, results = read_study(given.study), given.study.parent
    targets = study.targets()
    target = given.target or study.main_target
    if "forms" in given.tables:
        write_forms_table(gathered(results / "laws", targets), results / "tables" / "forms")
    if "fitting" in given.tables:
        table, progress = Results(study, results).table, Progress("fitting", SETTINGS)
        frame = fitting_table(table, target, study.laws, given.scipy_starts, given.threads, progress)
        progress.done()
        write_forms_table(frame, results / "tables" / "fitting")
    if "bagging" in given.tables:
        frame = bagging_table(Results(study, results).table, target, study.laws, given.threads)
        write_forms_table(frame, results / "tables" / "bagging")
    for name in given.tables:
        note(study, results, f"tables/{name}.csv")
    print(f"tables are in {results / 'tables'}: {', '.join(given.tables)}")


if __name__ == "__main__":
    command_line.run(main)
