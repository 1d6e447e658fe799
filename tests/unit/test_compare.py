"""Two studies side by side: runs in pairs, configurations, and what each recommends."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.made_studies import STUDY, fitted, made, points
from vlmfrontier.command.main import call
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.differences import NORMAL_90
from vlmfrontier.frontier.pairing import both, pair
from vlmfrontier.results import Results

QUICK = {
    **STUDY,
    "table": {**STUDY["table"], "targets": {"avg": {"column": "avg", "kind": "error"}}},
    "laws": {"forms": ["add"], "starts": 8, "resamples": 12},
    "frontier": {**STUDY["frontier"], "examples": ["1M"]},
}


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Results]:
    """A study, and another without its first two runs, whose errors are a tenth lower and whose fits are fewer."""
    first = fitted(made(tmp_path_factory.mktemp("a"), QUICK))
    better = points(noise=0.02).iloc[2:]
    other = {**QUICK, "study": "better", "laws": {**QUICK["laws"], "resamples": 10}}
    return first, fitted(made(tmp_path_factory.mktemp("b"), other, better.assign(avg=0.9 * better.avg)))


def runs(levels: list[float], errors: list[float], se: float = np.nan, **columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"N": levels, **columns, "error": errors, "se": se})


def test_runs_are_paired_by_what_they_share_and_repeats_are_averaged():
    first = runs([1, 2, 3, 3], [10, 20, 30, 32], 0.3, seed=[0, 0, 0, 0])
    second = runs([2 + 1e-12, 3, 4], [18, 30, 5], 0.4, seed=[0, 0, 0])
    found = pair(first, second)
    assert found.rows.difference.tolist() == [-2, -1]
    assert found.rows.se.tolist() == pytest.approx([0.5, 0.5])
    assert found.alone == (1, 1)
    assert found.mean == pytest.approx((-1.5, 0.5))  # ± a standard deviation of 0.71 over √2


def test_other_seeds_are_no_pair_but_where_one_study_has_none():
    first, second = runs([1.0], [10.0], seed=["0"]), runs([1.0], [11.0], seed=["1"])
    assert pair(first, second).rows.empty
    assert np.isnan(pair(first, second).mean).all()
    assert pair(first, second.drop(columns="seed")).rows.difference.tolist() == [1]


def test_a_difference_of_studies_is_less_sure_than_either(studies):
    one = both(*(results.target("avg") for results in studies), 1e13, 1e6, 0.005)
    a, b = one.first.choice, one.second.choice
    middle, low, high = one.difference
    assert middle == pytest.approx(b.f - a.f)
    assert low < middle < high
    assert high - low > max(a.f_hi - a.f_lo, b.f_hi - b.f_lo)
    assert high - low < (a.f_hi - a.f_lo) + (b.f_hi - b.f_lo)
    for own in (one.first, one.second):
        assert own.rival >= own.choice.f  # nothing affordable is better than its own choice
        assert all(low <= high for low, high in own.ranges.values())


def test_what_differs_is_said_of_configuration_runs_and_recommendations(studies, capsys: pytest.CaptureFixture):
    files = [str(results.study_json) for results in studies]
    call(["compare", *files, "--budgets", "10T"])
    said = capsys.readouterr().out
    assert "  laws.resamples: 12 in A, 10 in B" in said.splitlines()
    assert "study: " not in said
    count = len(studies[1].table)
    assert f"  {count} in both (same factors, n and seed), 2 in A alone, 0 in B alone" in said
    assert "B is better" in said
    assert "  10T FLOPs per video and n = 1M: " in said
    call(["compare", *files, "--budgets", "10T", "--json"])
    record = json.loads(capsys.readouterr().out)
    found = both(*(results.target("avg") for results in studies), 1e13, 1e6, 0.005)
    assert record["optima"][0]["first"]["choice"]["f"] == found.first.choice.f
    mean, se = record["runs"]["mean"]
    assert mean + NORMAL_90 * se < 0
    assert len(record["runs"]["pairs"]) == count


def test_a_study_is_like_itself(studies, capsys: pytest.CaptureFixture):
    file = str(studies[0].study_json)
    call(["compare", file, file])
    said = capsys.readouterr().out
    assert "Configuration:\n  no difference\n" in said
    assert "their errors are the same" in said
    assert "the same at 5 of 5 budgets" in said


def test_studies_with_nothing_in_common_are_refused(studies, tmp_path: Path):
    table = {**QUICK["table"], "factors": {"N": QUICK["table"]["factors"]["N"]}}
    cost = {"expression": "N"}
    other = made(tmp_path, {**QUICK, "table": table, "cost": cost, "space": {"N": ["1B", "3B"]}, "frontier": {}})
    with pytest.raises(UserError, match="vary different factors: N, T, V, n and N, n"):
        call(["compare", str(studies[0].study_json), str(other.study_json)])
    files = [str(results.study_json) for results in studies]
    with pytest.raises(UserError, match="'10,5M' is not a number"):
        call(["compare", *files, "--budgets", "10,5M"])
    with pytest.raises(UserError, match="budget 1 FLOPs is below the cheapest"):
        call(["compare", *files, "--budgets", "1"])
    with pytest.raises(UserError, match="study made has no target 'order'; its targets are avg"):
        call(["compare", *files, "--target", "order"])


def test_without_laws_the_runs_are_compared_all_the_same(studies, tmp_path: Path, capsys: pytest.CaptureFixture):
    bare = made(tmp_path, QUICK)
    call(["compare", str(studies[0].study_json), str(bare.study_json)])
    said = capsys.readouterr().out
    assert "their errors are the same" in said
    assert "fit the laws first" in said
