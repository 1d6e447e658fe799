"""What axes are called, with their units: the paper's symbols in a trained study, the columns of an own table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import fill

from vlmfrontier.study.root import Study

RANGE = " (0–100)"
SMALL = 18
"""Letters in a line beside a small panel."""
NAMES = {
    "N": "LM size N (parameters)",
    "M": "vision model size M (parameters)",
    "T": "frames per video T",
    "V": "visual tokens per frame V",
    "n": "finetuning examples n",
}


@dataclass(frozen=True)
class Labels:
    """The axes of one target's figures."""

    error: str
    """The target's error, with its range where it has one."""
    names: Mapping[str, str]
    """Factors and n."""
    cost_unit: str = "FLOPs"
    """What budgets and costs count."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """The error of every target, as `error`."""

    @classmethod
    def of(cls, study: Study, target: str, cost_unit: str = "FLOPs") -> "Labels":
        """Return the labels of a study's target."""
        names = {name: name_of(study, name) for name in (*study.factors(), "n")}
        errors = {name: error_label(study, name) for name in study.targets()}
        return cls(errors[target], names, cost_unit, errors)

    def small_error(self, target: str) -> str:
        """Return a target's error for the side of a small panel, in two lines where it has a range."""
        return self.errors.get(target, target).replace(": ", "\n")

    def small_name(self, name: str) -> str:
        """Return what a factor, or n, is called for the side of a small panel."""
        return fill(self.names[name], SMALL)

    @property
    def range(self) -> str:
        """What all errors are measured in, behind the word error: ` (0–100)`; empty if own tables do not say."""
        return RANGE if all(label.endswith(RANGE) for label in self.errors.values()) else ""

    @property
    def budget(self) -> str:
        """The axis of budgets."""
        return f"budget c ({self.cost_unit}{self._per_video})"

    @property
    def cost(self) -> str:
        """The axis of the runs' own costs."""
        return f"cost c ({self.cost_unit}{self._per_video})"

    @property
    def _per_video(self) -> str:
        return " per video" if self.cost_unit == "FLOPs" else ""


def name_of(study: Study, name: str) -> str:
    """Return what a factor, or n, is called: `frames per video T`, or in an own table its column, `params (N)`."""
    if study.trained:
        return NAMES.get(name, name)
    column = study.table.data if name == "n" else study.table.factors[name]
    if column is None or column.column == name:
        return name
    return f"{column.column} ({name})"


def error_label(study: Study, target: str) -> str:
    """Return what a target's error is called, with its range where it has one."""
    own = study.table is not None and study.table.targets[target].kind == "error"
    return target if own else f"{target}: error{RANGE}"
