"""A failed validation in the user's words: study, key, value and the mend, one line for each mistake."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from vlmfrontier.errors import did_you_mean

Path = tuple[str | int, ...]

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


def describe(error: ValidationError, given: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return one line per mistake: `study digits: finetune.epochs = 'many': expected a whole number`.

    `given` is what was validated, `schema` the JSON schema of the model; it knows the keys that could have been meant.
    """
    found: dict[Path, list[str]] = {}
    values: dict[Path, Any] = {}
    for path, value, message in _mistakes(error, given, schema):
        values.setdefault(path, value)
        found.setdefault(path, []).append(message)
    name = f"study {given.get('study', '(without a name)')}"
    told = [path for path in found if not any(_deeper(other, path) for other in found)]
    return "\n".join(f"{name}: {_key(path)}{_value(values[path])}: {_join(found[path])}" for path in told)


def _deeper(path: Path, than: Path) -> bool:
    """Say whether `path` lies below `than`: all members of a union complain, the furthest was meant."""
    return len(path) > len(than) and path[: len(than)] == than


def _mistakes(error: ValidationError, given: Any, schema: Any) -> Iterator[tuple[Path, Any, str]]:
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


def _written_path(location: Path, given: Any) -> Path:
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


def _lookup(schema: Mapping[str, Any], given: Any, path: Path) -> list[Mapping[str, Any]]:
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


def _key(path: Path) -> str:
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
