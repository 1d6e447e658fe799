"""The sweep as data: named designs that share runs, around one center."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from vlmfrontier.study.base import Count, Few, Named, Number, Rate, Section, Seed, Width
from vlmfrontier.study.files import InputFile
from vlmfrontier.study.space import Levels, VideoLevels

Examples = Annotated[list[Annotated[Count, Field(ge=1)]], Field(min_length=1)]
Seeds = Annotated[list[Seed], Field(min_length=1)]
Names = Annotated[list[str], Field(min_length=1)]
NEXT = "next"
"""What the design of suggested runs is called."""


class Configuration(Section):
    """One configuration x = (N, T, V), and M where there are several vision models."""

    N: str
    """Language model, by its name under `models.language`."""
    T: Width
    """Frames per video."""
    V: Width
    """Visual tokens per frame, a square."""
    M: str | None = None
    """Vision model, by its name under `models.vision`, where there are several."""


class Row(Configuration):
    """One run, spelled out."""

    n: Annotated[Count, Field(ge=1)]
    """Finetuning examples."""
    seed: Seed | None = None
    """Seed of the run; the sweep's seeds if left out."""


class FactorLevels(Section):
    """Levels of each factor; a factor left out stays at the center (star) or takes what the design says."""

    N: Names | None = None
    """Language models, by name."""
    T: Levels | None = None
    """Frames per video."""
    V: Levels | None = None
    """Visual tokens per frame: squares."""
    M: Names | None = None
    """Vision models, by name, where there are several."""

    def given(self) -> dict[str, list[Any]]:
        """Return the levels of the factors that have some, in the order N, T, V, M."""
        return {name: levels for name in type(self).model_fields if (levels := getattr(self, name)) is not None}


class _Design(Section):
    seeds: Seeds | None = None
    """Seeds of this design's runs; the sweep's `seeds` if left out."""
    also: VideoLevels | Literal["all", "none"] | None = None
    """Where this design's runs are tested besides; `evaluate.also` if left out."""
    draw: VideoLevels | Literal["none"] | None = None
    """What this design's finetunings draw T and V from; `finetune.draw` if left out."""


class StarDesign(_Design):
    """Vary one factor at a time around the center: what a law of each factor needs."""

    design: Literal["star"] = "star"
    """This kind of design."""
    vary: FactorLevels
    """Levels of each factor that is varied; the center's own level must be among them."""
    n: Examples
    """Finetuning examples; every configuration is trained with each."""


class IsoflopDesign(_Design):
    """Configurations of nearly equal cost: real rivals at each budget, which test a law where it is used."""

    design: Literal["isoflop"] = "isoflop"
    """This kind of design."""
    budgets: Annotated[list[Annotated[Number, Field(gt=0)]], Field(min_length=1)]
    """FLOPs per video, for example [50M, 100M]."""
    tolerance: Annotated[Rate, Field(lt=1)] = 0.03
    """How far c(x) may be from its budget, as a share of the budget."""
    per_budget: Few = 5
    """Configurations per budget, spread as far from each other as the budget allows."""
    imbalance: Annotated[Rate, Field(le=1)] = 0.8
    """How lopsided a configuration may be: 0, every factor equally high between its lowest and highest level (in logs);
    1, one at its lowest and another at its highest, which nobody would deploy. Lower it for closer rivals."""
    n: Examples
    """Finetuning examples of these runs."""
    space: FactorLevels = FactorLevels()
    """Levels to choose from; all language models, and T and V must be given."""

    @model_validator(mode="after")
    def _has_space(self) -> "IsoflopDesign":
        if self.space.T is None or self.space.V is None:
            raise ValueError("needs space: {T: …, V: …}, the levels to choose from")
        return self


class LadderDesign(_Design):
    """Train at the largest T and V only, and test at all levels: many points of few trainings (docs/ladder.md)."""

    design: Literal["ladder"] = "ladder"
    """This kind of design."""
    N: Names | None = None
    """Language models, by name; all if left out."""
    T: Levels
    """Frames per video: each training has the largest, and is tested with all."""
    V: Levels
    """Visual tokens per frame, squares: likewise."""
    M: Names | None = None
    """Vision models, by name, where there are several; all if left out."""
    n: Examples
    """Finetuning examples."""
    elastic: bool = False
    """Draw T and V of each batch from these levels, at the mean cost, instead of the largest for all."""
    anchors: Annotated[int, Field(ge=0, le=1000)] = 4
    """Configurations that are trained where they are tested, too: what shows the price of testing elsewhere."""


class GridDesign(_Design):
    """Every combination of the levels given; a factor left out stays at the center."""

    design: Literal["grid"] = "grid"
    """This kind of design."""
    N: Names | None = None
    """Language models, by name."""
    T: Levels | None = None
    """Frames per video."""
    V: Levels | None = None
    """Visual tokens per frame: squares."""
    M: Names | None = None
    """Vision models, by name, where there are several."""
    n: Examples
    """Finetuning examples."""


class RowsDesign(_Design):
    """Runs spelled out one by one, here or in a CSV file."""

    design: Literal["rows"] = "rows"
    """This kind of design."""
    rows: list[Row] = []
    """Runs as maps with N, T, V, n and, if wanted, seed."""
    file: InputFile | None = None
    """CSV file with the columns N, T, V, n and, if wanted, M and seed; relative to the file that names it."""

    @model_validator(mode="after")
    def _has_rows(self) -> "RowsDesign":
        if bool(self.rows) == (self.file is not None):
            raise ValueError("needs either rows: [...] or file: rows.csv")
        return self


def _without_dropped(designs: Any) -> Any:
    return {name: d for name, d in designs.items() if d is not None} if isinstance(designs, dict) else designs


Design = Annotated[StarDesign | IsoflopDesign | LadderDesign | GridDesign | RowsDesign, Field(discriminator="design")]


class SweepConfig(Section):
    """Which runs are trained: the union of the designs, a run of two designs once."""

    center: Configuration | None = None
    """The configuration that a star varies around and a grid falls back to; other designs need none."""
    seeds: Seeds = [0]
    """Seeds of every run whose design names none; more seeds, more certainty and as many times the work."""
    designs: Annotated[
        dict[str, Design],
        Named,
        BeforeValidator(_without_dropped, json_schema_input_type=dict[str, Design | None]),
        Field(min_length=1),
    ]
    """Named designs; a run of several belongs first to the one written first. `null` drops a design of the base."""
