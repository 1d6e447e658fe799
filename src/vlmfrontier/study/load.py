"""From YAML files to a study: `base:` inheritance, overrides, validation, and a mistake in the user's words."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vlmfrontier.errors import UserError, did_you_mean
from vlmfrontier.records import read_checked
from vlmfrontier.study.base import Section
from vlmfrontier.study.files import read_yaml
from vlmfrontier.study.levels import KeyPath
from vlmfrontier.study.root import Study

MOST_BASES = 20
"""Files that may build one upon another."""


def load_study(files: Sequence[Path], overrides: Mapping[str, Any] | None = None) -> Study:
    """Return the study that `files` describe: each over its `base:`, later ones over earlier ones, `overrides` on top.

    Maps merge key by key; lists, numbers and text replace. Raises `UserError`, one line for each mistake, naming study,
    key path, value and a hint.
    """
    given: dict[str, Any] = {}
    for file in files:
        given = merge(given, read_with_base(Path(file)))
    if overrides is not None and not isinstance(overrides, Mapping):
        raise UserError(f"the changes on top (--set): expected a map of keys, found {str(overrides)[:40]!r}")
    given = merge(given, overrides or {})
    given.pop("pathvars", None)  # Snakemake's: where results are
    return validate(given)


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
    for section in sections(Section):
        properties = (schema if section is Study else schema["$defs"].get(section.__name__, {})).get("properties")
        for name, words in section.documentation().items() if properties else ():
            key = section.model_fields[name].alias or name
            properties[key] = dict(sorted({**properties[key], "description": words}.items()))
    description = "Another configuration file that this one changes, relative to this file."
    schema["properties"] = {"base": {"type": "string", "description": description}, **schema["properties"]}
    return schema


def sections(parent: type[Section]) -> Iterator[type[Section]]:
    """Return every section below one."""
    for section in parent.__subclasses__():
        yield section
        yield from sections(section)


def read_with_base(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the content of `path` over that of its `base:`, recursively. Raises `UserError` for a circle of bases."""
    here = Path(os.path.realpath(path))
    if here in above:
        raise UserError(f"{path}: its base leads back to itself; take out one `base:`")
    if len(above) >= MOST_BASES:
        raise UserError(f"{path}: more than {MOST_BASES} files in a chain of `base:`; write fewer")
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


_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a map",
    "model_type": "a map",
    "model_attributes_type": "a map",
}

# Filled from the context that pydantic gives with each kind of error.
_WORDS = {
    "value_error": "{error}",
    "literal_error": "expected {expected}",
    "union_tag_not_found": "missing {discriminator}, the kind",
    "too_short": "must not be empty",
    "string_pattern_mismatch": "use letters, digits, '-', '_' and '.' only, beginning with a letter or digit",
    "none_required": "expected null",
}


SHOWN = 20
"""Mistakes that are named; the rest is counted."""


def describe(error: ValidationError, given: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return one line per mistake: `study digits: finetune.epochs = 'many': expected a whole number`.

    `given` is what was validated, `schema` the JSON schema of the model; it knows the keys that could have been meant.
    """
    found: dict[KeyPath, list[str]] = {}
    values: dict[KeyPath, Any] = {}
    for path, value, message in _mistakes(error, given, schema):
        values.setdefault(path, value)
        found.setdefault(path, []).append(message)
    name = f"study {given.get('study', '(without a name)')}"
    told = [path for path in found if not any(_deeper(other, path) for other in found)]
    lines = [f"{name}: {_key(path)}{_value(values[path])}: {_join(found[path])}" for path in told]
    lines = list(dict.fromkeys(lines))  # rows of a design may have one mistake in common
    return "\n".join([*lines[:SHOWN], *([f"{name}: and {len(lines) - SHOWN} more mistakes"] if lines[SHOWN:] else [])])


def _deeper(path: KeyPath, than: KeyPath) -> bool:
    """Say whether `path` lies below `than`: all members of a union complain, the furthest was meant."""
    return len(path) > len(than) and path[: len(than)] == than


def _mistakes(error: ValidationError, given: Any, schema: Any) -> Iterator[tuple[KeyPath, Any, str]]:
    for entry in error.errors(include_url=False):
        if entry["type"] == "problems":
            yield from entry["ctx"]["problems"]
        elif entry["type"] == "missing":
            path = _written_path(entry["loc"], given)
            yield path, None, "missing" + _meaning(_lookup(schema, given, path))
        elif entry["type"] == "extra_forbidden":
            path = _written_path(entry["loc"], given)
            known = [key for node in _lookup(schema, given, path[:-1]) for key in node.get("properties", {})]
            yield path, entry["input"], f"unknown key; {did_you_mean(str(path[-1]), known)}"
        elif entry["type"] == "union_tag_invalid":
            key = entry["ctx"]["discriminator"].strip("'")
            path = (*_written_path(entry["loc"], given), key)
            yield path, entry["ctx"]["tag"], f"must be one of {entry['ctx']['expected_tags']}"
        else:
            yield _written_path(entry["loc"], given), entry["input"], _say(entry)


def _say(entry: Mapping[str, Any]) -> str:
    """Return what is wrong with a value of the wrong kind, range or choice."""
    kind = entry["type"]
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}"
    if kind in _WORDS:
        return _WORDS[kind].format(**entry.get("ctx", {}))
    return entry["msg"].removeprefix("Input ")


def _written_path(location: KeyPath, given: Any) -> KeyPath:
    """Return the keys of `location` as the user wrote them, without the names of union members between them."""
    path: list[str | int] = []
    node = given
    for i, step in enumerate(location):
        inside = (isinstance(node, Mapping) and step in node) or (
            isinstance(node, list | tuple) and isinstance(step, int)
        )
        if inside:
            node = node[step]
        if inside or (i == len(location) - 1 and isinstance(node, Mapping) and _is_key(step)):
            path.append(step)
    return tuple(path)


def _is_key(step: str | int) -> bool:
    return isinstance(step, str) and not any(sign in step for sign in "[]-(")


def _lookup(schema: Mapping[str, Any], given: Any, path: KeyPath) -> list[Mapping[str, Any]]:
    """Return the schema nodes that describe the value at `path`; several where a union allows several."""
    nodes = _alternatives(schema, schema, given)
    for step in path:
        given = given[step] if isinstance(given, Mapping) and step in given else None
        below = [child for node in nodes if (child := _child(node, step)) is not None]
        nodes = [node for child in below for node in _alternatives(schema, child, given)]
    return nodes


def _child(node: Mapping[str, Any], step: str | int) -> Any:
    if isinstance(step, int):
        return node.get("items")
    more = node.get("additionalProperties")
    return node.get("properties", {}).get(step, more if isinstance(more, Mapping) else None)


def _alternatives(schema: Mapping[str, Any], node: Mapping[str, Any], given: Any) -> list[Mapping[str, Any]]:
    """Return `node` with references and unions resolved, without the members that another tag excludes."""
    if "$ref" in node:
        target = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
        if "description" in node:
            target = {**target, "description": node["description"]}
        return _alternatives(schema, target, given)
    for union in ("anyOf", "oneOf"):
        if union in node:
            return [leaf for member in node[union] for leaf in _alternatives(schema, member, given)]
    tags = {key: p["const"] for key, p in node.get("properties", {}).items() if "const" in p}
    excluded = isinstance(given, Mapping) and any(given.get(key, tag) != tag for key, tag in tags.items())
    return [] if excluded else [node]


def _meaning(nodes: Iterable[Mapping[str, Any]]) -> str:
    """Return `: what the key means`, from its documentation."""
    for node in nodes:
        if "description" in node:
            return ": " + " ".join(node["description"].split())
    return ""


def _key(path: KeyPath) -> str:
    """Return `sweep.designs.star.vary.V`; the place in a list is told by the value."""
    return ".".join(step for step in path if isinstance(step, str)) or "the configuration"


def _value(value: Any) -> str:
    if value is None:
        return ""
    text = repr(value if not isinstance(value, str) else str(value))
    return f" = {text}" if len(text) <= 60 else ""


def _join(messages: list[str]) -> str:
    expected = [m.removeprefix("expected ") for m in messages if m.startswith("expected ")]
    others = [m for m in messages if not m.startswith("expected ")]
    told = [*others, *(["expected " + " or ".join(dict.fromkeys(expected))] if expected else [])]
    return "; ".join(dict.fromkeys(told))
