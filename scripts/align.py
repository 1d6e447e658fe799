"""Stage 1 for one language model.

    python scripts/align.py --study results/digits-pretrain/study.json --language m

Writes models/<name>/, the starting model of every run with this language model, and report.json in it last. Goes on
from models/state/align-<name>/; what has finished is not trained again without --again.
"""

from argparse import ArgumentParser, Namespace

from vlmfrontier.cluster.job import again_argument, layout_arguments, spread
from vlmfrontier.jobs import check_language, run_job


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--language", required=True, help="name of the language model in models.language")
    parser.add_argument("--vision", default="", help="name of the vision model, where models.vision has several")
    again_argument(parser)
    layout_arguments(parser)


def main(given: Namespace) -> None:
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415
    from vlmfrontier.training.align import align  # noqa: PLC0415
    from vlmfrontier.training.processes import launch  # noqa: PLC0415
    from vlmfrontier.training.projector import align_published  # noqa: PLC0415

    study, results = read_study(given.study), ResultsFolder(given.study.parent)
    check_language(given.language, study.models.language)
    name = study.models.start_name(given.language, given.vision)
    with launch(given, f"align {name}") as plan:
        if study.models.pretrained:
            report = align_published(study, given.language, given.vision, results, plan, given.again)
        else:
            report = align(study, name, results, given.again)
    if report is not None:  # else another process of this training tells
        print(f"align {name}: loss {report['loss']:.4f} → {results.models / name}")


if __name__ == "__main__":
    run_job(__doc__, main, arguments, spread)
