"""What axes are called, with their units."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import fill

from vlmfrontier.records import Runs

RANGE = " (0–100)"
SMALL = 18
"""Letters in a line beside a small panel."""


@dataclass(frozen=True)
class Labels:
    """The axes of one target's figures."""

    error: str
    """The target's error, with its range where it has one."""
    names: Mapping[str, str]
    """Factors and n."""
    cost_unit: str = "FLOPs"
    """What budgets and costs count."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """The error of every target, as `error`."""

    @classmethod
    def of(cls, runs: Runs, target: str, cost_unit: str = "FLOPs") -> "Labels":
        """Return the labels of a target of the runs."""
        names = {symbol: variable.axis(symbol) for symbol, variable in runs.variables.items()}
        errors = {
            name: name if measure.largest is None else f"{name}: error{RANGE}" for name, measure in runs.targets.items()
        }
        return cls(errors[target], names, cost_unit, errors)

    def small_error(self, target: str) -> str:
        """Return a target's error for the side of a small panel, in two lines where it has a range."""
        return self.errors.get(target, target).replace(": ", "\n")

    def small_name(self, name: str) -> str:
        """Return what a factor, or n, is called for the side of a small panel."""
        return fill(self.names[name], SMALL)

    @property
    def range(self) -> str:
        """What all errors are measured in, behind the word error: ` (0–100)`; empty if own tables do not say."""
        return RANGE if all(label.endswith(RANGE) for label in self.errors.values()) else ""

    @property
    def budget(self) -> str:
        """The axis of budgets."""
        return f"budget c ({self.cost_unit}{self._per_video})"

    @property
    def cost(self) -> str:
        """The axis of the runs' own costs."""
        return f"cost c ({self.cost_unit}{self._per_video})"

    @property
    def _per_video(self) -> str:
        return " per video" if self.cost_unit == "FLOPs" else ""
