"""Fetch the published models of a study and look whether they are what it says; the one step that needs the hub.

    python scripts/fetch_models.py --study results/paper/study.json

Fetches into models.hub, else models/hub/, one folder per model, safetensors only; what is there already is not fetched
again. Models in folders of your own are only looked at. Writes models/fetched.json last: the commit and size of each.
Models behind a licence need `hf auth login`, or HF_TOKEN, of an account that has accepted it.
"""

from vlmfrontier import command_line


def main() -> None:
    from vlmfrontier.models.fetch import fetch_models  # noqa: PLC0415  (torch is slow)
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415

    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    given = parser.parse_args()
    results = ResultsFolder(given.study.parent)
    for key, found in fetch_models(read_study(given.study), results).items():
        print(f"{key}: {found['parameters']:,} parameters, {found['gigabytes']:.1f} GB, commit {found['commit']}")
    print(f"models → {results.fetched_models}")


if __name__ == "__main__":
    command_line.run(main)
