"""The `table` section: a user's own results, which enter where `runs.csv` would."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from vlmfrontier.study.base import Named, Number, Section
from vlmfrontier.study.files import InputFile


class ColumnConfig(Section):
    """A column of the table and the unit its law is written in."""

    column: str
    """Header of the column in the CSV."""

    unit: Number = Field(default=1.0, gt=0)
    """What one unit of the law is in units of the column: 1.0e9 fits billions of parameters. Values near 1 fit best."""


class FactorConfig(ColumnConfig):
    """A column with the levels of a factor, and where a model was trained at another level, its column."""

    trained: str | None = None
    """Header of the column with the level that a model was trained at, where `column` has the one it was tested at."""


class TargetConfig(Section):
    """A column of results and what its numbers mean."""

    column: str
    """Header of the column in the CSV."""

    kind: Literal["error", "accuracy", "score"] = "error"
    """`error`: lower is better, taken as it is. `accuracy`, `score`: higher is better, made error 100·(1 − v/max)."""

    max: Annotated[Number, Field(gt=0)] | None = None
    """The best value an accuracy or score can have: 100 (the default) for per cent, 1 for fractions, 3 for a judge's
    0–3. A column that looks like another scale than per cent needs it."""

    se: str | None = None
    """Header of the column with standard errors, in the units of `column`. Used with `laws.weights: se`."""

    @property
    def best(self) -> float:
        """The best value an accuracy or score can have."""
        return 100.0 if self.max is None else self.max


def _short(entry: object) -> object:
    """Return `{"column": …}` for a bare header."""
    return {"column": entry} if isinstance(entry, str) else entry


ColumnEntry = Annotated[ColumnConfig, BeforeValidator(_short)]
FactorEntry = Annotated[FactorConfig, BeforeValidator(_short)]
TargetEntry = Annotated[TargetConfig, BeforeValidator(_short)]


class TableConfig(Section):
    """A CSV with one row per trained and evaluated model."""

    path: InputFile
    """The CSV file, relative to the folder of the YAML that names it."""

    factors: dict[str, FactorEntry] = Field(min_length=1)
    """What was varied: a name for formulas, then column and unit, `{N: {column: params, unit: 1.0e9}}`. One or more."""

    data: ColumnEntry | None = None
    """The number of training examples or tokens n. Omit if the table has none; forms then have no term in n."""

    targets: Annotated[dict[str, TargetEntry], Named] = Field(min_length=1)
    """What was measured: a name, then its column and kind."""

    exclude: str | None = None
    """Rows to leave out, as a condition on columns: "outlier_dropped == 'yes'"."""

    split: str | None = None
    """Rows to fit on when extrapolation is judged; the rest is predicted: "flops < 1.0e20"."""

    seed: str | None = None
    """Header of a column with seeds. Rows alike but for it are repeats of one configuration, and no duplicates."""

    @field_validator("factors")
    @classmethod
    def _usable_names(cls, factors: dict[str, FactorConfig]) -> dict[str, FactorConfig]:
        for name in factors:
            if not name.isidentifier() or name in ("n", "c", "f", "d", "xi", "epsilon", "alpha"):
                raise ValueError(f"{name!r} cannot name a factor; use a word such as N, T or V (n is the data)")
        return factors

    @model_validator(mode="after")
    def _one_use_per_column(self) -> "TableConfig":
        columns = [factor.column for factor in self.factors.values()] + ([self.data.column] if self.data else [])
        columns += [factor.trained for factor in self.factors.values() if factor.trained is not None]
        twice = {column for column in columns if columns.count(column) > 1}
        if twice:
            raise ValueError(f"column {sorted(twice)[0]!r} is used for two factors; name each column once")
        for name, target in self.targets.items():
            if target.column in columns or self.seed in (target.column, *columns):
                both = target.column if target.column in columns else self.seed
                raise ValueError(f"column {both!r} is used as a factor, target or seed at once; name each column once")
            if target.se == target.column:
                raise ValueError(
                    f"targets.{name}.se is the column of the target itself; name that of its standard errors"
                )
        return self

    @model_validator(mode="after")
    def _one_meaning_per_name(self) -> "TableConfig":
        """Refuse targets that would share a column of `runs.csv` with a factor, with n, or with standard errors."""
        taken = {*self.factors, "n", "c", "run", "sweep", "seed", "elastic", *(f"{name}_se" for name in self.targets)}
        taken |= {f"{name}_train" for name in self.factors}
        for name in self.targets:
            if name in taken:
                raise ValueError(f"the target {name!r} is called like another column of runs.csv; give it another name")
        return self
