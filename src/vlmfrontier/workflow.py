"""What the Snakefile needs from the package: the study it was called with, and the command lines of its jobs."""

import json
import os
import shlex
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from vlmfrontier.cost.model import has_cost, has_vision_share
from vlmfrontier.errors import UserError
from vlmfrontier.figures.catalogue import Outline
from vlmfrontier.frontier.space import check_frontier
from vlmfrontier.study.laws import FormName, LawsConfig
from vlmfrontier.study.load import load_study
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.columns import check_split
from vlmfrontier.sweep.runs import Run, plan_runs

FORCED = "VLMFRONTIER_FORCED"
"""In the environment of jobs: what was forced, as JSON."""
EVERYTHING = "*"
"""Among the forced names: all of them."""


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
    from vlmfrontier.laws.table import read_table  # noqa: PLC0415 — pandas is slow, and most studies have no table

    return Outline.of(study, read_table(study.table))


def check_files(study: Study, runs: Sequence[Run]) -> None:
    """Raise `UserError` for a starting model that is not there, a table with a mistake or too few rows for its laws, a
    split that names no column, a frontier without solution."""
    if not study.trained:
        from vlmfrontier.laws.checks import check_study  # noqa: PLC0415 — pandas is slow, and most have no table
        from vlmfrontier.laws.table import read_table  # noqa: PLC0415

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


def script_command(script: Path | str, study_json: str, warm: bool = False) -> str:
    """Return the command line of `script` up to its study; `warm` adds `--warm`, except in Slurm."""
    allowed = warm and "SLURM_JOB_ID" not in os.environ
    return f"python {shlex.quote(str(script))}{' --warm' if allowed else ''} --study {shlex.quote(study_json)}"


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


def richest_form(laws: LawsConfig) -> str:
    """Return the form with most terms, whose wild bootstrap the frontier reads."""
    return max(laws.forms, key=get_args(FormName).index)


def frontier_files(study: Study, results: str) -> list[str]:
    """Return what the target `frontier` makes: none for a table without a cost, no elasticity without a data size.

    The vision model's share is a table only where the cost has such a part.
    """
    if not has_cost(study):
        return []
    optional = {"elasticity": _has_examples(study), "vision_share": has_vision_share(study)}
    tables = ["regret", *(name for name, made in optional.items() if made)]
    return [
        *(f"{results}/frontier/{target}.csv" for target in study.targets()),
        *(f"{results}/tables/{table}.csv" for table in tables),
    ]


def can_suggest(study: Study) -> bool:
    """Return whether next runs can be suggested: there is a frontier to make surer, and an n to run them with."""
    return has_cost(study) and _has_examples(study)


def _has_examples(study: Study) -> bool:
    return study.trained or study.table.data is not None
