"""Several turns behind one video in one sequence, each seeing the video and itself, none another turn.

A sequence is a prefix (segment 0: the video and what stands before it) and segments 1, 2, …; padding is segment −1.
Positions of every segment start where the prefix ends, so each turn is computed as if it stood alone behind the video.
"""

import torch

PADDING = -1


def packed_mask(segments: torch.Tensor, num_queries: int | None = None) -> torch.Tensor:
    """Return which keys each query may see: (batch, 1, queries, keys) bool for `segments` (batch, keys).

    A key is seen if it does not come after the query and is of the prefix or of the query's own segment. The queries
    are the last `num_queries` positions (all by default). Padding sees itself alone, so that no softmax is empty.
    """
    length = segments.shape[1]
    queries = length if num_queries is None else num_queries
    own = segments[:, length - queries :, None]
    keys = segments[:, None, :]
    positions = torch.arange(length, device=segments.device)
    before = positions[None, :] <= positions[length - queries :, None]
    itself = positions[None, :] == positions[length - queries :, None]
    seen = before & ((keys == 0) | (keys == own)) & (keys != PADDING)
    return (seen | itself)[:, None]


def packed_positions(segments: torch.Tensor) -> torch.Tensor:
    """Return position ids, shaped as `segments`: the prefix counts up, every segment goes on from it."""
    same = segments[:, None, :] == segments[:, :, None]
    earlier = torch.ones(same.shape[1:], dtype=torch.bool, device=segments.device).tril(-1)
    inside = (same & earlier).sum(-1)
    prefix = (segments == 0).sum(-1, keepdim=True)
    return inside + prefix * (segments > 0)


def additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return what attention adds to its scores: 0 where `mask` says seen, the lowest number elsewhere."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)
