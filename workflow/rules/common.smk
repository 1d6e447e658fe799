"""The study that every rule reads, and the names the rules share; everything else lives in the package."""

import functools
import json
import os
import re
import shlex
import sys
from pathlib import Path

from vlmfrontier.cluster.controller import again, dropped_site, is_left_locked, only_looks, site_option
from vlmfrontier.cluster.node import tell_jobs
from vlmfrontier.cluster.options import without_container
from vlmfrontier.cluster.site import site_file, site_or_exit
from vlmfrontier.figures.catalogue import drawn, files_read
from vlmfrontier.job_graph import around_building, follow_runs, forced_trainings, redo_outdated
from vlmfrontier.study.evaluation import UNKNOWN_QUESTIONS
from vlmfrontier.study.load import write_study
from vlmfrontier.errors import did_you_mean
from vlmfrontier.sweep import fingerprints, jobs
from vlmfrontier.sweep.collect import hopeless_forms
from vlmfrontier.sweep.evaluations import answering_hours, asked, evaluation_gpu
from vlmfrontier.sweep.resources import plan_training, plan_trainings, refusals
from vlmfrontier.sweep.runs import configurations, run_order
from vlmfrontier.sweep.status import failed_runs
from vlmfrontier.sweep.trainings import alignment, finetuning
from vlmfrontier.workflow import (
    called,
    frontier_tables,
    job_command,
    makes,
    outline,
    repository_of,
    study_or_exit,
    use_this_python,
)

# Wherever the workflow lies that uses this one as a module.
REPOSITORY = repository_of(str(workflow.current_basedir.get_path_or_uri(secret_free=True)))
use_this_python(REPOSITORY)

# Not `configfile:`, whose keys would mix with those of another study; a study says itself what it builds on (`base:`).
CALL = called(workflow, config, f"{REPOSITORY}/config.yaml")
STUDY, RUNS, NOTES = study_or_exit(CALL.files, CALL.changes)
RESULTS = f"{CALL.results}/{STUDY.study}"

# Returns what a rule is called in the workflow that uses this one as a module, maybe with a prefix.
RULE = workflow.modifier.modify_rulename
if workflow.is_main_process:
    for text in [*NOTES, *hopeless_forms(STUDY, RUNS.values())]:
        print(f"warning: {text}", file=sys.stderr)

# The cluster, where the profile names one (`site`): jobs then ask for what the plan says of each run.
DEFAULTS = workflow.resource_settings.default_resources  # None without a profile that has some
SITE_FILE = site_file(DEFAULTS.args if DEFAULTS is not None else [], REPOSITORY)
SITE = site_or_exit(SITE_FILE)
if workflow.is_main_process and SITE is None and (said := dropped_site(sys.argv)):
    sys.exit(f"error: {said}")
if workflow.is_main_process and not only_looks(sys.argv) and is_left_locked(Path.cwd()):
    print(
        f"warning: {Path.cwd()} is locked by a Snakemake that does not run on this machine; if it was killed, call "
        f"vlmfrontier recover --study {shlex.quote(f'{RESULTS}/study.json')}",
        file=sys.stderr,
    )
if SITE and (said := without_container(SITE.container, workflow.deployment_settings.deployment_method)):
    sys.exit(f"error: {said}")
if SITE and workflow.is_main_process:
    # After `use_this_python`, and only where jobs are submitted.
    from vlmfrontier.cluster.executor import use_for
    from vlmfrontier.cluster.submitter import Sweep

    tell_jobs(all(gpu.cuda for gpu in SITE.gpu), REPOSITORY)
    use_for(Sweep(STUDY.study, Path(RESULTS), SITE.before, SITE.exclude, again=again(sys.argv, [], CALL.overrides)))
PLACEMENTS = plan_trainings(STUDY, RUNS.values(), SITE) if SITE else {}
REFUSED = refusals(PLACEMENTS)

# Every job reads it and none declares it, since a job is done again when its own fingerprint changes, not when any key of
# the study does. (As an `ancient` input it would keep Snakemake from noticing changed fingerprints while the plan is made anew.)
STUDY_JSON = f"{RESULTS}/study.json"

# Runs that failed for good, where the study may go on without them; each is named when the results are collected.
LEFT_OUT = failed_runs(RUNS, Path(RESULTS)) if STUDY.execution.without_failed else set()
RUN_RESULTS = expand(f"{RESULTS}/runs/{{run}}/result.json", run=[run for run in RUNS if run not in LEFT_OUT])

# Where the laws start, and where the frontier ends: a table may come without a cost, and without a number of examples.
RUN_TABLE = [f"{RESULTS}/runs.csv", f"{RESULTS}/runs.json"]

LAWS = expand(f"{RESULTS}/laws/{{target}}/weights.json", target=STUDY.targets())
TABLES = frontier_tables(STUDY)
SEARCHED = expand(f"{RESULTS}/frontier/{{target}}.csv", target=STUDY.targets()) if "frontier" in TABLES else []
FRONTIER_TABLES = [name for name in TABLES if name not in ("frontier", "next_runs", "checks")]
FRONTIER = [*SEARCHED, *expand(f"{RESULTS}/tables/{{name}}.csv", name=FRONTIER_TABLES)]
NEXT_RUNS = [f"{RESULTS}/next_runs.csv"] if "next_runs" in TABLES else []

# Figures that the study has something to show in.
FIGURES = drawn(outline(STUDY, [run for run in RUNS.values() if run.key not in LEFT_OUT]))
FIGURE_FILES = expand(f"{RESULTS}/figures/{{figure}}.png", figure=FIGURES)


def kept(command, show=False):
    """Return the line that runs `command`, for `shell:`, and keeps beside `log:` what it said and how it ended.

    With `show` it is also said on the terminal, with "errors" only what goes to stderr.
    """
    runner = shlex.quote(f"{REPOSITORY}/scripts/job.sh").replace("{", "{{").replace("}", "}}")
    option = {False: "", True: "--show ", "errors": "--show-errors "}[show]
    return f"bash {runner} {option}{{log:q}} {command}"


def command(name, warm=False, show=False):
    """Return the command line of a job up to its study, for `shell:`, which fills in what stands in braces: of the
    command `vlmfrontier <name>`, or of scripts/<name> where it ends in .py.

    Neither its place nor `warm` counts as a change. On a cluster no job is warm, and none is printed as if it were: its
    command can be repeated by hand.
    """
    warm = warm and STUDY.execution.warm_start and SITE is None
    place = f"{REPOSITORY}/scripts/{name}" if name.endswith(".py") else name
    line = job_command(place, STUDY_JSON, warm)
    return kept(line.replace("{", "{{").replace("}", "}}"), show)  # of the checkout's own path


def call_again():
    """Return how this Snakemake was called, without its targets: what a message tells to call again."""
    return again(sys.argv, [str(file) for file in workflow.overwrite_configfiles], CALL.overrides)


def caption_of(name):
    """Return the file of what `snakemake --report` says of a result; results of an older version may lack it.

    Absolute, since it would be searched for beside the rules.
    """
    path = Path(f"{RESULTS}/captions/{name}.rst").absolute()
    return str(path) if path.exists() else f"{REPOSITORY}/workflow/report/no_captions.rst"


def table(name):
    """Return the files of results/<study>/tables/<name>; the CSV goes into `snakemake --report`."""
    labels = {"table": name}
    csv = report(f"{RESULTS}/tables/{name}.csv", category="Tables", labels=labels, caption=caption_of(name))
    return [csv, *multiext(f"{RESULTS}/tables/{name}", ".md", ".tex")]


def summarise(options=""):
    """Print how far the runs are, why some failed and, with --answer, the recommendation; `make run` does so itself."""
    if Path(STUDY_JSON).exists() and os.environ.get("VLMFRONTIER_SUMMARY") != "later":
        status = job_command("status", STUDY_JSON)
        line = f"{status} {site_option(SITE_FILE)} --call {shlex.quote(call_again())} {options}"
        shell("{line}")  # not the text itself, whose braces `shell` would fill in: overrides may have some


def planned(wildcards):
    """Return the run that a path names; leaves with one line if the study does not plan it, or not on this cluster."""
    if wildcards.run not in RUNS:  # not an exception, which Snakemake would show with its traceback
        near = did_you_mean(wildcards.run, RUNS)
        sys.exit(f"error: study {STUDY.study} plans no run {wildcards.run}; {near}")
    if REFUSED:
        sys.exit(f"error: study {STUDY.study} does not fit {SITE_FILE}:\n{REFUSED}")
    return RUNS[wildcards.run]


@functools.cache
def questions():
    """Return what every run is asked: counted when it is first needed, and read from fetched benchmarks only once."""
    return asked(STUDY, Path(RESULTS), UNKNOWN_QUESTIONS)


@functools.cache
def evaluated(run):
    """Return the GPU that a run is evaluated on, and for how many hours at most."""
    training = finetuning(STUDY, RUNS[run])
    gpu = evaluation_gpu(training, SITE, questions())
    return gpu, answering_hours(training, gpu, questions())


def evaluation_job():
    """Return the resources of a job that evaluates the run that its path names."""
    return jobs.gpu_job(
        SITE,
        on=lambda wildcards: evaluated(planned(wildcards).key)[0],
        hours=lambda wildcards: evaluated(planned(wildcards).key)[1],
    )


def pretraining_job(stage):
    """Return the resources of a stage of pretraining: of the digits study's own models, which fit every GPU."""
    language = (lambda wildcards: wildcards.language) if stage in ("language", "align") else (lambda _: "")
    return jobs.gpu_job(
        SITE,
        on=lambda _: SITE.gpu[0],
        hours=lambda wildcards: jobs.pretraining_hours(STUDY, stage, SITE.gpu[0], language(wildcards)),
    )


@functools.cache
def places():
    """Return the place of every run in the order of the runs, the first one highest."""
    if SITE:
        hours = {key: PLACEMENTS[key].gpu_hours + evaluated(key)[1] for key in RUNS}
    else:  # only their proportions matter
        hours = {key: finetuning(STUDY, run).flops for key, run in RUNS.items()}
    order = run_order(list(RUNS.values()), STUDY.factors(), hours)
    return {key: len(order) - place for place, key in enumerate(order)}


def run_priority(ahead=0):
    """Return the priority of a job of a run; with `ahead` it goes before those of all runs that are not so far."""
    if not workflow.is_main_process:  # of a cluster's job, which is told what to do
        return 0
    return lambda wildcards: ahead * len(RUNS) + places().get(wildcards.run, 0)


def start_priority(runs):
    """Return the priority of a starting model: that of the first run that needs it; `runs` tells a path's runs."""
    if not workflow.is_main_process:
        return 0
    return lambda wildcards: max((places()[run.key] for run in runs(wildcards)), default=0)


def together(wildcards):
    """Return the group of a run's jobs, which then share an allocation; None for a run on several nodes."""
    return "run" if placement(wildcards).nodes == 1 else None


def rating_hours(run):
    """Return the hours in which the answers of a run are rated and scored, at all T and V that it is tested at."""
    return jobs.rating_hours(STUDY, Path(RESULTS), 1 + len(RUNS[run].tested))


# Where small runs share jobs, a run is evaluated in the job that finetunes it.
RUN_GROUP = together if SITE and SITE.pack.runs > 1 else None


def placement(wildcards):
    """Return where the run that a path names is trained on the cluster."""
    return PLACEMENTS[planned(wildcards).key]


@functools.cache
def forced():
    """Return what this call forces: known only after the rules are read."""
    return forced_trainings(workflow.dag_settings, workflow.is_main_process)


def forcing(file, *rules):
    """Return what asks a training to be done although it has finished: an option, empty if `file` is not forced."""
    return lambda wildcards: forced().option(f"{RESULTS}/{file.format(**wildcards)}", *map(RULE, rules))


def starting_model(wildcards):
    """Return the file whose change means another starting model: shipped weights, or the report of our own pretraining."""
    run = planned(wildcards)
    name = STUDY.models.start_name(run.language, run.vision)
    if STUDY.models.start is None:
        return f"{RESULTS}/models/{name}/report.json"
    return f"{STUDY.models.start}/{name}/model.safetensors"
