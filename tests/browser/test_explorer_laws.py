"""The page evaluates laws as the frontier does, also those that its study does not have."""

import numpy as np
import pytest

from tests.made_ladder import ladder
from vlmfrontier.frontier.pool import target_laws
from vlmfrontier.laws.bagging import Bag, bag
from vlmfrontier.laws.fit import fit
from vlmfrontier.laws.forms import form_for
from vlmfrontier.report.explorer_laws import _form, laws_data
from vlmfrontier.study.analysis import FrontierConfig, LawsConfig


def test_a_law_with_a_ceiling_is_evaluated_as_its_form_does(visit):
    form = form_for("add-ceiling", ("N", "T", "V"), True)
    theta = np.array([[3.0, 0.5, 60, 0.7, 40, 0.5, 9, 0.4, 5, 62], [1.0, 0.4, 30, 0.7, 20, 0.5, 9, 0.4, 5, 58]])
    x = {"N": [1.0, 3.0, 8.0], "T": [1.0, 2.0, 32.0], "V": [4.0, 100.0, 196.0]}
    bag = Bag(form, dict.fromkeys(x, 1.0), 1.0, theta, np.zeros(2), np.ones(2))
    expected = np.median(form.predict(theta, np.array(list(x.values())).T, np.full(3, 2.0)), axis=0)
    script = """([form, theta, levels, units]) => {
        const group = [{ bag: "own", rows: [0, 1] }];
        const bags = { own: { ...form, theta } };
        const law = { units, dataUnit: 1, bags, pool: group, noise: [0], widening: [1], missed: null };
        const own = Engine({ ...data, targets: { own: { laws: law, largest: 100 } } });
        const at = (i) => levels.map((values) => values[i]);
        return levels[0].map((level, i) => own.along("own", 2, 0, at(i), [level])[0].f);
    }"""
    with visit() as seen:
        found = seen.page.evaluate(script, [_form(bag), theta.tolist(), list(x.values()), [1.0, 1.0, 1.0]])
    assert found == pytest.approx(expected)
    assert 50 < max(expected) < 58  # below both ceilings, although a sum of terms is 95


@pytest.mark.parametrize("drawn", [None, 0.04])
def test_models_of_a_ladder_take_the_same_gap_off_as_the_frontier(visit, drawn: float | None):
    config = LawsConfig(forms=["add"], starts=5, resamples=10, preset="fast")
    table = ladder(anchors=6, noise=0.01, drawn=drawn)
    law = fit(table, "add", "avg", config)
    bags = {"add": bag(table, law, "avg", config)}
    laws = target_laws(table, {"add": law}, bags, {"add": 1.0}, FrontierConfig(members=10))
    x = {"N": np.array([1.0, 3.0, 9.0]), "T": np.array([1.0, 4.0, 32.0]), "V": np.array([4.0, 9.0, 64.0])}
    ensemble = laws.ensemble(x)
    expected = [np.median(ensemble.pool.errors(np.arange(3), n), axis=0).tolist() for n in (0.5, 1.7)]
    script = """([laws, levels]) => {
        const own = Engine({ ...data, targets: { own: { laws, largest: 100 } } });
        const at = (i) => levels.map((values) => values[i]);
        return [0.5, 1.7].map((n) => levels[0].map((level, i) => own.along("own", n, 0, at(i), [level])[0].f));
    }"""
    with visit() as seen:
        found = seen.page.evaluate(script, [laws_data(laws, ensemble), [values.tolist() for values in x.values()]])
    assert np.array(found) == pytest.approx(np.array(expected), rel=1e-6)
