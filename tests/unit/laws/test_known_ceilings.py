"""Ceilings that the configuration says: from the results of runs into the run table, and from there into laws."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.calling import SMOKE
from vlmfrontier.errors import UserError
from vlmfrontier.laws.checks import above_ceiling, ceiling_of, check_study
from vlmfrontier.laws.fit import LawFit, fit, problem_for
from vlmfrontier.laws.runs_file import write_runs
from vlmfrontier.laws.table import from_arrays
from vlmfrontier.results import Results
from vlmfrontier.study.analysis import LawsConfig
from vlmfrontier.study.load import load_study, write_study
from vlmfrontier.sweep.collect import collect, control_errors, describe
from vlmfrontier.sweep.fingerprints import collect_fingerprint
from vlmfrontier.sweep.runs import plan_runs


@pytest.fixture
def trained(tmp_path: Path) -> Results:
    """A sweep with results; the runs' errors with the wrong video are 68 and 72 by turns."""
    study = load_study([SMOKE])
    file = tmp_path / "results" / "smoke" / "study.json"
    write_study(study, file)
    for i, run in enumerate(plan_runs(study)):
        folder = file.parent / "runs" / run.key
        folder.mkdir(parents=True)
        errors, wrong = (
            {target: {"error": value, "standard_error": 1.0, "questions": 9} for target in study.targets()}
            for value in (40.0 + i % 5, 68.0 + 4 * (i % 2))
        )
        (folder / "result.json").write_text(json.dumps({"errors": errors, "wrong_video": wrong}))
    return Results.open(file)


def test_the_run_table_knows_what_guessing_and_the_wrong_video_give(trained: Results):
    study = trained.study
    rows, _ = collect(study, trained.root)
    record = describe(study, rows, control_errors(study, trained.root))
    assert record.targets["order"].chance == 75
    assert record.targets["glyph"].chance is None
    assert all(target.control == pytest.approx(70, abs=0.1) for target in record.targets.values())
    write_runs(rows, record, trained.runs_csv)
    said = LawsConfig(ceiling={"order": "chance", "glyph": "control", "sum": 65.0})
    found = [ceiling_of(said, trained.table, name) for name in ("order", "glyph", "sum", "avg")]
    assert found == [75, pytest.approx(70, abs=0.1), 65, None]
    with pytest.raises(UserError, match=r"laws\.ceiling is chance for 'glyph', which these runs do not have"):
        ceiling_of(LawsConfig(ceiling="chance"), trained.table, "glyph")


def test_runs_are_collected_again_only_where_a_ceiling_is_taken_from_them():
    before = collect_fingerprint(load_study([SMOKE]))
    assert collect_fingerprint(load_study([SMOKE], {"laws": {"ceiling": 75, "starts": 7}})) == before
    assert collect_fingerprint(load_study([SMOKE], {"laws": {"ceiling": "control"}})) != before


def saturated(C: float = 75.0, noise: float = 0.02):
    """Return a table of two factors and n whose error ends at C."""
    rng = np.random.default_rng(0)
    N, T, size = (rng.choice(levels, 60) for levels in ([1, 2, 4, 8], [1, 2, 4, 8, 16], [1, 2, 4]))
    g = 20 * N**-0.5 + 120 * T**-1.2 + 10 * size**-0.3 + 5
    error = (g**-4 + C**-4) ** -0.25 * rng.lognormal(0, noise, 60)
    columns = {"N": N, "T": T}
    return from_arrays(columns, {"e": error}, data=size, largest={"e": 100.0}, se={"e": noise * error})


def test_a_known_ceiling_is_no_parameter_and_stays_in_the_file(tmp_path: Path):
    config = LawsConfig(ceiling=75, starts=20, preset="fast")
    law = fit(saturated(), "add-ceiling", "e", config)
    assert "C" not in law.parameters
    assert law.form.ceiling == 75
    law.save(tmp_path / "add-ceiling.json")
    assert json.loads((tmp_path / "add-ceiling.json").read_text())["ceiling"] == {"value": 75, "s": 4, "known": True}
    read = LawFit.load(tmp_path / "add-ceiling.json")
    far = {"N": [1e-6], "T": [1e-6], "n": [1e-6]}
    assert read.predict(far) == pytest.approx(75)
    free = fit(saturated(), "add-ceiling", "e", LawsConfig(starts=20, preset="fast"))
    assert free.parameters["C"] == pytest.approx(75, rel=0.05)


def test_a_form_by_formula_may_have_a_ceiling(tmp_path: Path):
    config = LawsConfig(forms=[{"mine": "a*N^-p + b*T^-q + x*n^-d + e"}, "mine-ceiling"], starts=20, preset="fast")
    bent = fit(saturated(), "mine-ceiling", "e", config)
    assert bent.objective < 0.5 * fit(saturated(), "mine", "e", config).objective
    assert bent.objective == pytest.approx(fit(saturated(), "add-ceiling", "e", config).objective, rel=1e-6)
    bent.save(tmp_path / "mine-ceiling.json")
    points = {"N": [1, 8], "T": [1, 16], "n": [1, 4]}
    read = LawFit.load(tmp_path / "mine-ceiling.json")
    assert read.predict(points) == pytest.approx(bent.predict(points), rel=1e-12)


def test_a_ceiling_below_the_mean_of_what_was_measured_is_refused_and_rows_above_it_are_named():
    table = saturated()
    mean = table.error("e").mean()
    with pytest.raises(
        UserError, match=r"laws\.ceiling of 'e' is .*, below the measured mean .*; write a larger number, or fitted"
    ):
        check_study(table, LawsConfig(ceiling=mean - 1))
    check_study(table, LawsConfig(ceiling=mean - 1, forms=["add"]))  # which no law asks for
    check_study(table, LawsConfig(ceiling=mean + 1))

    def warned(ceiling):
        return above_ceiling(table, problem_for(table, "add-ceiling", "e", LawsConfig(ceiling=ceiling)).form, "e")

    assert warned(85.0) == []
    (warning,) = warned(mean + 1)
    assert warning.startswith("above_ceiling: ")
