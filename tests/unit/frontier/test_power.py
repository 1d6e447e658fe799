"""What a design can tell: more with less noise, never what is not there; rivals as read and as compared."""

from functools import partial

import numpy as np
import pytest

from vlmfrontier.cost.flops import PaperCost
from vlmfrontier.errors import UserError
from vlmfrontier.frontier.elasticity import ElasticityGrid
from vlmfrontier.frontier.pool import Ensemble, Members
from vlmfrontier.frontier.power import Outcome, directed, separated, simulate
from vlmfrontier.frontier.prior import ERRORS, Design, draw_law
from vlmfrontier.frontier.rivals import check_rivals, compare, parse_rivals
from vlmfrontier.frontier.space import RunRange, grid_space
from vlmfrontier.units import format_configuration

CENTER = {"N": 3e9, "T": 8.0, "V": 64.0}
NAMES = {"N": {"small": 1e9, "large": 8e9}}
RIVALS = [{**CENTER, "V": 64.0}, {**CENTER, "V": 81.0}]


def star(factor: str, levels: list[float]) -> list[dict[str, float]]:
    return [{**CENTER, factor: level} for level in levels]


def design(**more) -> Design:
    """A star at three n."""
    rows = star("N", [5e8, 1e9, 3e9, 8e9]) + star("T", [2, 4, 16, 32]) + star("V", [9, 16, 144, 256])
    factors = {name: np.repeat([row[name] for row in rows], 3).astype(float) for name in CENTER}
    return Design(factors, np.tile([2e5, 5e5, 1e6], len(rows)), CENTER, **more)


def detected(outcomes: list[Outcome]) -> float:
    return float(np.mean([outcome.compared[0].detected != 0 for outcome in outcomes]))


@pytest.fixture(scope="module")
def outcomes() -> dict[float, list[Outcome]]:
    """What a star tells at two noises, with a space for directions."""
    space = grid_space({"N": [1e9, 3e9, 8e9], "T": np.arange(1, 33), "V": np.arange(2, 17) ** 2}, PaperCost(430e6, 768))
    grid = ElasticityGrid(np.linspace(4e12, 4e13, 4), np.array([5e5, 2e6]), 2.5e6)
    run = partial(simulate, design(space=space, grid=grid), RIVALS, 5e5, laws=12, seed=1, done=lambda: None)
    return {noise: run(noise=noise) for noise in (0.003, 0.4)}


def test_less_noise_tells_more_and_what_it_tells_is_true(outcomes):
    quiet, loud = outcomes[0.003], outcomes[0.4]
    assert detected(quiet) >= 0.75
    assert detected(quiet) > detected(loud) + 0.2
    for outcome in quiet:
        pair, (true,) = outcome.compared[0], outcome.true
        assert pair.detected in (0, np.sign(true))
        assert abs(pair.difference - true) < 0.5
    assert [outcome.true for outcome in quiet] == [outcome.true for outcome in loud]  # the same laws


def test_the_table_of_bins_counts_every_law_once(outcomes):
    table, smallest = separated(outcomes[0.4], 0, 1.0)
    assert table.laws.iloc[:-1].sum() == table.laws.iloc[-1] == 12
    known = table[table.laws > 0]
    np.testing.assert_allclose(known.right + known.wrong + known.undetected, 1)
    assert smallest is None or smallest >= separated(outcomes[0.003], 0, 1.0)[1]


def test_directions_are_rows_of_factors(outcomes):
    table = directed(outcomes[0.003])
    assert list(table.factor) == ["N", "T", "V"]
    assert (table.wrong <= 0.2).all()
    assert table.moves.between(0, 12).all()


@pytest.mark.parametrize(
    ("true", "signs", "expected"),
    [
        ([0.1, 0.2, 0.5, 1, 2, 3], [0, 0, 1, 1, 1, 1], 0.5),
        (
            [0.1, 0.2, 0.5, 1, 2, 3],
            [0, 0, 1, 0, 1, 1],
            2,
        ),  # what is found by chance below what is missed does not count
        ([-3, -2, -1, 0.5], [-1, -1, 1, 0], 2),  # the wrong sign is not found
        ([1, 2, 3], [0, 0, 0], None),
    ],
)
def test_the_smallest_difference_found_in_most_cases(true, signs, expected):
    pairs = [compare(RIVALS, ensemble(sign), 1.0) for sign in signs]
    made = [Outcome(pair, [float(size)], None) for pair, size in zip(pairs, true, strict=True)]
    assert separated(made, 0, 1.0)[1] == expected


def ensemble(sign: float, spread: float = 0.0) -> Ensemble:
    """Models over the two rivals, the second worse by `sign` give or take `spread`."""
    A = np.stack([np.full(21, 20.0), 20 + sign + spread * np.linspace(-1, 1, 21)], axis=1)
    members = Members(A, np.zeros_like(A), np.zeros(21))
    return Ensemble(members)


def test_rivals_are_told_apart_where_the_interval_of_their_difference_excludes_0():
    (pair,) = compare(RIVALS, ensemble(1.0, 1.05), None)
    assert (pair.detected, pair.fits) == (1, 21)
    assert pair.first_better == pytest.approx(20 / 21)
    assert pair.lo == pytest.approx(1 - 1.05 * 0.9)
    assert compare(RIVALS, ensemble(-1.0, 2.0), None)[0].detected == 0
    assert compare(RIVALS, ensemble(0.0), None)[0].first_better == 0.5


def test_laws_of_the_prior_have_plausible_errors_and_differ():
    rng, made = np.random.default_rng(0), design(scale=0.05)
    drawn = np.array([draw_law(made, rng)(made.points()) for _ in range(30)])
    assert drawn.min() > 0.05 * ERRORS[0]
    assert drawn.max() < 0.05 * ERRORS[1]
    assert np.ptp(drawn.mean(axis=1)) > 0.3


def test_a_design_that_spans_too_much_has_no_plausible_law():
    wide = Design({"N": np.array([1.0, 1e120])}, None, {"N": 1e60})
    with pytest.raises(UserError, match="span so much"):
        draw_law(wide, np.random.default_rng(0))


def test_rivals_are_levels_models_or_whole_configurations():
    found = parse_rivals(["V=49", "N=large", "N=1B,T=4,V=1k"], CENTER, NAMES)
    assert found[:2] == [{**CENTER, "V": 49.0}, {**CENTER, "N": 8e9}]
    assert format_configuration(found[2]) == "N = 1B, T = 4, V = 1k"


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["V=49", "V=49.0"], "same configuration"),
        (["V=64", "T=8"], "same configuration"),
        (["V=49"], "two configurations"),
        (["W=49", "V=4"], "no factor 'W'"),
        (["V=many", "V=4"], "'many' is no value of V; write for example V=64"),
        (["N=huge", "V=4"], "write for example N=small"),
        (["V=0", "V=4"], "positive"),
        (["V=4,V=9", "V=4"], "V twice"),
        (["n=4", "V=4"], "--examples"),
    ],
)
def test_wrong_rivals_are_named(texts: list[str], said: str):
    with pytest.raises(UserError, match=said):
        parse_rivals(texts, CENTER, NAMES)


def test_rivals_outside_the_space_are_refused_and_outside_the_runs_are_noted():
    space, runs = (
        grid_space({"N": [1e9, 8e9], "T": [1, 8], "V": [4, 400]}, PaperCost(430e6, 768)),
        RunRange.of(design().factors, None),
    )
    assert check_rivals(RIVALS, space, runs) == []
    (note,) = check_rivals([{**CENTER, "V": 300.0}], space, runs)
    assert "outside the runs in V" in note
    with pytest.raises(UserError, match="V = 500 is outside the study's space, 4 to 400"):
        check_rivals([{**CENTER, "V": 500.0}], space, runs)
    assert check_rivals([{**CENTER, "V": 500.0}], None, runs)
