"""What the Snakefile needs from the package: the study it was called with, and the command lines of its jobs."""

import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vlmfrontier.cost.model import has_cost, has_vision_share
from vlmfrontier.errors import UserError
from vlmfrontier.figures.outline import Outline
from vlmfrontier.files import REPOSITORY
from vlmfrontier.frontier.space import check_frontier
from vlmfrontier.laws.listing import settled
from vlmfrontier.study.load import load_study
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.collect import check_split
from vlmfrontier.sweep.runs import Run, configurations, plan_runs

if TYPE_CHECKING:
    from vlmfrontier.laws.table import ResultsTable


class Call(NamedTuple):
    """What a call of Snakemake says of the study."""

    files: list[str]
    """Configuration files, later ones over earlier ones."""
    changes: dict[str, Any]
    """What is changed on top: `--config`, or the `config` of a workflow that uses this one as a module."""
    results: str
    """Folder of all studies."""
    module: bool
    """Whether this workflow is a module of another one."""
    overrides: dict[str, Any]
    """`--config` of the call itself."""


def called(workflow: Any, config: Mapping[str, Any], default: str) -> Call:
    """Return what a call says of the study; without a file on the command line it is that of the file `default`.

    A module has the `config` that it is given, which may name a file to build on (`base`), relative to where Snakemake
    runs. Results lie in Snakemake's pathvar `results`. Leaves with one line if a module is given no study.
    """
    overrides = {key: value for key, value in workflow.config_settings.config.items() if key != "pathvars"}
    results = os.path.normpath(workflow.pathvars.apply("<results>"))
    if workflow.modifier.is_main_snakefile():
        files = [str(file) for file in workflow.overwrite_configfiles] or [default]
        return Call(files, overrides, results, False, overrides)
    if not config:
        sys.exit("error: the module has no study; give it one with `config:` (config/README.md has an example)")
    changes = {key: value for key, value in config.items() if key not in ("base", "pathvars")}
    return Call([str(config["base"])] if config.get("base") else [], changes, results, True, overrides)


def makes(workflow: Any, results: str) -> bool:
    """Return whether a call of Snakemake, whose jobs are known, will run some that make something in `results`."""
    runs = workflow.executor_plugin is not None and not workflow.dryrun and not workflow.touch
    return runs and any(
        str(file).startswith(f"{results}/") for job in workflow.dag.needrun_jobs() for file in job.output
    )


class Known(NamedTuple):
    """A study that has been read and checked."""

    study: Study
    runs: dict[str, Run]
    """Its runs by key."""
    notes: list[str]
    """What to tell the user of it."""


def study_or_exit(files: Sequence[Path | str], overrides: Mapping[str, Any]) -> Known:
    """Return the study; on a mistake print `error: …`, one line each, and leave before any job."""
    try:
        study = load_study([Path(file) for file in files], _with_nulls(overrides))
        runs = plan_runs(study)
        table = None if study.trained else own_table(study)
        study, notes = with_forms(study, runs, table)
        check_files(study, runs, table)
    except UserError as error:
        sys.exit("\n".join(f"error: {line}" for line in str(error).splitlines()))
    return Known(study, {run.key: run for run in runs}, [*notes, *not_installed(study)])


def not_installed(study: Study) -> list[str]:
    """Return a note on packages that learning curves need and this Python has not got; another one may train."""
    absent = study.execution.absent_reporters() if study.trained else []
    return [
        f"execution.report_to: {name} is not installed in this Python; install it where runs train" for name in absent
    ]


def own_table(study: Study) -> "ResultsTable":
    """Return the user's own table that a study starts at. Raises `UserError` for a mistake in it."""
    from vlmfrontier.laws.user_table import read_table  # noqa: PLC0415 — pandas is slow, and most have no table

    return read_table(study.table)


def with_forms(study: Study, runs: Sequence[Run], table: "ResultsTable | None") -> tuple[Study, list[str]]:
    """Return the study with the forms of its laws named, and notes on those that it leaves out; `table` is its own.

    Raises `UserError` for a form that cannot be.
    """
    if table is None:
        distinct = set(configurations(study, runs))
        laws, notes = settled(study.laws, study.factors(), True, True, len(distinct) or None)
    else:
        from vlmfrontier.laws.checks import settle  # noqa: PLC0415 — as above

        laws, notes = settle(table, study.laws)
    return study.model_copy(update={"laws": laws}), notes


def _with_nulls(given: Any) -> Any:
    """Return what `--config` gave with None for `null`, which Snakemake leaves a text."""
    if isinstance(given, Mapping):
        return {key: _with_nulls(value) for key, value in given.items()}
    return None if given == "null" else given


def outline(study: Study, runs: Iterable[Run]) -> Outline:
    """Return what decides which figures apply: the configurations of the given runs, or of the user's own table."""
    if study.trained:
        rows = list(runs)
        *levels, n = np.array(configurations(study, rows), float).reshape(-1, len(study.factors()) + 1).T
        elsewhere = any(run.tested for run in rows)
        return Outline(study, dict(zip(study.factors(), levels, strict=True)), n, elsewhere)
    return Outline.of(study, own_table(study))


def check_files(study: Study, runs: Sequence[Run], table: "ResultsTable | None") -> None:
    """Raise `UserError` for a starting model that is not there, a table with a mistake or too few rows for its laws, a
    split that names no column, a frontier without solution."""
    if table is not None:
        from vlmfrontier.laws.checks import check_study  # noqa: PLC0415 — as above

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


def repository_of(rules: str) -> str:
    """Return the repository whose folder of rules is given; of rules that are read from afar, that of this package.

    Leaves with one line if the package was installed without its repository, whose scripts the rules call.
    """
    found = Path(rules).parents[1] if os.path.isdir(rules) else REPOSITORY
    if not (found / "scripts" / "job.sh").exists():
        sys.exit(
            f"error: {found} has no scripts/job.sh; install the package from a clone: pip install --editable CLONE"
        )
    return str(found)


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


def frontier_tables(study: Study) -> list[str]:
    """Return what `vlmfrontier frontier` makes: only checks without a cost, nothing in n without a data size, nothing
    of answers without runs.

    The vision model's share is a table only where the cost has such a part.
    """
    made = {
        "frontier": has_cost(study),
        "elasticity": has_cost(study) and _has_examples(study),
        "regret": has_cost(study),
        "vision_share": has_cost(study) and has_vision_share(study),
        "law_free": has_cost(study),
        "next_runs": has_cost(study) and _has_examples(study),
        "checks": True,
        "exponents": has_cost(study) and len(study.factors()) > 1,
        "differences": study.trained,
        "checkpoint": has_cost(study) and _tests_elsewhere(study),
    }
    return [name for name, applies in made.items() if applies]


def _tests_elsewhere(study: Study) -> bool:
    """Say whether models are, or may be, tested at levels that they were not trained at."""
    if study.trained:
        return any(run.tested for run in plan_runs(study))
    return any(factor.trained for factor in study.table.factors.values())


def _has_examples(study: Study) -> bool:
    return study.trained or study.table.data is not None
