"""Finetune one run of a study.

    python scripts/finetune.py --study results/digits/study.json --run N83.3k_T8_V16_n400_s0

Writes runs/<run>/model/ and, last, runs/<run>/finetuned.json. A stopped training goes on from runs/<run>/state/;
one that has finished is not trained again without --force.
"""

from argparse import ArgumentParser, Namespace

from vlmfrontier.cluster.job import force_argument, layout_arguments, spread
from vlmfrontier.jobs import run_job


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--run", required=True, help="key of the run, as in plan.csv")
    force_argument(parser)
    layout_arguments(parser)


def main(given: Namespace) -> None:
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415
    from vlmfrontier.sweep.runs import find_run  # noqa: PLC0415
    from vlmfrontier.training.finetune import finetune  # noqa: PLC0415
    from vlmfrontier.training.processes import launch  # noqa: PLC0415

    with launch(given, given.run) as plan:
        study, results = read_study(given.study), ResultsFolder(given.study.parent)
        report = finetune(study, find_run(study, given.run), results, plan, given.force)
    if report is not None:  # else another process of this training tells
        print(f"{given.run}: {report['steps']} steps in {report['seconds']:.0f} s → {results.run(given.run).model}")


if __name__ == "__main__":
    run_job(__doc__, main, arguments, spread, stage="finetune")
