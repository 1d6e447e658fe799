"""The `cost` section: what serving one video costs."""

from typing import Literal, Self

from pydantic import model_validator

from vlmfrontier.study.base import Natural, Number, Positive, Section
from vlmfrontier.study.files import InputFile


class CostTableConfig(Section):
    """A CSV with one row per measured configuration."""

    path: InputFile
    """The CSV file, relative to the folder of the YAML that names it."""

    column: str
    """Header of the column with the measured cost: seconds, joules, dollars per video."""

    factors: dict[str, str] = {}
    """Headers of the factors' columns, `{N: params, T: frames}`: those that the cost depends on. Default: the study's
    factors, in columns called as they are."""


class CostConfig(Section):
    """Inference cost per video: the paper's Eq. 1, every operation counted, a formula of one's own, or measurements."""

    model: Literal["paper", "counted"] | None = None
    """`paper`: c = 2·T·(M·W + N·V) FLOPs (Eq. 1), the default of a study that trains its runs. `counted`: the matrix
    products of vision model, projector and language model, attention, text and answer included; for the study's own
    models. An own table without `model`, `expression` and `table` has no frontier."""

    M: Number | None = None
    """Parameters of the vision model in Eq. 1. Default: those of `models.vision`; for an own table the paper's 430M."""

    W: Number | None = None
    """Visual features per frame inside the vision model in Eq. 1. Default: those of `models.vision`; for an own table
    the paper's 768 (its encoder really gives 729)."""

    text_tokens: Natural = 32
    """Tokens of prompt and question beside the visual ones. Used with `model: counted` only."""

    answer_tokens: Positive = 16
    """Tokens of an answer, written one at a time. Used with `model: counted` only."""

    vocabulary: Natural = 0
    """Words of the language model's output head, which writes each answer token; 0 leaves the head out. Used with
    `model: counted` only."""

    expression: str | None = None
    """A formula over the factors' names, for example `"N * (50 + V)"`; instead of `model`. Factors stand in the units
    of the table, N in parameters."""

    table: CostTableConfig | None = None
    """Measured latency or money, instead of `model`: `{path: latency.csv, column: seconds}`. Between measured levels
    the cost is interpolated; beyond them it is not known, and such configurations are no candidates."""

    unit: str = "cost units"
    """What `expression` or `table` counts, for axes and answers: FLOPs, s, USD, …"""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        ways = [way for way in ("model", "expression", "table") if getattr(self, way) is not None]
        if len(ways) > 1:
            raise ValueError(f"give one of {', '.join(ways)}, and write null for what a base says")
        if ways not in ([], ["model"]) or self.model == "counted":
            self._refuse_constants()
        for name in ("M", "W"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        return self

    def _refuse_constants(self) -> None:
        if (self.M, self.W) != (None, None):
            raise ValueError("M and W belong to model: paper; leave them out")
