"""Pretrain the starting models of a study, stage by stage.

    python scripts/models.py --study results/digits-pretrain/study.json vision
    python scripts/models.py --study results/digits-pretrain/study.json language --language m
    python scripts/models.py --study results/digits-pretrain/study.json encode
    python scripts/models.py --study results/digits-pretrain/study.json align --language m

vision     models/vision/: the vision tower
language   models/language/<name>/: one language model
encode     data/align/features.npy: what the frozen tower sees in the videos of stage 1, for every language model
align      models/<name>/: stage 1, the starting model of every run with this language model

Each writes report.json last. A training that was stopped goes on from models/state/; what has finished is not trained
again without --force.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from vlmfrontier.cluster import job
from vlmfrontier.errors import UserError
from vlmfrontier.jobs import check_language, run_job


def arguments(parser: ArgumentParser) -> None:
    stages = parser.add_subparsers(dest="stage", metavar="STAGE", required=True)
    vision, language, _, align = (stages.add_parser(name) for name in ("vision", "language", "encode", "align"))
    for stage in (language, align):
        stage.add_argument("--language", required=True, help="name of the language model in models.language")
    align.add_argument("--vision", default="", help="name of the vision model, where models.vision has several")
    for stage in (vision, language, align):
        job.force_argument(stage)
    job.layout_arguments(align)


def spread(given: Namespace, command: Sequence[str]) -> None:
    if given.stage == "align":
        job.spread(given, command)


def main(given: Namespace) -> None:
    {"vision": vision, "language": language, "encode": encode, "align": align}[given.stage](given)


def vision(given: Namespace) -> None:
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415
    from vlmfrontier.training.pretrain import pretrain_vision  # noqa: PLC0415

    models = ResultsFolder(given.study.parent).models
    report = pretrain_vision(read_study(given.study), models, given.force)
    read = "  ".join(f"V={tokens} {share:.2f}" for tokens, share in report["digits_read_right"].items())
    print(f"vision: digits read right {read} → {models / 'vision'}")


def language(given: Namespace) -> None:
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415
    from vlmfrontier.training.pretrain import pretrain_language  # noqa: PLC0415

    study, models = read_study(given.study), ResultsFolder(given.study.parent).models
    check_language(given.language, study.models.language)
    report = pretrain_language(study, given.language, models, given.force)
    print(f"language {given.language}: loss {report['loss']:.4f} → {models / 'language' / given.language}")


def encode(given: Namespace) -> None:
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.training.align import SPLIT, encode_split, features_of  # noqa: PLC0415

    results = ResultsFolder(given.study.parent)
    for needed in (results.models / "vision", results.split(SPLIT) / "frames.npy"):
        if not needed.exists():
            raise UserError(f"{needed}: not there; make it with `snakemake data pretrain`")
    output = features_of(results)
    encode_split(results.models / "vision", results.split(SPLIT), output)
    print(f"features → {output}")


def align(given: Namespace) -> None:
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415
    from vlmfrontier.training.align import align as align_here  # noqa: PLC0415
    from vlmfrontier.training.processes import launch  # noqa: PLC0415
    from vlmfrontier.training.projector import align_published  # noqa: PLC0415

    study, results = read_study(given.study), ResultsFolder(given.study.parent)
    check_language(given.language, study.models.language)
    name = study.models.start_name(given.language, given.vision)
    with launch(given, f"align {name}") as plan:
        if study.models.pretrained:
            report = align_published(study, given.language, given.vision, results, plan, given.force)
        else:
            report = align_here(study, name, results, given.force)
    if report is not None:  # else another process of this training tells
        print(f"align {name}: loss {report['loss']:.4f} → {results.models / name}")


if __name__ == "__main__":
    run_job(__doc__, main, arguments, spread)
