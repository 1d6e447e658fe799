"""Write the report of a study: python scripts/report.py --study results/digits/study.json

Writes results/<study>/report.md and report.html: question, runs, laws, what to deploy, the frontier, what to run next,
provenance. What the study lacks, because it failed or has not been made, is said in its place.
"""

from vlmfrontier import command_line
from vlmfrontier.report.page import write_report
from vlmfrontier.results import Results


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    given = parser.parse_args()
    results = Results.open(given.study)
    paths = write_report(results)
    results.note(results.report_html)
    print(f"→ {' and '.join(map(str, paths))}")


if __name__ == "__main__":
    command_line.run(main)
