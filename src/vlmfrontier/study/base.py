"""What every section of a study's configuration has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values frozen, a field's docstring documents its key.

    Validators raise `ValueError("what is wrong; the mend")`: study, key path and value are added to it (`messages`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())
