"""`snakemake status` and the summary at every end say how far a study is, however Snakemake was called."""

import pytest

from tests.calling import SMOKE, Workflow, run_keys

pytestmark = pytest.mark.workflow


def test_status_is_a_target_that_makes_nothing(workflow: Workflow):
    outcome = workflow("--cores", "1", "--config", "finetune={epochs: 2}", "--", "status", config=SMOKE)
    assert outcome.status == 0, outcome.output
    runs = len(run_keys({"base": str(SMOKE)}))
    assert f"study smoke: {runs} runs" in outcome.output
    assert f"0 of {runs} done" in outcome.output
    assert "Error" not in outcome.output
