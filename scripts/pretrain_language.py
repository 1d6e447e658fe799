"""Pretrain one language model.

    python scripts/pretrain_language.py --study results/digits-pretrain/study.json --language m

Writes models/language/<name>/, report.json last. Goes on from models/state/language-<name>/ if it was stopped; what has
finished is not trained again without --again.
"""

from argparse import ArgumentParser, Namespace

from vlmfrontier.cluster.job import again_argument
from vlmfrontier.jobs import check_language, run_job


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--language", required=True, help="name of the language model in models.language")
    again_argument(parser)


def main(given: Namespace) -> None:
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415
    from vlmfrontier.training.pretrain import pretrain_language  # noqa: PLC0415

    study, models = read_study(given.study), ResultsFolder(given.study.parent).models
    check_language(given.language, study.models.language)
    report = pretrain_language(study, given.language, models, given.again)
    print(f"language {given.language}: loss {report['loss']:.4f} → {models / 'language' / given.language}")


if __name__ == "__main__":
    run_job(__doc__, main, arguments)
