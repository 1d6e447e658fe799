"""Models tested at levels that they were not trained at: the gap, its anchors, and trainings as the unit."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from vlmfrontier.laws.bagging import bag, folds, times_drawn
from vlmfrontier.laws.checks import point_weights, table_warnings
from vlmfrontier.laws.fit import fit
from vlmfrontier.laws.table import ResultsTable, from_arrays
from vlmfrontier.study.analysis import LawsConfig

CONFIG = LawsConfig(forms=["add"], starts=10, resamples=30, preset="fast")
LOST = {"T": 0.05, "V": 0.03}
"""What is lost in logs of the error for each factor of e."""


def law(N, T, V, n):
    return 8 * N**-0.5 + 10 * T**-0.6 + 20 * V**-0.5 + 5 * n**-0.4 + 15


def ladder(anchors: int, noise: float = 0.0, drawn: float | None = None, seed: int = 0) -> ResultsTable:
    """Return nine trainings at (16, 64) tested at 16 levels each, and so many of these configurations trained too;
    models that drew their levels lose `drawn` everywhere."""
    rng = np.random.default_rng(seed)
    rows = [
        (N, T, V, n, 16, 64) for N, n in product((1, 3, 9), (0.5, 1, 4)) for T in (1, 4, 8, 16) for V in (4, 9, 36, 64)
    ]
    own = [
        (3, 1, 4, 0.5, 1, 4),
        (1, 8, 4, 4, 8, 4),
        (9, 1, 64, 1, 1, 64),
        (9, 4, 9, 4, 4, 9),
        (1, 4, 36, 0.5, 4, 36),
        (3, 16, 64, 1, 16, 64),
    ]
    N, T, V, n, T_train, V_train = np.array(rows + own[:anchors], float).T
    lost = LOST["T"] * np.log(T_train / T) + LOST["V"] * np.log(V_train / V)
    elastic = None
    if drawn is not None:
        elastic = np.arange(len(N)) < len(rows)
        lost = lost + drawn * elastic
    error = law(N, T, V, n) * np.exp(lost + noise * rng.standard_normal(len(N)))
    trained = {"T": T_train, "V": V_train}
    return from_arrays({"N": N, "T": T, "V": V}, {"avg": error}, n, trained=trained, elastic=elastic)


def test_anchors_tell_the_gap_and_the_law_is_that_of_models_trained_there():
    table = ladder(anchors=5)
    gap = table.measured("avg").transfer["avg"]
    assert gap.anchors == 5
    found = dict(zip(gap.columns.names, gap.mean, strict=True))
    # The prior pulls towards no gap and towards none in n and N, and the comparisons have no noise.
    assert found["T_train / T"] == pytest.approx(LOST["T"], rel=0.03)
    assert found["V_train / V"] == pytest.approx(LOST["V"], rel=0.03)
    fitted = fit(table, "add", "avg", CONFIG)
    x = {"N": np.array([3.0]), "T": np.array([4.0]), "V": np.array([9.0]), "n": np.array([1.0])}
    assert fitted.predict(x)[0] == pytest.approx(law(3, 4, 9, 1), rel=0.01)
    assert any(said.startswith("transfer: ") and "5 anchors" in said for said in fitted.warnings)


def test_models_that_drew_their_levels_have_a_gap_at_every_level():
    table = ladder(anchors=6, drawn=0.04)
    gap = table.measured("avg").transfer["avg"]
    assert all(name.startswith("elastic") for name in gap.columns.names)
    away = table.elsewhere
    assert away[:144].all()
    assert not away[144:].any()
    lost = LOST["T"] * np.log(16 / table.factors["T"]) + LOST["V"] * np.log(64 / table.factors["V"]) + 0.04
    assert gap.Z[away] @ gap.mean == pytest.approx(lost[away], abs=0.02)
    assert (gap.Z[~away] == 0).all()


def test_without_anchors_nothing_is_taken_off_and_that_is_said():
    table = ladder(anchors=0)
    measured = table.measured("avg")
    assert (measured.error("avg") == table.error("avg")).all()
    assert any("the law is one of tested models" in said for said in table_warnings(measured))


def test_fewer_anchors_leave_more_open_and_every_resample_takes_off_its_own_gap():
    spread = {}
    for anchors in (1, 5):
        measured = ladder(anchors, noise=0.005).measured("avg")
        spread[anchors] = measured.transfer["avg"].shifts(400, 0).std(axis=0).max()
    assert spread[1] > 2 * spread[5]
    x = {"N": np.array([3.0]), "T": np.array([1.0]), "V": np.array([4.0]), "n": np.array([1.0])}
    few, many = (bag(ladder(anchors, noise=0.005), "add", "avg", CONFIG).members(x) for anchors in (1, 5))
    assert np.log(few).std() > 2 * np.log(many).std()


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
