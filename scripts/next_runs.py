"""Suggest the next runs: python scripts/next_runs.py --study results/digits/study.json [--count 5] [--target avg]

Writes results/<study>/next_runs.csv, and next_runs.yaml, a sweep that the workflow runs as it is:
  snakemake --configfile config.yaml results/<study>/next_runs.yaml
Suggestions that the study already has in its design `next` stay in that file, so that a second round adds to the first.
"""

import numpy as np
import pandas as pd
import yaml

from vlmfrontier import command_line
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.load import Results
from vlmfrontier.frontier.next_runs import candidates_of, suggest
from vlmfrontier.frontier.space import language_models
from vlmfrontier.frontier.write import write_csv
from vlmfrontier.study.root import Study
from vlmfrontier.study.sweep import RowsDesign
from vlmfrontier.study.units import format_number

DESIGN = "next"
"""What the suggested runs are called in a sweep."""


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    parser.add_argument("--count", type=int, help="how many runs (default: the study's frontier.next_runs)")
    parser.add_argument("--target", help="whose frontier to make surer (default: avg, or the first target)")
    given = parser.parse_args()
    results = Results.open(given.study)
    if results.table.data is None:
        raise UserError("next runs need a table with data size")
    name = given.target or results.main_target
    target, sizes = results.target(name), np.unique(results.table.data)
    candidates = candidates_of(target, results.runs, results.budgets, sizes)
    count = results.config.next_runs if given.count is None else given.count
    if count < 1:
        raise UserError(f"{count} runs: ask for at least one")
    table = suggest(target, candidates, results.budgets, results.examples, noise_of(results, name), count)
    path = write_csv(table, results.folder / "next_runs.csv")
    for row in table.itertuples():
        x = ", ".join(f"{factor} = {format_number(getattr(row, factor), 'B')}" for factor in target.space.factors)
        regret = f"expected regret {row.regret_before:.3g} → {row.regret_after:.3g} points"
        print(f"{x}, n = {format_number(row.n)}: {regret}, {format_number(row.training_cost)} {results.space.unit}")
    print(f"→ {path}")
    if results.study.trained:
        design = path.with_suffix(".yaml")
        rows = [*suggested_before(results.study), *rows_of(table, language_models(results.study))]
        sweep = {"sweep": {"designs": {DESIGN: {"design": "rows", "rows": rows}}}}
        design.write_text(yaml.safe_dump(sweep, sort_keys=False))
        print(f"→ {design}")


def noise_of(results: Results, target: str) -> float:
    """Return the relative error of the chosen form on runs it has not seen: the noise a new run would have."""
    forms = pd.read_csv(results.folder / "laws" / target / "forms.csv")
    chosen = forms[(forms.setup == "cv") & forms.chosen].iloc[0]
    return float(np.sqrt(chosen.mse) / results.table.error(target).mean())


def suggested_before(study: Study) -> list[dict]:
    """Return the rows of earlier suggestions that the study has taken up."""
    design = study.sweep.designs.get(DESIGN)
    return [row.model_dump(exclude_none=True) for row in design.rows] if isinstance(design, RowsDesign) else []


def rows_of(table: pd.DataFrame, names: dict[str, float]) -> list[dict]:
    """Return the suggestions as rows of a design, language models by their names."""
    by_size = {size: name for name, size in names.items()}
    return [{"N": by_size[row.N], "T": int(row.T), "V": int(row.V), "n": int(row.n)} for row in table.itertuples()]


if __name__ == "__main__":
    command_line.run(main)
