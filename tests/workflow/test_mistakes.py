"""A mistake in the configuration is one line, before any job starts."""

import pytest

from tests.calling import ROOT, Workflow
from vlmfrontier.study.load import load_study

pytestmark = pytest.mark.workflow
DIGITS = load_study([ROOT / "config.yaml"])
FRAMES = DIGITS.sweep.designs["star"].vary.T


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"finetune": {"epoch": 2}}, "finetune.epoch = 2: unknown key; did you mean 'epochs'?"),
        ({"finetune": {"epochs": "two"}}, "finetune.epochs = 'two': expected a whole number"),
        ({"sweep": {"center": {"V": 5}}}, "sweep.center.V = 5: the tokens of a frame form a square grid; write 4 or 9"),
        (
            {"sweep": {"center": {"T": 3}}},
            f"sweep.center.T = 3: the center's T is not among the levels {FRAMES} of sweep.designs.star.vary.T; "
            "add it there or move the center",
        ),
        (
            {"sweep": {"designs": {"isoflop": {"n": ["20k"]}}}},
            f"sweep.designs.isoflop.n = 20000: the training data has {DIGITS.data.examples} examples; "
            "ask for at most as many",
        ),
        (
            {"sweep": {"designs": {"repeats": {"N": ["ms"]}}}},
            "sweep.designs.repeats.N = 'ms': no such language model; did you mean 's'?",
        ),
        (
            {"sweep": {"designs": {"isoflop": {"budgets": ["5T"]}}}},
            "sweep.designs.isoflop.budgets = 5T: no balanced configuration costs that much, the nearest of any kind "
            "464M; move the budget, or raise tolerance or imbalance",
        ),
    ],
)
def test_a_mistake_is_one_line(workflow: Workflow, change: dict, line: str):
    outcome = workflow("--dry-run", config={"base": str(ROOT / "config.yaml"), **change})
    assert outcome.status != 0
    told = [text for text in outcome.output.splitlines() if not text.startswith("Using workflow specific profile")]
    assert told == [f"error: study digits: {line}"]
    assert not (workflow.folder / "results").exists()
