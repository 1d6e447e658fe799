"""Draw a study's figures: python scripts/figures.py --study results/digits/study.json [--figure isoflop star]

Writes PNG, SVG and the numbers as CSV into results/<study>/figures/: all figures that apply to the study, or those
named. With --target order, the figures are of that target instead of the main one, in figures/order/.
"""

from vlmfrontier import command_line
from vlmfrontier.figures.catalogue import CATALOGUE, Outline, drawn
from vlmfrontier.figures.drawing import save
from vlmfrontier.results import Results


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    parser.add_argument("--figure", nargs="+", metavar="FIGURE", help=f"of {', '.join(CATALOGUE)}; default: all")
    parser.add_argument("--target", help="default: avg, or the first target")
    given = parser.parse_args()
    results = Results.open(given.study)
    target = given.target or results.main_target
    folder = results.figures / ("" if target == results.main_target else target)
    names = given.figure or drawn(Outline.of(results.study, results.table))
    for path in save(results, names, target, folder):
        results.note(path)
        print(f"→ {path}")


if __name__ == "__main__":
    command_line.run(main)
