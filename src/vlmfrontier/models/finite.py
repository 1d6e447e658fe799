"""Whether weights are numbers: a diverged training makes NaN or infinite ones, whose answers look like any others."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from torch.distributed.tensor import DTensor

from vlmfrontier.errors import UserError

SHOWN = 3
"""Tensors that a message names."""


def not_finite(tensors: Iterable[tuple[str, torch.Tensor]]) -> list[str]:
    """Return the names of those `tensors` that hold a NaN or an infinity; of sharded ones in this process's part."""
    names, flags = [], []
    for name, tensor in tensors:
        own = tensor.to_local() if isinstance(tensor, DTensor) else tensor
        if own.is_floating_point():
            names.append(name)
            flags.append(torch.isfinite(own).all())
    if not flags or bool(torch.stack([flag.to(flags[0].device) for flag in flags]).all()):
        return []
    return [name for name, flag in zip(names, flags, strict=True) if not flag]


def listed(names: list[str]) -> str:
    """Return how many tensors these are and the first of them, for a message."""
    more = ", …" if len(names) > SHOWN else ""
    return f"{len(names)} tensors hold NaN or infinite numbers ({', '.join(names[:SHOWN])}{more})"


def _saved(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  (no mapping)
                yield name, file.get_tensor(name)


def saved_not_finite(folder: Path) -> list[str]:
    """Return the names of the tensors in the weight files of `folder` that hold a NaN or an infinity."""
    return [name for name, tensor in _saved(folder) if not_finite([(name, tensor)])]


def check_saved(folder: Path, mend: str) -> None:
    """Raise `UserError`, which ends with `mend`, if weights saved in `folder` are not finite."""
    if names := saved_not_finite(folder):
        raise UserError(f"{folder}: {listed(names)}: the training that made them diverged; {mend}")
