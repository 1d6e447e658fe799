"""A training as it was placed: what this process sees is what was planned, and the job's time limit ends nothing."""

import contextlib
import os
from argparse import Namespace
from collections.abc import Iterator

import torch

from vlmfrontier.cluster.job import job_id, last_moment, requeue
from vlmfrontier.errors import UserError
from vlmfrontier.training.loop import Interrupted
from vlmfrontier.training.processes import is_first
from vlmfrontier.training.shares import Layout


@contextlib.contextmanager
def placed(given: Namespace, name: str) -> Iterator[Layout]:
    """Give the layout of the training called `name`; if its job's time limit interrupts it, have the job requeued.

    Raises `UserError` as `check_placement` does.
    """
    check_placement(given)
    stop_at = last_moment(given.warning) if given.warning else None
    try:
        yield Layout(given.micro_batch, given.checkpointing, stop_at)
    except Interrupted as stopped:
        # Without progress it would be requeued for ever.
        if stopped.warned and stopped.progressed and is_first() and requeue():
            print(f"{name}: the job is requeued and goes on where it was", flush=True)
        raise


def check_placement(given: Namespace) -> None:
    """Raise `UserError` unless the GPUs and processes that this process sees are those that were planned."""
    if given.gpus is None:
        return
    processes, planned = int(os.environ.get("WORLD_SIZE", "1")), given.gpus * given.nodes
    if processes != planned:
        raise UserError(f"{processes} processes, but {planned} are planned ({given.nodes} nodes of {given.gpus} GPUs)")
    seen = visible_gpus(given.without_cuda)
    if seen != given.gpus:
        raise UserError(
            f"this node shows {seen} GPUs, but {given.gpus} are planned; see {_slurm_says()}, the site file's section"
            " gpu and, if Slurm gave the right number, whether torch was installed for CUDA"
        )


def visible_gpus(without_cuda: bool) -> int:
    """Return the GPUs that Slurm made visible here: by torch, or where there is no CUDA by CUDA_VISIBLE_DEVICES."""
    if without_cuda:
        return len([device for device in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if device])
    return torch.cuda.device_count()


def _slurm_says() -> str:
    job = job_id()
    return f"`scontrol show job -d {job}`" if job else "CUDA_VISIBLE_DEVICES"
