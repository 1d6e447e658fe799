"""Stage 1 for one language model.

    python scripts/align.py --study results/digits-pretrain/study.json --language m

Writes models/<name>/, the starting model of every run with this language model, and report.json in it last. Goes on
from models/state/align-<name>/.
"""

from argparse import ArgumentParser, Namespace

from vlmfrontier.cluster.launch import layout_arguments, spread
from vlmfrontier.files import write_json
from vlmfrontier.jobs import run_job


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--language", required=True, help="name of the language model in models.language")
    parser.add_argument("--vision", default="", help="name of the vision model, where models.vision has several")
    layout_arguments(parser)


def main(given: Namespace) -> None:
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415
    from vlmfrontier.training.align import SPLIT, align  # noqa: PLC0415
    from vlmfrontier.training.loop import Layout  # noqa: PLC0415
    from vlmfrontier.training.placed import check_placement  # noqa: PLC0415
    from vlmfrontier.training.projector import align_published  # noqa: PLC0415
    from vlmfrontier.training.state import TrainingState  # noqa: PLC0415

    check_placement(given)
    study, results = read_study(given.study), ResultsFolder(given.study.parent)
    name = study.models.start_name(given.language, given.vision)
    state = results.models / "state" / f"align-{name}"
    if study.models.pretrained:
        layout = Layout(given.micro_batch, given.checkpointing)
        report = align_published(study, given.language, given.vision, results, layout)
    else:
        report = align(study, name, results.models, results.split(SPLIT) / "features.npy", state)
    if report is None:  # another process of this training writes
        return
    write_json(results.models / name / "report.json", report)
    TrainingState(state, report["recipe"]).clear_checkpoints()
    print(f"align {name}: loss {report['loss']:.4f} → {results.models / name}")


if __name__ == "__main__":
    run_job(__doc__, main, arguments, spread)
