"""Models tested at levels that they were not trained at: the gap, its anchors, and trainings as the unit."""

from dataclasses import replace

import numpy as np
import pytest

from tests.made_ladder import LOST, ladder, law
from vlmfrontier.frontier import caveats
from vlmfrontier.frontier.pool import target_laws
from vlmfrontier.laws.bagging import bag, folds, times_drawn
from vlmfrontier.laws.checks import point_weights, table_warnings
from vlmfrontier.laws.fit import fit
from vlmfrontier.laws.table import ResultsTable
from vlmfrontier.laws.transfer import GapDraws
from vlmfrontier.study.analysis import FrontierConfig, LawsConfig

CONFIG = LawsConfig(forms=["add"], starts=10, resamples=30, preset="fast")


def test_anchors_tell_the_gap_and_the_ensemble_is_of_models_trained_there():
    table = ladder(anchors=5)
    gap = table.measured("avg").transfer["avg"]
    assert gap.anchors == 5
    found = dict(zip(gap.columns.names, gap.mean, strict=True))
    # The prior pulls towards no gap and towards none in n and N, and the comparisons have no noise.
    assert found["T_train / T"] == pytest.approx(LOST["T"], rel=0.03)
    assert found["V_train / V"] == pytest.approx(LOST["V"], rel=0.03)
    fitted = fit(table, "add", "avg", CONFIG)
    x = {"N": np.array([3.0]), "T": np.array([4.0]), "V": np.array([9.0])}
    laws = target_laws(
        table, {"add": fitted}, {"add": bag(table, fitted, "avg", CONFIG)}, {"add": 1.0}, FrontierConfig()
    )
    lost = LOST["T"] * np.log(16 / 4) + LOST["V"] * np.log(64 / 9)
    tested, there = law(3, 4, 9, 1) * np.exp(lost), law(3, 4, 9, 1)
    # The law is that of models trained at (16, 64), the ensemble's that of models trained where they are tested.
    assert fitted.predict(x | {"n": np.array([1.0])})[0] == pytest.approx(tested, rel=0.02)
    assert np.median(laws.ensemble(x).pool.errors(np.array([0]), 1.0)) == pytest.approx(there, rel=0.02)
    assert any(said.startswith("transfer: ") and "5 anchors" in said for said in fitted.warnings)


def test_what_the_gap_takes_off_changes_with_n_as_it_was_estimated():
    table = ladder(anchors=5, noise=0.005).measured("avg")
    gap = table.transfer["avg"]
    gamma = gap.draws(7, 0)
    x = {"N": np.array([2.0, 5.0]), "T": np.array([2.0, 32.0]), "V": np.array([9.0, 64.0])}
    level, slope = GapDraws(gap.columns, gap.place, gamma).over(x)
    for n, u in ((0.5, -1.0), (1.1, np.log(1.1 / 2**0.5) / np.log(8**0.5)), (4.0, 1.0)):
        points = x | {"n": np.full(2, n)}
        assert level + u * slope == pytest.approx(gamma @ gap.place.Z(gap.columns, points).T, abs=1e-12)
    assert (level[:, 1] == 0).all()  # nothing is lost at more than the models were trained at


def test_models_that_drew_their_levels_have_a_gap_at_every_level():
    table = ladder(anchors=6, drawn=0.04)
    gap = table.measured("avg").transfer["avg"]
    assert all(name.startswith("elastic") for name in gap.columns.names)
    away = table.elsewhere
    assert away[:144].all()
    assert not away[144:].any()
    lost = LOST["T"] * np.log(16 / table.factors["T"]) + LOST["V"] * np.log(64 / table.factors["V"]) + 0.04
    found = gap.place.Z(gap.columns, table.points()) @ gap.mean
    assert found[away] == pytest.approx(lost[away], abs=0.02)
    assert (gap.Z[away] == 0).all()  # as those that the laws are of
    assert table.measured("avg").error("avg")[-1] == pytest.approx(table.error("avg")[-1] * np.exp(found[-1]))


def test_without_anchors_nothing_is_taken_off_and_that_is_said():
    table = ladder(anchors=0)
    measured = table.measured("avg")
    assert (measured.error("avg") == table.error("avg")).all()
    assert any("the law is one of tested models" in said for said in table_warnings(measured))


def test_tests_that_crowd_at_the_largest_error_are_said_to_hide_the_gap():
    table = ladder(anchors=5)
    assert caveats.tested_elsewhere(table.measured("avg"), "avg") == []
    error = table.error("avg")
    ceiling = np.quantile(error, 0.85)
    capped = replace(table, targets={"avg": np.minimum(error, ceiling)})
    (said,) = caveats.tested_elsewhere(capped.measured("avg"), "avg")
    assert "what worse models lose is not seen" in said
    assert f"within 2% of {ceiling:.3g}, the largest" in said
    assert "not known" in caveats.tested_elsewhere(ladder(anchors=0).measured("avg"), "avg")[0]


def test_fewer_anchors_leave_more_open():
    spread = {}
    for anchors in (1, 5):
        gap = ladder(anchors, noise=0.005).measured("avg").transfer["avg"]
        x = {"N": np.array([3.0]), "T": np.array([1.0]), "V": np.array([4.0])}
        spread[anchors] = GapDraws(gap.columns, gap.place, gap.draws(400, 0)).over(x)[0].std()
    assert spread[1] > 2 * spread[5]


def test_tests_of_one_training_are_drawn_left_out_and_weighed_together():
    table = ladder(anchors=2)
    assert (table.trainings, table.configurations, len(table)) == (11, 144, 146)
    one = table.training == table.training[0]
    assert one.sum() == 16
    times = times_drawn(table, CONFIG)
    assert (times[:, one] == times[:, one][:, :1]).all()
    assert times.sum() / len(times[0]) / len(times) == pytest.approx(1, rel=0.2)
    assert len(np.unique(folds(table, CONFIG)[one])) == 1
    weight = point_weights(table, "avg", CONFIG)
    assert weight.mean() == pytest.approx(1)
    assert weight[one].sum() / weight[-1] == pytest.approx(16 / 8.5)


def test_a_table_without_trained_levels_is_as_before():
    table = ladder(anchors=0)
    plain = replace(table, trained={}, training=table.configuration)
    assert not plain.elsewhere.any()
    assert plain.measured("avg") is plain
    assert set(point_weights(plain, "avg", CONFIG)) == {1.0}


def bent(anchors: int, height: float) -> ResultsTable:
    """Return a ladder that loses more at T in between than a log-linear gap says; the first anchors are at the ends."""
    table = ladder(anchors, noise=0.003)
    far = np.log(table.trained["T"] / table.factors["T"]) / np.log(16)
    return replace(table, targets={"avg": table.error("avg") * np.exp(4 * height * far * (1 - far))})


def test_a_gap_that_is_not_log_linear_lies_in_its_interval_and_anchors_in_between_find_it():
    x = {"N": np.array([3.0]), "T": np.array([4.0]), "V": np.array([64.0])}
    log_linear, width = LOST["T"] * np.log(4), {}
    for anchors in (1, 5):
        gap = bent(anchors, 0.035).measured("avg").transfer["avg"]
        drawn = GapDraws(gap.columns, gap.place, gap.draws(400, 0)).over(x)[0][:, 0]
        low, middle, high = np.quantile(drawn, [0.05, 0.5, 0.95])
        assert low < log_linear + 0.035 < high
        width[anchors] = high - low
    assert middle > log_linear + 0.01
    assert width[1] > 2 * width[5]


def test_levels_in_between_that_no_anchor_checks_are_said():
    said = caveats.tested_elsewhere(bent(1, 0.0).measured("avg"), "avg")  # trained at the smallest T and V
    assert [f"a {name} between the smallest and the largest" in one for name, one in zip("TV", said, strict=True)] == [
        True,
        True,
    ]
    assert caveats.tested_elsewhere(bent(5, 0.0).measured("avg"), "avg") == []
