"""Step by step from runs to laws: `collect`, `fit`, `law-tables` and `profile`."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vlmfrontier import command_line

if TYPE_CHECKING:
    from vlmfrontier.collected import CollectedRuns
    from vlmfrontier.results import Results

POINTS = 13
"""Values of a profile."""
TABLES = ("forms", "profile", "fitting", "bagging")


def collect_arguments(parser: ArgumentParser) -> None:
    command_line.study_argument(parser)


def collect(given: Namespace) -> None:
    """Write the table that laws are fitted to, runs.csv: vlmfrontier collect --study digits

    Of a study that trains, one row per run that has a result; runs without one are named. Of an own table, checked, its
    rows as they are read, factors and n in the table's units, targets as errors. runs.json beside it has their
    units, names and split.
    """
    from vlmfrontier.collected import CollectedRuns
    from vlmfrontier.laws.runs_file import write_runs
    from vlmfrontier.sweep.collect import collect as collect_runs
    from vlmfrontier.sweep.collect import control_errors, describe

    results = CollectedRuns.open(given.study)
    if not results.study.trained:
        _read_table(results)
        return
    table, missing = collect_runs(results.study, results.root)
    record = describe(results.study, table, control_errors(results.study, results.root))
    write_runs(table, record, results.runs_csv)
    results.note(results.runs_csv)
    print(f"{len(table)} runs → {results.runs_csv}")
    if missing:
        print(f"without a result and left out: {', '.join(missing)}")


def _read_table(results: "CollectedRuns") -> None:
    from vlmfrontier.laws.checks import check_study, table_warnings
    from vlmfrontier.laws.runs_file import write_runs
    from vlmfrontier.laws.user_table import as_runs, read_table

    study = results.study
    table = read_table(study.table)
    check_study(table, study.laws)
    write_runs(*as_runs(table, study.table), results.runs_csv)
    results.note(results.runs_csv)
    split = "" if table.split is None else f", {table.split.sum()} inside the split"
    targets = ", ".join(f"{name} ({len(table.measured(name))} rows)" for name in table.targets)
    print(f"table {table.name}: {len(table)} rows, {table.configurations} configurations{split}; {targets}")
    for warning in table_warnings(table):
        print(f"warning: {warning}", file=sys.stderr)


def fit_arguments(parser: ArgumentParser) -> None:
    command_line.study_argument(parser)
    command_line.target_argument(parser, "what to fit: a task, avg, or a target of the table", required=True)
    parser.add_argument("--threads", type=int, help="default: all cores; changes the time, never the result")


def fit(given: Namespace) -> None:
    """Fit, compare and bag all forms of a target: vlmfrontier fit --study digits --target avg

    Reads runs.csv and runs.json beside study.json. Writes, into laws/<target>/ there:
      <form>.json      the fitted law, its metrics, diagnostics and warnings
      <form>.bag.csv   pairs bootstrap: one row of parameters per resample
      weights.json     weight of every form in the pool, by its log score on runs left out
      forms.csv        every form in sample, left out and extrapolated, and which one is chosen
    """
    from vlmfrontier.laws.checks import table_warnings
    from vlmfrontier.laws.selection import fit_target, steps_of
    from vlmfrontier.progress import Progress
    from vlmfrontier.results import Results

    results = Results.open(given.study)
    study, table, folder = results.study, results.table, results.laws_folder(given.target)
    progress = Progress(given.target, steps_of(study.laws))
    comparison = fit_target(table, given.target, study.laws, folder, given.threads, progress)
    results.note(folder.root)
    print(comparison.rows.to_string(index=False, float_format="%.4g"))
    print(f"target {given.target}: {comparison.chosen} is chosen: {comparison.reason}")
    print(f"laws are in {folder.root}")
    for warning in (*table_warnings(table), *comparison.warnings):
        print(f"warning: {warning}", file=sys.stderr)


def law_tables_arguments(parser: ArgumentParser) -> None:
    command_line.study_argument(parser)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES, help="default: all of them")
    command_line.target_argument(parser, "whose law is profiled or varied; default: avg, else the first target")
    parser.add_argument(
        "--scipy-starts", type=int, default=0, help="add scipy to `fitting`, with this number of starts; slow"
    )
    parser.add_argument("--threads", type=int, help="default: all cores; changes the time, never the result")


def law_tables(given: Namespace) -> None:
    """Write the tables about laws: vlmfrontier law-tables --study digits

    Into tables/ beside study.json, each as .csv, .md and .tex:
      forms     (Table 2) every form of every target in sample, left out and extrapolated; out of laws/*/forms.csv.
                Beside it formulas: the law that was chosen for every target, with its numbers. Every law in words,
                with lmfit's fit report, goes into laws/<target>/<form>.txt
      profile   laws/<target>/profile.csv, as `vlmfrontier profile` writes it
      fitting   (Table 8) one target with other losses, starts, bounds and without logs
      bagging   (Table 9) one target with 1, 50 and 100 resamples, median and mean
    """
    import pandas as pd

    from vlmfrontier.laws.ablations import SETTINGS, bagging_table, fitting_table
    from vlmfrontier.laws.fit import write_words
    from vlmfrontier.laws.words import formulas_table
    from vlmfrontier.progress import Progress
    from vlmfrontier.results import Results
    from vlmfrontier.tables.writing import write_forms_table, write_formulas

    results = Results.open(given.study)
    study, target, frames = results.study, given.target or results.main_target, {}
    if "forms" in given.tables:
        frames["forms"] = pd.concat([results.forms(name) for name in study.targets()], ignore_index=True)
    if "fitting" in given.tables:
        table, progress = results.table, Progress("fitting", SETTINGS)
        frames["fitting"] = fitting_table(table, target, study.laws, given.scipy_starts, given.threads, progress)
        progress.done()
    if "bagging" in given.tables:
        frames["bagging"] = bagging_table(results.table, target, study.laws, given.threads)
    for name, frame in frames.items():
        write_forms_table(frame, results.table_csv(name))
        results.note(results.table_csv(name))
    if "forms" in given.tables:
        write_formulas(formulas_table(map(results.law, study.targets())), results.table_csv("formulas"))
        results.note(results.table_csv("formulas"))
        for name in study.targets():
            for form in results.forms(name).form.unique():
                path = results.laws_folder(name).words(form)
                write_words(results.table, results.law(name, form), path, study.laws)
    if "profile" in given.tables:
        _write_profile(results, target, threads=given.threads)
    print(f"tables are in {results.forms_csv.parent}: {', '.join(given.tables)}")


def profile_arguments(parser: ArgumentParser) -> None:
    command_line.study_argument(parser)
    command_line.target_argument(parser, "a task, avg, or a target of the table", required=True)
    parser.add_argument("--form", help="default: the form that was chosen")
    parser.add_argument("--parameters", nargs="+", help="default: all that have not vanished")
    parser.add_argument("--points", type=int, default=POINTS, help="values per parameter")
    parser.add_argument("--threads", type=int, help="default: all cores")


def profile(given: Namespace) -> None:
    """Compute the profile likelihoods of a law: vlmfrontier profile --study digits --target avg

    Writes laws/<target>/profile.csv: for each parameter of the chosen form (or of --form), values around the fit and
    how much worse the best fit with the parameter held there is. delta_chi2 below 1 means that the data
    cannot distinguish that value from the fit; below 0, that holding it there led to a better fit than the law's own
    search.
    """
    from vlmfrontier.results import Results

    _write_profile(Results.open(given.study), given.target, given.form, given.parameters, given.points, given.threads)


def _write_profile(
    results: "Results",
    target: str,
    form: str | None = None,
    parameters: Sequence[str] | None = None,
    points: int = POINTS,
    threads: int | None = None,
) -> None:
    from vlmfrontier.laws.profile import profiles
    from vlmfrontier.progress import Progress
    from vlmfrontier.tables.writing import write_csv

    table, law = results.table, results.law(target, form)
    parameters = parameters or [name for name, value in law.parameters.items() if value != 0]
    progress = Progress(f"profile {law.form.name} of {target}", len(parameters))
    found = profiles(table, law, parameters, results.study.laws, points, threads, progress)
    progress.done()
    path = write_csv(found, results.laws_folder(target).profile)
    results.note(path)
    for name, rows in found.groupby("parameter", sort=False):
        inside = rows.value[rows.delta_chi2 < max(0, found.delta_chi2.min()) + 1]
        print(f"{name}: {law.parameters[name]:.4g}; {inside.min():.4g} to {inside.max():.4g} fit as well")
    print(f"profiles are in {path}")
