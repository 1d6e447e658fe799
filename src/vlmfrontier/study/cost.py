"""The `cost` section: what serving one video costs."""

from typing import Literal, Self

from pydantic import Field, model_validator

from vlmfrontier.study.base import Section
from vlmfrontier.study.units import Number


class CostConfig(Section):
    """Inference cost per video: the paper's Eq. 1, every operation counted, or a formula of one's own."""

    model: Literal["paper", "counted"] | None = None
    """`paper`: c = 2·T·(M·W + N·V) FLOPs (Eq. 1), the default of a study that trains its runs. `counted`: the matrix
    products of vision model, projector and language model, attention, text and answer included; for the study's own
    models. An own table without `model` and without `expression` has no frontier."""

    M: Number | None = None
    """Parameters of the vision model in Eq. 1. Default: those of `models.vision`; for an own table the paper's 430M."""

    W: Number | None = None
    """Visual features per frame inside the vision model in Eq. 1. Default: those of `models.vision`; for an own table
    the paper's 768 (its encoder really gives 729)."""

    text_tokens: int = Field(default=32, ge=0)
    """Tokens of prompt and question beside the visual ones. Used with `model: counted` only."""

    answer_tokens: int = Field(default=16, ge=1)
    """Tokens of an answer, written one at a time. Used with `model: counted` only."""

    vocabulary: int = Field(default=0, ge=0)
    """Words of the language model's output head, which writes each answer token; 0 leaves the head out. Used with
    `model: counted` only."""

    expression: str | None = None
    """A formula over the factors' names, for example `"N * (50 + V)"`; instead of `model`. Factors stand in the units
    of the table, N in parameters."""

    unit: str = "cost units"
    """What `expression` counts, for axes and answers: FLOPs, s, USD, …"""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.expression is not None and self.model is not None:
            raise ValueError("give either model or expression, not both")
        if (self.expression is not None or self.model == "counted") and (self.M, self.W) != (None, None):
            raise ValueError("M and W belong to model: paper; leave them out")
        for name in ("M", "W"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        return self
