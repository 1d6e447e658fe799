"""A server that answers what the hub's own client asks, over real HTTP, for models and data sets in a folder.

Models are folders `<root>/<owner>/<name>`, data sets `<root>/datasets/<owner>/<name>`, all at one commit; those of the
owner `closed` want a licence. `/files/<path>` gives any file as another host would, with ranges.
"""

import hashlib
import io
import json
import os
import re
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".gz", ".zip", ".tar", ".mp4")
"""Files that the hub keeps apart, and tells the SHA-256 of."""


class Hub(ThreadingHTTPServer):
    """The server, with what it was asked for and how it misbehaves."""

    daemon_threads = True

    def __init__(self, root: Path):
        super().__init__(("127.0.0.1", 0), _Answer)
        self.root = root
        self.asked: list[str] = []
        self.sizes: dict[str, int] = {}
        """Sizes that listings tell instead of the real ones, by path."""
        self.hold: str | None = None
        """Path of a file that is given up to its middle only, until `released`."""
        self.held, self.released = threading.Event(), threading.Event()

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}"

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the environment of a process whose hub this is, with a home of its own in `folder`."""
        return environment(self.address, folder)


def environment(address: str, folder: Path) -> dict[str, str]:
    """Return the environment of a process whose hub is at `address`."""
    own = {"HF_ENDPOINT": address, "HF_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "0"}
    own |= {"HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return {**os.environ, **own}


@contextmanager
def serving(root: Path) -> Iterator[Hub]:
    """Serve the folder `root`."""
    hub = Hub(root)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.released.set()
        hub.shutdown()
        hub.server_close()


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(self.path.split("?")[0].strip("/"))
        self.server.asked.append(path)
        if found := re.fullmatch(r"api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?(?:/.*)?", path):
            kind, repository, listing, revision = found.groups()
            self._repository(kind, repository, revision or "main", listing == "tree")
        elif path.startswith("files/"):
            self._file(self.server.root / path.removeprefix("files/"))
        elif found := re.fullmatch(r"(datasets/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            kind, repository, file = found.groups()
            self._file(self.server.root / (kind or "") / repository / file)
        else:
            self._refuse(404, "")

    def _repository(self, kind: str, repository: str, revision: str, as_tree: bool):
        folder = self.server.root / ("datasets" if kind == "datasets" else "") / repository
        if repository.startswith("closed/"):
            self._refuse(403, "GatedRepo")
        elif not folder.is_dir():
            self._refuse(404, "RepoNotFound")
        elif revision not in ("main", COMMIT):
            self._refuse(404, "RevisionNotFound")
        else:
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            names = [path.relative_to(folder).as_posix() for path in files]
            whole = {"id": repository, "sha": COMMIT, "private": False, "tags": []}
            whole["siblings"] = [{"rfilename": name} for name in names]
            tree = [self._entry(path, name) for path, name in zip(files, names, strict=True)]
            self._send(json.dumps(tree if as_tree else whole).encode(), "application/json")

    def _entry(self, path: Path, name: str) -> dict:
        content, size = path.read_bytes(), self.server.sizes.get(name, path.stat().st_size)
        entry = {"type": "file", "path": name, "size": size, "oid": hashlib.sha1(content).hexdigest()}
        if name.endswith(LARGE):
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": size, "pointerSize": 130}
        return entry

    def _file(self, path: Path):
        if path.is_file():
            self._send(path.read_bytes(), "application/octet-stream", held=path.name == self.server.hold)
        else:
            self._refuse(404, "EntryNotFound")

    def _send(self, body: bytes, kind: str, held: bool = False):
        begin = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin = int(begin[1]) if begin else 0
        self.server.asked[-1] += f" from {begin}" if begin else ""
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) - begin))
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self._write(body[begin:], held)

    def _write(self, body: bytes, held: bool):
        if held:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.server.held.set()
            self.server.released.wait()
            self.close_connection = True
            return
        self.wfile.write(body)

    def _refuse(self, status: int, code: str):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def write_tar(path: Path, content: dict[str, bytes]) -> None:
    """Write a tar, compressed as its name says."""
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
