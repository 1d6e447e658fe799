"""Simulated studies side by side: results are kept as they come, so that a benchmark can be stopped and goes on."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

Task = tuple
"""What a study is made from: kind, seed and so on; its text names it in the file."""


def simulate_all(
    simulate: Callable[[Task], pd.DataFrame], tasks: Sequence[Task], processes: int, output: Path
) -> pd.DataFrame:
    """Return the rows of `simulate` for every task, and add them to the CSV `output` as they come.

    A task whose rows stand there is not done again. Prints a line per task.
    """
    before = pd.read_csv(output) if output.exists() else pd.DataFrame({"task": []})
    left = [task for task in tasks if str(task) not in set(before.task)]
    start = time.monotonic()
    # Spawned, not forked: threads of compiled code that have run in this process do not survive a fork.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as executor:
        for count, (task, rows) in enumerate(zip(left, executor.map(simulate, left), strict=True), start=1):
            header = not output.exists()
            rows.assign(task=str(task)).to_csv(output, mode="a", header=header, index=False)
            print(f"{count}/{len(left)} {task} {time.monotonic() - start:.0f} s", flush=True)
    everything = pd.read_csv(output)
    return everything[everything.task.isin([str(task) for task in tasks])]
