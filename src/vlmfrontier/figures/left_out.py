"""Predictions of every run by a law that has seen it, and by laws that have not."""

import numpy as np
import pandas as pd

from vlmfrontier.frontier.load import Results
from vlmfrontier.laws.fit import LawFit, fit


def left_out_predictions(results: Results, target: str) -> dict[str, pd.DataFrame]:
    """Return measured and predicted errors of the main form, by setup: in sample, and fitted on the split's rows only.

    Columns `measured`, `predicted` and, where the table has it, `sweep`.
    """
    table, form = results.table, results.laws(target).main
    law = LawFit.load(results.folder / "laws" / target / f"{form}.json")
    setups = {"train": _frame(results, target, law.predict(table.points()), np.ones(len(table), bool))}
    if table.split is not None:
        seen = fit(table.rows(table.split), form, target, results.study.laws)
        setups["extrapolation"] = _frame(results, target, seen.predict(table.points()), ~table.split)
    return setups


def _frame(results: Results, target: str, predicted: np.ndarray, shown: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame({"measured": results.table.error(target), "predicted": predicted})
    if "sweep" in results.table.frame:
        frame["sweep"] = results.table.frame["sweep"].to_numpy()
    return frame[shown]
