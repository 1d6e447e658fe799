"""Ask a judge all that was not asked before: several requests at a time, failures retried and then fatal."""

import http.client
import ipaddress
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from urllib.parse import urlsplit

from vlmfrontier.errors import UserError
from vlmfrontier.evaluation.judge.replies import GarbageError, Replies
from vlmfrontier.evaluation.judge.requests import Body
from vlmfrontier.progress import counted
from vlmfrontier.study.evaluation import JudgeConfig

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
                f"evaluate.lmms_eval.judge: {judge.model} at {asker.address} did not rate an answer: {failure.reason}; "
                f"{sum(body in replies for body in bodies)} of {len(bodies)} ratings are kept: see that the judge "
                "works and run the same command again"
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
