"""A study and its runs: its configuration, the table that was collected, what the runs cost, what it asks for."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from vlmfrontier import made
from vlmfrontier.cost.model import CostModel, cost_model, has_cost
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.space import (
    RunRange,
    SearchSpace,
    default_budgets,
    most_frequent,
    range_name,
    search_space,
)
from vlmfrontier.laws.runs_file import read_runs
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.records import Runs, again, read_checked, read_frame, read_result
from vlmfrontier.study.analysis import FrontierConfig
from vlmfrontier.study.load import read_study
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.collect import SIZED, describe
from vlmfrontier.units import format_configuration


@dataclass(frozen=True)
class CollectedRuns(ResultsFolder):
    """A study, its results folder and its table of runs."""

    study: Study

    @classmethod
    def open(cls, study_file: Path) -> Self:
        """Return the results beside `results/<study>/study.json`."""
        return cls(study_file.parent, read_study(study_file))

    # ---- what it was made from ----

    def note(self, *files: Path) -> None:
        """Note what files that have just been written, or the folder of a target's laws, were made from."""
        for file in files:
            made.note(self.study, self, self._name(file))

    def refuse_outdated(self, file: Path) -> None:
        """Raise `UserError` with the reasons if a file, or a target's laws, are not those of the study as it is."""
        made.refuse_outdated(self.study, self, self._name(file))

    def outdated(self, file: Path) -> list[str]:
        """Return why a file is not that of the study as it is; empty if it is, or if nobody noted it."""
        return made.outdated(self.study, self, self._name(file))

    def _name(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()

    # ---- the study ----

    @property
    def config(self) -> FrontierConfig:
        """The study's `frontier` section."""
        return self.study.frontier

    @property
    def range_name(self) -> str:
        """What the study may call the range around its predictions."""
        return range_name(self.config.pooling)

    @property
    def main_target(self) -> str:
        """The target that is shown first."""
        return self.study.main_target

    # ---- the runs ----

    @cached_property
    def table(self) -> ResultsTable:
        """The runs, as `runs.csv` has them."""
        self.refuse_outdated(self.runs_csv)
        return read_runs(self.runs_csv, self.record, self.study.laws.split)

    @cached_property
    def record(self) -> Runs:
        """What `runs.json` says of the runs; of runs that were collected before there was one, what it would say."""
        if not self.runs_json.exists() and self.study.sweep is not None:
            sized = [name for name in SIZED if name in (*self.study.factors(), "n")]
            return describe(self.study, read_frame(self.runs_csv, again("collect"), sized))
        return read_checked(self.runs_json, Runs, again("collect"), as_model=True)

    def result(self, run: str) -> dict[str, Any]:
        """Return the result of a run, or of its test elsewhere, called as in `ResultsTable.names`; empty if it is not
        there, as where only the run table was handed on."""
        key, _, at = run.partition("@")
        path = self.run(key).tested_at(at) if at else self.run(key).result
        return read_result(path) if path.exists() else {}

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The runs as plain columns: run (if they have keys), factors and n in units of one, targets, `<target>_se`,
        c(x) if the study has a cost, and where models are tested elsewhere `trained`: at which levels, in words, empty
        where they are those of the test."""
        runs = self.table.plain()
        if self.table.elsewhere.any():
            runs["trained"] = [self._trained(row) if away else "" for row, away in enumerate(self.table.elsewhere)]
        if self.cost is not None:
            runs["c"] = self.run_costs
        if "run" in self.table.frame:
            runs.insert(0, "run", self.table.names)
        return runs

    def _trained(self, row: int) -> str:
        """Return at which levels the model of a row was trained: `T = 16, V = 36`."""
        levels = format_configuration({name: float(values[row]) for name, values in self.table.trained.items()})
        drawn = self.table.elastic is not None and self.table.elastic[row]
        return f"levels up to {levels}" if drawn else levels

    @cached_property
    def cost(self) -> CostModel | None:
        """The study's cost; None for an own table without one."""
        return cost_model(self.study) if has_cost(self.study) else None

    @property
    def cost_unit(self) -> str:
        """What budgets and costs count; empty without a cost."""
        return "" if self.cost is None else self.cost.unit

    @cached_property
    def run_costs(self) -> np.ndarray:
        """c(x) of every run; NaN where a measured cost does not know it."""
        return np.broadcast_to(cost_model(self.study).cost(self.table.factors), len(self.table))

    @cached_property
    def space(self) -> SearchSpace:
        """The configurations that could be deployed."""
        return search_space(self.study, self.table.factors)

    @property
    def range(self) -> RunRange:
        """What the runs cover."""
        return RunRange.of(self.table.factors, self.table.data)

    @property
    def center(self) -> dict[str, float]:
        """The level of every factor that most runs have, the largest of several."""
        return {name: most_frequent(values) for name, values in self.table.factors.items()}

    @property
    def budgets(self) -> np.ndarray:
        """The budgets to answer for, ascending; by default 300 from the cheapest to the dearest run."""
        given = self.config.given_budgets
        return default_budgets(self.run_costs, self.space) if given is None else given

    @property
    def middle_budget(self) -> float:
        """The budget that stands for all where one must: the middle one of the list (the upper of two), which has a row
        in the frontier. Report, explorer, captions, checks and status mean this one."""
        return float(self.budgets[len(self.budgets) // 2])

    @property
    def examples(self) -> np.ndarray | None:
        """The numbers of examples to answer for; by default those of the runs, None for a table without data size."""
        if self.table.data is None:
            if self.config.examples:
                raise UserError("frontier.examples: the table has no data size; leave the key out")
            return None
        return np.unique(self.table.data if self.config.examples is None else self.config.examples)
