"""Predictions of every run by a law that has seen it, and by laws that have not."""

import numpy as np
import pandas as pd

from vlmfrontier.frontier.load import Results
from vlmfrontier.laws.fit import LawFit
from vlmfrontier.laws.validation import cross_validated, extrapolated


def chosen_law(results: Results, target: str) -> LawFit:
    """Return the law of the form that the comparison of forms chose for a target."""
    folder = results.folder / "laws" / target
    laws = [LawFit.load(folder / f"{form}.json") for form in results.study.laws.forms]
    return next((law for law in laws if law.diagnostics.get("chosen")), laws[-1])


def left_out_predictions(results: Results, law: LawFit) -> dict[str, pd.DataFrame]:
    """Return measured and predicted errors by setup: in sample, cross-validation, and extrapolation over the split.

    Columns `measured`, `predicted` and, where the table has it, `sweep`. A setup that cannot be run is left out.
    """
    table, config = results.table, results.study.laws
    args = (table, law.form.name, law.target, config)
    everything = np.ones(len(table), bool)
    setups = {
        "train": _frame(results, law.target, law.predict(table.points()), everything),
        "cv": _frame(results, law.target, cross_validated(*args, warm=law.theta[None]), everything),
    }
    beyond = None if table.split is None else extrapolated(*args)
    if beyond is not None:
        setups["extrapolation"] = _frame(results, law.target, beyond, ~table.split)
    return setups


def _frame(results: Results, target: str, predicted: np.ndarray, shown: np.ndarray) -> pd.DataFrame:
    """Return the shown rows of the table beside their predictions."""
    frame = pd.DataFrame({"measured": results.table.error(target)[shown], "predicted": predicted})
    if "sweep" in results.table.frame:
        frame["sweep"] = results.table.frame["sweep"].to_numpy()[shown]
    return frame
