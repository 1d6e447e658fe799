"""Which cost a study counts with, a formula of its own among them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from vlmfrontier.cost.flops import PAPER_VISION_FEATURES, PAPER_VISION_PARAMETERS, CountedCost, PaperCost
from vlmfrontier.cost.measured import MeasuredCost, read_measured
from vlmfrontier.errors import UserError
from vlmfrontier.study.analysis import CostConfig
from vlmfrontier.study.models import ModelsConfig
from vlmfrontier.study.root import Study
from vlmfrontier.tables.expressions import SafeExpression


@dataclass(frozen=True)
class ExpressionCost:
    """c(x) by a formula such as `N * (50 + V)`, in the unit the user has in mind."""

    text: str
    unit: str
    expression: SafeExpression = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        object.__setattr__(self, "expression", SafeExpression(self.text, "cost.expression"))

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors that the formula reads."""
        return self.expression.names

    @property
    def models(self) -> dict[str, list[float]]:
        """None: a formula knows every number."""
        return {}

    def cost(self, values: Mapping[str, ArrayLike]) -> np.ndarray:
        """Return c(x) for the columns of `values`, shape of the columns; a formula of constants costs the same
        everywhere.

        Raises `UserError` if a cost is not a positive finite number.
        """
        # The columns that the formula reads decide the shape; others may be texts.
        columns = {name: np.asarray(values[name]) for name in self.factors if name in values}
        shape = np.broadcast_shapes(*map(np.shape, columns.values())) if columns else _shape_of(values)
        known = {name: values[name] for name in values} | columns
        cost = np.broadcast_to(self.expression.numbers(known), shape)
        bad = np.flatnonzero(~(np.isfinite(cost) & (cost > 0)))
        if len(bad):
            at = {name: np.broadcast_to(column, shape).flat[bad[0]] for name, column in columns.items()}
            where = ", ".join(
                f"{name} = {value:g}" for name, value in at.items() if np.issubdtype(type(value), np.number)
            )
            raise UserError(
                f"cost.expression: {self.text!r} is not a positive number everywhere: it is {cost.flat[bad[0]]:g}"
                f"{' where ' + where if where else ''}; correct the formula, or take such levels out of `space`"
            )
        return cost


def _shape_of(values: Mapping[str, ArrayLike]) -> tuple[int, ...]:
    """Return the shape of all columns together."""
    return np.broadcast_shapes(*(np.shape(values[name]) for name in values))


class CostModel(Protocol):
    """Inference cost per video of configurations x."""

    unit: str
    """What a cost is counted in: `FLOPs`, or whatever the user's formula counts."""

    @property
    def factors(self) -> tuple[str, ...]:
        """The columns that `cost` reads."""

    @property
    def models(self) -> Mapping[str, Sequence[float]]:
        """The sizes that `cost` knows, by factor, of those factors that are models; between them there is no cost."""

    def cost(self, values: Mapping[str, ArrayLike]) -> np.ndarray:
        """Return c(x) for columns of factor values (a mapping or a DataFrame), elementwise.

        NaN where it is not known, which only a measured cost has; such a configuration is not deployed.
        """


def has_cost(study: Study) -> bool:
    """Return whether the study says what a configuration costs; an own table need not, and then has no frontier."""
    if study.trained:
        return True
    given = study.cost
    return given is not None and any(way is not None for way in (given.model, given.expression, given.table))


def has_vision_share(study: Study) -> bool:
    """Return whether the study's cost has a part for the vision model: Eq. 1 and counted costs, of N, T and V."""
    return has_cost(study) and study.cost.expression is None and study.cost.table is None


def cost_model(study: Study) -> CostModel:
    """Return the study's cost model: its `cost` section, by default Eq. 1 with the study's own vision model.

    Raises `UserError` if an own table comes without a cost, if the cost needs a factor that the study has not, or if a
    table of measured costs cannot be read.
    """
    if not has_cost(study):
        raise UserError(f'{study.study}: cost is missing; give for example cost: {{expression: "N * (50 + V)"}}')
    if study.cost.expression is not None:
        model: CostModel = ExpressionCost(study.cost.expression, study.cost.unit)
    elif study.cost.table is not None:
        model = _measured(study.cost, study.factors())
    elif study.cost.model == "counted":
        if not study.trained:
            raise UserError(
                f"{study.study}: cost.model counted needs the study's models; for a table use paper or expression"
            )
        model = _counted(study.cost, study.models)
    else:
        model = _paper(study.cost, study.models if study.trained else None)
    known = study.factors()
    missing = [name for name in model.factors if name not in known]
    if missing:
        raise UserError(f"{study.study}: the cost needs the factor {missing[0]}; the factors are {', '.join(known)}")
    return model


def _counted(config: CostConfig, models: ModelsConfig) -> CountedCost:
    """Return the counted cost of the study's own models."""
    encoders = {float(tower.parameters): tower.encoder for tower in models.towers.values()}
    decoders = {shape.N: shape.decoder(config.vocabulary) for shape in models.language.values()}
    return CountedCost(encoders, decoders, config.text_tokens, config.answer_tokens)


def _measured(config: CostConfig, factors: Sequence[str]) -> MeasuredCost:
    """Return the measured cost; columns that the section does not name are called as the study's factors."""
    given = config.table
    headers = given.factors or {name: name for name in factors}
    if given.column in headers.values():
        raise UserError(f"cost.table.column = {given.column!r} is the column of a factor too; name that of the cost")
    return read_measured(Path(given.path), headers, given.column, config.unit)


def _paper(config: CostConfig, models: ModelsConfig | None) -> PaperCost:
    """Return Eq. 1 with M and W as configured, else of the study's vision models, else (own table) the paper's."""
    M, W, towers = PAPER_VISION_PARAMETERS, PAPER_VISION_FEATURES, {}
    if models is not None:
        M, W = models.largest_tower.parameters, models.largest_tower.features
    if models is not None and models.several_towers:
        towers = {float(tower.parameters): float(tower.features) for tower in models.towers.values()}
    return PaperCost(config.M or M, config.W or W, towers)
