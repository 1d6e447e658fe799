"""Models of one target as arrays over the search space: what the search needs to know of a law."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Members:
    """R models over m configurations, each f(x, n) = A(x) + B(x)·n^(−d); every form of Table 7 can be written so.

    n is counted in `data_unit` examples. A table without data size has B = 0 and d = 0.
    """

    A: np.ndarray
    """Shape (R, m): the part of the error that more data does not change."""
    B: np.ndarray
    """Shape (R, m): the part that data reduces, at n = `data_unit`."""
    d: np.ndarray
    """Shape (R,): the data exponent of each model."""
    data_unit: float = 1.0
    """Examples in one unit of n."""

    def __len__(self) -> int:
        return len(self.d)

    def decay(self, examples: np.ndarray) -> np.ndarray:
        """Return n^(−d) for every model and number of examples, shape (R, S)."""
        return (np.asarray(examples, float)[None, :] / self.data_unit) ** -self.d[:, None]

    def errors(self, configurations: np.ndarray, examples: float) -> np.ndarray:
        """Return f for the configurations at the given indices (I,) and one number of examples, shape (R, I)."""
        return self.A[:, configurations] + self.B[:, configurations] * self.decay(np.array([examples]))

    def take(self, rows: np.ndarray) -> "Members":
        """Return the models at `rows`, in that order; a row may come more than once."""
        return Members(self.A[rows], self.B[rows], self.d[rows], self.data_unit)


def stack(parts: Sequence[Members]) -> Members:
    """Return all models of `parts` together; they must share configurations and data unit."""
    if len({part.data_unit for part in parts}) != 1:
        raise ValueError("members to be stacked count n in different units")
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in ("A", "B", "d"))
    return Members(*arrays, data_unit=parts[0].data_unit)
