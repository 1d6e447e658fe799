"""The results of a study: where everything lies, and what is there, read when it is needed.

Whatever is read is compared with the study first: what belongs to another configuration, or is damaged, is refused in
one line that says what makes it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from vlmfrontier.collected import CollectedRuns
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.answers import Answer, answer
from vlmfrontier.frontier.caveats import contradicted, no_form_holds, poor_fit, sentence, tested_elsewhere, two_levels
from vlmfrontier.frontier.checkpoint import Checkpoint, checkpoints
from vlmfrontier.frontier.elasticity import ElasticityGrid
from vlmfrontier.frontier.pool import Target, TargetLaws, read_laws
from vlmfrontier.frontier.space import named_levels
from vlmfrontier.frontier.tables import vision_shares
from vlmfrontier.laws.checks import settle
from vlmfrontier.laws.fit import LawFit
from vlmfrontier.laws.noise import JointNoise
from vlmfrontier.laws.selection import read_forms
from vlmfrontier.records import again, read_frame


@dataclass(frozen=True)
class Results(CollectedRuns):
    """A study and everything that was made of it."""

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
        table = self.table.measured(target)
        held = no_form_holds(self.laws(target), table)
        said = [*against, *poor, *held, *tested_elsewhere(table, target), *two_levels(self.table.factors)]
        return [sentence(one) for one in said]

    # ---- the frontier ----

    def target(self, name: str) -> Target:
        """Return everything the frontier knows of a target; that of the main target, which is large, is kept."""
        return self._main if name == self.main_target else self._target(name)

    @cached_property
    def _main(self) -> Target:
        return self._target(self.main_target)

    def _target(self, name: str) -> Target:
        ensemble = self.laws(name).ensemble(self.space.factors)
        variables = self.record.variables
        counts = {symbol: v.name if symbol == "n" else v.counts for symbol, v in variables.items() if v.counts}
        labels = {symbol: v.label(symbol) for symbol, v in variables.items()}
        names = {factor: of for factor, of in named_levels(self.study.models).items() if factor in variables}
        said = self.study.meaning(name)
        return Target(name, self.space, ensemble, self.range, counts, names, labels, said)

    def largest_error(self, target: str) -> float | None:
        """Return the largest error that a target can have: 100 of tasks, accuracies and scores; None for own errors."""
        return self.record.targets[target].largest

    def answer(self, target: str, budget: float, examples: float | None) -> Answer:
        """Return the recommendation for a target, a budget and a number of examples, with whatever makes it unsure."""
        return answer(self.target(target), self.runs, budget, examples, self.config.near, self.caveats(target))

    def checkpoints(self, target: str, noise: JointNoise | None = None) -> list[Checkpoint]:
        """Return every trained model with the tests of it that have a value of a target."""
        if target not in self.study.targets():
            raise UserError(f"there is no target {target!r}; the targets are {', '.join(self.study.targets())}")
        return checkpoints(self.table, target, self.run_costs, self.study.laws.seed, noise)

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

    @property
    def vision_shares(self) -> pd.DataFrame:
        """The vision model's share of c(x) over what could be deployed. Raises `UserError` where a cost has none."""
        return vision_shares(self.study, self.cost, self.space, self.center)

    @property
    def elasticity_grid(self) -> ElasticityGrid:
        """Budgets, data sizes and step of elasticities, scaled to the runs' largest n as the paper's are to its own."""
        return ElasticityGrid.of(self.config.elasticity, self.budgets, self.table.data)

    def made_table(self, path: Path, numbers: Sequence[str], others: Sequence[str] = ()) -> pd.DataFrame:
        """Return a table made of the frontier: its regret, its elasticity, suggested runs, ….

        Raises `UserError` if it is not there, damaged, or of another configuration.
        """
        self.refuse_outdated(path)
        may_be_empty = path in (self.next_runs_csv, *map(self.table_csv, ("differences", "law_free", "checkpoint")))
        return read_frame(path, again("frontier"), numbers, others, empty=may_be_empty)
