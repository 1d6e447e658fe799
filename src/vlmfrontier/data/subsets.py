"""Nested training subsets: a run's n examples are the first n of one seeded order."""

import hashlib
from collections.abc import Sequence

import numpy as np

from vlmfrontier.errors import UserError


def nested_subset(ids: Sequence[str], n: int, seed: int, sources: np.ndarray | None = None) -> list[int]:
    """Return the positions in `ids` of the `n` examples for `seed`; a smaller n gives the head of a larger one's.

    The order depends on ids and sources alone, not on their order in the file. Where `sources` numbers the source of
    every id, each n has the sources' shares as nearly as whole examples allow: source s with m of all examples has its
    j-th at (j + ½) / m of the way. Raises `UserError` if there are fewer than n.
    """
    if n > len(ids):
        raise UserError(f"{n:,} examples asked for, but the training data has {len(ids):,}; lower n or add data")
    by_id = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
    shuffled = by_id[np.random.default_rng([seed, 20250518]).permutation(len(ids))]
    order = shuffled if sources is None else _interleaved(shuffled, np.asarray(sources))
    return order[:n].tolist()


def _interleaved(shuffled: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Return `shuffled` reordered so that every head has the sources' shares; within a source the order stays."""
    of = sources[shuffled]
    way = np.empty(len(shuffled))
    for source in np.unique(of):
        places = np.flatnonzero(of == source)
        way[places] = (np.arange(len(places)) + 0.5) / len(places)
    # Sources whose examples fall on the same place take turns by the shuffled order.
    return shuffled[np.argsort(way, kind="stable")]


def subset_hash(ids: Sequence[str]) -> str:
    """Return a short hash of the set of `ids`, the same whatever their order."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:16]
