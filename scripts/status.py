"""Say how far a study is and what it found: python scripts/status.py --study results/digits/study.json [--answer]

Prints how many runs are done, running, failed (with the last lines of their logs, their Slurm jobs and the command
that does them again) and missing, and the GPU-hours taken against those planned; updates plan.csv and plan.md.
With --answer, also what to deploy for the middle budget, where the frontier has been searched, and where results are;
with --report, the report is written with what there is, as Snakemake itself only writes it at the end. With --watch,
what runs and what waits is shown again and again until nothing lives.
"""

import io
import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from datetime import datetime
from pathlib import Path

import pandas as pd

from vlmfrontier import command_line
from vlmfrontier.cluster.excluded import described
from vlmfrontier.cluster.queue import QueuedJob, job_id_of, queued_jobs
from vlmfrontier.cluster.site import read_site, shipped_site
from vlmfrontier.study.load import read_study
from vlmfrontier.study.root import Study
from vlmfrontier.study.units import format_quantity
from vlmfrontier.sweep.answering import uncounted
from vlmfrontier.sweep.live import live_table
from vlmfrontier.sweep.plan import summary, sweep_totals, write_plan
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.sweep.status import DONE, FAILED, failed_jobs, in_words, live_runs
from vlmfrontier.workflow import by_reason, outdated

LINES = 8
"""How many lines of the log of a failed run are shown."""
MADE = ("figures/index.md", "tables/", "frontier/", "laws/", "runs.csv", "plan.md")
"""What is named of a study's results, as far as it is there."""


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.study_argument(parser)
    parser.add_argument("--answer", action="store_true", help="also print the recommendation and where results are")
    parser.add_argument("--report", action="store_true", help="also write the report, however far the study is")
    parser.add_argument("--site", type=Path, help="cluster that it runs on and that the plan is counted for")
    parser.add_argument("--call", default="snakemake", help="how Snakemake is called again")
    parser.add_argument("--watch", type=float, nargs="?", const=10.0, metavar="S", help="look again every S seconds")
    given = parser.parse_args()
    study, results = read_study(given.study), given.study.parent
    if given.watch is not None:
        watch(study, results, given.site, given.watch)
        return
    print_runs(study, results, given.site, given.call)
    if given.report:
        write_what_is_known(given.study)
    if given.answer:
        print_answer(study, given.study)


def print_runs(study: Study, results: Path, site: Path | None, call: str) -> None:
    """Print how far the runs are, and why some of them, or other jobs, failed."""
    jobs = jobs_of(results, tell=site is not None)
    plan = write_plan(study, results, read_site(site or shipped_site(__file__)), live_runs(jobs))
    print(f"study {study.study}: {summary(plan, uncounted(study, results))}")
    if not plan.empty and not (plan.status == DONE).all():
        print(sweep_totals(plan).to_string(index=False))
    print_outdated(study, results)
    print_hours(plan, results)
    print_live(study, results, plan, live_runs(jobs))
    for key, reason in plan.loc[plan.status == FAILED, ["run", "reason"]].itertuples(index=False):
        stage, _ = reason.split(": ", 1)
        log, again = results / "runs" / key / f"{stage}.log", f"{call} -- {results}/runs/{key}/result.json"
        print(f"\nfailed: {key}; {in_words(log, again, LINES)}")
    if study.execution.without_failed and (plan.status == FAILED).any():
        print(f"\nexecution.without_failed is on: `{call}` fits the laws on the runs that are there")
    for log in failed_jobs(results):
        print(f"\nfailed: {log.stem}; {in_words(log, call, LINES)}")
    for line in described(results):
        print(line)


def print_live(study: Study, results: Path, plan: pd.DataFrame, jobs: Mapping[str, QueuedJob]) -> bool:
    """Print what runs and what waits; return whether anything does."""
    table = live_table(plan, {run.key: run for run in plan_runs(study)}, jobs, results, study.finetune.batch_size)
    if table:
        print(table)
    return bool(table)


def watch(study: Study, results: Path, site: Path | None, seconds: float) -> None:
    """Print how far the runs are every so many seconds until none runs or waits, on a terminal over the last table."""
    lives = True
    while lives:
        text = io.StringIO()
        with redirect_stdout(text):
            jobs = live_runs(jobs_of(results, tell=site is not None))
            plan = write_plan(study, results, read_site(site or shipped_site(__file__)), jobs)
            print(f"{datetime.now():%H:%M:%S}  study {study.study}: {summary(plan, uncounted(study, results))}")
            lives = print_live(study, results, plan, jobs)
            for row in plan[plan.status == FAILED].itertuples():
                print(f"failed: {row.run}: {row.reason}")
        print(("\x1b[H\x1b[2J" if sys.stdout.isatty() else "") + text.getvalue(), end="", flush=True)
        if lives:
            time.sleep(max(seconds, 1.0))


def print_outdated(study: Study, results: Path) -> None:
    """Print what belongs to another configuration than the study as it is, a line for each difference."""
    for why, names in by_reason(outdated(study, plan_runs(study), results)).items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        print(f"to be made again: {results / names[0]}{more}: {why}")


def jobs_of(results: Path, tell: bool) -> list[QueuedJob]:
    """Return the study's jobs in the queue; none, and with `tell` a line about it, if Slurm does not answer."""
    try:
        return queued_jobs(results.resolve().parents[1], results.name)
    except ConnectionError as error:
        if tell:
            print(f"jobs in the queue are not shown: {error}")
        return []


def print_hours(plan: pd.DataFrame, results: Path) -> None:
    """Print the GPU-hours that trainings on a cluster took, once done, against those planned for them."""
    done = plan[plan.status == DONE]
    done = done[done.run.map(lambda run: job_id_of(results / "runs" / run / "finetune.log") is not None).astype(bool)]
    taken, planned = done.measured_gpu_hours.sum(), done.gpu_hours.sum()
    if taken > 0:
        took, meant = format_quantity(taken), format_quantity(planned)
        ratio = f" (× {taken / planned:.2g})" if planned > 0 else ""
        print(f"GPU-hours of what is done: {took} taken, {meant} planned{ratio}")


def print_answer(study: Study, study_json: Path) -> None:
    """Print the recommendation in two lines, or without a cost the law, and where the report and everything else is."""
    results = study_json.parent
    if any((results / "laws").glob("*/weights.json")):
        print_found(study, study_json)
    pages = {"report": "report.html", "explorer": "explorer.html"}
    for page in [f"{name}: {results / file}" for name, file in pages.items() if (results / file).exists()]:
        print(page)
    made = [name for name in MADE if (results / name).exists()]
    print(f"results are in {results}/: {', '.join(made)}")


def print_found(study: Study, study_json: Path) -> None:
    """Print the recommendation in two lines, if there is a frontier; else the law, if the study gives no cost."""
    from vlmfrontier.frontier.load import Results  # noqa: PLC0415 — slow, and not needed before there are laws
    from vlmfrontier.report.doubts import NO_COST, recommended  # noqa: PLC0415
    from vlmfrontier.report.known import Known  # noqa: PLC0415
    from vlmfrontier.report.laws_section import best_form, left_out  # noqa: PLC0415

    known = Known(Results.open(study_json))
    if known.frontier is not None:
        print("", *recommended(known), sep="\n")
        print(f"\nask for other budgets: python scripts/query.py --study {study.study} --budget …")
    elif known.has_laws and known.results.cost is None:
        print("", best_form(known), left_out(known), NO_COST, sep="\n")


def write_what_is_known(study_json: Path) -> None:
    """Write the report of a study that did not get to its end, and print where it is."""
    from vlmfrontier.frontier.load import Results  # noqa: PLC0415 — slow, and only needed where something failed
    from vlmfrontier.report.page import write_report  # noqa: PLC0415

    *_, page = write_report(Results.open(study_json))
    print(f"\nwhat is known so far: {page}")


if __name__ == "__main__":
    command_line.run(main)
