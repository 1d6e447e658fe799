"""The sections from the run table on: `laws`, `cost` and `frontier`."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from vlmfrontier.study.base import Few, Natural, Number, Positive, Rate, Section, Seed, Width
from vlmfrontier.study.files import InputFile
from vlmfrontier.study.forms import (
    FORM_NAMES,
    Ceilings,
    FormNames,
    by_size,
    form_problems,
    formula_of,
    names_and_formulas,
)


class LawsConfig(Section):
    """How laws are fitted to the run table, bagged and compared."""

    forms: FormNames | None = None
    """Forms to fit and compare: names, or formulas of your own, `{mine: "alpha_N*N^-a_N + xi*n^-d + epsilon"}`. The
    suffix -ceiling gives a form a largest error. Default: those of the paper that the table can carry, and what its
    factors and targets suggest (docs/laws.md)."""

    formulas: dict[str, str] = {}
    """Formulas by the names of their forms; `forms` may also give them in place. Without `forms` they are fitted beside
    the default forms."""

    ceiling: Ceilings | None = "fitted"
    """The largest error of forms with a ceiling, for all targets or by target: a number; `chance`, what guessing among
    a task's options gives; `control`, the runs' mean error with the wrong video; `fitted`. `null`: no such forms."""

    loss: Literal["mse", "huber"] = "mse"
    """Loss of a residual: half its square, or Huber's, which is linear beyond `delta` and so heeds outliers less."""

    delta: Annotated[Rate, Field(ge=1e-9)] = 1e-3
    """Where Huber's loss turns linear, in units of log error. Used with `loss: huber` only."""

    log_space: bool = True
    """Residuals are log f̂ − log f. `false` fits f̂ − f, which extrapolates badly in the paper's Table 8."""

    weights: Literal["none", "se"] = "none"
    """`se` weights each row by 1/se² of its measured error (`<target>_se`); `none` weights rows alike, as the paper."""

    starts: Width = 500
    """Random starts per fit. The paper takes 500."""

    initial: Literal["random", "zero"] = "random"
    """`zero` is one start with every coefficient 1 and every exponent 0 (log coefficient 0), for Table 8."""

    preset: Literal["fast", "wide", "exhaustive", "paper"] = "wide"
    """How starts are thinned out: `wide` keeps many for long, `fast` few, `exhaustive` runs every one to the end.
    `paper`: as `wide`, and unless other keys say so, the forms of Table 2, no ceiling, exponents of any sign."""

    backend: Literal["numba", "scipy"] = "numba"
    """`scipy` is the paper's own protocol (L-BFGS-B from U(0,30) and U(−1,1)): a slow reference, some minutes a fit."""

    exponent_bound: Rate | None = 3.0
    """Exponents stay within ± this. Without a bound (`null`, as the paper) the minimum grows exponents that act on two
    points only and wreck extrapolation."""

    positive_exponents: bool | Literal["main"] = "main"
    """`main`: exponents of main terms, α·x^(−a) and n^(−d), are ≥ 0, so that no law says that error rises with a factor
    by itself; those of interactions are free. `true`: all are ≥ 0; `false`: none need be, as in the paper."""

    resamples: Width = 100
    """Bootstrap resamples per bag. The paper takes 100; more make bands smoother, time grows in proportion."""

    aggregate: Literal["median", "mean"] = "median"
    """How members' predictions become one. The mean follows the one member that explodes (paper's Table 9)."""

    folds: Annotated[Width, Field(ge=2)] = 10
    """Folds of the cross-validation that weights the forms. The paper's Table 2 takes 5."""

    percentage: Literal["error", "score"] = "error"
    """Denominator of E%: the error itself, or the score 100 − error. The paper does not say which it takes."""

    poor_fit: float = Field(default=0.8, le=1)
    """Below this R² on runs left out of the fit a law is called poor: in its file, answers, report and checks."""

    split: str | None = "sweep == 'star'"
    """Runs to fit on when extrapolation is judged; the others are predicted. A condition on columns of `runs.csv`, for
    example "c < 1.0e8". A `table` has a split of its own. `null`: extrapolation is not judged."""

    seed: Seed = 0
    """Seed of starts, resamples and folds. The same seed gives the same files, whatever the number of threads."""

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, given: Any) -> Any:
        """Say what `preset: paper` means, and move formulas out of the list of forms."""
        if not isinstance(given, Mapping):
            return given
        given = dict(given)
        if given.get("preset") == "paper":
            given = {"ceiling": None, "positive_exponents": False} | given
        if isinstance(given.get("forms"), list) and isinstance(given.get("formulas", {}), Mapping):
            formulas = dict(given.get("formulas", {}))
            given["forms"] = list(names_and_formulas(given["forms"], formulas))
            given["formulas"] = formulas
        return given

    @model_validator(mode="after")
    def _known_forms(self) -> Self:
        """Refuse forms that nobody knows, names that cannot be used, and bring shipped forms into their order."""
        problems = list(form_problems(self.forms, self.formulas, self.ceiling is not None))
        if problems:
            raise PydanticCustomError("problems", "forms that cannot be", {"problems": problems})
        if self.forms:
            object.__setattr__(self, "forms", by_size(self.forms))
        return self

    @property
    def form_count(self) -> int:
        """How many forms are fitted, at most."""
        if self.forms is not None:
            return len(self.forms)
        of_a_ceiling = 0 if self.ceiling is None else 2
        return len(FORM_NAMES) - (self.preset == "paper") + of_a_ceiling + len(self.formulas)

    def formula_of(self, form: str) -> str | None:
        """Return the formula of a form by its name, with or without the suffix of a ceiling; None of a shipped one."""
        return formula_of(form, self.formulas)

    def ceiling_for(self, target: str) -> float | str | None:
        """Return what the configuration says of a target's ceiling: a number, chance, control, fitted, or None."""
        return self.ceiling.get(target, "fitted") if isinstance(self.ceiling, dict) else self.ceiling


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
    """Inference cost per video: the paper's Eq. 1, every operation counted, your own formula, or measurements."""

    model: Literal["paper", "counted"] | None = None
    """`paper`: c = 2·T·(M·W + N·V) FLOPs (Eq. 1), the default of a study that trains its runs. `counted`: the matrix
    products of vision model, projector and language model, attention, text and answer included; for the study's own
    models. Your own table has no frontier without `model`, `expression` or `table`."""

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
    """`pool`: resamples of all fitted forms in proportion to their weights, each with what its form misses; the
    interval covers about 90% in simulation. `paper`: the median of the bagged main form, whose spread is too narrow."""

    members: Annotated[Few, Field(ge=10)] = 200
    """Size of the pool. More makes shares such as `p_best` finer; the search takes longer in proportion."""

    near: Annotated[Rate, Field(lt=1)] = 0.005
    """A resampled fit counts for `p_near` if the chosen configuration is within this fraction of its optimum."""

    next_runs: Few = 5
    """How many runs the target `next_runs` suggests."""

    elasticity: ElasticityConfig = ElasticityConfig()
    """How elasticities with respect to n are averaged."""

    @property
    def given_budgets(self) -> np.ndarray | None:
        """The budgets that the study names, ascending; None: the default."""
        if self.budgets is None:
            return None
        return np.unique(self.budgets if isinstance(self.budgets, list) else self.budgets.values())

    @model_validator(mode="after")
    def _positive(self) -> Self:
        for name in ("budgets", "examples"):
            numbers = getattr(self, name)
            if isinstance(numbers, list) and not all(number > 0 for number in numbers):
                raise ValueError(f"{name}: every number must be positive")
            if isinstance(numbers, list) and not numbers:
                raise ValueError(f"{name}: the list is empty; leave the key out for the default")
        return self
