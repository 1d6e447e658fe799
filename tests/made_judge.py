"""A judge for tests: a real HTTP server on this machine that speaks chat completions and does as it is told."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Reply = str | int
"""What the judge says, or the HTTP status that it fails with."""


@dataclass
class Judge:
    """What the server was asked, and where it is."""

    url: str = ""
    asked: list[dict] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def question(request: dict) -> str:
    """Return the last message of a request."""
    return request["messages"][-1]["content"]


@contextmanager
def judging(reply: Callable[[dict, int], Reply], retry_after: str | None = None) -> Iterator[Judge]:
    """Serve `reply(request, times this request was made before)` on a free port."""
    judge = Judge()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with judge.lock:
                before = judge.asked.count(request)
                judge.asked.append(request)
                judge.keys.append(self.headers.get("Authorization"))
            said = reply(request, before)
            status = said if isinstance(said, int) else 200
            content = {"error": {"message": "no"}} if isinstance(said, int) else _completion(said)
            data = json.dumps(content).encode()
            self.send_response(status if self.path == "/v1/chat/completions" else 404)
            if retry_after is not None:
                self.send_header("Retry-After", retry_after)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # by default 5: of many who connect at once some would be turned away

    with Server(("127.0.0.1", 0), Handler) as server:
        judge.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield judge
        finally:
            server.shutdown()
            thread.join()


def _completion(text: str) -> dict:
    return {"model": "made-2026", "choices": [{"message": {"role": "assistant", "content": text}}]}
