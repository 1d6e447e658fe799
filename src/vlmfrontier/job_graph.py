"""What is done when Snakemake knows its jobs: force what belongs to another configuration, say so, follow the runs."""

import json
import os
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from vlmfrontier.made import outdated_analysis
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.differences import named
from vlmfrontier.sweep.outdated import Outdated, has_finished, outdated_runs
from vlmfrontier.sweep.runs import Run
from vlmfrontier.sweep.underway import STAGE_OF, runs_underway

FORCED = "VLMFRONTIER_FORCED"
"""In the environment of jobs: what was forced, as JSON."""
TRAININGS = tuple(rule for rule, stage in STAGE_OF.items() if stage == "finetune")
"""Rules that finetune."""
EVALUATIONS = tuple(rule for rule in STAGE_OF if rule not in TRAININGS)
"""Rules that need the weights of a run."""
EVERYTHING = "*"
"""Among the forced names: all of them."""
SEEN = "9.27.1"
"""The Snakemake whose private parts this was written for."""


class Forced(NamedTuple):
    """What a call of Snakemake forces (`--forcerun`, `--force`, `--forceall`), under a name that no other call has."""

    request: str
    names: frozenset[str]
    """Rules and files."""

    def option(self, file: str, *rules: str) -> str:
        """Return the option of the script that trains `file`, which `rules` make, once more; empty if not forced."""
        return f"--force {self.request}" if self.names & {EVERYTHING, *rules, file} else ""


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


def redo_outdated(
    workflow: Any,
    study: Study,
    runs: Mapping[str, Run],
    results: str,
    forced: Callable[[], Forced],
    rule: Callable[[str], str] = str,
) -> None:
    """Let this call of Snakemake make again what belongs to another configuration, whatever times and metadata say.

    Once the jobs are known, files that differ are forced as by `--forcerun`, but only where the call needs them; what
    differs is named with both values, and so is how many trainings have finished and will only be found so. `rule`
    returns what a rule is called here. Raises `SystemExit` if a run would have to be evaluated again whose weights are
    gone.
    """
    found = Outdated()

    def force(dag: Any) -> None:
        nonlocal found
        found = outdated(study, runs.values(), Path(results))
        dag.forcefiles.update(f"{results}/{name}" for name in found.files)

    def say(dag: Any) -> None:
        needed = list(dag.needrun_jobs())

        def of(*names: str) -> list[Any]:
            own = set(map(rule, names))
            return [job.wildcards for job in needed if job.rule.name in own]

        trained = forced().names & {EVERYTHING, *map(rule, TRAININGS)}
        if not trained:
            _refuse_without_weights(found, [wildcards.run for wildcards in of(*EVALUATIONS)], rule(TRAININGS[0]))
        _say_outdated(found, {str(file) for job in needed for file in job.output}, results)
        if not trained and "data/train/manifest.json" not in found.files:
            rebuilt = any(wildcards.split == "train" for wildcards in of("prepare_split"))
            _say_finished(study, [runs[wildcards.run] for wildcards in of(*TRAININGS)], Path(results), rebuilt)

    around_building(workflow, force, say)


def _nothing(_dag: Any) -> None:
    return


def around_building(
    workflow: Any, before: Callable[[Any], Any] = _nothing, after: Callable[[Any], Any] = _nothing
) -> None:
    """Have `before` called with the graph of jobs when these are known and none is chosen, `after` when some are.

    Snakemake tells nobody of these moments, so that its private `_build_dag` is wrapped, as it was seen in `SEEN`.
    Raises `SystemExit` with one line where there is none.
    """
    build = getattr(workflow, "_build_dag", None)
    if build is None:
        sys.exit(
            f"error: Snakemake {version('snakemake')} chooses jobs in another place than {SEEN}, for which this "
            f"workflow was written; install snakemake=={SEEN}, or adapt vlmfrontier.job_graph.around_building"
        )

    def built() -> None:
        before(workflow.dag)
        build()
        after(workflow.dag)

    workflow._build_dag = built


def follow_runs(
    workflow: Any, study: Study, runs: Mapping[str, Run], results: str, rule: Callable[[str], str] = str
) -> None:
    """Have our logger plugin, if this call of Snakemake has it, show the runs of `study`; `rule` as above."""
    loggers = [logger for logger in workflow.logger_manager.get_log_handlers() if hasattr(logger, "follow")]

    def tell(dag: Any) -> None:
        for logger in loggers:
            logger.follow(runs_underway(dag, study, runs, results, rule))

    around_building(workflow, after=tell)


def outdated(study: Study, runs: Iterable[Run], results: Path) -> Outdated:
    """Return what lies in the results of a study and belongs to another configuration."""
    found = outdated_runs(study, runs, results) if study.trained else Outdated()
    found.files |= outdated_analysis(study, ResultsFolder(results))
    return found


def _refuse_without_weights(found: Outdated, evaluations: Sequence[str], training: str) -> None:
    """Leave if a run that is to be evaluated has no weights any more; the rule `training` would make them again."""
    refused = [run for run in dict.fromkeys(evaluations) if run in found.refused]
    if refused:
        more = f" (and {len(refused) - 1} more runs)" if len(refused) > 1 else ""
        sys.exit(
            f"error: {refused[0]}: {named(found.refused[refused[0]])}{more}; its weights were removed after its "
            "evaluation (finetune.keep_model: false), so it cannot be evaluated again: restore the setting, or train "
            f"again with `--forcerun {training}`"
        )


def _say_outdated(found: Outdated, made: set[str], results: str) -> None:
    """Print what is made again since it belongs to another configuration, one line for each difference."""
    made = made - {f"{results}/plan.csv"}  # of which nobody needs to hear: it follows every change
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


def _say_finished(study: Study, trainings: Sequence[Run], results: Path, rebuilt: bool) -> None:
    """Print how many of the planned trainings have finished, so that their jobs train nothing."""
    count = sum(has_finished(study, run, results) for run in trainings)
    if count:
        unless = ", unless their data, which are made anew, turn out other than they were" if rebuilt else ""
        print(
            f"{count} of {len(trainings)} finetunings have finished with this configuration: their jobs train nothing "
            f"again{unless}",
            file=sys.stderr,
        )
