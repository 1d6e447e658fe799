"""Make a sweep of the suggested runs: python scripts/next_sweep.py --study results/digits/study.json

Reads results/<study>/next_runs.csv and writes next_runs.yaml beside it, which the workflow runs as it is:
  snakemake --configfile config.yaml results/<study>/next_runs.yaml
Suggestions that the study already has in its design `next` stay in that file, so that a second round adds to the first.
"""

from collections.abc import Mapping

import pandas as pd
import yaml

from vlmfrontier import command_line
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.space import named_levels
from vlmfrontier.results import Results
from vlmfrontier.study.load import read_study
from vlmfrontier.study.root import Study
from vlmfrontier.study.sweep import RowsDesign

DESIGN = "next"
"""What the suggested runs are called in a sweep."""


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    given = parser.parse_args()
    study, path = read_study(given.study), given.study.with_name("next_runs.csv")
    if not study.trained:
        raise UserError("an own table trains nothing: next_runs.csv lists what would be worth a run")
    if not path.exists():
        raise UserError(f"{path}: no such file; run scripts/next_runs.py first")
    table = Results.open(given.study).made_table("next_runs.csv", [*study.factors(), "n"])
    rows = [*suggested_before(study), *rows_of(table, study)]
    sweep = {"sweep": {"designs": {DESIGN: {"design": "rows", "rows": rows}}}} if rows else {}
    path.with_suffix(".yaml").write_text(yaml.safe_dump(sweep, sort_keys=False))
    print(f"→ {path.with_suffix('.yaml')}")


def suggested_before(study: Study) -> list[dict]:
    """Return the rows of earlier suggestions that the study has taken up."""
    design = study.sweep.designs.get(DESIGN)
    return [row.model_dump(exclude_none=True) for row in design.rows] if isinstance(design, RowsDesign) else []


def rows_of(table: pd.DataFrame, study: Study) -> list[dict]:
    """Return the suggestions as rows of a design, language models and vision models by their names."""
    models = named_levels(study.models)
    return [
        {name: _named(value, models[name]) if name in models else int(value) for name, value in row.items()}
        for row in table[[*study.factors(), "n"]].to_dict("records")
    ]


def _named(size: float, models: Mapping[str, float]) -> str:
    """Return the model of a size; the nearest, since a table rounds those of more than ten digits."""
    return min(models, key=lambda name: abs(models[name] - size))


if __name__ == "__main__":
    command_line.run(main)
