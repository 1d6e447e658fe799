"""The table that laws are fitted to: a row for every test of a trained model, and which rows belong together."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from vlmfrontier.errors import UserError
from vlmfrontier.laws.formula import DATA
from vlmfrontier.laws.transfer import Transfer, estimate

LABELS = ("run", "sweep", "seed")
"""Columns of `runs.csv` that say which run a row is."""


@dataclass(frozen=True)
class ResultsTable:
    """One row per trained and evaluated model, in the units of the table; `units` scale factors for fits."""

    name: str
    """Where it was read from, for messages."""
    factors: dict[str, np.ndarray]
    """Values of every factor, (m,)."""
    data: np.ndarray | None
    """Data size n, (m,)."""
    targets: dict[str, np.ndarray]
    """Error of every target, (m,), NaN where it was not measured; lower is better. On 0–100 where the table says
    accuracies or scores."""
    se: dict[str, np.ndarray | None]
    """Standard errors of the targets."""
    units: dict[str, float]
    """What one unit of each factor is in a fit."""
    data_unit: float | None
    """What one unit of n is in a fit."""
    configuration: np.ndarray
    """(m,) whole numbers, equal for rows that differ in nothing but the seed."""
    training: np.ndarray
    """(m,) whole numbers, equal for rows whose trainings differ in nothing but the seed, at whatever levels they are
    tested: the statistical unit of resamples, folds and scores."""
    split: np.ndarray | None
    """(m,) rows to fit on when extrapolation is judged."""
    frame: pd.DataFrame
    """The columns that say which run a row is, as text, where there are such; indexed by line number."""
    has_seeds: bool = False
    """Whether repeats of a configuration are meant as such."""
    zeros: dict[str, list[int]] = field(default_factory=dict)
    """Lines of each target where no question was answered wrong, counted as half a wrong answer."""
    largest: dict[str, float] = field(default_factory=dict)
    """The largest error that there can be, of the targets that have one."""
    ceilings: dict[str, dict[str, float]] = field(default_factory=dict)
    """What of `chance` and `control` is known of each target."""
    missing: dict[str, list[int]] = field(default_factory=dict)
    """Lines of each target that have no value: NaN here, and no row of what is fitted (`measured`)."""
    notes: list[str] = field(default_factory=list)
    """Named warnings about how the file was read."""
    trained: dict[str, np.ndarray] = field(default_factory=dict)
    """Of the factors that a model may be tested at other levels of: what it was trained at, (m,)."""
    elastic: np.ndarray | None = None
    """(m,) whether a model was trained at levels drawn batch by batch, the largest in `trained`; None: none was."""
    transfer: dict[str, Transfer] = field(default_factory=dict)
    """The transfer gap of a target, where `measured` has estimated it."""

    def __len__(self) -> int:
        return len(self.configuration)

    @property
    def has_data(self) -> bool:
        """Whether there is an n."""
        return self.data is not None

    @property
    def configurations(self) -> int:
        """Number of distinct configurations x and n that were tested, wherever their models were trained."""
        return len(np.unique(numbered(self.points())))

    @property
    def trainings(self) -> int:
        """Number of trainings, those that differ in the seed only as one."""
        return len(np.unique(self.training))

    @cached_property
    def elsewhere(self) -> np.ndarray:
        """(m,) rows whose model was not trained at the levels that it is tested at."""
        away = np.zeros(len(self), bool) if self.elastic is None else self.elastic.copy()
        for name, levels in self.trained.items():
            away |= levels != self.factors[name]
        return away

    @property
    def names(self) -> list[str]:
        """What each row is called: the run's key, with its levels where it is tested elsewhere; or an own table's line.

        `N83.3k_T16_V36_n400_s0@T4_V9`.
        """
        frame = self.frame
        names = [str(key) for key in frame["run"]] if "run" in frame else [f"line {line}" for line in frame.index]
        away = np.any([levels != self.factors[name] for name, levels in self.trained.items()], axis=0)
        for i in np.flatnonzero(away) if "run" in frame else ():
            names[i] += "@" + "_".join(f"{name}{self.factors[name][i]:g}" for name in self.trained)
        return names

    @property
    def names_of_trainings(self) -> list[str]:
        """Which training each row is a test of: the run's key, or in an own table a number."""
        return [str(key) for key in self.frame["run"]] if "run" in self.frame else [str(i) for i in self.training]

    def points(self) -> dict[str, np.ndarray]:
        """Return factors and n as columns, the argument of `predict`."""
        return {**self.factors, DATA: self.data} if self.has_data else dict(self.factors)

    def error(self, target: str) -> np.ndarray:
        """Return the error of `target`, (m,). Raises `UserError` if the table has no such target."""
        if target not in self.targets:
            raise UserError(f"{self.name}: there is no target {target!r}; the targets are {', '.join(self.targets)}")
        return self.targets[target]

    def measured(self, target: str) -> "ResultsTable":
        """Return the rows in which `target` was measured: all, in most tables.

        Where models were tested at other levels than they were trained at, with errors as of models that were all
        trained at the largest, as far as anchors tell.
        """
        known = ~np.isnan(self.error(target))
        if not known.all() or any(self.missing.values()):
            return replace(self.rows(known), missing={target: self.missing.get(target, [])})._at_one_place(target)
        return self._at_one_place(target)

    def _at_one_place(self, target: str) -> "ResultsTable":
        """Return the table with errors as of models that were all trained at one place, whose tests they are."""
        if not self.elsewhere.any() or target in self.transfer:
            return self
        found = self.transfer_gap(target)
        if not found.anchors:
            return replace(self, transfer={target: found})
        error = self.error(target) * np.exp(-found.Z @ found.mean)
        largest = self.largest.get(target, np.inf)
        return replace(self, targets={target: np.minimum(error, largest)}, transfer={target: found})

    def transfer_gap(self, target: str) -> Transfer:
        """Return what the anchors tell of the transfer gap of `target`, every row of which is measured."""
        points, log_error = self.points(), np.log(self.error(target))
        return estimate(points, self.trained, self.elastic, log_error, numbered(points), self.elsewhere)

    def plain(self) -> pd.DataFrame:
        """Return factors, n, trained levels, targets and their standard errors as columns named as in `runs.csv`."""
        trained = {f"{name}_train": levels for name, levels in self.trained.items()}
        errors = {f"{name}_se": values for name, values in self.se.items() if values is not None}
        return pd.DataFrame(self.points() | trained | self.targets | errors)

    def rows(self, keep: np.ndarray) -> "ResultsTable":
        """Return the table with these rows only (a mask or indices)."""
        return replace(
            self,
            factors={name: values[keep] for name, values in self.factors.items()},
            data=self.data[keep] if self.has_data else None,
            targets={name: values[keep] for name, values in self.targets.items()},
            se={name: None if values is None else values[keep] for name, values in self.se.items()},
            configuration=self.configuration[keep],
            training=self.training[keep],
            trained={name: levels[keep] for name, levels in self.trained.items()},
            elastic=None if self.elastic is None else self.elastic[keep],
            transfer={name: gap.rows(keep) for name, gap in self.transfer.items()},
            split=None if self.split is None else self.split[keep],
            frame=self.frame.iloc[keep] if keep.dtype != bool else self.frame[keep],
        )


def from_arrays(
    factors: Mapping[str, np.ndarray],
    targets: Mapping[str, np.ndarray],
    data: np.ndarray | None = None,
    units: Mapping[str, float] | None = None,
    data_unit: float = 1.0,
    split: np.ndarray | None = None,
    se: Mapping[str, np.ndarray] | None = None,
    largest: Mapping[str, float] | None = None,
    trained: Mapping[str, np.ndarray] | None = None,
    elastic: np.ndarray | None = None,
) -> ResultsTable:
    """Return a table from columns at hand, for use from Python: factors and n positive, targets as errors.

    `largest` names the largest possible error of targets that have one, such as 100; `trained` are the levels that
    models were trained at, of factors that they are tested at others of; `elastic`: which drew them.
    """
    values = {name: np.asarray(column, float) for name, column in factors.items()}
    data = None if data is None else np.asarray(data, float)
    everything = values | ({} if data is None else {DATA: data})
    errors = {name: np.asarray(column, float) for name, column in targets.items()}
    return ResultsTable(
        name="table",
        factors=values,
        data=data,
        targets=errors,
        se={name: (se or {}).get(name) for name in targets},
        units={name: (units or {}).get(name, 1.0) for name in factors},
        data_unit=None if data is None else data_unit,
        **rows_alike(everything, trained or {}, elastic),
        split=split,
        frame=pd.DataFrame(everything | errors),
        largest=dict(largest or {}),
    )


def rows_alike(
    values: Mapping[str, np.ndarray], trained: Mapping[str, np.ndarray], elastic: np.ndarray | None = None
) -> dict[str, Any]:
    """Return the fields of a table that say which rows belong together; `values` are factors and n as tested."""
    how = {} if elastic is None else {"elastic": elastic.astype(float)}
    at = {f"{name} trained": levels for name, levels in trained.items()}
    return {
        "configuration": numbered(values | at | how),
        "training": numbered(values | dict(trained) | how),
        "trained": dict(trained),
        "elastic": elastic,
    }


def numbered(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return a number per row, equal where all of `values` are."""
    return np.unique(np.stack(list(values.values()), axis=1), axis=0, return_inverse=True)[1].reshape(-1)
