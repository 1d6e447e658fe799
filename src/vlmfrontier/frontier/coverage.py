"""What the runs cover, and which answers lie outside it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

INSIDE = "no"
"""The value of the column `extrapolates` where nothing is extrapolated; otherwise the names of what is, as `T n`."""


@dataclass(frozen=True)
class RunRange:
    """The smallest and largest value of every factor, and of n, among the runs that the laws were fitted to."""

    factors: dict[str, tuple[float, float]]
    """Smallest and largest value by factor, in the units of the table."""
    examples: tuple[float, float] | None
    """Smallest and largest number of examples; None for a table without data size."""

    @classmethod
    def of(cls, factors: Mapping[str, np.ndarray], examples: np.ndarray | None) -> "RunRange":
        """Return the ranges of the given columns."""
        spans = {name: (float(np.min(values)), float(np.max(values))) for name, values in factors.items()}
        return cls(spans, None if examples is None else (float(np.min(examples)), float(np.max(examples))))

    def outside(self, x: Mapping[str, float], examples: float | None) -> list[str]:
        """Return the names of the factors, and `n`, whose value lies outside the runs."""
        names = [name for name, (low, high) in self.factors.items() if not low <= x[name] <= high]
        if examples is not None and self.examples is not None and not self.examples[0] <= examples <= self.examples[1]:
            names.append("n")
        return names
