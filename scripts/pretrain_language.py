"""Pretrain one language model.

    python scripts/pretrain_language.py --study results/digits-pretrain/study.json --language m

Writes models/language/<name>/. Goes on from models/state/language-<name>/ if it was stopped.
"""

from argparse import ArgumentParser, Namespace

from vlmfrontier.files import write_json
from vlmfrontier.jobs import run_job


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--language", required=True, help="name of the language model in models.language")


def main(given: Namespace) -> None:
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415
    from vlmfrontier.training.language import pretrain_language  # noqa: PLC0415
    from vlmfrontier.training.state import TrainingState  # noqa: PLC0415

    models, name = ResultsFolder(given.study.parent).models, given.language
    folder, state = models / "language" / name, models / "state" / f"language-{name}"
    report = pretrain_language(read_study(given.study), name, folder, state)
    write_json(folder / "report.json", report)
    TrainingState(state, report["recipe"]).clear_checkpoints()
    print(f"language {name}: loss {report['loss']:.4f} → {folder}")


if __name__ == "__main__":
    run_job(__doc__, main, arguments)
