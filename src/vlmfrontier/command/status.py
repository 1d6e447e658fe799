"""How far a study is: `status`, once, again and again, or as JSON."""

import contextlib
import json
import shutil
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from vlmfrontier import command_line
from vlmfrontier.cluster.controller import controllers
from vlmfrontier.cluster.excluded import described
from vlmfrontier.cluster.site import read_site, shipped_site
from vlmfrontier.cluster.slurm import QueuedJob, job_id_of, queued_jobs
from vlmfrontier.errors import UserError
from vlmfrontier.job_graph import by_reason, outdated
from vlmfrontier.study.load import read_study
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.evaluations import uncounted
from vlmfrontier.sweep.live import RUNNING, WAITING, Row, live_rows, table
from vlmfrontier.sweep.plan import plan_table, write_plan
from vlmfrontier.sweep.plan_page import summary, sweep_totals
from vlmfrontier.sweep.runs import plan_runs
from vlmfrontier.sweep.status import DONE, FAILED, failed_jobs, in_words, live_runs
from vlmfrontier.units import format_quantity

LINES = 8
"""How many lines of the log of a failed run are shown."""
NOT_SHOWN = "jobs in the queue are not shown: {}"
ROWS = 30
"""How many rows the table has, where it is not shown on a terminal."""
MADE = ("figures/index.md", "tables/", "frontier/", "laws/", "runs.csv", "plan.md")
"""What is named of a study's results, as far as it is there."""


def status_arguments(parser: ArgumentParser) -> None:
    command_line.study_argument(parser)
    parser.add_argument("--answer", action="store_true", help="also print the recommendation and where results are")
    parser.add_argument("--report", action="store_true", help="also write the report, however far the study is")
    parser.add_argument("--site", type=Path, help="cluster that it runs on and that the plan is counted for")
    parser.add_argument("--call", default="snakemake", help="the call of Snakemake that messages suggest")
    parser.add_argument("--watch", nargs="?", type=float, const=10.0, metavar="S", help="show it every S seconds (10)")
    parser.add_argument("--rows", type=int, metavar="N", help="rows of the table, at most")
    parser.add_argument("--json", action="store_true", help="print only the table, as JSON")


def status(given: Namespace) -> None:
    """Say how far a study is and what it found: vlmfrontier status --study digits [--answer]

    Prints how many runs are done, a table of those that run, wait or have failed, what failed (with the last lines of
    the logs, the Slurm jobs and the command that repeats them), and the GPU-hours used and planned;
    updates plan.csv and plan.md.
    With --watch it shows only the table, again and again, until nothing of the study runs or waits (or Ctrl-C).
    With --answer, also what to deploy for the middle budget, where the frontier has been searched, and where results
    are; with --report, the report is written with what there is, as Snakemake itself only writes it at the end.
    """
    if given.watch is not None and not 0.1 <= given.watch <= 86400:
        raise UserError(f"--watch {given.watch:g}: expected seconds between 0.1 and 86400")
    if given.rows is not None and given.rows < 1:
        raise UserError(f"--rows {given.rows}: expected 1 or more")
    study, results = read_study(given.study), given.study.parent
    if given.watch is not None:
        watch(study, results, given.site, given.watch, given.rows)
        return
    if given.json:
        print_json(study, results, given.site)
        return
    print_runs(study, results, given.site, given.call, given.rows or ROWS)
    if given.report:
        write_what_is_known(given.study)
    if given.answer:
        print_answer(study, given.study)


def print_runs(study: Study, results: Path, site: Path | None, call: str, most: int) -> None:
    """Print how far the runs are, and why some of them, or other jobs, failed."""
    jobs, silence = jobs_of(results)
    if silence and site is not None:
        print(silence)
    plan = write_plan(study, results, read_site(site or shipped_site()), live_runs(jobs))
    print(f"study {study.study}: {summary(plan, uncounted(study, results))}")
    if not plan.empty and not (plan.status == DONE).all():
        print(sweep_totals(plan).to_string(index=False))
    print_outdated(study, results)
    print_hours(plan, results)
    for line in table(live_rows(results, plan, jobs, batch_size(study)), most):
        print(line)
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


def batch_size(study: Study) -> int | None:
    """Return the examples of one step; None for a study of a finished table."""
    return study.finetune.batch_size if study.trained else None


class Look(NamedTuple):
    """A study at one moment."""

    plan: pd.DataFrame
    rows: list[Row]
    jobs: list[QueuedJob]
    silence: str
    """What Slurm said instead of answering; empty if it did."""


def look(study: Study, results: Path, site: Path | None) -> Look:
    """Return how a study stands; writes nothing."""
    jobs, silence = jobs_of(results)
    plan = plan_table(study, results, read_site(site or shipped_site()), live_runs(jobs))
    return Look(plan, live_rows(results, plan, jobs, batch_size(study)), jobs, silence)


def print_json(study: Study, results: Path, site: Path | None) -> None:
    """Print how many runs there are of each state, and the rows of the table."""
    now = look(study, results, site)
    states = {state: int(count) for state, count in now.plan.status.value_counts().items()}
    rows = [row._asdict() for row in now.rows]
    print(json.dumps({"study": study.study, "states": states, "slurm": now.silence, "rows": rows}, indent=2))


def watch(study: Study, results: Path, site: Path | None, seconds: float, most: int | None) -> None:
    """Show the table every so many seconds until nothing runs or waits; on a terminal in the same place."""
    before = 0
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            now = look(study, results, site)
            states = ", ".join(f"{count} {state}" for state, count in now.plan.status.value_counts().items())
            head = f"study {study.study}, {time.strftime('%H:%M:%S')}: {states or 'no runs'}"
            before = redraw([head, now.silence] if now.silence else [head], now.rows, most, before)
            works = now.jobs or any(row.state in (RUNNING, WAITING) for row in now.rows)
            if not works and not now.silence and not controllers(results.resolve().parents[1]):
                print("nothing of this study runs or waits")
                return
            time.sleep(seconds)


def redraw(heads: list[str], rows: list[Row], most: int | None, before: int) -> int:
    """Print heads and table, on a terminal over the `before` lines that are there; return how many lines these are."""
    if not sys.stdout.isatty():
        print(*heads, *table(rows, most or ROWS), sep="\n", flush=True)
        return 0
    width, height = shutil.get_terminal_size()
    # As many lines as fit, so that none leaves the screen: the head, the table's, one for each state that has more.
    lines = [*(head[: width - 1] for head in heads), *table(rows, min(most or height, max(1, height - 8)), width - 1)]
    up = f"\x1b[{before}F" if before else ""
    sys.stdout.write(up + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
    sys.stdout.flush()
    return len(lines)


def print_outdated(study: Study, results: Path) -> None:
    """Print what belongs to another configuration than the study as it is, a line for each difference."""
    for why, names in by_reason(outdated(study, plan_runs(study), results)).items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        print(f"to be made again: {results / names[0]}{more}: {why}")


def jobs_of(results: Path) -> tuple[list[QueuedJob], str]:
    """Return the study's jobs in the queue, and what Slurm said instead of answering, if it did not."""
    try:
        return queued_jobs(results.resolve().parents[1], results.resolve().name), ""
    except ConnectionError as error:
        return [], NOT_SHOWN.format(error)


def print_hours(plan: pd.DataFrame, results: Path) -> None:
    """Print the GPU-hours that trainings on a cluster took, once done, against those planned for them."""
    done = plan[plan.status == DONE]
    done = done[done.run.map(lambda run: job_id_of(results / "runs" / run / "finetune.log") is not None).astype(bool)]
    taken, planned = done.measured_gpu_hours.sum(), done.gpu_hours.sum()
    if taken > 0:
        took, meant = format_quantity(taken), format_quantity(planned)
        ratio = f" (× {taken / planned:.2g})" if planned > 0 else ""
        print(f"GPU-hours of finished trainings: {took} used, {meant} planned{ratio}")


def print_answer(study: Study, study_json: Path) -> None:
    """Print the recommendation, or without a cost the law, and where the report and everything else is."""
    results = study_json.parent
    if any((results / "laws").glob("*/weights.json")):
        print_found(study, study_json)
    pages = {"report": "report.html", "explorer": "explorer.html", "recommendation": "recommendation.yaml"}
    for page in [f"{name}: {results / file}" for name, file in pages.items() if (results / file).exists()]:
        print(page)
    made = [name for name in MADE if (results / name).exists()]
    print(f"results are in {results}/: {', '.join(made)}")


def print_found(study: Study, study_json: Path) -> None:
    """Print question, recommendation and caveats, if there is a frontier; else the law, if the study gives no cost."""
    from vlmfrontier.report.first_page import first_lines
    from vlmfrontier.report.study_report import StudyReport
    from vlmfrontier.results import Results

    report = StudyReport(Results.open(study_json))
    if report.has_frontier or (report.has_laws and report.results.cost is None):
        print("", *first_lines(report), "", sep="\n")


def write_what_is_known(study_json: Path) -> None:
    """Write the report of a study that did not get to its end, and print where it is."""
    from vlmfrontier.report.page import write_report
    from vlmfrontier.results import Results

    _, page, *_ = write_report(Results.open(study_json))
    print(f"\nwhat is known so far: {page}")
