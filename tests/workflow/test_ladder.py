"""Models trained once and tested at many T and V, by the workflow: a row for each, and levels that come and go."""

import pandas as pd
import pytest

from tests.calling import SMOKE, Workflow

pytestmark = pytest.mark.workflow
STUDY = {
    "base": str(SMOKE),
    "study": "rungs",
    "data": {"digits": {"train": 8, "test": 4}},
    "evaluate": {"control_videos": 0},
    "laws": {"split": None},
}


def ladder(V: list[int]) -> dict:
    rungs = {"design": "ladder", "N": ["xs"], "T": [1, 2], "V": V, "n": [4, 8], "anchors": 1}
    designs = {"star": None, "isoflop": None, "repeats": None, "ladder": rungs}
    return {**STUDY, "sweep": {"center": None, "designs": designs}}


def test_a_ladder_is_trained_tested_and_collected(workflow: Workflow):
    outcome = workflow("--cores", "2", "collect", config=ladder([1, 4]))
    assert outcome.status == 0, outcome.output
    table = pd.read_csv(workflow.folder / "results/rungs/runs.csv")
    tested = [(2, 4), (1, 1), (1, 4), (2, 1)]
    for n in (4, 8):
        rows = table[table.run == f"N20.9k_T2_V4_n{n}_s0"]
        assert list(zip(rows["T"], rows["V"], strict=True)) == tested
        assert set(zip(rows.T_train, rows.V_train, strict=True)) == {(2, 4)}
        assert list(rows.c.rank()) == [4, 1, 2, 3]  # of what is tested
    (anchor,) = table[~table.run.str.contains("T2_V4")].itertuples()
    assert (anchor.T_train, anchor.V_train) == (anchor.T, anchor.V)
    assert "Nothing to be done" in workflow("--dry-run", "collect", config=ladder([1, 4])).output

    path = workflow.folder / "results/rungs/runs/N20.9k_T2_V4_n8_s0/tested/T1_V1.json"
    path.unlink()
    outcome = workflow("--dry-run", "collect", config=ladder([1, 4]))
    assert "N20.9k_T2_V4_n8_s0/result.json: not tested at T1_V1" in outcome.output
    assert (outcome.jobs["evaluate_run"], "finetune_run" in outcome.jobs) == (1, False)
