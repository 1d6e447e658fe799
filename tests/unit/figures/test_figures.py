"""Figures show the numbers they are given, and nothing where there is nothing to show."""

import numpy as np
import pandas as pd
import pytest

from vlmfrontier.cost import PaperCost
from vlmfrontier.cost.vision_share import vision_share_table
from vlmfrontier.figures import style
from vlmfrontier.figures.contours import contours_figure
from vlmfrontier.figures.curves import Predictor, isoflop_groups
from vlmfrontier.figures.draw import Drawing, save_all
from vlmfrontier.figures.elasticity import elasticity_figure
from vlmfrontier.figures.fit_quality import fit_quality_figure
from vlmfrontier.figures.frontier import frontier_figure
from vlmfrontier.figures.isoflop import isoflop_figure, least_error_table, least_errors
from vlmfrontier.figures.star import star_figure, tasks_figure
from vlmfrontier.figures.vision_share import vision_share_figure
from vlmfrontier.frontier.coverage import RunRange
from vlmfrontier.frontier.laws import TargetLaws
from vlmfrontier.frontier.pool import range_name
from vlmfrontier.frontier.space import grid_space
from vlmfrontier.frontier.table import frontier_table
from vlmfrontier.frontier.target import Target
from vlmfrontier.laws.bagging import Bag
from vlmfrontier.laws.forms import form_for

FACTORS = ["N", "T", "V"]
COST = PaperCost(M=1e5, W=64)
TRUTH = {
    "alpha_N": 4,
    "a_N": 0.6,
    "alpha_T": 12,
    "a_T": 0.8,
    "alpha_V": 60,
    "a_V": 1.0,
    "xi": 5,
    "d": 0.45,
    "epsilon": 20,
}


def bag(seed):
    form = form_for("add", FACTORS, True)
    rng = np.random.default_rng(seed)
    theta = np.array([[TRUTH[name] * rng.lognormal(0, 0.03) for name in form.parameter_names] for _ in range(20)])
    return Bag(form, {"N": 1e5, "T": 1.0, "V": 1.0}, 1e3, theta, np.zeros(20), np.ones(20))


def runs():
    """A star around (83k, 8, 16) at two data sizes and three rivals at 100M FLOPs."""
    star = [(N, 8, 16) for N in (14e3, 36e3, 195e3)] + [(83e3, T, 16) for T in (1, 2, 4, 8, 16)]
    star += [(83e3, 8, V) for V in (4, 9, 36, 64)]
    rows = [(*x, n) for x in star for n in (400, 800)] + [(195e3, 5, 16, 800), (14e3, 7, 36, 800), (83e3, 5, 36, 800)]
    frame = pd.DataFrame(rows, columns=[*FACTORS, "n"]).astype(float)
    frame["avg"] = PREDICTOR_LAWS.bags["add"].predict(frame)
    return frame


PREDICTOR_LAWS = TargetLaws("avg", {"add": bag(0)}, bag(1), {"add": 1.0}, "add", count=20)
PREDICTOR = Predictor(PREDICTOR_LAWS, "avg: error (0–100)")
RUNS = runs()
SPACE = grid_space({"N": np.unique(RUNS.N), "T": np.arange(1, 17), "V": np.arange(1, 9) ** 2}, COST)
TARGET = Target("avg", SPACE, PREDICTOR_LAWS.spread(SPACE.factors), RunRange.of({k: RUNS[k] for k in FACTORS}, RUNS.n))
GROUPS = isoflop_groups(RUNS, COST.cost(RUNS), [1e8, 9e9], 0.1, FACTORS)


def all_figures():
    table = frontier_table(TARGET, np.linspace(2e7, 3e8, 20), np.array([400.0, 800.0]), near=0.005)
    elasticities = pd.DataFrame(
        {
            "target": "avg",
            "factor": FACTORS,
            "e_median": 0.1,
            "e_lo": [-0.1, 0.05, 0.0],
            "e_hi": 0.3,
            "direction": ["not determined", "up", "not determined"],
        }
    )
    fitted = pd.DataFrame({"measured": RUNS.avg, "predicted": RUNS.avg * 1.01, "sweep": "star"})
    return {
        "star": star_figure(RUNS, FACTORS, PREDICTOR),
        "tasks": tasks_figure(RUNS, "T", FACTORS, {"avg": PREDICTOR, "again": PREDICTOR}),
        "contours": contours_figure(RUNS, FACTORS, PREDICTOR, COST),
        "isoflop": isoflop_figure(GROUPS, TARGET, "avg"),
        "frontier": frontier_figure(table, FACTORS, "avg", "FLOPs", "90% interval"),
        "elasticity": elasticity_figure(elasticities, FACTORS),
        "fit": fit_quality_figure({"train": fitted, "extrapolation": fitted}, "avg"),
    }


@pytest.fixture(scope="module")
def figures():
    return all_figures()


def test_every_panel_has_labels_and_data(figures):
    for name, figure in figures.items():
        for panel in figure.axes:
            assert panel.has_data() or panel.get_label() == "<colorbar>", name
            assert panel.get_xlabel() or panel.get_ylabel() or panel.get_shared_x_axes().get_siblings(panel), name


def test_star_panels_show_every_run_of_their_line(figures):
    shown = [
        tuple(point)
        for container in figures["star"].axes[1].containers
        for point in np.column_stack(container.lines[0].get_data())
    ]
    line = RUNS[(RUNS.N == 83e3) & (RUNS.V == 16)]
    assert sorted(shown) == sorted(zip(line["T"], line.avg, strict=True))


def test_many_data_sizes_share_a_few_colours():
    many = pd.concat([RUNS.assign(n=RUNS.n * factor) for factor in np.linspace(1, 3, 10)])
    figure = star_figure(many, FACTORS, PREDICTOR)
    assert len(figure.legends[0].get_texts()) == 6


def test_isoflop_lines_are_the_least_error_at_each_level():
    levels, errors = least_errors(TARGET, 1e8, "T", 800.0)
    for level, error in zip(levels, errors, strict=True):
        rivals = (SPACE.factors["T"] == level) & (SPACE.cost <= 1e8)
        medians = np.median(TARGET.spread.pool.errors(np.flatnonzero(rivals), 800.0), axis=0)
        assert error == pytest.approx(medians.min())


def test_isoflop_groups_hold_runs_of_one_budget_and_one_n():
    assert list(GROUPS) == [1e8]
    assert set(GROUPS[1e8].n) == {800}
    assert (np.abs(COST.cost(GROUPS[1e8]) / 1e8 - 1) <= 0.1).all()


def test_what_cannot_be_shown_is_not_drawn():
    assert star_figure(RUNS.iloc[:2], FACTORS, PREDICTOR) is None
    assert tasks_figure(RUNS.iloc[:2], "T", FACTORS, {"avg": PREDICTOR}) is None
    assert isoflop_figure({}, TARGET, "avg") is None
    assert contours_figure(RUNS, ["N"], PREDICTOR, COST) is None


def test_files_are_the_same_for_the_same_data(tmp_path, figures):
    style.save(figures["star"], tmp_path / "a")
    style.save(all_figures()["star"], tmp_path / "b")
    for suffix in (".png", ".svg"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_ticks_keep_the_last_level_and_their_distance():
    assert style.thinned([1, 2, 4, 8, 16], log=True) == [1, 2, 4, 8, 16]
    ticks = style.thinned(np.arange(1, 65), log=True)
    assert ticks[-1] == 64
    assert len(ticks) <= 9


def test_the_share_of_the_vision_model_is_drawn_per_size_and_along_the_frontier():
    shares = vision_share_table(COST, SPACE.levels("N"), 8, SPACE.levels("V"))
    table = frontier_table(TARGET, np.linspace(2e7, 3e8, 20), np.array([400.0, 800.0]), near=0.005)
    levels, along = vision_share_figure(shares, table.assign(share=COST.vision_share(table)), "FLOPs").axes
    drawn = [line for line in levels.get_lines() if len(line.get_xdata()) == len(SPACE.levels("V"))]
    assert len(drawn) == len(SPACE.levels("N"))
    np.testing.assert_allclose(drawn[0].get_ydata(), 100 * shares.query("N == N.min()").share)
    assert [text.get_text() for text in along.get_legend().get_texts()] == ["x*, n = 400", "x*, n = 800"]


def test_figures_of_the_frontier_have_their_numbers_beside_them(tmp_path, figures):
    numbers = least_error_table(GROUPS, TARGET)
    drawings = [
        Drawing("isoflop-avg", "Rivals.", figures["isoflop"], numbers),
        Drawing("star-avg", "Lines.", figures["star"]),
        Drawing("nothing", "Nothing.", None, numbers),
    ]
    assert save_all(drawings, tmp_path) == [tmp_path / "isoflop-avg.png", tmp_path / "star-avg.png"]
    assert {path.name for path in tmp_path.glob("*.csv")} == {"isoflop-avg.csv"}
    written = pd.read_csv(tmp_path / "isoflop-avg.csv")
    levels, errors = least_errors(TARGET, 1e8, "T", 800.0)
    rows = written[(written.c == 1e8) & (written.factor == "T")]
    np.testing.assert_array_equal(rows.level, levels)
    np.testing.assert_allclose(rows.f, errors)
    assert "Rivals. [Its numbers](isoflop-avg.csv)." in (tmp_path / "index.md").read_text()


def test_a_bag_as_in_the_paper_is_not_called_an_interval():
    table = frontier_table(TARGET, np.linspace(2e7, 3e8, 5), np.array([400.0]), near=0.005)
    for pooling, words in (("paper", "bagging spread"), ("pool", "90% interval")):
        figure = frontier_figure(table, FACTORS, "avg", "FLOPs", range_name(pooling))
        assert figure.axes[-1].get_title() == f"along the frontier, with {words}"
