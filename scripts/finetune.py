"""Finetune one run of a study.

    python scripts/finetune.py --study results/digits/study.json --run N83.3k_T8_V16_n400_s0

Writes runs/<run>/model/ and, last, runs/<run>/finetuned.json. A stopped training goes on from runs/<run>/state/;
one that has finished is not trained again without --again.
"""

import uuid
from argparse import ArgumentParser, Namespace

from vlmfrontier.cluster.job import last_moment, requeue
from vlmfrontier.cluster.launch import layout_arguments, spread
from vlmfrontier.jobs import run_job


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--run", required=True, help="key of the run, as in plan.csv")
    parser.add_argument(
        "--again",
        nargs="?",
        const=uuid.uuid4().hex[:8],
        metavar="REQUEST",
        help="train although it has finished; not again if it has been for this request",
    )
    layout_arguments(parser)


def main(given: Namespace) -> None:
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415
    from vlmfrontier.sweep.runs import find_run  # noqa: PLC0415
    from vlmfrontier.training.finetune import finetune  # noqa: PLC0415
    from vlmfrontier.training.loop import Interrupted, Layout  # noqa: PLC0415
    from vlmfrontier.training.placed import check_placement  # noqa: PLC0415

    check_placement(given)
    study, results = read_study(given.study), ResultsFolder(given.study.parent)
    stop_at = last_moment(given.warning) if given.warning else None
    try:
        layout = Layout(given.micro_batch, given.checkpointing, stop_at)
        report = finetune(study, find_run(study, given.run), results, layout, given.again)
    except Interrupted as stopped:
        # Without progress it would be requeued for ever.
        if stopped.warned and stopped.progressed and requeue():
            print(f"{given.run}: the job is requeued and goes on where it was", flush=True)
        raise
    print(f"{given.run}: {report['steps']} steps in {report['seconds']:.0f} s → {results.run(given.run).model}")


if __name__ == "__main__":
    run_job(__doc__, main, arguments, spread)
