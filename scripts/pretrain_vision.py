"""Pretrain the vision tower.

    python scripts/pretrain_vision.py --study results/digits-pretrain/study.json

Writes models/vision/ (config.json, model.safetensors, report.json). Goes on from models/state/vision/ if it was
stopped.
"""

from argparse import Namespace

from vlmfrontier.files import write_json
from vlmfrontier.jobs import run_job


def main(given: Namespace) -> None:
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415
    from vlmfrontier.training.state import TrainingState  # noqa: PLC0415
    from vlmfrontier.training.vision import pretrain_vision  # noqa: PLC0415

    models = ResultsFolder(given.study.parent).models
    state = models / "state" / "vision"
    report = pretrain_vision(read_study(given.study), models / "vision", state)
    write_json(models / "vision" / "report.json", report)
    TrainingState(state, report["recipe"]).clear_checkpoints()
    read = "  ".join(f"V={tokens} {share:.2f}" for tokens, share in report["digits_read_right"].items())
    print(f"vision: digits read right {read} → {models / 'vision'}")


if __name__ == "__main__":
    run_job(__doc__, main)
