"""The results of a study: where everything lies, and what is there, read when it is needed.

Whatever is read is compared with the study first: what belongs to another configuration, or is damaged, is refused in
one line that says what makes it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vlmfrontier import made
from vlmfrontier.cost.model import CostModel, cost_model, has_cost
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.answers import Answer, answer
from vlmfrontier.frontier.caveats import contradicted, no_form_holds, poor_fit, two_levels
from vlmfrontier.frontier.elasticity import ElasticityGrid
from vlmfrontier.frontier.pool import Target, TargetLaws, read_laws
from vlmfrontier.frontier.space import RunRange, SearchSpace, default_budgets, most_frequent, range_name, search_space
from vlmfrontier.frontier.tables import vision_shares
from vlmfrontier.laws.checks import settle
from vlmfrontier.laws.fit import LawFit
from vlmfrontier.laws.runs_file import read_runs
from vlmfrontier.laws.selection import read_forms
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.paths import ResultsFolder
from vlmfrontier.records import Runs, again, read_checked, read_frame, read_result
from vlmfrontier.study.analysis import FrontierConfig
from vlmfrontier.study.load import read_study
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.collect import SIZED, describe


@dataclass(frozen=True)
class Results(ResultsFolder):
    """A study and its results folder."""

    study: Study

    @classmethod
    def open(cls, study_file: Path) -> "Results":
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
        """Return the result of a run; empty if it is not there, as where only the run table was handed on."""
        path = self.run(run).result
        return read_result(path) if path.exists() else {}

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The runs as plain columns: run (if they have keys), factors and n in units of one, targets, `<target>_se`,
        and c(x) if the study has a cost."""
        runs = self.table.plain()
        if self.cost is not None:
            runs["c"] = self.run_costs
        if "run" in self.table.frame:
            runs.insert(0, "run", self.table.frame["run"].to_numpy())
        return runs

    @cached_property
    def cost(self) -> CostModel | None:
        """The study's cost; None for an own table without one."""
        return cost_model(self.study) if has_cost(self.study) else None

    @cached_property
    def run_costs(self) -> np.ndarray:
        """c(x) of every run; NaN where a measured cost does not know it."""
        return np.broadcast_to(cost_model(self.study).cost(self.table.factors), len(self.table))

    @cached_property
    def space(self) -> SearchSpace:
        """The configurations that could be deployed."""
        return search_space(self.study, self.table.factors)

    @property
    def vision_shares(self) -> pd.DataFrame:
        """The vision model's share of c(x) over what could be deployed. Raises `UserError` where a cost has none."""
        return vision_shares(self.study, self.cost, self.space, self.center)

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

    @property
    def elasticity_grid(self) -> ElasticityGrid:
        """Budgets, data sizes and step of elasticities, scaled to the runs' largest n as the paper's are to its own."""
        return ElasticityGrid.of(self.config.elasticity, self.budgets, self.table.data)

    # ---- laws ----

    @cached_property
    def form_names(self) -> list[str]:
        """The forms that are fitted, from fewest parameters to most."""
        return settle(self.table, self.study.laws)[0].forms

    def laws(self, target: str) -> TargetLaws:
        """Return the fitted laws of a target, pooled as the study says. Raises `UserError` for an unknown target."""
        if target not in self._laws:
            self._laws[target] = self._read_laws(target)
        return self._laws[target]

    @cached_property
    def _laws(self) -> dict[str, TargetLaws]:
        return {}

    def _read_laws(self, target: str) -> TargetLaws:
        known = self.study.targets()
        if target not in known:
            raise UserError(f"there is no target {target!r}; the targets are {', '.join(known)}")
        folder = self.laws_folder(target)
        self.refuse_outdated(folder.root)
        settings, _ = settle(self.table, self.study.laws, target)
        laws = read_laws(folder, self.table.measured(target), settings.forms, self.config, settings.seed)
        asked = settings.resamples
        for form, bag in laws.bags.items():
            if len(bag) != asked:
                raise UserError(
                    f"{folder.bag(form)}: {len(bag)} resamples, and the study asks for {asked}: it is damaged, or of "
                    f"another configuration; {again('laws')}"
                )
        return laws

    def law(self, target: str, form: str | None = None) -> LawFit:
        """Return the law of a form of a target, by default of the chosen one."""
        return LawFit.load(self.laws_folder(target).law(form or self.chosen_form(target)))

    def chosen_form(self, target: str) -> str:
        """Return the form that was chosen for a target. Raises `UserError` before the fit."""
        forms = self.forms(target)
        return str(forms.form[forms.chosen].iloc[0])

    def forms(self, target: str) -> pd.DataFrame:
        """Return the comparison of a target's forms."""
        folder = self.laws_folder(target)
        self.refuse_outdated(folder.root)
        return read_forms(folder.forms)

    def all_forms(self) -> pd.DataFrame:
        """Return the comparison of forms of all targets."""
        self.refuse_outdated(self.forms_csv)
        return read_forms(self.forms_csv)

    def predictions(self, target: str) -> pd.DataFrame:
        """Return every run under the chosen form of a target, in the fit and left out."""
        form, path = self.chosen_form(target), self.laws_folder(target).predictions
        frame = read_frame(path, again("laws"), ["measured", "predicted"], ["run", "form", "setup"])
        return frame[frame.form == form]

    def profile(self, target: str) -> pd.DataFrame:
        """Return the profile likelihoods of the law of a target."""
        path = self.laws_folder(target).profile
        self.refuse_outdated(path)
        return read_frame(path, again("figures"), ["value", "delta_chi2"], ["parameter"])

    def caveats(self, target: str) -> list[str]:
        """Return a sentence for everything that makes every answer of a target less sure; none before the fit."""
        if not self.laws_folder(target).forms.exists():
            return []
        poor = poor_fit(target, self.forms(target), self.study.laws.poor_fit)
        against = [] if self.cost is None else contradicted(self.law_free(target), self.space.unit)
        held = no_form_holds(self.laws(target), self.table.measured(target))
        return [*against, *poor, *held, *two_levels(self.table.factors)]

    # ---- the frontier ----

    def target(self, name: str) -> Target:
        """Return everything the frontier knows of a target; that of the main target, which is large, is kept."""
        return self._main if name == self.main_target else self._target(name)

    @cached_property
    def _main(self) -> Target:
        return self._target(self.main_target)

    def _target(self, name: str) -> Target:
        ensemble = self.laws(name).ensemble(self.space.factors)
        named = {
            symbol: v.name if symbol == "n" else v.counts for symbol, v in self.record.variables.items() if v.counts
        }
        return Target(name, self.space, ensemble, self.range, named)

    def largest_error(self, target: str) -> float | None:
        """Return the largest error that a target can have: 100 of tasks, accuracies and scores; None for own errors."""
        return self.record.targets[target].largest

    def answer(self, target: str, budget: float, examples: float | None) -> Answer:
        """Return the recommendation for a target, a budget and a number of examples, with whatever makes it unsure."""
        return answer(self.target(target), self.runs, budget, examples, self.config.near, self.caveats(target))

    def law_free(self, target: str) -> pd.DataFrame:
        """Return the law-free check of a target; no row where it has not been made for the study as it is."""
        path = self.table_csv("law_free")
        if not path.exists() or self.outdated(path):
            return pd.DataFrame(columns=["target", "c", "verdict"])
        rows = self.made_table(path, ["c", "measured", "predicted"], ["target", "verdict"])
        return rows[rows.target == target]

    def frontier(self, target: str) -> pd.DataFrame:
        """Return the frontier that has been searched for a target."""
        path = self.frontier_csv(target)
        numbers = ["c", *self.study.factors(), "cost", "f", "f_lo", "f_hi", "run_lo", "run_hi", "p_best", "p_near"]
        frame = self.made_table(path, numbers, ["extrapolates", "edge"])
        rows = len(self.budgets) * (1 if self.examples is None else len(self.examples))
        if len(frame) != rows:
            raise UserError(
                f"{path}: {len(frame)} rows, and the study asks for {rows} budgets and numbers of examples: it is "
                f"damaged, or of another configuration; {again('frontier')}"
            )
        return frame

    def made_table(self, path: Path, numbers: Sequence[str], others: Sequence[str] = ()) -> pd.DataFrame:
        """Return a table made of the frontier: its regret, its elasticity, suggested runs, ….

        Raises `UserError` if it is not there, damaged, or of another configuration.
        """
        self.refuse_outdated(path)
        may_be_empty = path in (self.next_runs_csv, *map(self.table_csv, ("differences", "law_free")))
        return read_frame(path, again("frontier"), numbers, others, empty=may_be_empty)
