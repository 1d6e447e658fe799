"""The published Chinchilla fit (Besiroglu et al. 2024, arXiv 2404.10102), from the example's table."""

from pathlib import Path

import numpy as np
import pytest

from vlmfrontier.laws.bagging import bag
from vlmfrontier.laws.fit import fit
from vlmfrontier.laws.user_table import read_table
from vlmfrontier.study.analysis import LawsConfig
from vlmfrontier.study.load import load_study
from vlmfrontier.study.table import TableConfig

STUDY = Path(__file__).parents[3] / "workflow" / "studies" / "chinchilla.yaml"
INTERNVL2 = TableConfig(
    path=STUDY.parents[2] / "examples" / "messy" / "internvl2_mmbench_video.csv",
    factors={"N": {"column": "total_params_billion"}, "T": {"column": "frames"}},
    targets={"error": "error_pct_of_max"},
)
# 95% intervals of the published fit, for N and D in units of one
PUBLISHED = {"A": (285, 744), "B": (1042, 5810), "E": (1.769, 1.871), "alpha": (0.317, 0.373), "beta": (0.331, 0.415)}


@pytest.fixture(scope="module")
def study():
    return load_study([STUDY])


@pytest.fixture(scope="module")
def law(study):
    return fit(read_table(study.table), "add", "loss", study.laws)


def published_names(theta: np.ndarray) -> dict[str, np.ndarray]:
    """Return the published parameters of θ (…, 5), which is in billions: alpha_N, a_N, xi, d, epsilon."""
    alpha_N, a_N, xi, d, epsilon = np.moveaxis(theta, -1, 0)
    return {"A": alpha_N * 1e9**a_N, "alpha": a_N, "B": xi * 1e9**d, "beta": d, "E": epsilon}


def test_reaches_the_minimum_of_the_published_points(law):
    assert law.objective == pytest.approx(0.00101827402, rel=1e-6)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_parameter_lies_in_its_published_interval(law, name):
    low, high = PUBLISHED[name]
    assert low < published_names(law.theta)[name] < high


def test_standard_errors_are_the_published_ones(study, law):
    config = study.laws.model_copy(update={"resamples": 400, "preset": "fast", "starts": 20})
    found = published_names(bag(read_table(study.table), law, "loss", config).theta)
    for name in ("E", "alpha", "beta"):
        low, high = PUBLISHED[name]
        # 15% of the published error, and 400 resamples leave 4% of noise
        assert found[name].std() == pytest.approx((high - low) / 3.92, rel=0.2)


def test_a_law_by_itself_is_as_unsure_as_its_bag(study, law):
    members = bag(read_table(study.table), law, "loss", study.laws.model_copy(update={"starts": 20}))
    bagged = members.errors_of(law)
    assert bagged.diagnostics["standard_errors"] == "bootstrap, 100 resamples"
    assert bagged.standard_errors["a_N"] == pytest.approx(0.0149, rel=0.03)
    assert law.diagnostics["standard_errors"] == "sandwich"
    assert law.standard_errors["a_N"] == pytest.approx(bagged.standard_errors["a_N"], rel=0.25)


def test_the_papers_mode_and_the_published_formula_reach_the_same_minimum(study, law):
    published = {"forms": [{"published": "E + A*N^-alpha + B*n^-beta"}], "preset": "paper", "starts": 20}
    config = LawsConfig(loss="huber", delta=1e-3, **published)
    found = fit(read_table(study.table), "published", "loss", config)
    assert found.objective == pytest.approx(0.00101827402, rel=1e-8)
    assert found.parameters["alpha"] == pytest.approx(law.parameters["a_N"], rel=1e-5)
    assert found.parameters["E"] == pytest.approx(law.parameters["epsilon"], rel=1e-5)


@pytest.mark.parametrize(
    ("name", "form", "loss", "objective"),
    [
        ("chinchilla", "mult", "huber", 0.0023446952259220),
        ("chinchilla", "mult", "mse", 0.0359375817017891),
        ("chinchilla", "add", "mse", 0.0057309434958493),
        ("chinchilla", "add-interact-s", "mse", 0.0043924836141629),
        ("chinchilla", "add-interact", "mse", 0.0037264311441593),
        ("internvl2", "mult", "mse", 0.0039994786471321),
        ("internvl2", "add", "mse", 0.0035451694771529),
        ("internvl2", "add", "huber", 0.0002617698108204),
    ],
)
def test_in_the_papers_mode_minima_of_public_tables_stay_as_they_were(study, name, form, loss, objective):
    table = read_table(study.table if name == "chinchilla" else INTERNVL2)
    found = fit(table, form, next(iter(table.targets)), LawsConfig(preset="paper", starts=40, loss=loss))
    assert found.objective == pytest.approx(objective, rel=1e-9)
