"""A law that is shown has no exponent at its bound, and says where error makes a step."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.synthetic import ADDITIVE, paper_sweep
from vlmfrontier.laws.fit import LawFit, fit
from vlmfrontier.laws.profile import profiles
from vlmfrontier.laws.selection import fit_target
from vlmfrontier.laws.steps import off_bounds
from vlmfrontier.paths import LawsFolder


@pytest.fixture(scope="module")
def stepped():
    """Return the sweep of an additive law whose error is a tenth lower at the largest N alone."""
    table = paper_sweep(ADDITIVE, 0.005, seed=4)
    drop = np.where(table.factors["N"] == table.factors["N"].max(), 0.9, 1.0)
    rise = np.where(table.factors["V"] > 500, 1.12, 1.0)
    return replace(table, targets={"avg": table.error("avg") * drop * rise})


@pytest.fixture(scope="module")
def law(stepped, quick):
    return fit(stepped, "add-interact", "avg", quick)


def test_a_law_with_no_step_is_left_as_it_is(sweep, law, quick):
    plain = replace(law, diagnostics=law.diagnostics | {"at_bound": []})
    assert off_bounds(sweep, plain, quick) is plain


def test_a_step_is_drawn_off_the_bound_and_said(stepped, law, quick):
    ends = [name for name in law.diagnostics["at_bound"] if law.parameters[name] != 0]
    assert ends
    shown = off_bounds(stepped, law, quick)
    assert not [name for name in shown.diagnostics["at_bound"] if shown.parameters[name] != 0]
    assert law.objective < shown.objective
    assert shown.diagnostics["least_objective"] == law.objective
    for name in ends:
        (said,) = (warning for warning in shown.warnings if warning.startswith("step") and f"({name} would" in warning)
        assert f"{name} = {shown.parameters[name]:.3g}" in said
    assert not [warning for warning in shown.warnings if "at ±" in warning]


def test_a_ceiling_that_can_be_one_number_only_is_no_hindrance(stepped, quick):
    worst = stepped.error("avg").max()
    table = replace(stepped, targets={"avg": stepped.error("avg") * (100 / worst)}, largest={"avg": 100.0})
    law = fit(table, "add-interact-ceiling", "avg", quick)
    shown = off_bounds(table, replace(law, diagnostics=law.diagnostics | {"at_bound": ["a_N"]}), quick)
    assert shown.form.ceilings(shown.theta)[0] == pytest.approx(100)


def test_the_stage_shows_laws_off_their_bounds_except_in_the_papers_mode(tmp_path, stepped, quick):
    bounds = {}
    for free in ("main", False):
        config = quick.model_copy(update={"forms": ["mult"], "positive_exponents": free, "resamples": 2})
        config = config.model_copy(update={"exponent_bound": 0.05})
        fit_target(replace(stepped, split=None), "avg", config, LawsFolder(tmp_path / str(free)))
        law = LawFit.load(tmp_path / str(free) / "mult.json")
        bounds[free] = [name for name in law.diagnostics["at_bound"] if law.parameters[name] != 0]
        assert ("least_objective" in law.diagnostics) == (free == "main")
    assert bounds[False]


def test_a_profile_counts_from_the_least_objective(stepped, law, quick):
    shown = off_bounds(stepped, law, quick)
    frame = profiles(stepped, shown, ["d"], quick, points=3)
    assert frame.delta_chi2.min() > -1e-3
