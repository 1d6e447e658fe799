"""Vision models of several sizes: M is a factor of runs, costs, tables and the space."""

import json
from pathlib import Path

import numpy as np
import pytest

from vlmfrontier.cost.flops import paper_cost
from vlmfrontier.cost.model import cost_model
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.space import search_space
from vlmfrontier.study.load import load_study, merge, validate
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.collect import collect
from vlmfrontier.sweep.plan import plan_table
from vlmfrontier.sweep.runs import plan_runs

TOWERS = {  # 64 and 16 features a frame
    "fine": {"hidden_size": 64, "layers": 3},
    "coarse": {"hidden_size": 32, "layers": 2, "heads": 2, "intermediate_size": 64, "patch_size": 16},
}
CENTER = {"N": "m", "T": 4, "V": 16, "M": "fine"}
STAR = {"design": "star", "vary": {"N": ["xs", "m"], "M": ["coarse", "fine"]}, "n": [400]}
GIVEN = {"study": "several", "models": {"vision": TOWERS}, "sweep": {"center": CENTER, "designs": {"star": STAR}}}


def study(change: dict | None = None) -> Study:
    return validate(merge(GIVEN, change or {}))


def test_runs_are_called_and_charged_by_their_own_vision_model():
    runs = {run.key: run for run in plan_runs(study())}
    fine, coarse = (study().models.towers[name] for name in ("fine", "coarse"))
    assert list(runs) == [
        f"N20.9k_T4_V16_M{fine.parameters / 1000:.0f}k_n400_s0",
        f"N83.3k_T4_V16_M{fine.parameters / 1000:.0f}k_n400_s0",
        f"N83.3k_T4_V16_M{coarse.parameters / 1000:.1f}k_n400_s0",
    ]
    seen, less = list(runs.values())[1:]
    assert [fine.parameters, coarse.parameters] == [seen.M, less.M]
    assert seen.c == paper_cost(seen.N, 4, 16, fine.parameters, 64)
    assert less.c == paper_cost(less.N, 4, 16, coarse.parameters, 16)
    counted = plan_runs(study({"cost": {"model": "counted"}}))
    assert counted[2].c < counted[1].c


def test_tables_have_the_column_and_the_laws_the_factor(tmp_path):
    made = study()
    assert made.factors() == ["N", "T", "V", "M"]
    assert list(plan_table(made, tmp_path).columns)[3:8] == ["N", "T", "V", "M", "n"]
    run = plan_runs(made)[0]
    folder = tmp_path / "runs" / run.key
    folder.mkdir(parents=True)
    errors = {target: {"error": 50.0, "standard_error": 1.0} for target in made.targets()}
    (folder / "result.json").write_text(json.dumps({"errors": errors}))
    table, missing = collect(made, tmp_path)
    assert list(table.columns)[:9] == ["run", "sweep", "N", "T", "V", "M", "n", "seed", "c"]
    assert table.M.tolist() == [run.M]
    assert len(missing) == 2


def test_the_space_has_every_vision_model_with_the_grids_it_can_fill():
    made = study({"space": {"V": {"squares": 8}, "T": [1, 2]}})
    runs = plan_runs(made)
    space = search_space(made, {name: np.array([getattr(run, name) for run in runs]) for name in made.factors()})
    fine, coarse = (float(made.models.towers[name].parameters) for name in ("fine", "coarse"))
    assert set(space.levels("M")) == {fine, coarse}
    assert space.factors["V"][space.factors["M"] == coarse].max() == 16
    assert space.factors["V"][space.factors["M"] == fine].max() == 64
    with pytest.raises(UserError, match=r"M = .* not 7"):
        cost_model(made).cost({"N": 1.0, "T": 1.0, "V": 1.0, "M": 7.0})


def test_rivals_of_equal_cost_differ_in_their_vision_models_too():
    isoflop = {"design": "isoflop", "budgets": ["20M"], "tolerance": 0.2, "imbalance": 1.0, "n": [400]}
    space = {"T": {"from": 1, "to": 16}, "V": [4, 16, 36, 64]}
    made = study({"sweep": {"designs": {"iso": {**isoflop, "per_budget": 12, "space": space}}}})
    rivals = [run for run in plan_runs(made) if "iso" in run.sweeps]
    assert {run.vision for run in rivals} == {"fine", "coarse"}
    assert not [run for run in rivals if made.models.towers[run.vision].features < run.V]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sweep": {"center": {"M": None}}}, r"sweep.center.M: names no vision model; write M: one of fine, coarse"),
        (
            {"sweep": {"center": {"M": "corse"}}},
            r"center.M = 'corse': no such vision model; did you mean 'coarse'",
        ),
        ({"models": {"start": None}}, "several vision models cannot be pretrained here"),
        ({"space": {"M": [86_000_000]}}, "space.M = .*: write vision models by their names, fine, coarse"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(UserError, match=message):
        study(change)


def test_more_tokens_than_the_vision_model_has_are_refused():
    rows = {"design": "rows", "rows": [{"N": "m", "T": 4, "V": 25, "M": "coarse", "n": 400}]}
    with pytest.raises(UserError, match="V = 25 with M = coarse, whose frames have 16 features"):
        plan_runs(study({"sweep": {"designs": {"rows": rows}}}))


def test_a_study_with_one_vision_model_knows_no_m():
    with pytest.raises(UserError, match=r"one vision model; .*M "):
        validate(merge(GIVEN, {}) | {"models": {}})


def test_the_example_plans_its_runs():
    made = load_study([Path(__file__).parents[3] / "workflow/studies/example-qwen.yaml"])
    # Qwen2.5 without input embeddings: 494,032,768, 1,543,714,304, 3,085,938,688 and 7,615,616,512 in all.
    assert [model.parameters for model in made.models.language.values()] == [
        494_032_768 - 151_936 * 896,
        1_543_714_304 - 151_936 * 1_536,
        3_085_938_688 - 151_936 * 2_048,
        7_615_616_512 - 152_064 * 3_584,
    ]
    plan = plan_table(made, Path("no-results"))
    assert plan.M.nunique() == 3
    assert (plan.status == "missing").all()
