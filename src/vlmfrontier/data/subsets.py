"""Nested training subsets: a run's n examples are the first n of one seeded order."""

import hashlib
from collections.abc import Sequence

import numpy as np

from vlmfrontier.errors import UserError


def nested_subset(ids: Sequence[str], n: int, seed: int) -> list[int]:
    """Return the positions in `ids` of the `n` examples for `seed`; a smaller n gives the head of a larger one's.

    The order depends on the ids alone, not on their order in the file. Raises `UserError` if there are fewer than n.
    """
    if n > len(ids):
        raise UserError(f"{n:,} examples asked for, but the training data has {len(ids):,}; lower n or add data")
    by_id = sorted(range(len(ids)), key=lambda i: ids[i])
    order = np.random.default_rng([seed, 20250518]).permutation(len(ids))
    return [by_id[i] for i in order[:n]]


def subset_hash(ids: Sequence[str]) -> str:
    """Return a short hash of the set of `ids`, the same whatever their order."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:16]
