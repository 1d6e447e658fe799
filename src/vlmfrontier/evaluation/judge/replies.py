"""What a judge answers: checked, put into the one form that lmms-eval's tasks parse, and kept by content."""

import ast
import json
import re
from pathlib import Path
from typing import Any

from vlmfrontier.evaluation.judge.requests import Body, request_key, wants_pred
from vlmfrontier.files import append_line, read_lines

HIGHEST = 5
"""The tasks ask for scores of 0 to 5."""
_MAP = re.compile(r"\{[^{}]*\}")


class GarbageError(ValueError):
    """A reply that holds no rating; the message quotes it."""


def rating(text: str, pred: bool) -> str:
    """Return the rating in a reply as the text of a map: `{'score': 4}`, with `pred` `{'pred': 'yes', 'score': 4}`.

    What stands around the map (a code fence, an explanation) is left out. lmms-eval takes a reply that it cannot parse
    for a score of 0, so such a one must not reach it: raises `GarbageError` without exactly one map, with a score that
    is no number of 0 to 5, or, where `pred` is wanted, one that is neither yes nor no.
    """
    found = [given for part in _MAP.findall(text) if (given := _as_map(part)) is not None]
    if len(found) != 1:
        raise GarbageError(f"the reply {_quoted(text)} has {len(found) or 'no'} ratings")
    score = _number(found[0].get("score"))
    if score is None or not 0 <= score <= HIGHEST:
        raise GarbageError(f"the reply {_quoted(text)} has no score of 0 to {HIGHEST}")
    said = str(found[0].get("pred")).strip().lower()
    if pred and said not in ("yes", "no"):
        raise GarbageError(f"the reply {_quoted(text)} says neither yes nor no")
    return str({"pred": said, "score": score} if pred else {"score": score})


def _as_map(text: str) -> dict[str, Any] | None:
    for parse in (ast.literal_eval, json.loads):
        try:
            given = parse(text)
        except (ValueError, SyntaxError):
            continue
        if isinstance(given, dict):
            return given
    return None


def _number(value: Any) -> float | int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if not isinstance(value, int | float):
        return None
    return int(value) if value == int(value) else value


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "…")


class Replies:
    """The replies of one judge, kept in a file of lines: `key`, `reply` as it came, `model` as the server named it."""

    def __init__(self, path: Path, judge: str):
        self.path, self.judge = path, judge
        self._kept = {line["key"]: line for line in read_lines(path) if line.get("judge") == judge}

    def __contains__(self, body: Body) -> bool:
        return request_key(self.judge, body) in self._kept

    def text(self, body: Body) -> str:
        """Return the rating that answers a request. Raises `KeyError` if it was never asked."""
        return rating(self._kept[request_key(self.judge, body)]["reply"], wants_pred(body))

    def model(self, body: Body) -> str:
        """Return the model that answered a request, as the server named it."""
        return self._kept[request_key(self.judge, body)]["model"]

    def keep(self, body: Body, reply: str, model: str) -> None:
        """Remember a reply that holds a rating, here and in the file. Raises `GarbageError` if it holds none."""
        rating(reply, wants_pred(body))
        line = {"key": request_key(self.judge, body), "judge": self.judge, "model": model, "reply": reply}
        append_line(self.path, line)
        self._kept[line["key"]] = line
