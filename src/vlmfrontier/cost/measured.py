"""A measured cost: latency, energy or money of the configurations in a table, and of those between them.

Nothing is made up beyond what was measured: a configuration has a cost if it is one of the table's, or if the nearest
levels around it, of every factor that lies between two, have all been measured. Everything else has none, and is no
candidate for deployment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from vlmfrontier.errors import UserError
from vlmfrontier.tables.delimited import Delimited, read_delimited
from vlmfrontier.tables.values import problem_of
from vlmfrontier.units import parse_number

SAME = 0.005
"""Relative difference up to which a value counts as a measured level: people write 83.3k for 83,280 parameters."""


@dataclass(frozen=True)
class MeasuredCost:
    """c(x) read from a grid of measured values, multilinear between neighbouring levels (which is exact for Eq. 1)."""

    levels: Mapping[str, np.ndarray]
    """Measured values by factor, ascending, each of shape (L_k,)."""
    grid: np.ndarray
    """Measured cost of every combination, shape (L_1, …, L_K); NaN where it was not measured."""
    unit: str

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors that the cost was measured over."""
        return tuple(self.levels)

    @property
    def models(self) -> dict[str, list[float]]:
        """None: between measured levels it is interpolated."""
        return {}

    def cost(self, values: Mapping[str, ArrayLike]) -> np.ndarray:
        """Return c(x) for the columns of `values`, elementwise; NaN where neither x nor all its neighbours were
        measured."""
        columns = np.broadcast_arrays(*(np.asarray(values[name], float) for name in self.factors))
        places = [_place(levels, column) for levels, column in zip(self.levels.values(), columns, strict=True)]
        cost = np.zeros(columns[0].shape)
        for corner in product((0, 1), repeat=len(places)):
            weights = [above if upper else 1 - above for upper, (_, above) in zip(corner, places, strict=True)]
            share = np.prod(weights, axis=0)
            measured = self.grid[tuple(below + upper for upper, (below, _) in zip(corner, places, strict=True))]
            cost += np.where(share == 0, 0.0, share * measured)  # a corner without weight need not be measured
        return cost


def measured_cost(frame: Mapping[str, np.ndarray], cost: np.ndarray, unit: str) -> MeasuredCost:
    """Return the cost of rows: columns of factor values (m,), and what each row costs; the median of repeated rows."""
    found = [np.unique(column, return_inverse=True) for column in frame.values()]
    shape = tuple(len(levels) for levels, _ in found)
    cell = np.ravel_multi_index([position.reshape(-1) for _, position in found], shape)
    grid = np.full(np.prod(shape), np.nan)
    for each in np.unique(cell):
        grid[each] = np.median(cost[cell == each])
    # One more plane of nothing above every factor's last level, so that each place has a neighbour above.
    padded = np.pad(grid.reshape(shape), [(0, 1)] * len(shape), constant_values=np.nan)
    return MeasuredCost({name: levels for name, (levels, _) in zip(frame, found, strict=True)}, padded, unit)


def read_measured(path: Path, headers: Mapping[str, str], column: str, unit: str) -> MeasuredCost:
    """Return the cost in a CSV with one row per measured configuration; `headers` name the columns of the factors.

    Raises `UserError` with file, line and column for a missing file or column, and for cells that are no positive
    number.
    """
    table = read_delimited(path)
    missing = [header for header in (*headers.values(), column) if " ".join(header.split()) not in table.header]
    if missing:
        raise UserError(
            f"cost.table: {path} has no column {missing[0]!r}; its columns are {', '.join(table.header)}. Name the "
            "cost's in cost.table.column and the factors' in cost.table.factors, as {N: params, T: frames}"
        )
    factors = {name: _positive(table, header, path) for name, header in headers.items()}
    return measured_cost(factors, _positive(table, column, path), unit)


def _place(levels: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of the level at or below each value, and how far towards the next one it lies, 0 to below 1.

    The latter is NaN outside the levels.
    """
    nearest = levels[np.abs(np.log(values[..., None] / levels)).argmin(axis=-1)]
    values = np.where(np.abs(values / nearest - 1) <= SAME, nearest, values)
    below = np.clip(np.searchsorted(levels, values, side="right") - 1, 0, len(levels) - 1)
    step = np.append(np.diff(levels), np.inf)[below]
    above = (values - levels[below]) / step
    return below, np.where((values < levels[0]) | (values > levels[-1]), np.nan, above)


def _positive(table: Delimited, header: str, path: Path) -> np.ndarray:
    """Return a column as positive numbers."""
    for line, cell in zip(table.lines, table.column(header), strict=True):
        problem = problem_of(cell) or ("" if parse_number(cell) > 0 else f"has {cell!r}, which is no positive number")
        if problem:
            raise UserError(f"cost.table: {path}: line {line}, column {header!r} {problem}")
    return np.array([parse_number(cell) for cell in table.column(header)])
