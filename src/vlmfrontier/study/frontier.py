"""The `frontier` section: which budgets and data sizes are answered, and how models are pooled."""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Discriminator, Field, Tag, model_validator

from vlmfrontier.study.base import Few, Number, Rate, Section


class BudgetRange(Section):
    """Budgets between two ends."""

    from_: Number = Field(alias="from", gt=0)
    """Smallest budget per video, in the unit of the cost (FLOPs for Eq. 1)."""

    to: Number = Field(gt=0)
    """Largest budget per video."""

    count: Few = 300
    """How many budgets. The paper takes 300."""

    spacing: Literal["linear", "log"] = "linear"
    """`linear` as in the paper; `log` shows small budgets in more detail."""

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.to < self.from_:
            raise ValueError(f"budgets: from {self.from_:g} lies above to {self.to:g}")
        return self

    def values(self) -> np.ndarray:
        """Return the budgets, ascending."""
        space = np.linspace if self.spacing == "linear" else np.geomspace
        return space(self.from_, self.to, self.count)


class ElasticityConfig(Section):
    """Over which budgets and data sizes elasticities are averaged (Eq. 9, Table 10). Lengths of n are multiples of the
    largest n of the runs, so that the defaults are the paper's settings (2M examples: Δn = 5M, n from 1M to 10M)."""

    step: Rate = 2.5
    """Δn of the forward difference, in multiples of the runs' largest n."""

    from_: Rate = Field(default=0.5, alias="from")
    """Smallest n, in multiples of the runs' largest n."""

    to: Rate = 5.0
    """Largest n, in multiples of the runs' largest n."""

    sizes: Few = 100
    """How many data sizes, evenly spaced."""

    budgets: Few = 300
    """How many budgets, evenly spaced over the range of `frontier.budgets`."""


Budgets = Annotated[
    Annotated[BudgetRange, Tag("range")] | Annotated[list[Number], Tag("values")],
    Discriminator(lambda budgets: "values" if isinstance(budgets, list) else "range"),
]
"""`{from, to, count}` or a list."""


class FrontierConfig(Section):
    """The compute-optimal frontier x*(c; n) (Eq. 4)."""

    budgets: Budgets | None = None
    """Budgets to answer for: `{from, to, count}` or a list. Default: 300 between the cheapest and the dearest run."""

    examples: list[Number] | None = None
    """Numbers of finetuning examples n to answer for. Default: the data sizes of the runs."""

    pooling: Literal["pool", "paper"] = "pool"
    """`pool`: resamples of all fitted forms in proportion to their cross-validation weights, with an interval that
    covers about 90% in simulation. `paper`: the median of the bagged main form; its spread is too narrow for one."""

    members: Annotated[Few, Field(ge=10)] = 200
    """Size of the pool. More makes shares such as `p_best` finer; the search takes longer in proportion."""

    near: Annotated[Rate, Field(lt=1)] = 0.005
    """A model counts for `p_near` if the chosen configuration is within this fraction of its own optimum."""

    next_runs: Few = 5
    """How many runs the target `next_runs` suggests."""

    elasticity: ElasticityConfig = ElasticityConfig()
    """How elasticities with respect to n are averaged."""

    @model_validator(mode="after")
    def _positive(self) -> Self:
        for name in ("budgets", "examples"):
            numbers = getattr(self, name)
            if isinstance(numbers, list) and not all(number > 0 for number in numbers):
                raise ValueError(f"{name}: every number must be positive")
            if isinstance(numbers, list) and not numbers:
                raise ValueError(f"{name}: the list is empty; leave the key out for the default")
        return self
