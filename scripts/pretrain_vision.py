"""Pretrain the vision tower.

    python scripts/pretrain_vision.py --study results/digits-pretrain/study.json

Writes models/vision/ (config.json, model.safetensors, report.json last). Goes on from models/state/vision/ if it was
stopped; what has finished is not trained again without --again.
"""

from argparse import Namespace

from vlmfrontier.cluster.job import again_argument
from vlmfrontier.jobs import run_job


def main(given: Namespace) -> None:
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415
    from vlmfrontier.training.pretrain import pretrain_vision  # noqa: PLC0415

    models = ResultsFolder(given.study.parent).models
    report = pretrain_vision(read_study(given.study), models, given.again)
    read = "  ".join(f"V={tokens} {share:.2f}" for tokens, share in report["digits_read_right"].items())
    print(f"vision: digits read right {read} → {models / 'vision'}")


if __name__ == "__main__":
    run_job(__doc__, main, again_argument)
