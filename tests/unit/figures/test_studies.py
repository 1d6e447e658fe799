"""Studies of every kind get the figures that apply, without empty axes, and a report that says what is missing."""

from pathlib import Path

import pandas as pd
import pytest

from tests.made_studies import (
    STUDY,
    assert_another_process_draws_the_same,
    fitted,
    made,
    points,
    with_profile_and_regret,
)
from vlmfrontier.errors import UserError
from vlmfrontier.figures.catalogue import CATALOGUE, caption, drawn, left_out
from vlmfrontier.figures.drawing import draw, save
from vlmfrontier.figures.outline import Outline
from vlmfrontier.report.page import write_report
from vlmfrontier.results import Results

TRAINED_ONLY = {"learning", "cost"}
FEW = {"starts": 5, "resamples": 5}
SMALL = {"members": 20, "elasticity": {"budgets": 5, "sizes": 4}}


def variant(kind: str) -> tuple[dict, pd.DataFrame]:
    """Return a study of a kind and its table."""
    table, study = points(), {**STUDY, "laws": {"forms": ["mult", "add"], **FEW}, "cost": {"expression": "N * T * V"}}
    study["frontier"] = {"budgets": {"from": "2T", "to": "30T", "count": 10}, "examples": ["0.5M", "1M", "4M"], **SMALL}
    section = dict(study["table"])
    one = {"avg": section["targets"]["avg"]}
    match kind:
        case "one target":
            section["targets"] = one
            study["cost"] = STUDY["cost"]  # Eq. 1, which knows the vision model's share
        case "one factor":
            line = table[(table.frames == 16) & (table.tokens == 100)]
            scales = (1, 1.7, 2.6)
            table = pd.concat([line.assign(params=line.params * s, avg=line.avg * s**-0.2) for s in scales])
            section |= {"factors": {"N": section["factors"]["N"]}, "targets": one}
            del section["split"]
            study |= {
                "cost": {"expression": "2 * N * 1e5"},
                "space": {"N": ["1B", "3B", "8B"]},
                "frontier": SMALL,
            }
        case "no cost":
            study = {key: value for key, value in study.items() if key not in ("cost", "space", "frontier")}
        case "four factors":
            table["vision"] = 0.4e9
            more = table[(table.params == 3e9) & (table.frames == 16) & (table.tokens == 100)]
            sizes = (0.1, 0.2, 0.8)
            table = pd.concat([table, *(more.assign(vision=m * 1e9, avg=more.avg * (m / 0.4) ** -0.1) for m in sizes)])
            factors = {**section["factors"], "M": {"column": "vision", "unit": "1B"}}
            section |= {"factors": factors, "targets": one}
            study |= {"laws": {"forms": ["add"], **FEW}, "cost": {"expression": "N * T * V * M ** 0.01"}}
            study["space"] = {**study["space"], "T": [4, 8, 16], "M": ["0.1B", "0.4B", "0.8B"]}
        case "no data size":
            table = table[table.examples == 1e6]
            del section["data"]
            study["frontier"] = {key: value for key, value in study["frontier"].items() if key != "examples"}
        case "no rivals":
            table = table[table.n_star == 1]
            section |= {
                "split": "frames < 32",
                "factors": {k: section["factors"][k] for k in ("N", "T")},
                "targets": one,
            }
            study |= {"cost": {"expression": "N * T ** 2"}, "space": {"N": ["1B", "3B", "8B"], "T": [2, 4, 8]}}
            study["frontier"] = SMALL
            table = table[table.tokens == 100]
    return {**study, "table": section}, table


EXPECTED = {
    "complete": {"vision-share"},
    "one target": {"star-tasks", "extrapolation", "contours-tasks", "isoflop", "isoflop-tasks", "frontier-tasks"},
    "one factor": {
        *{"star-tasks", "extrapolation", "contours-tasks", "isoflop", "isoflop-tasks", "frontier-tasks"},
        "vision-share",
    },
    "four factors": {
        *{"star-tasks", "extrapolation", "contours-tasks", "isoflop-tasks", "frontier-tasks", "vision-share"},
    },
    "no cost": {
        *{"isoflop", "isoflop-tasks", "frontier", "frontier-tasks", "elasticity", "elasticity-budget", "vision-share"},
        "regret",
    },
    "no data size": {"elasticity", "elasticity-budget", "vision-share"},
    "no rivals": {
        *{
            "star-tasks",
            "extrapolation",
            "contours-tasks",
            "isoflop",
            "isoflop-tasks",
            "frontier-tasks",
            "vision-share",
        },
    },
}


@pytest.fixture(scope="module", params=EXPECTED)
def study(request, tmp_path_factory) -> tuple[str, Results]:
    config, table = variant(request.param)
    results = fitted(made(tmp_path_factory.mktemp("study"), config, table))
    return request.param, with_profile_and_regret(results)


def test_the_figures_that_do_not_apply_are_left_out_with_a_reason(study: tuple[str, Results]):
    kind, results = study
    reasons = left_out(Outline.of(results.study, results.table))
    assert set(reasons) == TRAINED_ONLY | {"checkpoint"} | set(EXPECTED[kind])
    assert all(reasons.values())


def test_no_figure_of_any_study_has_empty_axes_and_the_report_says_what_is_missing(study: tuple[str, Results]):
    kind, results = study
    names = drawn(Outline.of(results.study, results.table))
    for name in names:
        drawing = draw(results, name, results.main_target)
        assert drawing.figure.axes, name
        assert all(panel.has_data() or panel.get_label() == "<colorbar>" for panel in drawing.figure.axes), name
        assert not drawing.data.empty, name
        said = caption(name, results.study, results.main_target)
        assert "{" not in said
        assert "standard errors" not in said  # an own table has none
        assert ("cost" in said) <= (results.cost is not None), name
        assert "every other" not in said or len(results.study.targets()) > 2
        assert "number of examples" not in said or results.table.has_data
        assert "pairs of factors" not in said or len(results.study.factors()) > 2
    _, page, *_ = write_report(results)
    text = page.with_suffix(".md").read_text()
    assert "### Figures left out" in text
    assert ("No budget has runs of three or more" in text) == (kind in {"one target", "no rivals"})
    for name, reason in left_out(Outline.of(results.study, results.table)).items():
        assert f"`{name}`" in text
        assert reason in text


@pytest.mark.slow
@pytest.mark.parametrize("study", ["complete"], indirect=True)
def test_another_process_draws_every_figure_to_the_same_bytes(tmp_path: Path, study: tuple[str, Results]):
    _, results = study
    assert_another_process_draws_the_same(results, drawn(Outline.of(results.study, results.table)), tmp_path)


def test_unknown_figures_and_those_that_do_not_apply_are_refused_by_name(tmp_path: Path):
    results = made(tmp_path)
    with pytest.raises(UserError, match=r"no figure 'iso'; .* runs, learning"):
        save(results, ["iso"], "avg", tmp_path)
    with pytest.raises(UserError, match="'learning' does not apply"):
        save(results, ["learning"], "avg", tmp_path)


def test_every_figure_has_a_function():
    from importlib import import_module  # noqa: PLC0415 — for this test alone

    for name, entry in CATALOGUE.items():
        module = import_module(f"vlmfrontier.figures.{entry.module}")
        assert callable(getattr(module, f"draw_{name.replace('-', '_')}"))
