"""One checkpoint, many budgets: the best tests of a trained model, what retraining gains, and who says so."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.made_studies import STUDY, fitted, made
from vlmfrontier.command.main import call
from vlmfrontier.errors import UserError
from vlmfrontier.figures.drawing import draw
from vlmfrontier.frontier.checkpoint import Checkpoint, checkpoint_table, checkpoints, few, of_run, retrained, sizes
from vlmfrontier.frontier.search import frontier_table
from vlmfrontier.laws.noise import JointNoise
from vlmfrontier.laws.runs_file import write_runs
from vlmfrontier.laws.table import ResultsTable, from_arrays
from vlmfrontier.laws.user_table import as_runs, read_table
from vlmfrontier.report.blocks import Table, Text
from vlmfrontier.report.page import page_blocks
from vlmfrontier.report.study_report import StudyReport
from vlmfrontier.results import Results
from vlmfrontier.study.load import validate
from vlmfrontier.workflow import frontier_tables

LOST = {"T": 0.05, "V": 0.03}
"""What is lost in logs of the error for each factor of e."""
TOP = {"T": 16, "V": 64}


def ladder(anchors: int) -> pd.DataFrame:
    """Return six trainings at the top, tested at 9 T and V each, and anchors that were trained where tested."""
    rows = [(N, T, V, n, 16, 64) for N, n in product((1, 3, 9), (0.5, 4)) for T in (1, 4, 16) for V in (4, 16, 64)]
    own = [(3, 1, 4, 0.5), (1, 4, 4, 4), (9, 1, 64, 4), (9, 4, 16, 4), (1, 4, 16, 0.5)]
    rows += [(N, T, V, n, T, V) for N, T, V, n in own[:anchors]]
    frame = pd.DataFrame(rows, columns=["N", "T", "V", "n", "T_train", "V_train"], dtype=float)
    lost = sum(LOST[name] * np.log(frame[f"{name}_train"] / frame[name]) for name in LOST)
    law = 8 * frame.N**-0.5 + 10 * frame["T"] ** -0.6 + 20 * frame.V**-0.5 + 5 * frame.n**-0.4 + 15
    scatter = 0.01 * np.random.default_rng(0).standard_normal(len(frame))
    return frame.assign(avg=law * np.exp(lost + scatter), avg_se=0.5, c=frame.N * frame["T"] * (100 + frame.V))


def table_of(frame: pd.DataFrame) -> ResultsTable:
    columns = {name: frame[name].to_numpy() for name in frame}
    trained = {name: columns[f"{name}_train"] for name in LOST}
    factors = {name: columns[name] for name in ("N", "T", "V")}
    return from_arrays(factors, {"avg": columns["avg"]}, columns["n"], se={"avg": columns["avg_se"]}, trained=trained)


def found(frame: pd.DataFrame, noise: JointNoise | None = None) -> list[Checkpoint]:
    return checkpoints(table_of(frame), "avg", frame.c.to_numpy(), 0, noise)


def test_the_best_test_within_a_budget_is_the_least_measured_error_that_it_affords():
    frame = ladder(anchors=0)
    for one in found(frame):
        own = frame[(one.held["N"] == frame.N) & (frame.n == one.examples)]
        for budget in (200.0, 1000.0, 5000.0):
            affordable = own[own.c <= budget]
            order = one.best(budget)
            assert len(order) == len(affordable)
            if order:
                assert one.at(order[0]) == affordable.loc[affordable.avg.idxmin(), ["T", "V"]].to_dict()
                assert one.error[order].tolist() == sorted(affordable.avg)


def test_retraining_gains_the_transfer_gap_within_its_interval_and_nothing_at_the_top():
    top = [one for one in found(ladder(anchors=5)) if one.many]
    assert len(top) == 6
    inside, off = [], []
    for one in top:
        lost = sum(LOST[name] * np.log(TOP[name] / one.levels[name]) for name in LOST)
        true = one.error * (1 - np.exp(-lost))
        middle, low, high = one.gain
        inside += ((low <= true + 1e-9) & (true <= high + 1e-9)).tolist()
        off += (middle - true).tolist()
        assert ((low <= middle) & (middle <= high)).all()
        assert one.gain[:, -1].tolist() == [0, 0, 0]  # tested as trained
    assert np.mean(inside) > 0.8
    assert np.mean(np.abs(off)) < 0.7  # of gains up to 13 points


def test_without_anchors_no_gain_is_known():
    assert all(np.isnan(one.gain).all() for one in found(ladder(anchors=0)))


def test_tests_on_common_videos_are_told_apart_better():
    frame = ladder(anchors=0)
    table = table_of(frame)
    residuals = np.random.default_rng(0).normal(0, 1, 50) + np.random.default_rng(1).normal(0, 0.1, (len(frame), 50))
    noise = JointNoise(tuple(table.names), residuals - residuals.mean(axis=1, keepdims=True))
    alone, common = found(frame)[0], found(frame, noise)[0]
    assert alone.apart[0, 1] == pytest.approx(0.5 * np.sqrt(2))
    assert common.apart[0, 1] < noise.covariance[0, 0] ** 0.5
    order = np.argsort(alone.error)
    near = replace(alone, error=np.where(np.arange(9) == order[1], alone.error[order[0]] + 1.0, alone.error))
    assert near.alike(order[0], order[1])
    assert not replace(near, apart=np.full((9, 9), 0.1)).alike(order[0], order[1])


def test_the_largest_n_stands_for_a_size_and_few_budgets_for_many():
    assert [(one.held["N"], one.examples) for one in sizes(found(ladder(anchors=5)))] == [(1, 4), (3, 4), (9, 4)]
    assert few(np.array([1.0, 2.0])).tolist() == [1, 2]
    assert few(np.linspace(1, 32, 300)) == pytest.approx(2.0 ** np.arange(6))


def test_a_run_that_is_not_there_or_was_tested_once_is_refused_in_a_line():
    models = found(ladder(anchors=5))
    with pytest.raises(UserError, match="no run 'line 1O'; did you mean 'line 1"):
        of_run(models, "line 1O")
    once = next(one for one in models if not one.many)
    with pytest.raises(UserError, match=r"tested at T = 1, V = 4 only; .*evaluate\.also"):
        of_run(models, once.run)


OWN = {
    "factors": {
        "N": {"column": "N"},
        "T": {"column": "T", "trained": "T_train"},
        "V": {"column": "V", "trained": "V_train"},
    },
    "data": {"column": "n"},
    "targets": {"avg": {"column": "avg", "kind": "error", "se": "avg_se"}},
}
CONFIG = {
    **STUDY,
    "table": OWN,
    "laws": {"forms": ["add"], "starts": 3, "resamples": 6, "folds": 3, "preset": "fast"},
    "cost": {"expression": "N * T * (100 + V)"},
    "space": {"N": [1, 3, 9], "T": [1, 2, 4, 8, 16, 32], "V": [4, 9, 16, 36, 64]},
    "frontier": {"budgets": {"from": 150, "to": 20000, "count": 12}, "members": 20},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A fitted table of tests elsewhere, with its table of checkpoints."""
    done = fitted(made(tmp_path_factory.mktemp("checkpoint"), CONFIG, ladder(anchors=5).drop(columns="c")))
    call(["frontier", "--study", str(done.study_json), "--tables", "checkpoint"])
    return done


def test_only_studies_with_tests_elsewhere_have_the_table():
    assert "checkpoint" in frontier_tables(validate({**CONFIG, "table": {"path": "points.csv", **OWN}}))
    assert "checkpoint" not in frontier_tables(validate(STUDY))


def test_the_law_retrains_a_model_of_the_same_size_and_n(results: Results):
    target = results.target("avg")
    one = of_run(results.checkpoints("avg"), "line 38")  # N = 9, n = 0.5
    assert (one.held, one.examples) == ({"N": 9.0}, 0.5)
    for row, budget in zip(retrained(target, one, np.array([100.0, 2000.0, 1e5])), (100.0, 2000.0, 1e5), strict=True):
        if budget < 9 * 104:
            assert np.isnan(row["f"])
            continue
        kept = (target.space.factors["N"] == 9) & (target.space.cost <= budget)
        f = np.median(target.ensemble.pool.errors(np.flatnonzero(kept), 0.5), axis=0)
        assert row["f"] == pytest.approx(f.min())
        assert row["f_lo"] <= row["f"] <= row["f_hi"]
    assert row["beyond"] == "T"
    whole = frontier_table(target, np.array([1e5]), np.array([0.5]), 0.005).iloc[0]
    assert (row["law_T"], row["law_V"], row["f"]) == pytest.approx((whole["T"], whole["V"], whole["f"]))


def test_table_report_and_figure_say_the_same(results: Results):
    rows = pd.read_csv(results.table_csv("checkpoint"))
    assert rows.run.nunique() == 6
    assert (rows.cost <= rows.c).all()
    assert {"gain", "gain_lo", "gain_hi", "law_T", "law_V", "f", "f_lo", "f_hi", "beyond", "alike"} <= set(rows)
    table = checkpoint_table(results.target("avg"), results.checkpoints("avg"), few(results.budgets))
    assert rows.error.to_numpy() == pytest.approx(table.error)
    assert all(results.table_csv("checkpoint").with_suffix(suffix).exists() for suffix in (".md", ".tex"))
    blocks = page_blocks(StudyReport(results))
    (shown,) = [block for block in blocks if isinstance(block, Table) and "retrained there" in block.heads]
    middle = rows[rows.run == sizes(results.checkpoints("avg"))[1].run]
    assert [row[3].split(" ")[0] for row in shown.rows] == [f"{error:.2f}" for error in middle.error]
    assert any(isinstance(block, Text) and "can serve every budget" in block.text for block in blocks)
    data = draw(results, "checkpoint", "avg").data
    steps = data[(data.run == middle.run.iloc[0]) & (data.kind == "checkpoint")]
    for row in middle.itertuples():
        assert steps[steps.c <= row.c].error.iloc[-1] == pytest.approx(row.error)


def keyed(results: Results, folder: Path) -> Results:
    """Return the results with runs that have keys, as a trained study's have."""
    rows, record = as_runs(read_table(results.study.table), results.study.table)
    keys = [f"N{row.N:g}_T{row.T_train:g}_V{row.V_train:g}_n{row.n:g}" for row in rows.itertuples()]
    file = folder / "keyed" / "study.json"
    file.parent.mkdir()
    file.write_text(results.study_json.read_text())
    (file.parent / "laws").symlink_to(results.root / "laws")
    write_runs(rows.assign(run=keys), record.model_copy(update={"keyed": True}), file.with_name("runs.csv"))
    return Results.open(file)


def test_query_answers_for_one_run(results: Results, tmp_path: Path, capsys: pytest.CaptureFixture):
    own = keyed(results, tmp_path)
    asking = ["query", "--study", str(own.study_json), "--checkpoint"]
    call([*asking, "N9_T16_V64_n4", "--budget", "500", "2000", "30k", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (said["run"], said["trained"], said["tests"]) == ("N9_T16_V64_n4", {"T": 16, "V": 64}, 9)
    assert [row["c"] for row in said["budgets"]] == [2000, 30000]  # the cheapest test costs 936
    assert said["budgets"][-1]["gain"] == 0
    call([*asking, "N9_T16_V64_n4", "--budget", "500", "2000", "30k"])
    printed = capsys.readouterr().out
    assert f"  within 500 {own.cost_unit}: nothing; its cheapest test, T = 1, V = 4, costs 936" in printed
    assert f"measured {said['budgets'][0]['error']:.2f} ± 0.50" in printed
    assert "no change; it was trained there" in printed
    call([*asking, "N9_T16_V64_n4"])
    assert capsys.readouterr().out.count("within") >= len(few(own.budgets))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--checkpoint", "N9_T16_V64_n5"], "no run 'N9_T16_V64_n5'; did you mean 'N9_T16_V64_n"),
        (["--checkpoint", "N3_T1_V4_n0.5"], "tested at T = 1, V = 4 only"),
        (["--checkpoint", "N9_T16_V64_n4", "--examples", "3"], "a trained run has its own n"),
        (["--budget", "500", "900", "--examples", "1"], "several budgets need --checkpoint RUN; give one budget"),
    ],
    ids=str,
)
def test_query_refuses_in_a_line(results: Results, tmp_path: Path, words: list[str], said: str):
    with pytest.raises(UserError) as refused:
        call(["query", "--study", str(keyed(results, tmp_path).study_json), *words])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_rows_without_keys_cannot_be_asked_for(results: Results):
    with pytest.raises(UserError, match="have no run keys"):
        call(["query", "--study", str(results.study_json), "--checkpoint", "line 2"])
