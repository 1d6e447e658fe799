"""Forms: values, gradients, formulas, and the split in the data size, all from one list of terms."""

import numpy as np
import pytest

from vlmfrontier.errors import UserError
from vlmfrontier.laws.diagnostics import log_jacobian
from vlmfrontier.laws.forms import FORMS, form_for
from vlmfrontier.laws.words import formula

NTV = ("N", "T", "V")
X = np.array([[1.0, 4.0, 9.0], [7.5, 32.0, 196.0]])
n = np.array([0.25, 2.0])


def random_theta(form, seed=0):
    rng = np.random.default_rng(seed)
    return np.where(
        form.is_coefficient, rng.uniform(0.1, 5, len(form.is_coefficient)), rng.uniform(-1, 1, len(form.is_coefficient))
    )


@pytest.mark.parametrize(
    ("name", "K1", "K3"), [("mult", 4, 6), ("add", 5, 9), ("add-interact-s", 6, 14), ("add-interact", 7, 15)]
)
def test_numbers_of_parameters_are_those_of_the_papers_table_7(name, K1, K3):
    assert len(form_for(name, ("N",), True).parameter_names) == K1
    assert len(form_for(name, NTV, True).parameter_names) == K3


def test_add_interact_is_the_papers_equation():
    form = form_for("add-interact", NTV, True)
    p = dict(zip(form.parameter_names, random_theta(form), strict=True))
    by_hand = sum(p[f"alpha_{k}"] * X[:, i] ** -p[f"a_{k}"] for i, k in enumerate(NTV))
    by_hand += sum(p[f"beta_{k}"] * X[:, i] ** p[f"b_{k}"] for i, k in enumerate(NTV)) * n ** -p["d"]
    by_hand += p["xi"] * n ** -p["d"] + p["epsilon"]
    assert form.predict(random_theta(form), X, n) == pytest.approx(by_hand, rel=1e-13)  # rounding


def test_mult_is_the_papers_equation():
    form = form_for("mult", NTV, True)
    p = dict(zip(form.parameter_names, random_theta(form), strict=True))
    by_hand = p["alpha"] * n ** -p["d"] * np.prod([X[:, i] ** -p[f"a_{k}"] for i, k in enumerate(NTV)], axis=0)
    assert form.predict(random_theta(form), X, n) == pytest.approx(by_hand + p["epsilon"], rel=1e-13)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("factors", [("N",), NTV, ("N", "T", "V", "M")])
def test_the_split_in_the_data_size_is_the_law(name, factors):
    if name == "add-tokens" and "V" not in factors:
        return
    form = form_for(name, factors, True)
    theta = np.stack([random_theta(form, seed) for seed in range(3)])
    points = np.random.default_rng(1).uniform(0.5, 50, (5, len(factors)))
    A, B, d = form.split_in_data(theta, points)
    assert A.shape == B.shape == (3, 5)
    for size in (0.1, 1.0, 7.0):
        assert A + B * size ** -d[:, None] == pytest.approx(form.predict(theta, points, np.full(5, size)), rel=1e-12)


@pytest.mark.parametrize("name", ["mult", "add"])
def test_without_a_data_column_there_is_no_n(name):
    form = form_for(name, NTV, False)
    assert not {"d", "xi"} & set(form.parameter_names)
    _, B, d = form.split_in_data(random_theta(form)[None], X)
    assert not B.any()
    assert not d.any()


def test_interactions_need_a_data_column():
    with pytest.raises(UserError, match=r"no data column.*\[mult, add\]"):
        form_for("add-interact", NTV, False)


def test_a_vanished_coefficient_gives_an_exact_zero_whatever_its_exponent():
    form = form_for("add", ("N",), True)
    theta = np.array([0.0, 3.0, 0.0, 3.0, 2.0])
    assert form.predict(theta, [[1e-200]], [1e-200]) == pytest.approx(2.0)


@pytest.mark.parametrize("name", FORMS)
def test_the_gradient_is_that_of_the_law(name):
    form, step = form_for(name, NTV, True), 1e-6
    theta = random_theta(form)
    internal = np.where(form.is_coefficient, np.log(np.abs(theta)), theta)

    def log_f(parameters):
        return np.log(form.predict(np.where(form.is_coefficient, np.exp(parameters), parameters), X, n))

    moved = np.eye(len(theta)) * step
    numeric = np.stack([(log_f(internal + m) - log_f(internal - m)) / (2 * step) for m in moved], axis=1)
    # central differences err by step² and by rounding / step, both near 1e-10
    assert log_jacobian(form, theta, X, n) == pytest.approx(numeric, abs=1e-8)


def test_formulas_are_written_from_the_same_terms():
    form = form_for("add-interact-s", ("N",), True)
    assert formula(form) == "f = α_N·N^(−a_N) + β_N·N^(b_N)·n^(−d) + ε"
    numbers = dict.fromkeys(form.parameter_names, 0.5)
    assert formula(form, numbers) == "f = 0.5·N^(−0.5) + 0.5·N^(0.5)·n^(−0.5) + 0.5"


def test_an_unknown_form_is_named_with_those_there_are():
    with pytest.raises(UserError, match="'cubic'; the forms are mult, add"):
        form_for("cubic", NTV, True)
