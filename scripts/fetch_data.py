"""Fetch the training sets of a study that say where they are published; needs a network.

    python scripts/fetch_data.py --study results/paper/study.json --split train

Puts annotations and videos where data.llava of the study says, unpacks archives, and looks whether every video that the
records name is there. What was fetched is not fetched again, so a call that was stopped goes on. Writes
data/<split>/fetched.json last: commit, number and size of files, records and missing videos of each set. Data sets
behind a licence need `hf auth login`, or HF_TOKEN, of an account that has accepted it.
"""

from vlmfrontier import command_line
from vlmfrontier.data.fetch import fetch_split
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.load import read_study


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    parser.add_argument("--split", default="train", choices=("train", "align"), help="align: the set of stage 1")
    given = parser.parse_args()
    results = ResultsFolder(given.study.parent)
    found = fetch_split(read_study(given.study), given.split, results, lambda line: print(line, flush=True))
    for name, entry in found.items():
        print(f"{name}: {entry['records']:,} records, {entry['videos']:,} videos, {entry['missing']:,} missing")
    print(f"data → {results.fetched_data(given.split)}")


if __name__ == "__main__":
    command_line.run(main)
