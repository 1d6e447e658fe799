"""YAML files of users, read in one way; their paths are relative to the file that names them."""

import codecs
import os
import re
import stat
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator

from vlmfrontier.errors import UserError

LARGEST_FILE = 1 << 20
"""Bytes of a configuration file."""
MOST_VALUES = 100_000
"""Keys and values that a file may stand for, those that aliases repeat included."""
DEEPEST = 40
"""Levels of maps and lists inside each other."""
_NOT_DECIMAL = re.compile(r"[-+]?(0[0-9_]*[0-7_]|[0-9_]+(:[0-9_]+)+(\.[0-9_]*)?)$")
"""Numbers that YAML 1.1 takes for octal ones (`010`) and for minutes and seconds (`1:30`)."""
LONGEST_NAME, LONGEST_PATH = 255, 4000
"""Bytes of one name in a path, and of a whole path, that systems take."""


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


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the map in a YAML file, its texts remembering where they are written.

    Raises `UserError` with the file, and the line where there is one, for whatever is no readable map in UTF-8.
    """
    text = _read_text(path)
    loader = _loader(path.parent)
    try:
        reader = loader(text)
        node = reader.get_single_node()
        if node is None:
            return {}
        _refuse_endless(path, node)
        content = reader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UserError(f"{path}, line {mark.line + 1 if mark else 1}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise UserError(f"{path}: maps and lists are nested more than {DEEPEST} levels deep; nest them less") from None
    except (ValueError, ArithmeticError, TypeError) as error:  # a date or a number that does not exist
        raise UserError(f"{path}: has a value that cannot be read: {str(error)[:100]}") from None
    if not isinstance(content, dict):
        kind = {"list": "a list", "int": "a number", "float": "a number"}.get(type(content).__name__, "a text")
        raise UserError(f"{path}: expected a map of keys, found {'nothing' if content is None else kind}")
    return content


def _read_text(path: Path) -> str:
    """Return the text of a file. Raises `UserError` if it cannot be opened, is too large, or is not UTF-8."""
    try:
        if stat.S_ISFIFO(os.stat(path).st_mode):
            raise UserError(f"{path}: is a pipe, which can be read only once; name a file")
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{_shortened(path)}: cannot be read ({(error.strerror or str(error)).lower()})") from None
    except ValueError as error:
        raise UserError(f"{str(path)!r}: cannot be the name of a file ({error})") from None
    if len(content) > LARGEST_FILE:
        raise UserError(f"{path}: larger than {LARGEST_FILE >> 20} MiB, which no configuration is")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:4]:
        raise UserError(f"{path}: is written in UTF-16 or binary; save it as text in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: is not text in UTF-8; save the file in UTF-8") from None


def _shortened(path: Path) -> str:
    return str(path) if len(str(path)) <= LONGEST_NAME else f"{str(path)[:60]}…"


def _refuse_endless(path: Path, root: yaml.Node) -> None:
    """Raise `UserError` if aliases lead back to themselves, or repeat parts until no memory would hold them."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, above: frozenset[int]) -> int:
        line = node.start_mark.line + 1
        if id(node) in above:
            raise UserError(f"{path}, line {line}: an alias leads back to itself; write the value out")
        if len(above) > DEEPEST:
            raise UserError(
                f"{path}, line {line}: maps and lists are nested more than {DEEPEST} levels deep; nest them less"
            )
        if id(node) not in sizes:
            parts = node.value if isinstance(node, yaml.CollectionNode) else []
            flat = [part for pair in parts for part in pair] if isinstance(node, yaml.MappingNode) else parts
            sizes[id(node)] = 1 + sum(size(part, above | {id(node)}) for part in flat)
        if sizes[id(node)] > MOST_VALUES:
            raise UserError(f"{path}, line {line}: stands for more than {MOST_VALUES:,} values; write fewer aliases")
        return sizes[id(node)]

    size(root, frozenset())


def _loader(folder: Path) -> type[yaml.SafeLoader]:
    """Return a safe loader for a file of `folder` that refuses a key written twice, and one that is no text."""

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key.start_mark)
                if key.value in seen and key.value != "<<":
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} is written twice", key.start_mark
                    )
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    def written(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Written:
        return Written.inside(loader.construct_scalar(node), folder)

    def number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int | float:
        if _NOT_DECIMAL.match(node.value):
            said = f"{node.value!r} would be read in base 8 or 60; write the number in decimals, or a text in quotes"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark)
        whole = node.tag == "tag:yaml.org,2002:int"
        return loader.construct_yaml_int(node) if whole else loader.construct_yaml_float(node)

    Loader.add_constructor("tag:yaml.org,2002:str", written)
    for kind in ("int", "float"):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", number)
    return Loader


def _from_here(value: Any) -> Any:
    """Return a path relative to the working directory; a plain string (study.json, a test) already is one."""
    if isinstance(value, str) and (
        not value or len(value.encode(errors="replace")) > LONGEST_PATH or any(_too_long(p) for p in value.split("/"))
    ):
        raise ValueError("cannot be the name of a file: it is empty or too long; write a path")
    if isinstance(value, Written):
        return os.path.relpath(value.folder / value)
    return str(value) if isinstance(value, Path) else value


def _too_long(name: str) -> bool:
    return len(name.encode(errors="replace")) > LONGEST_NAME


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
