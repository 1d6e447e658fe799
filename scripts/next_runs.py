"""Suggest the next runs: python scripts/next_runs.py --study results/digits/study.json [--count 5] [--target avg]

Writes results/<study>/next_runs.csv, a row per run, the most informative for its cost first; none where every rival of
the frontier has been run. scripts/next_sweep.py makes a sweep of it.
"""

import numpy as np
import pandas as pd

from vlmfrontier import command_line
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.next_runs import COLUMNS, candidates_of, suggest
from vlmfrontier.frontier.pool import Target
from vlmfrontier.progress import Progress
from vlmfrontier.records import again
from vlmfrontier.results import Results
from vlmfrontier.tables.writing import write_csv
from vlmfrontier.units import format_count, format_number

LEAST_NOISE = 1e-6
"""Errors that follow a law exactly have none, and would leave nothing to weigh models by."""


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    parser.add_argument("--count", type=int, help="how many runs (default: the study's frontier.next_runs)")
    parser.add_argument("--target", help="whose frontier to make surer (default: avg, or the first target)")
    given = parser.parse_args()
    results = Results.open(given.study)
    if results.table.data is None:
        raise UserError("next runs need a table with data size")
    count = results.config.next_runs if given.count is None else given.count
    if count < 1:
        raise UserError(f"{count} runs: ask for at least one")
    target = results.target(given.target or results.main_target)
    table = suggestions(results, target, count)
    path = write_csv(table, results.next_runs_csv)
    results.note(path)
    for row in table.itertuples():
        x = ", ".join(f"{factor} = {format_count(getattr(row, factor))}" for factor in target.space.factors)
        regret = f"expected regret {row.regret_before:.3g} → {row.regret_after:.3g} points"
        print(f"{x}, n = {format_count(row.n)}: {regret}, {format_number(row.training_cost)} {results.space.unit}")
    print(f"→ {path}")


def suggestions(results: Results, target: Target, count: int) -> pd.DataFrame:
    """Return the suggested runs; no row if nothing is left to run, and then say so."""
    try:
        candidates = candidates_of(target, results.runs, results.budgets, np.unique(results.table.data))
    except UserError as nothing:
        print(nothing)
        return pd.DataFrame(columns=[*target.space.factors, *COLUMNS])
    progress = Progress("next runs", count)
    noise = noise_of(results, target.name)
    table = suggest(target, candidates, results.budgets, results.examples, noise, count, progress)
    progress.done()
    return table


def noise_of(results: Results, target: str) -> float:
    """Return the relative error of the chosen form on runs it has not seen: the noise a new run would have."""
    forms = results.forms(target)
    chosen = forms[(forms.setup == "cv") & forms.chosen]
    if chosen.empty:
        raise UserError(
            f"{results.laws_folder(target).forms}: damaged: nothing on runs left out of the fit; {again('laws')}"
        )
    chosen = chosen.iloc[0]
    return max(float(np.sqrt(chosen.mse) / np.nanmean(results.table.error(target))), LEAST_NOISE)


if __name__ == "__main__":
    command_line.run(main)
