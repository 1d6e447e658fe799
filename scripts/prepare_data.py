"""Write one split of a study's videos and questions.

    python scripts/prepare_data.py --study results/digits/study.json --split train

Writes data/<split>/: videos/*.mp4, conversations.json, questions.json, the cache of decoded frames, and manifest.json
last.
"""

from argparse import ArgumentParser, Namespace

from vlmfrontier.jobs import run_job


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--split", required=True, help="train, test, or align (for stage 1)")
    parser.add_argument("--processes", type=int, default=1, help="videos made side by side; the result is the same")


def main(given: Namespace) -> None:
    from vlmfrontier.data.prepare import prepare_split  # noqa: PLC0415
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415

    folder = ResultsFolder(given.study.parent).split(given.split)
    manifest = prepare_split(read_study(given.study), given.split, folder, given.processes)
    print(f"{given.split}: {manifest['videos']} videos, {manifest['questions']} questions → {folder}")


if __name__ == "__main__":
    run_job(__doc__, main, arguments)
