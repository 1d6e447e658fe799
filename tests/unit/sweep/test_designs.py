"""What each design asks for, and the run table that is their union."""

from pathlib import Path

import numpy as np
import pytest

from vlmfrontier.errors import UserError
from vlmfrontier.study.load import validate
from vlmfrontier.study.root import Study
from vlmfrontier.sweep.collect import check_split, hopeless_forms
from vlmfrontier.sweep.designs import well_spaced
from vlmfrontier.sweep.runs import find_run, plan_runs

CENTER = {"N": "m", "T": 8, "V": 16}
STAR = {"design": "star", "vary": {"N": ["xs", "m"], "T": [4, 8], "V": [9, 16, 25]}, "n": [400, 800]}


def study(seeds: list[int] | None = None, **designs: dict) -> Study:
    sweep = {"center": CENTER, "designs": designs, "seeds": seeds or [0]}
    return validate({"study": "tiny", "data": {"digits": {"train": 1600}}, "sweep": sweep})


def test_a_star_varies_one_factor_at_a_time_and_trains_its_center_once():
    runs = plan_runs(study(star=STAR))
    configurations = {(r.language, r.T, r.V) for r in runs}
    assert configurations == {("m", 8, 16), ("xs", 8, 16), ("m", 4, 16), ("m", 8, 9), ("m", 8, 25)}
    assert len(runs) == 2 * len(configurations)


def test_a_run_of_two_designs_is_one_run_of_the_design_written_first():
    grid = {"design": "grid", "T": [8, 16], "n": [400], "seeds": [0, 1]}
    runs = {r.key: r.sweeps for r in plan_runs(study(star=STAR, again=grid))}
    assert runs["N83.3k_T8_V16_n400_s0"] == ("star", "again")
    assert runs["N83.3k_T8_V16_n400_s1"] == ("again",)
    assert runs["N83.3k_T16_V16_n400_s0"] == ("again",)


def test_a_grid_takes_what_it_leaves_out_from_the_center():
    runs = plan_runs(study(g={"design": "grid", "N": ["xs", "s"], "V": {"squares": 2}, "n": [100]}))
    assert [(r.language, r.T, r.V) for r in runs] == [("xs", 8, 1), ("xs", 8, 4), ("s", 8, 1), ("s", 8, 4)]


def test_seeds_of_the_sweep_apply_where_a_design_names_none():
    assert {r.seed for r in plan_runs(study(seeds=[3, 4], star=STAR))} == {3, 4}


def test_cost_is_equation_1():
    run = find_run(study(star=STAR), "N83.3k_T8_V16_n400_s0")
    vision = study(star=STAR).models.vision
    assert run.c == 2 * 8 * (vision.parameters * vision.features + run.N * 16)


ISOFLOP = {
    "design": "isoflop",
    "budgets": ["100M", "200M"],
    "tolerance": 0.04,
    "per_budget": 5,
    "n": [800],
    "space": {"T": {"from": 1, "to": 16}, "V": [4, 9, 16, 25, 36, 49, 64]},
}


def test_isoflop_runs_cost_their_budget_and_are_the_same_every_time():
    runs = plan_runs(study(iso=ISOFLOP))
    assert [r.key for r in runs] == [r.key for r in plan_runs(study(iso=ISOFLOP))]
    off = [min(abs(r.c / b - 1) for b in (100e6, 200e6)) for r in runs]
    assert max(off) <= 0.04
    assert sum(abs(r.c / 200e6 - 1) <= 0.04 for r in runs) == 5
    assert len({r.language for r in runs}) >= 3


def test_isoflop_leaves_out_what_nobody_would_deploy():
    lopsided = {"xs": 64, "l": 4}  # the smallest model with the finest grid, the largest with the coarsest
    everything = plan_runs(study(iso={**ISOFLOP, "imbalance": 1.0, "per_budget": 40}))
    balanced = plan_runs(study(iso={**ISOFLOP, "imbalance": 0.8, "per_budget": 40}))
    assert any(lopsided.get(r.language) == r.V for r in everything)
    assert not any(lopsided.get(r.language) == r.V for r in balanced)
    assert {r.key for r in balanced} < {r.key for r in everything}


def test_a_budget_that_nothing_costs_is_named_with_the_nearest_cost():
    with pytest.raises(UserError, match=r"sweep\.designs\.iso\.budgets = 1G: no balanced .* nearest of any kind"):
        plan_runs(study(iso={**ISOFLOP, "budgets": ["1G"]}))


def test_well_spaced_points_are_far_from_each_other():
    points = np.random.default_rng(0).random((200, 3))
    chosen = well_spaced(points, 8)
    assert len(set(chosen)) == 8

    def nearest(indices: list[int]) -> float:
        distance = np.linalg.norm(points[indices][:, None] - points[indices], axis=2)
        return float(distance[~np.eye(len(indices), dtype=bool)].min())

    random_choices = [nearest(list(np.random.default_rng(s).choice(200, 8, replace=False))) for s in range(50)]
    assert nearest(chosen) > max(random_choices)


def test_rows_come_from_the_configuration_and_from_a_file(tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_text("N,T,V,n,seed\nxs,2,4,0.1k,5\nm,8,16,200,\n")
    rows = [{"N": "l", "T": 1, "V": 1, "n": 50, "seed": 9}]
    keys = [
        r.key for r in plan_runs(study(a={"design": "rows", "rows": rows}, b={"design": "rows", "file": str(file)}))
    ]
    assert keys == ["N195k_T1_V1_n50_s9", "N20.9k_T2_V4_n100_s5", "N83.3k_T8_V16_n200_s0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("N,T,V\nm,8,16\n", "no column 'n'"),
        ("N,T,V,n\nm,8,5,100\n", "line 2: V = 5: the tokens of a frame form a square grid"),
        ("N,T,V,n\nm,8,4,100\nmm,8,4,100\n", "line 3: N = mm: no such language model"),
        ("N,T,V,n\nm,8,4,9999\n", "line 2: n = 9999: the training data has 1600 examples"),
        ("N,T,V,n\nm,8.5,4,100\n", r"line 2: T = 8.5 is not a whole"),
        ("N,T,V,n\nm,,4,100\n", "line 2: column 'T' is empty"),
    ],
)
def test_a_mistake_in_a_rows_file_names_the_line(tmp_path: Path, text: str, message: str):
    file = tmp_path / "rows.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        plan_runs(study(b={"design": "rows", "file": str(file)}))


def test_two_runs_never_share_a_folder():
    with pytest.raises(UserError, match=r"two runs are called N83\.3k_T8_V16_n1k_s0"):
        plan_runs(study(g={"design": "grid", "n": [1000, 1001]}))


GRID = {"design": "grid", "N": ["xs"], "T": [2, 4], "V": [9], "n": [200]}
LADDER = {"design": "ladder", "N": ["xs", "s"], "T": [1, 2, 4], "V": [4, 9], "n": [200, 400]}


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ({**GRID, "draw": {"T": [1, 8]}}, r"x\.draw\.T = 8: is above every T of this design.*at most 4"),
        ({**GRID, "also": {"T": [64], "V": [4]}}, r"x\.also\.T = 64: is above every T of this design"),
        ({**STAR, "also": {"V": [36]}}, r"x\.also\.V = 36: is above every V of this design.*at most 25"),
        ({**GRID, "also": {}}, r"x\.also = {}: names no levels"),
        ({**GRID, "draw": {"T": []}}, r"x\.draw\.T = \[\]: must not be empty"),
        ({**LADDER, "also": {"T": [8]}}, r"x\.also\.T = 8: is above every T"),
        ({**LADDER, "elastic": True, "draw": {"T": [1]}}, r"x\.elastic = True: draws from the ladder's own T and V"),
        ({**LADDER, "V": [4, 8]}, r"x\.V = 8: the tokens of a frame form a square grid"),
        ({**LADDER, "anchors": -1}, r"x\.anchors = -1: should be"),
    ],
)
def test_levels_that_no_run_can_have_are_refused_before_any_job(design: dict, message: str):
    with pytest.raises(UserError, match=message):
        study(x=design)


def test_levels_are_compared_with_all_runs_of_a_design(tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_text("N,T,V,n\nxs,8,16,200\n")
    rows = {"design": "rows", "file": str(file), "also": {"T": [4], "V": [4, 16]}}
    (run,) = plan_runs(study(x=rows))
    assert run.tested == ((4, 4), (4, 16))
    beside_center = {"design": "grid", "N": ["xs"], "V": [9], "n": [200], "also": {"T": [8, 2]}}  # T is the center's
    (run,) = plan_runs(study(x=beside_center))
    assert run.tested == ((2, 9),)


@pytest.mark.parametrize(
    ("changed", "trained", "points"),
    [
        ({"anchors": 0}, 4, 24),
        ({"anchors": 500}, 24, 44),
        ({"T": [4], "V": [9]}, 4, 4),
        ({"T": [4, 1, 4, 2], "n": [200, 400, 400], "anchors": 0}, 4, 24),
        ({"seeds": [0, 1], "anchors": 2}, 10, 50),
        ({"T": [4], "V": [9], "elastic": True}, 4, 4),
        ({"also": "none", "anchors": 2}, 6, 6),
    ],
)
def test_odd_ladders_have_the_runs_that_they_say(changed: dict, trained: int, points: int):
    runs = plan_runs(study(x={**LADDER, **changed}))
    assert (len(runs), sum(1 + len(run.tested) for run in runs)) == (trained, points)


@pytest.mark.parametrize("elastic", [False, True])
@pytest.mark.parametrize("count", [4, 5, 6, 9])
def test_some_anchors_of_a_ladder_lie_between_its_levels(count: int, elastic: bool):
    """Anchors at the smallest T and V alone cannot show that the transfer gap is not log-linear."""
    levels = {"T": [1, 2, 4, 8, 16], "V": [4, 9, 16, 25]}
    design = {**LADDER, **levels, "N": ["xs", "s", "m"], "n": [200, 400], "anchors": count, "elastic": elastic}
    anchors = [run for run in plan_runs(study(x=design)) if not run.tested]
    assert len(anchors) == count
    for name, values in levels.items():
        inside = [getattr(run, name) for run in anchors if min(values) < getattr(run, name) < max(values)]
        assert inside, f"no {name} in between: {sorted({(run.T, run.V) for run in anchors})}"


def test_draws_between_the_same_ends_are_named():
    one, other = ({**GRID, "T": [8], "draw": {"T": levels}} for levels in ([1, 2], [1, 4]))
    with pytest.raises(UserError, match=r"T1-8_V9_n200_s0 and draw other levels.*\[1, 2, 8\].*\[1, 4, 8\].*give both"):
        plan_runs(study(x=one, y=other))


def test_an_unknown_run_is_an_error():
    with pytest.raises(UserError, match="no run 'nonsense'"):
        find_run(study(star=STAR), "nonsense")


def split_by(text: str | None, **designs: dict) -> Study:
    sweep = {"center": CENTER, "designs": designs}
    return validate({"study": "tiny", "data": {"digits": {"train": 1600}}, "sweep": sweep, "laws": {"split": text}})


@pytest.mark.parametrize(
    "text", [None, "sweep == 'star'", "sweep != 'isoflop'", "c < 1e8", "avg < 40 or T > 4", "n in [400]", "seed == 0"]
)
def test_a_split_over_the_columns_there_will_be_is_accepted(text):
    study = split_by(text, star=STAR)
    check_split(study, plan_runs(study))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("swep == 'star'", "laws.split: .* uses 'swep'; the names are run, sweep, N, T, V, n, seed, c, .*did you mean"),
        ("sweep == 'stars'", "names no sweep of this study, 'stars'; did you mean 'star'"),
        ("sweep != 'stars'", "names no sweep of this study, 'stars'"),
        ("sweep == 3", "column 'sweep' has text, for example 'star', and it is compared with numbers"),
        ("T == '4'", "column 'T' holds numbers and '4' is text"),
        ("T", "no condition on columns"),
        ("T * 2", "no condition on columns"),
        ("sqrt(T, N) > 2", "calls sqrt with 2 values"),
        ("True", "no condition on columns"),
        ("T > 1 / 0", "not a finite number"),
    ],
)
def test_a_split_that_cannot_be_meant_is_refused_before_any_run(text, message):
    study = split_by(text, star=STAR)
    with pytest.raises(UserError, match=message):
        check_split(study, plan_runs(study))


def test_a_sweep_that_is_too_small_for_its_laws_is_warned_of():
    forms = ["mult", "add", "add-interact-s", "add-interact"]
    few = split_by(None, star=STAR)
    few = few.model_copy(update={"laws": few.laws.model_copy(update={"forms": forms})})
    (warning,) = hopeless_forms(few, plan_runs(few))
    assert warning.startswith("the sweep has 10 distinct configurations, and laws need more: add 11, add-interact-s 16")
    assert hopeless_forms(few.model_copy(update={"laws": few.laws.model_copy(update={"forms": ["mult"]})}), []) == []
