"""A training as it was placed: as many processes as were planned, and the job's time limit ends nothing."""

import contextlib
import os
from argparse import Namespace
from collections.abc import Iterator

from vlmfrontier.cluster.job import last_moment, requeue
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
    """Raise `UserError` unless as many processes train together as were planned."""
    if given.gpus is None:
        return
    processes, planned = int(os.environ.get("WORLD_SIZE", "1")), given.gpus * given.nodes
    if processes != planned:
        raise UserError(f"{processes} processes, but {planned} are planned ({given.nodes} nodes of {given.gpus} GPUs)")
