"""The engine: recovers known laws, is no worse than scipy, obeys bounds, weights and losses, ignores threads."""

import numpy as np
import pytest

from benchmarks.synthetic import ADDITIVE, STRONG, paper_grid, paper_sweep, true_error
from vlmfrontier.laws import engine, reference
from vlmfrontier.laws.descent import polished
from vlmfrontier.laws.fit import problem_for
from vlmfrontier.laws.forms import FORMS, form_for
from vlmfrontier.laws.problem import Problem, descents
from vlmfrontier.study.analysis import LawsConfig

TRUTH = {
    "alpha": 8.0, "alpha_N": 4.0, "a_N": 0.45, "alpha_T": 14.0, "a_T": 0.55, "alpha_V": 10.0, "a_V": 0.4,
    "beta_N": 2.0, "b_N": 0.5, "beta_T": 0.6, "b_T": 0.4, "beta_V": 0.5, "b_V": 0.35, 
    "xi": 6.0, "d": 0.45, "epsilon": 20.0,
}  # fmt: skip


def exact(name: str, config: LawsConfig, factors=("N", "T", "V")) -> tuple[Problem, np.ndarray]:
    """Return a problem whose data obey the form exactly, and its θ."""
    grid, _ = paper_grid()
    form = form_for(name, factors, True)
    theta = np.array([TRUTH[parameter] for parameter in form.parameter_names])
    X, n = grid[:, : len(factors)], grid[:, 3]
    target = np.log(form.predict(theta, X, n))[None]
    return Problem(form, np.log(np.column_stack([X, n]).T), target, np.ones_like(target), config), theta


@pytest.mark.parametrize("loss", ["mse", "huber"])
@pytest.mark.parametrize("log_space", [True, False])
@pytest.mark.parametrize("name", ["mult", "add"])
def test_recovers_a_law_without_noise(name, log_space, loss):
    problem, theta = exact(name, LawsConfig(loss=loss, log_space=log_space, starts=100))
    solution = engine.solve(problem)
    # The objective is quadratic about its zero minimum, and stops at 1e-12 of itself: half the digits of θ remain.
    assert solution.theta[0] == pytest.approx(theta, rel=1e-4)


@pytest.mark.parametrize("name", ["add-interact-s", "add-interact"])
def test_recovers_the_error_of_a_degenerate_law_without_noise(name):
    problem, _ = exact(name, LawsConfig(starts=100))
    solution = engine.solve(problem)
    columns = np.exp(problem.logs)
    predicted = problem.form.predict(solution.theta[0], columns[:3].T, columns[3])
    assert predicted == pytest.approx(np.exp(problem.log_target[0]), rel=1e-4)  # θ itself is not identified


def test_the_objective_is_the_loss_of_its_theta():
    for loss, log_space in (("mse", True), ("huber", True), ("mse", False), ("huber", False)):
        config = LawsConfig(loss=loss, delta=0.005, log_space=log_space, starts=20, preset="fast")
        table = paper_sweep(seed=1)
        solution = engine.solve(problem_for(table, "add", "avg", config))
        grid, _ = paper_grid()
        predicted = form_for("add", ("N", "T", "V"), True).predict(solution.theta[0], grid[:, :3], grid[:, 3])
        error = table.targets["avg"]
        residual = np.log(predicted) - np.log(error) if log_space else predicted - error
        size = np.abs(residual)
        rho = residual**2 / 2 if loss == "mse" else np.where(size < 0.005, size**2 / 2, 0.005 * (size - 0.0025))
        # to_theta drops terms below 1e-10 of f
        assert solution.objective[0] == pytest.approx(rho.sum(), rel=1e-6)


@pytest.mark.parametrize("gradient", ["numeric", "analytic"])
@pytest.mark.parametrize("name", FORMS)
def test_no_worse_than_scipy(name, gradient):
    table, config = paper_sweep(seed=5), LawsConfig(starts=4 if gradient == "numeric" else 20)
    problem = problem_for(table, name, "avg", config)
    ours = engine.solve(problem.with_weights(problem.weight)).objective[0]
    assert ours <= reference.solve(problem, gradient).objective[0] * (1 + 1e-9)


@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_a_fit_of_an_easy_batch_ends_where_the_whole_search_does(quick, loss):
    config = quick.model_copy(update={"loss": loss, "delta": 0.005})
    problem = problem_for(paper_sweep(ADDITIVE, 0.01, 3), "add", "avg", config)
    batch = problem.with_weights(np.random.default_rng(0).multinomial(88, np.full(88, 1 / 88), 40).astype(float))
    assert engine._piloted(batch, None, 1)  # easy, or this tests nothing
    searched = [polished(batch, row, each).objective[0] for row, each in enumerate(engine._searched(batch, None, 1))]
    assert (engine.solve(batch).objective <= np.array(searched) * (1 + 1e-6)).all()


def test_a_batch_with_terms_that_vanish_is_not_easy(quick):
    problem = problem_for(paper_sweep(ADDITIVE, 0.01, 3), "add-interact", "avg", quick)
    batch = problem.with_weights(np.random.default_rng(0).multinomial(88, np.full(88, 1 / 88), 16).astype(float))
    assert not engine._piloted(batch, None, 1)


def test_a_descent_under_hubers_loss_ends_soon():
    config = LawsConfig(loss="huber", delta=1e-3)
    problem = problem_for(paper_sweep(ADDITIVE, 0.01, 3), "add", "avg", config)
    start = problem.from_theta(np.array([ADDITIVE[name] for name in problem.form.parameter_names]))
    soon, late = (
        descents(
            start[None].copy(), np.array([1e-2]), problem.features, problem.log_target[0], problem.weight[0],
            problem.layout, problem.options, iterations, 1e-12,
        )[0]
        for iterations in (30, 3000)
    )  # fmt: skip
    # Reweighting alone is still 1e-6 above the end: most points lie beyond δ.
    assert soon == pytest.approx(late, rel=1e-9)


@pytest.mark.slow
def test_as_good_as_all_starts_run_to_convergence():
    config = LawsConfig()
    problem = problem_for(paper_sweep(seed=77), "add-interact", "avg", config)
    weight = np.random.default_rng(77).multinomial(88, np.full(88, 1 / 88), 10).astype(float)
    thorough = config.model_copy(update={"preset": "exhaustive"})
    best = engine.solve(problem_for(paper_sweep(seed=77), "add-interact", "avg", thorough).with_weights(weight))
    ours = engine.solve(problem.with_weights(weight)).objective
    assert np.mean(ours <= best.objective * (1 + 1e-6)) >= 0.9


def test_results_do_not_depend_on_the_number_of_threads(sweep, quick):
    problem = problem_for(sweep, "add-interact", "avg", quick)
    weight = np.random.default_rng(0).multinomial(88, np.full(88, 1 / 88), 5).astype(float)
    one, three = (engine.solve(problem.with_weights(weight), threads=threads) for threads in (1, 3))
    assert np.array_equal(one.theta, three.theta)
    assert np.array_equal(one.objective, three.objective)


def test_a_weight_counts_as_repeats_of_a_row(sweep, quick):
    twice = np.ones(88)
    twice[:10] = 2
    weighted = engine.solve(problem_for(sweep, "add", "avg", quick).with_weights(twice[None]))
    rows = np.r_[np.arange(88), np.arange(10)]
    repeated = engine.solve(problem_for(sweep.rows(rows), "add", "avg", quick))
    assert weighted.objective == pytest.approx(repeated.objective, rel=1e-9)


def test_a_row_of_weight_zero_is_not_seen(sweep, quick):
    mask = np.arange(88) >= 10
    weighted = engine.solve(problem_for(sweep, "add", "avg", quick).with_weights(mask[None].astype(float)))
    fewer = engine.solve(problem_for(sweep.rows(mask), "add", "avg", quick))
    assert weighted.objective == pytest.approx(fewer.objective, rel=1e-9)


@pytest.mark.parametrize("bound", [0.3, 3.0])
def test_exponents_stay_within_their_bound(sweep, quick, bound):
    config = quick.model_copy(update={"exponent_bound": bound})
    problem = problem_for(sweep, "add-interact", "avg", config)
    exponents = engine.solve(problem).theta[0][~problem.form.is_coefficient]
    assert np.abs(exponents).max() <= bound
    if bound == 0.3:
        assert np.abs(exponents).max() == bound  # it binds: the truth has 0.55


def test_positive_exponents_are_positive_and_cost_fit(sweep, quick):
    free = engine.solve(problem_for(sweep, "add-interact", "avg", quick))
    config = quick.model_copy(update={"positive_exponents": True})
    problem = problem_for(sweep, "add-interact", "avg", config)
    held = engine.solve(problem)
    assert (held.theta >= 0).all()
    assert held.objective[0] >= free.objective[0] * (1 - 1e-6)


def test_unbounded_exponents_fit_at_least_as_well(sweep, quick):
    bounded = engine.solve(problem_for(sweep, "add-interact", "avg", quick))
    config = quick.model_copy(update={"exponent_bound": None})
    unbounded = engine.solve(problem_for(sweep, "add-interact", "avg", config), warm=bounded.theta)
    assert unbounded.objective[0] <= bounded.objective[0] * (1 + 1e-6)


def test_the_zero_start_is_one_start_and_no_better(sweep, quick):
    zero = engine.solve(problem_for(sweep, "add-interact", "avg", quick.model_copy(update={"initial": "zero"})))
    assert zero.starts == 1
    many = engine.solve(problem_for(sweep, "add-interact", "avg", quick))
    assert many.objective[0] <= zero.objective[0] * (1 + 1e-6)


def test_units_do_not_change_the_fit(sweep, quick):
    raw = problem_for(sweep, "add", "avg", quick)
    scaled = Problem(raw.form, raw.logs + np.log([[1e9], [1.0], [1.0], [1e6]]), raw.log_target, raw.weight, quick)
    assert engine.solve(scaled).objective == pytest.approx(engine.solve(raw).objective, rel=1e-9)


def test_huber_heeds_an_outlier_less(quick):
    table = paper_sweep(STRONG, 0.003, seed=2)
    truth = true_error(STRONG, table)
    table.targets["avg"][40] *= 1.5
    off = {}
    for loss in ("mse", "huber"):
        problem = problem_for(table, "add-interact", "avg", quick.model_copy(update={"loss": loss}))
        columns = np.exp(problem.logs)
        predicted = problem.form.predict(engine.solve(problem).theta[0], columns[:3].T, columns[3])
        off[loss] = np.abs(predicted / truth - 1).mean()
    assert off["huber"] < off["mse"] / 2


def test_internal_parameters_go_to_theta_and_back(sweep, quick):
    problem = problem_for(sweep, "add-interact", "avg", quick)
    theta = np.array([STRONG[name] for name in problem.form.parameter_names])
    assert problem.to_theta(problem.from_theta(theta)) == pytest.approx(theta, rel=1e-12, abs=1e-20)
