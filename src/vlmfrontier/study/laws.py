"""The `laws` section: which forms are fitted, how, and what decides between them."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from vlmfrontier.study.base import Rate, Section, Seed, Width

FormName = Literal["mult", "add", "add-interact-s", "add-interact"]
"""The forms of the paper's Table 2. A new form is added to `vlmfrontier.laws.forms` and named here."""


class LawsConfig(Section):
    """How laws are fitted to the run table, bagged and compared."""

    forms: list[FormName] = ["mult", "add", "add-interact-s", "add-interact"]
    """Forms to fit and compare; leave out what you do not want in `tables/forms.csv` and in the frontier's pool."""

    loss: Literal["mse", "huber"] = "mse"
    """Loss of a residual: half its square, or Huber's, which is linear beyond `delta` and so heeds outliers less."""

    delta: Rate = 1e-3
    """Where Huber's loss turns linear, in units of log error. Used with `loss: huber` only."""

    log_space: bool = True
    """Residuals are log f̂ − log f. `false` fits f̂ − f, which extrapolates badly in the paper's Table 8."""

    weights: Literal["none", "se"] = "none"
    """`se` weights each row by 1/se² of its measured error (`<target>_se`); `none` weights rows alike, as the paper."""

    starts: Width = 500
    """Random starts per fit. The paper takes 500."""

    initial: Literal["random", "zero"] = "random"
    """`zero` is one start with every coefficient 1 and every exponent 0 (log coefficient 0), for Table 8."""

    preset: Literal["fast", "wide", "exhaustive"] = "wide"
    """How starts are thinned out: `wide` keeps many for long, `fast` few, `exhaustive` runs every one to the end."""

    backend: Literal["numba", "scipy"] = "numba"
    """`scipy` is the paper's own protocol (L-BFGS-B from U(0,30) and U(−1,1)): a slow reference, some minutes a fit."""

    exponent_bound: Rate | None = 3.0
    """Exponents stay within ± this. Without a bound (`null`, as the paper) the minimum grows exponents that act on two
    points only and wreck extrapolation."""

    positive_exponents: bool = False
    """Allow only exponents ≥ 0, which forbids error to rise along a factor. Worse in the paper's Table 8."""

    resamples: Width = 100
    """Bootstrap resamples per bag. The paper takes 100; more make bands smoother, time grows in proportion."""

    aggregate: Literal["median", "mean"] = "median"
    """How members' predictions become one. The mean follows the one member that explodes (paper's Table 9)."""

    folds: Annotated[Width, Field(ge=2)] = 10
    """Folds of the cross-validation that weights the forms. The paper's Table 2 takes 5."""

    percentage: Literal["error", "score"] = "error"
    """Denominator of E%: the error itself, or the score 100 − error. The paper does not say which it takes."""

    poor_fit: float = Field(default=0.8, le=1)
    """Below this cross-validated R² of the chosen form a law is called poor, in its file and on the terminal."""

    split: str | None = "sweep == 'star'"
    """Runs to fit on when extrapolation is judged; the others are predicted. A condition on columns of `runs.csv`, for
    example "c < 1.0e8". A `table` has a split of its own. `null`: extrapolation is not judged."""

    seed: Seed = 0
    """Seed of starts, resamples and folds. The same seed gives the same files, whatever the number of threads."""

    @field_validator("forms")
    @classmethod
    def _some_and_distinct(cls, forms: list[str]) -> list[str]:
        if not forms or len(set(forms)) < len(forms):
            raise ValueError("name at least one form, and each one once; for example [add, add-interact]")
        return forms
