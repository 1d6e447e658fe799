"""A user's own table, from a CSV to its frontier: nothing is trained, and torch is not needed."""

import json
import re
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from tests.calling import Workflow

pytestmark = pytest.mark.workflow


def error(N: float, T: float, n: float) -> float:
    """Return the error by the law that the table follows."""
    return 20 * N**-0.3 + 15 * T**-0.5 + 8 * n**-0.4 + 5


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Errors that follow an additive law exactly: N in billions, n in millions."""
    rows = [
        {"params": N * 1e9, "frames": T, "examples": n * 1e6, "error": error(N, T, n)}
        for N, T, n in product([1, 3, 8], [4, 8, 16, 32], [0.5, 1, 2])
    ]
    path = tmp_path / "points.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


STUDY = {
    "study": "own",
    "table": {
        "path": "points.csv",
        "factors": {"N": {"column": "params", "unit": "1B"}, "T": {"column": "frames"}},
        "data": {"column": "examples", "unit": "1M"},
        "targets": {"error": {"column": "error", "kind": "error"}},
    },
    "laws": {"forms": ["add"], "starts": 50, "resamples": 5},
    "cost": {"expression": "2 * N * T * 196"},
    "space": {"N": ["1B", "3B", "8B"], "T": {"from": 1, "to": 64}},
    "frontier": {"budgets": {"from": "3T", "to": "60T", "count": 10}, "examples": ["1M"]},
}


MINE = "g*N^-p + h*T^-q + x*n^-d + e"
"""The law that the table follows, written as a form of one's own."""


@pytest.mark.slow
def test_a_table_becomes_a_frontier(workflow: Workflow, table: Path):
    laws = {**STUDY["laws"], "forms": ["mult", {"mine": MINE}]}
    outcome = workflow("--cores", "2", config={**STUDY, "laws": laws})
    assert outcome.status == 0, outcome.output
    assert "Deploy" in outcome.output
    law = json.loads((workflow.folder / "results/own/laws/error/mine.json").read_text())
    assert (law["formula"], law["diagnostics"]["chosen"]) == (MINE, True)
    assert "mine" in (workflow.folder / "results/own/tables/formulas.tex").read_text()
    frontier = pd.read_csv(workflow.folder / "results/own/frontier/error.csv")
    assert (frontier.cost <= frontier.c).all()
    best = [_best_error(budget, n=1.0) for budget in frontier.c]
    # The law is exact, so that the fit finds it; f is the median over resamples of the same exact data.
    assert frontier.f.to_numpy() == pytest.approx(best, rel=0.01)


def _best_error(budget: float, n: float) -> float:
    return min(error(N, T, n) for N, T in product((1, 3, 8), range(1, 65)) if budget >= 2 * N * 1e9 * T * 196)


def test_a_table_without_a_cost_ends_with_its_laws(workflow: Workflow, table: Path):
    jobs = workflow("--dry-run", config={key: value for key, value in STUDY.items() if key != "cost"}).jobs
    assert {"fit_target", "check_laws"} <= set(jobs)
    assert "search_frontier" not in jobs


@pytest.mark.parametrize("study", ["frontier", "tables", "figures", "laws"])
def test_a_study_may_be_called_as_a_folder_of_its_results(workflow: Workflow, table: Path, study: str):
    outcome = workflow("--dry-run", config={**STUDY, "study": study})
    assert outcome.status == 0, outcome.output
    assert "search_frontier" in outcome.jobs


def test_a_formula_with_a_mistake_is_told_before_any_job(workflow: Workflow, table: Path):
    laws = {"forms": [{"mine": MINE.replace("T", "frames")}]}
    outcome = workflow("--dry-run", config={**STUDY, "laws": laws})
    (line,) = [text for text in outcome.output.splitlines() if text.startswith("error")]
    assert (
        line
        == f"error: laws.forms.mine: '{laws['forms'][0]['mine']}': there is no factor 'frames'; powers are of N, T, n"
    )
    assert not outcome.jobs


def test_a_table_without_n_and_with_few_rows_is_fitted_with_the_forms_that_it_can_carry(
    workflow: Workflow, table: Path
):
    """A study that names no forms is not refused for those that it does not have."""
    own = {**STUDY["table"], "data": None, "exclude": "examples != 1e6 or params == 3e9"}
    outcome = workflow(
        "--dry-run", config={**STUDY, "table": own, "laws": {"starts": 50}, "frontier": {"examples": None}}
    )
    assert outcome.status == 0, outcome.output
    assert "warning: add is left out of laws.forms: with 5 parameters it needs at least 7" not in outcome.output
    assert outcome.jobs["fit_target"] == 1


def test_a_mistake_in_the_table_is_told_before_any_job_with_its_place(workflow: Workflow, table: Path):
    lines = table.read_text().splitlines()
    lines[3] = lines[3].replace("1000000000.0", "one billion")
    table.write_text("\n".join(lines) + "\n")
    outcome = workflow("--dry-run", config=STUDY)
    (line,) = [text for text in outcome.output.splitlines() if text.startswith("error")]
    assert "points.csv" in line
    assert "4" in line
    assert "params" in line


def test_a_study_with_a_table_and_a_sweep_is_refused(workflow: Workflow, table: Path):
    sweep = {"center": {"N": "m", "T": 8, "V": 16}, "designs": {"g": {"design": "grid", "n": [400]}}}
    outcome = workflow("--dry-run", config={**STUDY, "sweep": sweep})
    assert "error: study own: sweep: a study with a table trains nothing" in outcome.output


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"exclude": "failed == True"}, "table.exclude: 'failed == True' is true for no row"),
        ({"targets": {"error": {"column": "error", "se": "sem"}}}, "table.targets.error.se: .* has no column 'sem'"),
        (
            {"exclude": "params > 3e9 or frames > 8 or examples > 1e6"},
            "8 distinct configurations in 8 rows, and form add with 7 parameters needs at least 9; fit mult only",
        ),
    ],
)
def test_what_a_table_lacks_is_told_before_any_job(workflow: Workflow, table: Path, changed: dict, message: str):
    lines = table.read_text().splitlines()
    table.write_text(
        "\n".join(f"{line};{'False' if i else 'failed'}" for i, line in enumerate(lines)).replace(",", ";")
    )
    outcome = workflow("--dry-run", config={**STUDY, "table": {**STUDY["table"], **changed}})
    assert outcome.status != 0
    (line,) = [text for text in outcome.output.splitlines() if text.startswith("error")]
    assert re.search(message, line)
    assert not outcome.jobs
