"""Write one split of a study's videos and questions, or check any set of videos with conversations.

    python scripts/prepare_data.py --study results/digits/study.json --split train
    python scripts/prepare_data.py --annotations mine.json --videos videos/ --output prepared/

Writes data/<split>/, or the output folder: of a study with `data.source: digits` videos/*.mp4, conversations.json,
questions.json and the cache of decoded frames; of real videos, which stay where they are, conversations.jsonl,
videos.csv (length, rate, size, codec of each) and problems.csv (every record that was left out, and why). manifest.json
comes last. What was looked into already is not looked into again, so a call that was stopped goes on.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vlmfrontier import command_line
from vlmfrontier.errors import UserError

MOST_PROCESSES = 1024


def arguments(parser: ArgumentParser) -> None:
    command_line.study_argument(parser, required=False)
    parser.add_argument("--split", help="of a study: train, test, or align (for stage 1)")
    parser.add_argument("--processes", type=int, default=1, help="videos made or looked into side by side")
    own = parser.add_argument_group("without a study")
    own.add_argument("--annotations", type=Path, nargs="+", help="LLaVA-style JSON or JSON Lines files")
    own.add_argument("--videos", type=Path, help="folder that the records' videos are in")
    own.add_argument("--output", type=Path, help="folder to write to")
    own.add_argument("--name", default="mine", help="name of the set, which its ids begin with")
    own.add_argument("--kind", choices=("video", "image"), default="video", help="what the records are about")
    own.add_argument("--count", type=int, help="records the files must have")
    own.add_argument("--ids", choices=("unique", "repeated"), default="unique", help="whether records share ids")
    own.add_argument("--extensions", nargs="*", default=[], help="endings to try behind names that are no file")
    own.add_argument("--failures", type=float, default=0.01, help="share of records that may have a problem")
    own.add_argument("--timeout", type=float, default=60.0, help="seconds after which a video is given up on")
    own.add_argument("--checked-frames", type=int, default=3, help="frames of each video to decode; 0: all")


def prepare_own(given: Namespace) -> tuple[dict, Path]:
    """Return the manifest and the folder of a set that no study names."""
    from pydantic import ValidationError  # noqa: PLC0415

    from vlmfrontier.data.prepare import build_llava  # noqa: PLC0415
    from vlmfrontier.study.data import LlavaConfig, SourceConfig  # noqa: PLC0415

    if not (given.annotations and given.videos and given.output):
        raise UserError("give either --study and --split, or --annotations, --videos and --output")
    try:
        source = SourceConfig(
            name=given.name,
            annotations=[str(path) for path in given.annotations],
            videos=str(given.videos),
            kind=given.kind,
            count=given.count,
            ids=given.ids,
            extensions=given.extensions,
        )
        settings = LlavaConfig(failures=given.failures, timeout=given.timeout, checked_frames=given.checked_frames)
    except ValidationError as error:
        wrong = [(str(mistake["loc"][0]).replace("_", "-"), mistake) for mistake in error.errors()]
        raise UserError("\n".join(f"--{name} {m['input']!r}: {m['msg']}" for name, m in wrong)) from None
    manifest = build_llava(
        given.output, given.name, [source], settings, 0, given.processes, lambda line: print(line, flush=True)
    )
    return manifest, given.output


def prepare_of_study(given: Namespace) -> tuple[dict, Path]:
    """Return the manifest and the folder of one split of a study."""
    from vlmfrontier.data.prepare import prepare_split  # noqa: PLC0415
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415

    if given.split is None:
        raise UserError("--split is missing: train, test or align")
    folder = ResultsFolder(given.study.parent).split(given.split)
    return prepare_split(read_study(given.study), given.split, folder, given.processes), folder


def main() -> None:
    parser = command_line.parser(__doc__)
    arguments(parser)
    given = parser.parse_args()
    if not 1 <= given.processes <= MOST_PROCESSES:
        raise UserError(f"--processes {given.processes}: from 1 to {MOST_PROCESSES}, as many as there are cores")
    manifest, folder = prepare_of_study(given) if given.study else prepare_own(given)
    left_out = sum(manifest.get("problems", {}).values())
    told = f", {left_out:,} records left out (problems.csv)" if left_out else ""
    print(f"{manifest['split']}: {manifest['videos']} videos, {manifest['questions']} questions{told} → {folder}")


if __name__ == "__main__":
    command_line.run(main)
