"""From a study's result files to what the frontier searches: runs, laws, space."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from vlmfrontier.cost.flops import CountedCost, PaperCost
from vlmfrontier.cost.model import CostModel, cost_model, has_cost, has_vision_share
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.checks import EXTRAPOLATION_R2
from vlmfrontier.frontier.elasticity import ElasticityGrid
from vlmfrontier.frontier.pool import range_name
from vlmfrontier.frontier.space import RunRange, SearchSpace, search_space
from vlmfrontier.frontier.target import Target, TargetLaws, read_laws
from vlmfrontier.laws.selection import read_forms
from vlmfrontier.laws.table import ResultsTable, read_runs
from vlmfrontier.made import refuse_outdated, refuse_outdated_runs
from vlmfrontier.records import Runs, again, read_checked, read_frame
from vlmfrontier.study.analysis import FrontierConfig
from vlmfrontier.study.load import read_study
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.collect import describe

BUDGETS = 300
"""How many budgets a frontier has by default, as in the paper."""


def read_frontier(path: Path, factors: Sequence[str]) -> pd.DataFrame:
    """Return a frontier that was searched. Raises `UserError` if it is not there or damaged."""
    return read_frame(path, again("frontier"), ["c", *factors, "cost", "f", "f_lo", "f_hi", "p_best", "p_near"])


@dataclass(frozen=True)
class Results:
    """A study and its results folder, read when needed."""

    study: Study
    folder: Path

    @classmethod
    def open(cls, study_file: Path) -> "Results":
        """Return the results beside `results/<study>/study.json`."""
        return cls(read_study(study_file), study_file.parent)

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

    @cached_property
    def table(self) -> ResultsTable:
        """The runs, as `runs.csv` has them."""
        refuse_outdated_runs(self.study, self.folder)
        return read_runs(self.folder / "runs.csv", self.record, self.study.laws.split)

    @cached_property
    def record(self) -> Runs:
        """What `runs.json` says of the runs; of runs that were collected before there was one, what it would say."""
        path = self.folder / "runs.json"
        if not path.exists() and self.study.sweep is not None:
            return describe(self.study, read_frame(self.folder / "runs.csv", again("collect"), _sized(self.study)))
        return read_checked(path, Runs, again("collect"), as_model=True)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The runs as plain columns: run (if they have keys), factors and n in units of one, targets, `<target>_se`."""
        table = self.table
        columns = {"run": table.frame["run"].to_numpy()} if "run" in table.frame else {}
        columns |= table.factors
        columns |= {} if table.data is None else {"n": table.data}
        columns |= table.targets
        columns |= {f"{name}_se": se for name, se in table.se.items() if se is not None}
        return pd.DataFrame(columns)

    @cached_property
    def cost(self) -> CostModel | None:
        """The study's cost; None for an own table without one."""
        return cost_model(self.study) if has_cost(self.study) else None

    @cached_property
    def run_costs(self) -> np.ndarray:
        """c(x) of every run; NaN where a measured cost does not know it."""
        return np.broadcast_to(cost_model(self.study).cost(self.table.factors), len(self.runs))

    @cached_property
    def space(self) -> SearchSpace:
        """The configurations that could be deployed."""
        return search_space(self.study, self.table.factors)

    @property
    def vision_shares(self) -> pd.DataFrame:
        """The vision model's share of c(x) over the language models and token grids of the space.

        Raises `UserError` if the study's cost is not made of a vision and a language part.
        """
        if not has_vision_share(self.study):
            raise UserError("the vision model's share is known for cost.model paper and counted only")
        space = self.space
        center = self.center
        return vision_share_table(self.cost, space.levels("N"), center["T"], space.levels("V"), center.get("M"))

    @property
    def range(self) -> RunRange:
        """What the runs cover."""
        return RunRange.of(self.table.factors, self.table.data)

    @property
    def center(self) -> dict[str, float]:
        """The level of every factor that most runs have, the largest of several."""
        return {name: float(max(pd.Series(values).mode())) for name, values in self.table.factors.items()}

    @property
    def budgets(self) -> np.ndarray:
        """The budgets to answer for, ascending; by default 300 from the cheapest to the dearest run."""
        given = self.config.budgets
        if given is None:
            known = self.run_costs[np.isfinite(self.run_costs)]
            dearest = known.max() if len(known) else self.space.cost[-1]
            return np.linspace(max(known.min(initial=dearest), self.space.cost[0]), dearest, BUDGETS)
        return np.unique(given if isinstance(given, list) else given.values())

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
        if self.table.data is None:
            raise UserError("there is no elasticity in n: the table has no data size")
        config, largest = self.config.elasticity, float(np.max(self.table.data))
        budgets = np.linspace(self.budgets[0], self.budgets[-1], config.budgets)
        examples = largest * np.linspace(config.from_, config.to, config.sizes)
        return ElasticityGrid(budgets, examples, largest * config.step)

    def laws(self, target: str) -> TargetLaws:
        """Return the fitted laws of a target, pooled as the study says. Raises `UserError` for an unknown target."""
        known = self.study.targets()
        if target not in known:
            raise UserError(f"there is no target {target!r}; the targets are {', '.join(known)}")
        folder = self.folder / "laws" / target
        refuse_outdated(self.study, self.folder, f"laws/{target}")
        laws = read_laws(folder, target, self.study.laws.forms, self.config)
        asked = self.study.laws.resamples
        for name, bag in [*((f"{form}.bag", bag) for form, bag in laws.bags.items()), (f"{laws.main}.wild", laws.wild)]:
            if len(bag) != asked:
                raise UserError(
                    f"{folder / name}.csv: {len(bag)} resamples, and the study asks for {asked}: it is damaged, or of "
                    f"another configuration; {again('laws')}"
                )
        return laws

    def frontier(self, target: str) -> pd.DataFrame:
        """Return the frontier that has been searched for a target."""
        name = f"frontier/{target}.csv"
        refuse_outdated(self.study, self.folder, name)
        frame = read_frontier(self.folder / name, self.study.factors())
        rows = len(self.budgets) * (1 if self.examples is None else len(self.examples))
        if len(frame) != rows:
            raise UserError(
                f"{self.folder / name}: {len(frame)} rows, and the study asks for {rows} budgets and numbers of "
                f"examples: it is damaged, or of another configuration; {again('frontier')}"
            )
        return frame

    def made_table(self, name: str, numbers: Sequence[str], others: Sequence[str] = ()) -> pd.DataFrame:
        """Return a table made of the frontier: `tables/regret.csv`, `next_runs.csv`, ….

        Raises `UserError` if it is not there, damaged, or of another configuration.
        """
        refuse_outdated(self.study, self.folder, name)
        return read_frame(self.folder / name, again("frontier"), numbers, others, empty=name == "next_runs.csv")

    def target(self, name: str) -> Target:
        """Return everything the frontier knows of a target."""
        return Target(
            name, self.space, self.laws(name).spread(self.space.factors), self.range, self.largest_error(name)
        )

    def caveats(self, target: str) -> list[str]:
        """Return a sentence if the law that is shown of a target explains little of runs that it has not seen."""
        path = self.folder / "laws" / target / "forms.csv"
        if not path.exists():
            return []
        forms = read_forms(path)
        judged = forms[(forms.setup == "cv") & forms.chosen]
        return [
            f"poor fit: the law of {target} explains R² {r2:.2f} of runs left out of the fit"
            for r2 in judged.r2
            if r2 < EXTRAPOLATION_R2
        ]

    def largest_error(self, target: str) -> float | None:
        """Return the largest error that a target can have: 100 of tasks, accuracies and scores; None for own errors."""
        return self.record.targets[target].largest


def _sized(study: Study) -> list[str]:
    """Return the columns of a run table whose size decides their unit."""
    return [name for name in ("N", "M", "n") if name in (*study.factors(), "n")]


def vision_share_table(
    model: PaperCost | CountedCost, N: Sequence[float], T: float, V: Sequence[float], M: float | None = None
) -> pd.DataFrame:
    """Return the vision model's share of c(x) for every pair of N and V at T frames, a row each; M is that of one of
    several vision models, whose grids that are too fine for it have no row.

    Under Eq. 1 the share is M·W / (M·W + N·V), whatever T; `more` is M·W / (N·V), by how much seeing raises the cost of
    the language model alone (the paper's Appendix A.3).
    """
    frame = pd.DataFrame([(size, T, tokens) for size in N for tokens in V], columns=["N", "T", "V"], dtype=float)
    if M is not None:
        frame = frame.assign(M=M)
    share = np.asarray(model.vision_share(frame), float)
    return frame.assign(share=share, more=share / (1 - share)).dropna(ignore_index=True)
