"""The configuration of forms, ceilings and the paper's mode: what is accepted, refused, and what it means."""

from pathlib import Path

import pytest

from vlmfrontier.errors import UserError
from vlmfrontier.laws.engine import SCHEDULES
from vlmfrontier.laws.listing import settled
from vlmfrontier.study.analysis import LawsConfig
from vlmfrontier.study.load import load_study, validate

ROOT = Path(__file__).parents[3]
TABLE = {
    "path": "points.csv",
    "factors": {"N": "params", "T": "frames", "V": "tokens"},
    "data": "n",
    "targets": {"loss": "loss", "quiz": {"column": "quiz", "kind": "accuracy"}},
}
MINE = "g*T^-p*V^-q + xi*n^-d + epsilon"


def laws(**given) -> LawsConfig:
    return validate({"study": "own", "table": TABLE, "laws": given}).laws


@pytest.mark.parametrize(
    ("given", "forms", "formulas"),
    [
        ({}, None, {}),
        ({"forms": ["add", {"mine": MINE}]}, ["add", "mine"], {"mine": MINE}),
        ({"forms": [{"mine": MINE}, "mine-ceiling"]}, ["mine", "mine-ceiling"], {"mine": MINE}),
        ({"forms": [{"mine-soft-ceiling": MINE}]}, ["mine-soft-ceiling"], {"mine-soft-ceiling": MINE}),
        ({"forms": ["mine"], "formulas": {"mine": MINE}}, ["mine"], {"mine": MINE}),
        ({"formulas": {"mine": MINE}}, None, {"mine": MINE}),
        ({"forms": ["add-interact", "add-ceiling", "mult"]}, ["mult", "add-ceiling", "add-interact"], {}),
    ],
)
def test_forms_are_names_and_formulas_and_stay_so_in_the_resolved_study(given, forms, formulas):
    study = validate({"study": "own", "table": TABLE, "laws": given})
    assert (study.laws.forms, study.laws.formulas) == (forms, formulas)
    assert validate(study.model_dump(mode="json", by_alias=True)) == study
    assert all(study.laws.formula_of(name) == MINE for name in forms or () if name.startswith("mine"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"forms": ["ad"]}, r"laws\.forms = 'ad': there is no such form; did you mean 'add'\?"),
        ({"forms": ["mine"]}, r"there is no such form; known: mult, .* needs a formula, \{mine: \"…\"\}"),
        ({"forms": ["mine-ceiling"]}, "there is no such form"),
        ({"forms": []}, "name at least one form"),
        ({"forms": ["add", "add"]}, "each one once"),
        ({"forms": "add"}, "expected a list"),
        ({"forms": [3]}, "expected text"),
        ({"forms": [{}]}, "an entry without a name"),
        ({"forms": [{"mine": 3}]}, "mine needs a formula as text"),
        ({"forms": [{"mine": MINE}, {"mine": "g*N^-a"}]}, "mine has another formula"),
        ({"forms": [{"mine": MINE}], "formulas": {"mine": "g*N^-a"}}, "mine has another formula in laws.formulas"),
        ({"forms": [{"mine": MINE}, {"Mine": MINE}]}, "one file where upper and lower case are alike"),
        ({"forms": [{"add": MINE}]}, r"laws\.forms\.add.*is the name of a form that is there without a formula"),
        ({"forms": [{"add-ceiling": MINE}]}, "is the name of a form that is there without a formula"),
        ({"forms": [{"../x": MINE}]}, "cannot name a form"),
        ({"forms": [{"a b": MINE}]}, "cannot name a form"),
        ({"forms": [{"weights": MINE}]}, "is the name of another file"),
        ({"forms": ["add"], "formulas": {"mine": MINE}}, r"laws\.formulas\.mine: is not among laws\.forms"),
        ({"forms": ["add-ceiling"], "ceiling": None}, "has a ceiling, and laws.ceiling is null"),
        ({"preset": "papre"}, "expected 'fast', 'wide', 'exhaustive' or 'paper'"),
        ({"ceiling": 0}, r"laws\.ceiling = 0: expected a number above 0, chance, control or fitted"),
        ({"ceiling": -5}, "expected a number above 0"),
        ({"ceiling": True}, "expected a number"),
        ({"ceiling": "guessing"}, "expected a number above 0, chance, control or fitted"),
        ({"ceiling": "-3"}, "expected a number above 0"),
        ({"ceiling": float("nan")}, "expected a number above 0"),
        ({"ceiling": {"quiz": None}}, r"laws\.ceiling\.quiz: expected"),
        ({"ceiling": {"quis": 75}}, r"laws\.ceiling\.quis = 75.*no such target; did you mean 'quiz'"),
        ({"ceiling": {"quiz": 101}}, "is above the largest error of quiz, 100"),
        ({"ceiling": 150}, "is above the largest error of quiz, 100"),
        ({"ceiling": "chance"}, "nobody knows what guessing loss gives; write a number"),
        ({"ceiling": {"quiz": "control"}}, "no result has the error with the wrong video"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_key(given, message):
    with pytest.raises(UserError, match=message):
        laws(**given)


def test_a_loss_may_have_any_ceiling():
    assert laws(ceiling={"loss": 150.0}).ceiling_for("loss") == 150
    assert laws(ceiling={"loss": 150.0}).ceiling_for("quiz") == "fitted"
    assert laws(ceiling="30").ceiling_for("quiz") == 30  # as Snakemake's --config gives it


def test_chance_is_known_of_tasks_with_options():
    digits = load_study([ROOT / "config.yaml"], {"laws": {"ceiling": {"order": "chance", "count": "control"}}})
    assert digits.chance("order") == 75
    assert digits.chance("count") is None
    with pytest.raises(UserError, match="what guessing glyph gives; write it for largest, order, end only"):
        load_study([ROOT / "config.yaml"], {"laws": {"ceiling": "chance"}})
    with pytest.raises(UserError, match="no result has the error with the wrong video"):
        load_study([ROOT / "config.yaml"], {"laws": {"ceiling": "control"}, "evaluate": {"control_videos": 0}})


def test_the_papers_mode_is_its_keys_and_other_keys_win():
    paper = laws(preset="paper")
    assert (paper.ceiling, paper.positive_exponents, paper.exponent_bound) == (None, False, 3.0)
    assert SCHEDULES[paper.preset] == SCHEDULES["wide"]
    changed = laws(preset="paper", positive_exponents=True, ceiling="fitted", forms=["add-ceiling"])
    assert (changed.ceiling, changed.positive_exponents, changed.forms) == ("fitted", True, ["add-ceiling"])
    assert laws(preset="wide").positive_exponents == "main"


@pytest.mark.parametrize("name", ["paper", "paper-generated"])
def test_the_papers_study_fits_the_papers_laws_unless_told_otherwise(name):
    file = ROOT / "workflow" / "studies" / f"{name}.yaml"
    paper = load_study([file]).laws
    assert (paper.preset, paper.ceiling, paper.positive_exponents, paper.forms) == ("paper", None, False, None)
    ours = load_study([file], {"laws": {"preset": "wide"}}).laws
    assert (ours.ceiling, ours.positive_exponents, ours.split) == ("fitted", "main", paper.split)


@pytest.mark.parametrize(
    "given", [{}, {"ceiling": None}, {"preset": "paper"}, {"preset": "paper", "ceiling": "fitted"}, {"forms": ["add"]}]
)
def test_as_many_forms_are_counted_as_a_table_of_all_factors_is_fitted_with(given):
    config = laws(**given)
    fitted, _ = settled(config, ("N", "T", "V"), has_data=True, ceiling=True)
    assert config.form_count == len(fitted.forms)
