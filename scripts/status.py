"""Say how far a study is: python scripts/status.py --study results/digits/study.json

Prints how many runs are done, failed (with the last line of their log) and missing; updates plan.csv and plan.md.
"""

from vlmfrontier import command_line
from vlmfrontier.study.load import read_study
from vlmfrontier.sweep.plan import summary, sweep_totals, write_plan
from vlmfrontier.sweep.status import DONE, FAILED


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    given = parser.parse_args()
    study, results = read_study(given.study), given.study.parent
    plan = write_plan(study, results)
    print(f"study {study.study}: {summary(plan)}")
    if not plan.empty and not (plan.status == DONE).all():
        print(sweep_totals(plan).to_string(index=False))
    for run, reason in plan.loc[plan.status == FAILED, ["run", "reason"]].itertuples(index=False):
        print(f"failed: {run}: {reason} (log in {results / 'runs' / run})")


if __name__ == "__main__":
    command_line.run(main)
