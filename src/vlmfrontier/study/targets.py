"""What the targets of a study are, in a few words, for people who have not seen its configuration."""

from vlmfrontier.study.root import Study
from vlmfrontier.tasks import DIGITS_TASKS


def meaning(study: Study, target: str) -> str:
    """Return what a target is, with its range: `the mean over 8 tasks, 0–100`; empty if its name says it."""
    return f"{explained(study, target)}, 0–100" if study.table is None else explained(study, target)


def explained(study: Study, target: str) -> str:
    """Return what a target is: `the mean over 8 tasks`, `read one digit in one cell`; empty if its name says it."""
    if study.table is not None:
        return _of_column(study, target)
    tasks = study.tasks()
    if target in tasks:
        return asked_by(study, target)
    return f"the mean over {len(tasks)} tasks" if len(tasks) > 1 else f"of one task, {tasks[0]}"


def asked_by(study: Study, task: str) -> str:
    """Return what a task asks: of the digits study in words, of a benchmark its names in lmms-eval."""
    if study.evaluate.harness == "packed":
        said = {known.name: known.stresses.split(": ", 1)[-1] for known in DIGITS_TASKS}
        return said.get(task, f"the task {task}")
    names = study.evaluate.lmms_eval.tasks[task].tasks
    return f"lmms-eval's {', '.join(names)}"


def _of_column(study: Study, target: str) -> str:
    config = study.table.targets[target]
    if config.kind == "error":
        return "" if config.column == target else f"column {config.column}"
    return f"100 less the {config.kind} in column {config.column}, in per cent"
