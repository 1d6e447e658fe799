"""How fast the explorer is on a slow laptop: python benchmarks/explorer.py PAGE [PAGE ...] [--repeats 5]

Opens each page (`results/STUDY/explorer.html`) in headless Chromium, on this processor and on one that is four times
slower (DevTools' CPU throttling), and prints a table: milliseconds from the navigation to the first answer on the
screen, and from each step of a drag of the budget and of n to the frame that shows its answer; and those of the
processor that the page's main thread took until then. On an idle machine both are alike; on a busy one
only the second counts. Several pages, such as one made before a change and one after it, take turns. Exit status 1 if
the processor's are beyond the limits at four times.
"""

import argparse
import json
import shutil
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

SLOWER = (1, 4)
"""How many times slower than this processor."""
STEPS = {"budget": 30, "n": 20}
"""Steps of a drag, each to a place where the slider was not before."""
LIMITS = {"first answer": 500.0, "budget": 50.0, "n": 50.0}
"""Milliseconds of the processor at the slowest: median of the start, 95th percentile of a drag's steps."""
WATCH = """
(() => {
  const look = () => {
    const shown = document.querySelector("#answer .value") !== null;
    const drawn = () => {
      window.firstAnswer = performance.now();
      performance.mark("first answer");
    };
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = drawn;
    if (shown) requestAnimationFrame(() => port2.postMessage(0));
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})();
"""
"""Notes when the frame with the first card of the answer has been drawn."""
STEP = """
([id, place]) => new Promise((done) => {
  const slider = document.getElementById(id);
  const began = performance.now();
  performance.mark("step begins");
  slider.value = place;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      performance.mark("step shown");
      done(performance.now() - began);
    };
    port2.postMessage(0);
  });
})
"""
"""Moves a slider; returns the milliseconds until the frame that shows it has been drawn."""


def traced(page: Page, act: Callable) -> dict[str, list[float]]:
    """Do something; return milliseconds of the processor that the main thread had taken when it met events, by name."""
    browser = page.context.browser
    browser.start_tracing(page=page, categories=["devtools.timeline", "blink.user_timing"])
    act()
    events = [event for event in json.loads(browser.stop_tracing())["traceEvents"] if "tts" in event]
    marks = [event for event in events if event["name"] in ("first answer", "step shown")]
    thread = {(event["pid"], event["tid"]) for event in marks}
    found = defaultdict(list)
    for event in sorted(events, key=lambda event: event["ts"]):
        if (event["pid"], event["tid"]) in thread:
            found[event["name"]].append(event["tts"] / 1000)
    return found


def busy(session: CDPSession) -> float:
    """Return the milliseconds of the processor that the page's main thread has taken."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return 1000 * next(each["value"] for each in metrics if each["name"] == "TaskDuration")


def places(page: Page, slider: str) -> list[int]:
    """Return where a drag of a slider stops: from its low end to its high one."""
    low, high = (int(page.get_attribute(f"#{slider}", end)) for end in ("min", "max"))
    many = min(STEPS[slider], high - low)
    return [round(low + (high - low) * i / many) for i in range(many + 1)]


def measure(browser: Browser, path: Path, slower: int) -> Iterator[tuple[str, float, float]]:
    """Open a page once; yield what was timed, its milliseconds and those of the main thread."""
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
    page.add_init_script(WATCH)

    def start() -> None:
        page.goto(path.resolve().as_uri())
        page.locator("body[data-shown]").wait_for(state="attached")
        page.wait_for_function("window.firstAnswer !== undefined")

    found = traced(page, start)
    worked = found["first answer"][0] - found["CommitLoad"][0]
    yield "first answer", page.evaluate("window.firstAnswer"), worked
    yield "whole page", page.evaluate("performance.now()"), busy(session)
    for slider in filter(lambda slider: page.locator(f"#{slider}").is_visible(), STEPS):
        yield from dragged(page, slider)
    context.close()


def dragged(page: Page, slider: str) -> Iterator[tuple[str, float, float]]:
    """Drag a slider from end to end; yield for every step its milliseconds and those of the processor."""
    took: list[float] = []
    stops = places(page, slider)
    found = traced(page, lambda: took.extend(page.evaluate(STEP, [slider, place]) for place in stops))
    for wall, begun, shown in zip(took, found["step begins"], found["step shown"], strict=True):
        yield slider, wall, shown - begun
    page.dispatch_event(f"#{slider}", "change")
    page.locator("body[data-shown]").wait_for(state="attached")


def quantile(values: list[float], share: float) -> float:
    """Return the value that a share of all does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE", help="an explorer.html")
    parser.add_argument("--repeats", type=int, default=5, help="how often each page is opened (default 5)")
    options = parser.parse_args()
    found = defaultdict(list)
    with sync_playwright() as playwright:
        executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for _ in range(options.repeats):
            for slower in SLOWER:
                for path in options.pages:
                    for what, took, worked in measure(browser, path, slower):
                        found[slower, path, what].append((took, worked))
        browser.close()
    within = True
    print("| processor | page | | median ms | 95% | of the processor, median ms | 95% |\n|---|---|---|---|---|---|---|")
    for (slower, path, what), values in sorted(found.items(), key=lambda item: (item[0][0], item[0][2])):
        took, worked = zip(*values, strict=True)
        shown = [statistics.median(took), quantile(took, 0.95), statistics.median(worked), quantile(worked, 0.95)]
        print(f"| {slower} times slower | {path} | {what} | {' | '.join(f'{value:.0f}' for value in shown)} |")
        within &= slower < max(SLOWER) or shown[3 if what in STEPS else 2] <= LIMITS.get(what, float("inf"))
    sys.exit(not within)


if __name__ == "__main__":
    main()
