"""A judge is asked all that was not asked before: several requests at a time, failures retried and then fatal.

Requests are as lmms-eval's tasks make them, known by their content. What the judge answers is checked, put into the one
form that these tasks parse, and kept by content.
"""

import ast
import hashlib
import http.client
import ipaddress
import json
import os
import re
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vlmfrontier.errors import UserError
from vlmfrontier.files import append_line, read_lines
from vlmfrontier.progress import counted
from vlmfrontier.study.evaluation import JudgeConfig

Body = dict[str, Any]
"""A chat-completions request without the name of the model."""


def request_body(sent: Mapping[str, Any]) -> Body:
    """Return a request without the name of the model that it was sent to."""
    return {key: value for key, value in sent.items() if key != "model"}


def digest(content: object) -> str:
    """Return the SHA-256 of anything JSON can say, in hexadecimal."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def request_key(judge: str, body: Body) -> str:
    """Return what a reply is kept under: the judge's name and the whole request."""
    return digest({"judge": judge, "request": body})


def wants_pred(body: Body) -> bool:
    """Say whether the reply must hold a yes or no beside its score, as ActivityNet-QA's does."""
    return any("'pred'" in str(message.get("content")) for message in body.get("messages", []))


def prompt_hashes(bodies: Iterable[Body]) -> dict[str, int]:
    """Return how many requests use each instruction, known by 16 digits of the SHA-256 of the first message."""
    return dict(sorted(Counter(digest(body["messages"][0]["content"])[:16] for body in bodies).items()))


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


COMPLETIONS = "/chat/completions"
LONGEST_WAIT = 60.0
# The server is busy, restarting or limits the rate; everything else of 400 and above will not change by itself.
PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}


@dataclass
class UnansweredError(Exception):
    """A request that was not answered: why, whether trying again may help, and how long the server wants us to wait."""

    reason: str
    passing: bool
    wait: float | None = None


def completions_address(url: str) -> str:
    """Return the full address of chat completions for a base address, or for that address itself."""
    url = url.rstrip("/")
    return url if url.endswith(COMPLETIONS) else url + COMPLETIONS


def ask_all(
    bodies: Sequence[Body],
    replies: Replies,
    judge: JudgeConfig,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Ask every request that `replies` has no reply to, keep the replies, and return how many were asked.

    Raises `UserError` on the first request that is not answered after all retries; replies until then are kept, so that
    the next call goes on from there.
    """
    open_ones = [body for body in bodies if body not in replies]
    if not open_ones:
        return 0
    asker = Asker(judge, sleep)
    with ThreadPoolExecutor(judge.concurrency) as pool:
        started = [pool.submit(asker.ask, body, replies) for body in open_ones]
        try:
            for future in counted(f"{judge.model} rates", as_completed(started), len(open_ones), "answers"):
                future.result()
        except UnansweredError as failure:
            asker.given_up.set()
            for future in started:
                future.cancel()
            raise UserError(
                f"evaluate.lmms_eval.judge: {judge.model} at {asker.address} gave no score for an answer: "
                f"{failure.reason}; {sum(body in replies for body in bodies)} of {len(bodies)} scores are kept; check "
                "that the judge works, and call the same command again"
            ) from failure
    return len(open_ones)


class Asker:
    """Sends requests to one judge. Raises `UserError` if its key is named and not set."""

    def __init__(self, judge: JudgeConfig, sleep: Callable[[float], None] = time.sleep):
        self.judge, self.sleep = judge, sleep
        self.address = completions_address(judge.url)
        self.given_up = threading.Event()
        self._headers = {"Content-Type": "application/json"}
        if judge.key is not None:
            if not os.environ.get(judge.key):
                raise UserError(
                    f"evaluate.lmms_eval.judge.key = '{judge.key}': there is no such environment variable; "
                    "export it, or write null for a server that wants no key"
                )
            self._headers["Authorization"] = f"Bearer {os.environ[judge.key]}"
        # A proxy is for the world outside: this machine is asked directly.
        handlers = [urllib.request.ProxyHandler({})] if _is_here(self.address) else []
        self._opener = urllib.request.build_opener(*handlers)

    def ask(self, body: Body, replies: Replies) -> None:
        """Ask, again while that fails in passing; keep the reply. Raises `UnansweredError` when all tries are up."""
        for tried in range(self.judge.retries + 1):
            if self.given_up.is_set():
                raise UnansweredError("another request failed", passing=False)
            try:
                replies.keep(body, *self._send(body))
                return
            except GarbageError as garbage:
                failure = UnansweredError(str(garbage), passing=True)
            except UnansweredError as failed:
                failure = failed
            if not failure.passing:
                raise failure
            if tried < self.judge.retries:
                self.sleep(min(LONGEST_WAIT, failure.wait if failure.wait is not None else 2.0**tried))
        raise UnansweredError(f"{failure.reason} ({self.judge.retries + 1} tries)", passing=False)

    def _send(self, body: Body) -> tuple[str, str]:
        """Return the text of the reply and the model that gave it. Raises `UnansweredError`."""
        content = json.dumps({"model": self.judge.model, **body}).encode()
        request = urllib.request.Request(self.address, content, self._headers)
        try:
            with self._opener.open(request, timeout=self.judge.timeout) as response:
                reply = json.loads(response.read())
            return str(reply["choices"][0]["message"]["content"]), str(reply.get("model", self.judge.model))
        except urllib.error.HTTPError as error:
            said = " ".join(error.read(300).decode(errors="replace").split())
            raise UnansweredError(f"HTTP {error.code} {said}".strip(), error.code in PASSING, _wait(error)) from None
        except (OSError, http.client.HTTPException) as error:  # unreachable, refused, broken off, too slow
            raise UnansweredError(str(getattr(error, "reason", None) or error) or type(error).__name__, True) from None
        except (ValueError, KeyError, IndexError, TypeError):
            raise UnansweredError("the reply is not one of chat completions", passing=True) from None


def _wait(error: urllib.error.HTTPError) -> float | None:
    try:
        return max(0.0, float(error.headers.get("Retry-After", "")))
    except ValueError:
        return None


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
