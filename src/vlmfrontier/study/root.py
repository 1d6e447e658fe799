"""A study: everything one configuration says, validated, and nothing else."""

import math
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from vlmfrontier.study.analysis import CostConfig, FrontierConfig, LawsConfig
from vlmfrontier.study.base import Section, Seed, check_name
from vlmfrontier.study.consistency import problems
from vlmfrontier.study.data import DataConfig
from vlmfrontier.study.evaluation import EvaluateConfig
from vlmfrontier.study.levels import Conflict
from vlmfrontier.study.models import ModelsConfig
from vlmfrontier.study.space import SpaceConfig
from vlmfrontier.study.sweep import SweepConfig
from vlmfrontier.study.table import TableConfig
from vlmfrontier.study.training import ExecutionConfig, FinetuneConfig, PretrainConfig
from vlmfrontier.tasks import DIGITS_TASKS


def _folder_name(name: str) -> str:
    """Return the study's name; `ValueError` if results/ cannot have a folder of this name."""
    if name.casefold() == "readme.md":
        raise ValueError("results/README.md is a file; give the study another name")
    return check_name(name)


class Study(Section):
    """Either a sweep that is trained and evaluated, or a `table` of results; then laws and their frontier."""

    # What a study that trains its runs consists of, and a study of a finished table lacks.
    TRAINED: ClassVar[tuple[str, ...]] = ("data", "models", "pretrain", "finetune", "evaluate", "sweep")

    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"), AfterValidator(_folder_name)]
    """Name of the study; its results are in results/<study>/."""
    seed: Seed = 0
    """Seed of everything random that has no seed of its own: generated data, starting models."""
    table: TableConfig | None = None
    """A finished table of results: nothing is trained, the laws start here."""
    data: DataConfig | None = None
    """Videos and questions to finetune on and to evaluate with."""
    models: ModelsConfig | None = None
    """The vision model, the language models and where they start."""
    pretrain: PretrainConfig | None = None
    """How starting models are made; used by the target `pretrain` only, when `models.start` is null."""
    finetune: FinetuneConfig | None = None
    """Hyperparameters of a run."""
    evaluate: EvaluateConfig | None = None
    """How a finetuned model is tested."""
    sweep: SweepConfig | None = None
    """Which runs are trained."""
    cost: CostConfig = CostConfig()
    """FLOPs per video of a configuration; without it there is no frontier."""
    space: SpaceConfig | None = None
    """Configurations that a recommendation may choose from."""
    laws: LawsConfig = LawsConfig()
    """Which laws are fitted and how."""
    frontier: FrontierConfig = FrontierConfig()
    """Budgets and data sizes to recommend for."""
    execution: ExecutionConfig = ExecutionConfig()
    """How jobs are run."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        """Give a trained study every section, so that what a section lacks is named inside it."""
        if isinstance(given, dict) and given.get("table") is None:
            message = "is empty; leave the section out for its defaults, or write its keys"
            if empty := [Conflict((name,), None, message) for name in cls.TRAINED if given.get(name, name) is None]:
                raise PydanticCustomError("problems", "sections are empty", {"problems": empty})
            return {**{section: {} for section in cls.TRAINED}, **given}
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if found := problems(self):
            raise PydanticCustomError("problems", "sections contradict each other", {"problems": found})
        return self

    @property
    def trained(self) -> bool:
        """Say whether runs are trained, as opposed to read from a table."""
        return self.table is None

    def factors(self) -> list[str]:
        """Return the names of the factors: N, T, V and, with several vision models, M; or those of the table."""
        return list(self.table.factors) if self.table is not None else self.models.factors

    def tasks(self) -> list[str]:
        """Return the names of the tasks that runs are tested on; none for a study with a table."""
        if not self.trained:
            return []
        return self.data.tasks if self.evaluate.tasks is None else self.evaluate.tasks

    def targets(self) -> list[str]:
        """Return what is measured and fitted: the tasks and their mean `avg`, or the table's targets."""
        return [*self.tasks(), "avg"] if self.table is None else list(self.table.targets)

    def largest_error(self, target: str) -> float:
        """Return the largest error that a target can have: 100, and no end of one that is itself an error."""
        return 100.0 if self.trained or self.table.targets[target].kind != "error" else math.inf

    def chance(self, target: str) -> float | None:
        """Return the error of guessing: of a task with options, or of the mean of such tasks; None where it is open."""
        tasks = self.tasks() if target == "avg" else [target]
        if not self.trained or self.evaluate.harness == "packed":
            options = {task.name: task.options for task in DIGITS_TASKS}
        else:
            options = {name: task.benchmark.options for name, task in self.evaluate.lmms_eval.tasks.items()}
        known = [options.get(task) for task in tasks]
        return sum(100 - 100 / count for count in known) / len(known) if known and all(known) else None

    def meaning(self, target: str) -> str:
        """Return what a target is, with its range: `the mean over 8 tasks, 0–100`; empty if its name says it."""
        return f"{self.explained(target)}, 0–100" if self.table is None else self.explained(target)

    def explained(self, target: str) -> str:
        """Return what a target is: `the mean over 8 tasks`, `read one digit in one cell`; empty if its name says it."""
        if self.table is not None:
            config = self.table.targets[target]
            if config.kind == "error":
                return "" if config.column == target else f"column {config.column}"
            return f"100 less the {config.kind} in column {config.column}, in per cent"
        tasks = self.tasks()
        if target not in tasks:
            return f"the mean over {len(tasks)} tasks" if len(tasks) > 1 else f"of one task, {tasks[0]}"
        if self.evaluate.harness == "packed":
            said = {known.name: known.stresses.split(": ", 1)[-1] for known in DIGITS_TASKS}
            return said.get(target, f"the task {target}")
        return f"lmms-eval's {', '.join(self.evaluate.lmms_eval.tasks[target].tasks)}"

    @property
    def main_target(self) -> str:
        """The target that figures and summaries show first: the mean over tasks where there is one, else the first."""
        targets = self.targets()
        return "avg" if "avg" in targets else targets[0]
