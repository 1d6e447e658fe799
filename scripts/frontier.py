"""Search the compute-optimal frontier: python scripts/frontier.py --study results/digits/study.json [--target avg]

Writes results/<study>/frontier/<target>.csv, a row per number of examples and budget; all targets if none is named.
"""

from vlmfrontier import command_line
from vlmfrontier.frontier.search import frontier_table
from vlmfrontier.progress import steps
from vlmfrontier.results import Results
from vlmfrontier.tables.writing import write_csv


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    parser.add_argument("--target", nargs="+", metavar="TARGET", help="targets to search for (default: all)")
    given = parser.parse_args()
    results = Results.open(given.study)
    for target in steps("frontier", given.target or results.study.targets()):
        table = frontier_table(results.target(target), results.budgets, results.examples, results.config.near)
        path = write_csv(table, results.frontier_csv(target))
        results.note(path)
        print(f"target {target}: {len(table)} rows → {path}")


if __name__ == "__main__":
    command_line.run(main)
