"""What every section of a study's configuration has in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values frozen, a field's docstring documents its key.

    Validators raise `ValueError("what is wrong; the mend")`: study, key path and value are added to it (`messages`).
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True, protected_namespaces=()
    )

    @field_validator("*")
    @classmethod
    def _is_plain(cls, value: Any) -> Any:
        """Refuse control characters, which are in no name, path or formula."""
        if isinstance(value, str) and any(ord(sign) < 32 and sign not in "\n\t\r" for sign in value):
            raise ValueError("has a control character; take it out")
        return value
