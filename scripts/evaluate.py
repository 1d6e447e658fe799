"""Test one finetuned run.

    python scripts/evaluate.py --study results/digits/study.json --run N83.3k_T8_V16_n400_s0

Where the harness is lmms-eval, scripts/answer.py has answered the questions before: open answers are rated by the
judge and all are scored. Writes runs/<run>/answers/<task>.jsonl (every question with answer and score;
*.wrong_video.jsonl for the control) and, last, runs/<run>/result.json.
"""

from argparse import ArgumentParser, Namespace

from vlmfrontier.jobs import run_job


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--run", required=True, help="key of the run, as in plan.csv")


def main(given: Namespace) -> None:
    from vlmfrontier.paths import ResultsFolder  # noqa: PLC0415
    from vlmfrontier.study.load import read_study  # noqa: PLC0415
    from vlmfrontier.sweep.runs import find_run  # noqa: PLC0415

    study, results = read_study(given.study), ResultsFolder(given.study.parent)
    if study.evaluate.harness == "packed":
        from vlmfrontier.evaluation.evaluate import evaluate as test  # noqa: PLC0415
    else:
        from vlmfrontier.evaluation.lmms.stages import score as test  # noqa: PLC0415
    errors = test(study, find_run(study, given.run), results)["errors"]
    listed = "  ".join(f"{task} {value['error']:.1f}" for task, value in errors.items())
    print(f"{given.run}: error {listed} → {results.run(given.run).result}")


if __name__ == "__main__":
    run_job(__doc__, main, arguments, stage="evaluate")
