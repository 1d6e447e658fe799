"""From YAML files to a study: `base:` inheritance, merging, overrides, validation."""

import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vlmfrontier.errors import UserError
from vlmfrontier.records import read_checked
from vlmfrontier.study.files import read_yaml
from vlmfrontier.study.messages import describe
from vlmfrontier.study.root import Study

MOST_BASES = 20
"""Files that may build one upon another."""


def load_study(files: Sequence[Path], overrides: Mapping[str, Any] | None = None) -> Study:
    """Return the study that `files` describe: each over its `base:`, later ones over earlier ones, `overrides` on top.

    Maps merge key by key; lists, numbers and text replace. Raises `UserError`, one line for each mistake, naming study,
    key path, value and mend.
    """
    given: dict[str, Any] = {}
    for file in files:
        given = merge(given, read_with_base(Path(file)))
    if overrides is not None and not isinstance(overrides, Mapping):
        raise UserError(f"the changes on top: expected a map of keys, found {str(overrides)[:40]!r}")
    return validate(merge(given, overrides or {}))


def read_study(path: Path) -> Study:
    """Return the resolved study of `results/<study>/study.json`. Raises `UserError` if it is missing or not one."""
    if not path.exists():
        raise UserError(f"{path}: no such file; run `snakemake plan` first")
    return validate(read_checked(path, dict[str, Any], "delete it and run `snakemake plan`"))


def write_study(study: Study, path: Path) -> None:
    """Write the resolved study, every default spelled out, in the form that `read_study` reads.

    The file is replaced as a whole, and only if it changes: jobs may be reading it.
    """
    text = study.model_dump_json(by_alias=True, indent=2) + "\n"
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)


def validate(given: Mapping[str, Any]) -> Study:
    """Return the study, or raise `UserError` with one line for each mistake."""
    if not isinstance(given, Mapping):
        raise UserError(f"the configuration: expected a map of keys, found {str(given)[:40]!r}")
    try:
        return Study.model_validate(given)
    except ValidationError as error:
        raise UserError(describe(error, given, json_schema())) from None


@cache
def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a configuration file; `base` is the one key that the resolved study no longer has."""
    schema = Study.model_json_schema()
    description = "Another configuration file that this one changes, relative to this file."
    schema["properties"] = {"base": {"type": "string", "description": description}, **schema["properties"]}
    return schema


def read_with_base(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the content of `path` over that of its `base:`, recursively. Raises `UserError` for a circle of bases."""
    here = Path(os.path.realpath(path))
    if here in above:
        raise UserError(f"{path}: its base leads back to itself; take out one `base:`")
    if len(above) >= MOST_BASES:
        raise UserError(f"{path}: the base of more than {MOST_BASES} files one upon another; write fewer")
    content = read_yaml(path)
    base = content.pop("base", None)
    if base is None:
        return content
    if not isinstance(base, str) or not base:
        raise UserError(f"{path}: base = {str(base)[:40]!r}: expected the path of another configuration file")
    return merge(read_with_base(path.parent / base, (*above, here)), content)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` changed by `above`: maps merge key by key, everything else replaces."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged
