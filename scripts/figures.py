"""Draw a study's figures: python scripts/figures.py --study results/digits/study.json [--target order]

Writes PNG and SVG files into results/<study>/figures/, and index.md with their captions: the figures of the main target
and those that compare targets; with --target, the figures of those targets alone.
"""

from itertools import chain

from vlmfrontier import command_line
from vlmfrontier.figures.draw import save_all, study_figures, target_figures
from vlmfrontier.frontier.load import Results


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    parser.add_argument("--target", nargs="+", metavar="TARGET", help="draw the figures of these targets alone")
    given = parser.parse_args()
    results = Results.open(given.study)
    if given.target:
        for target in given.target:
            paths = save_all(target_figures(results, target), results.folder / "figures" / target)
    else:
        drawings = chain(target_figures(results, results.main_target), study_figures(results))
        paths = save_all(drawings, results.folder / "figures")
    print(f"{len(paths)} figures → {paths[0].parent}")


if __name__ == "__main__":
    command_line.run(main)
