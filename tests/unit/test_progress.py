"""Long work says how far it is: a bar on a terminal, lines in a log."""

import io
import re

import pytest

from vlmfrontier import progress as module
from vlmfrontier.progress import Count, Progress, counted, steps


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


def test_a_log_has_a_line_per_step_and_no_bar():
    log = io.StringIO()
    assert list(steps("frontier", ["avg", "order"], log)) == ["avg", "order"]
    first, second = log.getvalue().splitlines()
    assert re.fullmatch(r"frontier  1/2  avg  \d+ s", first)
    assert re.fullmatch(r"frontier  2/2  order  \d+ s", second)
    assert "\r" not in log.getvalue()


def test_a_terminal_has_one_line_that_fills_and_is_taken_away():
    terminal = Terminal()
    progress = Progress("avg", 4, terminal)
    for step in ("fit a long form", "fit add", "bag", "bag again"):
        progress(step)
    progress.done()
    assert "\n" not in terminal.getvalue()
    shown = terminal.getvalue().split("\r")
    filled = [text.count("█") for text in shown if "[" in text]
    assert filled == sorted(filled)
    assert filled[0] == 0
    assert len(shown[2]) >= len("avg fit a long form")  # overwrites the longer line before it
    assert shown[-2].strip() == shown[-1] == ""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands until a test moves it."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_log_is_told_of_a_count_every_ten_seconds_and_at_the_end(clock: list[float]):
    log = io.StringIO()
    for _ in counted("answer", range(60), 60, "videos", log):
        clock[0] += 0.5
    assert log.getvalue().splitlines() == [
        "answer  20/60 videos  10 s, about 20 s left",
        "answer  40/60 videos  20 s, about 10 s left",
        "answer  60/60 videos  30 s",
    ]


def test_a_count_of_batches_fills_a_bar_on_a_terminal_and_leaves_one_line(clock: list[float]):
    terminal = Terminal()
    count = Count("answer", 5, "videos", terminal)
    for batch in (2, 2, 1):
        clock[0] += 3
        count.add(batch)
    count.done()
    shown = [text.rstrip() for text in terminal.getvalue().split("\r")]
    assert [text.count("█") for text in shown[1:4]] == [9, 19, 24]
    assert shown[1].endswith("2/5 videos  3 s, about 4 s left")
    assert shown[-1] == "answer  5/5 videos  9 s"


def test_nothing_to_count_is_said(clock: list[float]):
    log = io.StringIO()
    assert list(counted("answer", [], 0, "videos", log)) == []
    assert log.getvalue() == "answer  0/0 videos  0 s\n"
