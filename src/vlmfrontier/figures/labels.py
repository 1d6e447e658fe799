"""What axes are called, with their units: the paper's symbols in a trained study, the columns of an own table."""

from collections.abc import Mapping
from dataclasses import dataclass

from vlmfrontier.study.root import Study

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

    @classmethod
    def of(cls, study: Study, target: str, cost_unit: str = "FLOPs") -> "Labels":
        """Return the labels of a study's target."""
        return cls(
            error_label(study, target), {name: name_of(study, name) for name in (*study.factors(), "n")}, cost_unit
        )

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
    return target if own else f"{target}: error (0–100)"
