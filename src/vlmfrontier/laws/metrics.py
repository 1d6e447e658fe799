"""How well predictions meet measurements: MSE, E%, R²."""

from typing import Literal

import numpy as np


def metrics(
    predicted: np.ndarray, measured: np.ndarray, percentage: Literal["error", "score"] = "error"
) -> dict[str, float]:
    """Return `mse` (squared units of the target), `e_pct` and `r2` of predictions (m,).

    `e_pct` is the mean of 100·|f̂ − f| / f, with f the error or the score 100 − error. `r2` is 1 − SS_res/SS_tot about
    the mean of `measured`, and so may be negative out of sample.
    """
    difference = predicted - measured
    denominator = measured if percentage == "error" else 100.0 - measured
    total = np.sum((measured - measured.mean()) ** 2)
    return {
        "mse": float(np.mean(difference**2)),
        "e_pct": float(100.0 * np.mean(np.abs(difference / denominator))),
        "r2": float(1.0 - np.sum(difference**2) / total) if total > 0 else float("nan"),
    }
