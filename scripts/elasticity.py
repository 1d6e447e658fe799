"""Measure how x* moves with n: python scripts/elasticity.py --study results/digits/study.json

Writes results/<study>/tables/elasticity.csv, .md and .tex: per target and factor the elasticity with its band, and the
direction where the band excludes 0; elasticity_ablation likewise: the main target under other settings of the average.
"""

import numpy as np
import pandas as pd

from vlmfrontier import command_line
from vlmfrontier.frontier.elasticity import ablation_table, elasticity_table
from vlmfrontier.progress import steps
from vlmfrontier.results import Results
from vlmfrontier.tables.writing import write_table


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    given = parser.parse_args()
    results = Results.open(given.study)
    grid = results.elasticity_grid
    targets = steps("elasticity", results.study.targets())
    parts = {name: elasticity_table(results.target(name), grid) for name in targets}
    table = pd.concat(parts, names=["target", None]).reset_index(level="target").reset_index(drop=True)
    path = write_table(table, results.table_csv("elasticity"))
    results.note(path)
    ablation = ablation_table(results.target(results.main_target), grid, float(np.max(results.table.data)))
    write_table(ablation.assign(target=results.main_target), results.table_csv("elasticity_ablation"))
    for row in table[table.target == results.main_target].itertuples():
        print(
            f"{row.target}: {row.factor}* {row.direction} (e = {row.e_median:+.2f}, {row.e_lo:+.2f} to {row.e_hi:+.2f})"
        )
    print(f"→ {path}")


if __name__ == "__main__":
    command_line.run(main)
