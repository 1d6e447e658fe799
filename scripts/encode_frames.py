"""Write what the frozen tower sees in the videos of stage 1.

    python scripts/encode_frames.py --study results/digits-pretrain/study.json

Writes data/align/features.npy, read by the stage 1 of every language model.
"""

from argparse import Namespace

from vlmfrontier.errors import UserError
from vlmfrontier.jobs import run_job


def main(given: Namespace) -> None:
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.training.align import SPLIT, encode_split, features_of  # noqa: PLC0415

    results = ResultsFolder(given.study.parent)
    for needed in (results.models / "vision", results.split(SPLIT) / "frames.npy"):
        if not needed.exists():
            raise UserError(f"{needed}: not there; make it with `snakemake data pretrain`")
    output = features_of(results)
    encode_split(results.models / "vision", results.split(SPLIT), output)
    print(f"features → {output}")


if __name__ == "__main__":
    run_job(__doc__, main)
