"""The explorer as a reader uses it: it answers as the frontier's files do, alone, on any screen, for everyone."""

import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from tests.made_studies import STUDY, fitted, made, points
from vlmfrontier.figures.drawing import save
from vlmfrontier.frontier import search
from vlmfrontier.frontier.answers import answer
from vlmfrontier.report.explorer import write_explorer
from vlmfrontier.report.page import write_report
from vlmfrontier.results import Results
from vlmfrontier.units import format_count, format_number

CARDS = {"N": "params (N)", "T": "frames (T)", "V": "tokens (V)"}
SCREENS = [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")]


def frontier(results: Results, target: str) -> pd.DataFrame:
    return pd.read_csv(results.frontier_csv(target))


def test_the_shown_optimum_is_that_of_the_frontier_at_20_points(visit, results: Results):
    rows = [(target, row) for target in ("avg", "quiz") for row in frontier(results, target).iloc[::12].itertuples()]
    assert len(rows) == 20
    with visit() as seen:
        for target, row in rows:
            seen.page.select_option("#target", target)
            seen.write("n-text", format_number(row.n, "B"))
            seen.write("budget-text", f"{row.c:.10g}")
            assert {name: seen.value(card) for name, card in CARDS.items()} == {
                name: getattr(row, name) for name in CARDS
            }
            assert seen.value(f"predicted {target}") == pytest.approx(row.f, rel=1e-9)
            assert seen.value("cost") == pytest.approx(row.cost, rel=1e-9)
            assert seen.text(CARDS["N"]) == format_count(row.N)
            said = seen.page.locator("#answer").inner_text()
            assert f"of the law {row.f_lo:.2f} to {row.f_hi:.2f}" in said
            assert f"a new run would measure {row.run_lo:.2f} to {row.run_hi:.2f}" in said
        assert seen.complaints == []


def test_every_row_of_the_frontier_is_what_the_page_computes(visit, results: Results):
    table = frontier(results, "avg")
    with visit() as seen:
        script = """rows => rows.map(([c, n]) => {
            const found = engine.optimum("avg", n, c);
            const bands = engine.frontier("avg", n, [c]).bands.map((band) => band[0]);
            const [second] = engine.rivals("avg", n, c, 1);
            const ends = [found.low, found.high, found.runLow, found.runHigh];
            return [...found.x, found.f, ...ends, found.pBest, found.pNear, ...bands.flat(), second.f];
        })"""
        found = np.array(seen.page.evaluate(script, table[["c", "n"]].to_numpy().tolist()))
        lost = np.array(
            seen.page.evaluate(
                "rows => rows.map(([c, n]) => engine.optimum('avg', n, c).regret)",
                table[["c", "n"]].to_numpy().tolist(),
            )
        )
    ranges = [f"{name}_{end}" for name in CARDS for end in ("lo", "hi")]
    expected = table[
        [*CARDS, "f", "f_lo", "f_hi", "run_lo", "run_hi", "p_best", "p_near", *ranges, "second_f"]
    ].to_numpy()
    assert found == pytest.approx(expected, rel=1e-8)
    assert lost == pytest.approx(
        table.regret_p90.to_numpy(), abs=1e-8
    )  # a difference of errors: its last digits are noise


def test_the_answer_that_comes_with_the_page_is_the_one_that_it_computes(visit):
    script = """() => {
        const { target, n, budget } = START;
        const chosen = engine.optimum(target, n, budget);
        return { chosen, ranges: engine.ranges(target, n, budget), ...said(target, n, budget, chosen) };
    }"""
    with visit() as seen:
        given, computed = seen.page.evaluate("data.first"), seen.page.evaluate(script)
    assert given["chosen"].pop("x") == computed["chosen"].pop("x")
    lost = [one["chosen"].pop("regret") for one in (given, computed)]
    assert lost[0] == pytest.approx(lost[1], abs=1e-8)  # a difference of errors: its last digits are noise
    assert given["chosen"] == pytest.approx(computed["chosen"], rel=1e-8)
    assert {key: given[key] for key in ("ranges", "measured", "warnings")} == {
        key: computed[key] for key in ("ranges", "measured", "warnings")
    }


def test_the_first_answer_needs_no_laws(visit, explorer: Path, tmp_path: Path):
    """They take longest: the answer is seen before they are read."""
    page = tmp_path / "slow.html"
    watch = "window.asked = []; const parse = JSON.parse; JSON.parse = (text) => (asked.push(seen()), parse(text));"
    cards = 'const seen = () => document.querySelectorAll("#answer .value").length;'
    page.write_text(explorer.read_text().replace("<script>", f"<script>{cards}{watch}", 1))
    with visit(path=page) as seen:
        of_data, *of_laws = seen.page.evaluate("asked")
    assert of_data == 0
    assert of_laws
    assert all(shown == 5 for shown in of_laws)


def test_memory_that_is_used_again_holds_the_errors_of_the_new_n(visit):
    script = """() => {
        const { steps } = data.examples;
        const both = (n) => ["avg", "quiz"].map((target) => [target, n]);
        const asked = [...steps, ...steps.toReversed()].flatMap(both);
        const all = (room, target, n) => [room.optimum(target, n, START.budget), room.standing(target, n, 1e13, 30)];
        const of = (room) => ([target, n]) => all(room, target, n);
        return [asked.map(of(engine)), asked.map((each) => of(Engine(data))(each))];
    }"""
    with visit() as seen:
        again, fresh = seen.page.evaluate(script)
    assert len(again) > 4 * 6  # more than are kept
    assert again == fresh


def test_a_drag_shows_its_answer_in_the_next_frame_and_every_chart_follows_before_it_rests(visit):
    script = """async () => {
        const drawn = () => [...document.querySelectorAll(".star > path:last-child")];
        const stars = () => drawn().map((star) => star.getAttribute("transform"));
        const frame = () => new Promise((done) => requestAnimationFrame(() => done()));
        const slider = document.getElementById("n");
        const before = stars();
        const answers = [];
        for (const place of [0, 1, 2, 3]) {
            slider.value = place;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
            await frame();
            answers.push(document.querySelector("#answer .error").dataset.value);
        }
        const moving = document.body.dataset.shown === undefined;
        for (let i = 0; i < 5; i += 1) await new Promise((done) => setTimeout(done));
        return { before, after: stars(), answers, moving, steps: data.examples.steps.slice(0, 4) };
    }"""
    with visit() as seen:
        found = seen.page.evaluate(script)
        expected = [seen.page.evaluate("(n) => engine.optimum('avg', n, state.budget).f", n) for n in found["steps"]]
    assert [float(answer) for answer in found["answers"]] == expected
    assert len(set(found["answers"])) == 4
    assert found["moving"]
    assert found["after"][0] != found["before"][0]


def test_what_is_near_is_a_share_of_what_is_at_stake_as_in_the_frontier(visit, results: Results, monkeypatch):
    whole = frontier(results, "avg")
    monkeypatch.setattr(search, "STAKES", 0.05)
    budgets, sizes = np.unique(whole.c), np.unique(whole.n)
    table = search.frontier_table(results.target("avg"), budgets, sizes, results.config.near)
    with visit() as seen:
        script = """rows => {
            data.rules.stakes = 0.05;
            return rows.map(([c, n]) => engine.optimum("avg", n, c)).map((found) => [found.near, found.pNear]);
        }"""
        found = np.array(seen.page.evaluate(script, table[["c", "n"]].to_numpy().tolist()))
    assert (table.near < whole.near.to_numpy()).any()
    assert found == pytest.approx(table[["near", "p_near"]].to_numpy(), rel=1e-8)


def test_rivals_nearest_runs_and_warnings_are_those_of_the_answer(visit, results: Results):
    expected = answer(results.target("avg"), results.runs, 2e13, 4e6, results.config.near)
    with visit(address="#target=avg&c=2e13&n=4000000") as seen:
        warnings = seen.page.locator("#warnings li").all_inner_texts()
        measured = seen.page.locator("#measured li").all_inner_texts()
        rivals = seen.page.locator("#rivals tbody tr").all_inner_texts()
        nearest = seen.page.evaluate("engine.nearest(engine.optimum('avg', 4e6, 2e13).x, 4e6, 3, 'avg')")
    assert warnings == list(expected.warnings)
    assert warnings
    assert measured == list(expected.measured)
    assert len(rivals) == len(expected.alternatives) + 2
    for line, other in zip(rivals, expected.alternatives, strict=False):
        assert f"{other.f:.2f}" in line
        assert format_number(other.cost) in line
    assert f"{expected.double_budget.f:.2f}" in rivals[-2]
    assert f"{expected.double_examples.f:.2f}" in rivals[-1]
    assert [results.runs.avg.iloc[run] for run in nearest] == [run["avg"] for run in expected.nearest]


def test_whatever_contradicts_an_answer_is_said_in_the_same_words(visit, results: Results):
    """Run 0 is made one of x* or of a cheaper rival, and measures something else than the law predicts."""
    target, said = results.target("avg"), []
    sides = ((False, ""), (True, ""), (False, "T = 32"), (True, "levels up to T = 32"))
    for c, n, scale, (own, trained) in product((3e12, 2e13, 1e18), (1e6, 4e6), (0.6, 0.99, 1.5), sides):
        choice = answer(target, results.runs, c, n, 0.005).choice
        x = choice.x if own else {**choice.x, "T": 1.5 if scale > 1 else 1.0}
        runs = results.runs.assign(trained="")
        changed = {**x, "n": n, "c": min(c, choice.cost), "avg": scale * choice.f, "trained": trained}
        runs.loc[0, list(changed)] = list(changed.values())
        found = answer(target, runs, c, n, 0.005, results.caveats("avg"))
        said.append({"c": c, "n": n, "run": changed, "expected": [*found.measured, *found.warnings]})
    script = """({ c, n, run }) => {
        const own = structuredClone(data);
        own.factors.forEach((factor, k) => (own.runs.factors[k][0] = run[factor.name]));
        own.runs.trained = own.runs.n.map((_, i) => (i === 0 ? run.trained : ""));
        [own.runs.n[0], own.runs.cost[0], own.runs.errors.avg[0]] = [run.n, run.c, run.avg];
        const [chosen, ofRuns] = [engine.optimum("avg", n, c), Caveats(own)];
        const measured = ofRuns.ofMeasured("avg", n, c, chosen, (x) => engine.prediction("avg", n, x));
        return [...measured, ...ofRuns.ofAnswer("avg", n, c, chosen)];
    }"""
    with visit() as seen:
        for one in said:
            assert seen.page.evaluate(script, one) == one["expected"]
    sentences = " ".join(sentence for one in said for sentence in one["expected"])
    for part in (
        "outside the",
        "it was not trained there",
        "better than the",
        "is extrapolated",
        "of the space",
        "cannot help",
    ):
        assert part in sentences
    for part in (
        "itself was not measured",
        "measured better than it",
        "consider it instead",
        "within noise: the law",
        "not in the space",
    ):
        assert part in sentences


def test_the_sliders_move_with_the_keyboard_and_the_address_keeps_the_state(visit):
    with visit() as seen:
        before = seen.page.locator("#budget-text").input_value()
        seen.page.focus("#budget")
        for _ in range(60):
            seen.page.keyboard.press("ArrowLeft")
        seen.page.focus("#n")
        seen.page.keyboard.press("Home")
        seen.shown()
        address = seen.page.evaluate("location.hash")
        shown = seen.page.locator("#answer").inner_text()
        assert seen.page.locator("#budget-text").input_value() != before
        assert seen.page.get_attribute("#budget", "aria-valuetext").endswith("FLOPs per video")
    with visit(address=address) as again:
        assert again.page.locator("#answer").inner_text() == shown


def label_tops(seen) -> set[int]:
    """Return where the labels of the controls that show begin, in pixels."""
    labels = seen.page.locator(".control:visible label").all()
    return {round(label.bounding_box()["y"]) for label in labels}


def test_the_labels_of_the_controls_stand_in_one_line(visit):
    with visit() as seen:
        assert seen.page.locator(".control:visible").count() == 3
        assert len(label_tops(seen)) == 1


def test_what_is_no_number_or_out_of_reach_is_said(visit):
    with visit() as seen:
        seen.write("budget-text", "plenty")
        assert "is not a number" in seen.page.locator("#note").inner_text()
        seen.write("budget-text", "1")
        assert "answers for budgets from" in seen.page.locator("#note").inner_text()
        seen.write("n-text", "1.234M")
        assert seen.page.locator("#n-text").input_value() == "1.2M"


def test_pointing_at_a_run_shows_its_record(visit, results: Results):
    with visit() as seen:
        seen.page.locator('#chart-error [data-name="runs, n = 1M"] path').first.hover(force=True)
        record = seen.page.locator("#chart-error .tip").inner_text()
    row = results.runs[results.runs.n == 1e6].iloc[0]
    for part in (f"N = {format_count(row.N)}", "n = 1M", f"avg: {row.avg:.2f}", f"quiz: {row.quiz:.2f}", "c = "):
        assert part in record


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_the_page_is_accessible_fits_and_asks_for_nothing(visit, explorer: Path, width: int, scheme: str):
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 — only where there is a browser

    with visit(width, scheme, "#n=4000000&pin=avg,20T,1M") as seen:
        seen.page.click("#runs-summary")
        found = Axe().run(seen.page).response["violations"]
        overflow = seen.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert {one["id"]: one["impact"] for one in found} == {}
        assert overflow <= 0
        assert seen.page.locator(".chart svg .line").count() > 0
        assert seen.complaints == []
        assert [url for url in seen.requests if not url.startswith(("data:", "blob:", explorer.as_uri()))] == []


def luminance(colour: str) -> float:
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_graphics_stand_out_from_what_is_behind_them(visit, scheme: str):
    graphics = ("accent", "band-solid", "mark", "mine", "edge", "part-0", "part-1", "part-2", "part-3")
    pairs = {
        **{(name, "card"): 3.0 for name in graphics},
        **{(name, behind): 4.5 for name in ("ink", "soft", "link") for behind in ("card", "page")},
        **{("warn-line", "warn"): 3.0, ("warn-ink", "warn"): 4.5, ("ink", "differs"): 4.5},
    }
    with visit(scheme=scheme) as seen:
        names = sorted({name for pair in pairs for name in pair})
        script = (
            "names => names.map((name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`))"
        )
        found = dict(zip(names, map(str.strip, seen.page.evaluate(script, names)), strict=True))
        outlines = seen.page.evaluate("""() => ["path.band", ".group path", ".star path"].map((drawn) =>
            getComputedStyle(document.querySelector(drawn)).stroke)""")
    assert "none" not in outlines  # the runs' colours and the band may be pale: their outlines are not
    light = {name: luminance(colour) for name, colour in found.items()}
    for (name, behind), least in pairs.items():
        high, low = sorted((light[name], light[behind]), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= least, (name, behind)


def test_a_link_that_cannot_be_shown_as_it_stands_is_said_and_not_rewritten(visit):
    address = "#target=nothing&c=1e99&n=15,0M&colour=red"
    with visit(address=address) as seen:
        said = seen.page.locator("#note").inner_text()
        for part in ("there is no such task", "answers for budgets from", "“15,0M” is not a number", "no setting of"):
            assert part in said
        assert seen.page.evaluate("location.hash") == address


def test_a_decimal_comma_is_refused(visit):
    with visit() as seen:
        before = seen.text("cost")
        seen.write("budget-text", "15,0M")
        assert "“15,0M” is not a number" in seen.page.locator("#note").inner_text()
        assert seen.text("cost") == before


def test_back_goes_back_and_the_link_is_short(visit):
    with visit() as seen:
        seen.write("budget-text", "10T")
        seen.write("budget-text", "20T")
        assert "c=20T&n=" in seen.page.evaluate("location.hash")
        seen.page.evaluate("written.when = -Infinity")
        seen.write("n-text", "1M")
        seen.page.go_back()
        seen.shown()
        assert "n=1M" not in seen.page.evaluate("location.hash")
        assert seen.page.locator("#n-text").input_value() != "1M"


def test_a_click_on_the_chart_chooses_the_budget_and_a_drag_zooms(visit):
    with visit() as seen:
        before = seen.page.locator("#budget-text").input_value()
        chart = seen.page.locator("#chart-error")
        chart.scroll_into_view_if_needed()
        chart.click(position={"x": 900, "y": 20})
        seen.shown()
        chosen = seen.page.locator("#budget-text").input_value()
        assert chosen != before
        ticks = chart.locator(".axes").inner_html()
        box = chart.bounding_box()
        seen.page.mouse.move(box["x"] + 300, box["y"] + 40)
        seen.page.mouse.down()
        seen.page.mouse.move(box["x"] + 500, box["y"] + 200)
        seen.page.mouse.up()
        assert chart.locator(".axes").inner_html() != ticks
        seen.page.get_by_label("Show all: The frontier, and every run at its cost").click()
        assert chart.locator(".axes").inner_html() == ticks
        assert seen.page.locator("#budget-text").input_value() == chosen


def test_a_drag_in_the_mode_pan_moves_the_chart_without_zooming(visit):
    with visit() as seen:
        chart = seen.page.locator("#chart-error")
        seen.page.locator("#charts .mode").first.click()
        chart.scroll_into_view_if_needed()
        star, box = chart.locator(".star > path").last, chart.bounding_box()
        runs = chart.locator(".group path")
        before, count = star.bounding_box(), runs.count()
        width = [runs.nth(i).bounding_box()["x"] for i in (0, count - 1)]
        seen.page.mouse.move(box["x"] + 500, box["y"] + 200)
        seen.page.mouse.down()
        seen.page.mouse.move(box["x"] + 440, box["y"] + 230, steps=3)
        seen.page.mouse.up()
        after = star.bounding_box()
        assert (after["x"] - before["x"], after["y"] - before["y"]) == pytest.approx((-60, 30), abs=1)
        moved = [runs.nth(i).bounding_box()["x"] for i in (0, count - 1)]
        assert np.subtract(moved, width) == pytest.approx([-60, -60], abs=1)


def test_the_wheel_zooms_with_ctrl_around_the_pointer_and_scrolls_without(visit):
    with visit() as seen:
        chart = seen.page.locator("#chart-error")
        chart.scroll_into_view_if_needed()
        box, axes = chart.bounding_box(), chart.locator(".axes")
        place = {"clientX": box["x"] + 400, "clientY": box["y"] + 150, "deltaY": -100, "cancelable": True}
        script = """([place, ctrlKey]) => {
            const wheel = new WheelEvent("wheel", { ...place, ctrlKey });
            document.getElementById("chart-error").dispatchEvent(wheel);
            return wheel.defaultPrevented;
        }"""
        ticks = axes.inner_html()
        assert seen.page.evaluate(script, [place, False]) is False
        assert axes.inner_html() == ticks
        assert seen.page.evaluate(script, [place, True]) is True
        assert axes.inner_html() != ticks


def test_the_link_that_is_copied_opens_the_same_answer(visit):
    with visit(address="#target=quiz&c=10T&n=1M") as seen:
        seen.page.evaluate("""() => {
            const writeText = async (text) => { window.kept = text; };
            Object.defineProperty(navigator, "clipboard", { value: { writeText } });
        }""")
        seen.page.click("#copy")
        seen.page.get_by_text("Copied", exact=True).wait_for()
        link = seen.page.evaluate("window.kept")
        shown = seen.page.locator("#answer").inner_text()
        seen.page.evaluate("() => { navigator.clipboard.writeText = async () => { throw new Error(); }; }")
        seen.page.click("#copy")
        seen.page.locator("#link").wait_for()
        assert seen.page.locator("#link-text").input_value() == link
    assert link.endswith("#target=quiz&c=10T&n=1M")
    with visit(address="#" + link.split("#")[1]) as again:
        assert again.page.locator("#answer").inner_text() == shown


def test_the_legend_hides_runs_and_those_of_another_n_are_faded(visit):
    with visit(address="#n=1M") as seen:
        group = '#chart-error [data-name="runs, n = 2M"]'
        assert "faded" in seen.page.locator(f"{group}.group").get_attribute("class")
        assert seen.page.locator("#chart-error .group:not(.faded)").count() == 1
        seen.page.locator("#chart-error-keys").get_by_text("runs, n = 2M").click()
        assert seen.page.locator(f"{group}.group").count() == 0


def test_my_configuration_is_predicted_priced_and_ranked(visit, results: Results):
    with visit(address="#n=1M&N=3B&T=10&V=100") as seen:
        x = {"N": 3e9, "T": 10.0, "V": 100.0}
        pool = results.laws("avg").ensemble({k: np.array([v]) for k, v in x.items()}).pool
        card = seen.page.locator('#mine-answer [data-name="predicted avg"]')
        assert float(card.get_attribute("data-value")) == pytest.approx(np.median(pool.errors(np.array([0]), 1e6)))
        cost = float(seen.page.locator('#mine-answer [data-name="cost"]').get_attribute("data-value"))
        assert cost == pytest.approx(float(results.cost.cost(x)))
        assert "predicted better" in seen.page.locator("#mine-rank").inner_text()
        assert seen.page.locator("#chart-error .mine").count() == 1


def test_costs_by_rule_are_those_of_the_space(visit):
    with visit() as seen:
        script = "Array.from(engine.space.cost, (c, j) => cost.byRule(engine.configuration(engine.space, j)) / c)"
        assert np.array(seen.page.evaluate(script)) == pytest.approx(1.0)


def test_two_answers_stand_side_by_side(visit):
    with visit(address="#target=avg&c=5T&n=1M") as seen:
        seen.page.click("#pin")
        seen.shown()
        seen.write("budget-text", "20T")
        heads = seen.page.locator("#pins thead th").all_inner_texts()
        assert [head.split()[0] for head in heads] == ["Pinned", "Now"]
        assert "pin=avg,5T,1M" in seen.page.evaluate("location.hash")


def test_the_runs_are_sorted_and_filtered(visit, results: Results):
    with visit() as seen:
        seen.page.click("#runs-summary")
        seen.page.fill("#runs-filter", "n=1M T<=8")
        expected = results.runs[(results.runs.n == 1e6) & (results.runs["T"] <= 8)]
        assert seen.page.locator("#runs tbody tr").count() == len(expected)
        seen.page.locator("#runs thead").get_by_role("button", name="avg").click()
        order = [int(row.get_attribute("data-run")) for row in seen.page.locator("#runs tbody tr").all()]
        assert order == expected.sort_values("avg").index.tolist()


def test_a_chart_is_downloaded_as_png_and_the_frontier_as_csv(visit):
    with visit() as seen:
        with seen.page.expect_download() as picture:
            seen.page.get_by_label("Download as PNG: The frontier, and every run at its cost").click()
        assert Path(picture.value.path()).read_bytes().startswith(b"\x89PNG")
        with seen.page.expect_download() as table:
            seen.page.click("#charts-csv")
        assert pd.read_csv(table.value.path()).columns[:3].tolist() == ["c", "n", "N"]


@pytest.mark.parametrize("pins", ["", "&pin=avg,20T,1M", "&pin=avg,20T,1M&pin=quiz,5T,2M"])
def test_on_paper_the_question_stays_on_one_page(visit, pins: str):
    with visit(address=f"#target=quiz&c=10T&n=1M{pins}") as seen:
        seen.page.emulate_media(media="print")
        question = seen.page.locator("#answer-title").inner_text()
        assert "10T FLOPs per video" in question
        assert "1M" in question
        assert "quiz" in question
        assert seen.page.pdf(prefer_css_page_size=True).count(b"/Type /Page\n") == 1


@pytest.mark.parametrize(("pins", "wide", "others"), [("", 200, 150), ("&pin=avg,20T,1M&pin=quiz,5T,2M", 120, 100)])
def test_charts_are_drawn_for_paper_as_large_as_text_leaves_room(visit, pins: str, wide: int, others: int):
    sizes = """() => [...document.querySelectorAll(".chart")].map((chart) =>
        [chart.clientWidth, chart.clientHeight, ...chart.querySelector("svg").getAttribute("viewBox").split(" ")])"""
    with visit(address=f"#target=quiz&c=10T&n=1M{pins}") as seen:
        on_screen = seen.page.evaluate(sizes)
        seen.page.evaluate(f"() => addEventListener('beforeprint', () => (window.printed = ({sizes})()))")
        assert seen.page.pdf(prefer_css_page_size=True).count(b"/Type /Page\n") == 1
        first, *rest = seen.page.evaluate("printed")
        assert seen.page.evaluate(sizes) == on_screen
    assert 600 < first[0] < 711  # an A4 page without its margins
    assert first[1] >= wide
    assert all(height >= others for _, height, *_ in rest)
    for width, height, *box in (first, *rest):
        assert [float(number) for number in box] == [0, 0, width, height]


def odd_studies() -> dict[str, tuple[dict, pd.DataFrame]]:
    """Return studies of tables that nobody would make up, by what is odd about them."""
    one = np.arange(1, 9)
    few = {"starts": 3, "resamples": 5}
    frontier = {"budgets": {"from": "2T", "to": "30T", "count": 5}, "members": 20}
    table = STUDY["table"]
    levels = pd.DataFrame({"params": 1e9 * 2.0**one, "frames": one + 0.5, "avg": 40 * one**-0.5, "examples": 1e6})
    targets = {"avg": table["targets"]["avg"]}
    two = {name: table["factors"][name] for name in ("N", "T")}
    alone = {key: value for key, value in table.items() if key != "split"} | {"targets": targets}
    without_n = {key: value for key, value in alone.items() if key != "data"} | {"factors": two}
    cost = {"cost": {"expression": "2 * N * T * 196"}, "frontier": frontier}
    space = {"N": levels.params.tolist(), "T": levels.frames.tolist()}
    named = points().rename(columns={"params": '"<b>&amp;</b> 参数" ' * 3, "avg": "a, <i>b</i>"})
    named["run"] = [f"</script><b>'{i}'&" for i in range(len(named))]
    long = "x" * 60
    names = {
        **alone,
        "factors": {**table["factors"], "N": {"column": '"<b>&amp;</b> 参数" ' * 3, "unit": "1B"}},
        "targets": {long: {"column": "a, <i>b</i>"}, "视频问答": {"column": "quiz"}},
    }
    star = points()[lambda rows: (rows.frames == 16) & (rows.tokens == 100)]
    base = {**STUDY, "laws": few}
    return {
        "each level once, no n": ({**base, **cost, "table": without_n, "space": space}, levels),
        "names": ({**base, "table": names, "frontier": {**frontier, "examples": ["1M"]}}, named),
        "one factor": (
            {
                **base,
                "cost": {"expression": "6 * N"},
                "space": {"N": ["1B", "3B", "8B"]},
                "table": {**alone, "factors": {"N": two["N"]}},
                "frontier": {**frontier, "budgets": ["6G", "50G"], "examples": ["1M"]},
            },
            star,
        ),
    }


@pytest.mark.parametrize("odd", odd_studies())
def test_the_pages_of_odd_tables_work_at_both_ends_of_the_sliders(visit, browser, tmp_path: Path, odd: str):
    study, table = odd_studies()[odd]
    results = fitted(made(tmp_path, study, table))
    path = write_explorer(results, tmp_path / "odd.html")
    for width in (1440, 390):
        with visit(width=width, path=path) as seen:
            for slider, end in product(("#budget", "#n"), ("Home", "End")):
                if seen.page.locator(slider).is_visible():
                    seen.page.press(slider, end)
                    seen.shown()
            seen.page.click("#runs-summary")
            said = seen.page.locator("body").inner_text()
            drawn = seen.page.locator("#charts").inner_html()
            too_wide = seen.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert seen.page.locator("b > b, td b, li > b, .name b").count() == 0  # names are text
            assert seen.page.pdf(prefer_css_page_size=True).count(b"/Type /Page\n") == 1
            assert seen.complaints == []
        assert too_wide <= 0
        for word in ("NaN", "undefined", "Infinity", "[object", "`"):
            assert word not in said
            assert word not in drawn
    (results.figures).mkdir(exist_ok=True)
    _, report, *_ = write_report(results)
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto(report.as_uri())
    said = page.locator("body").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    page.close()
    assert not re.search(r"\b(nan|inf|None)\b", said)
    for factor in results.table.factors:
        column = study["table"]["factors"][factor]["column"]
        assert " ".join(column.split()) in " ".join(said.split())


def test_a_study_without_a_cost_shows_its_law(visit, tmp_path: Path):
    study = {key: value for key, value in STUDY.items() if key not in ("cost", "space", "frontier")}
    targets = {"avg": STUDY["table"]["targets"]["avg"]}
    results = fitted(made(tmp_path, {**study, "table": {**STUDY["table"], "targets": targets}}))
    path = write_explorer(results, tmp_path / "law.html")
    with visit(path=path, address="#n=1000000") as seen:
        assert "gives no cost" in seen.page.locator("main").inner_text()
        assert len(label_tops(seen)) <= 2  # four controls may take two rows
        x = {name: seen.value(card) for name, card in CARDS.items()}
        laws = results.laws("avg")
        predicted = np.median(laws.ensemble({k: np.array([v]) for k, v in x.items()}).pool.errors(np.array([0]), 1e6))
        assert seen.value("predicted avg") == pytest.approx(predicted, rel=1e-9)
        assert seen.page.locator(".chart svg .line").count() > 0
        assert seen.complaints == []


def test_the_page_stays_below_a_megabyte_and_its_data_are_plain_json(explorer: Path):
    text = explorer.read_text(encoding="utf-8")
    assert len(text.encode()) < 1_000_000
    inside = text.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    assert json.loads(inside)["study"] == "made"


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_the_report_is_accessible_fits_and_asks_for_nothing(browser, results: Results, width: int, scheme: str):
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 — only where there is a browser

    save(results, ["runs", "bags"], results.main_target, results.figures)
    _, path, *_ = write_report(results)
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    page.locator("details summary").first.click()
    assert page.locator("figure img:visible").count() == 2
    found = Axe().run(page).response["violations"]
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    page.close()
    assert {one["id"]: one["impact"] for one in found if one["impact"] in ("serious", "critical")} == {}
    assert overflow <= 0
    assert [url for url in requests if not url.startswith(("data:", path.as_uri()))] == []
