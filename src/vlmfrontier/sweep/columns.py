"""The columns that `runs.csv` will have, and what is asked of them before any run is trained."""

from collections.abc import Sequence

import numpy as np

from vlmfrontier.errors import UserError, did_you_mean
from vlmfrontier.laws.forms import form_for
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.runs import Run
from vlmfrontier.tables.expressions import SafeExpression


def numbers(study: Study) -> list[str]:
    """Return the columns of numbers that are known before a run is trained."""
    return [*study.factors(), "n", "seed", "c"]


def identity(study: Study, run: Run) -> dict[str, object]:
    """Return what `runs.csv` says of a run besides its errors."""
    return {"run": run.key, "sweep": run.sweeps[0], **{name: getattr(run, name) for name in numbers(study)}}


def check_split(study: Study, runs: Sequence[Run]) -> None:
    """Raise `UserError` if `laws.split` is no condition on the columns that `runs.csv` will have, or is misspelt.

    Errors are not known yet; 50 stands for them.
    """
    if study.laws.split is None:
        return
    expression = SafeExpression(study.laws.split, "laws.split")
    rows = [identity(study, run) for run in runs]
    names = ["run", "sweep", *numbers(study)]
    columns = {name: np.array([row[name] for row in rows]) for name in names}
    columns |= {name: np.full(len(rows), 50.0) for target in study.targets() for name in (target, f"{target}_se")}
    held = expression.holds(columns, [run.key for run in runs])
    if held.any() and not held.all():
        return
    for column, texts in expression.compared_texts().items():
        known = [str(value) for value in np.unique(columns[column])]
        for text in texts:
            if text not in known and (hint := did_you_mean(text, known)).startswith("did you mean"):
                raise UserError(f"laws.split: {study.laws.split!r} names no {column} of this study, {text!r}; {hint}")


def hopeless_forms(study: Study, runs: Sequence[Run]) -> list[str]:
    """Return a warning if the runs of the sweep are too few for some form, whose fit will be refused."""
    configurations = {tuple(getattr(run, name) for name in [*study.factors(), "n"]) for run in runs}
    needed = {name: len(form_for(name, study.factors(), True).parameter_names) + 2 for name in study.laws.forms}
    if not runs or len(configurations) >= max(needed.values()):
        return []
    forms = ", ".join(f"{name} {count}" for name, count in needed.items() if count > len(configurations))
    return [
        f"the sweep has {len(configurations)} distinct configurations, and laws need more: {forms}; add runs, or name "
        "fewer laws.forms"
    ]
