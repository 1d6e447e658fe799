"""How far each run has come, read from its folder."""

from pathlib import Path
from typing import NamedTuple

from vlmfrontier.sweep.runs import Run

DONE, TRAINED, FAILED, STARTED, MISSING = "done", "finetuned", "failed", "started", "missing"


class Status(NamedTuple):
    """Where a run stands, and for a failed one why."""

    state: str
    """done, finetuned (not yet evaluated), failed, started (running or interrupted) or missing."""
    reason: str = ""
    """The last line of the log of a failed run."""


def run_status(results: Path, run: Run) -> Status:
    """Return the status of `run` from its files in `results`; a later failed attempt outweighs a result."""
    folder = results / "runs" / run.key
    result = folder / "result.json"
    for stage in ("evaluate", "finetune"):
        log = folder / f"{stage}.log"
        if failure(log) and not (result.exists() and result.stat().st_mtime >= log.stat().st_mtime):
            return Status(FAILED, f"{stage}: {failure(log)}")
    if result.exists():
        return Status(DONE)
    if (folder / "finetuned.json").exists():
        return Status(TRAINED)
    return Status(STARTED if (folder / "finetune.log").exists() else MISSING)


def failure(log: Path) -> str:
    """Return the line of `log` that says why its job failed, or an empty string if it does not say so."""
    if not log.exists():
        return ""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    if lines and (lines[-1].startswith("error: ") or any(line.startswith("Traceback ") for line in lines)):
        return lines[-1]
    return ""


def log_tail(log: Path, count: int) -> str:
    """Return the last `count` lines of `log`, indented."""
    return "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-count:])
