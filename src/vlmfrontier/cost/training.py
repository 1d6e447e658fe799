"""What finetuning costs."""

import numpy as np
from numpy.typing import ArrayLike

BACKWARD = 3.0
"""The way back costs twice the way forward, so a training step three times the inference that Eq. 1 counts."""


def training_cost(inference: ArrayLike, examples: ArrayLike, epochs: float = 1.0) -> np.ndarray:
    """Return the cost of finetuning, 3·c(x)·n·epochs, in the unit of c: FLOPs for Eq. 1.

    `inference` is c(x) per video and `examples` n, of shapes that broadcast.
    """
    return BACKWARD * np.asarray(inference, float) * np.asarray(examples, float) * epochs
