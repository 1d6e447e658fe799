"""The report in a browser: sent alone it lacks nothing, and its first page in print is a summary."""

import shutil
from pathlib import Path

import pytest

from vlmfrontier.report.first_page import first_page
from vlmfrontier.report.page import write_report
from vlmfrontier.report.study_report import StudyReport
from vlmfrontier.results import Results

A4 = (794, 1123)
"""A page in pixels of CSS, with margins."""
MARGIN = 53


@pytest.fixture(scope="module")
def alone(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report as it arrives by mail: one file in another folder."""
    (results.figures).mkdir(exist_ok=True)
    _, page, *_ = write_report(results)
    return Path(shutil.copy(page, tmp_path_factory.mktemp("mail")))


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_a_mailed_report_leads_nowhere_and_asks_for_nothing(browser, alone: Path, width: int, scheme: str):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(alone.as_uri())
    links = page.locator("[href], [src]").evaluate_all(
        "all => all.map((one) => one.getAttribute('href') || one.getAttribute('src'))"
    )
    inside = [link for link in links if link.startswith("#")]
    assert [link for link in links if not link.startswith(("#", "data:"))] == []
    assert inside
    assert page.locator(", ".join(f'[id="{link[1:]}"]' for link in inside)).count() == len(inside)
    assert [url for url in asked if url != alone.as_uri() and not url.startswith("data:")] == []
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    page.close()


def test_the_first_page_in_print_is_a_summary_on_one_page(browser, alone: Path, results: Results):
    page = browser.new_page(viewport={"width": A4[0] - 2 * MARGIN, "height": A4[1]})
    page.emulate_media(media="print")
    page.goto(alone.as_uri())
    first = page.locator(".first")
    assert first.evaluate("one => getComputedStyle(one).breakAfter") == "page"
    assert first.bounding_box()["height"] <= A4[1] - 2 * MARGIN
    said = first.inner_text()
    title, *_, budgets = first_page(StudyReport(results))
    assert title.text in said
    assert all(cell in said for row in budgets.rows for cell in row)
    assert not page.locator("nav").is_visible()
    page.close()
