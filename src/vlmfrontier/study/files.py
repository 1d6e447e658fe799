"""Paths in a configuration are relative to the file they are written in, wherever that file is included from."""

import os
import re
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

HUB_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")


def is_folder(pretrained: str) -> bool:
    """Say whether a `pretrained` names a folder, as opposed to a model of the Hugging Face hub."""
    return pretrained.startswith((".", "/"))


def _model_from_here(value: Any) -> Any:
    """Return a folder relative to the working directory, beginning with a dot or a slash; a hub name as it is."""
    if not isinstance(value, str):
        return value
    if is_folder(value):
        path = _from_here(value)
        return path if is_folder(path) else f"./{path}"
    if not HUB_NAME.match(value):
        raise ValueError("write owner/name of a model of the Hugging Face hub, or a folder beginning with ./")
    return str(value)


PretrainedModel = Annotated[str, BeforeValidator(_model_from_here)]
"""A field that names a published model: `owner/name` of the Hugging Face hub, or a folder, beginning with `./`, `../`
or `/`, relative to the file that names it."""
