"""The judge that lmms-eval sees: a server on this machine that takes its requests down, and later answers them.

lmms-eval asks a judge one answer at a time, gives up after five tries and takes a missing reply for a score of 0. So it
never meets the judge itself. First it meets `Collecting`, which answers at once with a rating that nobody reads and
takes every request down; then the judge is asked (`ask.ask_all`); then it meets `Answering`, which has every reply.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol

from vlmfrontier.evaluation.judge import COMPLETIONS, Body, Replies, digest, request_body
from vlmfrontier.files import append_line, read_lines

PLACEHOLDER = str({"pred": "no", "score": 0})


class Replier(Protocol):
    """What the server asks for its answers."""

    def text(self, body: Body) -> str:
        """Return the reply to a request. Raises `KeyError` if there is none."""


class Collecting:
    """Takes requests down in a file, each once, and answers with a placeholder."""

    def __init__(self, path: Path):
        self._known = {digest(body) for body in read_lines(path)}
        self._path, self._lock = path, threading.Lock()

    def text(self, body: Body) -> str:
        """Return the placeholder."""
        with self._lock:
            if (key := digest(body)) not in self._known:
                self._known.add(key)
                append_line(self._path, body)
        return PLACEHOLDER


class Answering:
    """Answers with what the judge said; `unknown` holds the requests that it was never asked."""

    def __init__(self, replies: Replies):
        self._replies = replies
        self.unknown: list[Body] = []

    def text(self, body: Body) -> str:
        """Return the judge's rating. Raises `KeyError`, and remembers the request, if there is none."""
        if body not in self._replies:
            self.unknown.append(body)
        return self._replies.text(body)

    def why(self) -> str | None:
        """Return why ratings cannot be trusted: lmms-eval wanted one that was not asked for when answers were given."""
        if not self.unknown:
            return None
        return "lmms-eval asks the judge something else than when the questions were answered; answer them again"


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # by default 5: of many who connect at once some would be turned away


@contextmanager
def serving(replier: Replier) -> Iterator[str]:
    """Serve chat completions on a free port of this machine; gives the full address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                self._reply(200, _completion(replier.text(request_body(sent)), str(sent.get("model"))))
            except KeyError:
                self._reply(404, {"error": {"message": "this was not asked"}})

        def _reply(self, status: int, content: object) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing: thousands of requests would fill the log."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1{COMPLETIONS}"
        finally:
            server.shutdown()
            thread.join()


def _completion(text: str, model: str) -> dict:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {
        "id": "relay",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [choice],
        "usage": usage,
    }
