"""Paths in a configuration are relative to the file they are written in, wherever that file is included from."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator


class Written(str):
    """Text of a YAML file that remembers the folder of that file."""

    __slots__ = ("folder",)
    folder: Path

    @classmethod
    def inside(cls, text: str, folder: Path) -> "Written":
        """Return `text` as written in a file of `folder`."""
        written = cls(text)
        written.folder = folder
        return written


def _from_here(value: Any) -> Any:
    """Return a path relative to the working directory; a plain string (study.json, a test) already is one."""
    if isinstance(value, Written):
        return os.path.relpath(value.folder / value)
    return str(value) if isinstance(value, Path) else value


InputFile = Annotated[str, BeforeValidator(_from_here)]
"""A field that names a file of the user; after validation relative to the working directory."""
