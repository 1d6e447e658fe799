"""`vlmfrontier power`, before the runs and after: its answers as text and as JSON, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.calling import ROOT
from tests.made_studies import STUDY, fitted, made
from vlmfrontier.command.main import call
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.prior import design_of
from vlmfrontier.results import Results
from vlmfrontier.study.load import load_study, write_study

QUICK = {**STUDY, "laws": {**STUDY["laws"], "forms": ["mult", "add"], "starts": 8, "resamples": 8}}
RIVALS = ("--rivals", "V=49", "V=196")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A fitted study of a table."""
    return fitted(made(tmp_path_factory.mktemp("power"), QUICK))


def asked(results: Results, capsys: pytest.CaptureFixture, *more: str) -> str:
    capsys.readouterr()
    call(["power", "--study", str(results.study_json), *more])
    return capsys.readouterr().out


def test_after_the_fit_rivals_are_compared_by_its_models(results: Results, capsys: pytest.CaptureFixture):
    answer = json.loads(asked(results, capsys, *RIVALS, "--examples", "2M", "--json"))
    (pair,) = answer["compared"]
    x = {name: np.array([pair["first"][name], pair["second"][name]]) for name in ("N", "T", "V")}
    pool = results.laws("avg").ensemble(x).pool
    difference = np.diff(pool.errors(np.array([0, 1]), 2e6), axis=1)[:, 0]
    assert pair["difference"] == pytest.approx(np.median(difference))
    assert pair["first_better"] == np.mean(difference > 0)
    assert pair["lo"] <= np.quantile(difference, 0.05) <= np.quantile(difference, 0.95) <= pair["hi"]
    at = results.runs.query("N == 3e9 and T == 16 and n == 2e6")
    assert answer["measured"] == [at.avg[at.V == V].tolist() for V in (49, 196)]
    said = asked(results, capsys, *RIVALS, "--examples", "2M")
    assert "V = 196 has less error than V = 49 in 100% of 60 resampled fits" in said
    assert "at N = 3B, T = 16, n = 2M" in said


def test_beyond_the_runs_it_says_so(results: Results, capsys: pytest.CaptureFixture):
    said = asked(results, capsys, "--rivals", "V=225", "V=196", "--examples", "8M")
    assert "V = 225 lies outside the runs in V, n: extrapolated" in said


def test_before_the_runs_it_simulates_the_design(results: Results, capsys: pytest.CaptureFixture):
    more = (*RIVALS, "--before", "--laws", "3", "--noise", "1%", "--json")
    answer = json.loads(asked(results, capsys, *more))
    assert answer == json.loads(asked(results, capsys, *more))  # the same seed, the same answer
    (noise,) = answer["noises"]
    assert noise["noise"] == "noise 1% of the error"
    assert noise["rivals"][0]["bins"][-1]["laws"] == 3
    assert [row["factor"] for row in noise["directions"]] == ["N", "T", "V"]
    said = asked(results, capsys, *RIVALS, "--before", "--laws", "3", "--noise", "1%")
    assert "36 runs, 3 laws drawn from the prior, rivals at N = 3B, T = 16, n = 2M" in said
    assert "V = 49 against V = 196" in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((*RIVALS, "--noise", "150%", "--before"), "--noise 150%"),
        ((*RIVALS, "--noise", "little", "--before"), "--noise little"),
        ((*RIVALS, "--laws", "0"), "--laws 0"),
        ((*RIVALS, "--target", "nothing"), "no target 'nothing'"),
        ((*RIVALS, "--examples", "-3"), "is not a number|must be positive"),
        (("--rivals", "V=49", "V=4k"), "outside the study's space, 1 to 400"),
    ],
)
def test_what_cannot_be_asked_is_one_line(results: Results, more: tuple[str, ...], said: str):
    with pytest.raises(UserError, match=said):
        call(["power", "--study", str(results.study_json), *more])


def test_planned_runs_are_a_design_with_the_noise_of_their_questions(tmp_path: Path, capsys: pytest.CaptureFixture):
    study = load_study([ROOT / "config.yaml"])
    design = design_of(study, "avg")
    assert design.center == {"N": study.models.language["m"].N, "T": 8.0, "V": 16.0}
    assert len(design.data) == 63
    file = tmp_path / "results" / "digits" / "study.json"
    write_study(study, file)
    call(["power", "--study", str(file), "--rivals", "N=s", "N=m", "--laws", "2"])
    said = capsys.readouterr().out
    assert "63 runs, 2 laws" in said
    assert "Noise of 2,000 test questions, without that of seeds" in said


def test_a_table_without_data_size_or_cost_compares_rivals_only(tmp_path: Path, capsys: pytest.CaptureFixture):
    table = {key: value for key, value in STUDY["table"].items() if key not in ("data", "split")}
    plain = {**QUICK, "table": table, "cost": None, "space": None, "frontier": {}}
    results = made(tmp_path, {key: value for key, value in plain.items() if value is not None})
    answer = json.loads(asked(results, capsys, *RIVALS, "--laws", "2", "--noise", "0.02", "--json"))
    assert answer["noises"][0]["directions"] == []
    with pytest.raises(UserError, match="name --rivals"):
        asked(results, capsys)
    with pytest.raises(UserError, match="no data size"):
        asked(results, capsys, *RIVALS, "--examples", "1M")
