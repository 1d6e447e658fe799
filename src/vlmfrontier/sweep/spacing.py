"""Which of many configurations of equal cost to train: balanced ones, far from each other."""

import numpy as np


def heights(levels: np.ndarray) -> np.ndarray:
    """Return where each value lies between the lowest (0) and the highest (1), in logs; 0.5 if all are equal."""
    logs = np.log(np.asarray(levels, float))
    span = logs.max() - logs.min()
    return np.full(logs.shape, 0.5) if span == 0 else (logs - logs.min()) / span


def imbalance(points: np.ndarray) -> np.ndarray:
    """Return how lopsided each point (m, K) of heights is: its highest minus its lowest coordinate, shape (m,)."""
    return points.max(axis=1) - points.min(axis=1)


def well_spaced(points: np.ndarray, count: int) -> list[int]:
    """Return the indices of at most `count` rows of `points` (m, K): the most balanced, then greedily the farthest.

    Each next point is the one whose nearest chosen neighbour is farthest away; ties go to the lower index, so that the
    choice is the same everywhere.
    """
    if not len(points):
        return []
    chosen = [int(np.argmin(imbalance(points).round(9)))]
    while len(chosen) < min(count, len(points)):
        distance = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(axis=1).round(9)
        distance[chosen] = -1.0
        chosen.append(int(np.argmax(distance)))
    return chosen
