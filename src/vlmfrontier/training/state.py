"""The folder that makes a long training survive: `runs/<run>/state/`, declared by no rule.

It holds the configuration that made it (another one is refused), the last two checkpoints, each valid only with a
manifest of its files written after them, the append-only log of all attempts, and the report of a finished training.
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from vlmfrontier.errors import UserError
from vlmfrontier.files import append_line, hash_file, write_json
from vlmfrontier.records import Training, read_checked

MANIFEST = "complete.json"
FINISHED = "finished.json"
DIVERGED = "diverged.json"


def _differences(old: dict, new: dict, prefix: str = "") -> list[str]:
    """Return `key: old → new` for every value that differs between two nested records."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += _differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}: {before} → {after}")
    return found


class TrainingState:
    """A training's state folder, opened for one resolved configuration.

    Of several processes one is the `writer`; for the others everything that writes does nothing. `check` is called
    before a checkpoint counts and raises if the folder belongs to another process by now. Raises `UserError` naming
    both values if the folder was made by another configuration.
    """

    def __init__(self, folder: Path, recipe: dict, writer: bool = True, check: Callable[[], None] = lambda: None):
        self.folder, self.writer, self.check = folder, writer, check
        self.recipe = json.loads(json.dumps(recipe))
        if not writer:
            return
        folder.mkdir(parents=True, exist_ok=True)
        record = folder / "recipe.json"
        if record.exists() and self.checkpoints():
            changed = _differences(json.loads(record.read_text()), self.recipe)
            if changed and (folder / DIVERGED).exists():
                self.clear_checkpoints()  # they led nowhere, and the user was told to change settings
            elif changed:
                raise UserError(
                    f"{folder}: begun with another configuration ({'; '.join(changed[:4])}); "
                    "delete the folder to train anew, or restore the configuration"
                )
        write_json(record, self.recipe)

    def checkpoints(self) -> list[Path]:
        """Return the checkpoint folders, newest first, valid or not."""
        found = self.folder.glob("checkpoint-*")
        return sorted(found, key=lambda p: int(p.name.split("-")[1]), reverse=True)

    def newest_valid(self) -> Path | None:
        """Return the newest checkpoint whose files are all as its manifest says; damaged newer ones are removed."""
        for checkpoint in self.checkpoints():
            if self._is_valid(checkpoint):
                return checkpoint
            self.log({"event": "damaged checkpoint removed", "checkpoint": checkpoint.name})
            shutil.rmtree(checkpoint)
        return None

    @staticmethod
    def _is_valid(checkpoint: Path) -> bool:
        try:
            files = json.loads((checkpoint / MANIFEST).read_text())
            return all(hash_file(checkpoint / name) == digest for name, digest in files.items())
        except (OSError, ValueError):
            return False

    def seal(self, checkpoint: Path) -> None:
        """Write the manifest of `checkpoint`: from here on it counts. All files are on disk before."""
        if not self.writer:
            return
        self.check()
        files = sorted(p for p in checkpoint.rglob("*") if p.is_file() and p.name != MANIFEST)
        for path in files:
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        write_json(checkpoint / MANIFEST, {str(p.relative_to(checkpoint)): hash_file(p) for p in files})

    def log(self, entry: dict) -> None:
        """Append one line to `train.jsonl`, with the time in seconds since 1970."""
        if not self.writer:
            return
        append_line(self.folder / "train.jsonl", {**entry, "time": round(time.time(), 1)})

    def clear_checkpoints(self) -> None:
        """Remove all checkpoints: the training is finished and its model saved."""
        if not self.writer:
            return
        for checkpoint in self.checkpoints():
            shutil.rmtree(checkpoint)

    def begin(self) -> None:
        """Forget how an earlier training ended here: another one is under way from now on, also if it is killed."""
        if self.writer:
            for end in (FINISHED, DIVERGED):
                (self.folder / end).unlink(missing_ok=True)

    def diverge(self, message: str, step: int) -> None:
        """Keep that the training diverged: with other settings the next one begins anew, with these where it was."""
        self.log({"event": "diverged", "step": step, "message": message})
        if self.writer:
            self.check()
            write_json(self.folder / DIVERGED, {"step": step, "message": message})

    def finish(self, report: dict, again: str | None = None) -> None:
        """Keep the report of the finished training and the request that it answers; its checkpoints may go."""
        if self.writer:
            self.check()
            write_json(self.folder / FINISHED, {"again": again, "report": report})
        self.clear_checkpoints()


class Finished(NamedTuple):
    """A training that finished."""

    report: dict
    again: str | None
    """The request to train again that it was made for; None: it was the first."""


def finished_training(folder: Path) -> Finished | None:
    """Return the training that finished in the state folder `folder`; None if none did, or another began since."""
    try:
        kept = read_checked(folder / FINISHED, dict[str, Any], "")
        TypeAdapter(Training).validate_python(kept["report"])
        return Finished(kept["report"], kept["again"])
    except (UserError, KeyError, ValueError):
        return None
