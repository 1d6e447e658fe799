"""Say how far a study is and what it found: python scripts/status.py --study results/digits/study.json [--answer]

Prints how many runs are done, failed (with the last lines of their logs) and missing; updates plan.csv and plan.md.
With --answer, also what to deploy for the middle budget, where the frontier has been searched, and where results are.
"""

from pathlib import Path

from vlmfrontier import command_line
from vlmfrontier.study.load import read_study
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.plan import summary, sweep_totals, write_plan
from vlmfrontier.sweep.status import DONE, FAILED, failure, log_tail

LINES = 8
"""How many lines of the log of a failed run are shown."""


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    parser.add_argument("--answer", action="store_true", help="also print the recommendation and where results are")
    given = parser.parse_args()
    study, results = read_study(given.study), given.study.parent
    print_runs(study, results)
    if given.answer:
        print_answer(study, given.study)


def print_runs(study: Study, results: Path) -> None:
    """Print how far the runs are, and why some of them, or other jobs, failed."""
    plan = write_plan(study, results)
    print(f"study {study.study}: {summary(plan)}")
    if not plan.empty and not (plan.status == DONE).all():
        print(sweep_totals(plan).to_string(index=False))
    for key, reason in plan.loc[plan.status == FAILED, ["run", "reason"]].itertuples(index=False):
        stage, _ = reason.split(": ", 1)
        log = results / "runs" / key / f"{stage}.log"
        print(f"\nfailed: {key}; the end of {log}:\n{log_tail(log, LINES)}")
        print(f"again: snakemake {results}/runs/{key}/result.json")
    for log in sorted((results / "logs").glob("*.log")):
        if failure(log):
            print(f"\nfailed: {log.stem}; the end of {log}:\n{log_tail(log, LINES)}")


def print_answer(study: Study, study_json: Path) -> None:
    """Print the recommendation at the middle budget and the largest number of examples, if there is a frontier."""
    results = study_json.parent
    if any((results / "frontier").glob("*.csv")):
        from vlmfrontier.frontier.answers import answer  # noqa: PLC0415 — slow, and not needed before there is one
        from vlmfrontier.frontier.load import Results  # noqa: PLC0415
        from vlmfrontier.frontier.wording import text  # noqa: PLC0415

        found = Results.open(study_json)
        budget = float(found.budgets[len(found.budgets) // 2])
        examples = None if found.examples is None else float(found.examples[-1])
        print(f"\n{text(answer(found.target(found.main_target), found.runs, budget, examples, found.config.near))}")
        print(f"\nask for other budgets: python scripts/query.py --study {study.study} --budget …")
    print(f"results are in {results}/: figures/index.md, tables/, frontier/, laws/, runs.csv, plan.md")


if __name__ == "__main__":
    command_line.run(main)
