"""Fetch the data sets and videos of the benchmarks; the one step of an evaluation that needs the hub.

    python scripts/fetch_benchmarks.py --study results/paper/study.json

Several hundred GB for the eight tasks of the paper. Writes evaluate.lmms_eval.benchmarks and, when everything is there,
data/benchmarks.json. With --offline it only looks at what is there.
"""

from vlmfrontier import command_line
from vlmfrontier.evaluation.lmms.harness import fetch
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.load import read_study


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    parser.add_argument("--offline", action="store_true", help="fetch nothing, look at what is there")
    given = parser.parse_args()
    study, results = read_study(given.study), ResultsFolder(given.study.parent)
    for name, there in fetch(study, results, given.offline).items():
        print(f"{name}: {there['questions']} questions about {there['videos']} videos, {there['missing']} missing")
    print(f"benchmarks in {results.benchmarks(study.evaluate)} → {results.fetched}")


if __name__ == "__main__":
    command_line.run(main)
