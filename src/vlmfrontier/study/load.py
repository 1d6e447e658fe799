"""From YAML files to a study: `base:` inheritance, merging, overrides, validation."""

import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from vlmfrontier.errors import UserError
from vlmfrontier.records import read_checked
from vlmfrontier.study.files import Written
from vlmfrontier.study.messages import describe
from vlmfrontier.study.root import Study


def load_study(files: Sequence[Path], overrides: Mapping[str, Any] | None = None) -> Study:
    """Return the study that `files` describe: each over its `base:`, later ones over earlier ones, `overrides` on top.

    Maps merge key by key; lists, numbers and text replace. Raises `UserError`, one line for each mistake, naming study,
    key path, value and mend.
    """
    given: dict[str, Any] = {}
    for file in files:
        given = merge(given, read_with_base(Path(file)))
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
    if path.resolve() in above:
        raise UserError(f"{path}: its base leads back to itself; take out one `base:`")
    content = read_yaml(path)
    base = content.pop("base", None)
    if base is None:
        return content
    return merge(read_with_base(path.parent / base, (*above, path.resolve())), content)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` changed by `above`: maps merge key by key, everything else replaces."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the map in a YAML file, its texts remembering where they are written.

    Raises `UserError` with file and line for a missing file, wrong syntax, a key written twice, or no map.
    """
    try:
        with path.open() as file:
            content = yaml.load(file, _loader(path.parent))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}, line {line}: {error.problem}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a map of keys, found {type(content).__name__}")
    return content


def _loader(folder: Path) -> type[yaml.SafeLoader]:
    """Return a safe loader for a file of `folder` that refuses a key written twice."""

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value:
                if key.value in seen and key.value != "<<":
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} is written twice", key.start_mark
                    )
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    def written(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Written:
        return Written.inside(loader.construct_scalar(node), folder)

    Loader.add_constructor("tag:yaml.org,2002:str", written)
    return Loader
