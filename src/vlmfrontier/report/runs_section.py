"""What a study measures, the runs that were made for it, and where their results come from."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from vlmfrontier.frontier.differences import EQUAL_COST
from vlmfrontier.frontier.sentences import listed, per_video
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.provenance import provenance as of_this_process
from vlmfrontier.report.blocks import Block, Heading, Items, Text, table
from vlmfrontier.report.study_report import StudyReport
from vlmfrontier.sweep.status import DONE, FAILED
from vlmfrontier.units import format_count, format_duration, format_number

BEST = 5
"""How many of the best runs are shown."""


def measures(report: StudyReport) -> Iterator[Block]:
    """Yield what the runs vary and what is measured of them, each target explained once, and what may be deployed."""
    study = report.study
    yield Heading("What is measured")
    if study.trained:
        yield Text("Every run finetunes a video language model on n examples and tests it with the tasks below.")
    elif report.has_table:
        yield from map(Text, report.results.record.about)
    targets = study.targets()
    chances = [study.chance(name) if study.trained else None for name in targets]
    rows = [
        (f"`{name}`", study.explained(name) or "as in the table", *(_chance(chance) if any(chances) else ()))
        for name, chance in zip(targets, chances, strict=True)
    ]
    heads = ("target", "what it is", *(("error of guessing",) if any(chances) else ()))
    unit = "Errors are on 0–100, lower" if study.trained else "Lower"
    guessing = " Error of guessing: of tasks with answers to choose among." if any(chances) else ""
    yield table(heads, rows, f"{unit} is better.{guessing}")
    if report.results.cost is not None and report.has_table:
        space = report.results.space
        levels = [f"{report.factor_name(name)} ({len(space.levels(name))} values)" for name in space.factors]
        yield Text(
            f"{len(space):,} configurations may be deployed: {listed(levels)}. The cheapest costs "
            f"{format_number(space.cost[0])}, the dearest {format_number(space.cost[-1])} {per_video(space.unit)}."
        )


def _chance(error: float | None) -> tuple[str]:
    return ("" if error is None else f"{error:.3g}",)


def runs(report: StudyReport) -> Iterator[Block]:
    """Yield how many runs there are, which failed and why, what they cover, and the best of them."""
    yield Heading("The runs")
    if report.runs:
        yield from _progress(report)
    if report.failed:
        rows = [(f"`{run.key}`", status.reason) for run, status in report.failed]
        yield table(("failed run", "why"), rows, "A failed run is in no law; `snakemake` tries it again.")
    if not report.has_table:
        return
    yield Items(tuple(_coverage(report)))
    yield from _best(report)
    yield from _winners(report)
    yield from _control(report)


def _progress(report: StudyReport) -> Iterator[Block]:
    by_sweep: dict[str, Counter] = {}
    for run, status in report.runs:
        by_sweep.setdefault(run.sweeps[0], Counter())[status.state] += 1
    rows = [
        (sweep, counts.total(), counts[DONE], counts[FAILED], counts.total() - counts[DONE] - counts[FAILED])
        for sweep, counts in by_sweep.items()
    ]
    done = sum(status.state == DONE for _, status in report.runs)
    yield Text(f"**{done} of {len(report.runs)} runs are done, {len(report.failed)} failed.**")
    yield table(("sweep", "runs", "done", "failed", "not yet"), rows, "Shared runs are counted once.")


def _coverage(report: StudyReport) -> Iterator[str]:
    """Yield what the runs cover, as a line for each factor, n and the main target."""
    results = report.results
    ranges = {**results.range.factors} | ({"n": results.range.examples} if results.range.examples else {})
    columns = {**results.table.factors} | ({"n": results.table.data} if results.table.has_data else {})
    yield _counted_runs(results.table)
    for name, (low, high) in ranges.items():
        count = len(np.unique(columns[name]))
        yield f"{report.factor_name(name)}: {count} values from {format_count(low)} to {format_count(high)}"
    fitted = results.table.measured(report.main)
    measured, se = fitted.error(report.main), fitted.se[report.main]
    noise = "" if se is None else f"; standard error {np.mean(se):.2g} on average"
    yield f"{report.error_name(report.main)}: {measured.min():.4g} to {measured.max():.4g}{noise}"


def _counted_runs(table: ResultsTable) -> str:
    """Return how many runs there are, of how many configurations; n and the seed are no part of a configuration."""
    names = listed(list(table.factors))
    count = len(np.unique(np.stack(list(table.factors.values())), axis=1)[0])
    sizes = f", with {len(np.unique(table.data))} values of n" if table.has_data else ""
    rows = f"{len(table)} runs"
    if table.elsewhere.any():
        rows = f"{len(table)} measurements of {len(set(table.names_of_trainings))} trained models"
    return f"{rows}, of {count} configurations of {names}{sizes}"


def _best(report: StudyReport) -> Iterator[Block]:
    """Yield the runs with the least error."""
    frame, targets = report.results.runs, report.study.targets()
    place = np.argsort(report.results.table.error(report.main), kind="stable")[:BEST]
    factors = [*report.results.table.factors, *(["n"] if report.results.table.has_data else [])]
    costs = None if report.results.cost is None else report.results.run_costs
    rows = [
        (
            *(format_count(frame[name].iloc[row]) for name in factors),
            *(() if costs is None else (format_number(costs[row]),)),
            *(f"{error:.4g}" if np.isfinite(error := frame[target].iloc[row]) else "–" for target in targets),
        )
        for row in place
    ]
    heads = (*factors, *(() if costs is None else (f"c ({report.results.space.unit})",)), *targets)
    yield table(heads, rows, f"The {len(rows)} runs with the least {report.error_name(report.main)}, as measured.")


def _winners(report: StudyReport) -> Iterator[Block]:
    """Yield for each budget the best run and the next best of equal cost, and whether that is more than noise."""
    if report.differences is None or report.differences.empty:
        return
    pairs = report.differences[report.differences.target == report.main]
    errors = dict(zip(report.results.table.names, report.results.table.error(report.main), strict=True))
    rivals, rows = pairs[pairs.compared == EQUAL_COST], []
    for (cost, _), group in rivals.groupby(["c", "n"]):
        best, second = sorted({*group["first"], *group["second"]}, key=lambda run: errors.get(run, np.inf))[:2]
        row = next(row for row in group.to_dict("records") if {row["first"], row["second"]} == {best, second})
        ends = (row["lo"], row["hi"]) if row["first"] == best else (-row["hi"], -row["lo"])
        differs = "yes" if row["real"] else "no"
        worse = f"{abs(row['difference']):.2g} ({ends[0]:.2g} to {ends[1]:.2g})"
        rows.append((format_number(cost), f"`{best}`", f"`{second}`", worse, differs))
    real = f"{int(pairs.real.sum())} of {len(pairs)} differences are more than noise (`tables/differences.csv`)"
    if not rows:
        yield Text(f"Of runs of equal cost, and neighbours along a factor, {real}.")
        return
    heads = ("budget", "best run", "next best", "points worse (90% interval)", "more than noise")
    yield table(heads, rows, f"Runs of equal cost and n, on the same test questions. Of all compared pairs {real}.")


def _control(report: StudyReport) -> Iterator[Block]:
    """Yield what a model scores with another video's frames: what answer priors are worth without seeing."""
    pairs = [
        (record["errors"][report.main]["error"], record["wrong_video"][report.main]["error"])
        for record in report.records
        if report.main in (record.get("wrong_video") or {}) and report.main in record["errors"]
    ]
    if not pairs:
        return
    own, wrong = np.mean(pairs, axis=0)
    verdict = "the models answer from what they see." if wrong > own else "**the models do not see.**"
    yield Text(
        f"Control: with the frames of another video the mean error of {report.main} is {wrong:.1f} instead of "
        f"{own:.1f}: {verdict}"
    )


STAGES = ("finetune", "evaluate")
FILES = (
    ("recommendation.yaml", "what to deploy, for programs"),
    ("runs.csv", "one row per run"),
    ("laws/", "fitted laws and their resamples"),
    ("tables/", "forms, elasticity, checks, regret"),
    ("frontier/", "x* for every budget and n, a file per target"),
    ("figures/", "figures, as PNG, SVG and PDF"),
    ("explorer.html", "the frontier, interactive, in a browser"),
    ("study.json", "the study with every key"),
)


def provenance(report: StudyReport) -> Iterator[Block]:
    """Yield what was computed where, with what, from which seeds, and in how many hours."""
    yield Heading("Provenance")
    study = report.study
    laws = f"laws: seed {study.laws.seed}, {study.laws.starts} starts, {study.laws.resamples} resamples"
    facts = [f"study `{study.study}`, seed {study.seed}; {laws}"]
    if records := _complete(report):
        facts += list(_of_runs(records))
    yield Items(tuple(facts))
    versions = _versions(report)
    if versions:
        yield table(("package", "version"), versions, "Versions that the results were made with.")
    present = [(f"`{name}`", text) for name, text in FILES if (report.results.root / name).exists()]
    if present:
        yield Text("Files beside this page:")
        yield Items(tuple(f"{name}: {text}" for name, text in present))


def _complete(report: StudyReport) -> list[dict[str, Any]]:
    """Return the results that say where they come from."""
    there = {"device", "commit", "finished", "versions"}
    return [
        record
        for record in report.records
        if {"seed", "seconds", "provenance"} <= record.keys() and there <= record["provenance"].keys()
    ]


def _of_runs(records: Sequence[dict[str, Any]]) -> Iterator[str]:
    seeds = sorted({record["seed"] for record in records})
    yield f"seeds of the runs: {', '.join(map(str, seeds))}"
    finetuning, evaluation = (sum(record["seconds"].get(stage) or 0 for record in records) for stage in STAGES)
    tuning, testing = format_duration(finetuning / 3600), format_duration(evaluation / 3600)
    yield f"time: {tuning} finetuning and {testing} evaluation, all {len(records)} runs together"
    where = [record["provenance"] for record in records]
    yield f"device: {_counted(found['device'] for found in where)}"
    commits = _counted(found["commit"] or "not from a repository" for found in where)
    yield f"commit: {commits} (a `+`: with changes that were not committed)"
    yield f"finished: {min(found['finished'] for found in where)} to {max(found['finished'] for found in where)}"
    tested = {record["test"]["hash_videos"] for record in records if "hash_videos" in record.get("test", {})}
    yield f"test videos: {', '.join(f'`{name}`' for name in sorted(tested))}"


def _counted(values: Iterable[str]) -> str:
    """Return each value with how often it occurs, the most frequent first; a single one without."""
    counts = Counter(values)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{value} ({count} runs)" for value, count in counts.most_common())


def _own_versions() -> dict[str, str]:
    """Return the versions that fits of a finished table depend on."""
    versions = of_this_process("cpu")["versions"]
    return {package: versions[package] for package in ("python", "vlmfrontier", "numpy")}


def _versions(report: StudyReport) -> list[tuple[str, str]]:
    """Return package and version of the runs; where nothing was trained, of this process."""
    found: dict[str, Counter] = {}
    records = [record["provenance"]["versions"] for record in _complete(report)] or [_own_versions()]
    for versions in records:
        for package, version in versions.items():
            found.setdefault(package, Counter())[version] += 1
    return [(package, ", ".join(version for version, _ in counts.most_common())) for package, counts in found.items()]
