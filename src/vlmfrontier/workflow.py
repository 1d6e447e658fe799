"""What the Snakefile needs from the package: the study it was called with, and the command lines of its jobs."""

import json
import os
import shlex
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from vlmfrontier.cost.model import has_cost, has_vision_share
from vlmfrontier.errors import UserError
from vlmfrontier.figures.catalogue import Outline
from vlmfrontier.frontier.space import check_frontier
from vlmfrontier.made import outdated_analysis
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.analysis import FormName, LawsConfig
from vlmfrontier.study.load import load_study
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.collect import check_split
from vlmfrontier.sweep.outdated import Outdated, has_finished, named, outdated_runs
from vlmfrontier.sweep.runs import Run, plan_runs

FORCED = "VLMFRONTIER_FORCED"
"""In the environment of jobs: what was forced, as JSON."""
TRAININGS = ("finetune_run", "finetune_run_on_nodes")
"""Rules that finetune."""
EVERYTHING = "*"
"""Among the forced names: all of them."""
SEEN = "9.27.1"
"""The Snakemake whose private parts this was written for."""


def study_or_exit(files: Sequence[Path | str], overrides: Mapping[str, Any]) -> tuple[Study, dict[str, Run]]:
    """Return the study and its runs by key; on a mistake print `error: …`, one line each, and leave before any job."""
    try:
        study = load_study([Path(file) for file in files], _with_nulls(overrides))
        runs = plan_runs(study)
        check_files(study, runs)
    except UserError as error:
        sys.exit("\n".join(f"error: {line}" for line in str(error).splitlines()))
    return study, {run.key: run for run in runs}


def _with_nulls(given: Any) -> Any:
    """Return what `--config` gave with None for `null`, which Snakemake leaves a text."""
    if isinstance(given, Mapping):
        return {key: _with_nulls(value) for key, value in given.items()}
    return None if given == "null" else given


def outline(study: Study, runs: Iterable[Run]) -> Outline:
    """Return what decides which figures apply: the configurations of the given runs, or of the user's own table."""
    if study.trained:
        rows = list(runs)
        factors = {name: np.array([getattr(run, name) for run in rows], float) for name in study.factors()}
        return Outline(study, factors, np.array([run.n for run in rows], float))
    from vlmfrontier.laws.user_table import read_table  # noqa: PLC0415 — pandas is slow, and most have no table

    return Outline.of(study, read_table(study.table))


def check_files(study: Study, runs: Sequence[Run]) -> None:
    """Raise `UserError` for a starting model that is not there, a table with a mistake or too few rows for its laws, a
    split that names no column, a frontier without solution."""
    if not study.trained:
        from vlmfrontier.laws.checks import check_study  # noqa: PLC0415 — pandas is slow, and most have no table
        from vlmfrontier.laws.user_table import read_table  # noqa: PLC0415

        table = read_table(study.table)
        check_study(table, study.laws)
        factors = table.factors
    else:
        factors = {name: np.array([getattr(run, name) for run in runs], float) for name in study.factors()}
        check_starting_models(study, runs)
        check_split(study, runs)
    if has_cost(study) and all(map(len, factors.values())):
        check_frontier(study, factors)


def check_starting_models(study: Study, runs: Sequence[Run]) -> None:
    """Raise `UserError` if the study starts from a model that is not there."""
    start = study.models.start
    names = {study.models.start_name(run.language, run.vision) for run in runs}
    for name in sorted(names) if start is not None else ():
        if not (Path(start) / name / "model.safetensors").exists():
            raise UserError(
                f"study {study.study}: models.start = '{start}': no {name}/model.safetensors in this folder; "
                "name a folder that has it, or write null to pretrain the models"
            )


def use_this_python(repository: Path | str) -> None:
    """Let jobs run the Python that runs Snakemake, activated or not, and the package of `repository`, installed or not.

    An environment that Snakemake activates itself (`--sdm conda`) comes before it.
    """
    for variable, folder in (("PATH", Path(sys.executable).parent), ("PYTHONPATH", Path(repository) / "src")):
        paths = os.environ.get(variable, "").split(os.pathsep)
        if str(folder) not in paths:
            os.environ[variable] = os.pathsep.join(filter(None, [str(folder), *paths]))


def job_command(name: Path | str, study_json: str, warm: bool = False) -> str:
    """Return the command line of a command of `vlmfrontier`, or of a script (.py), up to its study.

    `warm` adds `--warm`, except in Slurm.
    """
    called = shlex.quote(str(name)) if str(name).endswith(".py") else f"-m vlmfrontier {name}"
    allowed = warm and "SLURM_JOB_ID" not in os.environ
    return f"python {called}{' --warm' if allowed else ''} --study {shlex.quote(study_json)}"


class Forced(NamedTuple):
    """What a call of Snakemake forces (`--forcerun`, `--force`, `--forceall`), under a name that no other call has."""

    request: str
    names: frozenset[str]
    """Rules and files."""

    def option(self, file: str, *rules: str) -> str:
        """Return the option of the script that trains `file`, which `rules` make, once more; empty if not forced."""
        return f"--again {self.request}" if self.names & {EVERYTHING, *rules, file} else ""


def forced_trainings(settings: Any, main: bool) -> Forced:
    """Return what the call with these settings of Snakemake's graph forces.

    A cluster's jobs are Snakemakes of their own, not `main`, which are not told so: the environment tells them. A
    retry has the request of the first attempt and so trains nothing that was trained for it.
    """
    if main:
        names = set(map(os.path.normpath, settings.forcerun))
        if settings.forcetargets:
            names |= set(map(os.path.normpath, settings.targets))
        if settings.forceall:
            names.add(EVERYTHING)
        os.environ[FORCED] = json.dumps([uuid.uuid4().hex[:8], sorted(names)])
    request, names = json.loads(os.environ.get(FORCED, '["", []]'))
    return Forced(request, frozenset(names))


def redo_outdated(workflow: Any, study: Study, runs: Mapping[str, Run], results: str, forced: Callable[[], Forced]):
    """Let this call of Snakemake make again what belongs to another configuration, whatever times and metadata say.

    Once the jobs are known, files that differ are forced as by `--forcerun`, but only where the call needs them; what
    differs is named with both values, and so is how many trainings have finished and will only be found so. Raises
    `SystemExit` if a run would have to be evaluated again whose weights are gone.
    """
    found = Outdated()

    def force(dag: Any) -> None:
        nonlocal found
        found = outdated(study, runs.values(), Path(results))
        dag.forcefiles.update(f"{results}/{name}" for name in found.files)

    def say(dag: Any) -> None:
        needed = list(dag.needrun_jobs())
        _refuse_without_weights(found, needed, forced())
        _say_outdated(found, needed, results)
        if "data/train/manifest.json" not in found.files:
            _say_finished(study, runs, Path(results), needed, forced())

    around_building(workflow, force, say)


def around_building(workflow: Any, before: Callable[[Any], None], after: Callable[[Any], None]) -> None:
    """Have `before` called with the graph of jobs when these are known and none is chosen, `after` when some are.

    Snakemake tells nobody of these moments, so that its private `_build_dag` is wrapped, as it was seen in `SEEN`.
    Raises `SystemExit` with one line where there is none.
    """
    build = getattr(workflow, "_build_dag", None)
    if build is None:
        sys.exit(
            f"error: Snakemake {version('snakemake')} chooses jobs in another place than {SEEN}, for which this "
            f"workflow was written; install snakemake=={SEEN}, or mend vlmfrontier.workflow.around_building"
        )

    def built() -> None:
        before(workflow.dag)
        build()
        after(workflow.dag)

    workflow._build_dag = built


def outdated(study: Study, runs: Iterable[Run], results: Path) -> Outdated:
    """Return what lies in the results of a study and belongs to another configuration."""
    found = outdated_runs(study, runs, results) if study.trained else Outdated()
    found.files |= outdated_analysis(study, ResultsFolder(results))
    return found


def _refuse_without_weights(found: Outdated, needed: Sequence[Any], forced: Forced) -> None:
    """Leave if a needed evaluation has no weights any more and no training is forced to make them again."""
    if forced.names & {EVERYTHING, *TRAININGS}:
        return
    evaluations = [job.wildcards.run for job in needed if job.rule.name in ("evaluate_run", "answer_run")]
    refused = [run for run in dict.fromkeys(evaluations) if run in found.refused]
    if refused:
        more = f" (and {len(refused) - 1} more runs)" if len(refused) > 1 else ""
        sys.exit(
            f"error: {refused[0]}: {named(found.refused[refused[0]])}{more}; its weights were removed after its "
            "evaluation (finetune.keep_model: false), so it cannot be evaluated again: restore the setting, or train "
            "again with `--forcerun finetune_run`"
        )


def _say_outdated(found: Outdated, needed: Sequence[Any], results: str) -> None:
    """Print what is made again since it belongs to another configuration, one line for each difference."""
    made = {str(file) for job in needed for file in job.output}
    made.discard(f"{results}/plan.csv")  # of which nobody needs to hear: it follows every change
    again = Outdated({name: why for name, why in found.files.items() if f"{results}/{name}" in made})
    for why, names in by_reason(again).items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        print(f"made again: {results}/{names[0]}{more}: {why}", file=sys.stderr)


def by_reason(found: Outdated) -> dict[str, list[str]]:
    """Return the outdated files by what is named of their differences."""
    files: dict[str, list[str]] = {}
    for name, why in found.files.items():
        files.setdefault(named(why), []).append(name)
    return files


def _say_finished(study: Study, runs: Mapping[str, Run], results: Path, needed: Sequence[Any], forced: Forced) -> None:
    """Print how many of the planned trainings have finished, so that their jobs train nothing."""
    trainings = [runs[job.wildcards.run] for job in needed if job.rule.name in TRAININGS]
    if not trainings or forced.names & {EVERYTHING, *TRAININGS}:
        return
    rebuilt = any(job.rule.name == "prepare_split" and job.wildcards.split == "train" for job in needed)
    count = sum(has_finished(study, run, results) for run in trainings)
    if count:
        unless = ", unless their data, which are made anew, turn out other than they were" if rebuilt else ""
        print(
            f"{count} of {len(trainings)} finetunings have finished with this configuration: their jobs train nothing "
            f"again{unless}",
            file=sys.stderr,
        )


def richest_form(laws: LawsConfig) -> str:
    """Return the form with most terms, whose wild bootstrap the frontier reads."""
    return max(laws.forms, key=get_args(FormName).index)


def frontier_tables(study: Study) -> list[str]:
    """Return what `vlmfrontier frontier` makes: only checks without a cost, nothing in n without a data size.

    The vision model's share is a table only where the cost has such a part.
    """
    made = {
        "frontier": has_cost(study),
        "elasticity": has_cost(study) and _has_examples(study),
        "regret": has_cost(study),
        "vision_share": has_cost(study) and has_vision_share(study),
        "next_runs": has_cost(study) and _has_examples(study),
        "checks": True,
    }
    return [name for name, applies in made.items() if applies]


def _has_examples(study: Study) -> bool:
    return study.trained or study.table.data is not None
