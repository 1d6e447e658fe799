"""Answer the questions of the benchmarks with one finetuned run, where the study's harness is lmms-eval.

    python scripts/answer.py --study results/paper/study.json --run N7.5B_T32_V196_n2M_s0

Needs a GPU and no network. Writes runs/<run>/benchmarks/ (answers as they are given, so that an interrupted job goes
on) and, last, runs/<run>/answered.json. scripts/evaluate.py has the answers rated and scored.
"""

from argparse import ArgumentParser, Namespace

from vlmfrontier.jobs import run_job


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--run", required=True, help="key of the run, as in plan.csv")


def main(given: Namespace) -> None:
    from vlmfrontier.evaluation.lmms.stages import answer  # noqa: PLC0415
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415
    from vlmfrontier.sweep.runs import find_run  # noqa: PLC0415

    study, results = read_study(given.study), ResultsFolder(given.study.parent)
    summary = answer(study, find_run(study, given.run), results)
    questions, broken = sum(summary["questions"].values()), len(summary["unreadable"])
    print(
        f"{given.run}: {questions} questions answered, {broken} unreadable videos → {results.run(given.run).answered}"
    )


if __name__ == "__main__":
    run_job(__doc__, main, arguments, stage="answer")
