"""Fetching published models from a server that speaks as the hub does; nothing else is asked."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.published import VISION, language_shape, save_language, save_siglip
from vlmfrontier.study.load import validate, write_study

pytestmark = pytest.mark.slow  # every call is a process that imports torch; without a network the client tries again

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS = {"design": "rows", "rows": [{"N": "x", "T": 2, "V": 4, "n": 8}]}


class Hub(BaseHTTPRequestHandler):
    """Answers for the models in the folder `root/owner/name`, all at one commit; `closed` ones want a licence."""

    root: Path
    asked: list[str]

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.split("?")[0].strip("/")
        type(self).asked.append(path)
        if path.startswith("api/models/"):
            owner, name, *rest = path.removeprefix("api/models/").split("/")
            self._model(f"{owner}/{name}", rest[1] if len(rest) > 1 else "main", "tree" in rest)
        elif path.startswith("api/"):
            self._refuse(404, "")
        else:
            owner, name, _, _, file = path.split("/", 4)
            self._send((self.root / owner / name / file).read_bytes(), "application/octet-stream")

    def _model(self, repository: str, revision: str, as_tree: bool):
        if repository.startswith("closed/"):
            self._refuse(403, "GatedRepo")
        elif not (self.root / repository).is_dir():
            self._refuse(404, "RepoNotFound")
        elif revision not in ("main", COMMIT):
            self._refuse(404, "RevisionNotFound")
        else:
            files = sorted((self.root / repository).iterdir())
            tree = [{"type": "file", "path": p.name, "size": p.stat().st_size, "oid": COMMIT} for p in files]
            siblings = [{"rfilename": p.name} for p in files]
            whole = {"id": repository, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
            self._send(json.dumps(tree if as_tree else whole).encode(), "application/json")

    def _send(self, body: bytes, kind: str):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Iterator[str]:
    Hub.root, Hub.asked = tmp_path_factory.mktemp("hub"), []
    save_siglip(Hub.root / "open" / "siglip")
    save_language(Hub.root / "open" / "llama")
    (Hub.root / "open" / "llama" / "pytorch_model.bin").write_bytes(b"a pickle")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def fetch(folder: Path, hub: str, language: dict | None = None) -> subprocess.CompletedProcess:
    """Fetch the models of a study with scripts/fetch_models.py."""
    study = validate(
        {
            "study": "tiny",
            "models": {
                "start": None,
                "vision": {"pretrained": "open/siglip", **VISION},
                "language": {"x": {"pretrained": "open/llama", **language_shape(), **(language or {})}},
            },
            "finetune": {"learning_rates": {"vision": 1e-3, "projector": 1e-3, "language": 1e-3}},
            "sweep": {"designs": {"few": ROWS}},
            "space": {"N": ["x"]},
        }
    )
    write_study(study, folder / "study.json")
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "0"}
    environment |= {"HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    command = [sys.executable, "scripts/fetch_models.py", "--study", str(folder / "study.json")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)


def test_models_are_fetched_once_without_pickles_and_their_commit_is_kept(hub, tmp_path):
    done = fetch(tmp_path, hub, {"revision": COMMIT})
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "models/fetched.json").read_text())
    assert {key: value["commit"] for key, value in found.items()} == {
        "models.vision": COMMIT,
        "models.language.x": COMMIT,
    }
    folder = tmp_path / f"models/hub/open--llama@{COMMIT}"
    assert (folder / "model.safetensors").exists()
    assert not list(tmp_path.rglob("*.bin"))
    Hub.asked.clear()
    assert fetch(tmp_path, hub, {"revision": COMMIT}).returncode == 0
    assert not [path for path in Hub.asked if path.endswith(".safetensors")]


@pytest.mark.parametrize(
    ("language", "message"),
    [
        ({"pretrained": "closed/llama"}, "the model is behind a licence; accept the licence on the model's page"),
        ({"pretrained": "open/nothing"}, "the hub has no such model"),
        ({"revision": "f00"}, "models.language.x.revision = 'f00': open/llama has no such commit"),
        ({"layers": 3}, "models.language.x.layers = 3, but"),
    ],
)
def test_what_cannot_be_fetched_or_is_another_model_is_named(hub, tmp_path, language, message):
    done = fetch(tmp_path, hub, language)
    assert done.returncode == 2
    said = done.stderr.splitlines()[-1]  # after the hub's own progress
    assert said.startswith("error: ")
    assert message in said
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "models/fetched.json").exists()


def test_without_a_network_the_mend_is_named(tmp_path):
    done = fetch(tmp_path, "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "this step needs a node with network" in done.stderr
