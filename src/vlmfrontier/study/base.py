"""What every section of a study's configuration has in common: its base class, kinds of numbers, and names."""

import ast
import inspect
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from vlmfrontier.errors import UserError
from vlmfrontier.units import parse_number

MOST = 1_000_000_000_000
"""No number of examples, tokens or steps is larger."""
LONGEST = 100
"""Bytes of a name: with what is put before and behind it, a file's name may have 255."""
REFUSED = "/\\{}[]<>*?"
"""What separates folders, or has a meaning to Snakemake or as a pattern."""


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values frozen, a field's docstring documents its key.

    Neither checks nor documentation take time before they are needed: most processes read one study without a mistake.
    Validators raise `ValueError("what is wrong; a hint")`: study, key path and value are added to it (`load.describe`).
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True, protected_namespaces=()
    )

    @classmethod
    def documentation(cls) -> dict[str, str]:
        """Return the docstring of every key that has one, read from the source."""
        found = {}
        for section in reversed(cls.__mro__[: cls.__mro__.index(Section)]):
            for field, text in pairwise(ast.parse(inspect.getsource(section)).body[0].body):
                match field, text:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                        found[name] = inspect.cleandoc(words)
        return found

    @field_validator("*")
    @classmethod
    def _is_plain(cls, value: Any) -> Any:
        """Refuse control characters, which are in no name, path or formula."""
        if isinstance(value, str) and any(ord(sign) < 32 and sign not in "\n\t\r" for sign in value):
            raise ValueError("has a control character; take it out")
        return value


def check_name(name: str) -> str:
    """Return `name`; `ValueError` if it cannot be the name of a file everywhere. Blanks and any letters may."""
    wrong = [sign for sign in name if sign in REFUSED or not sign.isprintable()]
    if wrong:
        raise ValueError(
            f"{name[:40]!r} cannot be a name: it has {wrong[0]!r}; use letters, digits, blanks, '-' and '_'"
        )
    if not name or name != name.strip() or name[0] in ".-~":
        raise ValueError(f"{name[:40]!r} cannot be a name: begin with a letter or digit, and end without a blank")
    if len(name.encode()) > LONGEST:
        raise ValueError(f"{name[:40]!r}… cannot be a name: write at most {LONGEST} bytes")
    return name


def _check_keys(named: Any) -> Any:
    """Return the map; `ValueError` if a key is no name, or two differ only in upper and lower case."""
    seen: dict[str, str] = {}
    for name in named if isinstance(named, Mapping) else ():
        other = seen.setdefault(check_name(name).casefold(), name)
        if other != name:
            raise ValueError(f"{other!r} and {name!r} would be one file where upper and lower case are alike")
    return named


Named = AfterValidator(_check_keys)
"""Behind the type of a map whose keys are names."""


def _number(value: object) -> float:
    try:
        number = parse_number(value)  # type: ignore[arg-type]
    except UserError as error:
        raise ValueError(str(error)) from None  # so that the message gets its key path from the validation
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    return number


def _no_switch(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


def _count(value: object) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError(f"{value!r} is not a whole number")
    return int(number)


Number = Annotated[float, BeforeValidator(_number, json_schema_input_type=float | str)]
"""A field that takes `10T` as well as `1.0e13`."""

Count = Annotated[int, BeforeValidator(_count, json_schema_input_type=int | str), Field(le=MOST)]
"""A field that takes `250k` as well as `250000`, and refuses fractions."""

Natural = Annotated[int, BeforeValidator(_no_switch, json_schema_input_type=int), Field(ge=0, le=MOST)]
"""A whole number from 0 on."""

Positive = Annotated[int, BeforeValidator(_no_switch, json_schema_input_type=int), Field(ge=1, le=MOST)]
"""A whole number from 1 on."""

Few = Annotated[int, BeforeValidator(_no_switch, json_schema_input_type=int), Field(ge=1, le=10_000)]
"""Layers, heads, GPUs, frames to draw, folds: whole numbers of which there are never many."""

Width = Annotated[int, BeforeValidator(_no_switch, json_schema_input_type=int), Field(ge=1, le=1_000_000)]
"""Width of a layer, pixels of a side, or how often something is repeated, such as resamples and budgets."""

Seed = Annotated[int, BeforeValidator(_no_switch, json_schema_input_type=int), Field(ge=0, lt=2**32)]
"""Seed of random numbers, as every library takes it."""

Rate = Annotated[float, BeforeValidator(_no_switch, json_schema_input_type=float), Field(gt=0)]
"""A positive number, such as a learning rate."""

Share = Annotated[float, BeforeValidator(_no_switch, json_schema_input_type=float), Field(ge=0, le=1)]
"""From 0, none, to 1, all."""
