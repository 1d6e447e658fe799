"""The `cost` section: what serving one video costs."""

from typing import Literal, Self

from pydantic import model_validator

from vlmfrontier.study.base import Section
from vlmfrontier.study.units import Number


class CostConfig(Section):
    """Inference cost per video: the paper's Eq. 1, or a formula of one's own."""

    model: Literal["paper"] | None = None
    """`paper`: c = 2·T·(M·W + N·V) FLOPs (Eq. 1). The default of a study that trains its runs; an own table without
    `model` and without `expression` has no frontier."""

    M: Number | None = None
    """Parameters of the vision model in Eq. 1. Default: those of `models.vision`; for an own table the paper's 430M."""

    W: Number | None = None
    """Visual features per frame inside the vision model in Eq. 1. Default: those of `models.vision`; for an own table
    the paper's 768 (its encoder really gives 729)."""

    expression: str | None = None
    """A formula over the factors' names, for example `"N * (50 + V)"`; instead of `model`. Factors stand in the units
    of the table, N in parameters."""

    unit: str = "cost units"
    """What `expression` counts, for axes and answers: FLOPs, s, USD, …"""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.expression is not None and self.model is not None:
            raise ValueError("give either model or expression, not both")
        if self.expression is not None and (self.M, self.W) != (None, None):
            raise ValueError("M and W belong to model: paper; put the numbers into the expression")
        for name in ("M", "W"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        return self
