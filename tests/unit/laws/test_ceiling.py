"""Laws below a ceiling: values and derivatives against plain numpy, recovery, files; exponents that may not be < 0."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.synthetic import paper_grid
from tests.unit.laws.test_engine import TRUTH
from vlmfrontier.laws import engine, kernel, matrix, reference
from vlmfrontier.laws.bagging import Bag, bag
from vlmfrontier.laws.diagnostics import log_jacobian
from vlmfrontier.laws.fit import LawFit, fit, problem_for
from vlmfrontier.laws.forms import form_for
from vlmfrontier.laws.problem import Problem, pack
from vlmfrontier.laws.profile import profiles
from vlmfrontier.laws.starts import fill_coefficients
from vlmfrontier.laws.table import ResultsTable, from_arrays
from vlmfrontier.laws.words import formula
from vlmfrontier.study.analysis import LawsConfig
from vlmfrontier.study.forms import CEILINGS

NTV, CEILING = ("N", "T", "V"), 62.0
SUFFIXES = list(CEILINGS)


def truth(form) -> np.ndarray:
    """Return a θ whose sum of terms reaches from far below to far above the ceiling on the paper's grid."""
    steep = {"alpha_N": 40.0, "alpha": 60.0, "C": CEILING}
    return np.array([(TRUTH | steep)[name] for name in form.parameter_names])


def below(form, theta: np.ndarray, X: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return log f (m,) by the definition, for a θ of real or of complex numbers."""
    values = dict(zip(form.parameter_names, theta, strict=True))
    variables = dict(zip(form.factors, X.T, strict=True)) | {"n": n}
    g = 0
    for term in form.terms:
        powers = [variables[power.variable] ** (power.sign * values[power.exponent]) for power in term.powers]
        g = g + values[term.coefficient] * np.prod(powers, axis=0)
    C, s = values.get("C", form.ceiling), form.sharpness
    return -np.log(g**-s + C**-s) / s


def grid() -> tuple[np.ndarray, np.ndarray]:
    """Return X (m, 3) and n (m,) of the paper's runs."""
    points, _ = paper_grid()
    return points[:, :3], points[:, 3]


def sweep(name: str, noise: float = 0.0) -> ResultsTable:
    """Return the paper's grid with errors below the ceiling."""
    form, (X, n) = form_for(name, NTV, True), grid()
    error = form.predict(truth(form), X, n) * np.exp(noise * np.random.default_rng(0).standard_normal(len(n)))
    units = {"N": 1.0, "T": 1.0, "V": 1.0}
    return from_arrays(dict(zip(NTV, X.T, strict=True)), {"avg": error}, n, units, 1.0, largest={"avg": 100.0})


def with_ceiling(name: str, known: bool, **settings) -> tuple[Problem, np.ndarray]:
    """Return the fit of a law's own values, its ceiling told or not, and θ."""
    form, (X, n) = form_for(name, NTV, True), grid()
    theta = truth(form)
    log_error = np.log(form.predict(theta, X, n))[None]
    form, theta = (replace(form, ceiling=CEILING), theta[:-1]) if known else (form, theta)
    logs = np.log(np.column_stack([X, n]).T)
    return Problem(form, logs, log_error, np.ones_like(log_error), LawsConfig(**settings), 100.0), theta


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("log_space", [True, False])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_values_and_derivatives_are_those_of_the_definition(suffix, log_space, known):
    problem, theta = with_ceiling(f"add-interact-s{suffix}", known, log_space=log_space)
    form, (X, n), logged = problem.form, grid(), problem.form.is_logged

    def law(internal):
        logs = below(form, np.where(logged, np.exp(internal), internal), X, n)
        return logs if log_space else np.exp(logs)

    internal, at, moved = np.where(logged, np.log(theta), theta), problem.from_theta(theta), 1e-3 * np.eye(len(theta))
    # The kernel's logs of factors are centred, which moves log coefficients: the same function of other variables.
    columns = [problem.from_theta(np.where(logged, np.exp(internal + step), internal + step)) - at for step in moved]
    inner = np.linalg.inv(np.stack(columns, axis=1) / 1e-3)
    slopes = np.stack([law(internal + 1e-30j * step).imag / 1e-30 for step in inner.T], axis=1)

    points, count = pack(problem.features, problem.log_target[0], problem.weight[0], log_space)
    work = kernel.workspace(len(form.terms), len(theta), len(n))
    kernel.evaluate(at, points, count, problem.layout, problem.options, work)
    assert work.residual + points.target == pytest.approx(law(internal), rel=1e-12)
    matrix.jacobian(points, count, problem.layout, problem.options, work)
    assert pytest.approx(slopes, rel=1e-10, abs=1e-10) == work.jacobian.T

    matrix.weigh(points.weight, count, 0.0, 1.0, work)
    work.factor[:], work.gradient[:] = np.eye(len(theta)), 1.0
    work.move[:] = np.random.default_rng(0).normal(0, 0.1, len(theta))
    along, h = inner @ work.move, 1e-4
    ahead, behind = (law(internal + sign * h * along + 1e-30j * along).imag / 1e-30 for sign in (1, -1))
    second = (ahead - behind) / (2 * h)
    kernel.term_exponents(work.move, points.features, problem.layout, work.exponent, count)
    matrix.accelerate(work.exponent, count, problem.layout, log_space, work)
    assert work.slope == pytest.approx(second, rel=1e-6, abs=1e-6 * np.abs(second).max())  # central differences


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_predictions_and_their_gradient_know_the_ceiling(suffix):
    form, (X, n) = form_for(f"add-interact{suffix}", NTV, True), grid()
    theta = truth(form)
    internal = np.where(form.is_logged, np.log(theta), theta)

    def log_f(parameters):
        return below(form, np.where(form.is_logged, np.exp(parameters), parameters), X, n)

    assert np.log(form.predict(theta, X, n)) == pytest.approx(log_f(internal), rel=1e-13)
    exact = np.stack([log_f(internal + 1e-30j * step).imag / 1e-30 for step in np.eye(len(theta))], axis=1)
    assert log_jacobian(form, theta, X, n) == pytest.approx(exact, rel=1e-10, abs=1e-12)
    A, B, d = form.split_in_data(theta[None], X)
    assert form.link(A + B * n ** -d[:, None], form.ceilings(theta)[:, None])[0] == pytest.approx(
        form.predict(theta, X, n)
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_size_of_g_overflows(suffix):
    form = form_for(f"add{suffix}", NTV, True)
    assert form.link([1e-300, 1e300], 50.0) == pytest.approx([1e-300, 50.0])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_least_squares_finds_the_coefficients_below_a_ceiling(suffix):
    problem, theta = with_ceiling(f"add{suffix}", known=False)
    start = problem.from_theta(theta)[None].copy()
    start[:, problem.form.is_coefficient] = 0.0
    ranking = fill_coefficients(start, problem.features, problem.log_target[0], problem.weight[0], problem.layout)
    # Where a target is near the ceiling its weight is small, and least squares stops early: it only makes starts.
    assert ranking[0] < 1e-4
    predicted = problem.form.predict(problem.to_theta(start[0]), *problem.design)
    assert predicted == pytest.approx(np.exp(problem.log_target[0]), rel=1e-2)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(("log_space", "loss"), [(True, "mse"), (True, "huber"), (False, "mse")])
@pytest.mark.parametrize("name", ["mult-ceiling", "mult-soft-ceiling", "add-ceiling", "add-soft-ceiling"])
def test_recovers_a_law_below_a_ceiling_without_noise(name, log_space, loss, known):
    problem, theta = with_ceiling(name, known, log_space=log_space, loss=loss, starts=100)
    solution = engine.solve(problem)
    assert solution.objective[0] < 1e-10
    assert solution.theta[0] == pytest.approx(theta, rel=1e-3)


@pytest.mark.parametrize("name", ["add-ceiling", "add-interact-s-soft-ceiling"])
def test_no_worse_than_scipy_below_a_ceiling(name):
    problem = problem_for(sweep(name, 0.01), name, "avg", LawsConfig(starts=10))
    ours = engine.solve(problem.with_weights(problem.weight)).objective[0]
    assert ours <= reference.solve(problem, "analytic").objective[0] * (1 + 1e-9)


def test_a_fitted_ceiling_lies_between_the_largest_measured_and_the_largest_possible(quick):
    table = sweep("add-ceiling", 0.03)
    members = bag(table, "add-ceiling", config=quick).theta[:, -1]
    assert (members <= 100 * (1 + 1e-12)).all()
    assert (members >= np.quantile(table.error("avg"), 0.9)).all()  # a resample knows only the errors it has drawn
    assert fit(table, "add-ceiling", config=quick).parameters["C"] >= table.error("avg").max() * (1 - 1e-12)


def test_a_law_with_a_ceiling_is_saved_and_read(tmp_path, quick):
    table = sweep("add-ceiling", 0.01)
    law = fit(table, "add-ceiling", config=quick)
    law.save(tmp_path / "law.json")
    record = json.loads((tmp_path / "law.json").read_text())
    assert record["ceiling"] == {"value": record["parameters"]["C"], "s": 4.0, "known": False}
    assert record["ceiling"]["value"] == pytest.approx(CEILING, rel=0.05)
    assert record["standard_errors"]["C"] > 0
    read = LawFit.load(tmp_path / "law.json")
    assert np.array_equal(read.predict(table.points()), law.predict(table.points()))
    members = bag(table, law, config=quick)
    members.save(tmp_path / "bag.csv")
    assert np.array_equal(
        Bag.load(tmp_path / "bag.csv", LawFit.load(tmp_path / "law.json")).theta[:, -1], members.theta[:, -1]
    )


def test_a_known_ceiling_is_no_parameter_and_is_read_back(tmp_path):
    problem, theta = with_ceiling("add-ceiling", known=True)
    table = sweep("add-ceiling")
    law = LawFit(problem.form, "avg", table.units, 1.0, "mse", theta, 0.0, {}, None)
    law.save(tmp_path / "law.json")
    read = LawFit.load(tmp_path / "law.json")
    assert (read.form.ceiling, "C" in read.parameters) == (CEILING, False)
    assert np.array_equal(read.predict(table.points()), law.predict(table.points()))


def test_a_law_written_before_there_were_ceilings_is_read(tmp_path, sweep_law):
    sweep_law.save(tmp_path / "law.json")
    record = json.loads((tmp_path / "law.json").read_text())
    del record["ceiling"]
    (tmp_path / "old.json").write_text(json.dumps(record))
    assert LawFit.load(tmp_path / "old.json").parameters == sweep_law.parameters


@pytest.fixture
def sweep_law(sweep_table, quick) -> LawFit:
    """Return a law without a ceiling."""
    return fit(sweep_table, "add", config=quick)


@pytest.fixture
def sweep_table() -> ResultsTable:
    """Return errors of an additive law, 1% noise."""
    return sweep("add-ceiling", 0.01)


def test_a_ceiling_can_be_profiled(quick):
    table = sweep("add-ceiling", 0.01)
    law = fit(table, "add-ceiling", config=quick)
    found = profiles(table, law, ["C", "a_N"], quick, points=5, threads=1)
    assert (found.delta_chi2 > -1e-3).all()
    of_ceiling = found[found.parameter == "C"]
    assert of_ceiling.delta_chi2.max() > 1
    assert of_ceiling.loc[of_ceiling.value.sub(law.parameters["C"]).abs().idxmin()].delta_chi2 == pytest.approx(
        0, abs=1e-3
    )


def test_a_formula_shows_the_ceiling():
    form = form_for("add-ceiling", ("N",), False)
    assert formula(form) == "f = g/(1 + (g/C)^4)^(1/4), g = α_N·N^(−a_N) + ε"
    numbers = {"alpha_N": 2.0, "a_N": 0.5, "epsilon": 0.0, "C": 75.0}
    assert formula(form, numbers) == "f = g/(1 + (g/75)^4)^(1/4), g = 2·N^(−0.5)"
    assert formula(form_for("add-soft-ceiling", ("N",), False), numbers).startswith("f = g/(1 + g/75), ")


def rising(noise: float = 0.005) -> ResultsTable:
    """Return errors that rise with T."""
    X, n = grid()
    error = 20 + 30 * X[:, 0] ** -0.5 + 2 * X[:, 1] ** 0.3 + 8 * n**-0.4
    error *= np.exp(noise * np.random.default_rng(1).standard_normal(len(n)))
    return from_arrays(dict(zip(NTV, X.T, strict=True)), {"avg": error}, n)


def test_by_default_no_law_says_that_error_rises_with_a_factor_by_itself(quick):
    free = fit(rising(), "add", config=quick.model_copy(update={"positive_exponents": False}))
    assert free.parameters["a_T"] < 0
    law = fit(rising(), "add", config=quick)
    assert law.objective > free.objective
    assert (law.theta >= 0).all()
    assert law.parameters["alpha_T"] == 0
    assert "T^" not in formula(law.form, law.parameters)
    assert "a_T" not in law.diagnostics["at_bound"]


@pytest.mark.parametrize("mode", ["main", True, False])
def test_a_term_held_at_exponent_0_becomes_part_of_the_constant(quick, mode):
    form, (X, n) = form_for("add", NTV, True), grid()
    theta = truth(form)
    theta[form.index("a_T")] = 0.0
    problem = problem_for(rising(), "add", "avg", quick.model_copy(update={"positive_exponents": mode}))
    merged = problem.to_theta(problem.from_theta(theta))
    assert form.predict(merged, X, n) == pytest.approx(form.predict(theta, X, n), rel=1e-12)
    kept, constant = merged[form.index("alpha_T")], merged[form.index("epsilon")]
    # Where exponents are free, one that is 0 is a finding like any other.
    assert (kept, constant) == pytest.approx((14, 20) if mode is False else (0, 34))


def test_exponents_of_interactions_stay_free_beside_main_ones(quick):
    form = form_for("add-interact", NTV, True)
    main = [name for name, held in zip(form.parameter_names, form.is_main_exponent, strict=True) if held]
    assert main == ["a_N", "a_T", "a_V", "d"]
    found = {}
    for mode in ("main", True, False):
        config = quick.model_copy(update={"positive_exponents": mode})
        lower = problem_for(rising(), "add-interact", "avg", config).options.lower
        found[mode] = [lower[form.index(name)] for name in ("a_N", "b_N", "d")]
    assert found == {"main": [0, -3, 0], True: [0, 0, 0], False: [-3, -3, -3]}
