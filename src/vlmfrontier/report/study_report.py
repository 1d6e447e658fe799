"""What a report is made from: a study's results, read as far as they are there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.figures.catalogue import CATALOGUE, SECTIONS
from vlmfrontier.files import read_record
from vlmfrontier.frontier.answers import Answer
from vlmfrontier.laws.fit import LawFit
from vlmfrontier.results import Results
from vlmfrontier.sweep.differences import named
from vlmfrontier.sweep.runs import Run, plan_runs
from vlmfrontier.sweep.status import DONE, FAILED, Status, failed_jobs, run_status


@dataclass(frozen=True)
class StudyReport:
    """A study's results for a report. What has not been made, or could not be read, is None or empty."""

    results: Results

    @property
    def study(self) -> Any:
        """The study as it is configured."""
        return self.results.study

    @property
    def main(self) -> str:
        """The target that is shown first."""
        return self.results.main_target

    # ---- runs ----

    @cached_property
    def runs(self) -> list[tuple[Run, Status]]:
        """Every planned run with its status; empty for an own table."""
        return [(run, run_status(self.results.run(run.key).root, tested=run.tested)) for run in plan_runs(self.study)]

    @property
    def failed(self) -> list[tuple[Run, Status]]:
        """The runs that failed."""
        return [(run, status) for run, status in self.runs if status.state == FAILED]

    @property
    def undone(self) -> list[Run]:
        """The runs without a result that have not failed either."""
        return [run for run, status in self.runs if status.state not in (DONE, FAILED)]

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """The result of every run that has one."""
        found = [self._or_none(self.results.result, run.key) for run, _ in self.runs]
        return [record for record in found if record]

    @cached_property
    def set_aside(self) -> list[str]:
        """Why results that are there are not shown: they are damaged, or of another configuration than the study."""
        _ = self.records, self.has_laws, self.frontier  # each notes what it cannot read
        _ = self.elasticity, self.regret, self.checks, self.next_runs, self.exponents, self.differences
        _ = self.checkpoint
        laws = self._laws_aside if self.has_table else []
        return list(dict.fromkeys([*self._unreadable, *laws, *self._figures_aside()]))

    def _figures_aside(self) -> list[str]:
        """Return why pictures are not shown, one line for each reason."""
        by_reason: dict[str, list[str]] = {}
        for name, reason in self.outdated_figures.items():
            by_reason.setdefault(reason, []).append(f"figures/{name}.png")
        return [
            f"{', '.join(names)}: not of the study as it is now: {reason}; run `snakemake figures`"
            for reason, names in by_reason.items()
        ]

    @property
    def outdated_sections(self) -> tuple[str, ...]:
        """Sections of the report whose pictures show what is set aside; none before there is a table of runs."""
        if not self.has_table:
            return SECTIONS if self._unreadable else ()
        if self._laws_aside:
            return ("laws", "frontier", "checkpoint", "regret")
        searched = self.results.cost is not None and self.results.frontier_csv(self.main).exists()
        return ("frontier", "regret") if searched and self.frontier is None else ()

    @cached_property
    def outdated_figures(self) -> dict[str, str]:
        """Why pictures that are there are not of the study as it is, by the names of their figures."""
        pictures = {name: path for name in CATALOGUE if (path := self.results.figure(name)).exists()}
        found = {name: self.results.outdated(path) for name, path in pictures.items()}
        return {name: named(why) for name, why in found.items() if why}

    @cached_property
    def _unreadable(self) -> list[str]:
        return []

    def _or_none(self, read: Callable[..., Any], *given: Any) -> Any:
        """Return what `read` returns; None if that cannot be read, which is then among `set_aside`."""
        try:
            return read(*given)
        except UserError as error:
            self._unreadable.append(str(error))
            return None

    @cached_property
    def has_table(self) -> bool:
        """Whether there is a table that laws could be fitted to."""
        if not self.results.runs_csv.exists():
            return False
        return self._or_none(lambda: self.results.table) is not None

    @cached_property
    def failed_jobs(self) -> dict[str, str]:
        """Why other jobs than runs failed, by the name of their log."""
        return {log.stem: end.reason for log, end in failed_jobs(self.results.root).items()}

    def factor_name(self, factor: str) -> str:
        """Return what a factor, or n, is: `frames per video T`, or a column of an own table, `params (N)`."""
        return self.results.record.variables[factor].label(factor) if self.has_table else factor

    def error_name(self, target: str) -> str:
        """Return what is predicted: `error of avg`, or a target that is itself an error, `loss`."""
        return self.results.record.error_name(target) if self.has_table else f"error of {target}"

    # ---- laws ----

    @cached_property
    def forms(self) -> pd.DataFrame | None:
        """The comparison of forms of all targets."""
        return self._or_none(self.results.all_forms) if self.results.forms_csv.exists() else None

    @cached_property
    def has_laws(self) -> bool:
        """Whether the laws of the main target have been fitted and compared."""
        fitted = self.results.laws_folder(self.main).weights.exists()
        return self.has_table and fitted and self.forms is not None and not self._laws_aside

    @cached_property
    def _laws_aside(self) -> list[str]:
        """Why the laws of the targets cannot be shown."""
        found = []
        for target in self.study.targets():
            if self.results.laws_folder(target).weights.exists():
                try:
                    self.results.laws(target)
                except UserError as error:
                    found.append(str(error))
        return found

    def score(self, target: str, setup: str) -> dict[str, Any] | None:
        """Return the metrics of a target's chosen form in a setup (train, cv, extrapolation), if judged."""
        rows = self.forms[(self.forms.target == target) & (self.forms.setup == setup) & self.forms.chosen]
        return None if rows.empty else rows.iloc[0].to_dict()

    def law(self, target: str) -> LawFit:
        """Return the chosen law of a target."""
        return self.results.law(target, self.score(target, "train")["form"])

    def weights(self, target: str) -> dict[str, float]:
        """Return the weights of a target's forms in the pool."""
        return read_record(self.results.laws_folder(target).weights)

    # ---- frontier ----

    @property
    def has_frontier(self) -> bool:
        """Whether the main target's frontier has been searched."""
        return self.has_laws and self.frontier is not None

    @cached_property
    def frontier(self) -> pd.DataFrame | None:
        """The frontier of the main target."""
        if self.results.cost is None or not self.results.frontier_csv(self.main).exists():
            return None
        return self._or_none(self.results.frontier, self.main)

    @cached_property
    def answer(self) -> Answer:
        """The recommendation at the middle budget and the largest number of examples."""
        examples = None if self.results.examples is None else float(self.results.examples[-1])
        return self.results.answer(self.main, self.results.middle_budget, examples)

    @cached_property
    def elasticity(self) -> pd.DataFrame | None:
        """How x* moves with n."""
        return self._table(
            self.results.table_csv("elasticity"), ["e_median", "e_lo", "e_hi"], ["target", "factor", "direction"]
        )

    @cached_property
    def exponents(self) -> pd.DataFrame | None:
        """How x* grows with the budget; an exponent that is not determined is NaN."""
        found = self._table(self.results.table_csv("exponents"), ["c_lo", "c_hi"], ["target", "factor"])
        return (
            None
            if found is None
            else found.apply(lambda c: c if c.name in ("target", "factor") else pd.to_numeric(c, "coerce"))
        )

    @cached_property
    def differences(self) -> pd.DataFrame | None:
        """Pairs of runs and whether they differ; no row where no answers are kept."""
        return self._table(
            self.results.table_csv("differences"),
            ["difference", "lo", "hi", "n"],
            ["target", "compared", "first", "second", "real"],
        )

    @cached_property
    def checkpoint(self) -> pd.DataFrame | None:
        """The best levels of every model that was tested at several, by budget."""
        return self._table(self.results.table_csv("checkpoint"), ["c", "cost", "error"], ["target", "run"])

    @cached_property
    def regret(self) -> pd.DataFrame | None:
        """What simpler rules lose."""
        return self._table(
            self.results.table_csv("regret"), ["mean_regret", "mean_regret_lo", "mean_regret_hi"], ["rule"]
        )

    @cached_property
    def checks(self) -> pd.DataFrame | None:
        """The checks of a reproduction."""
        return self._table(self.results.table_csv("checks"), [], ["check", "quantity", "verdict"])

    @cached_property
    def next_runs(self) -> pd.DataFrame | None:
        """Suggested runs, where they have been asked for."""
        return self._table(self.results.next_runs_csv, [*self.study.factors(), "n", "training_cost"])

    def _table(self, path: Path, numbers: Sequence[str], others: Sequence[str] = ()) -> pd.DataFrame | None:
        """Return a table of the frontier; None if it is not there, damaged, or of another configuration."""
        return self._or_none(self.results.made_table, path, numbers, others) if path.exists() else None
