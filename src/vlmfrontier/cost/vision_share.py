"""How much of the inference is seeing: the vision model's share of c(x) (the paper's Figure 6)."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


class SharedCost(Protocol):
    """A cost that knows its parts."""

    def vision_share(self, values: Mapping[str, ArrayLike]) -> np.ndarray:
        """Return the share of c(x) spent in the vision model, between 0 and 1."""


def vision_share_table(
    model: SharedCost, N: Sequence[float], T: float, V: Sequence[float], M: float | None = None
) -> pd.DataFrame:
    """Return the vision model's share of c(x) for every pair of N and V at T frames, a row each; M is that of one of
    several vision models, whose grids that are too fine for it have no row.

    Under Eq. 1 the share is M·W / (M·W + N·V), whatever T; `more` is M·W / (N·V), by how much seeing raises the cost of
    the language model alone (the paper's Appendix A.3).
    """
    frame = pd.DataFrame([(size, T, tokens) for size in N for tokens in V], columns=["N", "T", "V"], dtype=float)
    if M is not None:
        frame = frame.assign(M=M)
    share = np.asarray(model.vision_share(frame), float)
    return frame.assign(share=share, more=share / (1 - share)).dropna(ignore_index=True)
