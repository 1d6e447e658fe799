"""The explorer of a made-up study in a real browser; skipped where there is no Chromium."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.made_studies import fitted, made
from vlmfrontier.report.explorer import write_explorer
from vlmfrontier.results import Results

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is None:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="no Chromium on this machine; Debian's package is `chromium`"))


@dataclass
class Visit:
    """A page in the browser, and what went wrong on it or left it."""

    page: "object"
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings on the console, exceptions."""
    requests: list[str] = field(default_factory=list)
    """Addresses that the page asked for, other than its own."""

    def shown(self) -> None:
        """Wait until nothing is still to be shown."""
        self.page.locator("body[data-shown]").wait_for(state="attached")

    def value(self, name: str) -> float:
        """Return the number that a card of the answer shows, in full."""
        return float(self.page.locator(f'#answer [data-name="{name}"]').get_attribute("data-value"))

    def text(self, name: str) -> str:
        """Return what a card of the answer says."""
        return self.page.locator(f'#answer [data-name="{name}"] strong').inner_text()

    def write(self, box: str, text: str) -> None:
        """Write into a text box and leave it; not while something is still to be shown, which would write there too."""
        self.shown()
        self.page.fill(f"#{box}", text)
        self.page.press(f"#{box}", "Enter")
        self.shown()


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The made-up study with laws and frontiers."""
    return fitted(made(tmp_path_factory.mktemp("made")))


@pytest.fixture(scope="session")
def explorer(results: Results) -> Path:
    """Its explorer."""
    return write_explorer(results, results.explorer_html)


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """A browser that is gone before other tests fork processes: one that lives on would keep it from closing."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 — only where there is a browser

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, explorer: Path) -> Callable:
    """Return what opens the explorer: `visit(width=390, scheme="dark", address="#n=1000000")`."""

    @contextmanager
    def opened(width: int = 1440, scheme: str = "light", address: str = "", path: Path = explorer) -> Iterator[Visit]:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        found = Visit(page)
        page.on("console", lambda message: found.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        page.on("request", lambda request: found.requests.append(request.url))
        page.goto(path.as_uri() + address)
        found.shown()
        yield found
        page.close()

    return opened
