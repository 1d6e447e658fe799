"""Write the tables about laws: python scripts/compare_forms.py --study results/digits/study.json

Into tables/ beside study.json, each as .csv, .md and .tex:
  forms     (Table 2) every form of every target in sample, left out and extrapolated; gathered from laws/*/forms.csv
  fitting   (Table 8) one target with other losses, starts, bounds and without logs
  bagging   (Table 9) one target with 1, 50 and 100 resamples, median and mean
"""

import pandas as pd

from vlmfrontier import command_line
from vlmfrontier.laws.ablations import SETTINGS, bagging_table, fitting_table
from vlmfrontier.progress import Progress
from vlmfrontier.results import Results
from vlmfrontier.tables.writing import write_forms_table

TABLES = ("forms", "fitting", "bagging")


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES, help="default: all three")
    parser.add_argument("--target", help="whose fitting and bagging are varied; default: avg, else the first target")
    parser.add_argument("--scipy-starts", type=int, default=0, help="add scipy to `fitting`, with so few starts; slow")
    parser.add_argument("--threads", type=int, help="default: all cores; changes the time, never the result")
    given = parser.parse_args()
    results = Results.open(given.study)
    study, target = results.study, given.target or results.main_target
    frames = {}
    if "forms" in given.tables:
        frames["forms"] = pd.concat([results.forms(name) for name in study.targets()], ignore_index=True)
    if "fitting" in given.tables:
        table, progress = results.table, Progress("fitting", SETTINGS)
        frames["fitting"] = fitting_table(table, target, study.laws, given.scipy_starts, given.threads, progress)
        progress.done()
    if "bagging" in given.tables:
        frames["bagging"] = bagging_table(results.table, target, study.laws, given.threads)
    for name, frame in frames.items():
        write_forms_table(frame, results.table_csv(name))
        results.note(results.table_csv(name))
    print(f"tables are in {results.forms_csv.parent}: {', '.join(given.tables)}")


if __name__ == "__main__":
    command_line.run(main)
