"""Long work says how far it is: a bar on a terminal, lines in a log."""

import io
import re

from vlmfrontier.progress import Progress, steps


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
