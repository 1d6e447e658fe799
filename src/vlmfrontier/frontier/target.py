"""What the frontier knows of one target: its laws as models of any configuration, where it searches, its runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vlmfrontier.errors import UserError
from vlmfrontier.frontier.pool import Members, Spread, as_in_the_paper, pooled
from vlmfrontier.frontier.space import RunRange, SearchSpace
from vlmfrontier.laws.bagging import Bag
from vlmfrontier.laws.forms import FORMS
from vlmfrontier.paths import LawsFolder
from vlmfrontier.records import Weights, again, read_checked
from vlmfrontier.study.analysis import FrontierConfig


@dataclass(frozen=True)
class TargetLaws:
    """Every bag of one target, and how they are pooled."""

    name: str
    """The target."""
    bags: Mapping[str, Bag]
    """The pairs bootstrap of every form."""
    wild: Bag
    """The wild bootstrap of the main form."""
    weights: Mapping[str, float]
    """Cross-validation weights of the forms."""
    main: str
    """The form that stands for the study by itself: the one with most terms."""
    pooling: Literal["pool", "paper"] = "pool"
    """Who predicts: all forms by weight, or the paper's bag of the main form."""
    count: int = 200
    """Models in the pool."""

    def spread(self, x: Mapping[str, np.ndarray]) -> Spread:
        """Return the models over the configurations x, columns of shape (m,) in the units of the table."""
        if self.pooling == "paper":
            return as_in_the_paper(members_of(self.bags[self.main], x))
        bags = {form: members_of(bag, x) for form, bag in self.bags.items()}
        return pooled(bags, members_of(self.wild, x), self.weights, self.main, self.count)


def members_of(bag: Bag, x: Mapping[str, np.ndarray]) -> Members:
    """Return a bag's models over the configurations x, columns of shape (m,) in the units of the table."""
    X = np.stack([np.asarray(x[name], float) / bag.units[name] for name in bag.form.factors], axis=1)
    A, B, d = bag.form.split_in_data(bag.theta, X)
    return Members(A, B, d, bag.data_unit or 1.0)


def read_laws(folder: LawsFolder, target: str, forms: Sequence[str], config: FrontierConfig) -> TargetLaws:
    """Return the fitted laws of a target from its folder.

    Raises `UserError` if they have not been fitted yet.
    """
    main = max(forms, key=list(FORMS).index)
    bags = {form: _bag(folder.bag(form), folder.law(form)) for form in forms}
    path = _existing(folder.weights)
    weights = read_checked(path, Weights, again("laws"))
    if missing := set(forms) - set(weights):
        raise UserError(f"{path}: damaged: no weight of {sorted(missing)[0]}; {again('laws')}")
    if abs(sum(weights[form] for form in forms) - 1) > 1e-6:
        raise UserError(f"{path}: damaged: the weights do not sum to 1; {again('laws')}")
    wild = _bag(folder.wild(main), folder.law(main))
    return TargetLaws(target, bags, wild, weights, main, config.pooling, config.members)


def _bag(path: Path, law: Path) -> Bag:
    return Bag.load(_existing(path), _existing(law))


def _existing(path: Path) -> Path:
    if not path.exists():
        raise UserError(f"{path}: no such file; fit the laws first, with `snakemake laws`")
    return path


@dataclass(frozen=True)
class Target:
    """One target of a study."""

    name: str
    """Its column in the table of runs."""
    space: SearchSpace
    """The configurations that could be deployed."""
    spread: Spread
    """The models of this target over that space."""
    runs: RunRange
    """What the runs cover."""
    largest: float | None = None
    """The largest error that there can be: 100 of a task; None for a loss, which has no end."""
