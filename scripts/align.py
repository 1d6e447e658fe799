"""Stage 1 for one language model.

    python scripts/align.py --study results/digits-pretrain/study.json --language m

Writes models/<name>/, the starting model of every run with this language model. Goes on from
models/state/align-<name>/.
"""

from argparse import ArgumentParser, Namespace

from vlmfrontier.jobs import run_job


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--language", required=True, help="name of the language model in models.language")


def main(given: Namespace) -> None:
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415
    from vlmfrontier.training.align import SPLIT, align  # noqa: PLC0415
    from vlmfrontier.training.state import TrainingState, write_json  # noqa: PLC0415

    results, name = ResultsFolder(given.study.parent), given.language
    features = results.split(SPLIT) / "features.npy"
    state = results.models / "state" / f"align-{name}"
    report = align(read_study(given.study), name, results.models, features, state)
    write_json(results.models / name / "report.json", report)
    TrainingState(state, report["recipe"]).clear_checkpoints()
    print(f"align {name}: loss {report['loss']:.4f} → {results.models / name}")


if __name__ == "__main__":
    run_job(__doc__, main, arguments)
