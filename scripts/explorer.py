"""Make the explorer of a study: python scripts/explorer.py --study results/digits/study.json

Writes results/<study>/explorer.html, one file that needs no server and no network: open it in a browser, or send it.
"""

from vlmfrontier import command_line
from vlmfrontier.report.explorer import write_explorer
from vlmfrontier.results import Results


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    given = parser.parse_args()
    results = Results.open(given.study)
    path = write_explorer(results, results.explorer_html)
    results.note(path)
    print(f"{path.stat().st_size / 1e6:.1f} MB → {path}")


if __name__ == "__main__":
    command_line.run(main)
