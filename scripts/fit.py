"""Fit, compare and bag all forms of a target: python scripts/fit.py --study results/digits/study.json --target avg

Reads runs.csv beside study.json, or the study's own table. Writes, into laws/<target>/ there:
  <form>.json      the fitted law, its metrics, diagnostics and warnings; <form>.txt is lmfit's fit report
  <form>.bag.csv   pairs bootstrap: one row of parameters per resample
  <form>.wild.csv  wild bootstrap, of the form with most terms
  weights.json     cross-validation weight of every form
  forms.csv        every form in sample, left out and extrapolated, and which one is chosen
"""

import sys

from vlmfrontier import command_line
from vlmfrontier.laws.checks import table_warnings
from vlmfrontier.laws.selection import fit_target, steps_of
from vlmfrontier.progress import Progress
from vlmfrontier.results import Results


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    parser.add_argument("--target", required=True, help="what to fit: a task, avg, or a target of the table")
    parser.add_argument("--threads", type=int, help="default: all cores; changes the time, never the result")
    given = parser.parse_args()
    results = Results.open(given.study)
    study, table, folder = results.study, results.table, results.laws_folder(given.target)
    progress = Progress(given.target, steps_of(study.laws))
    comparison = fit_target(table, given.target, study.laws, folder, given.threads, progress)
    results.note(folder.root)
    print(comparison.rows.to_string(index=False, float_format="%.4g"))
    print(f"target {given.target}: {comparison.chosen} is chosen: {comparison.reason}")
    print(f"laws are in {folder.root}")
    for warning in (*table_warnings(table), *comparison.warnings):
        print(f"warning: {warning}", file=sys.stderr)


if __name__ == "__main__":
    command_line.run(main)
