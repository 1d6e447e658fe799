"""Price simpler rules than the frontier: python scripts/regret.py --study results/digits/study.json

Writes results/<study>/tables/regret.csv, .md and .tex: points of error that the main target loses, on average over the
budgets, when one factor is scaled alone, when LLaVA-Video's default is scaled down, and when the frontier of another
target or of another number of examples is followed.
"""

import numpy as np

from vlmfrontier import command_line
from vlmfrontier.frontier.pool import Target
from vlmfrontier.frontier.search import pooled_errors
from vlmfrontier.frontier.tables import Rule, frontier_rule, llava_rule, regret_table, scaling_rules, summary
from vlmfrontier.results import Results
from vlmfrontier.tables.writing import write_table
from vlmfrontier.units import format_count


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    given = parser.parse_args()
    results = Results.open(given.study)
    target = results.target(results.main_target)
    table = regret_table(target, results.budgets, results.examples, rules(results, target))
    path = write_table(summary(table), results.table_csv("regret"))
    results.note(path)
    print(f"target {target.name}: {table.rule.nunique()} rules → {path}")


def rules(results: Results, target: Target) -> dict[str, Rule]:
    """Return every rule that the study's results allow."""
    found = scaling_rules(results.space, results.center) | llava_rule(results.space, results.center)
    middle = None if results.examples is None else float(results.examples[len(results.examples) // 2])
    for other in results.study.targets():
        if other != target.name:
            found[f"frontier of {other}"] = followed(results.target(other), middle)
    if results.examples is not None and len(results.examples) > 1:
        for n in (results.examples[0], results.examples[-1]):
            found[f"frontier at n = {format_count(n)}"] = followed(target, float(n))
    return found


def followed(target: Target, examples: float | None) -> Rule:
    """Return the rule that follows a target's frontier at one number of examples."""
    n = target.ensemble.pool.data_unit if examples is None else examples
    return frontier_rule(target.space, pooled_errors(target.ensemble.pool, np.array([n]))[0])


if __name__ == "__main__":
    command_line.run(main)
