"""Figures show the numbers they are given, and nothing where there is nothing to show."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from vlmfrontier.cost.flops import PaperCost
from vlmfrontier.figures import SEQUENCE, style
from vlmfrontier.figures.by_factor import line_data, star_figure, star_tasks_figure
from vlmfrontier.figures.contours import contours_figure, contours_tasks_figure
from vlmfrontier.figures.cost import planned_figure, vision_share_figure
from vlmfrontier.figures.drawing import Labels, Predictor
from vlmfrontier.figures.fit_quality import bags_figure, extrapolation_figure, fit_quality_figure, profiles_figure
from vlmfrontier.figures.frontier import (
    elasticity_budget_figure,
    elasticity_figure,
    frontier_figure,
    frontier_tasks_figure,
    regret_figure,
    shown_regret,
)
from vlmfrontier.figures.isoflop import (
    isoflop_data,
    isoflop_figure,
    isoflop_tasks_figure,
    least_errors,
    optima_of,
)
from vlmfrontier.figures.labels import point_labels, spread
from vlmfrontier.figures.optima import optima_data
from vlmfrontier.figures.runs import learning_figure, runs_figure, with_front
from vlmfrontier.figures.surfaces import contour_data
from vlmfrontier.frontier.elasticity import ElasticityGrid, elasticities_of_members, elasticity_by_budget
from vlmfrontier.frontier.pool import Target, TargetLaws
from vlmfrontier.frontier.search import frontier_table
from vlmfrontier.frontier.space import (
    RunRange,
    equal_cost_rows,
    grid_space,
    most_frequent,
    range_name,
)
from vlmfrontier.frontier.tables import vision_share_table
from vlmfrontier.laws.bagging import Bag
from vlmfrontier.laws.discrepancy import Basis, Discrepancy
from vlmfrontier.laws.forms import form_for
from vlmfrontier.sweep.collect import VARIABLES

FACTORS = ["N", "T", "V"]
COST = PaperCost(M=1e5, W=64)
LABELS = Labels("avg: error (0–100)", {name: variable.axis(name) for name, variable in VARIABLES.items()})
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


BASIS = Basis(np.log([5e4, 4.0, 16.0]), np.ones(3), (np.log(600.0), 0.4))


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
    frame["avg"] = LAWS.bags["add"].predict(frame)
    return frame.assign(run=[f"run{i}" for i in range(len(frame))], sweep=["star"] * 24 + ["isoflop"] * 3)


FOUND = Discrepancy(BASIS, *np.zeros((2, 20, 90)), np.full(20, 0.01), np.ones(20), 0.0)
LAWS = TargetLaws("avg", {"add": bag(0)}, "add", {"add": np.arange(20)}, FOUND)
PREDICTOR = Predictor(LAWS)
RUNS = runs()
SPACE = grid_space({"N": np.unique(RUNS.N), "T": np.arange(1, 17), "V": np.arange(1, 9) ** 2}, COST)
TARGET = Target("avg", SPACE, LAWS.ensemble(SPACE.factors), RunRange.of({k: RUNS[k] for k in FACTORS}, RUNS.n))
X = {name: RUNS[name].to_numpy() for name in FACTORS}
GROUPS = {
    budget: RUNS.iloc[rows]
    for budget, rows in equal_cost_rows(X, RUNS.n.to_numpy(), COST.cost(X), [1e8, 9e9], 0.1).items()
}
GRID = ElasticityGrid(np.array([5e7, 1e8, 2e8]), np.array([400.0, 800.0, 1600.0]), 2000.0)


def all_figures():
    table = frontier_table(TARGET, np.linspace(2e7, 3e8, 20), np.array([400.0, 800.0]), near=0.005)
    maps = optima_data(TARGET, (2e7, 3e8), 800.0)
    both = pd.concat([maps, maps.assign(target="again")])
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
    predicted = pd.DataFrame({"measured": RUNS.avg, "predicted": RUNS.avg * 1.01, "sweep": RUNS["sweep"]})
    setups = pd.concat([predicted.assign(setup=setup) for setup in ("train", "cv", "extrapolation")])
    lines = line_data(RUNS, FACTORS, {"avg": PREDICTOR})
    two = pd.concat([lines, lines.assign(target="again")])
    surfaces = contour_data(RUNS, FACTORS, {"avg": PREDICTOR}, COST, grid=12)
    rivals = isoflop_data(GROUPS, {"avg": TARGET})
    forms = pd.DataFrame({"target": ["avg", "again"] * 2, "setup": ["train"] * 2 + ["cv"] * 2, "e_pct": 3.0, "r2": 0.9})
    boxes = pd.DataFrame({"form": ["add"] * 9, "member": [*range(8), -1], "e_pct": np.linspace(1, 3, 9)})
    profile = pd.DataFrame({"parameter": ["a_N"] * 5, "value": np.linspace(0.2, 1, 5), "fit": 0.6})
    losses = pd.DataFrame({"rule": ["scale T alone", "scale V alone"] * 2, "n": [400.0] * 2 + [800.0] * 2})
    losses = losses.assign(mean_regret=[1.0, 2.0, 1.1, 2.1], mean_regret_lo=0.5, mean_regret_hi=3.0)
    curves = pd.DataFrame({"run": "run0", "N": 14e3, "T": 8.0, "V": 16.0, "n": 400.0, "line": "N"} | {"step": [1, 2]})
    costs = pd.DataFrame(
        {"N": [14e3, 83e3], "c": [1e8, 2e8], "counted": [1.2e8, 2.3e8], "training_flops": [1e11, 2e11]}
    )
    costs = costs.assign(train_seconds=[3.0, 6.0], gpu_hours=[1.0, 2.0], measured_gpu_hours=[1.5, 2.5])
    return {
        "runs": runs_figure(with_front(RUNS.assign(c=COST.cost(X)), "avg"), FACTORS, "avg", LABELS),
        "learning": learning_figure(curves.assign(examples=[8.0, 400.0], loss=[1.2, 0.9]), FACTORS, LABELS),
        "cost": planned_figure(costs, LABELS, True),
        "star": star_figure(lines, LABELS),
        "star-tasks": star_tasks_figure(two, LABELS),
        "fit": fit_quality_figure(setups, LABELS),
        "bags": bags_figure(boxes, "add"),
        "extrapolation": extrapolation_figure(forms, 0.85),
        "profiles": profiles_figure(profile.assign(delta_chi2=[4.0, 1.0, 0.0, 1.0, 4.0])),
        "contours": contours_figure(surfaces, RUNS, "avg", LABELS),
        "contours-tasks": contours_tasks_figure(pd.concat([surfaces, surfaces.assign(target="again")]), RUNS, LABELS),
        "isoflop": isoflop_figure(rivals, optima_of(TARGET, GROUPS), LABELS),
        "isoflop-tasks": isoflop_tasks_figure(pd.concat([rivals, rivals.assign(target="again")]), LABELS),
        "frontier": frontier_figure(maps, table, SPACE, TARGET.runs, LABELS, "90% interval"),
        "frontier-tasks": frontier_tasks_figure(both, {"avg": table, "again": table}, SPACE, TARGET.runs, LABELS),
        "elasticity": elasticity_figure(elasticities, FACTORS),
        "elasticity-budget": elasticity_budget_figure(elasticity_by_budget(TARGET, GRID), LABELS),
        "regret": regret_figure(losses),
    }


@pytest.fixture(scope="module")
def figures():
    return all_figures()


def test_every_panel_has_data_and_its_axes_have_labels(figures):
    for name, figure in figures.items():
        for panel in figure.axes:
            assert panel.has_data() or panel.get_label() == "<colorbar>", name
            labelled = [axis.get_label_text() for axis in (panel.xaxis, panel.yaxis)]
            shared = panel.get_shared_x_axes().get_siblings(panel) or panel.get_shared_y_axes().get_siblings(panel)
            assert any(labelled) or len(shared) > 1 or panel.get_title(), name


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
    figure = star_figure(line_data(many, FACTORS, {"avg": PREDICTOR}), LABELS)
    assert len(figure.legends[0].get_texts()) == 6


def test_isoflop_lines_are_the_least_error_at_each_level():
    levels, errors, at = least_errors(TARGET, 1e8, "T", 800.0)
    np.testing.assert_array_equal(SPACE.factors["T"][at], levels)
    for level, error in zip(levels, errors, strict=True):
        rivals = (SPACE.factors["T"] == level) & (SPACE.cost <= 1e8)
        medians = np.median(TARGET.ensemble.pool.errors(np.flatnonzero(rivals), 800.0), axis=0)
        assert error == pytest.approx(medians.min())
    data = isoflop_data(GROUPS, {"avg": TARGET})
    law = data[(data.factor == "T") & (data.kind == "law")]
    np.testing.assert_allclose(law.f, errors)
    assert (law.f_lo <= law.f).all()
    assert (law.f <= law.f_hi).all()
    runs = data[(data.factor == "T") & (data.kind == "run")]
    assert runs.f[runs.best].item() == GROUPS[1e8].avg.min()


def test_isoflop_groups_hold_runs_of_one_budget_and_one_n():
    assert list(GROUPS) == [1e8]
    assert set(GROUPS[1e8].n) == {800}
    assert (np.abs(COST.cost(GROUPS[1e8]) / 1e8 - 1) <= 0.1).all()
    assert most_frequent(np.array([400, 800, 800, 400])) == 800


def test_a_line_needs_three_levels_of_its_factor():
    assert line_data(RUNS.iloc[:2], FACTORS, {"avg": PREDICTOR}).empty


def test_files_are_the_same_for_the_same_data(tmp_path, figures):
    again = star_figure(line_data(RUNS, FACTORS, {"avg": PREDICTOR}), LABELS)
    style.save(figures["star"], tmp_path / "a")
    style.save(again, tmp_path / "b")
    for suffix in (".pdf", ".png", ".svg"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert b"CreationDate" not in (tmp_path / "a.pdf").read_bytes()


def test_nothing_is_cut_off_at_the_edge(tmp_path, figures):
    """Every label lies within the page; a pixel is left for antialiasing."""
    for name, figure in figures.items():
        figure.draw_without_rendering()
        width, height = figure.get_size_inches() * figure.dpi
        box = figure.get_tightbbox().padded(-1 / figure.dpi)
        low, high = box.min * figure.dpi, box.max * figure.dpi
        assert (low >= -1).all(), name
        assert (high <= (width + 1, height + 1)).all(), name


def test_ticks_keep_the_last_level_and_their_distance():
    assert style.thinned([1, 2, 4, 8, 16], log=True) == [1, 2, 4, 8, 16]
    ticks = style.thinned(np.arange(1, 65), log=True)
    assert ticks[-1] == 64
    assert len(ticks) <= 9


def test_ticks_prefer_the_levels_with_most_runs():
    assert style.thinned([1, 2, 2, 4, 4, 8, 8, 8, 11, 16, 16], log=True) == [1, 2, 4, 8, 16]


def test_the_share_of_the_vision_model_is_drawn_per_size_and_along_the_frontier():
    shares = vision_share_table(COST, SPACE.levels("N"), 8, SPACE.levels("V"))
    table = frontier_table(TARGET, np.linspace(2e7, 3e8, 20), np.array([400.0, 800.0]), near=0.005)
    levels, along = vision_share_figure(shares, table.assign(share=COST.vision_share(table)), LABELS).axes
    drawn = [line for line in levels.get_lines() if len(line.get_xdata()) == len(SPACE.levels("V"))]
    assert len(drawn) == len(SPACE.levels("N"))
    np.testing.assert_allclose(drawn[0].get_ydata(), 100 * shares.query("N == N.min()").share)
    assert [text.get_text() for text in along.get_legend().get_texts()] == ["x*, n = 400", "x*, n = 800"]


def test_a_bag_as_in_the_paper_is_not_called_an_interval():
    table = frontier_table(TARGET, np.linspace(2e7, 3e8, 5), np.array([400.0]), near=0.005)
    for pooling, words in (("paper", "bagging spread"), ("pool", "90% interval")):
        maps = optima_data(TARGET, (2e7, 3e8), 400.0)
        figure = frontier_figure(maps, table, SPACE, TARGET.runs, LABELS, range_name(pooling))
        assert figure.axes[3].get_title() == f"along the frontier, with {words}"


def test_the_elasticity_at_single_budgets_averages_to_that_of_all():
    table = elasticity_by_budget(TARGET, GRID)
    members = elasticities_of_members(SPACE, TARGET.ensemble.pool, GRID)
    alone = [elasticities_of_members(SPACE, TARGET.ensemble.pool, at(c)) for c in GRID.budgets]
    np.testing.assert_allclose(np.mean(alone, axis=0), members, atol=1e-12)
    for c, values in zip(GRID.budgets, alone, strict=True):
        np.testing.assert_allclose(table.e_median[table.c == c], np.median(values, axis=0), atol=1e-12)


def test_a_smoothed_elasticity_is_the_mean_of_those_near_by():
    alone, smooth = elasticity_by_budget(TARGET, GRID), elasticity_by_budget(TARGET, GRID, near=2.0)
    for factor in FACTORS:
        e = alone.e[alone.factor == factor].to_numpy()
        wanted = [e[:2].mean(), e.mean(), e[1:].mean()]  # the budgets lie a factor of two apart
        np.testing.assert_allclose(smooth.e[smooth.factor == factor], wanted, atol=1e-12)


def at(budget):
    return ElasticityGrid(np.array([budget]), GRID.examples, GRID.step)


def test_a_frontier_is_not_compared_with_itself():
    table = pd.DataFrame({"rule": ["frontier at n = 400", "scale T alone"] * 2, "n": [400.0, 400.0, 800.0, 800.0]})
    kept = shown_regret(table)
    assert list(zip(kept.rule, kept.n, strict=True)) == [
        ("scale T alone", 400.0),
        ("frontier at n = 400", 800.0),
        ("scale T alone", 800.0),
    ]


def test_shares_of_the_fits_add_up_and_x_star_is_that_of_the_frontier():
    maps = optima_data(TARGET, (2e7, 3e8), 800.0)
    shares = maps[maps.kind == "share"]
    np.testing.assert_allclose(shares.groupby(["factor", "c"]).share.sum(), 1.0)
    best = maps[maps.kind == "x*"].pivot_table(index="c", columns="factor", values="level")
    table = frontier_table(TARGET, best.index.to_numpy(), np.array([800.0]), near=0.005)
    for factor in FACTORS:
        np.testing.assert_array_equal(best[factor], table[factor])
    rising = maps[(maps.kind == "trend") & (maps.factor == "T")].level.to_numpy()
    assert rising[-1] > 2 * rising[0]  # a larger budget pays for more frames
    assert SPACE.factors["T"].min() <= rising.min()


def test_one_budget_has_a_map_of_one_column():
    maps = optima_data(TARGET, (1e8, 1e8), None)
    assert set(maps.kind) == {"share", "x*"}
    assert maps[maps.kind == "share"].c.nunique() == 1


def test_stars_of_contours_cost_what_their_line_says_and_nothing_cheaper_is_better():
    data = contour_data(RUNS, FACTORS, {"avg": PREDICTOR}, COST, grid=16)
    stars = data[data.kind == "star"]
    assert not stars.empty
    for star in stars.to_dict("records"):
        x = {name: np.array([star[name]]) for name in FACTORS}
        assert COST.cost(x)[0] <= star["c"] * 1.01
        same = (data["first"] == star["first"]) & (data["second"] == star["second"]) & (data.kind == "surface")
        assert star["f"] <= data.f[same & (data.c <= star["c"])].min() + 1e-9
        assert float(f"{star['c']:.2g}") == pytest.approx(star["c"])  # a round number


def test_all_tasks_share_one_scale_that_ends_at_the_largest_error(figures):
    *panels, bar = figures["contours-tasks"].axes
    assert bar.get_label() == "<colorbar>"
    assert all(panel.get_label() != "<colorbar>" for panel in panels)
    assert bar.get_ylim()[1] <= 100
    two = Labels("loss", LABELS.names, errors={"avg": "loss", "again": "accuracy: error (0–100)"})
    data = contour_data(RUNS, FACTORS, {"avg": PREDICTOR}, COST, grid=8)
    apart = contours_tasks_figure(pd.concat([data, data.assign(target="again")]), RUNS, two)
    assert len([axes for axes in apart.axes if axes.get_label() == "<colorbar>"]) == 2


def test_the_front_has_no_run_that_another_beats_at_its_cost():
    runs = with_front(RUNS.assign(c=COST.cost(X)), "avg")
    assert runs.best.any()
    for run in runs.itertuples():
        others = runs[(runs.c <= run.c) & (runs.index != run.Index)]
        if run.best:
            assert not (others.avg < run.avg).any()
        else:
            assert (others.avg <= run.avg).any()
    assert "best" not in with_front(RUNS, "avg")


def test_labels_lie_inside_their_panels_and_apart(figures):
    for name, count in (("isoflop", 1), ("runs", 2)):
        figure = figures[name]
        figure.draw_without_rendering()
        found = [(panel, text) for panel in figure.axes for text in panel.texts if text.get_text().startswith("(")]
        assert len(found) >= count, name
        boxes = []
        for panel, text in found:
            box, page = Text.get_window_extent(text), panel.get_window_extent().padded(2)
            assert page.x0 <= box.x0 <= box.x1 <= page.x1, name
            assert page.y0 <= box.y0 <= box.y1 <= page.y1, name
            assert not any(box.overlaps(other) for other in boxes), name
            boxes.append(box)


def test_runs_tested_elsewhere_than_trained_are_small_and_without_bars():
    runs = RUNS.assign(elsewhere=RUNS["T"] < 4, avg_se=1.0)
    panel = runs_figure(runs, FACTORS, "avg", LABELS).axes[0]
    drawn = [(container.lines[0], container.has_yerr) for container in panel.containers]
    sizes = {line.get_markersize(): bars for line, bars in drawn}
    assert [sizes[size] for size in sorted(sizes)] == [False, True]
    small = sum(len(line.get_xdata()) for line, _ in drawn if line.get_markersize() == min(sizes))
    assert small == runs.elsewhere.sum()


def test_a_label_without_room_is_left_out():
    _, axes = style.panels(1, 1)
    point_labels(axes[0, 0], [(0.5, 0.5, "x" * 90), (0.5, 0.5, "fits")])
    assert [text.get_text() for text in axes[0, 0].texts] == ["fits"]


def test_names_at_the_ends_of_lines_keep_their_order_and_distance():
    places = spread([0.5, 0.9, 0.51, 0.1], 0.1)
    assert np.argsort(places).tolist() == [3, 0, 2, 1]
    assert np.diff(np.sort(places)).min() >= 0.1 - 1e-12
    assert places[1] == pytest.approx(0.9)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_colours_of_ordered_levels_differ_in_grey(count):
    grey = np.array(style.sequence(count))[:, :3] @ [0.299, 0.587, 0.114]
    assert (np.diff(grey) > 0.08).all()


def test_one_budget_has_no_row_of_optima_and_no_trend_in_the_legend():
    data = isoflop_data(GROUPS, {"avg": TARGET})
    two = pd.concat([data, data.assign(c=2e8)])
    optima = optima_of(TARGET, GROUPS)
    assert len(isoflop_figure(data, optima, LABELS).axes) == 3
    again = isoflop_figure(two, pd.concat([optima, optima.assign(c=2e8)]), LABELS)
    assert len(again.axes) == 6
    assert "mean of the fits, smoothed" not in [text.get_text() for text in again.legends[0].get_texts()]


def test_the_colours_that_pages_choose_from_are_those_of_figures():
    assert [to_hex(colour) for colour in style.sequence(len(SEQUENCE))] == list(SEQUENCE)
